"""Whatever is enrolled, forgotten and undone: the state is that of the examples that stand, to the bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from edgefew_runtime import ClassConflictError, Example, Gallery, NothingToUndoError, head
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

DIMENSION = 5
LABELS = st.sampled_from(["stop", "go", "turn"])


def make(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}", hashlib.sha256(bytes([number])).hexdigest())


class GalleryMachine(RuleBasedStateMachine):
    """A gallery beside a model of it: for each class, the set of examples; a stack of earlier models for undo.

    What a class is not stands in the model under its name with a "!" before it, strangers under "?".
    """

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery(None, "a" * 64, DIMENSION)
        self.model: dict[str, frozenset[int]] = {}
        self.history: list[dict[str, frozenset[int]]] = []
        self.by_event: dict[int, tuple[dict[str, frozenset[int]], list[dict[str, frozenset[int]]]]] = {}

    @rule(label=LABELS, numbers=st.lists(st.integers(0, 9), min_size=1, max_size=4))
    def enroll(self, label: str, numbers: list[int]) -> None:
        if set(numbers) & (self.model.get("!" + label, frozenset()) | self.model.get("?", frozenset())):
            with pytest.raises(ClassConflictError):
                self.gallery.enroll(label, [make(n) for n in numbers])
            return
        accepted = self.gallery.enroll(label, [make(n) for n in numbers])
        held = self.model.get(label, frozenset())
        assert sum(accepted) == len(set(numbers) - held)
        if any(accepted):
            self.history.append(dict(self.model))
            self.model[label] = held | set(numbers)

    def enrolled(self) -> list[str]:
        return sorted(name for name, held in self.model.items() if held and name[0] not in "!?")

    @precondition(lambda self: self.enrolled())
    @rule(data=st.data(), numbers=st.lists(st.integers(0, 9), min_size=1, max_size=3))
    def reject(self, data: st.DataObject, numbers: list[int]) -> None:
        label = data.draw(st.sampled_from(self.enrolled()))
        if set(numbers) & self.model[label]:
            with pytest.raises(ClassConflictError):
                self.gallery.reject(label, [make(n) for n in numbers])
            return
        held = self.model.get("!" + label, frozenset())
        if any(self.gallery.reject(label, [make(n) for n in numbers])):
            self.history.append(dict(self.model))
            self.model["!" + label] = held | set(numbers)

    @rule(numbers=st.lists(st.integers(0, 9), min_size=1, max_size=3))
    def calibrate(self, numbers: list[int]) -> None:
        if set(numbers) & {n for label in self.enrolled() for n in self.model[label]}:
            with pytest.raises(ClassConflictError):
                self.gallery.calibrate([make(n) for n in numbers])
            return
        held = self.model.get("?", frozenset())
        if any(self.gallery.calibrate([make(n) for n in numbers])):
            self.history.append(dict(self.model))
            self.model["?"] = held | set(numbers)

    @rule()
    def clear(self) -> None:
        strangers = self.model.get("?", frozenset())
        assert self.gallery.clear() == len(strangers)
        if strangers:
            self.history.append(dict(self.model))
            self.model["?"] = frozenset()

    @precondition(lambda self: self.enrolled())
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(self.enrolled()))
        assert self.gallery.forget(label) == len(self.model[label])
        self.history.append(dict(self.model))
        self.model[label] = self.model["!" + label] = frozenset()

    @precondition(lambda self: self.history)
    @rule()
    def undo(self) -> None:
        self.gallery.undo()
        self.model = dict(self.history.pop())

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        strangers = [None] if self.model.get("?") else []
        label = data.draw(st.sampled_from([*self.enrolled(), *strangers]))
        example = data.draw(st.sampled_from(self.gallery.examples(label)))
        self.gallery.remove(example.id)
        self.history.append(dict(self.model))
        key = "?" if label is None else "!" * example.negative + label
        self.model[key] -= {int(example.source)}
        if not self.model[key] and key == label:
            self.model["!" + label] = frozenset()

    @precondition(lambda self: self.enrolled())
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        enrolled = self.enrolled()
        label = data.draw(st.sampled_from(enrolled))
        to = data.draw(st.sampled_from(["stop", "go", "turn", "halt"]))
        if to in enrolled:
            with pytest.raises(ClassConflictError):
                self.gallery.rename(label, to)
            return
        self.gallery.rename(label, to)
        self.history.append(dict(self.model))
        self.model[to] = self.model.pop(label)
        self.model["!" + to] = self.model.pop("!" + label, frozenset())

    @precondition(lambda self: self.by_event)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(sorted(self.by_event)))
        try:
            self.gallery.roll_back(event)
        except NothingToUndoError:
            assert self.by_event[event][0] == self.model
        self.model, self.history = dict(self.by_event[event][0]), list(self.by_event[event][1])

    @rule()
    def remember(self) -> None:
        last = self.gallery.log()[-1].id
        self.by_event[last] = (dict(self.model), list(self.history))

    @invariant()
    def state_is_that_of_the_model(self) -> None:
        state = self.gallery.state()
        expected = {label: self.model[label] for label in self.enrolled()}
        assert set(state.labels) == set(expected)
        for label, total, count in zip(state.labels, state.sums, state.counts, strict=True):
            embeddings = [make(n).embedding.astype(np.float64) for n in sorted(expected[label], reverse=True)]
            assert total.tobytes() == (np.sum(embeddings, axis=0) + 0.0).tobytes()
            assert count == len(embeddings)
        content = self.gallery.content()
        for label in expected:
            negatives = {int(e.source) for e in content[label] if e.negative}
            assert negatives == self.model.get("!" + label, frozenset())
        assert {int(e.source) for e in self.gallery.strangers()} == self.model.get("?", frozenset())

    def teardown(self) -> None:
        assert not self.gallery.problems()
        self.gallery.close()


TestGalleryAlgebra = GalleryMachine.TestCase
TestGalleryAlgebra.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
