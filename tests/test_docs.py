"""Commands, pages and README in step."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from edgefew_runtime.commands import edgefew

from edgefew.data import characters
from tests.conftest import ROOT, SOURCE_PATTERN, Cli

DOCS = ROOT / "docs"


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))
    if path:
        yield path, command


COMMANDS = dict(walk(edgefew))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...], cli: Cli) -> None:
    result = cli(*path, "--help")
    assert result.exit_code == 0
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts}"


def test_every_command_has_a_page_with_its_help_and_an_example() -> None:
    expected = runpy.run_path(str(DOCS / "commands_page.py"))["pages"]()
    assert {page: page.read_text() for page in expected if page.exists()} == expected, "run `make docs`"
    assert {DOCS / "commands.md", *(DOCS / "commands").glob("*.md")} == set(expected)
    for page in (DOCS / "commands").glob("*.md"):
        by_hand = page.read_text().partition("## Usage")[0]
        words = page.read_text().splitlines()[0].strip("# `")
        assert f"```console\n$ {words} " in by_hand, f"{page.name} has no example"


NAMES = (
    "blood_cells device easyfsl_accuracy hallucinate heart_beats medical_bedside medical_laboratory "
    "refine spoken_digits training training_speed unknown"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_the_tables_are_those_of_the_committed_figures(name: str) -> None:
    page, text = runpy.run_path(str(DOCS / "tables.py"))["filled"](name)
    assert page.read_text() == text, "run `make docs`"
    assert "|---|" in text.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]


@pytest.mark.parametrize("path", [p for p, c in COMMANDS.items() if not isinstance(c, click.Group)], ids=" ".join)
def test_every_command_reports_as_json(path: tuple[str, ...]) -> None:
    assert any("--json" in p.opts for p in COMMANDS[path].params)


def test_no_page_tells_of_a_command_that_is_not_there() -> None:
    names = {path[0] for path in COMMANDS}
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for match in re.finditer(r"^\$? ?edgefew ([a-z]+)", page.read_text(), re.M):
            assert match[1] in names, f"{match[0]} in {page.name}"


def links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            yield target


@pytest.mark.parametrize("page", [p.relative_to(ROOT) for p in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(ROOT / page):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{target} in {page}"


EXPORTS = sorted(p.parent for p in DOCS.glob("exports/*/report.json"))


@pytest.mark.parametrize("folder", EXPORTS, ids=lambda folder: folder.name)
def test_the_committed_exports_tell_of_one_bundle_each(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    accuracy = report["episodes"]["bundle"]
    shown = f"{100 * accuracy['accuracy']:.1f} % ± {100 * accuracy['ci95']:.1f}"
    rows = (folder.parent / "README.md").read_text().splitlines()
    assert any(f"({folder.name}/report.json)" in row and shown in row for row in rows), shown
    card = (folder / "model-card.md").read_text()
    assert f"{accuracy['accuracy']:.1%} ± {accuracy['ci95']:.1%}" in card
    bundle_id = json.loads((folder / "measured.json").read_text())["bundle_id"]
    assert f"bundle {bundle_id[:12]}…" in (folder / "export.txt").read_text()
    verdicts = (folder / "verify.txt").read_text().splitlines()
    assert f"bundle {bundle_id[:12]}…" in verdicts[0]
    assert len(verdicts) >= 7
    assert all(line.startswith("✓ ") for line in verdicts)


def test_five_sources_were_exported() -> None:
    assert len(EXPORTS) == 5
    for file in (DOCS / "exports").rglob("*"):
        assert not re.search(rb"/(home|tmp|root|work)/", file.read_bytes() if file.is_file() else b"")


def test_every_make_target_that_is_told_of_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")):
        assert set(re.findall(r"`make ([a-z]+)`", page.read_text())) <= targets, page.name


def test_each_test_that_a_promise_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (DOCS / "promises.md").read_text())
    assert len(named) > 50
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text(), re.M), f"{file} has no {test}"


def test_the_readmes_example_runs(bundle: Path, tmp_path: Path, unseen_folder: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert code
    images = sorted(unseen_folder.rglob("*.png"))
    text = code[1].replace("signs.edgefew", str(bundle)).replace("site.gallery", str(tmp_path / "site.gallery"))
    for name, image in zip(("a.jpg", "b.jpg", "frame.jpg"), images, strict=False):
        text = text.replace(name, str(image))
    exec(compile(text, "README.md", "exec"), {})  # noqa: S102  (our own README)


def test_the_readmes_figures_are_those_of_the_committed_run() -> None:
    summary = json.loads((DOCS / "demo" / "summary.json").read_text())
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        demo = runpy.run_path(str(ROOT / "examples" / "demo.py"))
    finally:
        sys.path.pop(0)
    assert demo["table"](summary) in (ROOT / "README.md").read_text()
    assert summary["accuracy_5way_1shot"]["accuracy"] >= 0.70
    assert summary["accuracy_20way_1shot"]["accuracy"] >= 0.55


def test_the_benchmark_of_unknown_runs(bundle: Path, unseen_folder: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "unknown.py"), str(bundle), str(unseen_folder)]
    options = ["--source-pattern", SOURCE_PATTERN, "--galleries", "4"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {(r["way"], r["shot"]) for r in rows} == {(5, 1), (5, 2)}
    assert [r["threshold"] is None for r in rows if r["promised"] == 0.01] == [True] * 4
    assert all(0 <= r["false_accepts"]["mean"] <= 1 for r in rows if r["threshold"] is not None)


def test_the_official_runs_of_omniglot_are_asked(checkpoint: Path, tmp_path: Path) -> None:
    characters.render(tmp_path / "invented", alphabets=2, characters=5, hands=4, seed=1)
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "omniglot_runs.py"),
        str(checkpoint),
        str(tmp_path / "invented"),
    ]
    done = subprocess.run([*command, "--runs", "50"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows = told["alphabets"].values()
    assert [(row["characters"], row["way"]) for row in rows] == [(5, 5)] * 2
    assert all(0.2 < row["mean"] < 1 and 0 < row["ci95"] < 0.1 for row in rows)  # five-way: 0.2 is chance
    assert told["mean"] == pytest.approx(sum(row["mean"] for row in rows) / 2, abs=1e-4)


def test_the_benchmark_of_recipes_runs(training_folder: Path, unseen_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.toml"
    settings = {"data": str(training_folder), "source-pattern": SOURCE_PATTERN, "image-size": 16, "channels": 1}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (settings | {"way": 5, "episodes": 30}).items()]
    recipe.write_text("\n".join(lines))
    command = [sys.executable, str(ROOT / "benchmarks" / "recipes.py"), str(recipe), str(unseen_folder)]
    options = ["--shape", "3x1", "--episodes", "20", "--", "--episodes", "3"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["recipe"], run["options"], run["steps"]) == ("small", "--episodes 3", 3)
    assert [(r["way"], r["shot"], r["accuracy"]["episodes"]) for r in run["rows"]] == [(3, 1, 20)]
    assert run["processor_seconds"] > 0
    table = runpy.run_path(str(DOCS / "tables.py"))["training_table"]({"machine": "here", "runs": [run]})
    measured = run["rows"][0]["accuracy"]
    assert f"| small `--episodes 3` | {unseen_folder.name}, 3-way 1-shot | {measured['accuracy']:.1%} ±" in table
    assert f"| {measured['open_set']['auroc']['mean']:.3f} ±" in table
