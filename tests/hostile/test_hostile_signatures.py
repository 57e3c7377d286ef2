"""Signatures that lie: one `SignatureError`, or what was signed."""

from __future__ import annotations

import base64
import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import Bundle, BundleError, SignatureError
from edgefew_runtime.signature import check_signature, read_public_keys

from tests.hostile.conftest import SOAK, Child
from tests.signatures import Key, digests, new_key, public_pem, signature_of, signed, statement

WRONG: list[Any] = [None, True, 0, -1, 1e300, "", "x", "\ud800", [], {}, [[]], [{}], {"a": 1}, "é" * 9]


@pytest.fixture(scope="module")
def key() -> Key:
    return new_key()


@pytest.fixture
def key_file(key: Key, tmp_path: Path) -> Path:
    file = tmp_path / "public.pem"
    file.write_bytes(public_pem(key))
    return file


@pytest.fixture
def path(bundle: Path, key: Key, tmp_path: Path) -> Path:
    path = Path(shutil.copytree(bundle, tmp_path / "signed.edgefew"))
    (path / "model.sig").write_bytes(signature_of(path, key))
    return path


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a JSON document stand."""
    yield at
    if isinstance(document, dict | list):
        for name in document if isinstance(document, dict) else range(len(document)):
            yield from places(document[name], (*at, name))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value there, or without one if it is Ellipsis."""
    if not at:
        return value
    document = copy.deepcopy(document)
    parent = document
    for name in at[:-1]:
        parent = parent[name]
    if value is ...:
        del parent[at[-1]]
    else:
        parent[at[-1]] = value
    return document


def payload(content: bytes) -> bytes:
    return base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"])


def test_any_byte_of_a_signature_changed_is_refused_or_means_the_same(path: Path, key_file: Path) -> None:
    content = (path / "model.sig").read_bytes()
    files, keys = digests(path), read_public_keys(key_file)
    step = 1 if SOAK else 17
    for place in range(0, len(content), step):
        for bit in (0x01, 0x20, 0x80):
            altered = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
            try:
                check_signature(path, altered, files, keys)
            except SignatureError:
                continue
            # What is not signed says nothing of the files: the hint, names that nobody reads, base64's unused bits.
            assert payload(altered) == payload(content)


def test_any_value_of_the_envelope_in_another_type_is_refused_or_means_the_same(
    path: Path, key: Key, key_file: Path
) -> None:
    files, keys = digests(path), read_public_keys(key_file)
    envelope = json.loads((path / "model.sig").read_bytes())
    read = {("mediaType",), ("dsseEnvelope",)} | {
        ("dsseEnvelope", *rest)
        for rest in [("payload",), ("payloadType",), ("signatures",), ("signatures", 0), ("signatures", 0, "sig")]
    }
    for at in places(envelope):
        for value in [*WRONG, ...]:
            if not at and value is ...:
                continue
            content = json.dumps(changed(envelope, at, value)).encode()
            if at in read or not at:
                with pytest.raises(SignatureError):
                    check_signature(path, content, files, keys)
            else:
                check_signature(path, content, files, keys)


def test_any_value_of_a_signed_statement_in_another_type_is_refused_or_means_the_same(
    path: Path, key: Key, key_file: Path
) -> None:
    """Even who holds the key gets one error."""
    files, keys = digests(path), read_public_keys(key_file)
    whole = statement({"a": "0" * 64, "b": "1" * 64})
    files = {"a": "0" * 64, "b": "1" * 64}
    ignored = {"subject", "hash_type", "allow_symlinks"}
    for at in places(whole):
        for value in [*WRONG, ...]:
            if not at and value is ...:
                continue
            content = json.dumps(signed(json.dumps(changed(whole, at, value)).encode(), key)).encode()
            if ignored & set(at):
                check_signature(path, content, files, keys)
            else:
                with pytest.raises(SignatureError):
                    check_signature(path, content, files, keys)


def listed_twice(files: dict[str, str]) -> dict[str, Any]:
    document = statement(files)
    document["predicate"]["resources"].append(document["predicate"]["resources"][0])
    return document


def test_lists_of_files_that_are_not_the_bundles_are_refused(path: Path, key: Key, key_file: Path) -> None:
    files, keys = digests(path), read_public_keys(key_file)
    shards = statement(files)
    shards["predicate"]["serialization"]["method"] = "shards"
    ignoring = statement({n: d for n, d in files.items() if not n.startswith("embed/")})
    ignoring["predicate"]["serialization"]["ignore_paths"] = ["embed"]
    for document in (
        statement({}),
        statement(files | {"more": "0" * 64}),
        statement({n: d for n, d in files.items() if n != "SHA256SUMS"}),
        statement({n: d.upper() for n, d in files.items()}),
        statement({f"./{n}": d for n, d in files.items()}),
        listed_twice(files),
        shards,
        ignoring,
    ):
        content = json.dumps(signed(json.dumps(document).encode(), key)).encode()
        with pytest.raises(SignatureError):
            check_signature(path, content, files, keys)


def test_a_signature_of_something_else_by_the_same_key_is_refused(path: Path, key: Key, key_file: Path) -> None:
    files, keys = digests(path), read_public_keys(key_file)
    payload = json.dumps(statement(files)).encode()
    other_type = signed(payload, key, "text/plain")
    renamed = copy.deepcopy(other_type)
    renamed["dsseEnvelope"]["payloadType"] = "application/vnd.in-toto+json"
    two = signed(payload, key)
    two["dsseEnvelope"]["signatures"] *= 2
    none = signed(payload, key)
    none["dsseEnvelope"]["signatures"] = []
    for document in (other_type, renamed, two, none):
        with pytest.raises(SignatureError):
            check_signature(path, json.dumps(document).encode(), files, keys)


@pytest.mark.parametrize("sig", [b"", b"\0", b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\x30\x80", b"\xff" * 10_000])
def test_numbers_that_are_no_signature_are_refused(path: Path, key: Key, key_file: Path, sig: bytes) -> None:
    """(0, 0) passed for every message in verifiers that did not look (CVE-2022-21449)."""
    files, keys = digests(path), read_public_keys(key_file)
    document = signed(json.dumps(statement(files)).encode(), key)
    document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(sig).decode()
    with pytest.raises(SignatureError, match="was not made with"):
        check_signature(path, json.dumps(document).encode(), files, keys)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"mediaType": 1, "mediaType": 2}',
        b'{"mediaType": NaN}',
        b"\0" * 1000,
    ],
)
def test_a_signature_file_that_is_no_json_object_is_refused(path: Path, key_file: Path, content: bytes) -> None:
    (path / "model.sig").write_bytes(content)
    with pytest.raises(SignatureError, match="no signature that can be checked"):
        Bundle.open(path, key_file)
    Bundle.open(path)  # where no key is set, nobody reads it


def test_a_statement_that_is_deep_is_refused(path: Path, key: Key, key_file: Path) -> None:
    (path / "model.sig").write_bytes(json.dumps(signed(b"[" * 100_000, key)).encode())
    with pytest.raises(SignatureError, match="no signature that can be checked"):
        Bundle.open(path, key_file)


def test_a_huge_signature_is_refused_before_it_is_read(path: Path, key_file: Path, child: Child) -> None:
    with (path / "model.sig").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(BundleError, match="1,048,576 are the most"):
        Bundle.open(path)
    code = """
import sys
from edgefew_runtime import Bundle, BundleError
try:
    Bundle.open(sys.argv[1], sys.argv[2])
except BundleError as error:
    print(error)
"""
    assert "1,048,576 are the most" in child(code, path, key_file, megabytes=700)


def test_random_bytes_are_refused(path: Path, key_file: Path) -> None:
    files, keys = digests(path), read_public_keys(key_file)
    rng = np.random.default_rng(0)
    for size in rng.integers(0, 3000, 200):
        with pytest.raises(SignatureError):
            check_signature(path, rng.bytes(int(size)), files, keys)
