"""CloudFormation templates as data, for the checks of infra/*.yaml. Needs the pinned tools (scripts/local/install-tools)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


class Loader(yaml.CSafeLoader):
    """With CloudFormation's short forms, and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {', '.join(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def short_form(loader: Loader, suffix: str, node: yaml.Node) -> Json:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", short_form)
# A template, or a part of it.
Json = dict[str, Any]
NOTHING = object()
# The environments that are deployed to AWS, each with its file in infra/params.
ENVIRONMENTS = ("dev", "prod")
PSEUDO_PARAMETERS = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "111122223333",
                     "AWS::URLSuffix": "amazonaws.com", "AWS::StackName": "tollgate"}


def load(path: Path) -> Json:
    """The document, short forms of functions in their long form."""
    return parse(path.read_text())


def parse(text: str) -> Json:
    return yaml.load(text, Loader)


def environment_parameters(name: str) -> dict[str, str]:
    """The parameters of an environment's file."""
    return json.loads((ROOT / f"infra/params/{name}.json").read_text())["Parameters"]


def parameters_of(document: Json, given: Mapping[str, str]) -> Json:
    """The value of each of its parameters, in a deployment with the given ones. Numbers are numbers."""
    declared = document.get("Parameters", {})
    values = {name: given.get(name, one.get("Default", "given")) for name, one in declared.items()}
    return {name: int(value) if declared[name]["Type"] == "Number" else {"true": True, "false": False}.get(value, value)
            for name, value in values.items()}


def refusals(document: Json, given: Mapping[str, str]) -> list[str]:
    """Why the template's rules refuse these parameters."""
    holds = conditions(document, parameters_of(document, given))
    return [one["AssertDescription"] for rule in document.get("Rules", {}).values()
            if "RuleCondition" not in rule or holds(rule["RuleCondition"])
            for one in rule["Assertions"] if not holds(one["Assert"])]


def conditions(document: Json, parameters: Json) -> Callable[[Any], bool]:
    """A function that says whether a condition holds, which it is given by name or as an expression."""
    def holds(value: Any) -> bool:
        if isinstance(value, str):
            return holds(document["Conditions"][value])
        (function, operands), = value.items()
        if function == "Condition":
            return holds(operands)
        if function == "Fn::Not":
            return not holds(operands[0])
        if function == "Fn::And":
            return all(map(holds, operands))
        if function == "Fn::Or":
            return any(map(holds, operands))
        left, right = map(plain, operands)  # Fn::Equals
        return left == right

    def plain(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, dict):
            return str(value)
        (function, operand), = value.items()
        if function == "Fn::Join":
            # Of a list that is a parameter, which has its items between commas.
            return operand[0].join(plain(operand[1]).split(","))
        return plain(parameters[operand])

    return holds


def resolved(document: Json, given: Mapping[str, str], pseudo: Mapping[str, str] = PSEUDO_PARAMETERS, *, with_lists: bool = False) -> Json:
    """The resources as they are deployed with these parameters. A list that is a parameter is one `with_lists`, and else has its items
    between commas."""
    parameters = parameters_of(document, given)
    holds = conditions(document, parameters)

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(resolve, value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, operand), = value.items()
            if function == "Fn::If":
                return resolve(operand[1] if holds(operand[0]) else operand[2])
            if function == "Ref" and operand == "AWS::NoValue":
                return NOTHING
            if function == "Fn::Sub" and isinstance(operand, str):
                return substituted(operand, {})
            if function == "Fn::Sub":
                more = resolve(operand[1])
                if all(isinstance(one, str) for one in more.values()):
                    return substituted(operand[0], more)
            if function == "Fn::FindInMap":
                name, *keys = (pseudo.get(one["Ref"]) if isinstance(one, dict) else one for one in map(resolve, operand))
                return document["Mappings"][name][keys[0]][keys[1]]
            if function == "Ref" and operand in parameters:
                is_list = with_lists and document["Parameters"][operand]["Type"] == "CommaDelimitedList"
                return parameters[operand].split(",") if is_list else parameters[operand]
        whole = {key: resolve(one) for key, one in value.items()}
        return {key: one for key, one in whole.items() if one is not NOTHING}

    def substituted(text: str, more: Json) -> Any:
        # The rules know an ARN with an ending as a Join only, and a name with a reference in it not at all.
        arn = re.fullmatch(r"\$\{(\w+)\.Arn\}(.+)", text)
        if arn:
            return {"Fn::Join": ["", [{"Fn::GetAtt": [arn[1], "Arn"]}, arn[2]]]}
        known = {**pseudo, **parameters, **more}
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], found[1])), text)

    resources = {name: resource for name, resource in document["Resources"].items()
                 if "Condition" not in resource or holds(resource["Condition"])}
    return {"Resources": resolve(resources)}
