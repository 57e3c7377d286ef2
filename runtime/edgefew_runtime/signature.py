"""Whether a bundle's files are those that the holder of a private key signed.

`model.sig` is a file of OpenSSF model-signing 1.x, signed with an elliptic-curve key: a Sigstore bundle (v0.3) around a
DSSE envelope (https://github.com/secure-systems-lab/dsse, protocol.md), around an in-toto statement that lists the
SHA-256 of every file. `edgefew sign` writes it; `model_signing verify key` reads it too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bundle
from .errors import RuntimeMissingError, SignatureError
from .regular_file import read_regular, shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""The curves that model-signing knows, and the hash that each signs with."""

MAX_KEYS = 16

_MAX_KEY_FILE = 1 << 16
_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----")


@dataclass(frozen=True)
class PublicKey:
    """A public key that bundles may be signed for.

    Attributes:
        fingerprint: SHA-256 of its PEM text, 64 hexadecimal digits; model-signing's hint, and what
            `openssl ec -in private.pem -pubout | sha256sum` gives.
        key: the key itself, of `cryptography`.
    """

    fingerprint: str
    key: EllipticCurvePublicKey

    @classmethod
    def of(cls, key: object) -> PublicKey:
        """The key, if it is of a kind that can be used.

        Raises:
            ValueError: it is not.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

        if not isinstance(key, EllipticCurvePublicKey):
            raise ValueError("it is no elliptic-curve key")
        if key.curve.name not in CURVES:
            raise ValueError(f"its curve is {key.curve.name}")
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(hashlib.sha256(pem).hexdigest(), key)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether its private half made this signature (ECDSA, DER) of the message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        algorithm: HashAlgorithm = getattr(hashes, CURVES[self.key.curve.name])()
        try:
            self.key.verify(signature, message, ECDSA(algorithm))
        except InvalidSignature:
            return False
        return True


def read_public_keys(file: Path) -> list[PublicKey]:
    """The keys in a PEM file: one, or while keys are changed the old and the new.

    Raises:
        SignatureError: the file cannot be read, or holds anything else.
        RuntimeMissingError: `cryptography` is not installed.
    """
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        text = read_regular(file, _MAX_KEY_FILE).decode("ascii")
        if "PRIVATE KEY-----" in text:
            raise ValueError("it holds a private key, which must not be on a device")
        blocks = _PEM.findall(text)
        # Not only the blocks that are whole: a key that was cut off must not be passed over.
        if not 0 < len(blocks) <= MAX_KEYS or len(blocks) != text.count("-----BEGIN"):
            raise ValueError(f"1 to {MAX_KEYS} blocks -----BEGIN PUBLIC KEY----- and nothing else were expected")
        return [PublicKey.of(load_pem_public_key(block.encode())) for block in blocks]
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise SignatureError(
            f"{shown(file)} cannot be used as the public key that bundles are signed for: {reason}. Give a PEM file "
            "with the public half of a P-256, P-384 or P-521 key: openssl ec -in private.pem -pubout -out public.pem"
        ) from None


def check_signature(path: Path, content: bytes | None, digests: Mapping[str, str], keys: Sequence[PublicKey]) -> None:
    """Refuse a bundle whose files are not those that one of the keys signed: all of them, and no other.

    Args:
        path: the bundle, for messages.
        content: its `model.sig`; None if it has none.
        digests: SHA-256 of each of its files as they were read, 64 hexadecimal digits.
        keys: any of them is enough.

    Raises:
        SignatureError: it is not signed, not by these keys, or was changed after it was signed.
    """
    if content is None:
        raise SignatureError(
            f"{path} is not signed (it has no {bundle.SIGNATURE_FILE}), and here bundles must be. Sign it with "
            "`edgefew sign`, or get the signed one."
        )
    try:
        payload, signature = _envelope(content)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(path, error) from None
    message = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    if not any(key.has_signed(message, signature) for key in keys):
        known = ", ".join(f"{key.fingerprint[:12]}…" for key in keys)
        raise SignatureError(
            f"{bundle.SIGNATURE_FILE} of {path} was not made with the private half of the public key set here "
            f"({known}), or was changed since. Do not use this bundle; get it again from who signs for this device."
        )
    # Only now is the statement parsed: until here it was anybody's bytes.
    try:
        signed = _signed_digests(payload)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(path, error) from None
    present = {name: digest for name, digest in digests.items() if name != bundle.SIGNATURE_FILE}
    for name in sorted(signed.keys() | present.keys()):
        if signed.get(name) != present.get(name):
            seen = "is missing" if name not in present else "was added" if name not in signed else "has other bytes"
            raise SignatureError(
                f"{shown(name)} in {path} {seen}: it is not the bundle that was signed. Do not use it; get it again "
                "from who signs for this device."
            )


def require_cryptography() -> None:
    """Refuse to go on without the package that checks signatures.

    Raises:
        RuntimeMissingError: it is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise RuntimeMissingError(
            f"A public key is set, and the package that checks signatures is not installed ({error}). Install it: "
            'pip install "edgefew-runtime[verify]". Without it, no bundle is opened.'
        ) from None


def _unusable(path: Path, error: Exception) -> SignatureError:
    seen = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return SignatureError(
        f"{bundle.SIGNATURE_FILE} of {path} is no signature that can be checked: {seen}. Sign the bundle again with "
        "`edgefew sign`."
    )


def _envelope(content: bytes) -> tuple[bytes, bytes]:
    """The payload and its signature; nothing in them can be trusted yet."""
    document = bundle.parse_json(content)
    _expect("media type", document["mediaType"], _MEDIA_TYPE)
    envelope = document["dsseEnvelope"]
    _expect("payload type", envelope["payloadType"], _PAYLOAD_TYPE)
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise ValueError("one signature was expected")
    return _base64(envelope["payload"]), _base64(signatures[0]["sig"])


def _signed_digests(payload: bytes) -> dict[str, str]:
    """SHA-256 of each file that the statement lists."""
    statement = bundle.parse_json(payload)
    _expect("statement", statement["_type"], _STATEMENT_TYPE)
    _expect("predicate", statement["predicateType"], _PREDICATE_TYPE)
    predicate = statement["predicate"]
    _expect("serialization", predicate["serialization"]["method"], "files")
    digests: dict[str, str] = {}
    for resource in predicate["resources"]:
        name, digest = resource["name"], resource["digest"]
        _expect("hash", resource["algorithm"], "sha256")
        if not (isinstance(name, str) and isinstance(digest, str)) or name in digests:
            raise ValueError("a file that is listed twice or without a name and hash")
        digests[name] = digest
    return digests


def _expect(what: str, seen: Any, expected: str) -> None:
    if seen != expected:
        raise ValueError(f"its {what} is {ascii(seen)[:80]}, {expected} was expected")


def _base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("a part of it is no base64")
    return base64.b64decode(text, validate=True)
