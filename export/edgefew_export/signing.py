"""Signs a bundle with OpenSSF model-signing and an elliptic-curve key, and checks it as a device will."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edgefew_runtime import Bundle, RuntimeMissingError, SignatureError
from edgefew_runtime.bundle import SIGNATURE_FILE
from edgefew_runtime.packed import write_packed
from edgefew_runtime.regular_file import read_regular, shown
from edgefew_runtime.signature import PublicKey, check_signature

_MAX_KEY_FILE = 1 << 16


def sign_bundle(path: Path, key: Path, *, passphrase: bytes | None = None, replace: bool = False) -> PublicKey:
    """Put `model.sig` into a bundle, a directory or a packed file; gives the public half of the key.

    The bundle's id stays, and so do the galleries made with it.

    Args:
        path: the bundle.
        key: the private key, PEM: P-256, P-384 or P-521.
        passphrase: of the key, where it is encrypted.
        replace: put the signature in the place of one that is there.

    Raises:
        BundleError: the bundle cannot be opened.
        SignatureError: it is signed already, or the key cannot be used.
        RuntimeMissingError: model-signing is not installed.
    """
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise RuntimeMissingError(
            f'model-signing cannot be imported ({error}). Install it: pip install "edgefew-export[sign]".'
        ) from None
    bundle = Bundle.open_unsigned(path)
    if SIGNATURE_FILE in bundle.files and not replace:
        raise SignatureError(f"{path} is signed already. Use --replace to put a new signature in its place.")
    public = _public_half(key, passphrase)
    with tempfile.TemporaryDirectory() as scratch:
        folder, signature = path.absolute(), Path(scratch, SIGNATURE_FILE)
        if not path.is_dir():
            folder = Path(scratch, path.name)
            _unpack(bundle, folder)
        # Every file is signed, SHA256SUMS too, and only the signature itself is not.
        files = hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
        signer = signing.Config().use_elliptic_key_signer(private_key=key, password=passphrase)
        signer.set_hashing_config(files).sign(folder, signature)
        content = signature.read_bytes()
    # What was opened above, not what lies there now.
    check_signature(path, content, bundle.digests, [public])
    _write(bundle, content)
    return public


def _public_half(key: Path, passphrase: bytes | None) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(read_regular(key, _MAX_KEY_FILE), passphrase)
        return PublicKey.of(private.public_key())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a pass-phrase is missing
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise SignatureError(
            f"{shown(key)} cannot be used as a private key: {reason}. A PEM file with a P-256, P-384 or P-521 key was "
            "expected (openssl ecparam -name prime256v1 -genkey -noout -out private.pem); where it is encrypted, give "
            "--passphrase-file."
        ) from None


def _unpack(bundle: Bundle, folder: Path) -> None:
    for name, content in bundle.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _write(bundle: Bundle, signature: bytes) -> None:
    """Into the directory or the packed file, at once: beside it first, then in its place."""
    path = bundle.path.absolute()
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            part = scratch / path.name
            if path.is_dir():
                part.write_bytes(signature)
                part.chmod(0o644)
                part.replace(path / SIGNATURE_FILE)
            else:
                write_packed(part, {**bundle.files, SIGNATURE_FILE: signature})
                part.chmod(path.stat().st_mode)
                part.replace(path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise SignatureError(f"{path} cannot be written to: {error.strerror or error}.") from None
