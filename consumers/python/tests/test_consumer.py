"""Consuming: the shared cases, batches, Powertools, concurrency."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, SqsFifoPartialProcessor, process_partial_response
from conftest import SCENARIOS, Json, text

from tollgate_events import Consumer, MemoryStore, NotYet, Outcome, PaymentEvent, Result, Store, Stored

NewStore = Callable[[], Store]


class Mortal:
    """A store whose process can die: no call reaches the database any more."""

    def __init__(self, store: Store) -> None:
        self._store, self.is_dead = store, False

    def load(self, key: str) -> Stored | None:
        self._check()
        return self._store.load(key)

    def save(self, key: str, row: str, expected: int) -> bool:
        self._check()
        return self._store.save(key, row, expected)

    def _check(self) -> None:
        if self.is_dead:
            raise ConnectionError("dead")


@pytest.mark.parametrize("case", SCENARIOS["cases"], ids=lambda case: case["name"])
def test_every_case(case: Json, new_store: NewStore) -> None:
    shared, now = new_store(), 0.0

    def take(step: Json) -> None:
        nonlocal now
        now = step.get("now", now)
        store, done = Mortal(shared), []

        def handle(event: PaymentEvent) -> None:
            done.append(event.id)
            for inner in step.get("during", ()):
                take(inner)
            match step.get("handler", "ok"):
                case "not_yet":
                    raise NotYet
                case "fail":
                    raise RuntimeError("no")
                case "crash":
                    store.is_dead = True

        result = Consumer(handle, store, clock=lambda: now).consume(text(**step.get("event", {})), step.get("receives", 1))
        assert result.outcome == step["outcome"], (step, result)
        assert bool(done) == (step["outcome"] in ("handled", "failed", "not_yet", "gave_up"))

    for step in case["steps"]:
        take(step)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_write_whose_answer_was_lost_is_known(lost: int) -> None:
    """An SDK sends such a write again, and is told that the condition does not hold."""

    class Forgetful(MemoryStore):
        saves = 0

        def save(self, key: str, text: str, expected: int) -> bool:
            self.saves += 1
            return super().save(key, text, expected) and self.saves != lost

    store = Forgetful()
    assert Consumer(print, store).consume(text()).outcome == Outcome.HANDLED
    assert Consumer(print, store).consume(text()).outcome == Outcome.REPEAT


def test_a_hundred_tellings_at_once_are_one_effect(new_store: NewStore) -> None:
    store, handled, together = new_store(), Counter[str](), threading.Barrier(8)
    consumer = Consumer(lambda event: handled.update([event.effect_id]), store)

    def deliver(worker: int) -> None:
        together.wait()
        for number in range(worker, 100, 8):
            while not consumer.consume(text(id=number + 1)).is_done:
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver, range(8)))
    assert list(handled.values()) == [1]


def sqs(*bodies: str, arn: str = "arn:aws:sqs:eu-west-1:123456789012:payments", groups: str = "") -> Json:
    """A Lambda event; `groups` has a letter for each message."""
    records = [{"messageId": f"m{index}", "receiptHandle": "r", "body": body, "eventSource": "aws:sqs", "eventSourceARN": arn,
                "awsRegion": "eu-west-1", "messageAttributes": {}, "md5OfBody": "",
                "attributes": {"ApproximateReceiveCount": "1", **({"MessageGroupId": groups[index]} if groups else {})}}
               for index, body in enumerate(bodies)]
    return {"Records": records}


def failing(*wrong: int) -> Consumer:
    """A consumer whose handler fails for the events of these numbers."""
    ids = {f"evt_{number:032x}" for number in wrong}

    def handle(event: PaymentEvent) -> None:
        if event.id in ids:
            raise RuntimeError("no")

    return Consumer(handle, MemoryStore())


def numbered(*numbers: int) -> list[str]:
    """Events of a movement each."""
    return [text(id=number, effect_id=number, movement_id=f"pi_{number}") for number in numbers]


def failures(response: Any) -> list[str]:
    return [one["itemIdentifier"] for one in response["batchItemFailures"]]


def test_the_failed_messages_of_a_batch_come_back() -> None:
    assert failures(failing(2).batch(sqs(*numbered(1, 2, 3), "{}"))) == ["m1", "m3"]
    assert failures(failing().batch(sqs())) == []


def test_a_fifo_group_ends_at_its_first_failure_and_no_other_does() -> None:
    fifo = sqs(*numbered(1, 2, 3, 4, 5), arn="arn:aws:sqs:eu-west-1:123456789012:payments.fifo", groups="abaab")
    assert failures(failing(1).batch(fifo)) == ["m0", "m2", "m3"]
    standard = sqs(*numbered(1, 2, 3), groups="aaa")
    assert failures(failing(1).batch(standard)) == ["m0"], "groups of a standard queue do not order it"


def test_a_message_without_id_fails_the_batch() -> None:
    event = sqs("{}")
    event["Records"][0]["messageId"] = ""
    with pytest.raises(ValueError, match="messageId"):
        failing().batch(event)


def test_powertools_batch_processor_takes_the_consumer() -> None:
    response = process_partial_response(event=sqs(*numbered(1, 2, 3), "{}", *numbered(1)), record_handler=failing(2).record,
                                        processor=BatchProcessor(event_type=EventType.SQS))
    assert failures(response) == ["m1", "m3"]


def test_powertools_fifo_processor_takes_the_consumer() -> None:
    fifo = sqs(*numbered(1, 2, 3, 4, 5), arn="arn:aws:sqs:eu-west-1:123456789012:payments.fifo", groups="abaab")
    response = process_partial_response(event=fifo, record_handler=failing(1).record,
                                        processor=SqsFifoPartialProcessor(skip_group_on_error=True))
    assert failures(response) == ["m0", "m2", "m3"]


def test_results_are_reported_and_wait_counts_the_receives() -> None:
    results: list[Result] = []

    def handle(_: PaymentEvent) -> None:
        raise NotYet

    consumer = Consumer(handle, MemoryStore(), report=results.append)
    event = sqs(text())
    for receives in ("1", "3", None):
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = receives
        assert failures(consumer.batch(event)) == ["m0"]
    consumer.batch(sqs(json.dumps({"schema": "other"})))
    assert [result.outcome for result in results] == ["not_yet", "gave_up", "not_yet", "refused"]
    assert results[0].event is not None and results[3].event is None and results[3].error is not None
