"""The local AWS peer, as the campaign and its referee see it: by its own protocols, with no SDK and no code of the product."""

import json
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from machine import REGION

# What each service's JSON protocol calls it (X-Amz-Target), and the version of its content type.
TARGETS = {"sqs": ("AmazonSQS", "1.0"), "dynamodb": ("DynamoDB_20120810", "1.0"), "events": ("AWSEvents", "1.1"),
           "secretsmanager": ("secretsmanager", "1.1"), "states": ("AWSStepFunctions", "1.0")}
S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Peer:
    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, service: str, operation: str, **arguments: object) -> dict[str, Any]:
        target, version = TARGETS[service]
        headers = {"X-Amz-Target": f"{target}.{operation}", "Content-Type": f"application/x-amz-json-{version}"}
        return json.loads(self.request("POST", "/", service, json.dumps(arguments).encode(), headers) or "{}")

    def request(self, method: str, path: str, service: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        # The peer reads the region of it, and checks no signature.
        scope = f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        request = urllib.request.Request(self.url + path, body, {"Authorization": scope, **(headers or {})}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def scan(self, table: str) -> Iterator[dict[str, Any]]:
        """Every item, in DynamoDB's own form."""
        start: dict[str, Any] = {}
        while True:
            page = self.call("dynamodb", "Scan", TableName=table, ConsistentRead=True, **start)
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def waiting(self, queue: str) -> int:
        """Messages in a queue, those that somebody works on included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        found = self.call("sqs", "GetQueueAttributes", QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(found.get(name, 0)) for name in names)

    def take(self, queue: str, keep: bool = False) -> list[dict[str, Any]]:
        """Up to ten messages; they are gone from the queue, unless they are kept."""
        messages = self.call("sqs", "ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0,
                             MessageAttributeNames=["All"], AttributeNames=["All"]).get("Messages", [])
        if messages and not keep:
            entries = [{"Id": str(index), "ReceiptHandle": one["ReceiptHandle"]} for index, one in enumerate(messages)]
            failed = self.call("sqs", "DeleteMessageBatch", QueueUrl=queue, Entries=entries).get("Failed")
            if failed:
                raise RuntimeError(f"{queue}: {failed}")
        return messages

    def peek(self, queue: str) -> list[dict[str, Any]]:
        """Every message of a queue, without receiving it."""
        found = json.loads(self.request("GET", f"/_ministack/sqs/messages?QueueUrl={quote(queue)}", "sqs"))
        regions = [regions for account in found["messages"].values() for regions in account.values()]
        return [message for queues in regions for messages in queues.values() for message in messages]

    def keys(self, bucket: str) -> list[str]:
        keys, more = [], ""
        while True:
            page = ET.fromstring(self.request("GET", f"/{bucket}?list-type=2{more}", "s3"))
            keys += [one.findtext(f"{S3}Key", "") for one in page.iter(f"{S3}Contents")]
            token = page.findtext(f"{S3}NextContinuationToken")
            if not token:
                return keys
            more = f"&continuation-token={quote(token, safe='')}"

    def read(self, bucket: str, key: str) -> bytes:
        return self.request("GET", f"/{bucket}/{quote(key)}", "s3")
