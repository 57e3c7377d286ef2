"""What every request passes before anything looks at it: hosts, origins, sizes, rates, time; headers of every answer.

A page of another host cannot use this server through a person's browser: requests that name another host (DNS
rebinding) or come from another origin are refused, and no cookie says who asks, so that there is nothing to forge with.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "cache-control": "no-store",
}
_CLIENTS = 4096


@dataclass(frozen=True)
class Limits:
    """What one request, and one client, may ask for.

    Attributes:
        body_bytes: the largest body.
        body_seconds: the longest that a body may take to arrive.
        requests_per_second: of one address, over some seconds.
        at_once: requests in work, of all clients; more are sent away to come again.
    """

    body_bytes: int = 64_000_000
    body_seconds: float = 30.0
    requests_per_second: float = 50.0
    at_once: int = 16


class Guard:
    """The application behind all of it.

    Args:
        app: the application.
        hosts: the names, with ports, by which this server may be called.
        origins: the pages' origins that may call it.
        limits: what may be asked for.
        metrics: what counts the requests.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], origins: frozenset[str], limits: Limits, metrics: Metrics
    ) -> None:
        self._app, self._hosts, self._origins = app, hosts, origins
        self._limits, self._metrics = limits, metrics
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, answer)
        else:
            self._at_once += 1
            try:
                await self._app(scope, self._bounded(receive), answer)
            finally:
                self._at_once -= 1
        self._metrics.count(scope, status, time.perf_counter() - started)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return _refusal(
                421, "host", f"This server is not called {host!r}. Call it by the address it said at start."
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            return _refusal(403, "origin", f"A page of {origin} may not use this server.")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _refusal(403, "origin", "A page of another site may not use this server.")
        if headers.get("content-length", "0").isdigit():
            if int(headers.get("content-length", "0")) > self._limits.body_bytes:
                return _refusal(413, "size", self._too_large())
        else:
            return _refusal(400, "size", "The header Content-Length is no number.")
        if not self._allowed(scope):
            return _refusal(429, "rate", "Too many requests from this address. Wait a second.", {"retry-after": "1"})
        if self._at_once >= self._limits.at_once and not scope["path"].startswith(("/healthz", "/v2/health")):
            return _refusal(503, "busy", "Too many requests are in work. Come again.", {"retry-after": "1"})
        return None

    def _allowed(self, scope: Scope) -> bool:
        """Whether the address has asked less often than it may: a bucket that fills up over five seconds."""
        address = scope["client"][0] if scope.get("client") else ""
        now, most = time.monotonic(), 5 * self._limits.requests_per_second
        left, at = self._left.pop(address, (most, now))
        left = min(most, left + (now - at) * self._limits.requests_per_second)
        self._left[address] = (max(0.0, left - 1), now)
        while len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return left >= 1

    def _bounded(self, receive: Receive) -> Receive:
        """The body, for as long and as far as it may go."""
        got, end = 0, time.monotonic() + self._limits.body_seconds
        whole = False

        async def bounded() -> Message:
            nonlocal got, whole
            if whole:
                return await receive()  # tells of the client's leaving, whenever that is
            with anyio.move_on_after(max(0.0, end - time.monotonic())) as waiting:
                message = await receive()
            if waiting.cancelled_caught:
                raise RefusedError(408, "time", f"The body took longer than {self._limits.body_seconds:.0f} s to come.")
            got += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if got > self._limits.body_bytes:
                raise RefusedError(413, "size", self._too_large())
            return message

        return bounded

    def _too_large(self) -> str:
        return f"The body is larger than {self._limits.body_bytes:,} bytes. Send fewer or smaller frames."


class RefusedError(Exception):
    """A body is too large or too slow; whoever reads it answers so.

    Attributes:
        status: the HTTP status.
        kind: the error's type, for the answer.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


def _refusal(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        {"error": {"type": kind, "message": message}}, status, {"connection": "close", **(headers or {})}
    )
