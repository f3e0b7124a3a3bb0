"""The platform on this machine: its processes, its deployment, its functions. scripts/local/platform is the command."""

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from build import BINARIES, build
from container_engine import Engine
from machine import (
    CREDENTIALS,
    FUNCTIONS,
    LOCAL,
    REGION,
    ROOT,
    Failure,
    answers,
    aws_json,
    base_environment,
    duckdb,
    free_port,
    install,
    logical,
    private,
    quiet_port,
    refuses,
    replace,
    say,
    tail,
)
from processes import Processes

ACCOUNT = "000000000000"
COPIES = {"validator": 4, "processor": 2, "archival": 1, "fraud-detector": 2, "reconciler": 1}
# Where functions are programs of this machine, the template's images are names alone.
NO_IMAGES = [f"{logical(name)}Image=local/{repository}:dev" for name, repository in FUNCTIONS.items()]
LOCAL_PARAMS = "infra/params/local.json"
# Seconds from a copy's start until it asks for work. A container starts slower than a program, and an emulated one slower still.
INIT_TIMEOUT = 120
# In the order in which they stop: nothing must call a runner that is gone.
PARTS = ("peer", "faults", "runner", "registry")
PEERS = ("peer", "runner", "registry")
FAULTS = "tollgate-faults"
EMULATOR = "/proc/sys/fs/binfmt_misc/qemu-aarch64"


@dataclasses.dataclass(frozen=True)
class Options:
    """How a platform is brought up."""

    # Processes of a function, where they are not COPIES.
    copies: Mapping[str, int]
    # Parameter=Value, over infra/params/local.json.
    parameters: Sequence[str]
    # Whether the programs are built first.
    builds: bool
    # Where the functions' programs are.
    functions: Path
    # The files of endpoints that are applied.
    endpoints: Sequence[Path]
    # Other programs of ours that are built with them.
    programs: Sequence[str]
    # Whether it stays up when a function does not start or the endpoints cannot be applied.
    keeps_going: bool
    # The seed of the proxy of crates/faults, where calls and invocations go through it.
    faults: str | None


@contextlib.contextmanager
def tolerating(failures: bool) -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        if not failures:
            raise
        say(f"going on although {failure}")


class Platform:
    """One of them, by its suffix."""

    def __init__(self, name: str) -> None:
        self.suffix = name
        self.home = LOCAL / "run" / name
        self.processes = Processes(self.home)
        self.file = self.home / "platform.json"
        self.peers = self.home / "peers.json"
        self.faults_log = self.home / "faults.jsonl"
        self.clocks = self.home / "clocks"

    def up(self, options: Options) -> None:
        began = time.monotonic()
        with self.fresh():
            endpoint, runner_url = self.start_runner_and_peer(options, 10)
            self.deploy_and_start(options, endpoint, runner_url, [])
        say(f"{self.suffix} is up after {time.monotonic() - began:.0f} s")

    def start_peers(self, options: Options) -> None:
        prepare("registry", "emulation")
        if self.have_peers():
            say(f"the peers of {self.suffix} run already, with all that they hold; `make down SUFFIX={self.suffix}` stops them")
            return
        with self.fresh():
            endpoint, runner_url = self.start_runner_and_peer(options, INIT_TIMEOUT)
            registry = self.start_registry()
            self.make_signing_key()
            replace(self.peers, {"aws_endpoint": endpoint, "runner_url": runner_url, "registry": registry})
        say(f"the AWS peer is {endpoint}, the registry {registry}; now push and deploy to them")

    def push(self) -> None:
        peers = self.running_peers()
        command: list[str | Path] = [
            ROOT / "scripts/operate/push-images", "--suffix", self.suffix, "--params", self.home / "params.json",
            "--endpoint-url", peers["aws_endpoint"], "--registry", peers["registry"],
            "--login", f"cat {self.home / 'password'}"]
        environment = {**os.environ, **CREDENTIALS, "AWS": str(install("awscli") / "aws"), "SIGNING_KEY": str(self.home / "signing.pem")}
        if subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, check=False).returncode:
            raise Failure("the push failed")

    def deploy_images(self, options: Options) -> None:
        """The template with the digests that were pushed, and functions out of images that are pulled by them."""
        peers = self.running_peers()
        pushed = subprocess.run([ROOT / "scripts/operate/push-images", "--suffix", self.suffix, "--print"], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        if pushed.returncode:
            raise Failure(pushed.stderr.strip())
        began = time.monotonic()
        self.deploy_and_start(options, peers["aws_endpoint"], peers["runner_url"], pushed.stdout.split())
        say(f"{self.suffix} is deployed after {time.monotonic() - began:.0f} s")

    def running_peers(self) -> dict[str, str]:
        if not self.have_peers():
            raise Failure(f"no peers run for {self.suffix}: scripts/local/platform peers --suffix {self.suffix}")
        return json.loads(self.peers.read_text())

    def have_peers(self) -> bool:
        return self.peers.exists() and all(map(self.processes.pid, PEERS))

    @contextlib.contextmanager
    def fresh(self) -> Iterator[None]:
        self.down()
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except BaseException:
            self.down()
            raise

    def start_runner_and_peer(self, options: Options, init_timeout: int) -> tuple[str, str]:
        install("ministack")
        install("awscli")
        duckdb()
        if options.builds:
            build([*options.programs, *([] if options.faults is None else [FAULTS])])
        runner_url = self.start_runner(init_timeout)
        if options.faults is not None:
            self.start_faults(options.faults)
            self.make_clocks()
        endpoint = self.start_peer(self.invoke_urls(runner_url))
        if options.faults is not None:
            self.ask_faults("PUT", "upstream", {"aws": endpoint, "runner": runner_url})
        return endpoint, runner_url

    def deploy_and_start(self, options: Options, endpoint: str, runner_url: str, images: Sequence[str]) -> None:
        aws = install("awscli") / "aws"
        outputs = self.deploy(aws, endpoint, [*(images or NO_IMAGES), *options.parameters], bool(images))
        self.write(endpoint, runner_url, outputs)
        for file in options.endpoints:
            with tolerating(options.keeps_going):
                self.apply_endpoints(file)
        with tolerating(options.keeps_going):
            self.start_functions(aws, endpoint, runner_url, outputs, options, bool(images))

    def start_registry(self) -> str:
        """With a user AWS and a password, as ECR has; empty."""
        say("starting the registry")
        store, users = self.home / "registry", self.home / "users"
        shutil.rmtree(store, ignore_errors=True)
        password = secrets.token_urlsafe(24)
        private(self.home / "password", password)
        private(users, subprocess.run(["htpasswd", "-nbBi", "AWS"], input=password, capture_output=True, text=True,
                                      check=True).stdout)
        port = free_port()
        config = {"version": "0.1", "log": {"level": "warn"}, "http": {"addr": f"127.0.0.1:{port}"},
                  "storage": {"filesystem": {"rootdirectory": str(store)}},
                  "auth": {"htpasswd": {"realm": "tollgate", "path": str(users)}}}
        # JSON is YAML, too.
        replace(self.home / "registry.yml", config)
        self.processes.spawn("registry", ["docker-registry", "serve", self.home / "registry.yml"], {})
        self.processes.wait("registry", 15, lambda: refuses(f"http://127.0.0.1:{port}/v2/"))
        return f"127.0.0.1:{port}"

    def make_signing_key(self) -> None:
        """Of this registry's images. The parameters are infra/params/local.json's, and the key that verifies."""
        code = """
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
key = ec.generate_private_key(ec.SECP256R1())
print(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
print(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
"""
        pair = subprocess.run([install("signing") / "python", "-c", code], capture_output=True, text=True, check=True).stdout
        private(self.home / "signing.pem", pair.partition("-----BEGIN PUBLIC KEY-----")[0])
        (self.home / "signing.pub").write_text("".join(pair.partition("-----BEGIN PUBLIC KEY-----")[1:]))
        replace(self.home / "params.json", {**json.loads((ROOT / LOCAL_PARAMS).read_text()), "SignatureKey": "signing.pub"})

    def start_runner(self, init_timeout: int) -> str:
        port_file = self.home / "runner.port"
        port_file.unlink(missing_ok=True)
        command = [str(BINARIES / "tollgate-local"), "serve", "--port-file", str(port_file), "--log-dir", str(self.home / "logs"),
                   "--region", REGION, "--account-id", ACCOUNT, "--init-timeout", str(init_timeout)]
        self.processes.spawn("runner", command, {})
        self.processes.wait("runner", 10, port_file.exists)
        return f"http://127.0.0.1:{port_file.read_text()}"

    def start_faults(self, seed: str) -> None:
        port_file = self.home / "faults.port"
        port_file.unlink(missing_ok=True)
        self.faults_log.unlink(missing_ok=True)
        functions = [argument for name in FUNCTIONS for argument in ("--function", name)]
        self.processes.spawn("faults", [BINARIES / FAULTS, "serve", "--port-file", port_file, "--log", self.faults_log, "--seed", seed,
                                        *functions], {})
        self.processes.wait("faults", 10, port_file.exists)

    def make_clocks(self) -> None:
        """A file for each function, by how many seconds its clock is apart, and the library that moves it."""
        self.clocks.mkdir(exist_ok=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.clocks / "clock.so", ROOT / "scripts/prove/clock.c"], check=True)
        for name in FUNCTIONS:
            (self.clocks / name).write_bytes(bytes(8))

    def faults_settings(self) -> dict[str, str]:
        url = self.faults_url()
        return {"faults_url": url, "faults_log": str(self.faults_log), "clock_dir": str(self.clocks)} if url else {}

    def faults_url(self) -> str | None:
        """Of its control requests, where it runs."""
        return f"http://127.0.0.1:{(self.home / 'faults.port').read_text()}" if self.processes.pid("faults") else None

    def ask_faults(self, method: str, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.faults_url()}/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def provider_apis_url(self) -> str:
        """Where the processor asks instead of at providers. Nobody serves there but a test, for as long as it runs."""
        port_file = self.home / "provider-apis.port"
        if not port_file.exists():
            port_file.write_text(str(quiet_port()))
        return f"http://127.0.0.1:{port_file.read_text()}"

    def invoke_urls(self, runner_url: str) -> dict[str, str]:
        """Where each function is invoked."""
        ports = self.ask_faults("GET", "ports") if self.faults_url() else None
        return {name: f"http://127.0.0.1:{ports['invoke']}/{name}" if ports else runner_url for name in FUNCTIONS}

    def aws_endpoints(self, endpoint: str) -> dict[str, str]:
        """Where each function finds AWS."""
        ports = self.ask_faults("GET", "ports") if self.faults_url() else None
        return {name: f"http://127.0.0.1:{ports['aws'][name]}" if ports else endpoint for name in FUNCTIONS}

    def start_peer(self, invoke_urls: Mapping[str, str]) -> str:
        command = [install("ministack") / "python", ROOT / "scripts/lib/start_ministack.py"]
        say("starting the AWS peer")
        proxies = {f"MINISTACK_LAMBDA_PROXY_{FUNCTIONS[name]}-{self.suffix}":
                   f"{url}/functions/{FUNCTIONS[name]}-{self.suffix}/invocations" for name, url in invoke_urls.items()}
        for attempt in range(3):
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            # Nothing else is inherited: no proxy, no profile, no setting of another peer.
            self.processes.spawn("peer", command, {
                "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1",
                "MINISTACK_REGION": REGION, "MINISTACK_ACCOUNT_ID": ACCOUNT, "LOG_LEVEL": "WARNING",
                "HOME": str(self.home), "TMPDIR": str(self.home), **proxies})
            try:
                self.processes.wait("peer", 30, functools.partial(answers, f"{url}/_ministack/health"))
                return url
            except Failure:
                # Somebody may have taken the port in between.
                self.processes.stop("peer")
                if attempt == 2:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def deploy(self, aws: Path, endpoint: str, parameters: Sequence[str], from_images: bool) -> dict[str, str]:
        say("deploying the template to it")
        log = self.home / "deploy.log"
        params = ["--params", LOCAL_PARAMS]
        if from_images:
            params = ["--params", str(self.home / "params.json"), "--login", f"cat {self.home / 'password'}"]
        command: list[str | Path] = [ROOT / "scripts/operate/deploy", "--suffix", self.suffix, *params,
                                     "--endpoint-url", endpoint, *parameters]
        with log.open("w") as out:
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  env={**base_environment(), **CREDENTIALS, "AWS": str(aws)}, timeout=300, check=False)
        if done.returncode:
            raise Failure(f"the deployment failed:\n{tail(log)}")
        stack = aws_json(aws, endpoint, "cloudformation", "describe-stacks", "--stack-name",
                         f"tollgate-{self.suffix}")["Stacks"][0]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def start_functions(self, aws: Path, endpoint: str, runner_url: str, outputs: Mapping[str, str], options: Options,
                        from_images: bool) -> None:
        """Each with the very variables, memory and timeout that the deployment gave it."""
        say("pulling the images and starting the functions" if from_images else "starting the functions")
        engine = self.engine() if from_images else None
        aws_endpoints = self.aws_endpoints(endpoint)
        # An image's function is another machine's program.
        moves_clocks = self.faults_url() is not None and not from_images

        def start(name: str) -> str | None:
            function = outputs[f"{logical(name)}Function"]
            deployed = aws_json(aws, endpoint, "lambda", "get-function", "--function-name", function)
            settings, image = deployed["Configuration"], deployed["Code"]["ImageUri"]
            if engine:
                engine.pull(image)
                program = {"binary": str(ROOT / "scripts/local/run-image"), "arguments": [engine.name, str(self.home), image]}
            else:
                program = {"binary": str(options.functions / name)}
            body = {
                **program, "copies": options.copies.get(name, COPIES[name] if not engine else 1),
                "memory_mb": settings["MemorySize"], "timeout_seconds": settings["Timeout"],
                "environment": {**settings["Environment"]["Variables"], **CREDENTIALS, "AWS_ENDPOINT_URL": aws_endpoints[name]},
            }
            if name == "processor":
                # No template has it: a provider's key goes to the provider alone.
                body["environment"]["TEST_PROVIDER_APIS_URL"] = self.provider_apis_url()
            if moves_clocks:
                body["clock"] = str(self.clocks / name)
                body["environment"] |= {"LD_PRELOAD": str(self.clocks / "clock.so"), "TOLLGATE_CLOCK": str(self.clocks / name)}
            # For who deploys it again: the same, with new processes.
            (self.home / "functions").mkdir(exist_ok=True)
            private(self.home / "functions" / f"{name}.json", json.dumps(body))
            request = urllib.request.Request(f"{runner_url}/functions/{function}", json.dumps(body).encode(),
                                             method="PUT")
            try:
                # The runner answers once each copy asked for work, or did not in time.
                urllib.request.urlopen(request, timeout=INIT_TIMEOUT + 30).close()
            except urllib.error.HTTPError as error:
                log = self.home / "logs" / f"{function}.log"
                return f"{name} does not start: {error.read().decode()}\n{tail(log)}"
            return None

        with concurrent.futures.ThreadPoolExecutor() as pool:
            problems = [problem for problem in pool.map(start, FUNCTIONS) if problem]
        if problems:
            raise Failure("\n".join(problems))

    def write(self, endpoint: str, runner_url: str, outputs: Mapping[str, str]) -> None:
        replace(self.file, {
            "suffix": self.suffix, "aws_endpoint": endpoint, "region": REGION, "account_id": ACCOUNT,
            "api_url": api_url(endpoint, outputs), "runner_url": runner_url, "log_dir": str(self.home / "logs"),
            "outputs": outputs,
            "duckdb": str(duckdb()),
            "provider_apis_url": self.provider_apis_url(),
            "functions": {name: outputs[f"{logical(name)}Function"] for name in FUNCTIONS},
            **self.faults_settings(),
        })

    def apply_endpoints(self, file: Path) -> None:
        say(f"applying {file.relative_to(ROOT)}, with secrets of its own")
        log = self.home / "endpoints.log"
        command: list[str | Path] = [BINARIES / "tollgate", "endpoints", "apply", file, "--new", "--generate-secrets"]
        with log.open("w") as out:
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  env={**base_environment(), **CREDENTIALS, "TOLLGATE_PLATFORM": str(self.file)},
                                  timeout=60, check=False)
        if done.returncode:
            raise Failure(f"the endpoints cannot be applied:\n{tail(log)}")

    def engine(self) -> Engine:
        engine = Engine(self.home / "login")
        engine.login(json.loads(self.peers.read_text())["registry"], (self.home / "password").read_text())
        return engine

    def show(self) -> None:
        platform = json.loads(self.file.read_text())
        say(f"state and logs in {self.home.relative_to(ROOT)}; the API is {platform['api_url']}")
        say("try it: 401, since it is not signed; then signed; docs/senders.md sends to an endpoint of your own")
        print(f"  curl -i -d '{{}}' {platform['api_url']}/webhook/stripe-eu")
        tool, file = (os.path.relpath(path, ROOT) for path in (BINARIES / "tollgate", self.file))
        print(f"  {tool} send --endpoint stripe-eu --platform {file}")
        say("look at it in a browser (docs/console.md)")
        print(f"  {tool} console --write --platform {file}")

    def run(self, options: Options, command: Sequence[str]) -> int:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"another run uses the platform {self.suffix}: take another --suffix") from None
            return self.run_locked(options, command)

    def run_locked(self, options: Options, command: Sequence[str]) -> int:
        self.up(options)
        child = None
        try:
            environment = {**os.environ, "TOLLGATE_PLATFORM": str(self.file)}
            # In this process group: a Ctrl-C reaches the command, too.
            child = subprocess.Popen(command, env=environment)
            status = child.wait()
            return 128 - status if status < 0 else status
        finally:
            if child and child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
            self.down()

    def down(self) -> None:
        for name in PARTS:
            self.processes.stop(name)
        if self.peers.exists():
            self.remove_containers()
        self.file.unlink(missing_ok=True)
        self.peers.unlink(missing_ok=True)

    def remove_containers(self) -> None:
        """Each ends by itself when its runner is gone, unless it hangs."""
        engine = Engine(self.home / "login")
        left = engine("ps", "--all", "--quiet", "--filter", f"label=tollgate.platform={self.home}").split()
        if left:
            engine("rm", "--force", *left)

    def status(self) -> int:
        parts = [name for name in PARTS if name in ("peer", "runner") or (self.home / f"{name}.pid").exists()]
        alive = {name: self.processes.pid(name) for name in parts}
        for name, pid in alive.items():
            say(f"{name}: {f'running, process {pid}' if pid else 'not running'}")
        if not all(alive.values()) or not self.file.exists():
            return 1
        platform = json.loads(self.file.read_text())
        with urllib.request.urlopen(platform["runner_url"] + "/functions", timeout=10) as answer:
            for one in json.load(answer)["functions"]:
                say(f"{one['name']}: {one['alive']} of {len(one['copies'])} copies alive, {one['invocations']} "
                    f"invocations, {one['errors']} errors, {one['restarts']} restarts, {one['waiting']} waiting")
        self.show()
        return 0


def prepare(*parts: str) -> None:
    """What images need of this machine, as far as it can be installed; the tests of presence are where it is used."""
    if shutil.which("docker-registry") and shutil.which("htpasswd") and Path(EMULATOR).exists():
        return
    if subprocess.run([ROOT / "scripts/local/setup-container-host", *parts], stdin=subprocess.DEVNULL, check=False).returncode:
        raise Failure("this machine is not ready for images")


def api_url(endpoint: str, outputs: Mapping[str, str]) -> str:
    """Where the peer serves what has a host of its own on AWS, for each Ingress of the template."""
    if "ApiId" in outputs:
        return f"{endpoint}/restapis/{outputs['ApiId']}/{outputs['ApiStage']}/_user_request_"
    if "HttpApiId" in outputs:
        return f"{endpoint}/_aws/execute-api/{outputs['HttpApiId']}/{outputs['ApiStage']}"
    url_id = outputs["ApiUrl"].removeprefix("https://").split(".")[0]
    return f"{endpoint}/_aws/lambda-url/{url_id}"
