"""Processes that outlive the script which started them, by name."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from machine import Failure, started, tail


class Processes:
    """Their logs and process numbers are in one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def spawn(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        # A session of its own: it outlives `up`, and a Ctrl-C does not reach it before its turn.
        with (self.home / f"{name}.log").open("w") as log:
            child = subprocess.Popen(command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True, env={"PATH": os.environ["PATH"], **environment})
        (self.home / f"{name}.pid").write_text(f"{child.pid} {started(child.pid)}")

    def pid(self, name: str) -> int | None:
        """Of the process that we started, not of a later one with its number."""
        try:
            pid, start = (self.home / f"{name}.pid").read_text().split()
            return int(pid) if started(int(pid)) == start else None
        except (FileNotFoundError, ValueError):
            return None

    def wait(self, name: str, seconds: float, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if not self.pid(name):
                raise Failure(f"the {name} ended:\n{tail(self.home / f'{name}.log')}")
            if time.monotonic() > end:
                raise Failure(f"the {name} is not ready after {seconds} s:\n{tail(self.home / f'{name}.log')}")
            time.sleep(0.05)

    def stop(self, name: str) -> None:
        pid = self.pid(name)
        for sent, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if not pid:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
            end = time.monotonic() + seconds
            while (pid := self.pid(name)) and time.monotonic() < end:
                time.sleep(0.02)
        if pid:
            raise Failure(f"the {name}, process {pid}, does not end")
        (self.home / f"{name}.pid").unlink(missing_ok=True)
