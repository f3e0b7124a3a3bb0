"""What fails on a platform, and what operators do to it, at a plan's moments."""

import json
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from build import BINARIES
from machine import Failure
from proved import Proved, asked

# The functions that have a normaliser.
READERS = ("validator", "processor")
# Every second process that is started is of the other build.
HALF = """#!/usr/bin/env bash
exec 9>>"$0.started"
flock 9
printf . >&9
started=$(stat --format %s "$0.started")
exec 9>&-
((started % 2)) && exec "{other}"
exec "{sound}"
"""


class Driver(threading.Thread):
    """What fails and what operators do while webhooks are sent, at the plan's moments."""

    def __init__(self, proved: Proved, lines: list[dict[str, Any]], other: Path | None = None) -> None:
        super().__init__(name="driver", daemon=True)
        self.proved, self.stop = proved, threading.Event()
        moments: list[tuple[int, Callable[[dict[str, Any]], None], dict[str, Any]]] = []
        moments += [(line["faults"]["at_ms"], self.fail, line["faults"]) for line in lines if "faults" in line]
        moments += [(line["operation"]["at_ms"], self.operate, line["operation"]["what"]) for line in lines if "operation" in line]
        self.moments = sorted(moments, key=lambda moment: moment[0])
        self.problems: list[str] = []
        # Programs whose normaliser reads otherwise.
        self.other = other
        # What takes the place of a function's program.
        self.halves: dict[str, Path] = {}

    def only(self, themes: list[str], seconds: int) -> None:
        """Takes the place of all else: the plan's faults of these names, each for as long, and then none."""
        faults = [what for _, act, what in self.moments if act == self.fail and what["theme"].startswith(tuple(themes))]
        if missing := [name for name in themes if not any(what["theme"].startswith(name) for what in faults)]:
            raise Failure(f"the plan has none of {', '.join(missing)}")
        # Calm at first, so that the functions have their endpoints, and at last, as in the plan.
        begins, until = seconds * 150, seconds * 900
        length = (until - begins) // max(1, len(faults))
        self.moments = [(begins + at * length, self.fail, what) for at, what in enumerate(faults)]
        self.moments += [(at, self.fail, {"theme": "calm", "rules": []}) for at in (0, until)]
        self.moments.sort(key=lambda moment: moment[0])

    def run(self) -> None:
        began = time.monotonic()
        for at_ms, act, what in self.moments:
            if self.stop.wait(max(0.0, at_ms / 1000 - (time.monotonic() - began))):
                return
            try:
                act(what)
            except Exception as problem:
                self.problems.append(f"{what}: {problem}")

    def fail(self, faults: dict[str, Any]) -> None:
        self.proved.rules(faults["rules"])
        self.proved.log(theme=faults["theme"])

    def operate(self, what: dict[str, Any] | str) -> None:
        [(operation, arguments)] = what.items() if isinstance(what, dict) else [(what, {})]
        acts: dict[str, Callable[..., None]] = {"rotate": self.rotate, "reconfigure": self.reconfigure, "redeploy": self.redeploy,
                                                "poison": self.poison, "canary": self.canary, "roll_back": self.roll_back}
        acts[operation](**arguments)
        self.proved.log(operation=operation, **arguments)

    def end(self) -> None:
        """Nothing fails any more."""
        self.stop.set()
        self.join()
        self.proved.rules([])
        if self.problems:
            raise Failure(f"could not do: {'; '.join(self.problems)}")

    def rotate(self, endpoint: str) -> None:
        """The provider signs with the new key from when it is stored."""
        folder = self.proved.folder
        new, current = folder / "new-key", folder / "keys" / endpoint
        self.proved.program("tollgate-prove", "key", "--folder", folder, "--endpoint", endpoint, "--to", new)
        self.proved.program("tollgate", "endpoints", "rotate", endpoint, "--secret-file", new)
        (folder / "old-keys").mkdir(exist_ok=True)
        shutil.copy(current, folder / "old-keys" / endpoint)
        new.replace(current)

    def reconfigure(self, endpoint: str) -> None:
        """Of its metadata one key is kept from now on."""
        file = self.proved.folder / "endpoints.toml"
        here = f'id = "{endpoint}"\n'
        file.write_text(file.read_text().replace(here, f'{here}metadata = ["cart"]\n'))
        self.proved.program("tollgate", "endpoints", "apply", file)

    def poison(self, messages: int) -> None:
        """Who has the right to send to the intake queues sends what is no message of ours."""
        for number in range(messages):
            body = f"poison {secrets.token_hex(8)}"
            is_fifo = number % 2 == 1
            more = {"MessageGroupId": "poison", "MessageDeduplicationId": body} if is_fifo else {}
            queue = self.proved.outputs["IntakeOrderedQueueUrl" if is_fifo else "IntakeQueueUrl"]
            self.proved.log(poison=body)
            self.proved.peer.call("sqs", "SendMessage", QueueUrl=queue, MessageBody=body, **more)

    def redeploy(self, function: str) -> None:
        """New processes; those that are at work end theirs first, as Lambda's do."""
        spec = json.loads((self.proved.file.parent / "functions" / f"{function}.json").read_text())
        if function in self.halves:
            spec["binary"] = str(self.halves[function])
        platform = self.proved.platform
        asked("PUT", f"{platform['runner_url']}/functions/{platform['functions'][function]}", json.dumps(spec).encode())

    def canary(self) -> None:
        """Every second process of those that read bodies is of the other build."""
        for function in READERS:
            if self.other is None:
                raise Failure("the plan has a canary: --canary says where its programs are")
            sound, other = BINARIES / function, self.other / function
            half = self.proved.folder / f"half-{function}"
            half.write_text(HALF.format(sound=sound, other=other))
            half.chmod(0o755)
            self.halves[function] = half
            self.redeploy(function)

    def roll_back(self) -> None:
        self.halves.clear()
        for function in READERS:
            self.redeploy(function)


