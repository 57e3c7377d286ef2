"""A public key in the configuration makes a signature compulsory, wherever a bundle is opened."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from edgefew_runtime import Bundle, BundleCorruptError, BundleError, Classifier, RuntimeMissingError, SignatureError
from edgefew_runtime.bundle import public_key_file, sums_text
from edgefew_runtime.signature import check_signature, read_public_keys

from tests.conftest import Cli
from tests.signatures import Key, new_key, private_pem, public_pem, signature_of

# What model-signing 1.1.1 itself wrote for two files ("one\n" in a.txt, "two\n" in b/c.txt), and the key.
UPSTREAM_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEIy7lJkOvvbKtVOx2VLAWOTrEW2oa
ULCyaJj6lkr93EvyMWaPqTW/qnvwjBn7V/UY/d5EWdmTPLKxzPrCjNWHVw==
-----END PUBLIC KEY-----
"""
UPSTREAM_STATEMENT = """{
  "_type": "https://in-toto.io/Statement/v1",
  "subject": [
    {
      "name": "t",
      "digest": {
        "sha256": "b3e00007a221fb65fa01a1d9b968f4b3f290fe1f8a53061187adb40118314e5f"
      }
    }
  ],
  "predicateType": "https://model_signing/signature/v1.0",
  "predicate": {
    "serialization": {
      "hash_type": "sha256",
      "method": "files",
      "ignore_paths": [
        "model.sig"
      ],
      "allow_symlinks": false
    },
    "resources": [
      {
        "name": "a.txt",
        "digest": "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
        "algorithm": "sha256"
      },
      {
        "name": "b/c.txt",
        "digest": "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a",
        "algorithm": "sha256"
      }
    ]
  }
}"""
UPSTREAM = {
    "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
    "verificationMaterial": {
        "publicKey": {"hint": "008a2c0c7d543c70d5aaaf307662609644b877c2ef055f0646e773b9df4637d5"},
        "tlogEntries": [],
    },
    "dsseEnvelope": {
        "payload": base64.b64encode(UPSTREAM_STATEMENT.encode()).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [
            {
                "sig": "MEUCIGiID9bz8vkXygNvYP8paxPggLW+zuf9P0T/F+5Ly3jwAiEA"
                "mvdQGgg/xP5Cnq9skQ/RMUlnjQl3hLRu9HIye8jDFaw=",
                "keyid": "",
            }
        ],
    },
}


@pytest.fixture(scope="module")
def key() -> Key:
    return new_key()


@pytest.fixture
def key_file(key: Key, tmp_path: Path) -> Path:
    file = tmp_path / "public.pem"
    file.write_bytes(public_pem(key))
    return file


@pytest.fixture
def unsigned(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "unsigned.edgefew"))


@pytest.fixture
def signed(unsigned: Path, key: Key, tmp_path: Path) -> Path:
    path = Path(shutil.copytree(unsigned, tmp_path / "signed.edgefew"))
    (path / "model.sig").write_bytes(signature_of(path, key))
    return path


def test_a_file_of_model_signing_itself_is_understood(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(UPSTREAM_KEY)
    keys = read_public_keys(tmp_path / "key.pem")
    assert keys[0].fingerprint == UPSTREAM["verificationMaterial"]["publicKey"]["hint"]  # type: ignore[index]
    files = {"a.txt": hashlib.sha256(b"one\n").hexdigest(), "b/c.txt": hashlib.sha256(b"two\n").hexdigest()}
    content = json.dumps(UPSTREAM).encode()
    check_signature(tmp_path, content, files | {"model.sig": "0" * 64}, keys)
    with pytest.raises(SignatureError, match=r"a\.txt in .* has other bytes"):
        check_signature(tmp_path, content, files | {"a.txt": files["b/c.txt"]}, keys)


def test_a_signed_bundle_opens_with_its_key_and_keeps_its_id(signed: Path, unsigned: Path, key_file: Path) -> None:
    assert Bundle.open(signed, key_file).id == Bundle.open(unsigned).id
    with Classifier.open(signed, public_key=key_file) as classifier:
        assert classifier.bundle.id == Bundle.open(signed).id
    with Classifier.open(Bundle.open(signed), public_key=key_file) as classifier:
        assert classifier.bundle.path == signed


def test_a_packed_bundle_carries_its_signature(signed: Path, unsigned: Path, key_file: Path, tmp_path: Path) -> None:
    Bundle.open(signed).pack(tmp_path / "signed.pack")
    Bundle.open(unsigned).pack(tmp_path / "unsigned.pack")
    assert Bundle.open(tmp_path / "signed.pack", key_file).id == Bundle.open(signed).id
    with pytest.raises(SignatureError, match="is not signed"):
        Bundle.open(tmp_path / "unsigned.pack", key_file)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_the_three_curves_of_model_signing_are_taken(unsigned: Path, curve: ec.EllipticCurve, tmp_path: Path) -> None:
    key = new_key(curve)
    (tmp_path / "key.pem").write_bytes(public_pem(key))
    (unsigned / "model.sig").write_bytes(signature_of(unsigned, key))
    Bundle.open(unsigned, tmp_path / "key.pem")


def test_the_variable_makes_it_compulsory_for_every_entry_point(
    unsigned: Path, signed: Path, key_file: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open(unsigned)
    monkeypatch.setenv("EDGEFEW_PUBLIC_KEY", str(key_file))
    image = tmp_path / "a.png"
    gallery = ["--gallery", tmp_path / "g"]
    for command in (
        ["enroll", unsigned, "a", image, *gallery],
        ["pack", unsigned, tmp_path / "packed"],
        ["bench", unsigned],
        ["verify", unsigned],
    ):
        result = cli(*command)
        assert result.exit_code == 1
        assert "is not signed" in result.output
    assert not (tmp_path / "g").exists()
    for call in (Bundle.open, Classifier.open):
        with pytest.raises(SignatureError, match="is not signed"):
            call(unsigned)  # type: ignore[operator]
    with pytest.raises(SignatureError, match="is not signed"):
        Classifier.open(opened)
    with Classifier.open(signed) as classifier:
        assert classifier.classes() == []
    assert Bundle.open_unsigned(unsigned).id == opened.id


def test_the_key_given_goes_before_the_one_in_the_environment(tmp_path: Path) -> None:
    environment = {"EDGEFEW_PUBLIC_KEY": "/etc/edgefew/key.pem"}
    assert public_key_file(None, {}) is None
    assert public_key_file(None, environment) == Path("/etc/edgefew/key.pem")
    assert public_key_file(tmp_path, environment) == tmp_path
    with pytest.raises(SignatureError, match="is empty"):
        public_key_file(None, {"EDGEFEW_PUBLIC_KEY": ""})


def test_another_key_is_refused_and_both_are_taken_while_keys_are_changed(
    signed: Path, key: Key, tmp_path: Path
) -> None:
    other, both = tmp_path / "other.pem", tmp_path / "both.pem"
    later = new_key()
    other.write_bytes(public_pem(later))
    both.write_bytes(public_pem(later, key))
    with pytest.raises(SignatureError, match="was not made with the private half"):
        Bundle.open(signed, other)
    Bundle.open(signed, both)


def test_a_changed_bundle_is_refused_even_where_its_hashes_were_made_anew(signed: Path, key_file: Path) -> None:
    (signed / "report.json").write_bytes(b"{}")
    with pytest.raises(BundleCorruptError, match=r"report\.json"):
        Bundle.open(signed, key_file)
    names = [n for n in Bundle.open_unsigned(resealed(signed)).files if n not in ("SHA256SUMS", "model.sig")]
    assert "report.json" in names
    with pytest.raises(SignatureError, match=r"SHA256SUMS in .* has other bytes"):
        Bundle.open(signed, key_file)


def resealed(path: Path) -> Path:
    skipped = ("SHA256SUMS", "model.sig")
    names = (f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file() and f.name not in skipped)
    (path / "SHA256SUMS").write_bytes(sums_text({name: (path / name).read_bytes() for name in names}))
    return path


def test_a_file_added_or_taken_away_is_refused_even_where_its_hashes_were_made_anew(
    signed: Path, key_file: Path
) -> None:
    (signed / "added.txt").write_text("x")
    with pytest.raises(SignatureError, match=r"SHA256SUMS|added\.txt in .* was added"):
        Bundle.open(resealed(signed), key_file)
    (signed / "added.txt").unlink()
    (signed / "model-card.md").unlink()
    with pytest.raises(SignatureError, match=r"SHA256SUMS|model-card\.md in .* is missing"):
        Bundle.open(resealed(signed), key_file)


def test_what_is_changed_after_it_was_checked_is_not_used(signed: Path, key_file: Path) -> None:
    opened = Bundle.open(signed, key_file)
    (signed / "embed/fp32/model.onnx").write_bytes(b"another network")
    with pytest.raises(BundleCorruptError, match="changed after the bundle was opened"):
        opened.model("embed")


def key_files() -> dict[str, bytes]:
    key = new_key()
    return {
        "empty": b"",
        "text": b"my key",
        "not ascii": b"\xff\xfe-----BEGIN PUBLIC KEY-----",
        "private": private_pem(key),
        "cut off": public_pem(key)[:-30],
        "one whole, one cut off": public_pem(key) + public_pem(new_key())[:-30],
        "no key inside": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "RSA": public_pem(rsa.generate_private_key(65537, 2048)),
        "another curve": public_pem(new_key(ec.SECP256K1())),
        "a certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "too large": b"\n" * 70_000 + public_pem(key),
        "too many": public_pem(key) * 17,
    }


@pytest.mark.parametrize("what", key_files())
def test_a_key_that_cannot_be_used_opens_nothing(signed: Path, what: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(key_files()[what])
    with pytest.raises(SignatureError, match=r"key\.pem cannot be used as the public key"):
        Bundle.open(signed, file)


def test_a_key_that_is_not_there_opens_nothing(signed: Path, tmp_path: Path) -> None:
    for file in (tmp_path / "nowhere.pem", tmp_path, Path("/dev/zero")):
        with pytest.raises(SignatureError, match="cannot be used as the public key"):
            Bundle.open(signed, file)


def test_without_cryptography_nothing_is_opened_where_a_key_is_set(signed: Path, key_file: Path) -> None:
    code = f"""
import sys; sys.modules["cryptography"] = None
from edgefew_runtime import Bundle, RuntimeMissingError
Bundle.open({str(signed)!r})
try:
    Bundle.open({str(signed)!r}, {str(key_file)!r})
except RuntimeMissingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "edgefew-runtime[verify]"' in done.stdout
    assert issubclass(SignatureError, BundleError)
    assert not issubclass(RuntimeMissingError, BundleError)


def test_where_no_key_is_set_nothing_of_it_is_loaded(signed: Path) -> None:
    code = f"""
import sys
from edgefew_runtime import Classifier
Classifier.open({str(signed)!r})
print([n for n in ("cryptography", "edgefew_runtime.signature") if n in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def verdicts(cli: Cli, *arguments: Any) -> dict[str, bool]:
    lines = cli("verify", *arguments, "--json").stdout.splitlines()
    return {line["check"]: line["passed"] for line in map(json.loads, lines)}


def test_verify_tells_of_the_signature(signed: Path, unsigned: Path, key_file: Path, cli: Cli) -> None:
    assert verdicts(cli, signed, "--public-key", key_file)["signature"]
    assert verdicts(cli, unsigned, "--public-key", key_file) == {"hashes and manifest": True, "signature": False}
    assert "signature" not in verdicts(cli, signed)
