"""What a campaign left in its folder, as plain data. Nothing here judges."""

import base64
import dataclasses
import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

# Read for what must not be in them, too.
TABLES = ("ledger.jsonl", "ledger-later.jsonl", "transactions.jsonl")
EVENTS = ("bus.jsonl", "payments.jsonl", "refunds.jsonl", "disputes.jsonl", "alerts.jsonl")
CONSUMERS = ("payments", "refunds", "disputes")
ACCEPTED = "Event validated and queued for processing"
# Between these two bodies are read in two ways.
CANARY = ("canary", "roll_back")
# Their signature is a secret, and is not kept: nothing can verify it again (docs/SEMANTICS.md, 4.3).
TOKENS = ("prove-chargebee", "prove-flutterwave-v3", "prove-phonepe", "prove-xendit")


@dataclasses.dataclass
class Evidence:
    folder: Path
    plan: dict[str, Any]
    webhooks: dict[int, dict[str, Any]]
    # Of each webhook its lines in the journal, in their order.
    journal: dict[int, list[dict[str, Any]]]
    # By `event_key`, before a month went by.
    ledger: dict[str, dict[str, Any]]
    transactions: list[dict[str, Any]]
    # What the bus delivered to the tap: the events themselves, each with `_at`, when it was taken.
    bus: list[dict[str, Any]]
    # By consumer's queue.
    consumers: dict[str, list[dict[str, Any]]]
    alerts: list[dict[str, Any]]
    # Messages in dead-letter queues and quarantines: `queue`, `reason`, `webhook_id`, `body`.
    dead: list[dict[str, Any]]
    archive: list[dict[str, Any]]
    # The decisions on payments of high value, by our id of the event.
    decisions: dict[str, list[dict[str, Any]]]
    # What the proxy did, and what the campaign did, each with its time.
    faults: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    moments: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    # Of a second stack, onto which a part of the first one's archive was replayed: it answered nobody.
    is_replay: bool = False

    @functools.cached_property
    def by_sha256(self) -> dict[str, set[int]]:
        """The webhooks that were sent with such bytes."""
        found = defaultdict(set)
        for n, told in self.journal.items():
            for line in told:
                if line["j"] == "try":
                    found[line["sha256"]].add(n)
        return found

    def texts(self) -> Iterator[tuple[str, str]]:
        """Everything that must hold no card number and no key, by where it is."""
        for name in (*TABLES, *EVENTS):
            yield name, (self.folder / name).read_text()
        logs = Path(json.loads((self.folder / "logs.json").read_text())["folder"])
        for log in sorted(logs.glob("*")):
            yield f"logs/{log.name}", log.read_text(errors="replace")

    def secrets(self) -> Iterator[tuple[str, str]]:
        """Each endpoint's keys, by file."""
        for file in sorted((self.folder / "keys").iterdir()):
            text = file.read_text()
            values = [key["value"] for key in json.loads(text)["keys"]] if text.startswith("{") else [text]
            for value in values:
                # Of a PEM the longest line: the whole would never stand in one line of a log.
                yield file.name, max(value.split("\n"), key=len) if "\n" in value else value


def lines(file: Path) -> Iterator[dict[str, Any]]:
    if file.exists():
        with file.open() as text:
            for line in text:
                yield json.loads(line)


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """An item of DynamoDB, without its types."""

    def value(typed: dict[str, Any]) -> Any:
        [(kind, inner)] = typed.items()
        if kind == "M":
            return plain(inner)
        if kind == "L":
            return [value(one) for one in inner]
        return int(inner) if kind == "N" and re.fullmatch("-?[0-9]+", inner) else inner

    return {name: value(typed) for name, typed in item.items()}


def published(line: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line["body"])["detail"]
    return {**event, "_at": line["at"]}


def dead_letter(line: dict[str, Any]) -> dict[str, Any]:
    attributes = {name: one.get("StringValue", "") for name, one in line["attributes"].items()}
    return {"queue": line["queue"], "reason": attributes.get("reason"), "webhook_id": attributes.get("webhook_id"), "body": line["body"]}


def read(folder: Path) -> Evidence:
    plan: dict[str, Any] = {}
    webhooks: dict[int, dict[str, Any]] = {}
    for line in lines(folder / "plan.jsonl"):
        if "plan" in line:
            plan = line["plan"]
        if "webhook" in line:
            webhooks[line["webhook"]["n"]] = line["webhook"]
    journal = defaultdict(list)
    for line in lines(folder / "journal.jsonl"):
        journal[line["n"]].append(line)
    ledger = {item["event_key"]: item for item in map(plain, lines(folder / "ledger.jsonl"))}
    # Beside a transaction's events stand its latest state, its aliases and the decisions on them.
    items = list(map(plain, lines(folder / "transactions.jsonl")))
    transactions = [item for item in items if "event" in item]
    decisions = defaultdict(list)
    for item in items:
        if "fraud_decision" in item:
            decisions[item["event_id"]].append(item)
    for item in transactions:
        item["event"] = json.loads(item["event"])
    alerts = [json.loads(json.loads(line["body"])["Message"]) for line in lines(folder / "alerts.jsonl")]
    return Evidence(
        folder, plan, webhooks, journal, ledger, transactions,
        [published(line) for line in lines(folder / "bus.jsonl")],
        {name: [published(line) for line in lines(folder / f"{name}.jsonl")] for name in CONSUMERS},
        alerts, [dead_letter(line) for line in lines(folder / "dead.jsonl")], list(lines(folder / "archive.jsonl")), decisions,
        list(lines(folder / "faults.jsonl")), list(lines(folder / "moments.jsonl")))


def body_of(row: dict[str, Any]) -> bytes:
    return base64.b64decode(row["body"])


def read_second(first: Evidence) -> Evidence | None:
    """That of the second stack, where there was one."""
    folder = first.folder / "second"
    if not (folder / "replay.json").exists():
        return None
    replay = json.loads((folder / "replay.json").read_text())
    return as_second(first, read(folder), [row for row in lines(folder / "source.jsonl") if is_replayed(row, replay)])


def as_second(first: Evidence, second: Evidence, due: list[dict[str, Any]]) -> Evidence:
    """The second one's: what had to be replayed stands for what was acknowledged."""
    told = {n for row in due for n in senders(first, row)}
    # Which of two that contradict each other is the first is not said, where both took effect.
    conflicts = {n for n in told if first.webhooks[n]["right"]["fate"] == "conflict"}
    unsaid = conflicts | {first.webhooks[n]["after"] for n in conflicts}
    journal = defaultdict(list, {n: [line for line in told if line["j"] == "try"] for n, told in first.journal.items()})
    for row in due:
        for n in senders(first, row) - unsaid:
            sent = next(line for line in journal[n] if line["j"] == "try" and line["sha256"] == row["sha256"])
            journal[n].append({**sent, "j": "answer", "status": 200, "said": ACCEPTED, "webhook_id": row["webhook_id"]})
    second.journal, second.is_replay = journal, True
    second.moments += [one for one in first.moments if one.get("operation") in CANARY]
    return second


def is_replayed(row: dict[str, Any], replay: dict[str, Any]) -> bool:
    """Whether a replay of that time must bring the webhook to the second stack."""
    arrived = datetime.fromisoformat(row["received_at"]).timestamp()
    is_let_in = row["outcome"] == "processed" or row["reason"] == "too_old_to_tell"
    return is_let_in and row["endpoint"] not in TOKENS and replay["begins"] <= arrived <= replay["ends"]


def senders(first: Evidence, row: dict[str, Any]) -> set[int]:
    """The webhooks of the plan's load that have a row's bytes, and may have an effect."""
    found = ((n, first.webhooks[n]) for n in first.by_sha256[row["sha256"]])
    return {n for n, one in found if one["endpoint"] == row["endpoint"] and not one["phase"] and one["right"]["fate"] != "refused"}
