from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.data import Batches
from tinygrad_seq.errors import DataError, TinygradSeqError

LENGTHS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
TEXTS = [np.arange(10 * n, 10 * n + length) for n, length in enumerate(LENGTHS)]
NUMBERS = np.arange(len(TEXTS))


def flat(batches: Any) -> list[Any]:
    return [(inputs.tolist(), lengths.tolist(), targets.tolist()) for (inputs, lengths), targets in batches]


def test_an_epoch_has_every_sequence_once_with_its_target() -> None:
    ts.manual_seed(0)
    batches = Batches(TEXTS, NUMBERS, 3)
    epochs = [list(batches) for _ in range(2)]
    for epoch in epochs:
        assert len(epoch) == len(batches)
        assert sorted(itertools.chain.from_iterable(targets.tolist() for _, targets in epoch)) == NUMBERS.tolist()
        for (inputs, lengths), targets in epoch:
            for n, (length, target) in enumerate(zip(lengths, targets, strict=True)):
                np.testing.assert_array_equal(inputs[:length, n], TEXTS[target])
                assert not inputs[length:, n].any()
    assert flat(epochs[0]) != flat(epochs[1])
    ts.manual_seed(0)
    assert flat(Batches(TEXTS, NUMBERS, 3)) == flat(epochs[0])
    fixed = Batches(TEXTS, NUMBERS, 3, shuffle=False)
    assert flat(fixed) == flat(fixed)


def test_targets_per_step_are_padded() -> None:
    batches = Batches(TEXTS, [text % 7 for text in TEXTS], 4, target_value=-100, max_padding=0.5)
    for (inputs, lengths), targets in batches:
        assert targets.shape == inputs.shape
        real = np.arange(len(inputs))[:, None] < lengths
        np.testing.assert_array_equal(targets, np.where(real, inputs % 7, -100))


@pytest.mark.parametrize("shuffle", [True, False])
def test_it_continues_from_every_position(shuffle: bool) -> None:
    ts.manual_seed(3)
    batches = Batches(TEXTS, NUMBERS, 2, shuffle=shuffle)
    list(batches)
    for position in range(len(batches)):
        iterator = iter(batches)
        for _ in range(position):
            next(iterator)
        state = batches.state_dict()
        rest = flat(iterator)
        other = Batches(TEXTS, NUMBERS, 2, shuffle=shuffle)
        other.load_state_dict(state)
        if position:
            assert flat(other) == rest
        assert other.state_dict()["position"] == 0


def test_the_state_of_other_data_is_refused() -> None:
    state = Batches(TEXTS, NUMBERS, 2).state_dict()
    for other in (
        Batches(TEXTS, NUMBERS, 3),
        Batches(TEXTS, NUMBERS + 1, 2),
        Batches(TEXTS[::-1], NUMBERS, 2),
        Batches(TEXTS, NUMBERS, 2, shuffle=False),
    ):
        with pytest.raises(DataError, match="expected a state with"):
            other.load_state_dict(state)
    for change in ({"position": 99}, {"position": None}, {"seed": "x"}):
        with pytest.raises(DataError, match="the state is damaged"):
            Batches(TEXTS, NUMBERS, 2).load_state_dict({**state, **change})


BAD: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 0}, "batch_size"),
    ({"max_padding": 1.0}, "max_padding"),
    ({"inputs": []}, "at least one sequence"),
    ({"targets": [1, 2]}, "expected one target per sequence, 11, got 2"),
    ({"targets": TEXTS}, r"pass target_value=\.\.\. for one target per step"),
    ({"targets": TEXTS[1:], "target_value": 0}, "expected the targets of 11 sequences, got 10"),
    ({"targets": TEXTS[::-1], "target_value": 0}, "expected one target per step, 3 for sequence 0, got 5"),
    ({"value": 0.5}, "can hold"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_bad_input(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TinygradSeqError, match=message):
        Batches(**{"inputs": TEXTS, "targets": NUMBERS, "batch_size": 2, **change})
