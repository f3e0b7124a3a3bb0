"""Builds the programs that the platform on this machine runs."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence

from machine import FUNCTIONS, ROOT, Failure, say

BINARIES = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug").resolve()
# The other programs that it needs, besides the functions.
TOOLS = ("tollgate", "tollgate-local")
# The package of each, where it has another name.
PACKAGES = {"tollgate": "tollgate-cli", **{name: f"tollgate-{name}" for name in FUNCTIONS}}


def build(others: Sequence[str]) -> None:
    """Only the programs that the platform runs, and `others`, with the features of the whole workspace: a selection of
    packages has other features and would build all dependencies again. Shows its progress, as the first time takes
    minutes."""
    say("building the programs (the first time about five minutes on two cores)")
    programs = (*FUNCTIONS, *TOOLS, *others)
    packages = [f"--package={PACKAGES.get(name, name)}" for name in programs]
    total = len(cargo("tree", *packages, "--edges=normal,build", "--prefix=none", "--format={p}"))
    command = ["cargo", "build", "--quiet", "--workspace", *[f"--bin={name}" for name in programs],
               "--message-format=json-render-diagnostics"]
    built: set[str] = set()
    began, ended = time.monotonic(), threading.Event()

    def show() -> None:
        while not ended.wait(5):
            say(f"{min(len(built), total)} of {total} crates after {time.monotonic() - began:.0f} s")

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                message = json.loads(line)
                if message["reason"] == "compiler-artifact":
                    built.add(message["package_id"])
        except BaseException:
            # A Ctrl-C reaches cargo, too; a plain kill does not.
            process.terminate()
            raise
    ended.set()
    shower.join()
    if process.returncode:
        raise Failure("the build failed")
    say(f"built after {time.monotonic() - began:.0f} s")


def cargo(*arguments: str) -> set[str]:
    """The different lines that cargo prints."""
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"cargo {arguments[0]}: {done.stderr.strip()}")
    return {line.removesuffix(" (*)") for line in done.stdout.splitlines() if line}
