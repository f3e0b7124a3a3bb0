"""Decides a request to AWS by policies, as IAM documents it ("Policy evaluation logic", IAM user guide), as far as infra/'s
policies go. A condition operator that is not known here is an error and never a condition that holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Principal:
    """Who asks. `arn` is that of a role, also for its sessions, or of a root user; None for a service and for nobody."""

    arn: str | None
    statements: tuple[Statement, ...] = ()
    service: str | None = None

    @property
    def account(self) -> str | None:
        return self.arn.split(":")[4] if self.arn else None


@dataclass(frozen=True)
class Request:
    """What is asked for: the resource's own policy, and the keys that the service adds, each with its values."""

    action: str
    resource: str
    account: str
    policy: tuple[Statement, ...] = ()
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def is_allowed(who: Principal, request: Request) -> bool:
    context = {"aws:SecureTransport": ("true",)}
    if who.arn or who.service:
        # "Anonymous requests do not include this key."
        context["aws:PrincipalIsAWSService"] = (str(who.service is not None).lower(),)
    if who.arn:
        context["aws:PrincipalArn"] = (who.arn,)
    # A key without a value is one that the service does not send.
    context |= request.context
    own = [one for one in who.statements if matches(one, request, context)]
    its = [one for one in request.policy if is_about(one.get("Principal"), who) and matches(one, request, context)]
    if any(one["Effect"] == "Deny" for one in (*own, *its)):
        return False
    if who.account == request.account:
        return bool(own or its)
    # A service has no policy of its own. Another account must allow it as well as the resource.
    return bool(its) and (who.service is not None or bool(own))


def is_about(principal: Any, who: Principal) -> bool:
    if principal == "*":
        return True
    if set(principal) == {"Service"}:
        return who.service in listed(principal["Service"])
    raise ValueError(f"unknown principal {principal}")


def matches(statement: Statement, request: Request, context: Mapping[str, tuple[str, ...]]) -> bool:
    return (any(is_like(request.action, one, fold=True) for one in listed(statement["Action"]))
            and any(is_like(request.resource, one) for one in listed(statement["Resource"]))
            and all(holds(operator, context.get(key, ()), [str(one) for one in listed(wanted)])
                    for operator, keys in statement.get("Condition", {}).items() for key, wanted in keys.items()))


def holds(operator: str, found: tuple[str, ...], wanted: list[str]) -> bool:
    """Whether a condition on one key holds. What is not there matches nothing, and so every negated operator."""
    if operator == "Null":
        return (not found) == (wanted == ["true"])
    scope, _, operator = operator.rpartition(":")
    operator, is_negated = operator.replace("Not", ""), "Not" in operator
    is_pattern = {"StringEquals": False, "Bool": False, "StringLike": True, "ArnLike": True, "ArnEquals": True}[operator]

    def one_holds(one: str) -> bool:
        return any(is_like(one, other) if is_pattern else one == other for other in wanted) != is_negated

    if scope == "ForAllValues":
        return all(map(one_holds, found))
    if scope == "ForAnyValue":
        return any(map(one_holds, found))
    if len(found) > 1 or scope:
        raise ValueError(f"{scope}:{operator} on {found}")
    return one_holds(found[0]) if found else is_negated


def is_like(text: str, pattern: str, fold: bool = False) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)
    return re.fullmatch(regex, text, re.DOTALL | (re.IGNORECASE if fold else 0)) is not None


def listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]
