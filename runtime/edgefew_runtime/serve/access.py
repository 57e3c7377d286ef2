"""Who may do what: tokens and their roles."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import HTTPConnection

from ..errors import EdgeFewError

OPERATOR, TEACHER = "operator", "teacher"
ROLES = (OPERATOR, TEACHER)
"""Each may also do what those before it may."""

_LEAST = 16
_LONGEST_FILE = 65_536


class AccessError(EdgeFewError):
    """A token is missing, unknown, or of a role that may not do this.

    Attributes:
        status: the HTTP status that says so.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Tokens:
    """The known tokens, as hashes.

    Args:
        roles: the role of each token.
    """

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = {_digest(token): role for token, role in roles.items()}

    @classmethod
    def new(cls) -> tuple[Tokens, str]:
        """Those of one new token for a teacher, and the token."""
        token = secrets.token_urlsafe(24)
        return cls({token: TEACHER}), token

    @classmethod
    def read(cls, file: Path) -> Tokens:
        """Those of a file with a role and a token a line: `teacher 8Fh…`; lines that begin with # say nothing.

        Raises:
            EdgeFewError: it cannot be read, others than its owner can read it, or a line is none.
        """
        try:
            mode = file.stat().st_mode
            with file.open("rb") as opened:
                text = opened.read(_LONGEST_FILE).decode()
        except (OSError, ValueError) as error:
            raise EdgeFewError(f"The token file {file} cannot be read: {error}.") from None
        if stat.S_IMODE(mode) & 0o077:
            raise EdgeFewError(f"Others than its owner can read or write {file}. Close it to them: chmod 600 {file}")
        roles: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2 or words[0] not in ROLES or len(words[1]) < _LEAST:
                raise EdgeFewError(
                    f"Line {number} of {file} is none: a role ({', '.join(ROLES)}), a blank and a token of at least "
                    f"{_LEAST} characters were expected."
                )
            roles[words[1]] = words[0]
        if not roles:
            raise EdgeFewError(f"{file} holds no token. Write a line such as: teacher {secrets.token_urlsafe(24)}")
        return cls(roles)

    def role(self, connection: HTTPConnection) -> str | None:
        """The role of who asks, by the header Authorization; None without a known token."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        given = _digest(token.strip())
        found = None
        for digest, role in self._roles.items():  # all of them: the time must not say which
            if hmac.compare_digest(given, digest):
                found = role
        return found

    def require(self, connection: HTTPConnection, role: str) -> None:
        """Pass if who asks has this role or a higher one.

        Raises:
            AccessError: there is no known token (401), or its role may not (403).
        """
        own = self.role(connection)
        if own is None:
            raise AccessError("A token is needed that this server knows: the header Authorization: Bearer TOKEN.", 401)
        if ROLES.index(own) < ROLES.index(role):
            raise AccessError(f"The token is an {own}'s; a {role}'s is needed for this. Nothing was changed.", 403)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
