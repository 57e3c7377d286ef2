"""docs/attacks.md names tests that exist."""

from __future__ import annotations

import re

from tests.conftest import ROOT


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(\w+\.py)::(test_\w+)`", (ROOT / "docs" / "attacks.md").read_text())
    assert len(named) > 30
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    for file, test in named:
        assert file in files, f"there is no {file}"
        assert re.search(rf"^def {test}\(", files[file].read_text(), re.M), f"{file} has no {test}"
