"""Whatever is enrolled, forgotten and undone: the state is that of the examples that stand, to the bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from edgefew_runtime import ClassConflictError, Example, Gallery, NothingToUndoError, head
from edgefew_runtime.gallery.records import UNLABELLED
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

DIMENSION = 5
LABELS = st.sampled_from(["stop", "go", "turn"])
ALL = range(10)
PICTURES = st.lists(st.sampled_from(ALL), min_size=1, max_size=4)


def make(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}", hashlib.sha256(bytes([number])).hexdigest())


Sides = tuple[str, frozenset[int], frozenset[int]]
State = dict["int | None", Sides]
"""Of each class, by its number, the name, the pictures and what it is not; under None the strangers, as the last."""

NOTHING: Sides = ("", frozenset(), frozenset())


class GalleryMachine(RuleBasedStateMachine):
    """A gallery beside a model of it, and a stack of earlier models for undo; None on the stack is an erase."""

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery(None, "a" * 64, DIMENSION)
        self.named: dict[int, str] = {}  # each class by its number, with the name it was made with
        self.model: State = {}
        self.history: list[State | None] = []
        self.by_event: dict[int, tuple[State, list[State | None]]] = {}
        self.erased: list[int] = []  # numbers of events
        self.pictures: dict[int, tuple[int | None, int]] = {}  # of each example, standing or not: class and picture

    def sides(self, key: int | None) -> Sides:
        return self.model.get(key, ("" if key is None else self.named[key], frozenset(), frozenset()))

    def of_name(self, label: str) -> list[int]:
        """Classes of this name; the last is the one that `enroll` means."""
        return sorted((k for k in self.named if self.sides(k)[0] == label), key=lambda k: (bool(self.sides(k)[1]), k))

    def enrolled(self) -> dict[str, int]:
        return {self.sides(key)[0]: key for key in self.named if self.sides(key)[1]}

    def change(self, key: int | None, *sides: frozenset[int], label: str | None = None) -> None:
        self.history.append(dict(self.model))
        self.model[key] = (self.sides(key)[0] if label is None else label, *sides)
        if key is not None and self.named[key] == UNLABELLED:
            held = self.gallery.unlabelled_examples()
        else:
            held = self.gallery.examples(None if key is None else self.sides(key)[0]) if key is None or sides[0] else []
        self.pictures |= {example.id: (key, int(example.source)) for example in held}

    @rule(label=LABELS, numbers=PICTURES)
    def enroll(self, label: str, numbers: list[int]) -> None:
        key = [len(self.named) + 1, *self.of_name(label)][-1]
        _, held, rejected = self.sides(key) if key in self.named else NOTHING
        elsewhere = {n for other in self.named if other != key for n in self.sides(other)[1]}
        if set(numbers) & (rejected | self.sides(None)[2] | elsewhere):
            with pytest.raises(ClassConflictError):
                self.gallery.enroll(label, [make(n) for n in numbers])
            return
        accepted = self.gallery.enroll(label, [make(n) for n in numbers]).new
        assert sum(accepted) == len(set(numbers) - held)
        if any(accepted):
            self.named.setdefault(key, label)
            self.change(key, held | set(numbers), rejected)

    @precondition(lambda self: self.enrolled())
    @rule(data=st.data(), numbers=PICTURES)
    def reject(self, data: st.DataObject, numbers: list[int]) -> None:
        label, key = data.draw(st.sampled_from(sorted(self.enrolled().items())))
        _, held, rejected = self.sides(key)
        if set(numbers) & held:
            with pytest.raises(ClassConflictError):
                self.gallery.reject(label, [make(n) for n in numbers])
        elif any(self.gallery.reject(label, [make(n) for n in numbers]).new):
            self.change(key, held, rejected | set(numbers))

    @rule(numbers=PICTURES)
    def calibrate(self, numbers: list[int]) -> None:
        if set(numbers) & {n for key in self.named for n in self.sides(key)[1]}:
            with pytest.raises(ClassConflictError):
                self.gallery.calibrate([make(n) for n in numbers])
        elif any(self.gallery.calibrate([make(n) for n in numbers]).new):
            self.change(None, frozenset(), self.sides(None)[2] | set(numbers))

    @rule(numbers=PICTURES, replace=st.booleans())
    def refine(self, numbers: list[int], replace: bool) -> None:
        """Whatever a picture is besides: what is unlabelled is in no sum."""
        key = [len(self.named) + 1, *self.of_name(UNLABELLED)][-1]
        unlabelled = self.sides(key)[2] if key in self.named else frozenset()
        accepted = self.gallery.refine([make(n) for n in numbers], replace=replace).new
        if key not in self.named:
            self.named[key] = UNLABELLED
        if replace and unlabelled:
            self.change(key, frozenset(), frozenset())
            unlabelled = frozenset()
        assert sum(accepted) == len(set(numbers) - unlabelled)
        if any(accepted):
            self.change(key, frozenset(), unlabelled | set(numbers))

    def unlabelled(self) -> frozenset[int]:
        return frozenset().union(*(self.sides(key)[2] for key in self.of_name(UNLABELLED)))

    @precondition(lambda self: self.of_name(UNLABELLED))
    @rule()
    def clear_unlabelled(self) -> None:
        unlabelled = self.unlabelled()
        assert self.gallery.clear_unlabelled() == len(unlabelled)
        if unlabelled:
            self.change(self.of_name(UNLABELLED)[0], frozenset(), frozenset())

    @rule()
    def clear(self) -> None:
        strangers = self.sides(None)[2]
        assert self.gallery.clear() == len(strangers)
        if strangers:
            self.change(None, frozenset(), frozenset())

    @precondition(lambda self: self.enrolled())
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        label, key = data.draw(st.sampled_from(sorted(self.enrolled().items())))
        assert self.gallery.forget(label) == len(self.sides(key)[1])
        self.change(key, frozenset(), frozenset())

    @rule()
    def undo(self) -> None:
        if self.history and self.history[-1] is not None:
            self.gallery.undo()
            self.model = dict(self.history.pop() or {})
        else:
            with pytest.raises(NothingToUndoError, match="cannot be undone" if self.history else "no change stands"):
                self.gallery.undo()

    def standing(self) -> list[int]:
        held = [e for label in [None, *self.enrolled()] for e in self.gallery.examples(label)]
        return [e.id for e in held + self.gallery.unlabelled_examples()]

    @precondition(lambda self: self.standing())
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.standing()))
        self.gallery.remove(number)
        key, picture = self.pictures[number]
        self.change(key, *(side - {picture} for side in self.sides(key)[1:]))

    @precondition(lambda self: self.pictures)
    @rule(data=st.data())
    def erase_example(self, data: st.DataObject) -> None:
        """One that stands, or that was taken out or undone earlier."""
        number = data.draw(st.sampled_from(sorted(self.pictures)))
        key, picture = self.pictures[number]
        found, others = self.gallery.erase_example(number)
        assert found.source == str(picture)
        assert {other.id for other in others} == {
            n for n, (owner, same) in self.pictures.items() if same == picture and owner != key
        }
        self.drop({key}, {picture})

    @precondition(lambda self: self.named)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.named)))
        label = self.sides(key)[0]
        gone = {number for number, (owner, _) in self.pictures.items() if owner in self.of_name(label)}
        erased = self.gallery.erase_unlabelled() if label == UNLABELLED else self.gallery.erase(label)
        assert erased == len(gone)
        if gone:
            self.drop(set(self.of_name(label)), set(ALL))

    @rule()
    def erase_strangers(self) -> None:
        gone = {number for number, (owner, _) in self.pictures.items() if owner is None}
        assert self.gallery.erase_strangers() == len(gone)
        if gone:
            self.drop({None}, set(ALL))

    def drop(self, keys: set[int | None], pictures: set[int]) -> None:
        """What was erased is in no state any more, whichever `undo` brings back."""

        def left(state: State | None) -> State | None:
            if state is None:
                return None
            return {
                key: (label, held - pictures, rejected - pictures) if key in keys else (label, held, rejected)
                for key, (label, held, rejected) in state.items()
            }

        self.model = left(self.model) or {}
        self.history = [left(state) for state in self.history] + [None]
        self.by_event = {
            event: (left(state) or {}, [left(earlier) for earlier in history])
            for event, (state, history) in self.by_event.items()
        }
        self.pictures = {
            number: (key, picture)
            for number, (key, picture) in self.pictures.items()
            if key not in keys or picture not in pictures
        }
        self.erased.append(self.gallery.log()[-1].id)

    @precondition(lambda self: self.enrolled())
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        label, key = data.draw(st.sampled_from(sorted(self.enrolled().items())))
        to = data.draw(st.sampled_from(["stop", "go", "turn", "halt"]))
        if to in self.enrolled():
            with pytest.raises(ClassConflictError):
                self.gallery.rename(label, to)
            return
        self.gallery.rename(label, to)
        self.change(key, *self.sides(key)[1:], label=to)

    @precondition(lambda self: self.by_event)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(sorted(self.by_event)))
        state, history = self.by_event[event]
        try:
            self.gallery.roll_back(event)
        except NothingToUndoError:
            assert visible(state) == visible(self.model)
        self.model = dict(state)
        self.history = [*history, *[None for number in self.erased if number > event][:1]]

    @rule()
    def remember(self) -> None:
        last = self.gallery.log()[-1].id
        self.by_event[last] = (dict(self.model), list(self.history))

    @invariant()
    def state_is_that_of_the_model(self) -> None:
        state = self.gallery.state()
        expected = {label: self.sides(key) for label, key in self.enrolled().items()}
        assert set(state.labels) == set(expected)
        for label, total, count in zip(state.labels, state.sums, state.counts, strict=True):
            embeddings = [make(n).embedding.astype(np.float64) for n in sorted(expected[label][1], reverse=True)]
            assert total.tobytes() == (np.sum(embeddings, axis=0) + 0.0).tobytes()
            assert count == len(embeddings)
        content = self.gallery.content()
        for label, (_, held, rejected) in expected.items():
            assert {int(e.source) for e in content[label] if e.negative} == rejected
            assert {int(e.source) for e in content[label] if not e.negative} == held
        assert {int(e.source) for e in self.gallery.strangers()} == self.sides(None)[2]
        assert {int(e.source) for e in self.gallery.unlabelled()} == self.unlabelled()
        used = self.unlabelled() - {number for _, held, _ in expected.values() for number in held}
        pool = self.gallery.task().unlabelled
        rows = [] if pool is None else [row.tobytes() for row in pool.embeddings]
        assert rows == sorted(make(number).embedding.tobytes() for number in used)
        rejected_of = self.gallery.task().rejected
        assert {state.labels[place] for place in rejected_of} == {
            label for label, sides in expected.items() if sides[2]
        }

    def teardown(self) -> None:
        assert not self.gallery.problems()
        self.gallery.close()


def visible(state: State) -> State:
    """Without classes that hold nothing."""
    return {key: sides for key, sides in state.items() if sides[1] or sides[2]}


TestGalleryAlgebra = GalleryMachine.TestCase
TestGalleryAlgebra.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
