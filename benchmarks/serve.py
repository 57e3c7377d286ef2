"""What the service costs beside the library: requests a second on loopback, their 99th percentile, memory.

    python benchmarks/serve.py BUNDLE FRAME [--requests 400]

Starts `edgefew serve` here, enrolls FRAME as a class, and asks what FRAME is over connections that stay open:
by JSON of `/api/v1/classify` from 1 and from 4 clients. Between these, as often, one classifier in this process answers
the same file without a server. Prints one JSON object.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
from edgefew_runtime import Classifier

TOKEN = "a-token-of-the-benchmark"  # noqa: S105
TURNS = 5
"""What is compared takes turns, so that a busy moment does not meet one alone."""


def answered(port: int, body: bytes, count: int, took: list[float]) -> None:
    """Ask so often over one connection; adds the seconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        started = time.perf_counter()
        connection.request("POST", "/api/v1/classify", body, {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}")
        took.append(time.perf_counter() - started)
    connection.close()


def memory_mb(process: int) -> float:
    """Resident memory of a process (Linux)."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1000


def figures(seconds: list[float], wall: float) -> dict[str, float]:
    """Requests a second, median and 99th percentile in ms."""
    ordered = sorted(seconds)
    return {
        "per_second": round(len(seconds) / wall, 1),
        "median_ms": round(1000 * statistics.median(ordered), 3),
        "p99_ms": round(1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3),
    }


def measure(port: int, server: int, bundle: Path, gallery: Path, frame: Path, requests: int) -> dict[str, Any]:
    """The library, one client and four clients, in turns."""
    body, part = frame.read_bytes(), requests // TURNS
    took: dict[str, list[float]] = {"library": [], "1 client": [], "4 clients": []}
    wall = dict.fromkeys(took, 0.0)
    with Classifier.open(bundle, gallery) as classifier:
        answered(port, body, 20, [])
        classifier.classify(frame)
        before = memory_mb(server)
        for _ in range(TURNS):
            for name in took:
                started = time.perf_counter()
                if name == "library":
                    for _ in range(part):
                        one = time.perf_counter()
                        classifier.classify(body)
                        took[name].append(time.perf_counter() - one)
                else:
                    clients = int(name[0])
                    asking = [
                        threading.Thread(target=answered, args=(port, body, part // clients, took[name]))
                        for _ in range(clients)
                    ]
                    for thread in asking:
                        thread.start()
                    for thread in asking:
                        thread.join()
                wall[name] += time.perf_counter() - started
    told: dict[str, Any] = {name: figures(seconds, wall[name]) for name, seconds in took.items()}
    told["memory_mb"] = {"before": round(before, 1), "after": round(memory_mb(server), 1)}
    return told


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("frame", type=click.Path(path_type=Path))
@click.option("--requests", default=400, show_default=True, help="Of each kind.")
def main(bundle: Path, frame: Path, requests: int) -> None:
    """Measure a server of BUNDLE with the picture FRAME."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        gallery, tokens = Path(folder, "site.gallery"), Path(folder, "tokens")
        tokens.touch(mode=0o600)
        tokens.write_text(f"teacher {TOKEN}\n", encoding="ascii")
        with Classifier.open(bundle, gallery) as classifier:
            classifier.enroll("it", [frame])
        command = [str(Path(sys.executable).with_name("edgefew")), "serve", str(bundle), "--gallery", str(gallery)]
        command += ["--port", str(port), "--token-file", str(tokens), "--max-rate", "100000"]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            for _ in range(300):
                try:
                    answered(port, frame.read_bytes(), 1, [])
                    break
                except OSError:
                    time.sleep(0.1)
            click.echo(json.dumps(measure(port, server.pid, bundle, gallery, frame, requests)))
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
