"""What push, deploy, diff, destroy and outputs share: options, the AWS CLI, and the stacks of one environment."""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from machine import CREDENTIALS, LOCAL, NO_SUFFIX, ROOT, Failure, install, say, suffix
from stack_states import Next, State, state_of

# In the order in which they are deployed. Ends of the stacks' names, and their templates.
TEMPLATES = {"": ROOT / "infra/tollgate.yaml", "-monitoring": ROOT / "infra/monitoring.yaml",
             "-protection": ROOT / "infra/protection.yaml"}
# What all environments of an account and region share: the stack, which no environment is called (machine.suffix), and its template.
ACCOUNT, ACCOUNT_TEMPLATE = f"tollgate-{NO_SUFFIX}", ROOT / "infra/account.yaml"
# How often a change of it is begun, when other deployments change it at the same time.
ACCOUNT_CHANGES = 5
# The end of AWS's own names in a partition where it is not amazonaws.com (Amazon ECR in China, "Endpoints and ARNs").
DOMAINS = {"aws-cn": "amazonaws.com.cn"}
GONE = "does not exist"
# How often a change set is asked for whose name is taken. A start of the CLI takes half a second at least.
CHANGE_SETS = 4
# Types of resources whose removal takes data along. scripts/check/templates (undeclared) wants every type that a template
# has to be here or among those that hold nothing.
HOLDERS = tuple(json.loads((ROOT / "infra/policies/holders.json").read_text()))
TABLES = ("AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table")
# What later stacks have as parameters of a gateway that the platform has no more: a parameter that is not given keeps its value.
NO_GATEWAY = {"ApiId": "", "HttpApiId": "none"}
# What names of secrets begin with, before the suffix: endpoints' signing keys, and keys of providers' APIs (crates/aws/src/names.rs).
SECRETS = ("tollgate", "tollgate-api")
# What an image's tag begins with once it was deployed: infra/repositories.yaml expires no such image.
DEPLOYED = "deployed-"


def options(description: str) -> ArgumentParser:
    parser = argparse.ArgumentParser(prog=str(Path(sys.argv[0]).resolve().relative_to(ROOT)), description=description,
                                     epilog="Credentials and region come from the environment or the profile, as for any "
                                            "aws command; the variable AWS names the executable.")
    parser.add_argument("--suffix", type=suffix, help="which environment: the end of every name")
    parser.add_argument("--endpoint-url", help="of a local AWS peer; AWS itself otherwise")
    parser.add_argument("--platform", type=Path, metavar="FILE",
                        help="instead of both, what scripts/local/platform wrote of a platform on this machine (platform.json)")
    return parser


def parse(parser: ArgumentParser) -> Namespace:
    given = parser.parse_intermixed_args()
    if given.platform:
        try:
            platform = json.loads(given.platform.read_text())
            given.suffix, given.endpoint_url = platform["suffix"], platform["aws_endpoint"]
        except (OSError, ValueError, LookupError) as problem:
            raise Failure(f"{given.platform}: {problem}") from None
        os.environ.update({**CREDENTIALS, "AWS": str(install("awscli") / "aws")})
    elif not given.suffix:
        parser.error("--suffix or --platform is missing")
    return given


def change_options(description: str) -> ArgumentParser:
    """Of what makes or shows a change."""
    parser = options(description)
    parser.add_argument("--params", required=True, type=Path, help="the environment's parameters and tags")
    parser.add_argument("parameters", nargs="*", type=assignment, metavar="Parameter=Value",
                        help="over --params, and over the images that scripts/operate/push-images pushed for this environment last")
    return parser


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isalnum():
        raise argparse.ArgumentTypeError(f"not Parameter=Value: {text}")
    return name, value


def names(text: str) -> list[str]:
    given = text.split(",")
    if not all(one.isalnum() for one in given):
        raise argparse.ArgumentTypeError(f"not NAME,NAME: {text}")
    return given


class Aws:
    """The AWS CLI, versions 1 and 2."""

    def __init__(self, endpoint_url: str | None) -> None:
        self.command = [os.environ.get("AWS", "aws"), "--cli-connect-timeout", "10", "--cli-read-timeout", "60"]
        if not shutil.which(self.command[0]):
            raise Failure(f"the AWS CLI is missing (AWS={self.command[0]})")
        self.environment = {**os.environ, "AWS_PAGER": ""}
        if endpoint_url:
            self.command += ["--endpoint-url", endpoint_url]
            # The option does not reach the upload of a template, the variable not every service.
            self.environment["AWS_ENDPOINT_URL"] = endpoint_url
        self.region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or self.configured_region()
        self.environment["AWS_DEFAULT_REGION"] = self.region  # version 1 of the CLI knows no other name
        identity = self.json("sts", "get-caller-identity")
        self.account, self.partition = identity["Account"], identity["Arn"].split(":")[1]
        self.registry = f"{self.account}.dkr.ecr.{self.region}.{DOMAINS.get(self.partition, 'amazonaws.com')}"
        self.is_local = bool(endpoint_url)

    def configured_region(self) -> str:
        done = subprocess.run([self.command[0], "configure", "get", "region"], capture_output=True, text=True, check=False)
        if not done.stdout.strip():
            raise Failure("no region: set AWS_REGION")
        return done.stdout.strip()

    def json(self, *arguments: object) -> Any:
        """The answer, or a failure with the service's words."""
        return json.loads(self.text(*arguments) or "{}")

    def text(self, *arguments: object) -> str:
        done = subprocess.run([*self.command, "--output", "json", *map(str, arguments)], env=self.environment,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise Failure(f"aws {' '.join(map(str, arguments[:2]))}: {done.stderr.strip()}")
        return done.stdout.strip()

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """The running command, its output in one pipe."""
        return subprocess.Popen([*self.command, *map(str, arguments)], env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Stack:
    """One stack of an environment."""

    def __init__(self, aws: Aws, environment: str, name: str, template: Path) -> None:
        self.aws, self.environment, self.name, self.template = aws, environment, name, template

    def describe(self) -> dict[str, Any] | None:
        """As CloudFormation has it, or None."""
        try:
            return self.aws.json("cloudformation", "describe-stacks", "--stack-name", self.name)["Stacks"][0]
        except Failure as failure:
            if GONE in str(failure):
                return None
            raise

    def outputs(self) -> dict[str, str]:
        stack = self.describe()
        return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])} if stack else {}

    def resources(self) -> list[dict[str, Any]]:
        # The CLI puts its pages together; describe-stack-resources has no second page, and ends after 100.
        listed = self.aws.json("cloudformation", "list-stack-resources", "--stack-name", self.name)
        return [one for one in listed["StackResourceSummaries"] if one["ResourceStatus"] != "DELETE_COMPLETE"]

    def command(self, bucket: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> list[str]:
        """What deploys it, or with one more option makes a change set."""
        own = declared(self.template)
        given = {"EnvironmentSuffix": self.environment, **{name: parameters[name] for name in parameters if name in own}}
        tags = {"Environment": self.environment, **tags}
        return ["cloudformation", "deploy", "--stack-name", self.name, "--template-file", str(self.template),
                "--s3-bucket", bucket, "--s3-prefix", self.name, "--capabilities", "CAPABILITY_IAM",
                "--no-fail-on-empty-changeset", "--parameter-overrides", *pairs(given), "--tags", *pairs(tags)]

    def settle(self, repair: bool = False, skip: Collection[str] = (), params: Path | str = "FILE") -> bool:
        """Waits, removes what never came to be, and with `repair` goes back, until the stack can be made or changed. Says
        whether it is to be made. Fails where somebody must do something first, with what that is."""
        tried: set[Next] = set()
        while stack := self.wait():
            status = stack["StackStatus"]
            state = state_of(status)
            if state.next in (Next.CREATE, Next.CHANGE):
                return state.next is Next.CREATE
            if state.next in tried or not (repair or state.next is Next.ANEW):
                raise Failure(self.advice(status, state, params))
            tried.add(state.next)
            say(f"{self.name} is {status}: {state.means}")
            if state.next in (Next.ANEW, Next.REMOVE):
                self.clear(stack)
            elif state.next is Next.CONTINUE:
                skipped = ["--resources-to-skip", *skip] if skip else []
                self.aws.json("cloudformation", "continue-update-rollback", "--stack-name", self.name, *skipped)
            elif state.next is Next.ROLL_BACK:
                self.aws.json("cloudformation", "rollback-stack", "--stack-name", self.name)
            else:
                raise Failure(self.advice(status, state, params))
        return True

    def advice(self, status: str, state: State, params: Path | str) -> str:
        how = state.advice.format(suffix=self.environment, params=params, stack=self.name)
        return f"{self.name} is {status}: {state.means}.\n{reasons(self.events())}\n{how}"

    def wait(self) -> dict[str, Any] | None:
        """As CloudFormation has it once nothing goes on with it, or None."""
        began = told = time.monotonic()
        while (stack := self.describe()) and state_of(stack["StackStatus"]).next is Next.WAIT:
            now = time.monotonic()
            if now - told >= 10 or told == began:
                say(f"{self.name} is {stack['StackStatus']}, since before this began; waiting, {now - began:.0f} s")
                told = now
            time.sleep(0.5 if now - began < 5 else 5)
        return stack

    def clear(self, stack: Mapping[str, Any]) -> None:
        """Removes a stack that never came to be, although it or its tables may be protected: there is nothing to protect."""
        if stack.get("EnableTerminationProtection"):
            self.protect(on=False)
        for one in self.resources():
            if one["ResourceType"] in TABLES and (table := one.get("PhysicalResourceId")) and is_protected(self.aws, table):
                self.aws.json("dynamodb", "update-table", "--table-name", table, "--no-deletion-protection-enabled")
        self.remove()

    def protect(self, on: bool) -> None:
        """Whether CloudFormation refuses to delete it."""
        stack = self.describe()
        if stack and bool(stack.get("EnableTerminationProtection")) != on:
            if on:
                self.aws.json("cloudformation", "update-termination-protection", "--stack-name", self.name,
                              "--enable-termination-protection")
            else:
                self.aws.json("cloudformation", "update-termination-protection", "--stack-name", self.name,
                              "--no-enable-termination-protection")
            say(f"{self.name}: termination protection is {'on' if on else 'off'}")

    def parameter(self, name: str) -> str | None:
        """The value that the stack has."""
        stack = self.describe() or {}
        return next((one["ParameterValue"] for one in stack.get("Parameters", []) if one["ParameterKey"] == name), None)

    def changes(self, command: list[str]) -> tuple[list[dict[str, Any]], bool]:
        """What the command would change, and whether the stack is new."""
        is_new = self.describe() is None
        output, _ = (child := self.aws.start(*command, "--no-execute-changeset")).communicate()
        change_set = re.search(r"arn:\S+:changeSet/\S+", output)
        if child.returncode or not (change_set or "No changes" in output):
            raise Failure(f"{self.name}: no change set can be made:\n{output.strip()}")
        if not change_set:
            return [], is_new
        try:
            described = self.aws.json("cloudformation", "describe-change-set", "--change-set-name", change_set[0])
            return [change["ResourceChange"] for change in described["Changes"]], is_new
        finally:
            self.aws.json("cloudformation", "delete-change-set", "--change-set-name", change_set[0])
            if is_new:
                # Making a change set made a stack without resources.
                self.aws.json("cloudformation", "delete-stack", "--stack-name", self.name)

    def keep_data(self, command: list[str], given_up: Collection[str]) -> None:
        """Fails where the command would remove what holds data, or may put something empty in its place, and nobody gave it
        up by its name."""
        lost = [change for change in self.changes(command)[0]
                if change["ResourceType"] in HOLDERS and change["LogicalResourceId"] not in given_up
                and (change["Action"] == "Remove" or change.get("Replacement") in ("True", "Conditional"))]
        if lost:
            names = ", ".join(f"{change['LogicalResourceId']} ({change['ResourceType']})" for change in lost)
            raise Failure(f"{self.name}: this would remove {names}, and what is in there (docs/runbook.md, Remove what holds "
                          f"data). If nobody needs it: --remove-data {','.join(change['LogicalResourceId'] for change in lost)}")

    def deploy(self, command: list[str]) -> None:
        began = time.monotonic()
        before = self.describe()
        for _ in range(CHANGE_SETS):
            child = self.aws.start(*command)
            try:
                output = self.watch(child, began)
            finally:
                child.kill()
            # The CLI names a change set by the second, and the one that was looked at may be of this second.
            if not (child.returncode and "AlreadyExistsException" in output and "ChangeSet" in output):
                break
        seconds = time.monotonic() - began
        if child.returncode == 0:
            say(f"{self.name}: {'nothing to change' if 'No changes' in output else 'done'}, {seconds:.0f} s")
            return
        print(output, file=sys.stderr)
        after = self.describe()
        if not after or (before and after.get("LastUpdatedTime") == before.get("LastUpdatedTime")):
            raise Failure(f"{self.name} was not touched")
        state = state_of(after["StackStatus"])
        raise Failure(f"{self.name} is {after['StackStatus']} after {seconds:.0f} s ({state.means}); what failed, the first cause "
                      f"first:\n{reasons(self.events())}\nThe next deployment: {state.next.value}")

    def watch(self, child: subprocess.Popen[str], began: float) -> str:
        """The command's output, when it has ended. Says meanwhile how far it is: a change in AWS takes minutes."""
        while True:
            try:
                return child.communicate(timeout=10)[0].strip()
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - began
                try:
                    states = [one["ResourceStatus"] for one in self.resources()]
                except Failure:
                    states = []
                done = sum(state.endswith("_COMPLETE") for state in states)
                say(f"{self.name}: {seconds:.0f} s, {done} of {len(states)} resources begun are done")

    def events(self) -> list[dict[str, Any]]:
        """What happened since the last change of the stack began, oldest first."""
        happened: list[dict[str, Any]] = []
        with contextlib.suppress(Failure):
            for event in self.aws.json("cloudformation", "describe-stack-events", "--stack-name", self.name,
                                       "--max-items", 500)["StackEvents"]:
                happened.insert(0, event)
                if event.get("PhysicalResourceId") == event["StackId"] and event["ResourceStatus"] in (
                        "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                    break
        return happened

    def remove(self) -> None:
        """Deletes it and waits, first for what goes on with it."""
        stack = self.wait()
        if not stack:
            return
        # By id: a deleted stack has no name any more.
        self.aws.json("cloudformation", "delete-stack", "--stack-name", stack["StackId"])
        began = time.monotonic()
        while True:
            stack = self.describe()
            if not stack or stack["StackStatus"] == "DELETE_COMPLETE":
                say(f"{self.name} is removed")
                return
            if stack["StackStatus"] == "DELETE_FAILED":
                raise Failure(f"{self.name} cannot be removed whole:\n{reasons(self.events())}\nMend that and say it again. What "
                              f"is to be kept: aws cloudformation delete-stack --stack-name {self.name} --retain-resources NAME")
            if time.monotonic() - began > 3600:
                raise Failure(f"{self.name} is still being removed after an hour")
            time.sleep(0.5 if time.monotonic() - began < 5 else 5)


class AccountStack(Stack):
    """What all environments of an account and region share. Each of their deployments makes it, and none removes it."""

    def __init__(self, aws: Aws, environment: str) -> None:
        super().__init__(aws, environment, ACCOUNT, ACCOUNT_TEMPLATE)

    def account_command(self, bucket: str) -> list[str]:
        """Without parameters and tags: an environment's own would change with each that deploys."""
        return ["cloudformation", "deploy", "--stack-name", self.name, "--template-file", str(self.template),
                "--s3-bucket", bucket, "--s3-prefix", self.name, "--no-fail-on-empty-changeset"]

    def make(self, bucket: str, repair: bool = False, skip: Collection[str] = (), params: Path | str = "FILE") -> None:
        """Makes or changes it. What another environment's deployment does with it at the same time is waited for."""
        for left in reversed(range(ACCOUNT_CHANGES)):
            self.settle(repair, skip, params)
            before = self.seen()
            try:
                self.deploy(self.account_command(bucket))
                break
            except Failure:
                after = self.seen()
                status = str(after[1])
                # A change of ours that failed is taken back.
                is_anothers = state_of(status).next is Next.WAIT or (
                    after != before and state_of(status).next is Next.CHANGE and "ROLLBACK" not in status)
                if not left or not is_anothers:
                    raise
                say(f"{self.name}: another deployment changes it, and is waited for")
        # So that nobody deletes it with one environment.
        self.protect(on=True)

    def seen(self) -> tuple[object, ...]:
        stack = self.describe() or {}
        return tuple(stack.get(name) for name in ("StackId", "StackStatus", "LastUpdatedTime"))

    def advice(self, status: str, state: State, params: Path | str) -> str:
        if state.next is not Next.STOP:
            return super().advice(status, state, params)
        return (f"{self.name} is {status}: {state.means}.\n{reasons(self.events())}\nIt holds no data. Remove it, and deploy again: "
                f"aws cloudformation delete-stack --stack-name {self.name} (docs/runbook.md, A deployment failed)")


def stacks(aws: Aws, environment: str) -> list[Stack]:
    return [Stack(aws, environment, f"tollgate-{environment}{ending}", template) for ending, template in TEMPLATES.items()]


def is_protected(aws: Aws, table: str) -> bool:
    try:
        described = aws.json("dynamodb", "describe-table", "--table-name", table)["Table"]
    except Failure as failure:
        if "ResourceNotFoundException" in str(failure):
            return False
        raise
    # The local peer has the parameter's text here.
    return str(described.get("DeletionProtectionEnabled")).lower() == "true"


def keep_images(aws: Aws, parameters: Mapping[str, str]) -> None:
    """Marks the images of this account that are about to run, so that its repositories keep them (infra/repositories.yaml)."""
    for name, uri in parameters.items():
        host, _, path = uri.partition("/")
        repository, at, digest = path.partition("@sha256:")
        if not name.endswith("Image") or host != aws.registry or not at:
            continue
        # By the tag alone a manifest would be asked for in a form that it may not have.
        found = aws.json("ecr", "batch-get-image", "--repository-name", repository, "--image-ids", f"imageDigest=sha256:{digest}",
                         "--accepted-media-types", "application/vnd.oci.image.manifest.v1+json",
                         "application/vnd.docker.distribution.manifest.v2+json")["images"]
        if not found:
            raise Failure(f"{name}: {uri} is not in its repository. Push it again")
        try:
            aws.json("ecr", "put-image", "--repository-name", repository, "--image-tag", f"{DEPLOYED}{digest[:12]}",
                     "--image-digest", f"sha256:{digest}", "--image-manifest", found[0]["imageManifest"])
        except Failure as failure:
            if "ImageAlreadyExistsException" not in str(failure):
                raise


def reasons(events: list[dict[str, Any]]) -> str:
    """What failed and why, the first cause first; what was only cancelled because of it, as a count."""
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    caused = [event for event in failed if "cancelled" not in event.get("ResourceStatusReason", "cancelled")]
    lines = [f"  {event['LogicalResourceId']} ({event['ResourceType']}), {event['ResourceStatus']}: "
             f"{event['ResourceStatusReason']}" for event in caused]
    if len(caused) < len(failed):
        lines.append(f"  {len(failed) - len(caused)} others were cancelled")
    return "\n".join(lines) or "  no event says why"


def declared(template: Path) -> set[str]:
    """The names of a template's parameters. Our templates indent by two; nothing here reads YAML."""
    section = re.search(r"^Parameters:\n(.*?)^\S", template.read_text(), re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^  (\w+):", section[1], re.MULTILINE)) if section else set()


def settings(given: Namespace, aws: Aws) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters and tags: the images that were pushed, over them the environment's file, over that the arguments."""
    pushed = pushed_file(given.suffix)
    try:
        file = json.loads(given.params.read_text())
        images = json.loads(pushed.read_text()).values() if pushed.exists() else []
        over = {**file.get("Parameters", {}), **dict(given.parameters)}
        images = [one for one in images if one["parameter"] not in over]
        for one in images:
            if not aws.is_local and one["uri"].partition("/")[0] != aws.registry:
                raise Failure(f"{one['uri']} was pushed to another registry than {aws.registry}: push to this account and region")
            say(f"{one['parameter']}: {one['tag']}, {one['digest']}")
        parameters = {one["parameter"]: one["uri"] for one in images} | over
    except (OSError, ValueError, LookupError) as problem:
        raise Failure(f"{given.params}, {pushed}: {problem}") from None
    unknown = set(parameters) - set().union(*map(declared, TEMPLATES.values()))
    if unknown:
        raise Failure(f"no template has a parameter {', '.join(sorted(unknown))}")
    return parameters, file.get("Tags", {})


def pushed_file(environment: str) -> Path:
    """What scripts/operate/push-images pushed for an environment last, and scripts/operate/deploy deploys."""
    return LOCAL / f"images/pushed-{environment}.json"


def pairs(mapping: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in mapping.items()]


def template_bucket(aws: Aws) -> str:
    """The bucket through which templates travel, which are larger than a request may be. Made when it is missing."""
    bucket = f"tollgate-deploy-{aws.account}-{aws.region}"
    try:
        aws.json("s3api", "head-bucket", "--bucket", bucket, "--expected-bucket-owner", aws.account)
        return bucket
    except Failure as failure:
        if "(404)" not in str(failure):
            raise Failure(f"the bucket {bucket} is not this account's to use: {failure}") from None
    say(f"creating the bucket {bucket} for templates")
    location = [] if aws.region == "us-east-1" else ["--create-bucket-configuration", f"LocationConstraint={aws.region}"]
    aws.json("s3api", "create-bucket", "--bucket", bucket, *location)
    aws.json("s3api", "put-public-access-block", "--bucket", bucket, "--public-access-block-configuration",
             "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true")
    aws.json("s3api", "put-bucket-encryption", "--bucket", bucket, "--server-side-encryption-configuration",
             json.dumps({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}))
    arn = f"arn:{aws.partition}:s3:::{bucket}"
    aws.json("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
                       "Resource": [arn, f"{arn}/*"], "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}))
    return bucket


def show(outputs: Mapping[str, str]) -> None:
    width = max(map(len, outputs), default=0)
    for name in sorted(outputs):
        print(f"{name:{width}}  {outputs[name]}")
