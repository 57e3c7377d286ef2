"""The lock on a gallery: changes need a pass-phrase.

It stops mistakes and bystanders, not someone who can write the file with other tools.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from ..errors import GalleryFormatError, GalleryLockedError, LabelError

META_KEY = "lock"
MIN_PASSPHRASE = 8
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
"""OWASP's setting for scrypt on 16 MiB: about 50 ms for each guess."""


def make_verifier(passphrase: str) -> str:
    """What the gallery keeps to know the pass-phrase by: a salt and scrypt's hash, in hexadecimal."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise LabelError(f"The pass-phrase has {len(passphrase)} characters; at least {MIN_PASSPHRASE} are needed.")
    salt = os.urandom(16)
    return f"{salt.hex()}:{_hash(passphrase, salt).hex()}"


def check(verifier: str | None, passphrase: str | None) -> None:
    """Pass if the gallery is not locked, or if the pass-phrase is right.

    Raises:
        GalleryLockedError: it is locked, and the pass-phrase is missing or wrong.
    """
    if verifier is None:
        return
    if passphrase is None:
        raise GalleryLockedError(
            "The gallery is locked: changes need its pass-phrase (--passphrase-file). Nothing was changed."
        )
    salt, _, expected = verifier.partition(":")
    try:
        salted = bytes.fromhex(salt)
    except ValueError:
        raise GalleryFormatError("The gallery's lock is damaged. Nothing was changed. Restore a copy.") from None
    if not hmac.compare_digest(_hash(passphrase, salted).hex(), expected):
        raise GalleryLockedError("The pass-phrase is wrong. Nothing was changed.")


def _hash(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, **_SCRYPT)
