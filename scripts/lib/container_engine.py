"""docker or podman, as scripts/lib/containers.sh chooses, for the scripts in Python."""

import os
import subprocess
from pathlib import Path

from machine import ROOT, Failure


class Engine:
    """Calling it runs the engine and gives what it printed. Credentials are kept in the folder `home`."""

    def __init__(self, home: Path) -> None:
        script = '. scripts/lib/containers.sh && need_engine >&2 && echo "$engine" && echo "${CONTAINERS_CONF-}"'
        chosen = subprocess.run(["bash", "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, check=False)
        if chosen.returncode:
            raise Failure(chosen.stderr.strip())
        self.name, conf = chosen.stdout.split("\n")[:2]
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        self.environment = {**os.environ, "DOCKER_CONFIG": str(home), "REGISTRY_AUTH_FILE": str(home / "auth.json"),
                            **({"CONTAINERS_CONF": conf} if conf else {})}

    def __call__(self, *arguments: str, text: str = "", timeout: int = 1800) -> str:
        done = subprocess.run([self.name, *arguments], env=self.environment, input=text, capture_output=True,
                              text=True, timeout=timeout, check=False)
        if done.returncode:
            raise Failure(f"{self.name} {arguments[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def login(self, registry: str, password: str) -> None:
        self("login", *self.plain(registry), "--username", "AWS", "--password-stdin", registry, text=password)

    def pull(self, image: str) -> None:
        self("pull", "--quiet", *self.plain(image), "--platform", "linux/arm64", image)

    def plain(self, reference: str) -> list[str]:
        """What lets it talk to a registry without TLS: docker does so with any on loopback."""
        return ["--tls-verify=false"] if self.name == "podman" and is_local(reference) else []


def is_local(reference: str) -> bool:
    """Whether a registry, or an image's, is this machine's own."""
    return reference.partition("/")[0].rpartition(":")[0] in ("127.0.0.1", "localhost")
