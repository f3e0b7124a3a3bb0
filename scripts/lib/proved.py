"""A platform of a campaign: what is done to it, and what is taken from it as evidence."""

import json
import secrets
import shutil
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from build import BINARIES
from machine import CREDENTIALS, ROOT, Failure, base_environment, say
from peer import Peer

# How long the queues may take to be empty, in seconds: some visibility timeouts and a dead letter's way.
PATIENCE = 300
# How often dead letters go back until no other one is to be allowed.
ROUNDS = 3
# What comes to rest last: the queues that functions of ours read.
OWN = ("IntakeQueueUrl", "IntakeOrderedQueueUrl", "ArchiveQueueUrl")
CONSUMERS = {"payments": "PaymentsQueueUrl", "refunds": "RefundsQueueUrl", "disputes": "DisputesQueueUrl", "alerts": "AlertsTapQueueUrl"}
DEAD = {"webhook-intake-dlq": "IntakeDlqUrl", "webhook-intake-ordered-dlq": "IntakeOrderedDlqUrl", "archive-queue-dlq": "ArchiveDlqUrl",
        "payments-queue-dlq": "PaymentsDlqUrl", "refunds-queue-dlq": "RefundsDlqUrl", "disputes-queue-dlq": "DisputesDlqUrl",
        "eventbridge-dlq": "EventBridgeDlqUrl", "transaction-workflow-dlq": "WorkflowDlqUrl"}
# What nothing sends back.
ENDED = {"functions-dlq": "FunctionsDlqUrl"}
# The plan's class of webhooks that are set aside as too old, and that an operator lets take effect.
ALLOWED = "too old, and allowed"
# On AWS an entry of the bus whose delivery is refused is tried again for a day; this queue takes all.
TAP = "prove-bus-tap"


class Tap(threading.Thread):
    """Takes what arrives in a queue, all along, and writes it to a file: a queue of thousands is slow at the peer."""

    def __init__(self, peer: Peer, name: str, queue: str, file: Path, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.peer, self.queue, self.file, self.stop = peer, queue, file, stop
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            with self.file.open("a") as out:
                while True:
                    is_last = self.stop.is_set()
                    messages = self.peer.take(self.queue)
                    for message in messages:
                        out.write(json.dumps({"queue": self.name, "at": time.time(), "body": message["Body"]}) + "\n")
                    out.flush()
                    if not messages:
                        if is_last:
                            return
                        self.stop.wait(0.1)
        except Exception as problem:
            self.problem = problem


def asked(method: str, url: str, body: bytes | None = None) -> bytes:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as problem:
        raise Failure(f"{method} {url}: {problem.read().decode()}") from None


class Proved:
    """A platform with taps on its queues. Its evidence goes into a folder."""

    def __init__(self, file: Path, folder: Path) -> None:
        platform: dict[str, Any] = json.loads(file.read_text())
        self.platform, self.file, self.folder = platform, file, folder
        self.peer = Peer(platform["aws_endpoint"])
        self.outputs: dict[str, str] = platform["outputs"]
        self.environment = {**base_environment(), **CREDENTIALS, "TOLLGATE_PLATFORM": str(file)}
        # Faults beside the plan's.
        self.always: list[dict[str, Any]] = []
        self.stop = threading.Event()
        self.taps: list[Tap] = []

    def rules(self, rules: list[dict[str, Any]]) -> None:
        if url := self.platform.get("faults_url"):
            asked("PUT", f"{url}/rules", json.dumps([*rules, *self.always]).encode())

    def log(self, **what: object) -> None:
        with (self.folder / "moments.jsonl").open("a") as out:
            out.write(json.dumps({"at": time.time(), **what}) + "\n")

    def begun(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen([BINARIES / arguments[0], *arguments[1:]], env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def program(self, *arguments: str | Path) -> str:
        process = self.begun(*arguments)
        said, problem = process.communicate()
        if process.returncode:
            raise Failure(f"{' '.join(map(str, arguments[:2]))}: {problem.strip() or said.strip()}")
        return said

    def configure(self) -> None:
        """Applies the folder's endpoints, with its keys: where one was rotated, with the one before it, too."""
        for key in sorted((self.folder / "keys").iterdir()):
            name, old = f"tollgate/{self.platform['suffix']}/{key.name}", self.folder / "old-keys" / key.name
            values = [file.read_text() for file in (old, key) if file.exists()]
            self.peer.call("secretsmanager", "CreateSecret", Name=name, SecretString=values[0], ClientRequestToken=secrets.token_hex(16))
            for value in values[1:]:
                self.peer.call("secretsmanager", "PutSecretValue", SecretId=name, SecretString=value,
                               ClientRequestToken=secrets.token_hex(16))
        self.program("tollgate", "endpoints", "apply", "--new", self.folder / "endpoints.toml")

    def tap(self) -> None:
        queue = self.peer.call("sqs", "CreateQueue", QueueName=TAP)["QueueUrl"]
        arn = self.peer.call("sqs", "GetQueueAttributes", QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        bus = self.outputs["BusName"]
        self.peer.call("events", "PutRule", Name=TAP, EventBusName=bus, EventPattern=json.dumps({"source": [{"prefix": ""}]}))
        failed = self.peer.call("events", "PutTargets", Rule=TAP, EventBusName=bus, Targets=[{"Id": "tap", "Arn": arn}])
        if failed.get("FailedEntryCount"):
            raise Failure(f"the bus has no tap: {failed}")
        taps = {"bus": queue, **{name: self.outputs[output] for name, output in CONSUMERS.items()}}
        for name, url in taps.items():
            file = self.folder / ("bus.jsonl" if name == "bus" else f"{name}.jsonl")
            self.taps.append(Tap(self.peer, name, url, file, self.stop))
            self.taps[-1].start()

    def move_clocks(self, seconds: dict[str, int]) -> None:
        if folder := self.platform.get("clock_dir"):
            for name, apart in seconds.items():
                # In place: the functions have it in their memory.
                with (Path(folder) / name).open("r+b") as clock:
                    clock.write(struct.pack("=q", apart))
            self.log(operation="clocks", **seconds)

    def wait(self) -> None:
        """Until the queues are empty, and no workflow runs, at three looks in a row."""
        end, empty = time.monotonic() + PATIENCE, 0
        while empty < 3:
            left = {name: self.peer.waiting(self.outputs[name]) for name in OWN}
            # AWS lists none of an express workflow; the peer does.
            running = self.peer.call("states", "ListExecutions", stateMachineArn=self.outputs["WorkflowArn"], statusFilter="RUNNING")
            left["workflows"] = len(running["executions"])
            empty = 0 if any(left.values()) else empty + 1
            if time.monotonic() > end:
                say(f"out of patience: {left}")
                return
            time.sleep(1)

    def recover(self) -> None:
        """Dead letters go back. What could not be read before may be found too old only then."""
        self.allow()
        if self.redrive():
            self.wait()
        for _ in range(ROUNDS):
            if not self.allow():
                return
            self.redrive()
            self.wait()

    def allow(self) -> int:
        """Lets those take effect that are too old to tell and that the plan names. The redrive sends them back. How many."""
        lines = [line.get("webhook") or {} for line in self.plan_lines()]
        named = {(webhook["endpoint"], event["id"]) for webhook in lines if webhook.get("class") == ALLOWED
                 for event in webhook["right"]["events"]}
        asides = [json.loads(line) for line in self.program("tollgate", "allow", "--json").splitlines()]
        chosen = [aside["webhook_id"] for aside in asides if aside["is_claimed"]
                  and any((aside["endpoint"], event) in named for event in aside["event_ids"])]
        if chosen:
            say(f"{len(chosen)} webhooks that are too old to tell are allowed")
            self.log(operation="allow", webhooks=len(chosen))
            self.program("tollgate", "allow", *chosen, "--yes", "--reason", "the plan of the campaign")
        return len(chosen)

    def plan_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "plan.jsonl").read_text().splitlines()]

    def filled(self) -> dict[str, int]:
        """How many dead letters are in the queues that have any."""
        counts = {name: len(self.peer.peek(self.outputs[output])) for name, output in DEAD.items()}
        return {name: count for name, count in counts.items() if count}

    def redrive(self) -> int:
        """Sends every dead letter back, as an operator does once the cause is mended. What was set aside for what it is comes back.
        How many."""
        filled = self.filled()
        for name, count in filled.items():
            say(f"{count} dead letters of {name} are sent back")
            self.log(operation="redrive", queue=name, letters=count)
            self.program(*self.redriving(name, 500))
        return sum(filled.values())

    def redriving(self, name: str, rate: int) -> list[str]:
        return ["tollgate", "dlq", "redrive", "--queue", name, "--all", "--yes", "--reason", "the cause is mended", "--rate", str(rate),
                "--watch", "0"]

    def end(self) -> None:
        """Nothing is sent any more: what the taps have is all."""
        self.stop.set()
        for tap in self.taps:
            tap.join()
            if tap.problem:
                raise Failure(f"the tap of {tap.name}: {tap.problem}")
        self.gather()

    def write_ledger(self) -> None:
        self.write("ledger.jsonl", lambda: self.peer.scan(self.outputs["LedgerTable"]))

    def archive(self, folder: Path) -> str:
        """Each row of the archive as a line; its objects go into the folder."""
        bucket = self.outputs["AuditBucket"]
        for key in self.peer.keys(bucket):
            file = folder / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.peer.read(bucket, key))
        rows = subprocess.run([ROOT / "scripts/operate/read-archive", folder], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        return rows.stdout

    def gather(self) -> None:
        say("gathering the evidence")
        self.write("ledger-later.jsonl", lambda: self.peer.scan(self.outputs["LedgerTable"]))
        self.write("transactions.jsonl", lambda: self.peer.scan(self.outputs["TransactionsTable"]))
        dead = [{"queue": name, "body": one["Body"], "attributes": one.get("MessageAttributes") or {}}
                for name, output in (DEAD | ENDED).items() for one in self.peer.peek(self.outputs[output])]
        self.write("dead.jsonl", lambda: dead)
        (self.folder / "archive.jsonl").write_text(self.archive(self.folder / "archive"))
        if log := self.platform.get("faults_log"):
            shutil.copy(log, self.folder / "faults.jsonl")
            (self.folder / "calls.json").write_bytes(asked("GET", f"{self.platform['faults_url']}/calls"))
        # The runner writes them; they are read where they are.
        (self.folder / "logs.json").write_text(json.dumps({"folder": self.platform["log_dir"]}))

    def write(self, name: str, items: Callable[[], Any]) -> None:
        with (self.folder / name).open("w") as out:
            for item in items():
                out.write(json.dumps(item) + "\n")
