"""The gallery's interface: what it does, who may, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import select
import signal
import socket
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from edgefew_runtime import Classifier, Gallery, GalleryError
from edgefew_runtime.classifier import FALSE_ACCEPT_RATE
from edgefew_runtime.serve.chosen_rate import ChosenRate
from edgefew_runtime.serve.connection import HEAD_SECONDS
from PIL import Image

from tests.conftest import Cli, draw_class
from tests.serve.conftest import OPERATOR, TEACHER, Server, start


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Path]]:
    folder = tmp_path_factory.mktemp("pictures")
    found: dict[int, list[Path]] = {}
    for kind in (50, 51, 52, 53):
        for take in range(4):
            file = folder / f"kind{kind}-{take}.png"
            draw_class(kind, take % 2, take).save(file)
            found.setdefault(kind, []).append(file)
    return found


def test_a_class_is_taught_and_recognised(server: Server, pictures: dict[int, list[Path]], bundle: Path) -> None:
    for kind in (50, 51):
        dry_status, dry = server.form("/api/v1/enroll", pictures[kind][:3], label=f"kind {kind}", dry_run="true")
        assert (dry_status, dry["dry_run"], dry["examples"]) == (200, True, 3)
    assert server.ask("GET", "/api/v1/classes")[1] == {"classes": []}
    for kind in (50, 51):
        status, told = server.form("/api/v1/enroll", pictures[kind][:3], label=f"kind {kind}", by="Mara")
        assert (status, told["accepted"]) == (200, [file.name for file in pictures[kind][:3]])
        assert [report["name"] for report in told["diagnosis"]["examples"]] == told["accepted"]
    (one, two) = server.ask("GET", "/api/v1/classes")[1]["classes"]
    assert (one["label"], one["examples"], one["judged"]) == ("kind 50", 3, 3)
    assert two["recognised"] in range(4)
    asked = pictures[51][3].read_bytes()
    status, answer, _ = server.ask("POST", "/api/v1/classify?map=true", asked, OPERATOR, Content_Type="image/png")
    assert (status, answer["label"], len(answer.pop("point"))) == (200, "kind 51", 2)
    with Classifier.open(bundle) as classifier:
        for kind in (50, 51):
            classifier.enroll(f"kind {kind}", list(pictures[kind][:3]))
        assert answer == pytest.approx(classifier.classify(pictures[51][3]).to_dict())
    points = server.ask("GET", "/api/v1/map")[1]["points"]
    assert sorted(point["label"] for point in points) == ["kind 50"] * 3 + ["kind 51"] * 3


def test_what_was_taught_can_be_changed_and_taken_back(server: Server, pictures: dict[int, list[Path]]) -> None:
    label = "a/b ü%"
    assert server.form("/api/v1/enroll", pictures[52][:2], label=label)[0] == 200
    before = server.ask("GET", "/api/v1/status")[1]["gallery"]["revision"]
    path = "/api/v1/classes/a/b ü%25"
    examples = server.ask("GET", "/api/v1/examples?label=a/b ü%25")[1]["examples"]
    assert [one["source"] for one in examples] == ["kind52-0.png", "kind52-1.png"]
    status, small, answer = server.ask("GET", f"/api/v1/examples/{examples[0]['id']}/thumbnail")
    assert (status, answer.getheader("content-type"), small[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    assert server.ask("DELETE", f"/api/v1/examples/{examples[0]['id']}?by=Mara")[1]["source"] == "kind52-0.png"
    assert server.ask("GET", "/api/v1/status")[1]["gallery"]["revision"] != before
    assert server.ask("PATCH", path, {"label": "c", "by": "Mara"})[0] == 200
    assert server.ask("DELETE", "/api/v1/classes/c")[1] == {"label": "c", "examples": 1}
    stale = server.ask("POST", "/api/v1/undo", {"revision": before})
    assert (stale[0], stale[1]["error"]["type"]) == (409, "NothingToUndoError")
    undone = [server.ask("POST", "/api/v1/undo", {"by": "Mara"})[1]["kind"] for _ in range(3)]
    assert undone == ["forget", "rename", "remove"]
    assert len(server.ask("GET", "/api/v1/examples?label=a/b ü%25")[1]["examples"]) == 2
    events = server.ask("GET", "/api/v1/log?limit=4")[1]["events"]
    assert [event["kind"] for event in events] == ["undo", "undo", "undo", "forget"]
    older = server.ask("GET", f"/api/v1/log?limit=2&before={events[-1]['id']}")[1]["events"]
    assert [(event["kind"], event["actor"]) for event in older] == [("rename", "Mara"), ("remove", "Mara")]
    assert server.ask("GET", "/api/v1/log/verify")[1]["problems"] == []


def test_promises_are_told_and_set(server: Server, pictures: dict[int, list[Path]]) -> None:
    strict, loose = server.ask("GET", "/api/v1/promise?rates=0.000001,0.2")[1]["promises"]
    assert (strict["threshold"], strict["strangers_needed"]) == (None, 2995731)
    assert loose["false_accept_rate"] == 0.2
    assert server.ask("PUT", "/api/v1/operating-point", {"false_accept_rate": None})[1] == {"promise": None}
    asked = pictures[53][0].read_bytes()
    assert server.ask("POST", "/api/v1/classify", asked)[1]["known"] is True
    told = server.ask("PUT", "/api/v1/operating-point", {"false_accept_rate": 1e-6})[1]
    assert told["promise"]["threshold"] is None
    assert server.ask("POST", "/api/v1/classify", asked)[1]["known"] is False
    for wrong in ("0.2", True, float("nan"), 2, -1):
        assert server.ask("PUT", "/api/v1/operating-point", {"false_accept_rate": wrong})[0] == 400
    assert server.ask("PUT", "/api/v1/operating-point", {"false_accept_rate": 0.05})[0] == 200
    status, added = server.form("/api/v1/strangers", pictures[53][:2], by="Mara")
    assert (status, len(added["accepted"])) == (200, 2)
    assert server.ask("GET", "/api/v1/promise?rates=0.05")[1]["promises"][0]["strangers"] == 2
    assert server.ask("DELETE", "/api/v1/strangers")[1] == {"strangers": 2}


def test_a_class_pack_goes_from_one_to_another(
    server: Server, pictures: dict[int, list[Path]], bundle: Path, tmp_path: Path
) -> None:
    server.form("/api/v1/enroll", pictures[50][:2], label="kind 50")
    status, pack, _ = server.ask("GET", "/api/v1/packs?label=kind 50")
    assert status == 200
    other = start(bundle, tmp_path / "other.gallery")
    try:
        assert other.ask("POST", "/api/v1/packs", b"no pack")[0] == 400
        assert other.ask("POST", "/api/v1/packs?by=Mara", pack)[1]["added"] == {"kind 50": 3}
        assert other.ask("POST", "/api/v1/packs", pack)[1]["added"] == {}
        assert other.form("/api/v1/enroll", pictures[50][:1], label="another")[0] == 409
    finally:
        assert other.kill(signal.SIGTERM) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong-token-wrong-token", 401), (OPERATOR, 403)])
def test_only_a_teacher_changes_anything(
    server: Server, token: str | None, status: int, pictures: dict[int, list[Path]]
) -> None:
    before = server.ask("GET", "/api/v1/status")[1]["gallery"]
    document = server.ask("GET", "/api/v1/openapi.json", token=None)[1]
    changing = [
        (method.upper(), re.sub(r"\{id\}", "1", path).replace("{label}", "kind 50"))
        for path, methods in document["paths"].items()
        for method, told in methods.items()
        if told["x-role"] == "teacher"
    ]
    assert len(changing) >= 10
    for method, path in changing:
        assert server.ask(method, path, {"label": "x"}, token)[0] == status, (method, path)
    assert server.form("/api/v1/enroll", pictures[50], token, label="x")[0] == status
    assert server.ask("GET", f"/api/v1/status?token={TEACHER}", token=None)[1]["role"] is None
    assert server.ask("GET", "/api/v1/status")[1]["gallery"] == before


def test_the_document_tells_of_every_route_and_its_answers_fit(server: Server) -> None:
    from edgefew_runtime.serve.access import Tokens
    from edgefew_runtime.serve.api import Api

    document = server.ask("GET", "/api/v1/openapi.json", token=None)[1]
    operations = Api(None, Tokens({})).operations()  # type: ignore[arg-type]
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {(one.method, re.sub(r":\w+\}", "}", one.path)) for one in operations}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            names = re.findall(r"\{(\w+)\}", path)
            assert [p["name"] for p in one["parameters"] if p["in"] == "path"] == names
            filled = path.replace("{id}", "999999").replace("{label}", "none of them")
            status, answer, _ = server.ask(method.upper(), filled, b"{", Content_Type="application/json")
            assert str(status) in one["responses"], (method, path, status)
            if status != 200:
                assert set(answer["error"]) == {"type", "message"}, (method, path)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/api/v1/classify", b"", 400, "the frame"),
        ("POST", "/api/v1/classify", b"no picture", 400, "the frame"),
        ("POST", "/api/v1/classify?map=maybe", b"", 400, "true or false"),
        ("POST", "/api/v1/enroll", b"", 400, "multipart/form-data"),
        ("POST", "/api/v1/undo", b"[1]", 400, "JSON object"),
        ("POST", "/api/v1/undo", b"[" * 100_000, 400, "JSON object"),
        ("PATCH", "/api/v1/classes/none", b'{"label": 3}', 400, "label is missing"),
        ("PATCH", "/api/v1/classes/none", b'{"label": "a", "by": "\\u0007"}', 400, "by must be a name"),
        ("PATCH", "/api/v1/classes/none", b'{"label": "a"}', 404, "none"),
        ("GET", "/api/v1/log?limit=0", None, 400, "limit is '0'"),
        ("GET", "/api/v1/log?before=%E2%91%A0", None, 400, "a whole number"),
        ("GET", "/api/v1/promise?rates=a", None, 400, "numbers with commas"),
        ("GET", "/api/v1/promise?rates=0", None, 400, "rate"),
        ("GET", "/api/v1/examples/123456789/thumbnail", None, 404, "123456789"),
        ("GET", "/api/v1/examples/-1/thumbnail", None, 404, "There is no GET /api/v1/examples/-1/thumbnail"),
        ("PUT", "/api/v1/classes", b"", 405, "There is no PUT /api/v1/classes"),
        ("GET", "/api/v1/examples", None, 400, "label is missing"),
        ("GET", "/api/v1/packs?label=none", None, 404, "none"),
        ("POST", "/api/v1/packs", b"", 400, "empty"),
    ],
)
def test_a_mistake_is_told(server: Server, method: str, path: str, body: bytes | None, status: int, says: str) -> None:
    got, told, _ = server.ask(method, path.replace("%E2%91%A0", "①"), body)
    assert (got, says in told["error"]["message"]) == (status, True), told


def test_other_hosts_and_other_pages_are_refused(server: Server) -> None:
    assert server.ask("GET", "/", token=None, Host="evil.example")[0] == 421
    assert server.ask("GET", "/", token=None, Host=f"evil.example:{server.port}")[0] == 421
    assert server.ask("GET", "/api/v1/status", Origin="https://evil.example")[0] == 403
    assert server.ask("GET", "/api/v1/status", Origin="null")[0] == 403
    assert server.ask("POST", "/api/v1/undo", Sec_Fetch_Site="cross-site")[0] == 403
    assert server.ask("GET", "/api/v1/status", Origin=f"http://127.0.0.1:{server.port}")[0] == 200
    answer = server.ask("GET", "/", token=None)[2]
    assert "default-src 'none'" in answer.getheader("content-security-policy", "")
    assert "unsafe" not in answer.getheader("content-security-policy", "")
    assert answer.getheader("access-control-allow-origin") is None
    assert answer.getheader("server") is None


def test_what_is_too_large_is_refused(bundle: Path, tmp_path: Path, pictures: dict[int, list[Path]]) -> None:
    limited = start(bundle, tmp_path / "site.gallery", "--max-body-mb", "1", "--max-rate", "4")
    try:
        assert limited.ask("POST", "/api/v1/classify", bytes(1_000_001))[0] == 413
        with socket.create_connection(("127.0.0.1", limited.port), timeout=30) as raw:  # without saying how much
            head = f"Host: 127.0.0.1:{limited.port}\r\nAuthorization: Bearer {TEACHER}\r\nTransfer-Encoding: chunked"
            raw.sendall(f"POST /api/v1/classify HTTP/1.1\r\n{head}\r\n\r\n".encode())
            for _ in range(20):
                try:
                    raw.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                except OSError:
                    break
            assert b" 413 " in raw.recv(200)
        seen = [limited.ask("GET", "/api/v1/status")[0] for _ in range(60)]
        assert 429 in seen
        assert seen.count(200) < 50
    finally:
        limited.kill(signal.SIGTERM)


def test_slow_clients_stop_nobody(server: Server, pictures: dict[int, list[Path]]) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(b"POST /api/v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9")
        started = time.monotonic()
        assert server.ask("POST", "/api/v1/classify", pictures[50][0].read_bytes())[0] == 200
        assert time.monotonic() - started < 10
    finally:
        for connection in slow:
            connection.close()


def test_a_head_that_does_not_end_is_not_waited_for(server: Server) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as second,
    ):
        second.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert b"200 OK" in second.recv(4096)
        second.sendall(b"GET /healthz HTTP/1.1\r\n")
        started, ends = time.monotonic(), {silent: 0.0, slow: 0.0, second: 0.0}
        waiting = list(ends)
        while waiting:
            assert time.monotonic() - started < 30
            with contextlib.suppress(OSError):
                slow.sendall(b"X")
            for connection in select.select(waiting, [], [], 0.5)[0]:
                with contextlib.suppress(OSError):
                    if connection.recv(4096):
                        continue  # the rest of the answer
                ends[connection] = time.monotonic() - started
                waiting.remove(connection)
    assert all(HEAD_SECONDS - 2 < end < HEAD_SECONDS + 8 for end in ends.values()), ends


def test_the_rate_that_was_chosen_holds_after_the_next_start(bundle: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "site.gallery"

    def rate(*options: str) -> float | None:
        again = start(bundle, gallery, *options)
        promised = again.ask("GET", "/api/v1/status")[1]["promise"]
        again.kill(signal.SIGTERM)
        return None if promised is None else float(promised["false_accept_rate"])

    first = start(bundle, gallery)
    assert first.ask("GET", "/api/v1/status")[1]["promise"]["false_accept_rate"] == FALSE_ACCEPT_RATE
    assert first.ask("PUT", "/api/v1/operating-point", {"false_accept_rate": 0.1})[0] == 200
    first.kill()
    assert (rate(), rate("--false-accept-rate", "0.2"), rate()) == (0.1, 0.2, 0.1)
    chosen = ChosenRate(gallery)
    chosen.write(None)
    assert rate() is None
    for wrong in ("{}", "[", '{"false_accept_rate": 7}', '{"false_accept_rate": "x"}'):
        chosen.file.write_text(wrong)
        with pytest.raises(GalleryError, match="Delete it"):
            chosen.read(0.01)


def test_what_was_acknowledged_survives_a_kill(bundle: Path, tmp_path: Path, pictures: dict[int, list[Path]]) -> None:
    gallery = tmp_path / "site.gallery"
    server = start(bundle, gallery, "--max-rate", "1000")
    acknowledged: list[str] = []

    def teach() -> None:
        for number in range(200):
            try:
                status, _ = server.form("/api/v1/enroll", [draw(tmp_path, number)], label=f"class {number}")
            except (OSError, HTTPException):
                return
            if status == 200:
                acknowledged.append(f"class {number}")

    teaching = threading.Thread(target=teach)
    teaching.start()
    while len(acknowledged) < 5:
        time.sleep(0.01)
    server.kill()
    teaching.join(60)
    with Gallery(gallery) as opened:
        assert opened.problems() == []
        kept = [one.label for one in opened.classes()]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1


def draw(folder: Path, number: int) -> Path:
    file = folder / f"{number}.png"
    draw_class(60 + number, 0, 0).save(file)
    return file


def test_ending_it_finishes_what_was_accepted(bundle: Path, tmp_path: Path, pictures: dict[int, list[Path]]) -> None:
    server = start(bundle, tmp_path / "site.gallery")
    answers: list[Any] = []
    teaching = threading.Thread(
        target=lambda: answers.append(server.form("/api/v1/enroll", pictures[50] + pictures[51][:2], label="x"))
    )
    teaching.start()
    time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    teaching.join(60)
    server.process.wait(60)
    with Gallery(tmp_path / "site.gallery") as opened:
        held = sum(one.examples for one in opened.classes())
    if answers:
        assert (answers[0][0], held) == (200, 6)


def test_a_thousand_requests_take_no_more_memory(server: Server, pictures: dict[int, list[Path]]) -> None:
    def held() -> int:
        status = Path(f"/proc/{server.process.pid}/status")
        if not status.exists():
            pytest.skip("no /proc here to read a process's memory from")
        return int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0]) * 1024

    asked = pictures[50][0].read_bytes()
    for _ in range(200):
        server.ask("POST", "/api/v1/classify", asked)
    before = held()
    for _ in range(1000):
        server.ask("POST", "/api/v1/classify", asked)
    assert held() - before < 4_000_000 + 4 * resource.getpagesize()


def test_metrics_count_by_route(server: Server) -> None:
    server.ask("GET", "/made/up/by/a/client")
    assert server.ask("GET", "/metrics", token=None)[0] == 401
    text = server.ask("GET", "/metrics")[1].decode()
    assert re.search(r'edgefew_requests_total\{route="GET /api/v1/status",status="200"\} \d+', text)
    assert "made/up" not in text
    assert "edgefew_classes " in text


def test_where_it_listens_and_who_reads_its_tokens(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    gallery = tmp_path / "site.gallery"
    result = cli("serve", bundle, "--gallery", gallery, "--host", "192.0.2.7")
    assert (result.exit_code, "--insecure-http" in result.stderr) == (2, True)
    assert cli("serve", bundle, "--gallery", gallery, "--tls-cert", tmp_path / "none").exit_code == 2
    tokens = tmp_path / "tokens"
    for text, mode, says in (
        ("teacher aaaaaaaaaaaaaaaaaaaa", 0o644, "chmod 600"),
        ("boss aaaaaaaaaaaaaaaaaaaa", 0o600, "Line 1"),
        ("teacher short", 0o600, "at least 16"),
        ("# nothing", 0o600, "holds no token"),
    ):
        tokens.write_text(text)
        tokens.chmod(mode)
        result = cli("serve", bundle, "--gallery", gallery, "--token-file", tokens)
        assert (result.exit_code, says in result.stderr) == (1, True), result.stderr
    assert not gallery.exists()


def test_errors_are_the_runtimes_own(server: Server, tmp_path: Path) -> None:
    blank = tmp_path / "two.png"
    Image.new("RGB", (4, 4), "white").save(blank)
    status, told = server.form("/api/v1/enroll", [blank], label="x", strict="true")
    assert (status, told["error"]["type"]) == (422, "EnrollmentRefusedError")
    assert told["diagnosis"]["examples"][0]["findings"]
    status, told = server.form("/api/v1/enroll", [blank], label="\u0007")
    assert (status, told["error"]["type"]) == (400, "LabelError")
    assert json.dumps(told).count("Traceback") == 0
