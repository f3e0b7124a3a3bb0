"""A part of a campaign's archive, replayed onto a second stack while that one fails and the operator's tool is killed."""

import dataclasses
import json
import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from build import BINARIES
from driver import Driver
from local_platform import Options, Platform
from machine import Failure, say
from proved import Proved

# What the plan calls faults that have one turn each. What has no turn: endpoints of before, for there are none; a service that is away,
# for which there is the load.
THEMES = ["Death", "Answers", "Partial", "Deliveries", "Unheard", "Slow"]
# How long something fails there at least, in seconds.
LEAST = 15
# How long a replay may be resumed, in seconds, and the pause before each time.
PATIENCE, PAUSE = 300, 1


@dataclasses.dataclass(frozen=True)
class Part:
    """What is replayed: what arrived from then until then, in seconds since 1970 by the validator's clock."""

    begins: float
    ends: float
    # How many there may be, and how many go in a second at most.
    webhooks: int
    rate: int


class SecondStack(threading.Thread):
    """Leaves its evidence in a folder beside the first one's."""

    def __init__(self, first: Proved, part: Part) -> None:
        super().__init__(name="second stack", daemon=True)
        self.first, self.part, self.folder = first, part, first.folder / "second"
        self.platform = Platform(f"{first.platform['suffix']}2")
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            self.replay()
        except Exception as problem:
            self.problem = problem

    def end(self) -> None:
        self.join()
        self.platform.down()
        if self.problem:
            raise self.problem

    def replay(self) -> None:
        self.keep_source()
        stack = self.up()
        stack.configure()
        stack.tap()
        driver = Driver(stack, one_of_each(stack.plan_lines()))
        driver.only(THEMES, max(LEAST, self.part.webhooks // self.part.rate))
        driver.start()
        counts = replay(self.first, stack, self.part)
        driver.join()
        driver.end()
        stack.wait()
        stack.recover()
        stack.write_ledger()
        stack.end()
        told = {"begins": self.part.begins, "ends": self.part.ends, "counts": counts}
        (stack.folder / "replay.json").write_text(json.dumps(told))

    def keep_source(self) -> None:
        """The archive as it is before: what comes to it later, such as what is redriven, need not be replayed."""
        self.folder.mkdir()
        rows = self.first.archive(self.folder / "source")
        (self.folder / "source.jsonl").write_text(rows)

    def up(self) -> Proved:
        """With faults, and with the endpoints and keys of the first one."""
        for name in ("plan.jsonl", "endpoints.toml"):
            shutil.copy(self.first.folder / name, self.folder)
        for name in ("keys", "old-keys"):
            shutil.copytree(self.first.folder / name, self.folder / name)
        self.platform.up(Options(copies={}, parameters=[], builds=False, functions=BINARIES, endpoints=[], programs=[],
                                 keeps_going=False, faults="0"))
        return Proved(self.platform.file, self.folder)


def one_of_each(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first moment of each theme."""
    return list({line["faults"]["theme"]: line for line in reversed(lines) if "faults" in line}.values())


def replay(first: Proved, stack: Proved, part: Part) -> dict[str, Any]:
    """Kills the tool once in the middle, and resumes until all is sent. What became of the webhooks, by endpoint."""
    say("replaying a part of the archive onto a second stack")
    state = stack.folder / "replay-state.json"
    how = ["--rate", str(part.rate), "--json", "--yes", "--reason", "the second stack takes over"]
    times = [datetime.fromtimestamp(at, UTC).isoformat() for at in (part.begins, part.ends)]
    process = first.begun("tollgate", "replay", "--from", times[0], "--to", times[1], "--into-platform", stack.file, "--state", state, *how)
    while not has_begun(state):
        if process.poll() is not None:
            raise Failure(f"the replay ended before it could be killed: {said(process)}")
        time.sleep(0.1)
    process.kill()
    process.communicate()
    stack.log(operation="kill", what="replay")
    end = time.monotonic() + PATIENCE
    while True:
        process = first.begun("tollgate", "replay", "--resume", state, *how)
        told, problem = process.communicate()
        # 1: something was refused, which the referee judges, or it was stopped; 2: a call to AWS or to the validator failed.
        if process.returncode in (0, 1) and not state.exists():
            return json.loads(told)["counts"]
        stack.log(operation="resume", what="replay")
        if time.monotonic() > end:
            raise Failure(f"the replay does not end: {told.strip()} {problem.strip()}")
        time.sleep(PAUSE)


def has_begun(state: Path) -> bool:
    """Whether a part is sent: what is kept is written in one step."""
    return state.exists() and bool(json.loads(state.read_text())["progress"]["counts"])


def said(process: subprocess.Popen[str]) -> str:
    told, problem = process.communicate()
    return problem.strip() or told.strip()
