"""A small CloudFormation that the real AWS CLI talks to, for states that the local peer never gets into: what AWS answers in
each state, and what it refuses. Beside it, of the other services, what the scripts ask them."""

from __future__ import annotations

import dataclasses
import http.server
import json
import threading
import urllib.parse
from collections.abc import Collection
from types import TracebackType
from typing import Any
from xml.sax.saxutils import escape

ACCOUNT, REGION = "111122223333", "us-east-1"
# In these a change set can be made (CloudFormation user guide, "Stack status codes").
UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
# AWS's own words, for example in https://github.com/ansible-collections/amazon.aws/issues/1655.
NON_TERMINAL = ("This stack is currently in a non-terminal [{}] state. To update the stack from this state, please use the "
                "disable-rollback parameter with update-stack API. To rollback to the last known good state, use the rollback-stack API")
# What becomes of what goes on; None is a stack that is gone.
AFTER = {
    "CREATE_IN_PROGRESS": "CREATE_COMPLETE", "ROLLBACK_IN_PROGRESS": "ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS": None,
    "UPDATE_IN_PROGRESS": "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE", "IMPORT_IN_PROGRESS": "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_IN_PROGRESS": "IMPORT_ROLLBACK_COMPLETE",
}


class Refusal(Exception):
    """What AWS answers instead."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclasses.dataclass
class StubStack:
    name: str
    status: str
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    protected: bool = False
    # Logical id: type and name.
    resources: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    # Without which a rollback fails again.
    stuck: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{self.name}/1"


class Stub:
    """One account. `calls` are those that changed something, in order. What is `also_deployed`, somebody else begins to make or to
    change just before the first change set of it would be executed."""

    def __init__(self, *stacks: StubStack, creation_fails: bool = False, also_deployed: Collection[str] = ()) -> None:
        self.stacks = {one.name: one for one in stacks}
        self.creation_fails, self.also_deployed = creation_fails, set(also_deployed)
        self.calls: list[str] = []
        self.protected_tables: set[str] = set()
        self.secrets: dict[str, bool] = {}
        self.change_set: dict[str, str] = {}
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                try:
                    status, kind, text = stub.answer(self.command, self.path, self.headers.get("X-Amz-Target", ""), body)
                except Refusal as refusal:
                    status, kind, text = 400, "text/xml", (
                        f"<ErrorResponse><Error><Type>Sender</Type><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
                        "</Error><RequestId>1</RequestId></ErrorResponse>")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = do_HEAD = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Stub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, target: str, body: str) -> tuple[int, str, str]:
        if target:
            return 200, "application/x-amz-json-1.1", json.dumps(self.json(target.rpartition(".")[2], json.loads(body)))
        if method == "POST" and body.startswith("Action="):
            asked = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
            action = asked["Action"]
            return 200, "text/xml", f"<{action}Response><{action}Result>{self.query(action, asked)}</{action}Result></{action}Response>"
        # S3: every bucket and template is there, and no bucket has anything else in it.
        return 200, "text/xml", "<ListVersionsResult/>" if "versions" in path else ""

    def json(self, action: str, asked: dict[str, Any]) -> Any:
        match action:
            case "DescribeTable":
                table = asked["TableName"]
                return {"Table": {"TableName": table, "DeletionProtectionEnabled": table in self.protected_tables}}
            case "UpdateTable":
                self.calls.append(f"UpdateTable {asked['TableName']} DeletionProtectionEnabled={asked['DeletionProtectionEnabled']}")
                self.protected_tables.discard(asked["TableName"])
                return {"TableDescription": {}}
            case "ListSecrets":
                return {"SecretList": [{"ARN": name, "Name": name} for name, waits in self.secrets.items()
                                       if asked.get("IncludePlannedDeletion") or not waits]}
            case "DeleteSecret":
                how = "now" if asked.get("ForceDeleteWithoutRecovery") else f"in {asked['RecoveryWindowInDays']} days"
                self.calls.append(f"DeleteSecret {asked['SecretId']} {how}")
                return {}
            case "ScheduleKeyDeletion":
                self.calls.append(f"ScheduleKeyDeletion {asked['KeyId']} in {asked['PendingWindowInDays']} days")
                return {}
            case "GetParametersByPath":
                return {"Parameters": []}
        raise Refusal(f"the stub knows no {action}", "UnknownOperationException")

    def query(self, action: str, asked: dict[str, str]) -> str:
        if action == "GetCallerIdentity":
            return f"<Account>{ACCOUNT}</Account><Arn>arn:aws:iam::{ACCOUNT}:user/one</Arn><UserId>one</UserId>"
        if action == "DescribeChangeSet":
            return (f"<ChangeSetId>{asked['ChangeSetName']}</ChangeSetId><Status>CREATE_COMPLETE</Status>"
                    "<ExecutionStatus>AVAILABLE</ExecutionStatus><Changes/>")
        if action == "DeleteChangeSet":
            return ""
        if action == "CreateChangeSet":
            return self.create_change_set(asked)
        name = asked["StackName"].partition("/")[2].partition("/")[0] or asked["StackName"]
        stack = self.stacks.get(name)
        if not stack:
            raise Refusal(f"Stack with id {name} does not exist")
        if action in ("DescribeStacks", "ListStackResources", "DescribeStackEvents", "GetTemplateSummary"):
            return getattr(self, f"_{action}")(stack)
        self.calls.append(f"{action} {name}")
        return self.change(action, stack, asked)

    def _DescribeStacks(self, stack: StubStack) -> str:
        second = len(self.calls) % 60
        text = (f"<Stacks><member><StackName>{stack.name}</StackName><StackId>{stack.arn}</StackId>"
                f"<StackStatus>{stack.status}</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
                f"<LastUpdatedTime>2026-01-01T00:00:{second:02}Z</LastUpdatedTime>"
                f"<EnableTerminationProtection>{str(stack.protected).lower()}</EnableTerminationProtection><Parameters>"
                + "".join(f"<member><ParameterKey>{key}</ParameterKey><ParameterValue>{escape(value)}</ParameterValue></member>"
                          for key, value in stack.parameters.items()) + "</Parameters></member></Stacks>")
        # Whoever asks again finds it further.
        if stack.status in AFTER:
            after = AFTER[stack.status]
            if after:
                stack.status = after
            else:
                del self.stacks[stack.name]
        return text

    def _ListStackResources(self, stack: StubStack) -> str:
        return "<StackResourceSummaries>" + "".join(
            f"<member><LogicalResourceId>{logical}</LogicalResourceId><ResourceType>{kind}</ResourceType><PhysicalResourceId>{name}"
            "</PhysicalResourceId><ResourceStatus>CREATE_COMPLETE</ResourceStatus><LastUpdatedTimestamp>2026-01-01T00:00:00Z"
            "</LastUpdatedTimestamp></member>" for logical, (kind, name) in stack.resources.items()) + "</StackResourceSummaries>"

    def _DescribeStackEvents(self, stack: StubStack) -> str:
        return (f"<StackEvents><member><StackId>{stack.arn}</StackId><EventId>1</EventId><StackName>{stack.name}</StackName>"
                "<Timestamp>2026-01-01T00:00:00Z</Timestamp><LogicalResourceId>Cause</LogicalResourceId><ResourceType>AWS::SQS::Queue"
                "</ResourceType><ResourceStatus>DELETE_FAILED</ResourceStatus><ResourceStatusReason>because</ResourceStatusReason></member></StackEvents>")

    def _GetTemplateSummary(self, stack: StubStack) -> str:
        keys = "".join(f"<member><ParameterKey>{key}</ParameterKey></member>" for key in stack.parameters)
        return f"<Parameters>{keys}</Parameters>"

    def create_change_set(self, asked: dict[str, str]) -> str:
        name, kind = asked["StackName"], asked["ChangeSetType"]
        stack = self.stacks.get(name)
        if kind == "CREATE":
            if stack and stack.status != "REVIEW_IN_PROGRESS":
                raise Refusal(f"Stack [{name}] already exists", "AlreadyExistsException")
            stack = self.stacks.setdefault(name, StubStack(name, "REVIEW_IN_PROGRESS"))
        elif not stack:
            raise Refusal(f"Stack [{name}] does not exist")
        elif refusal := self.refuses_change(stack):
            raise Refusal(refusal)
        given = {asked[f"Parameters.member.{number}.ParameterKey"]: asked.get(f"Parameters.member.{number}.ParameterValue", "")
                 for number in range(1, 300) if f"Parameters.member.{number}.ParameterKey" in asked}
        self.change_set = {**stack.parameters, **{key: value for key, value in given.items() if value}}
        arn = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:changeSet/{asked['ChangeSetName']}/1"
        return f"<Id>{arn}</Id><StackId>{stack.arn}</StackId>"

    @staticmethod
    def refuses_change(stack: StubStack) -> str:
        """Why no change set can be made of it; empty where one can."""
        if stack.status in ("CREATE_FAILED", "UPDATE_FAILED"):
            return NON_TERMINAL.format(stack.status)
        return "" if stack.status in UPDATABLE else f"Stack:{stack.arn} is in {stack.status} state and can not be updated."

    def change(self, action: str, stack: StubStack, asked: dict[str, str]) -> str:
        match action:
            case "ExecuteChangeSet":
                self.execute(stack)
            case "DeleteStack":
                self.delete(stack)
            case "UpdateTerminationProtection":
                stack.protected = asked["EnableTerminationProtection"] == "true"
                self.calls[-1] += f" {asked['EnableTerminationProtection']}"
            case "ContinueUpdateRollback":
                if stack.status != "UPDATE_ROLLBACK_FAILED":
                    raise Refusal(f"Stack:{stack.arn} is in {stack.status} state and can not continue rolling back.")
                skipped = [value for key, value in asked.items() if key.startswith("ResourcesToSkip")]
                if not stack.stuck or stack.stuck in skipped:
                    stack.status = "UPDATE_ROLLBACK_COMPLETE"
            case "RollbackStack":
                if stack.status not in ("CREATE_FAILED", "UPDATE_FAILED"):
                    raise Refusal(f"RollbackStack cannot be called from {stack.status}")
                stack.status = "UPDATE_ROLLBACK_COMPLETE"
            case _:
                raise Refusal(f"the stub knows no {action}", "InvalidAction")
        return ""

    def execute(self, stack: StubStack) -> None:
        is_new = stack.status == "REVIEW_IN_PROGRESS"
        if stack.name in self.also_deployed:
            self.also_deployed.remove(stack.name)
            stack.status = "CREATE_IN_PROGRESS" if is_new else "UPDATE_IN_PROGRESS"
            # Its other change sets can be executed no more (CloudFormation API reference, ExecuteChangeSet).
            raise Refusal("ChangeSet cannot be executed in its current execution status of [OBSOLETE]", "InvalidChangeSetStatus")
        stack.parameters = self.change_set
        self.calls[-1] += f" DeletionProtection={stack.parameters.get('DeletionProtection')}"
        if not (is_new and self.creation_fails):
            stack.status = "CREATE_COMPLETE" if is_new else "UPDATE_COMPLETE"
            return
        if stack.parameters.get("DeletionProtection") == "true":
            # DynamoDB deletes no protected table (DynamoDB developer guide, "Using deletion protection"), so it stays.
            stack.resources["Ledger"] = ("AWS::DynamoDB::Table", f"webhook-events-{stack.name}")
            self.protected_tables.add(stack.resources["Ledger"][1])
            stack.status = "ROLLBACK_FAILED"
        else:
            stack.status = "ROLLBACK_COMPLETE"

    def delete(self, stack: StubStack) -> None:
        if stack.protected:
            raise Refusal(f"Stack [{stack.arn}] cannot be deleted while TerminationProtection is enabled")
        if stack.status.startswith("UPDATE") and stack.status in AFTER:
            raise Refusal(f"Stack [{stack.arn}] cannot be deleted while in status {stack.status}")
        if any(kind == "AWS::DynamoDB::Table" and name in self.protected_tables for kind, name in stack.resources.values()):
            stack.status = "DELETE_FAILED"
        else:
            del self.stacks[stack.name]
