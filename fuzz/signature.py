"""Bytes as model.sig: the file itself, or a statement that the key's holder did sign."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import atheris
import campaign

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    from edgefew_runtime.signature import PublicKey, check_signature

    from tests.signatures import new_key, signed, statement

KEY = new_key()
DIGESTS = {"SHA256SUMS": "0" * 64, "embed/fp32/model.onnx": "1" * 64}
STATEMENT = json.dumps(statement(DIGESTS)).encode()


def target(data: bytes, path: Path) -> None:
    """What passes lists the bundle's files."""
    kind, content = data[:1], data[1:]
    if kind == b"s":
        content = json.dumps(signed(content, KEY)).encode()
    check_signature(path, content, DIGESTS, [PublicKey.of(KEY.public_key())])
    payload = base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"])
    if {file["name"]: file["digest"] for file in json.loads(payload)["predicate"]["resources"]} != DIGESTS:
        raise AssertionError("another list of files passed")


if __name__ == "__main__":
    campaign.run(target, [b"s" + STATEMENT, b"f" + json.dumps(signed(STATEMENT, KEY)).encode()])
