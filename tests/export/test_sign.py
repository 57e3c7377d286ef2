"""`edgefew sign` with OpenSSF model-signing, in an environment of its own: the package is large. `make signing`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from edgefew_runtime import Bundle, RuntimeMissingError, SignatureError

from tests.conftest import ROOT
from tests.signatures import Key, new_key, private_pem, public_pem

BIN = ROOT / "build" / "signing-venv" / "bin"

needs_model_signing = pytest.mark.skipif(
    not (BIN / "model_signing").exists(),
    reason="model-signing is not in build/signing-venv: `make signing` puts it there",
)


@pytest.fixture
def key() -> Key:
    return new_key()


@pytest.fixture
def private(key: Key, tmp_path: Path) -> Path:
    file = tmp_path / "private.pem"
    file.write_bytes(private_pem(key))
    return file


@pytest.fixture
def public(key: Key, tmp_path: Path) -> Path:
    file = tmp_path / "public.pem"
    file.write_bytes(public_pem(key))
    return file


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy.edgefew"))


def run(program: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def signed_by(path: Path, private: Path, *options: object) -> dict[str, str]:
    done = run("edgefew", "sign", path, "--key", private, "--json", *options)
    assert done.returncode == 0, done.stderr
    document: dict[str, str] = json.loads(done.stdout)
    return document


@needs_model_signing
def test_what_is_signed_is_verified_by_model_signing_and_by_the_device(copy: Path, private: Path, public: Path) -> None:
    before = Bundle.open(copy).id
    assert signed_by(copy, private)["bundle_id"] == before == Bundle.open(copy, public).id
    verify = ("verify", "key", copy, "--signature", copy / "model.sig", "--public_key", public)
    assert run("model_signing", *verify).returncode == 0
    (copy / "report.json").write_bytes(b"{}")
    assert run("model_signing", *verify).returncode == 1


@needs_model_signing
def test_a_packed_bundle_is_signed_in_place(copy: Path, private: Path, public: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.edgefew"
    Bundle.open(copy).pack(packed)
    assert signed_by(packed, private)["bundle_id"] == Bundle.open(packed, public).id == Bundle.open(copy).id
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.edgefew", "packed.edgefew", "private.pem", "public.pem"]


@needs_model_signing
def test_an_encrypted_key_needs_its_pass_phrase(copy: Path, key: Key, public: Path, tmp_path: Path) -> None:
    private, passphrase = tmp_path / "locked.pem", tmp_path / "passphrase.txt"
    private.write_bytes(private_pem(key, b"open sesame"))
    done = run("edgefew", "sign", copy, "--key", private)
    assert done.returncode == 1
    assert "--passphrase-file" in done.stderr
    passphrase.write_text("wrong\n")
    assert run("edgefew", "sign", copy, "--key", private, "--passphrase-file", passphrase).returncode == 1
    assert not (copy / "model.sig").exists()
    passphrase.write_text("open sesame\n")
    signed_by(copy, private, "--passphrase-file", passphrase)
    Bundle.open(copy, public)


@needs_model_signing
def test_a_signature_is_replaced_only_if_asked_for(copy: Path, private: Path, public: Path, tmp_path: Path) -> None:
    signed_by(copy, private)
    later, later_public = tmp_path / "later.pem", tmp_path / "later-public.pem"
    key = new_key()
    later.write_bytes(private_pem(key))
    later_public.write_bytes(public_pem(key))
    done = run("edgefew", "sign", copy, "--key", later)
    assert done.returncode == 1
    assert "signed already. Use --replace" in done.stderr
    # Where a public key is set, too: the signature that it asks for is the one to be made.
    assert run("edgefew", "sign", copy, "--key", later, "--replace", EDGEFEW_PUBLIC_KEY=str(public)).returncode == 0
    Bundle.open(copy, later_public)
    with pytest.raises(SignatureError, match="was not made with"):
        Bundle.open(copy, public)


@needs_model_signing
def test_what_cannot_be_signed_is_one_error(copy: Path, private: Path, public: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("my key")
    for key in (public, tmp_path / "text.pem", tmp_path / "nowhere.pem", tmp_path):
        done = run("edgefew", "sign", copy, "--key", key)
        assert done.returncode == 1
        assert "cannot be used as a private key" in done.stderr
    (copy / "report.json").write_bytes(b"{}")
    done = run("edgefew", "sign", copy, "--key", private)
    assert done.returncode == 1
    assert "report.json" in done.stderr
    assert not (copy / "model.sig").exists()


def test_without_the_extra_it_is_said_what_to_install(copy: Path, private: Path) -> None:
    from edgefew_export.signing import sign_bundle

    try:
        import model_signing  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeMissingError, match=r'pip install "edgefew-export\[sign\]"'):
            sign_bundle(copy, private)
    else:
        pytest.skip("model-signing is installed here")
