"""Merging: sets of pictures, the same in any order; what disagrees is named."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import (
    ClassConflictError,
    Example,
    Gallery,
    GalleryFormatError,
    GalleryMismatchError,
    Merged,
    UnknownClassError,
    head,
)
from hypothesis import given, settings
from hypothesis import strategies as st

BUNDLE, DIMENSION = "a" * 64, 4

Held = dict["str | None", frozenset[tuple[str, bool, bytes]]]
"""Of each class (None: the strangers) picture, side and embedding."""

Step = tuple[str, str, list[int]]


def seen_on(device: int, picture: int) -> Example:
    """What a device makes of a picture: the last bits differ from device to device."""
    row = np.random.default_rng(picture).standard_normal((1, DIMENSION)).astype(np.float32)
    embedding = head.to_grid(row)[0] + np.float32(device * head.GRID)
    return Example(embedding, f"{picture}.png", hashlib.sha256(bytes([picture])).hexdigest())


def a_gallery(device: int, steps: list[Step]) -> Gallery:
    gallery = Gallery(None, BUNDLE, DIMENSION)
    for kind, label, pictures in steps:
        examples = [seen_on(device, picture) for picture in pictures]
        actions: dict[str, Callable[[], object]] = {
            "enroll": lambda label=label, examples=examples: gallery.enroll(label, examples),
            "reject": lambda label=label, examples=examples: gallery.reject(label, examples),
            "calibrate": lambda examples=examples: gallery.calibrate(examples),
            "forget": lambda label=label: gallery.forget(label),
            "remove": lambda label=label: gallery.remove(gallery.examples(label)[0].id),
        }
        with contextlib.suppress(ClassConflictError, UnknownClassError):
            actions[kind]()
    return gallery


def held(gallery: Gallery) -> Held:
    content = {**gallery.content(), None: gallery.strangers()}
    return {
        label: frozenset((e.source_sha256, e.negative, e.embedding.tobytes()) for e in group)
        for label, group in content.items()
    }


def merged(*galleries: Gallery) -> Gallery | None:
    """All of them in a new gallery; None where they disagree."""
    into = Gallery(None, BUNDLE, DIMENSION)
    for gallery in galleries:
        try:
            into.merge(gallery)
        except ClassConflictError:
            return None
    assert not into.problems()
    return into


def seen(gallery: Gallery | None) -> tuple[Held, dict[str, bytes]] | None:
    if gallery is None:
        return None
    state = gallery.state()
    return held(gallery), {label: total.tobytes() for label, total in zip(state.labels, state.sums, strict=True)}


KINDS = st.sampled_from(["enroll", "enroll", "enroll", "reject", "calibrate", "forget", "remove"])
STEPS = st.lists(
    st.tuples(KINDS, st.sampled_from(["stop", "go"]), st.lists(st.integers(0, 7), min_size=1, max_size=3)), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(STEPS, STEPS, STEPS)
def test_merging_is_commutative_associative_and_idempotent(one: list[Step], two: list[Step], three: list[Step]) -> None:
    a, b, c = (a_gallery(device, steps) for device, steps in enumerate((one, two, three)))
    assert seen(merged(a)) == seen(a)
    assert seen(merged(a, a)) == seen(a)
    both = seen(merged(a, b))
    assert seen(merged(b, a)) == both
    assert seen(merged(a, b, a)) == both
    every = seen(merged(a, b, c))
    assert seen(merged(c, b, a)) == seen(merged(b, c, a)) == every
    later = merged(b, c)
    assert (None if later is None else seen(merged(a, later))) == every


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS)
def test_a_merge_is_undone_and_done_again_to_the_bit(one: list[Step], two: list[Step]) -> None:
    ours, theirs = a_gallery(1, one), a_gallery(0, two)
    before, last = seen(ours), ours.log()[-1].id
    try:
        ours.merge(theirs)
    except ClassConflictError:
        assert seen(ours) == before
        return
    if ours.log()[-1].id == last:
        assert seen(ours) == before
        return
    after = seen(ours)
    assert ours.undo().kind == "merge"
    assert seen(ours) == before
    ours.roll_back(last + 1)
    assert seen(ours) == after
    ours.roll_back(last)
    assert seen(ours) == before
    assert not ours.problems()


def two_galleries() -> tuple[Gallery, Gallery]:
    return Gallery(None, BUNDLE, DIMENSION), Gallery(None, BUNDLE, DIMENSION)


def test_strangers_travel_with_a_gallery_and_count_once() -> None:
    one, two = two_galleries()
    one.calibrate([seen_on(0, 1), seen_on(0, 2)])
    two.calibrate([seen_on(0, 2), seen_on(0, 3)])
    two.enroll("stop", [seen_on(0, 4)])
    assert one.merge(two) == Merged({"stop": 1}, 1)
    assert one.merge(two) == Merged({}, 0)
    assert sorted(e.source for e in one.strangers()) == ["1.png", "2.png", "3.png"]
    assert one.log()[-1].describe() == "merge stop, strangers"
    one.undo()
    assert sorted(e.source for e in one.strangers()) == ["1.png", "2.png"]


def test_a_stranger_here_that_is_enrolled_there_is_named_both_ways() -> None:
    one, two = two_galleries()
    one.calibrate([seen_on(0, 1)])
    two.enroll("stop", [seen_on(0, 1)])
    with pytest.raises(ClassConflictError, match=r"1\.png is a stranger here and 'stop' there"):
        one.merge(two)
    with pytest.raises(ClassConflictError, match=r"1\.png is 'stop' here and a stranger there"):
        two.merge(one)


def test_a_picture_is_of_one_class_enrolled_or_merged() -> None:
    one, two = two_galleries()
    one.enroll("stop", [seen_on(0, 1), seen_on(0, 2)])
    before, last = seen(one), one.log()[-1].id
    for dry_run in (False, True):
        with pytest.raises(ClassConflictError, match=r"1\.png is enrolled as 'stop' \(example 1\)"):
            one.enroll("go", [seen_on(0, 3), seen_on(0, 1)], dry_run=dry_run)
    assert (seen(one), one.log()[-1].id) == (before, last)
    two.enroll("go", [seen_on(0, 1)])
    with pytest.raises(ClassConflictError, match=r"1\.png is 'stop' here and 'go' there"):
        one.merge(two)

    # Once it is taken out there, it may be of the other class; and going back gives each state again.
    one.remove(1)
    one.enroll("go", [seen_on(0, 1)])
    after = seen(one)
    one.roll_back(last)
    assert seen(one) == before
    one.undo()
    one.enroll("go", [seen_on(0, 1)])
    one.roll_back(last + 2)
    assert seen(one) == after


def test_a_gallery_that_holds_a_picture_in_two_classes_is_not_merged(gallery_path: Path) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as one:
        # As an earlier version let it be enrolled: with the picture's own bytes, under two names.
        one.enroll("stop", [seen_on(0, 1)])
        with one._writing("") as change:
            change.add("enroll", {"label": "go"}, [(change.class_id("go"), "go", [seen_on(0, 1)])])
        assert not one.problems()
        with pytest.raises(ClassConflictError, match=r"1\.png is of no class here and 'go' and 'stop' there"):
            Gallery(None, BUNDLE, DIMENSION).merge(one)


def test_a_merge_can_be_undone() -> None:
    one, two = Gallery(None, BUNDLE, DIMENSION), Gallery(None, BUNDLE, DIMENSION)
    one.enroll("stop", [seen_on(0, 1)])
    two.enroll("stop", [seen_on(0, 2)])
    two.enroll("go", [seen_on(0, 3)])
    before = held(one)
    assert one.merge(two) == Merged({"stop": 1, "go": 1}, 0)
    assert one.merge(two) == Merged({}, 0)
    assert one.undo().kind == "merge"
    assert held(one) == before


def test_what_disagrees_is_not_merged_and_named() -> None:
    one, two = Gallery(None, BUNDLE, DIMENSION), Gallery(None, BUNDLE, DIMENSION)
    one.enroll("stop", [seen_on(0, 1)])
    two.enroll("go", [seen_on(0, 1), seen_on(0, 2)])
    before = held(one)
    with pytest.raises(ClassConflictError, match=r"1\.png is 'stop' here and 'go' there"):
        one.merge(two)
    assert held(one) == before
    with pytest.raises(GalleryMismatchError):
        one.merge(Gallery(None, "b" * 64, DIMENSION))


def test_a_tampered_gallery_is_not_merged(gallery_path: Path) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as other:
        other.enroll("stop", [seen_on(0, 1)])
    with sqlite3.connect(gallery_path) as db:
        db.execute("UPDATE example SET embedding = zeroblob(16)")
    db.close()
    with Gallery(gallery_path, BUNDLE, DIMENSION) as other, pytest.raises(GalleryFormatError, match="is not merged"):
        Gallery(None, BUNDLE, DIMENSION).merge(other)
