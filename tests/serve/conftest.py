"""A server of its own for each module."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

TEACHER, OPERATOR = "a-teacher-of-the-tests", "an-operator-of-the-tests"
BOUNDARY = "tests-7d1f"


@dataclass
class Server:
    """A running `edgefew serve`."""

    process: subprocess.Popen[bytes]
    port: int
    options: list[str] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        token: str | None = TEACHER,
        **headers: str,
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        """Status, what the answer says (of JSON: the object), and the answer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            # A service may answer, and close, before it has all of a body that it refuses; its answer is there to read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, quote(path, safe="/?&=%,.:"), data, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = answer.getheader("content-type", "").startswith("application/json")
        return answer.status, json.loads(content) if is_json else content, answer

    def form(self, path: str, files: list[Path], token: str | None = TEACHER, **text: str) -> tuple[int, Any]:
        """The answer to a form with frames."""
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in text.items()
        ]
        for file in files:
            head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="frames"; filename="{file.name}"\r\n\r\n'
            parts.append(head.encode() + file.read_bytes() + b"\r\n")
        body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        status, told, _ = self.ask("POST", path, body, token, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")
        return status, told

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it; gives its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


def start(bundle: Path, gallery: Path, *options: str) -> Server:
    """A server that answers."""
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = gallery.with_name("tokens")
    token.write_text(f"# of the tests\nteacher {TEACHER}\n\noperator {OPERATOR}\n")
    token.chmod(0o600)
    command = [str(Path(sys.executable).with_name("edgefew")), "serve", str(bundle), "--gallery", str(gallery)]
    command += ["--port", str(port), "--token-file", str(token), *options]
    log = gallery.with_name("server.log")
    with log.open("w") as told:
        process = subprocess.Popen(command, stderr=told, env={**os.environ, "OMP_NUM_THREADS": "1"})
    server = Server(process, port, list(options))
    for _ in range(600):
        try:
            if server.ask("GET", "/healthz")[0] == 200:
                return server
        except OSError:
            if process.poll() is not None:
                break
        time.sleep(0.1)
    process.kill()
    process.wait(60)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the tests of a module, with frames kept."""
    running = start(bundle, tmp_path_factory.mktemp("site") / "site.gallery", "--keep-frames", "--max-rate", "1000")
    yield running
    running.kill(signal.SIGTERM)
