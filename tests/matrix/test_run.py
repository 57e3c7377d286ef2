"""What the matrix calls a failure."""

from __future__ import annotations

import numpy as np
import pytest

from tests.matrix.run import TOLERANCE, Version, compared, fitting_python


def computed(**changes: object) -> dict[str, np.ndarray]:
    labels = np.array(["a", "b"])
    result = {"embeddings fp32": np.eye(2), "labels": labels, "right": labels == "a", "probabilities": np.full(2, 0.6)}
    return result | {name: np.asarray(value) for name, value in changes.items()}


def test_the_same_is_none() -> None:
    result = compared(computed(), computed())
    assert (result["failure"], result["right"], result["variants"]) == ("", 1, ["fp32"])
    assert not compared(computed(**{"embeddings fp32": np.eye(2) + TOLERANCE / 2}), computed())["failure"]


@pytest.mark.parametrize(
    "changes",
    [
        {"embeddings fp32": np.eye(2) + 2 * TOLERANCE},
        {"embeddings fp32": np.full((2, 2), np.nan)},
        {"labels": ["a", "c"]},
        {"probabilities": [0.6, 0.7]},
        {"probabilities": [0.6, np.nan]},
    ],
)
def test_another_result_is_one(changes: dict[str, object]) -> None:
    assert compared(computed(**changes), computed())["failure"]


def test_a_version_without_a_fitting_python_is_one() -> None:
    with pytest.raises(RuntimeError, match=r"python3\.3 is on the path"):
        fitting_python(Version("1.0", ("onnxruntime==1.0",), (3,)))
