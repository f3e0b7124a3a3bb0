"""Who may run the `aws` commands of docs/runbook.md: each takes actions (AWS's service authorization reference), which the policy
of the role that the page names must allow (infra/policies, by an IAM simulator). Needs the pinned tools, Node among them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from iam import Principal, Request, Simulator
from machine import ROOT

POLICIES = ROOT / "infra/policies"
# The role of a command that names none; and by the name of its policy what each of the others has.
OPERATORS = "operators"
DEPLOYER = tuple(f"deployer/{path.stem}" for path in sorted((POLICIES / "deployer").glob("*.json")))
ROLES: dict[str, tuple[str, ...]] = {
    OPERATORS: (OPERATORS,), "key-operators": ("key-operators",), "investigators": ("investigators",), "restorer": ("restorer",),
    "reconcilers": ("reconcilers",), "ingesters": ("reconcilers", "ingesters"), "listeners": ("listeners",),
    "deployer": DEPLOYER,
    "remover": (*DEPLOYER, "remover"),
}
NAMED = re.compile(r"in\s+the\s+role\s+of\s+`([\w-]+)(?:\.json|/\*\.json)`", re.IGNORECASE)
ACCOUNT, SUFFIX = "111122223333", "dev"
NAMES = {"PARTITION": "aws", "ACCOUNT": ACCOUNT, "SUFFIX": SUFFIX}
# A key leaves it to the account's policies who uses it (infra/tollgate.yaml).
KEY_POLICY = ({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"},)
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/one"
OF_KEY = {"aws:ResourceTag/tollgate": (SUFFIX,), "kms:ResourceAliases": (f"alias/tollgate-{SUFFIX}",), "kms:CallerAccount": (ACCOUNT,)}
TO_USE = ("kms:Decrypt", "kms:GenerateDataKey")
# What a restore of a table takes beside its own action ("Using IAM with DynamoDB backup and restore", DynamoDB developer guide), and
# of the key ("Using a KMS key", DynamoDB encryption at rest, there).
ITEMS = tuple(f"dynamodb:{one}" for one in ("BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"))
TABLE_KEY = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom")
# The files that make the calls of a subcommand of the tool (infra/policies/calls.toml).
SUBCOMMANDS = {
    "status": "described.rs", "dlq list": "dlq/source.rs", "dlq show": "dlq/source.rs", "dlq redrive": "dlq/redrive.rs",
    "dlq purge": "dead_letters.rs", "allow": "dead_letters.rs", "audit": "audit.rs", "inspect": "archived.rs",
    "search": "search/objects.rs", "replay": "lambda.rs", "reconcile": "reconcile/mod.rs", "reconciliations": "reconcile/past.rs",
    "endpoints api-key": "keys.rs", "endpoints register": "keys.rs", "verify": "keys.rs",
    "metrics": "figures/cloudwatch.rs", "doctor": "doctor/functions.rs", "cost": "doctor/functions.rs",
    "rejected list": "operate/src/rejected.rs", "rejected ingest": "lambda.rs",
    "rejected show": "operate/src/rejected.rs", "rejected verify": "operate/src/rejected.rs", "listen": "listen.rs",
    "endpoints check": "operate/src/secrets.rs", "endpoints list": "src/endpoints.rs", "endpoints remove": "src/endpoints.rs",
    "endpoints apply": "keys.rs", "endpoints rotate": "keys.rs", "endpoints migrate": "migrate.rs",
}


@dataclass(frozen=True)
class Command:
    """One of the page: where, its words, and as the CLI calls the service (not where the command is the CLI's own)."""

    line: int
    words: tuple[str, ...]
    operation: str
    parameters: Mapping[str, Any]


def problems(page: str, commands: Iterable[Command], texts: Mapping[str, str]) -> Iterator[str]:
    """What the role of a command may not; what operators may of another's; and subcommands of the tool that the page gives to no
    role that has their calls."""
    simulator = Simulator(is_loose=True)
    people = {role: principal(role, files, texts) for role, files in ROLES.items()}
    asked = [(command, role_of(page, command.line, " ".join(command.words[:2])), needed) for command, needed in with_needs(commands)]
    for command, role, _ in asked:
        if role not in people:
            yield f"docs/runbook.md:{command.line}: there is no role {role}"
            return
    simulator.learn((people[who], request) for _, role, needed in asked for request in needed for who in {role, OPERATORS})
    for command, role, needed in asked:
        about = f"docs/runbook.md:{command.line}: aws {' '.join(command.words[:2])}"
        yield from (f"{about}: {role} may not {one.action} on {one.resource}" for one in needed
                    if not simulator.is_allowed(people[role], one))
        changes = not command.operation.startswith(("Describe", "List"))
        if role != OPERATORS and changes and needed and all(simulator.is_allowed(people[OPERATORS], one) for one in needed):
            yield f"{about} is given to {role}, and operators may do it too"
    yield from of_tool(page, texts)


def role_of(page: str, line: int, begin: str) -> str:
    """The role that is named last before the command: in its row of a table, or in its section."""
    lines = page.splitlines()
    own = lines[line - 1]
    if own.startswith("|"):
        text = own.partition(f"aws {begin}")[0]
    else:
        first = next((one for one in range(line - 1, 0, -1) if lines[one].startswith("## ")), 0)
        # A row's role is its own.
        before = [one for one in lines[first:line - 1] if not one.startswith("|")]
        text = "\n".join([*before, own.partition(f"aws {begin}")[0]])
    found = NAMED.findall(text)
    return found[-1] if found else OPERATORS


def principal(role: str, files: Iterable[str], texts: Mapping[str, str]) -> Principal:
    statements = [one for file in files for one in json.loads(filled(texts[file]))["Statement"]]
    return Principal(f"arn:aws:iam::{ACCOUNT}:role/{role}", tuple(statements))


def policy_texts() -> dict[str, str]:
    return {file: (POLICIES / f"{file}.json").read_text() for files in ROLES.values() for file in files}


def filled(text: str) -> str:
    for name, value in NAMES.items():
        text = text.replace(name, value)
    return text


def with_needs(commands: Iterable[Command]) -> Iterator[tuple[Command, list[Request]]]:
    """What each command takes. A queue's URL is that of the queue that was looked up last."""
    queue = ""
    for command in sorted(commands, key=lambda one: one.line):
        if command.operation == "GetQueueUrl":
            queue = command.parameters["QueueName"]
        yield command, list(needs(command, queue))


def needs(command: Command, queue: str) -> Iterator[Request]:
    """A command that is not here is an error, so that a new one is looked up."""
    service, called = command.words[0], command.parameters

    def on(action: str, rest: str, **context: str) -> Request:
        arn = rest if rest == "*" else f"arn:aws:{action.partition(':')[0]}:us-east-1:{ACCOUNT}:{rest}"
        return Request(action, arn, ACCOUNT, (), {key.replace("__", ":"): (value,) for key, value in context.items()})

    def key(*actions: str, via: str = "") -> Iterator[Request]:
        more = {"kms:ViaService": (f"{via}.us-east-1.amazonaws.com",), "kms:GrantIsForAWSResource": ("true",)} if via else {}
        return (Request(action, KEY, ACCOUNT, KEY_POLICY, {**OF_KEY, **more}) for action in actions)

    def table(action: str, name: str) -> Request:
        return on(f"dynamodb:{action}", f"table/{name}")

    def bucket(action: str, rest: str = "") -> Request:
        return Request(f"s3:{action}", f"arn:aws:s3:::tollgate-endpoints-{ACCOUNT}-{SUFFIX}{rest}", ACCOUNT, (), {})

    match (service, command.operation or command.words[1]):
        case ("sts", "GetCallerIdentity"):
            return
        case ("logs", "tail" | "FilterLogEvents"):
            group = called["logGroupName"] if called else command.words[2]
            yield on("logs:FilterLogEvents", f"log-group:{group if group.startswith('/') else f'/aws/lambda/any-{SUFFIX}'}:*")
        case ("logs", "StartQuery"):
            yield on("logs:StartQuery", f"log-group:{called['logGroupName']}:*")
        case ("logs", "GetQueryResults"):
            yield on("logs:GetQueryResults", f"log-group:/aws/lambda/webhook-validator-{SUFFIX}:*")
        case ("sqs", "GetQueueUrl"):
            yield on("sqs:GetQueueUrl", queue)
        case ("sqs", "ReceiveMessage"):
            yield on("sqs:ReceiveMessage", queue)
            yield from key("kms:Decrypt", via="sqs")
        case ("sqs", "PurgeQueue"):
            yield on("sqs:PurgeQueue", queue)
        case ("sqs", "ListMessageMoveTasks"):
            yield on("sqs:ListMessageMoveTasks", called["SourceArn"].rpartition(":")[2])
        case ("sqs", "StartMessageMoveTask"):
            # "StartMessageMoveTask", SQS API reference: it receives, sends and deletes in the caller's name.
            for action in ("StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
                yield on(f"sqs:{action}", called["SourceArn"].rpartition(":")[2])
            yield on("sqs:SendMessage", called["DestinationArn"].rpartition(":")[2])
            yield from key(*TO_USE, via="sqs")
        case ("stepfunctions", "StartExecution"):
            yield on("states:StartExecution", f"stateMachine:{called['stateMachineArn'].rpartition(':')[2]}")
            yield from key(*TO_USE, via="states")
        case ("lambda", "ListEventSourceMappings" | "GetAccountSettings" as name):
            yield on(f"lambda:{name}", "*")
        case ("lambda", "UpdateEventSourceMapping"):
            for function in ("webhook-processor", "transaction-archival"):
                for alias in ("", ":live"):
                    yield on("lambda:UpdateEventSourceMapping", "event-source-mapping:any",
                             lambda__FunctionArn=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{function}-{SUFFIX}{alias}")
        case ("service-quotas", "RequestServiceQuotaIncrease"):
            yield on("servicequotas:RequestServiceQuotaIncrease", f"{called['ServiceCode']}/{called['QuotaCode']}")
        case ("cloudwatch", "GetMetricData" | "DescribeAlarms" as name):
            yield on(f"cloudwatch:{name}", "*")
        case ("cloudtrail", "LookupEvents"):
            yield on("cloudtrail:LookupEvents", "*")
        case ("sns", "ListSubscriptionsByTopic"):
            for topic in ("transaction-alerts", "tollgate-alarms"):
                yield on("sns:ListSubscriptionsByTopic", f"{topic}-{SUFFIX}")
        case ("sns", "GetSMSAttributes"):
            yield on("sns:GetSMSAttributes", "*")
        case ("kms", "DescribeKey" | "CancelKeyDeletion" | "EnableKey" as name):
            yield from key(f"kms:{name}")
        case ("s3api", "ListObjectVersions"):
            yield bucket("ListBucketVersions")
        case ("s3api", "GetObject"):
            yield bucket("GetObjectVersion" if "VersionId" in called else "GetObject", f"/{called['Key']}")
            yield from key("kms:Decrypt", via="s3")
        case ("s3api", "DeleteObject"):
            yield bucket("DeleteObjectVersion" if "VersionId" in called else "DeleteObject", f"/{called['Key']}")
        case ("ssm", "GetParameterHistory"):
            yield on("ssm:GetParameterHistory", f"parameter{called['Name']}")
        case ("events", "StartReplay"):
            yield on("events:StartReplay", f"archive/{called['EventSourceArn'].rpartition('/')[2]}")
            yield on("events:StartReplay", f"event-bus/payment-events-{SUFFIX}")
            yield on("events:StartReplay", f"replay/{called['ReplayName']}")
        case ("events", "DescribeReplay" | "CancelReplay" as name):
            yield on(f"events:{name}", f"replay/{called['ReplayName']}")
        case ("cloudformation", "DeleteStack"):
            yield on("cloudformation:DeleteStack", f"stack/{called['StackName']}/any")
        case ("secretsmanager", "DeleteSecret"):
            yield on("secretsmanager:DeleteSecret", f"secret:{called['SecretId']}-1A2B3C")
        case ("dynamodb", "RestoreTableToPointInTime"):
            yield table("RestoreTableToPointInTime", called["SourceTableName"])
            yield from (on(action, f"table/{called['TargetTableName']}") for action in ITEMS)
            yield from key(*TABLE_KEY, via="dynamodb")
        case ("dynamodb", "RestoreTableFromBackup"):
            yield table("RestoreTableFromBackup", f"{called['TargetTableName']}-restored/backup/01")
            yield from (on(action, f"table/{called['TargetTableName']}") for action in ITEMS)
            yield from key(*TABLE_KEY, via="dynamodb")
        case ("dynamodb", "Query"):
            yield table("Query", called["TableName"])
            yield from key("kms:Decrypt", via="dynamodb")
        case ("dynamodb", "CreateBackup" | "DeleteTable" | "DescribeTable" | "UpdateContinuousBackups" | "UpdateTable" | "UpdateTimeToLive"
              as name):
            yield table(name, called["TableName"])
        case (_, name):
            raise ValueError(f"docs/runbook.md:{command.line}: what {service} {name} takes is to be added here")


def of_tool(page: str, texts: Mapping[str, str]) -> Iterator[str]:
    """The page's table of roles has each subcommand that the page uses, for a role that calls.toml has its calls for."""
    rows = {found[1]: set(re.findall(r"`tollgate (\w+(?: \w+)?)`", row)) for row in page.splitlines()
            if (found := re.match(r"\| `([\w-]+)(?:\.json|/\*\.json)`", row))}
    calls = tomllib.loads((POLICIES / "calls.toml").read_text())["calls"]
    for role, subcommands in rows.items():
        for one in sorted(subcommands):
            whose = {who for row in calls if row["from"].endswith(SUBCOMMANDS.get(one, "nothing"))
                     for who in ([row["who"]] if isinstance(row["who"], str) else row["who"])}
            if role not in whose:
                yield f"docs/runbook.md, Roles: tollgate {one} is given to {role}, and calls.toml has its calls for {sorted(whose)}"
    verbs = "status|metrics|doctor|cost|reconciliations|replay|show|redrive|purge|allow|inspect|list|apply|rotate|remove|migrate|verify"
    used = set(re.findall(rf"(?<!/)\btollgate ((?:endpoints |dlq )?(?:{verbs}))\b", page))
    missing = used - set().union(*rows.values())
    if missing:
        yield f"docs/runbook.md, Roles: nobody is said to run tollgate {', '.join(sorted(missing))}"


def unseen(page: str, commands: Iterable[Command], texts: Mapping[str, str]) -> Iterator[str]:
    """Each action that a command takes, where nothing is refused when the role's policies lack it; and each role that operators
    could be named instead of."""
    kept = list(commands)
    asked: dict[tuple[str, str], list[Request]] = {}
    for command, needed in with_needs(kept):
        for one in needed:
            asked.setdefault((role_of(page, command.line, " ".join(command.words[:2])), one.action), []).append(one)
    simulator = Simulator(is_loose=True)
    without = {(role, action): principal(role, ROLES[role], {file: lacking(texts[file], action) for file in ROLES[role]})
               for role, action in asked}
    simulator.learn((without[key], one) for key, requests in asked.items() for one in requests)
    yield from (f"nothing sees that {role} may not {action}" for (role, action), requests in asked.items()
                if any(simulator.is_allowed(without[role, action], one) for one in requests))
    for role in ROLES:
        named = page.replace(f"role of `{role}", f"role of `{OPERATORS}")
        if role != OPERATORS and named != page and not any(" may not " in problem for problem in problems(named, kept, texts)):
            yield f"nothing sees that the page gives operators what is {role}'s"


def lacking(text: str, action: str) -> str:
    """A policy without an action, and without the patterns that it matches."""
    document = json.loads(text)
    for one in document["Statement"]:
        actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
        one["Action"] = [other for other in actions if not fnmatchcase(action, other)] or ["none:None"]
    return json.dumps(document)
