"""docs/attacks.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

HERE = Path(__file__).resolve().parent


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(\w+\.py)::(test_\w+)`", (ROOT / "docs" / "attacks.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert re.search(rf"^def {test}\(", (HERE / file).read_text(), re.M), f"{file} has no {test}"
