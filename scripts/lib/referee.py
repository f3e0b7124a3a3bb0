"""Judges a campaign: each webhook of the plan against tables, bus, queues and archive, by docs/SEMANTICS.md alone.

It shares no code with the product. It makes no id of Tollgate's by itself: an event is found by its endpoint and its provider's
id, which the plan knows, and everything else must agree about it.
"""

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from evidence import ACCEPTED, CANARY, CONSUMERS, Evidence

KINDS = ("lost", "effects twice", "forged accepted", "altered", "leaked")
# By what of a consumer's queue an event of a category ends.
QUEUES = {"payment": "payments", "refund": "refunds", "dispute": "disputes"}
# A longer provider's id is its SHA-256 in keys (docs/SEMANTICS.md, 6.8); no webhook of a plan has one.
LONGEST_ID = 512
# Two events of one call reach the tap in any order, within this many seconds.
TIE = 2.0
# Until the processes of a release that is rolled back have ended what they are at, in seconds.
CHANGING = 30
DUPLICATE = "Duplicate event"
# How long keys are used before they are read again, at the peer, with some time for a slow machine; in seconds.
REREAD = 30
# What the copies of one event have in common, beside its transaction.
SHARED = ("type", "amount", "effect_id", "restates", "occurred_at")
Key = tuple[str, str]


@dataclasses.dataclass
class Anomaly:
    kind: str
    what: str
    webhook: int | None = None
    event: Key | None = None
    # Whether it is of the stack onto which the archive was replayed.
    on_second: bool = False


@dataclasses.dataclass
class Due:
    """An event that the plan knows."""

    # Each reading of it that is right.
    readings: list[dict[str, Any]]
    # The webhooks that tell it and may take effect.
    webhooks: list[int]


class Referee:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.anomalies: list[Anomaly] = []
        self.due: dict[Key, Due] = {}
        # By endpoint and transaction, the other ids that some event links to it.
        self.aliases: dict[Key, set[str]] = defaultdict(set)
        self.bus: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        for event in evidence.bus:
            self.bus[event["endpoint"], event["provider_event_id"]].append(event)
        self.records: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        for item in evidence.transactions:
            self.records[item["event"]["endpoint"], item["event"]["provider_event_id"]].append(item)
        self.dead = {letter["webhook_id"]: letter for letter in evidence.dead if letter["webhook_id"]}
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        # The webhooks of which a message was set aside. One that was not read names its own in an attribute.
        self.aside: set[str] = set()
        for row in evidence.archive:
            self.rows[row["webhook_id"]].append(row)
            if row.get("outcome") == "set_aside":
                self.aside |= {row["webhook_id"], dict(row["headers"]).get("webhook_id", "")}

    def judge(self) -> list[Anomaly]:
        self.expect()
        for n, webhook in self.evidence.webhooks.items():
            if self.tries(n):
                if not self.evidence.is_replay:
                    self.judge_answers(n, webhook)
                self.judge_archive(n, webhook)
                self.judge_fate(n, webhook)
        for key, due in self.due.items():
            self.judge_event(key, due)
        self.judge_effects()
        self.judge_strangers()
        self.judge_dead()
        # The archive's objects overlap, and poison is in no archive.
        if not self.evidence.is_replay:
            self.judge_order()
            self.judge_poison()
        self.judge_leaks()
        return self.anomalies

    def note(self, kind: str, what: str, webhook: int | None = None, event: Key | None = None) -> None:
        self.anomalies.append(Anomaly(kind, what, webhook, event, self.evidence.is_replay))

    # The journal.

    def tries(self, n: int) -> list[dict[str, Any]]:
        return [line for line in self.evidence.journal.get(n, []) if line["j"] == "try"]

    def answers(self, n: int) -> list[dict[str, Any]]:
        return [line for line in self.evidence.journal.get(n, []) if line["j"] == "answer"]

    def acknowledgements(self, n: int) -> list[dict[str, Any]]:
        return [line for line in self.answers(n) if 200 <= line["status"] < 300 or (line["status"] == 409 and line["said"] == DUPLICATE)]

    def acknowledged(self) -> list[int]:
        """The webhooks that may have an effect and were acknowledged."""
        return [n for n, webhook in self.evidence.webhooks.items() if webhook["right"]["fate"] != "refused" and self.acknowledgements(n)]

    # What is due.

    def expect(self) -> None:
        for n, webhook in self.evidence.webhooks.items():
            right = webhook["right"]
            is_effect = right["fate"] == "effect"
            # Who contradicts a webhook that was not acknowledged before may be the first; so may who is not compared with it.
            is_first = right["fate"] == "conflict" and not self.contradicts(n, webhook)
            if not self.tries(n) or not (is_effect or is_first):
                continue
            for event in right.get("events", []):
                for sha256 in {line["sha256"] for line in self.tries(n)}:
                    readings = list(self.readings(event, sha256))
                    for reading in readings:
                        due = self.due.setdefault((webhook["endpoint"], reading["id"]), Due([], []))
                        due.readings.append({**reading, "alone": len(readings) == 1})
                        self.aliases[webhook["endpoint"], reading.get("transaction") or ""].update(reading.get("aliases", []))
                        due.webhooks.append(n)

    def readings(self, event: dict[str, Any], sha256: str) -> Iterable[dict[str, Any]]:
        yield {**event, "id": event["id"].replace("{sha256}", sha256)}
        if event.get("or"):
            yield from self.readings(event["or"], sha256)

    def comes_after(self, n: int, webhook: dict[str, Any]) -> bool:
        """Whether the webhook that it contradicts or repeats was acknowledged before it was sent."""
        acknowledged = [moment(line["at"]) for line in self.acknowledgements(webhook["after"])]
        return bool(acknowledged) and min(acknowledged) < min(moment(line["at"]) for line in self.tries(n))

    def contradicts(self, n: int, webhook: dict[str, Any]) -> bool:
        """Whether the one that came first was acknowledged before, and both were read in one way: facts that were read in two are
        not compared (docs/SEMANTICS.md, 3.3)."""
        lines = self.tries(n) + self.answers(n) + self.tries(webhook["after"]) + self.answers(webhook["after"])
        canary = [one["at"] for one in self.evidence.moments if one.get("operation") in CANARY]
        is_read_otherwise = bool(canary) and any(min(canary) <= moment(line["at"]).timestamp() <= max(canary) + CHANGING for line in lines)
        return self.comes_after(n, webhook) and not is_read_otherwise

    # A webhook.

    def judge_answers(self, n: int, webhook: dict[str, Any]) -> None:
        right = webhook["right"]
        for answer in self.answers(n):
            status = answer["status"]
            if status == 429 or status >= 500:
                continue
            if right["fate"] == "refused":
                if status < 300:
                    self.note("forged accepted", f"{webhook['class']}: answered {status} ({answer['said']})", n)
                elif status not in right["statuses"]:
                    self.note("altered", f"{webhook['class']}: answered {status}, where {right['statuses']} was right", n)
            elif status not in right["statuses"] and not self.may_be(answer, webhook):
                self.note("lost", f"{webhook['class']}: answered {status} ({answer['said']}), where {right['statuses']} was right", n)

    def may_be(self, answer: dict[str, Any], webhook: dict[str, Any]) -> bool:
        """Whether an answer that is not the usual one is right all the same."""
        if answer["said"] == DUPLICATE:
            # Of its own try before.
            return answer["attempt"] > 1
        # A new key may be refused where the store of keys gave out the one before it.
        at = moment(answer["at"]).timestamp()
        rotations = [one for one in self.evidence.moments if one.get("operation") == "rotate"]
        rotated = [one["at"] for one in rotations if one["endpoint"] == webhook["endpoint"]]
        stale = [moment(fault["at"]).timestamp() for fault in self.evidence.faults if fault["kind"] == "stale"]
        return answer["status"] == 401 and any(began < at for began in rotated) and any(at - REREAD < began < at for began in stale)

    def judge_archive(self, n: int, webhook: dict[str, Any]) -> None:
        sent = {(line["copy"], line["attempt"]): line["sha256"] for line in self.tries(n)}
        for answer in self.acknowledgements(n):
            rows = self.rows.get(answer["webhook_id"] or "", [])
            # Of two deliveries of one event a replay brings the first alone.
            is_due = answer["said"] == ACCEPTED and webhook["right"]["fate"] == "effect" and not self.evidence.is_replay
            if not rows and is_due:
                self.note("lost", f"{webhook['class']}: {answer['webhook_id']} was accepted and is not in the archive", n)
            for row in rows:
                if row["sha256"] != sent[answer["copy"], answer["attempt"]]:
                    self.note("altered", f"{answer['webhook_id']}: the archive has other bytes than were sent", n)

    def judge_fate(self, n: int, webhook: dict[str, Any]) -> None:
        fate = webhook["right"]["fate"]
        reason = {"conflict": "conflicting_facts", "too_old": "too_old_to_tell"}.get(fate)
        accepted = [line for line in self.acknowledgements(n) if line["said"] == ACCEPTED or fate == "conflict"]
        if not reason or not accepted or (fate == "conflict" and not self.contradicts(n, webhook)):
            return
        reasons = {self.dead[line["webhook_id"]]["reason"] for line in accepted if line["webhook_id"] in self.dead}
        if reasons != {reason}:
            self.note("lost", f"{webhook['class']}: it is set aside as {reasons or 'nothing'}, where {reason} was right", n)

    # An event.

    def judge_event(self, key: Key, due: Due) -> None:
        is_acknowledged = any(self.acknowledgements(n) for n in due.webhooks)
        has_traces = bool(self.bus[key] or self.records[key])
        if not is_acknowledged and not has_traces:
            return
        if not has_traces and not any(reading["alone"] for reading in due.readings):
            # Another reading of it took effect, which is judged as the event that it is.
            others = {self_key for self_key, other in self.due.items() if set(other.webhooks) & set(due.webhooks)}
            if any(self.bus[other] for other in others):
                return
        state = self.evidence.ledger.get("#".join(key), {}).get("state")
        if state != "processed":
            self.note("lost", f"the ledger says {state or 'nothing'}", event=key)
        # After a crash, an event whose link was learned meanwhile may be recorded under both ids (docs/SEMANTICS.md, 5.11).
        under = [self.transaction(key[0], due, record["event"]) for record in self.records[key]]
        stored = {record["event"]["transaction_id"] for record in self.records[key]}
        if len(set(under)) != 1 or len(stored) != len(under):
            kind = "effects twice" if under else "lost"
            self.note(kind, f"{len(under)} records among the transactions, under {sorted(stored)}", event=key)
        if not self.bus[key]:
            self.note("lost", "it is not on the bus", event=key)
        self.judge_facts(key, due)
        self.judge_routes(key, due)
        self.judge_decision(key, due)

    def judge_facts(self, key: Key, due: Due) -> None:
        copies = self.bus[key] + [record["event"] for record in self.records[key]]
        copies += [event for row in self.archived(due) for event in row["events"] if event["provider_event_id"] == key[1]]
        if len({event["id"] for event in copies}) > 1:
            self.note("effects twice", f"it has several ids: {sorted({event['id'] for event in copies})}", event=key)
        for event in copies:
            differences = [different(event, self.linked(key[0], reading, event)) for reading in due.readings]
            if all(differences):
                self.note("altered", f"{event['id']}: {min(differences, key=len)}", event=key)
                return
        facts = {json.dumps([self.transaction(key[0], due, event), *(event[name] for name in SHARED)]) for event in copies}
        if len(facts) > 1:
            self.note("altered", f"its copies differ: {sorted(facts)}", event=key)
        if not any(event["id"] == copy["id"] for row in self.archived(due) for event in row["events"] for copy in self.bus[key]):
            self.note("lost", "no row of the archive has it", event=key)

    def linked(self, endpoint: str, reading: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        """A reading whose transaction another event of the plan links to that of `event`, which names both
        (docs/SEMANTICS.md, 5.11)."""
        own, other = reading.get("transaction"), event["transaction_id"]
        is_linked = own in self.aliases.get((endpoint, other), ()) and own in event.get("transaction_aliases", ())
        return {**reading, "transaction": other} if is_linked else reading

    def transaction(self, endpoint: str, due: Due, event: dict[str, Any]) -> str:
        """The event's transaction, by the name that its link leads from."""
        is_linked = any(self.linked(endpoint, reading, event) is not reading for reading in due.readings)
        return due.readings[0]["transaction"] if is_linked else event["transaction_id"]

    def archived(self, due: Due) -> list[dict[str, Any]]:
        known = {line["webhook_id"] for n in due.webhooks for line in self.answers(n)} | {
            event["webhook_id"] for key in self.keys_of(due) for event in self.bus[key]}
        return [row for webhook_id in known for row in self.rows.get(webhook_id or "", [])]

    def keys_of(self, due: Due) -> list[Key]:
        return [(self.evidence.webhooks[n]["endpoint"], reading["id"]) for n in due.webhooks for reading in due.readings]

    def judge_routes(self, key: Key, due: Due) -> None:
        for event in self.bus[key][:1]:
            queue = QUEUES.get(event["category"])
            found = {name for name in CONSUMERS for one in self.evidence.consumers[name] if one["id"] == event["id"]}
            if event["restates"] is None and queue and found != {queue}:
                self.note("lost", f"{event['id']} is in the queues {sorted(found)}, and not in {queue} alone", event=key)
            if event["restates"] and found:
                self.note("effects twice", f"{event['id']} restates another event, and is in the queues {sorted(found)}", event=key)
            is_planned = any(reading.get("effect") for reading in due.readings)
            if event["restates"] and not is_planned and not self.is_told_beside(key, due, event):
                self.note("lost", f"{event['id']} restates {event['restates']}, and tells another effect", event=key)

    def judge_decision(self, key: Key, due: Due) -> None:
        """What the check of payments of high value decided, and whom it told (docs/SEMANTICS.md, 9.7 and 10)."""
        is_suspicious = any(reading.get("is_flagged") for reading in due.readings)
        items = [one for copy in self.bus[key] for one in self.evidence.decisions.get(copy["id"], ())]
        decisions = {one["fraud_decision"] for one in items}
        flagged = self.bus[key[0], f"{key[1]}:flagged"]
        # The workflow could not go on with it, and operators can start it again.
        is_dead = any(one["id"] in letter["body"] for letter in self.evidence.dead for one in self.bus[key])
        if not is_suspicious:
            # How many payments of one customer come at a time is the seed's doing.
            is_many = any("velocity" in reason for one in items for reason in one["fraud_reasons"])
            if not is_many and (decisions - {"approve"} or flagged):
                self.note("altered", f"it is suspected: {decisions}, {len(flagged)} times flagged", event=key)
            return
        if is_dead:
            return
        if decisions != {"review"}:
            self.note("lost", f"the decision on it is {decisions or 'missing'}", event=key)
        ids = {one["id"] for one in flagged}
        if len(ids) != 1:
            self.note("effects twice" if ids else "lost", f"it is flagged by {len(ids)} events", event=key)
            return
        told = {(alert["alert"], alert["id"]) for alert in self.evidence.alerts}
        for due_alert in [("flagged", *ids), *(("high_value", one["id"]) for one in self.bus[key][:1])]:
            if due_alert not in told:
                self.note("lost", f"nobody was told: {due_alert}", event=key)
        for one in flagged:
            if one["type"] != "payment.flagged" or one["transaction_id"] != self.bus[key][0]["transaction_id"]:
                self.note("altered", f"{one['id']} flags another payment", event=key)

    def is_told_beside(self, key: Key, due: Due, event: dict[str, Any]) -> bool:
        """Whether another event of the same delivery has the effect that it restates."""
        beside = {other for other, one in self.due.items() if other != key and set(one.webhooks) & set(due.webhooks)}
        return any(event["restates"] == one["id"] for other in beside for one in self.bus[other])

    # An effect.

    def judge_effects(self) -> None:
        by_id: dict[str, set[str]] = defaultdict(set)
        for name in CONSUMERS:
            for event in self.evidence.consumers[name]:
                by_id[event["effect_id"]].add(event["id"])
        for effect, ids in by_id.items():
            if len(ids) > 1:
                self.note("effects twice", f"{effect} is at a consumer by {sorted(ids)}")
        planned: dict[str, set[Key]] = defaultdict(set)
        for key, due in self.due.items():
            for reading in due.readings:
                if reading.get("effect"):
                    planned[reading["effect"]].add(key)
        for name, keys in planned.items():
            told = {event["id"]: event for key in keys for event in self.bus[key]}
            firsts = [event["id"] for event in told.values() if event["restates"] is None]
            if told and (len(firsts) != 1 or any(event["restates"] not in (None, *firsts) for event in told.values())):
                self.note("effects twice" if len(firsts) > 1 else "lost", f"{name}: of {sorted(told)} the first are {firsts}")
            if len({event["effect_id"] for event in told.values()}) > 1:
                self.note("effects twice", f"{name}: its events have several effects")

    def judge_order(self) -> None:
        """A payment's events at an ordered endpoint, of which the second was sent when the first was acknowledged. What is set aside
        holds its payment's queue up no longer."""
        for n, webhook in self.evidence.webhooks.items():
            if webhook["class"] != "in order" or not self.tries(n) or not self.comes_after(n, webhook):
                continue
            first = self.evidence.webhooks[webhook["after"]]
            is_aside = any(answer["webhook_id"] in self.aside for answer in self.answers(first["n"]))
            [before, after] = ([event["_at"] for told in one["right"]["events"] for event in self.bus[one["endpoint"], told["id"]]]
                               for one in (first, webhook))
            if before and after and not is_aside and min(after) + TIE < min(before):
                self.note("altered", f"it is on the bus {min(before) - min(after):.0f} s before what came before it", n)

    # What nobody planned.

    def judge_strangers(self) -> None:
        for key in {*self.bus, *self.records} - set(self.due):
            # It is an event of ours about one of theirs, with which it is judged.
            flags = all(event["type"] == "payment.flagged" for event in self.bus.get(key, [])) and not self.records.get(key)
            if flags and (key[0], key[1].removesuffix(":flagged")) in self.due:
                continue
            self.note("forged accepted", "an event that no webhook of the plan may have made", event=key)
        sent = {line["sha256"] for lines in self.evidence.journal.values() for line in lines if line["j"] == "try"}
        for row in self.evidence.archive:
            # An unread message is archived as it was found in a queue.
            if row["endpoint"] and row["sha256"] not in sent:
                self.note("forged accepted", f"{row['webhook_id']} is in the archive, and nobody sent it")

    def judge_poison(self) -> None:
        """Each is set aside for what it is, once."""
        found = Counter((letter["body"], letter["reason"]) for letter in self.evidence.dead)
        for body in (one["poison"] for one in self.evidence.moments if "poison" in one):
            if found[body, "not_an_intake_message"] < 1:
                self.note("lost", f"{body}: it is not among the dead letters, as no message of ours")

    def judge_dead(self) -> None:
        """The validator alone sends messages of ours, so that none is strange to the ledger; nor was one that was redriven since."""
        aside = {(letter["webhook_id"], letter["reason"]) for letter in self.dead.values()}
        aside |= {(row["webhook_id"], row.get("reason")) for row in self.evidence.archive}
        for webhook_id, reason in sorted(aside, key=str):
            if reason in ("unclaimed", "altered"):
                self.note("lost", f"{webhook_id} was set aside as {reason}")

    def judge_leaks(self) -> None:
        wanted = [("planted", text) for text in self.evidence.plan["planted"]]
        wanted += [(f"key of {name}", key) for name, key in self.evidence.secrets()]
        for place, text in self.evidence.texts():
            for what, needle in wanted:
                # As it is, and as JSON in a text of JSON has it.
                if needle in text or json.dumps(needle)[1:-1] in text:
                    # A key is not repeated here.
                    self.note("leaked", f"{what if what != 'planted' else repr(needle)} stands in {place}")

    def counts(self) -> dict[str, int]:
        found = Counter(anomaly.kind for anomaly in self.anomalies)
        return {kind: found[kind] for kind in KINDS}


def moment(text: str) -> datetime:
    # Nanoseconds are more than datetime holds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))


def written(amount: dict[str, Any] | None) -> str:
    """An amount as the plan writes it."""
    if amount is None:
        return "-"
    if amount["value"] is None:
        return f"{amount['minor_units']} minor units of {amount['currency']}"
    return f"{amount['value']} {amount['currency']}"


def different(event: dict[str, Any], reading: dict[str, Any]) -> list[str]:
    """What an event says otherwise than a reading of it."""
    found = [f"{name} {event[name]!r}, and not {reading[name]!r}" for name in ("type",) if event[name] != reading[name]]
    if written(event["amount"]) != reading["amount"]:
        found.append(f"amount {written(event['amount'])}, and not {reading['amount']}")
    for name in ("transaction", "movement"):
        if reading.get(name) and event[f"{name}_id"] != reading[name]:
            found.append(f"{name} {event[f'{name}_id']}, and not {reading[name]}")
    if reading.get("occurred_at") and moment(event["occurred_at"]) != moment(reading["occurred_at"]):
        found.append(f"at {event['occurred_at']}, and not {reading['occurred_at']}")
    return found
