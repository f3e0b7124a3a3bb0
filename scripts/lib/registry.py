"""An image registry by its HTTP API (OCI distribution specification 1.1): manifests, blobs, and what refers to an image."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from container_engine import is_local
from machine import Failure

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
# Lambda takes these, and no index, which may hold several platforms or an attestation.
MANIFESTS = (OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
# Image specification 1.1, "Guidance for an Empty Descriptor".
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
# What is read into memory at most: the largest image that scripts/check/images lets pass is 10 MB.
LARGEST = 64 * 1024 * 1024
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """Calls of one registry, as the user AWS. ECR keeps to the same interface."""

    def __init__(self, host: str, password: str) -> None:
        self.host = host
        self.url = f"{'http' if is_local(host) else 'https'}://{host}/v2"
        self.authorization = "Basic " + base64.b64encode(f"AWS:{password}".encode()).decode()

    def manifest(self, repository: str, reference: str) -> dict[str, Any] | None:
        """What an image is, by tag or digest; None where there is none."""
        found = self.raw_manifest(repository, reference)
        if found is None:
            return None
        data, media_type = found
        image = {"digest": digest_of(data), "media_type": media_type, "os": "", "architecture": "", "user": "", "config": "",
                 "bytes": 0}
        if media_type in MANIFESTS:
            manifest = json.loads(data)
            config = json.loads(self.blob(repository, manifest["config"]["digest"]))
            image |= {"os": config["os"], "architecture": config["architecture"],
                      "user": config.get("config", {}).get("User", ""),
                      "config": manifest["config"]["digest"].removeprefix("sha256:"),
                      "bytes": sum(layer["size"] for layer in manifest["layers"])}
        return image

    def raw_manifest(self, repository: str, reference: str) -> tuple[bytes, str] | None:
        """Its bytes and media type. By digest, the bytes are those that have the digest."""
        answer = self.call("GET", f"{repository}/manifests/{reference}", accept=", ".join((*MANIFESTS, OCI_INDEX)), absent=True)
        if answer is None:
            return None
        data, headers = answer
        if DIGEST.fullmatch(reference) and digest_of(data) != reference:
            raise Failure(f"{self.host} answers other bytes than {repository}@{reference}: they were altered")
        return data, headers.get_content_type()

    def blob(self, repository: str, digest: str) -> bytes:
        data, _ = self.call("GET", f"{repository}/blobs/{digest}") or (b"", None)
        if digest_of(data) != digest:
            raise Failure(f"{self.host} answers other bytes than the blob {digest} of {repository}: they were altered")
        return data

    def file(self, repository: str, digest: str, name: str) -> bytes:
        """A file of an image, out of the last layer that has it."""
        found = self.raw_manifest(repository, digest)
        if found is None:
            raise Failure(f"{repository}@{digest} is not there")
        for layer in reversed(json.loads(found[0])["layers"]):
            with tarfile.open(fileobj=io.BytesIO(self.blob(repository, layer["digest"]))) as archive:
                for member in archive.getmembers():
                    if member.name.removeprefix("./").removeprefix("/") == name and (data := archive.extractfile(member)):
                        return data.read()
        raise Failure(f"{repository}@{digest} has no {name}")

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Descriptors of what names an image as its subject."""
        listed = self.listed_referrers(repository, digest)
        return self.tagged_referrers(repository, digest) if listed is None else listed

    def listed_referrers(self, repository: str, digest: str) -> list[dict[str, Any]] | None:
        """None where the registry has no such call, as before version 1.1 of the specification."""
        path, found = f"{repository}/referrers/{digest}", []
        while path:
            answer = self.call("GET", path, accept=OCI_INDEX, absent=True)
            if answer is None or answer[1].get_content_type() != OCI_INDEX:
                return None
            found += json.loads(answer[0])["manifests"]
            following = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', answer[1].get("Link", ""))
            parts = urllib.parse.urlsplit(following[1] if following else "")
            path = f"{parts.path.removeprefix('/v2/')}?{parts.query}" if following else ""
        return found

    def tagged_referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Of the index that clients keep under a tag, in a registry that keeps no list itself."""
        found = self.raw_manifest(repository, digest.replace(":", "-"))
        return json.loads(found[0])["manifests"] if found else []

    def attach(self, repository: str, digest: str, artifacts: list[tuple[bytes, str, dict[str, str]]]) -> None:
        """Puts artifacts beside an image: of each its bytes, their media type and annotations."""
        subject = self.raw_manifest(repository, digest)
        if subject is None:
            raise Failure(f"{repository}@{digest} is not there")
        there = descriptor(subject[0], subject[1])
        self.put_blob(repository, EMPTY)
        added = []
        for data, media_type, notes in artifacts:
            self.put_blob(repository, data)
            manifest = json.dumps({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": media_type, "config": descriptor(EMPTY, EMPTY_TYPE),
                "layers": [descriptor(data, media_type)], "subject": there, "annotations": notes}).encode()
            self.put_manifest(repository, digest_of(manifest), manifest, OCI_MANIFEST)
            added.append({**descriptor(manifest, OCI_MANIFEST), "artifactType": media_type, "annotations": notes})
        if self.listed_referrers(repository, digest) is None:
            kept = self.tagged_referrers(repository, digest)
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*kept, *added]}
            self.put_manifest(repository, digest.replace(":", "-"), json.dumps(index).encode(), OCI_INDEX)

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> None:
        self.call("PUT", f"{repository}/manifests/{reference}", data=data, content_type=media_type)

    def put_blob(self, repository: str, data: bytes) -> None:
        digest = digest_of(data)
        if self.call("HEAD", f"{repository}/blobs/{digest}", absent=True) is not None:
            return
        _, headers = self.call("POST", f"{repository}/blobs/uploads/", data=b"") or (b"", {})
        location = urllib.parse.urljoin(f"{self.url}/", headers["Location"])
        location += ("&" if "?" in location else "?") + urllib.parse.urlencode({"digest": digest})
        self.call("PUT", location, data=data, content_type="application/octet-stream")

    def call(self, method: str, path: str, accept: str = "*/*", data: bytes | None = None, content_type: str = "",
             absent: bool = False) -> tuple[bytes, Any] | None:
        """Body and headers of the answer. A 404 is None where `absent` allows it."""
        url = path if "://" in path else f"{self.url}/{path}"
        request = urllib.request.Request(url, data, {"Accept": accept}, method=method)
        if content_type:
            request.add_header("Content-Type", content_type)
        # Not to where it redirects: ECR keeps blobs in S3, which has credentials in the address already.
        request.add_unredirected_header("Authorization", self.authorization)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = answer.read(LARGEST + 1)
                if len(body) > LARGEST:
                    raise Failure(f"{self.host}: {path} is larger than {LARGEST} bytes")
                return body, answer.headers
        except urllib.error.HTTPError as error:
            if absent and error.code == 404:
                return None
            raise Failure(f"{self.host} answers {error.code} {error.reason} to {method} {path}") from None
        except urllib.error.URLError as error:
            raise Failure(f"{self.host} does not answer: {error.reason}") from None


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
