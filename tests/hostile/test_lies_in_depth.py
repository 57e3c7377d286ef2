"""Lies that hold together: hashes and checks pass, and only the content is impossible."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgefew_runtime import BundleError, Classifier, EdgeFewError, Gallery, LabelError
from onnx import TensorProto, helper

from tests.conftest import Cli
from tests.hostile.conftest import Write, sealed
from tests.hostile.test_hostile_galleries import BUNDLE, DIMENSION, example, outcome, state_of, tamper, true  # noqa: F401
from tests.hostile.test_lying_bundles import always, graph, lying, use

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def _ends_in_time() -> Iterator[None]:
    """What would run without end stops the tests."""
    signal.alarm(30)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("lie", [1, "a", None, []])
def test_manifest_coverage_point_that_is_no_object(files: Files, write: Write, lie: object) -> None:
    document = json.loads(files["manifest.json"])
    document["additional_metadata"]["edgefew"]["coverage_points"] = [lie]
    with pytest.raises(BundleError):
        use(write(sealed(files | {"manifest.json": json.dumps(document).encode()})))


@pytest.mark.parametrize("place", [("embedding", "scale"), ("coverage_points", 0, "score")])
def test_manifest_numbers_beyond_float32(files: Files, write: Write, place: tuple) -> None:
    text = lying(files["manifest.json"], ("additional_metadata", "edgefew", *place), "1e308")
    with pytest.raises(BundleError):
        Classifier.open(write(sealed(files | {"manifest.json": text})), coverage=0.8)


@pytest.mark.parametrize("what", ["one number", "strings", "frames"])
def test_graphs_that_check_golden_fails_on(files: Files, write: Write, what: str) -> None:
    model = {
        "one number": always(np.float32(1)),
        "strings": always(np.full((1, 64), "a", object), TensorProto.STRING),
        "frames": graph([helper.make_node("Cast", ["frames"], ["embeddings"], to=TensorProto.FLOAT)]),
    }[what]
    with pytest.raises(EdgeFewError):
        Classifier.open(write(sealed(files | {"embed/fp32/model.onnx": model})))


def test_a_graph_whose_embeddings_are_ten_times_too_long_is_refused(files: Files, write: Write) -> None:
    model = onnx.load_from_string(files["embed/fp32/model.onnx"])
    out = model.graph.output[0].name
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == out:
                node.output[i] = "short"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(10), "ten"))
    model.graph.node.append(helper.make_node("Mul", ["short", "ten"], [out]))
    with pytest.raises(
        BundleError
    ):  # passes today: check_golden compares directions alone, answers compare lengths too
        Classifier.open(write(sealed(files | {"embed/fp32/model.onnx": model.SerializeToString()})))


@pytest.mark.parametrize("value", ["x", "", "-1", "8.5", "16", "1000000000", "9" * 5000])
def test_gallery_dimension_that_lies(true: Path, value: str) -> None:  # noqa: F811
    tamper(true, "UPDATE meta SET value = ? WHERE key = 'dimension'", values=(value,))
    assert outcome(true, ()) == "refused"


@pytest.mark.parametrize("key", ["bundle_id", "dimension"])
def test_gallery_meta_that_is_gone(true: Path, key: str) -> None:  # noqa: F811
    tamper(true, "DELETE FROM meta WHERE key = ?", values=(key,))
    assert outcome(true, ()) == "refused"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE class SET label = CASE id WHEN 1 THEN 'go on' ELSE 'stop' END",
        "UPDATE class SET label = 'anything' WHERE id = 1",
        "UPDATE class SET label = '\x1b[2J' WHERE id = 1",
        "UPDATE class SET count = 0",
        "DELETE FROM class",
        """UPDATE event SET payload = '{"label": "a", "added": 5}' WHERE id = 2""",
        """UPDATE event SET payload = '{"label": "a", "added": [5]}' WHERE id = 2""",
        """UPDATE event SET payload = '{"label": "a", "added": null}' WHERE id = 2""",
    ],
)
def test_gallery_rows_that_lie(true: Path, statement: str) -> None:  # noqa: F811
    if "CASE" in statement:
        tamper(
            true,
            "DROP INDEX class_label",
            statement,
            "CREATE UNIQUE INDEX class_label ON class (label) WHERE count > 0",
        )
    else:
        tamper(true, statement)
    assert outcome(true, state_of(true) if "label =" in statement else ()) in ("refused", "found")


@pytest.mark.parametrize(
    ("statement", "operation"),
    [
        ("UPDATE event SET undoes = id WHERE id = 2", "roll back"),  # endless: events.root_of
        ("UPDATE event SET undoes = 99 WHERE id = 2", "roll back"),  # IndexError: events.root_of
        (f"UPDATE event SET id = {2**63 - 1} WHERE id = 8", "enroll"),  # noqa: S608  # OverflowError: events.append
        ("INSERT INTO meta VALUES ('lock', 'zz')", "unlock"),  # ValueError: locking.check
        ("UPDATE class SET sum = x'00'", "enroll"),  # ValueError: changes.shift
        ("UPDATE example SET class_id = 99 WHERE id = 1", "remove"),  # TypeError: changes.shift
    ],
)
def test_changes_to_a_gallery_that_lies(true: Path, statement: str, operation: str) -> None:  # noqa: F811
    tamper(true, statement)
    with pytest.raises(EdgeFewError), Gallery(true, BUNDLE, DIMENSION) as gallery:
        if operation == "roll back":
            gallery.roll_back(1)
        elif operation == "enroll":
            gallery.enroll("stop", [example(9)])
        elif operation == "remove":
            gallery.remove(1)
        else:
            gallery.unlock("passphrase")
            gallery.enroll("stop", [example(9)])


def test_gallery_schema_text_that_is_not_utf8(true: Path) -> None:  # noqa: F811
    data = true.read_bytes()
    place = data.index(b"tableclassclass") + 5
    true.write_bytes(data[:place] + b"\xd4" + data[place + 1 :])
    assert outcome(true, ()) == "refused"


def test_a_pipe_as_a_gallery_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EdgeFewError):
        Gallery(tmp_path / "pipe", BUNDLE, DIMENSION)


@pytest.mark.parametrize("words", [("classes", "--gallery", "a" * 5000)])
def test_a_path_that_is_too_long_is_one_error(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli(*words)
    assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("label", [5, None, b"stop"])
def test_a_label_that_is_no_text(label: object) -> None:
    with Gallery(None, BUNDLE, DIMENSION) as gallery, pytest.raises(LabelError):
        gallery.enroll(label, [example(1)])
