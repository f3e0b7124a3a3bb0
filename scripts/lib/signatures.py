"""Signatures of images, and what is attested about them: who signs, what, and who may be believed (docs/images.md).

Three in-toto statements about an image's digest, each in a DSSE envelope, in a Sigstore bundle (version 0.3), as an OCI
referrer of the image: the form that cosign 3 writes, and reads with `--key`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import ROOT, Failure, install, say
from registry import Registry

SOURCE = "https://github.com/tollgate/tollgate"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
# What each statement says of the image: that it may be deployed, how it was made, what is in it.
SIGNED, PROVENANCE, BILL = "https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"
BUILDER = f"{SOURCE}/blob/main/scripts/operate/build-images"
BUILD_TYPE = f"{SOURCE}/blob/main/docs/images.md#signatures"
# A key in AWS KMS, as cosign writes it: awskms:///alias/NAME, awskms:///KEY-ID or awskms:///ARN.
KMS = "awskms:///"
# The private key, if it is a file: its path, and what it is encrypted with.
KEY_FILE, PASSWORD = "SIGNING_KEY", "SIGNING_KEY_PASSWORD"
# As many as one image may have before its list is taken for an attack on the reader.
MOST = 1000


def under_tools() -> None:
    """Runs the same program again under the interpreter that has `cryptography`."""
    python = install("signing") / "python"
    if Path(sys.prefix) != python.parents[1]:
        os.execv(python, [str(python), *sys.argv])


@dataclass
class Signer:
    """Whoever has the private key. `sign` takes a SHA-256 digest and gives an ECDSA signature in DER."""

    public: bytes
    sign: Callable[[bytes], bytes]


def configured_key(params: Path | None) -> str:
    """`SignatureKey` of an environment's file: a KMS key, or a public key's file, beside the environment's."""
    if not params:
        return ""
    try:
        key = json.loads(params.read_text()).get("SignatureKey", "")
    except (OSError, ValueError) as problem:
        raise Failure(f"{params}: {problem}") from None
    if not isinstance(key, str):
        raise Failure(f"{params}: SignatureKey is a text: {KMS}alias/NAME, or the file of a public key")
    return key if not key or key.startswith(KMS) else str(params.parent / key)


def public_key(key: str, kms: Any) -> bytes:
    """In PEM. `kms` is the AWS CLI, and only called for a key in KMS."""
    if not key.startswith(KMS):
        try:
            return Path(key).read_bytes()
        except OSError as problem:
            raise Failure(f"SignatureKey: {problem}") from None
    der = kms().json("kms", "get-public-key", "--key-id", key.removeprefix(KMS))["PublicKey"]
    return f"-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n".encode()


def signer(key: str, kms: Any) -> Signer:
    """Of the configured key. A file's private half is named by the environment, and must belong to it."""
    public = public_key(key, kms)
    if key.startswith(KMS):
        def by_kms(digest: bytes) -> bytes:
            # Out of a file: as an argument, versions 1 and 2 of the CLI read it differently.
            with tempfile.NamedTemporaryFile() as file:
                Path(file.name).write_bytes(digest)
                answer = kms().json("kms", "sign", "--key-id", key.removeprefix(KMS), "--message-type", "DIGEST",
                                    "--signing-algorithm", "ECDSA_SHA_256", "--message", f"fileb://{file.name}")
            return base64.b64decode(answer["Signature"])
        return Signer(public, by_kms)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415, see under_tools
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415
    file = os.environ.get(KEY_FILE)
    if not file:
        raise Failure(f"{key} is to verify images, and nothing signs them: {KEY_FILE} names the file of the private key")
    try:
        password = os.environ.get(PASSWORD, "").encode() or None
        private = serialization.load_pem_private_key(Path(file).read_bytes(), password)
    except (OSError, ValueError, TypeError) as problem:
        raise Failure(f"{KEY_FILE}: {file}: {problem}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise Failure(f"{KEY_FILE}: {file} is no ECDSA key on the curve P-256")
    if private.public_key() != load_public(public):
        raise Failure(f"{KEY_FILE}: {file} is not the private half of {key}")
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
    return Signer(public, lambda digest: private.sign(digest, algorithm))


def load_public(pem: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError) as problem:
        raise Failure(f"SignatureKey: {problem}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Failure("SignatureKey is no ECDSA key on the curve P-256")
    return key


def holds(pem: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    try:
        load_public(pem).verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def encoding(payload: bytes) -> bytes:
    """What a DSSE envelope's signature is of: its pre-authentication encoding, version 1."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def bundle(signer: Signer, digest: str, predicate_type: str, predicate: object) -> tuple[bytes, str, dict[str, str]]:
    """A signed statement, as Registry.attach takes it."""
    statement = {"_type": STATEMENT, "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}}],
                 "predicateType": predicate_type, "predicate": predicate}
    payload = json.dumps(statement, separators=(",", ":")).encode()
    signature = signer.sign(hashlib.sha256(encoding(payload)).digest())
    if not holds(signer.public, encoding(payload), signature):
        raise Failure("the key signs with another one than SignatureKey")
    text = {
        "mediaType": BUNDLE,
        # Which key it is, for readers that have several: the digest of its DER.
        "verificationMaterial": {"publicKey": {"hint": hint(signer.public)}, "tlogEntries": [],
                                 "timestampVerificationData": {"rfc3161Timestamps": []}},
        "dsseEnvelope": {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD,
                         "signatures": [{"sig": base64.b64encode(signature).decode()}]},
    }
    notes = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicate_type}
    return json.dumps(text).encode(), BUNDLE, notes


def hint(pem: bytes) -> str:
    lines = [line for line in pem.decode().splitlines() if line and not line.startswith("-----")]
    return base64.b64encode(hashlib.sha256(base64.b64decode("".join(lines))).digest()).decode()


def sign(registry: Registry, repository: str, digest: str, by: Signer, provenance: object, bill: object) -> None:
    """Attaches what is missing; what the same key has said already is not said again."""
    said = {kind for kind, _ in believed(registry, repository, digest, by.public)[0]}
    wanted = {SIGNED: {}, PROVENANCE: provenance, BILL: bill}
    new = [bundle(by, digest, kind, predicate) for kind, predicate in wanted.items() if kind not in said]
    if new:
        registry.attach(repository, digest, new)
    say(f"{repository}: {len(new)} statements signed" + (f", {len(said)} were there" if said else ""))


def verify(registry: Registry, image: str, built_as: str, pem: bytes) -> str:
    """The revision of an image that the key's holder signed as `built_as`, with its bill of materials; a failure for any other
    image."""
    match = re.fullmatch(r"([^/@]+)/([^@:]+)@(sha256:[0-9a-f]{64})", image)
    if not match:
        raise Failure(f"{image} is not named by its digest: nothing can be known of what it will be")
    host, repository, digest = match.groups()
    if host != registry.host:
        raise Failure(f"{image} is in another registry than {registry.host}, whose signatures can be read")
    if registry.raw_manifest(repository, digest) is None:
        raise Failure(f"{image} is not there")
    statements, others = believed(registry, repository, digest, pem)
    missing = [name for kind, name in ((SIGNED, "signature"), (PROVENANCE, "provenance"), (BILL, "bill of materials"))
               if kind not in dict(statements)]
    if missing:
        raise Failure(f"{image} must not be deployed: no {' and no '.join(missing)} that SignatureKey verifies. "
                      + (f"Beside it {'; '.join(sorted(set(others)))}" if others else "Nothing is beside it: it was never signed"))
    provenance = dict(statements)[PROVENANCE]
    try:
        if provenance["runDetails"]["builder"]["id"] != BUILDER:
            raise Failure(f"{image} must not be deployed: it was built by {provenance['runDetails']['builder']['id']}")
        parameters = provenance["buildDefinition"]["externalParameters"]
        if parameters["image"] != built_as:
            raise Failure(f"{image} must not be deployed: it was built as {parameters['image']} and not as {built_as}")
        return str(parameters["revision"])
    except (LookupError, TypeError):
        raise Failure(f"{image} must not be deployed: its provenance does not say who built what") from None


def believed(registry: Registry, repository: str, digest: str, pem: bytes) -> tuple[list[tuple[str, Any]], list[str]]:
    """(kind, predicate) of each statement about this very digest that the key signed; and why others are not."""
    statements, refused = [], []
    found = registry.referrers(repository, digest)
    if len(found) > MOST:
        raise Failure(f"{repository}@{digest} has {len(found)} referrers, more than the {MOST} that are read")
    for one in found:
        if one.get("artifactType") != BUNDLE:
            continue
        try:
            statements.append(opened(read(registry, repository, one["digest"]), digest, pem))
        except Wrong as wrong:
            refused.append(f"is {wrong}")
    return statements, refused


class Wrong(Exception):
    """Why a bundle says nothing for an image."""


def read(registry: Registry, repository: str, digest: str) -> bytes:
    found = registry.raw_manifest(repository, digest)
    if found is None:
        raise Wrong("a signature that the registry lists and does not have")
    try:
        layers = json.loads(found[0])["layers"]
        return registry.blob(repository, layers[0]["digest"])
    except (ValueError, LookupError, TypeError):
        raise Wrong("an artifact that is no bundle") from None


def opened(text: bytes, digest: str, pem: bytes) -> tuple[str, Any]:
    try:
        envelope = json.loads(text)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        kind = envelope["payloadType"]
    except (ValueError, LookupError, TypeError, binascii.Error):
        raise Wrong("an artifact that is no bundle of an envelope") from None
    # The signature is looked at before anything in it.
    if not holds(pem, encoding(payload), signature):
        raise Wrong("a statement that another key signed, or that was altered")
    if kind != PAYLOAD:
        raise Wrong("a signed text that is no statement")
    try:
        statement = json.loads(payload)
        subjects = [one["digest"]["sha256"] for one in statement["subject"]]
        if statement["_type"] != STATEMENT or subjects != [digest.removeprefix("sha256:")]:
            raise Wrong("a signed statement about another image")
        return statement["predicateType"], statement["predicate"]
    except (ValueError, LookupError, TypeError):
        raise Wrong("a signed text that is no statement") from None


def provenance(image: str, revision: str, version: str, materials: Sequence[str]) -> dict[str, Any]:
    """SLSA provenance, version 1: `image` is the repository without its environment, `materials` are package URLs."""
    lock = hashlib.sha256((ROOT / "Cargo.lock").read_bytes()).hexdigest()
    commit = revision.partition("-")[0]
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"source": f"git+{SOURCE}", "revision": revision, "image": image, "version": version},
            "resolvedDependencies": [
                {"uri": f"git+{SOURCE}@{commit}", "digest": {"gitCommit": commit}},
                {"uri": f"git+{SOURCE}@{commit}#Cargo.lock", "digest": {"sha256": lock}},
                *({"uri": one} for one in sorted(materials)),
            ],
        },
        "runDetails": {"builder": {"id": BUILDER}},
    }
