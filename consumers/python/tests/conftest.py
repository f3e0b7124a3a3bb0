"""What the tests share: the cases of consumers/, and stores of each kind."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tollgate_events import MemoryStore, Store
from tollgate_events.dynamodb import DynamoDBStore

CONSUMERS = Path(__file__).resolve().parents[2]
SCENARIOS: dict[str, Any] = json.loads((CONSUMERS / "scenarios.json").read_text())
# Each line an event, written by `cargo run -p tollgate-testkit --example sample-events`.
SAMPLES = (CONSUMERS / "events.jsonl").read_text().splitlines()

Json = dict[str, Any]


def event(**fields: Any) -> Json:
    """The scenarios' event with these fields instead of its own. A number of an id is written out."""
    made = {**SCENARIOS["base"], **fields}
    for name, prefix in (("id", "evt"), ("effect_id", "eff"), ("restates", "evt")):
        if isinstance(made[name], int):
            made[name] = f"{prefix}_{made[name]:032x}"
    return made


def text(**fields: Any) -> str:
    return json.dumps(event(**fields))


def dynamodb_client() -> Any:
    """Of the local AWS peer that scripts/check/consumers starts. In CI its absence is a failure."""
    endpoint = os.environ.get("TOLLGATE_AWS_ENDPOINT")
    if not endpoint:
        if os.environ.get("CI"):
            pytest.fail("TOLLGATE_AWS_ENDPOINT is not set: run scripts/check/consumers")
        pytest.skip("no local AWS peer: scripts/check/consumers starts one")
    return boto3.client("dynamodb", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test",
                        aws_secret_access_key="test")


@pytest.fixture(scope="session")
def table() -> Iterator[tuple[Any, str]]:
    client, name = dynamodb_client(), f"consumed-{uuid.uuid4().hex}"
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST",
                        AttributeDefinitions=[{"AttributeName": "movement", "AttributeType": "S"}],
                        KeySchema=[{"AttributeName": "movement", "KeyType": "HASH"}])
    client.get_waiter("table_exists").wait(TableName=name)
    yield client, name
    client.delete_table(TableName=name)


class Prefixed:
    """A store of its own within a table."""

    def __init__(self, store: Store) -> None:
        self._store, self._prefix = store, uuid.uuid4().hex

    def load(self, key: str) -> Any:
        return self._store.load(self._prefix + key)

    def save(self, key: str, row: str, expected: int) -> bool:
        return self._store.save(self._prefix + key, row, expected)


@pytest.fixture(params=["memory", "dynamodb"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "memory":
        return MemoryStore
    client, name = request.getfixturevalue("table")
    return lambda: Prefixed(DynamoDBStore(client, name))
