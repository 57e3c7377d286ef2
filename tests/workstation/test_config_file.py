"""Options of a training from a TOML file, and what the checkpoint keeps of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgefew_export.checkpoint import read_checkpoint

from tests.conftest import ROOT, SOURCE_PATTERN, Cli, draw_folder

SETTINGS = """
image-size = 16
channels = 1
way = 5
episodes = 2
head = "euclidean"
exclude = ["figure10?"]
device = "cpu"
"""


def test_a_file_says_what_flags_would(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    file, out = tmp_path / "run.toml", tmp_path / "a.ckpt"
    place = f"data = {json.dumps(str(training_folder))}\nout = {json.dumps(str(out))}\n"
    file.write_text(SETTINGS + place + f"source-pattern = '{SOURCE_PATTERN}'\n")
    result = cli("train", "--config", file, "--way", 4)
    assert result.exit_code == 0, result.output
    resolved = read_checkpoint(out).training["config"]
    assert (resolved["image_size"], resolved["channels"], resolved["head"]) == (16, 1, "euclidean")
    assert resolved["way"] == 4  # the command line goes first
    assert (resolved["exclude"], resolved["source_pattern"]) == (["figure10?"], SOURCE_PATTERN)
    assert resolved["learning_rate"] == 2e-3  # by default
    assert str(tmp_path) not in json.dumps(resolved)


def test_a_file_may_name_several_folders(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    more = draw_folder(tmp_path / "more", range(60, 90))
    file, out = tmp_path / "run.toml", tmp_path / "a.ckpt"
    data = json.dumps([str(training_folder), str(more)])
    file.write_text(
        f"{SETTINGS}data = {data}\nout = {json.dumps(str(out))}\n".replace("figure10?", "more/figure6[5-9]")
    )
    result = cli("train", "--config", file, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["classes"] + told["validation_classes"] == len(list(training_folder.iterdir())) + 25


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image_size = 16", "has image_size; known are: accumulate, augment, backbone"),
        ("replace = true", "has replace; known are:"),
        ("[training]\nway = 5", "has training; known are:"),
        ("exclude = 'a*'", "exclude is 'a*'; a list was expected"),
        ("way = [3]", "way is [3]; a value was expected"),
        ("way = 'many'", "Invalid value for '--way'"),
        ("way = ", "is not TOML"),
    ],
)
def test_what_a_file_cannot_say_is_refused(
    text: str, says: str, training_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    result = cli("train", training_folder, "--out", tmp_path / "a.ckpt", "--episodes", 1, "--config", file)
    assert result.exit_code != 0
    assert says in " ".join(result.stderr.split())
    assert not (tmp_path / "a.ckpt").exists()


def test_a_file_that_is_not_there_is_said(tmp_path: Path, cli: Cli) -> None:
    result = cli("train", "--config", tmp_path / "none.toml")
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


@pytest.mark.parametrize("recipe", sorted((ROOT / "examples" / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_is_understood(recipe: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("train", "--config", recipe, "--out", "a.ckpt")
    # Nothing but its data is missing.
    assert "does not exist; a folder of class folders was expected" in result.stderr
