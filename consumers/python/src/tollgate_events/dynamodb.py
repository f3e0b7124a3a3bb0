"""Rows in a DynamoDB table with the partition key `movement` (a string) and TTL on `expires_at`."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from .store import Stored

DAY = 86_400


class Client(Protocol):
    """What is used of `boto3.client("dynamodb")`."""

    @property
    def exceptions(self) -> Any: ...

    def get_item(self, **request: Any) -> Any: ...

    def put_item(self, **request: Any) -> Any: ...


class DynamoDBStore:
    """One item for each movement. An event takes a consistent read and two writes, of a unit each up to 1 KB.

    `keep_days`: after that long without a change DynamoDB removes the item, and a repeat would be handled again.
    """

    def __init__(self, client: Client, table: str, *, keep_days: int = 400, clock: Callable[[], float] = time.time) -> None:
        self._client, self._table = client, table
        self._keep, self._clock = keep_days * DAY, clock

    def load(self, key: str) -> Stored | None:
        item = self._client.get_item(TableName=self._table, Key={"movement": {"S": key}}, ConsistentRead=True).get("Item")
        return Stored(item["row"]["S"], int(item["version"]["N"])) if item else None

    def save(self, key: str, text: str, expected: int) -> bool:
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(movement)"}
        if expected:
            condition = {"ConditionExpression": "#version = :expected", "ExpressionAttributeNames": {"#version": "version"},
                         "ExpressionAttributeValues": {":expected": {"N": str(expected)}}}
        item = {"movement": {"S": key}, "row": {"S": text}, "version": {"N": str(expected + 1)},
                "expires_at": {"N": str(int(self._clock()) + self._keep)}}
        try:
            self._client.put_item(TableName=self._table, Item=item, **condition)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
