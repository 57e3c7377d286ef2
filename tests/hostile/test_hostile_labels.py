"""Class names of every script and of none: stored and given back exactly, or one LabelError."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Example, Gallery, LabelError, head
from edgefew_runtime.gallery.records import MAX_LABEL

from tests.hostile.conftest import SOAK

BUNDLE, DIMENSION = "a" * 64, 4

SCRIPTS = [
    "стоп", "στοπ", "עצור", "قف", "停止", "止まれ", "정지", "หยุด", "रुकें", "থামুন", "நில்", "ఆగు", "ನಿಲ್ಲಿಸಿ", "നിർത്തുക",
    "නවතින්න", "ຢຸດ", "རྡོ་རྗེ", "ရပ်", "გაჩერდი", "կանգ", "ቁም", "ឈប់", "ᠵᠣᠭᠰ", "ᏗᎴᏫᏍᏗ",
    "می\u200cایستد", "क्\u200dष", "👩\u200d🔧",
    "𐌲𐌿𐍄", "𓂀", "dừng lại", "Straße", "ﬁn", "Å",
]  # fmt: skip

STRINGS = [
    "'; DROP TABLE class; --", '"', "%s%n%x", "{0.__class__}", "$(rm -rf /)", "`id`", "../../etc/passwd", "C:\\nul",
    "a/b", "<script>alert(1)</script>", "&lt;", "NULL", "None", "true", "0", "-1", "1e309", "nan",
    "--help", "-", "*", "?", "~",
    "a|b", "a,b", "a;b", "a\\nb", "a  b", "😀", "👍🏽", "🇩🇪", "e" + "\u0301" * 150, "Z" * MAX_LABEL, "𓂀" * MAX_LABEL,
]  # fmt: skip

REFUSED = [
    "", " ", "\t", "\n", "\u3000", "a\0b", "a\nb", "a\rb", "a\tb",
    "a\x1b[2Jb", "a\x07b", "a\x7fb", "a\x85b", "a\u2028b",
    "st\u200cop", "st\u200dop", "\u200dस", "स\u200d", "स\u200d\u200dस",
    "\u202egnp", "a\u200eb", "a\u2066b", "a\u200bb", "a\ufeffb", "a\u00adb",
    "a\ud800b", "a\udce9b", "a\ufffeb", "a\ue000b",
    "a\u0378b", "a\u00a0b", "\U000e0041", "Z" * (MAX_LABEL + 1), "e" + "\u0301" * (MAX_LABEL + 1), "x" * 10**6,
]  # fmt: skip


def example(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}.png", f"{number:064}")


@pytest.mark.parametrize("label", [*SCRIPTS, *STRINGS], ids=ascii)
def test_a_name_that_can_be_shown_is_given_back_exactly(label: str, gallery_path: Path) -> None:
    label = unicodedata.normalize("NFC", label)
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll(unicodedata.normalize("NFD", label)[: 2 * MAX_LABEL], [example(1)])
        gallery.rename(label, f"{label[:150]}2")
        gallery.rename(f"{label[:150]}2", label)
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        assert [entry.label for entry in gallery.classes()] == [label]
        assert list(gallery.content([label])) == [label]
        assert gallery.task().labels == (label,)
        assert gallery.log()[1].payload["label"] == label
        assert not gallery.problems()
        assert gallery.forget(label) == 1


@pytest.mark.parametrize("label", REFUSED, ids=lambda label: ascii(label)[:20])
def test_a_name_that_cannot_be_shown_is_refused_everywhere(label: str) -> None:
    with Gallery(None, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [example(1)])
        for refused in (
            lambda: gallery.enroll(label, [example(2)]),
            lambda: gallery.reject(label, [example(2)]),
            lambda: gallery.rename("stop", label),
            lambda: gallery.rename(label, "go"),
            lambda: gallery.forget(label),
            lambda: gallery.erase(label),
            lambda: gallery.content([label]),
            lambda: gallery.examples(label),
        ):
            with pytest.raises(LabelError) as refusal:
                refused()
            assert str(refusal.value).isprintable()
        assert [entry.label for entry in gallery.classes()] == ["stop"]
        assert len(gallery.log()) == 2


def test_characters_of_every_category_are_stored_or_refused() -> None:
    with Gallery(None, BUNDLE, DIMENSION) as gallery:
        stored = 0
        seen: dict[str, int] = {}
        for code in range(0, sys.maxunicode + 1, 1 if SOAK else 7):
            character = chr(code)
            category = unicodedata.category(character)
            seen[category] = seen.get(category, 0) + 1
            if not SOAK and seen[category] > 12:
                continue
            label = f"a{character}b"
            try:
                gallery.enroll(label, [example(code)])
            except LabelError:
                assert category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
            else:
                assert category[0] not in "C"
                stored += 1
                assert gallery.forget(label) == 1
        assert len(seen) == 30 or not SOAK
        assert stored > 150


def test_blanks_around_a_name_are_no_part_of_it() -> None:
    with Gallery(None, BUNDLE, DIMENSION) as gallery:
        gallery.enroll(" \u3000stop\n", [example(1)])
        gallery.enroll("stop", [example(2)])
        assert [(entry.label, entry.examples) for entry in gallery.classes()] == [("stop", 2)]


def test_one_word_from_two_keyboards_is_one_class() -> None:
    with Gallery(None, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("caf\u00e9", [example(1)])
        gallery.enroll("cafe\u0301", [example(2)])
        assert [(entry.label, entry.examples) for entry in gallery.classes()] == [("caf\u00e9", 2)]
        assert list(gallery.content(["cafe\u0301"])) == ["caf\u00e9"]
