"""Runs of benches, kept with the machine that made them under benches/runs."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def write(kind: str, figures: dict[str, Any]) -> Path:
    """The file, named by the time and the kind."""
    now = datetime.datetime.now(datetime.UTC)
    file = ROOT / "benches/runs" / f"{now:%Y-%m-%dT%H%MZ}{kind}.json"
    file.parent.mkdir(exist_ok=True)
    whole = {"at": f"{now:%Y-%m-%dT%H:%M:%SZ}", "machine": machine(), **figures}
    file.write_text(json.dumps(whole, indent=2) + "\n")
    return file


def machine() -> dict[str, Any]:
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "load_1m": os.getloadavg()[0],
        "rustc": said("rustc", "--version"),
        "python": platform.python_version(),
        "node": said("node", "--version"),
        "commit": said("git", "-C", ROOT, "describe", "--always", "--dirty"),
    }


def said(*command: str | Path) -> str | None:
    """What the command prints; nothing where there is no such command."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    except OSError:
        return None
