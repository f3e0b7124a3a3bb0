"""The processor's work with Powertools for AWS Lambda (Python): BatchProcessor, a handler called for each record.

    rival.py FILE     told what to do on stdin, one line each: `go N`, `dump FILE` (as benches/src/bin/race.rs)
"""

import datetime
import hashlib
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

UTC = datetime.UTC
EPOCH = datetime.datetime.fromtimestamp(0, UTC)
MILLISECOND = datetime.timedelta(milliseconds=1)
MAX_MESSAGE_BYTES = 1_048_576
EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "ISK": 0, "KWD": 3, "BHD": 3, "JOD": 3, "OMR": 3, "TND": 3}
# Medium from, high above, in major units.
DEFAULT_LIMITS = (Decimal(1_000), Decimal(10_000))
LIMITS = {"KWD": (Decimal(300), Decimal(3_000)), "SEK": (Decimal(10_000), Decimal(100_000)),
          "DKK": (Decimal(10_000), Decimal(100_000)), "NOK": (Decimal(10_000), Decimal(100_000)),
          "JPY": (Decimal(100_000), Decimal(1_000_000)), "INR": (Decimal(100_000), Decimal(1_000_000))}
# Type, category and rank: how far a transaction is.
KINDS = {
    "charge.succeeded": ("payment.succeeded", "payment", 16),
    "charge.refunded": ("refund.succeeded", "refund", 32),
    "charge.dispute.created": ("dispute.opened", "dispute", 41),
}
CLAIM = ("""INSERT INTO "events" VALUE """
         "{'event_key': ?, 'event_id': ?, 'webhook_id': ?, 'claimed_at': ?, 'expires_at': ?}")
MARK = """UPDATE "events" SET "state" = 'processed' SET webhook_id = ? WHERE event_key = ?"""
CLAIMED_FOR = datetime.timedelta(days=90)
# What the clock says.
NOW = datetime.datetime(2026, 1, 15, 12, 1, tzinfo=UTC)

processor = BatchProcessor(event_type=EventType.SQS)
works = []


def dumps(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def kind_of(event_type, subject):
    if event_type == "charge.succeeded" and subject.get("captured") is False:
        return "payment.authorized", "payment", 14
    if event_type == "charge.dispute.created" and (subject.get("status") or "").startswith("warning_"):
        return "dispute.warning", "dispute", 40
    return KINDS[event_type]


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def tier_of(amount, currency):
    medium, high = LIMITS.get(currency, DEFAULT_LIMITS)
    amount = abs(amount)
    return "high" if amount > high else "medium" if amount >= medium else "low"


def present(**fields):
    return {name: value for name, value in fields.items() if value is not None}


def record_handler(record: SQSRecord):
    attributes = record.message_attributes

    def attribute(name):
        return attributes[name].string_value

    if attribute("encoding") != "text":
        raise ValueError("encoding")
    body = json.loads(record.body, parse_float=Decimal)
    notes = json.loads(attribute("receipt"))
    request = json.loads(attribute("request"))
    endpoint, provider, webhook_id = attribute("endpoint"), attribute("provider"), attribute("webhook_id")
    received_text = attribute("received_at")
    received_at = datetime.datetime.fromisoformat(received_text)
    subject = body["data"]["object"]
    event_id, event_type = body["id"], body["type"]
    kind, category, rank = kind_of(event_type, subject)
    units = subject["amount"]
    if category == "refund":
        units = subject["amount_refunded"] - body["data"]["previous_attributes"]["amount_refunded"]
    currency = subject["currency"].upper()
    exponent = EXPONENTS.get(currency, 2)
    amount = Decimal(units).scaleb(-exponent)
    transaction_id = subject.get("payment_intent") or subject.get("charge") or subject["id"]
    occurred_at = datetime.datetime.fromtimestamp(body["created"], UTC).strftime("%Y-%m-%dT%H:%M:%S")
    key = f"{endpoint}#{event_id}"
    movement_id = transaction_id
    if category == "refund":
        movement_id = f"{subject['id']}:refunded:{subject['amount_refunded']}"
    elif category == "dispute":
        movement_id = subject["id"]
    occurrence = str(units) if kind == "payment.authorized" else ""
    effect = f"{endpoint}#{kind}#{len(movement_id.encode())}:{movement_id}#{occurrence}"
    details = subject.get("payment_method_details") or {}
    card = details.get("card") or {}
    address = (subject.get("billing_details") or {}).get("address") or {}
    event = {
        "schema": "tollgate.payment-event/1",
        "id": "evt_" + short_hash(key),
        "type": kind,
        "category": category,
        "endpoint": endpoint,
        "provider": provider,
        "provider_event_id": event_id,
        "provider_event_type": event_type,
        "webhook_id": webhook_id,
        "authenticity": notes["authenticity"],
        "transaction_id": transaction_id,
        "movement_id": movement_id,
        "effect_id": "eff_" + short_hash(effect),
        "restates": None,
        "amount": {"minor_units": units, "currency": currency, "exponent": exponent, "value": str(amount)},
        "occurred_at": occurred_at + "Z",
        "received_at": received_text,
        "superseded": False,
        "risk_tier": tier_of(amount, currency),
        "customer": present(id=subject.get("customer"), country=address.get("country")),
        "method": present(type=details.get("type"), brand=card.get("brand"), country=card.get("country")),
        "livemode": body["livemode"],
    }
    score = (subject.get("outcome") or {}).get("risk_score")
    if score is not None:
        event["provider_risk_score"] = score
    if subject.get("metadata"):
        event["metadata"] = subject["metadata"]
    row = {
        "webhook_id": webhook_id,
        "received_at": received_text,
        "source_ip": attribute("source_ip"),
        "request": request,
        "encoding": "text",
        "body": record.body,
        "receipt": {
            "body_sha256": notes["body_sha256"],
            "endpoint": endpoint,
            "provider": provider,
            "authenticity": notes["authenticity"],
            "key_id": attribute("key_id"),
            "signed_at": notes.get("signed_at"),
            "verified_at": received_text,
        },
        "events": [event],
        "outcome": "processed",
    }
    works.append((key, f"{endpoint}#{transaction_id}", (occurred_at, rank), received_at, event, row))


def handle(payload):
    event = json.loads(payload)
    works.clear()
    response = process_partial_response(event=event, record_handler=record_handler, processor=processor, context=None)
    newest = {}
    claimed_at = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    expires_at = str((NOW + CLAIMED_FOR - EPOCH) // datetime.timedelta(seconds=1))
    claims = []
    for _, transaction, position, _, event, _ in works:
        if transaction not in newest or newest[transaction] < position:
            newest[transaction] = position
        claims.append({
            "Statement": CLAIM,
            "Parameters": [
                {"S": "effect:" + event["effect_id"]},
                {"S": event["id"]},
                {"S": event["webhook_id"]},
                {"S": claimed_at},
                {"N": expires_at},
            ],
        })
    bus, transactions, ledger, archive, line_bytes = [], [], [], [], 0
    for key, transaction, position, received_at, event, row in works:
        event["superseded"] = position < newest[transaction]
        detail = dumps(event)
        is_payment, customer = event["category"] == "payment", event["customer"].get("id")
        occurred_at, rank = position
        item = {
            "transaction_id": {"S": transaction},
            "sort_key": {"S": f"{0 if is_payment else 1}#{occurred_at}.000000000Z#{rank}#{event['id']}"},
            "event": {"S": detail},
        }
        if is_payment and customer is not None:
            item["customer_key"] = {"S": f"{event['endpoint']}#{customer}"}
            item["occurred_at"] = {"S": occurred_at + ".000000000Z"}
        transactions.append(item)
        if not event["superseded"]:
            transactions.append({
                "transaction_id": {"S": transaction},
                "sort_key": {"S": "latest"},
                "latest_at": {"S": event["occurred_at"]},
                "type": {"S": event["type"]},
                "event_id": {"S": event["id"]},
            })
        ledger.append({"Statement": MARK, "Parameters": [{"S": event["webhook_id"]}, {"S": key}]})
        bus.append({
            "EventBusName": "payment-events-live",
            "Source": "tollgate",
            "DetailType": event["type"],
            "Detail": detail,
            "Time": received_at,
        })
        line = dumps(row)
        if "\ufffe" in line or "\uffff" in line:
            line = line.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
        size = len(line.encode())
        if archive and line_bytes + 1 + size <= MAX_MESSAGE_BYTES:
            archive[-1].append(line)
            line_bytes += 1 + size
        else:
            archive.append([line])
            line_bytes = size
    archive = ["\n".join(lines) for lines in archive]
    failures = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    return {"claims": claims, "bus": bus, "transactions": transactions, "ledger": ledger, "archive": archive,
            "failures": failures}


def main():
    payload = Path(sys.argv[1]).read_bytes()
    for line in sys.stdin:
        match line.split():
            case ["go", turns]:
                spent = []
                for _ in range(int(turns)):
                    began = time.perf_counter_ns()
                    outputs = handle(payload)
                    del outputs
                    spent.append(time.perf_counter_ns() - began)
                print(spent, flush=True)
            case ["dump", path]:
                outputs = handle(payload)
                for entry in outputs["bus"]:
                    entry["Time"] = (entry["Time"] - EPOCH) // MILLISECOND
                Path(path).write_text(json.dumps(outputs), encoding="utf-8")
                print("true", flush=True)


main()
