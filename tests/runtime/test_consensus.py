"""Frames vote: one wrong frame does not flip the answer, and a true change is followed."""

from __future__ import annotations

import math

import pytest
from edgefew_runtime import Answer, EdgeFewError
from edgefew_runtime.consensus import (
    CLEAR,
    QUORUM,
    Consensus,
    TrackAnswer,
    frames_to_follow,
    track_answer,
    vote_weight,
)
from hypothesis import given
from hypothesis import strategies as st

LABELS = ["stop", "go", "turn"]
NUMBER = st.floats(-1, 1)
WINDOWS = st.integers(QUORUM + 1, 10)


def answer(
    label: str | None, *, score: float | None = 0.8, margin: float | None = 0.1, threshold: float | None = 0.5
) -> Answer:
    """The answer for a frame that is taken for a label, or is unknown."""
    if label is None:
        return Answer("stop", 0.5, 0.4, False, "go", margin, threshold)
    return Answer(label, 0.9, score, True, "other", margin, threshold)


@st.composite
def answers(draw: st.DrawFn, labels: st.SearchStrategy[str | None] | None = None) -> Answer:
    """Any answer that a classifier gives."""
    label = draw(st.sampled_from([None, *LABELS]) if labels is None else labels)
    threshold, margin = draw(st.none() | NUMBER), draw(st.none() | st.floats(0, 2))
    if label is None:
        nearest = draw(st.none() | st.sampled_from(LABELS))
        return Answer(nearest, 0.1, None if nearest is None else draw(NUMBER), False, None, margin, threshold)
    score = draw(NUMBER if threshold is None else st.floats(threshold, 1))
    return Answer(label, 0.9, score, True, None, margin, threshold)


def agreeing(label: str | None, least: int, most: int) -> st.SearchStrategy[list[Answer]]:
    return st.lists(answers(st.just(label)), min_size=least, max_size=most)


def follow(window: int, frames: list[Answer]) -> list[TrackAnswer]:
    consensus = Consensus(window)
    return [consensus.add(frame) for frame in frames]


def said(frame: Answer) -> str | None:
    return frame.label if frame.known else None


# ---- what is promised -----------------------------------------------------------------------------


@given(WINDOWS, agreeing("stop", 3, 12), answers(), st.data())
def test_one_frame_put_anywhere_among_frames_that_agree_never_flips_the_answer(
    window: int, run: list[Answer], stray: Answer, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(run)))
    told = [verdict.label for verdict in follow(window, [*run[:place], stray, *run[place:]])]
    assert told[-1] == "stop"
    assert set(told) <= {None, "stop"}
    assert set(told[told.index("stop") :]) == {"stop"}


@given(WINDOWS, agreeing("stop", 4, 12), answers(), st.data())
def test_one_frame_in_place_of_another_never_flips_the_answer(
    window: int, run: list[Answer], stray: Answer, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(run) - 1))
    told = [verdict.label for verdict in follow(window, [*run[:place], stray, *run[place + 1 :]])]
    assert told[-1] == "stop"
    assert set(told[told.index("stop") :]) == {"stop"}


@given(WINDOWS, st.lists(answers(), max_size=12), agreeing("go", 8, 8))
def test_a_true_change_is_followed_within_the_stated_number_of_frames_whatever_was_before(
    window: int, before: list[Answer], after: list[Answer]
) -> None:
    told = [verdict.label for verdict in follow(window, [*before, *after])]
    within = len(before) + frames_to_follow(window)
    assert set(told[within - 1 :]) == {"go"}


@given(WINDOWS, st.lists(answers(), min_size=1, max_size=20))
def test_enough_frames_of_the_window_decide_and_too_few_never_change_the_answer(
    window: int, frames: list[Answer]
) -> None:
    verdicts = follow(window, frames)
    for i, verdict in enumerate(verdicts):
        inside = [said(frame) for frame in frames[max(0, i + 1 - window) : i + 1]]
        for label in {None, *LABELS}:
            if inside.count(label) >= frames_to_follow(window):
                assert verdict.label == label
        earlier = verdicts[i - 1].label if i else None
        if verdict.label not in (earlier, None):
            assert inside.count(verdict.label) >= QUORUM
        if earlier is not None and inside.count(earlier) >= QUORUM and verdict.label != earlier:
            assert inside.count(verdict.label) >= QUORUM


@pytest.mark.parametrize("window", range(QUORUM + 1, 12))
def test_the_stated_number_of_frames_is_the_least_that_always_suffices(window: int) -> None:
    """One fewer, with faint votes against a window of strong ones, is not enough: the bound is tight."""
    strong, faint = answer("stop", score=0.99, margin=1), answer("go", margin=0)
    assert (vote_weight(strong), vote_weight(faint)) == (2, 1)
    told = [verdict.label for verdict in follow(window, [strong] * window + [faint] * window)][window:]
    assert told.index("go") + 1 == frames_to_follow(window)


@given(st.lists(answers(), max_size=30))
def test_every_verdict_is_sound(frames: list[Answer]) -> None:
    for number, verdict in enumerate(follow(7, frames), 1):
        assert 0 <= verdict.share <= 1 and math.isfinite(verdict.share)
        assert verdict.frames == min(number, 7)
        assert verdict.agreeing <= verdict.frames
        assert 1 <= verdict.since <= number
        assert verdict.known == (verdict.label is not None)
        assert (verdict.score is None) == (not verdict.known)


# ---- weights --------------------------------------------------------------------------------------


@given(answers())
def test_a_vote_weighs_from_1_to_2(frame: Answer) -> None:
    assert 1 <= vote_weight(frame) <= 2


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_vote_weighs_more_with_its_margin_and_its_distance_to_the_threshold(
    margin: float, distance: float, wider: float, farther: float
) -> None:
    near = vote_weight(answer("stop", margin=margin, score=distance, threshold=0))
    assert near <= vote_weight(answer("stop", margin=margin + wider, score=distance + farther, threshold=0))


def test_the_weight_is_that_of_the_nearer_border() -> None:
    assert vote_weight(answer("stop", margin=CLEAR / 2, score=0.5 + CLEAR, threshold=0.5)) == pytest.approx(1.5)
    assert vote_weight(answer("stop", margin=CLEAR, score=0.5 + CLEAR / 2, threshold=0.5)) == pytest.approx(1.5)
    assert vote_weight(answer("stop", margin=CLEAR / 2, threshold=None)) == pytest.approx(1.5)
    assert vote_weight(answer("stop", margin=None, score=0.5 + CLEAR / 2, threshold=0.5)) == pytest.approx(1.5)
    assert vote_weight(answer("stop", margin=None, threshold=None)) == 1
    assert vote_weight(answer(None, threshold=0.4 + CLEAR / 2)) == pytest.approx(1.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_do_not_get_into_the_votes(bad: float) -> None:
    frames = [answer("stop", margin=bad), answer("stop", score=bad), answer("stop", threshold=bad), answer("stop")]
    for frame in frames:
        assert 1 <= vote_weight(frame) <= 2
    verdict = track_answer(frames)
    assert verdict.label == "stop"
    assert verdict.share == 1


# ---- the rest -------------------------------------------------------------------------------------


def test_two_frames_are_not_enough() -> None:
    told = [str(verdict) for verdict in follow(7, [answer("stop")] * 3)]
    assert told == ["unknown", "unknown", "stop"]


def test_an_answer_that_nothing_supports_any_more_becomes_unknown() -> None:
    mixed = [answer(label) for label in ("go", "turn", "up", "down", "left", "right")]
    told = [verdict.label for verdict in follow(7, [answer("stop")] * 7 + mixed)]
    assert told[7:] == ["stop"] * 5 + [None]


def test_the_answer_says_since_when_it_stands() -> None:
    verdicts = follow(4, [answer("stop")] * 4 + [answer("go")] * 4)
    assert [verdict.since for verdict in verdicts] == [1, 1, 3, 3, 3, 3, 7, 7]
    assert [verdict.label for verdict in verdicts[4:]] == ["stop", "stop", "go", "go"]


def test_after_a_reset_it_is_as_new() -> None:
    used, new = Consensus(5), Consensus(5)
    for _ in range(6):
        used.add(answer("stop"))
    used.reset()
    frames = [answer("go"), answer(None), answer("go"), answer("go")]
    assert [used.add(frame) for frame in frames] == [new.add(frame) for frame in frames]


@given(st.lists(answers(), max_size=12), st.randoms(use_true_random=False))
def test_a_finished_track_is_answered_alike_in_any_order(frames: list[Answer], random: object) -> None:
    shuffled = list(frames)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert track_answer(frames) == track_answer(shuffled)


@given(agreeing("stop", 3, 12), answers())
def test_one_frame_never_flips_a_finished_track(run: list[Answer], stray: Answer) -> None:
    assert track_answer([*run, stray]).label == "stop"


@given(st.lists(answers(), min_size=QUORUM, max_size=12))
def test_more_than_two_thirds_of_a_finished_track_decide(frames: list[Answer]) -> None:
    told = [said(frame) for frame in frames]
    for label in LABELS:
        if told.count(label) >= frames_to_follow(len(frames)):
            assert track_answer(frames).label == label


@pytest.mark.parametrize("frames", [[], [answer("stop")], [answer("stop")] * 2, [answer(x) for x in LABELS]])
def test_a_track_without_a_majority_of_three_is_unknown(frames: list[Answer]) -> None:
    assert track_answer(frames).label is None


def test_a_record_of_a_track_is_plain_json() -> None:
    verdict = track_answer([answer("stop", score=score) for score in (0.7, 0.9, 0.8)] + [answer("go")])
    assert verdict.to_dict() == {
        "known": True,
        "label": "stop",
        "share": pytest.approx(0.75),
        "frames": 4,
        "agreeing": 3,
        "since": 1,
        "score": 0.8,
    }


@pytest.mark.parametrize("window", [3, 0, -1, True, 7.0, None])
def test_a_window_that_cannot_outvote_a_wrong_frame_is_refused(window: object) -> None:
    with pytest.raises(EdgeFewError, match="at least 4"):
        Consensus(window)  # type: ignore[arg-type]
