"""Greedy, drawn and beam search over models that are tables, against searching through everything."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import AnomalyError, ArgumentError, DtypeError, IndexRangeError, ShapeError

V, N, LONGEST, EOS = 3, 4, 4, 2


class Table:
    """A model whose scores depend on the row, the last token and how many were written: all of it in its state."""

    def __init__(self, rng) -> None:
        self.scores = 1.5 * rng.standard_normal((N, LONGEST, V, V))

    def step(self, tokens, state):
        row, time = state["row"].numpy(), state["time"].numpy()
        return ts.tensor(self.scores[row, time, tokens.numpy()]), {"row": state["row"], "time": state["time"] + 1}

    def begin(self):
        return {"row": ts.arange(N), "time": np.zeros(N, int)}

    def log_probability(self, row: int, tokens: tuple[int, ...]) -> float:
        total, last = 0.0, 0
        for time, token in enumerate(tokens):
            total += ts.log_softmax(self.scores[row, time, last])[token].item()
            last = token
        return total

    def ranking(self, row: int, penalty: Any) -> list[tuple[float, tuple[int, ...]]]:
        """Return every sequence with its score, the best first."""
        divisor = penalty if callable(penalty) else lambda length: length**penalty
        others = [token for token in range(V) if token != EOS]
        ended = [(*body, EOS) for length in range(LONGEST) for body in itertools.product(others, repeat=length)]
        found = [*ended, *itertools.product(others, repeat=LONGEST)]
        scores = [self.log_probability(row, tokens) / divisor(len(tokens)) for tokens in found]
        return sorted(zip(scores, found, strict=True), reverse=True)


@pytest.fixture
def table(rng) -> Table:
    return Table(rng)


def written(tokens: np.ndarray, length: int) -> tuple[int, ...]:
    """Return the tokens of a row with its end; all after it must be the end too."""
    assert (tokens[length:] == EOS).all()
    return tuple(tokens[: length + 1])


def wu(length: Any) -> Any:
    """Return the penalty of Wu et al. (2016) with the exponent 0.6."""
    return ((5 + length) / 6) ** 0.6


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 1.5, wu], ids=["0", "0.7", "1", "1.5", "wu"])
def test_a_beam_that_holds_everything_finds_the_best_of_all(table, penalty: Any) -> None:
    options: dict[str, Any] = {"start": 0, "max_length": LONGEST, "eos": EOS, "length_penalty": penalty}
    found = nn.beam_search(table.step, table.begin(), beam_size=40, num_best=5, **options)
    for row in range(N):
        for place, (score, tokens) in enumerate(table.ranking(row, penalty)[:5]):
            assert written(found.tokens[row, place], found.lengths[row, place]) == tokens
            assert_close("score", found.scores[row, place], np.float64(score))


@pytest.mark.parametrize("eos", [EOS, None])
def test_a_beam_of_one_is_greedy(table, eos: int | None) -> None:
    options: dict[str, Any] = {"start": np.zeros(N, int), "max_length": LONGEST, "eos": eos}
    greedy = nn.greedy_search(table.step, table.begin(), **options)
    beam = nn.beam_search(table.step, table.begin(), beam_size=1, length_penalty=0.8, **options)
    np.testing.assert_array_equal(beam.tokens[:, 0], greedy.tokens)
    np.testing.assert_array_equal(beam.lengths[:, 0], greedy.lengths)


@pytest.mark.parametrize("eos", [EOS, None])
def test_greedy_takes_the_likeliest_of_each_step(table, eos: int | None) -> None:
    found = nn.greedy_search(table.step, table.begin(), 0, max_length=LONGEST, eos=eos)
    for row in range(N):
        tokens, last = [], 0
        for time in range(LONGEST):
            last = int(table.scores[row, time, last].argmax())
            tokens.append(last)
            if last == eos:
                break
        assert tuple(found.tokens[row, : len(tokens)]) == tuple(tokens)
        assert found.lengths[row] == len(tokens) - (tokens[-1] == eos)
        assert_close("p", found.log_probabilities[row], np.float64(table.log_probability(row, tuple(tokens))))
        assert (found.tokens[row, len(tokens) :] == EOS).all()


def test_a_wider_beam_is_between_greedy_and_the_best(rng) -> None:
    better = 0
    for _ in range(10):
        table = Table(rng)
        options: dict[str, Any] = {"start": 0, "max_length": LONGEST, "eos": EOS}
        narrow, wide = (
            nn.beam_search(table.step, table.begin(), beam_size=size, **options).scores[:, 0] for size in (1, 4)
        )
        best = np.array([table.ranking(row, 0.0)[0][0] for row in range(N)])
        assert (wide <= best + 1e-12).all()
        better += (wide > narrow + 1e-12).sum()
    assert better


def plain_search(table: Table, row: int, size: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """Return what a beam of `size` finds, the best first: lists of prefixes, written out."""
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    found = []
    for length in range(1, LONGEST + 1):
        longer = []
        for total, tokens in beam:
            if tokens[-1:] == (EOS,):
                longer.append((total, tokens))
            else:
                every = [(*tokens, token) for token in range(V)]
                longer += [(table.log_probability(row, one), one) for one in every]
        beam = sorted(longer, key=lambda one: one[0] / len(one[1]) ** penalty, reverse=True)[:size]
        found += [one for one in beam if len(one[1]) == length and (one[1][-1] == EOS or length == LONGEST)]
    return sorted(((total / len(tokens) ** penalty, tokens) for total, tokens in found), reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 2.0])
def test_a_narrow_beam_is_that_of_lists(rng, penalty: float) -> None:
    for _ in range(5):
        table = Table(rng)
        for size in (1, 2, 3):
            found = nn.beam_search(
                table.step,
                table.begin(),
                0,
                max_length=LONGEST,
                eos=EOS,
                beam_size=size,
                num_best=size,
                length_penalty=penalty,
            )
            for row in range(N):
                for place, (score, tokens) in enumerate(plain_search(table, row, size, penalty)[:size]):
                    assert written(found.tokens[row, place], found.lengths[row, place]) == tokens
                    assert_close("score", found.scores[row, place], np.float64(score))


def chain(*chances: list[float]) -> Any:
    """Return the step of a model in which each token has its chances of the next one."""
    logs = ts.log(ts.tensor(chances, dtype="float64"))
    return lambda tokens, state: (logs[tokens], state)


def test_the_penalty_is_a_power_of_the_length_with_its_end() -> None:
    step = chain([1.0, 0.0, 0.0], [0.6, 0.0, 0.4], [0.4, 0.6, 0.0])
    for alpha, tokens, score in [(0.1, [0], np.log(0.4)), (0.7, [1, 0], np.log(0.36) / 2**0.7)]:
        found = nn.beam_search(step, None, 2, max_length=3, eos=0, length_penalty=alpha)
        assert found.tokens[0, 0].tolist() == tokens
        assert_close("score", found.scores[0, 0], np.float64(score))


def test_a_finished_sequence_is_found_though_better_prefixes_displace_it() -> None:
    """The end at once has 0.25. Two prefixes of 0.3 take both places, and end with at most 0.15."""
    step = chain([1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.4, 0.3, 0.3, 0.0], [0.25, 0.6, 0.15, 0.0])
    found = nn.beam_search(step, None, 3, max_length=3, eos=0, beam_size=2, num_best=2)
    assert found.tokens.tolist() == [[[0, 0, 0], [1, 1, 1]]]
    assert found.lengths.tolist() == [[0, 3]]
    assert_close("p", np.exp(found.scores), np.array([[0.25, 0.15]]))


def test_of_equal_scores_the_first_found_is_the_best() -> None:
    step = chain([1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.5, 0.25])
    found = nn.beam_search(step, None, 2, max_length=2, eos=0, beam_size=3, num_best=3)
    assert found.tokens.tolist() == [[[0, 0], [1, 0], [1, 1]]]


def test_a_row_alone_is_the_row_in_a_batch(table) -> None:
    options: dict[str, Any] = {
        "start": 0,
        "max_length": LONGEST,
        "eos": EOS,
        "beam_size": 3,
        "num_best": 3,
        "length_penalty": 1.0,
    }
    together = nn.beam_search(table.step, table.begin(), **options)
    for row in range(N):
        alone = nn.beam_search(table.step, {"row": np.array([row]), "time": np.zeros(1, int)}, **options)
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])
        np.testing.assert_array_equal(alone.lengths[0], together.lengths[row])
        length = alone.tokens.shape[2]
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row, :, :length])


def test_more_hypotheses_than_sequences_have_no_score() -> None:
    found = nn.beam_search(
        lambda tokens, state: (ts.zeros((len(tokens), 2)), state), None, 0, max_length=1, beam_size=4, num_best=4
    )
    assert np.isneginf(found.scores[0]).tolist() == [False, False, True, True]
    assert found.tokens[0, :2, 0].tolist() == [0, 1]


def test_tokens_that_must_not_come_do_not_come(table) -> None:
    def step(tokens, state):
        logits, state = table.step(tokens, state)
        return ts.where(np.arange(V) == 1, -np.inf, logits), state

    found = nn.beam_search(step, table.begin(), 0, max_length=LONGEST, eos=EOS, beam_size=4)
    assert not (found.tokens == 1).any()
    drawn = nn.sample_sequences(step, table.begin(), 0, max_length=LONGEST, eos=EOS)
    assert not (drawn.tokens == 1).any()


def test_drawn_sequences_come_as_often_as_they_are_likely(rng) -> None:
    table, count = Table(rng), 4000
    state = {"row": np.zeros(count, int), "time": np.zeros(count, int)}
    found = nn.sample_sequences(table.step, state, 0, max_length=LONGEST, eos=EOS, generator=rng)
    drawn = [written(tokens, length) for tokens, length in zip(found.tokens, found.lengths, strict=True)]
    for score, tokens in table.ranking(0, 0.0)[:6]:
        p = np.exp(score)
        assert abs(drawn.count(tokens) / count - p) < 5 * np.sqrt(p * (1 - p) / count)
        assert_close("p", found.log_probabilities[drawn.index(tokens)], np.float64(score))


def test_drawing_follows_its_options(table) -> None:
    options: dict[str, Any] = {"start": 0, "max_length": LONGEST, "eos": EOS}
    greedy = nn.greedy_search(table.step, table.begin(), **options)
    for same in ({"temperature": 0}, {"top_k": 1}, {"temperature": 1e-6}):
        found = nn.sample_sequences(table.step, table.begin(), **options, **same)
        np.testing.assert_array_equal(found.tokens, greedy.tokens)
    a, b = (
        nn.sample_sequences(table.step, table.begin(), **options, generator=np.random.default_rng(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(a.tokens, b.tokens)


def test_a_language_model_writes(rng) -> None:
    cell, embedding, readout = nn.LSTMCell(4, 5), nn.Embedding(V, 4), nn.Linear(5, V)

    def step(tokens, state):
        h, state = cell(embedding(tokens), state)
        return readout(h), state

    found = nn.beam_search(step, cell.initial_state(2), [0, 1], max_length=3, beam_size=30)
    for row, start in enumerate([0, 1]):
        totals = {}
        for tokens in itertools.product(range(V), repeat=3):
            state, last, totals[tokens] = None, start, 0.0
            for token in tokens:
                logits, state = step(ts.tensor([last]), state)
                totals[tokens] += ts.log_softmax(logits.astype("float64"))[0, token].item()
                last = token
        assert tuple(found.tokens[row, 0]) == max(totals, key=totals.__getitem__)
        assert_close("score", found.scores[row, 0], np.float64(max(totals.values())), dtype="float32")


@pytest.mark.parametrize("search", [nn.greedy_search, nn.sample_sequences, nn.beam_search])
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"max_length": 0}, ArgumentError, "max_length"),
        ({"eos": -1}, ArgumentError, "eos to be a token or None"),
        ({"eos": V}, IndexRangeError, "eos to be one of 3"),
        ({"start": 0.5}, DtypeError, "start to be a token"),
        ({"start": [[0], [0, 0]]}, ShapeError, "nested lists of equal lengths"),
        ({"start": [0, 0]}, ShapeError, "a state of 2 sequences"),
        ({"step": lambda tokens, state: (ts.zeros((1, V)), state)}, ShapeError, "logits .*, V."),
        ({"step": lambda tokens, state: (ts.full((len(tokens), V), np.nan), state)}, AnomalyError, "finite logits"),
        ({"step": lambda tokens, state: (ts.full((len(tokens), V), -np.inf), state)}, AnomalyError, "finite logits"),
    ],
)
def test_refusals(search, change, error, text: str, table) -> None:
    call = {"step": table.step, "state": table.begin(), "start": 0, "max_length": 2, "eos": EOS}
    with pytest.raises(error, match=text) as refused:
        search(**{**call, **change})
    assert str(refused.value).startswith(f"{search.__name__}: ")


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 2, "num_best": 3},
        {"beam_size": 0},
        {"length_penalty": -1.0},
        {"length_penalty": np.inf},
        {"length_penalty": "long"},
        {"length_penalty": lambda length: length - 1},
        {"length_penalty": lambda length: [1.0]},
    ],
)
def test_refusals_of_beams(options, table) -> None:
    with pytest.raises(ArgumentError, match="beam_search: expected"):
        nn.beam_search(table.step, table.begin(), 0, max_length=2, **options)
