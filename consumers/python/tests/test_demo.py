"""The consumer with which `make demo` ends."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import CONSUMERS, SAMPLES

from tollgate_events import parse


def test_it_prints_what_it_would_fulfil(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text("".join(json.dumps({"queue": "payments-queue", "body": body}) + "\n" for body in SAMPLES))
    done = subprocess.run([sys.executable, CONSUMERS / "python/demo", file], capture_output=True, text=True, check=True)
    events = [parse(sample) for sample in SAMPLES]
    paid = {event.effect_id for event in events if event.type == "payment.succeeded"}
    restated = sum(event.restates is not None for event in events)
    last = done.stdout.splitlines()[-1]
    assert last == (f"consumer: {len(events)} messages, delivered twice: {len(paid)} to fulfil, 0 twice, 0 repeated, "
                    f"{restated} restated, 0 stale")
    assert "consumer: fulfil pi_3Nxyz at stripe-eu: 10.99 EUR" in done.stdout


def test_a_message_that_would_come_back_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text(json.dumps({"queue": "payments-queue", "body": "{}"}) + "\n")
    done = subprocess.run([sys.executable, CONSUMERS / "python/demo", file], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "consumer: refused: other_schema at $.schema" in done.stdout
