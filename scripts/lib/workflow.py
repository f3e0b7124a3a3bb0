"""Runs a state machine of Step Functions as the Amazon States Language says (https://states-language.net/spec.html), with the
tasks' answers given. Knows what infra/'s workflow uses; a state, field or function that is not known here is an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventbridge import MISSING, at

Json = dict[str, Any]
FIELDS = {
    "Task": {"Resource", "Parameters", "OutputPath", "Retry", "Catch", "Next", "End"},
    "Pass": {"Parameters", "Next", "End"},
    "Parallel": {"Branches", "Catch", "Next", "End"},
    "Fail": {"Error", "Cause"},
}


class StateFailed(Exception):
    """A state's error, by its name."""


@dataclass
class Run:
    """What one run did. `answers` has for each task what it answers, call by call: a result, or an error by its name. The last one
    is for all calls that follow."""

    answers: Mapping[str, list[Any]]
    calls: list[tuple[str, str, Json]] = field(default_factory=list)

    def of(self, definition: Mapping[str, Any], data: Any) -> Any:
        """The result, or `StateFailed`."""
        unknown = set(definition) - {"Comment", "StartAt", "States", "TimeoutSeconds"}
        if unknown:
            raise ValueError(f"unknown fields {unknown}")
        name = definition["StartAt"]
        while True:
            state = definition["States"][name]
            if set(state) - FIELDS[state["Type"]] - {"Type", "Comment"}:
                raise ValueError(f"{name}: unknown fields {set(state) - FIELDS[state['Type']]}")
            if state["Type"] == "Fail":
                raise StateFailed(state["Error"])
            if ("Next" in state) == (state.get("End") is True):
                raise ValueError(f"{name} has neither a next state nor an end, or both")
            data, following = self.one(name, state, data)
            if following is None:
                return data
            name = following

    def one(self, name: str, state: Mapping[str, Any], data: Any) -> tuple[Any, str | None]:
        """A state's output, and the next state."""
        retried: dict[int, int] = {}
        while True:
            try:
                return self.tried(name, state, data), state.get("Next")
            except StateFailed as failure:
                error = str(failure)
                number, retrier = catching(state.get("Retry", []), error)
                if retrier is not None and retried.get(number, 0) < retrier.get("MaxAttempts", 3):
                    retried[number] = retried.get(number, 0) + 1
                    continue
                _, catcher = catching(state.get("Catch", []), error)
                if catcher is None:
                    raise
                key, = re.fullmatch(r"\$\.(\w+)", catcher["ResultPath"]).groups()  # type: ignore[union-attr]
                return {**data, key: {"Error": error, "Cause": "given"}}, catcher["Next"]

    def tried(self, name: str, state: Mapping[str, Any], data: Any) -> Any:
        if state["Type"] == "Parallel":
            return [self.of(branch, data) for branch in state["Branches"]]
        data = filled(state["Parameters"], data) if "Parameters" in state else data
        if state["Type"] == "Pass":
            return data
        before = sum(called == name for called, _, _ in self.calls)
        self.calls.append((name, state["Resource"], data))
        answers = self.answers[name]
        answer = answers[min(before, len(answers) - 1)]
        if isinstance(answer, str):
            raise StateFailed(answer)
        return found(answer, state.get("OutputPath", "$"))


def catching(handlers: list[Json], error: str) -> tuple[int, Json | None]:
    """The first handler of the error, and its place."""
    return next(((number, one) for number, one in enumerate(handlers) if {error, "States.ALL"} & set(one["ErrorEquals"])), (-1, None))


def filled(template: Any, data: Any) -> Any:
    """A payload template with its values."""
    if isinstance(template, list):
        return [filled(one, data) for one in template]
    if not isinstance(template, dict):
        return template
    return {key.removesuffix(".$"): computed(value, data) if key.endswith(".$") else filled(value, data) for key, value in template.items()}


def computed(expression: str, data: Any) -> Any:
    """A path, or a call of one of two functions."""
    if expression.startswith("$"):
        return found(data, expression)
    json_text = re.fullmatch(r"States\.JsonToString\(([^()]+)\)", expression)
    if json_text:
        return json.dumps(found(data, json_text[1]), separators=(",", ":"))
    text = re.fullmatch(r"States\.Format\('([^']*)'((?:, *\$[\w.]*)*)\)", expression)
    if not text:
        raise ValueError(f"unknown expression {expression}")
    values = [found(data, path) for path in re.findall(r"\$[\w.]*", text[2])]
    if text[1].count("{}") != len(values):
        raise StateFailed("States.IntrinsicFailure")
    # A text is as it is, anything else as JSON.
    parts = iter(one if isinstance(one, str) else json.dumps(one) for one in values)
    return re.sub(r"\{\}", lambda _: next(parts), text[1])


def found(data: Any, path: str) -> Any:
    value = at(data, path)
    if value is MISSING:
        raise StateFailed("States.ParameterPathFailure")
    return value
