"""The compiled loop writes what the model writes step by step, and draws as many numbers as tokens are taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.errors import IndexRangeError
from tinygrad_seq.scan import variants
from tinygrad_seq.scan.passes import tables
from tinygrad_seq.scan.prepared_scan import ShortLoop
from tinygrad_seq.train import LanguageModel, choose_token

V, PROMPT = 9, [3, 1, 4]


class NormedCell(nn.Cell):
    """A cell of a user, with a state in a dict."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.state_shape = {"h": (hidden_size,)}
        self.project, self.norm = nn.Linear(input_size + hidden_size, hidden_size), nn.LayerNorm(hidden_size)

    def forward(self, x, state):
        h = ts.tanh(self.norm(self.project(ts.concat([x, state["h"]], axis=-1))))
        return h, {"h": h}


class BranchCell(nn.ElmanCell):
    """Reads a value in Python."""

    def forward(self, x, h):
        return super().forward(x, -h if h.sum() > 0 else h)


def model_of(cell: Any) -> LanguageModel:
    model = LanguageModel(V, 4, 8, num_layers=2, dropout=0.5, cell=cell)
    model.decoder.weight.data[...] *= 8
    return model


def step_by_step(model: LanguageModel, generator: np.random.Generator, **options: Any) -> Iterator[int]:
    row, state = np.array(PROMPT), None
    while True:
        with ts.no_grad(), ts.detect_anomaly():
            logits, state = model.eval()(row[:, None], state)
        token = choose_token(logits.numpy()[-1, 0], generator=generator, **options)
        yield token
        row = np.array([token])


OPTIONS = [{}, {"temperature": 0.6, "top_k": 4, "exclude": [2, 0]}, {"temperature": 0}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "none")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", NormedCell])
def test_same_tokens_as_step_by_step(cell: Any, options: dict[str, Any]) -> None:
    model = model_of(cell)
    ours, theirs = np.random.default_rng(5), np.random.default_rng(5)
    written = model.sample(PROMPT, generator=ours, **options)
    assert list(islice(written, 150)) == list(islice(step_by_step(model, theirs, **options), 150))


def test_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("gru")
    expected = list(islice(model.sample(PROMPT, generator=np.random.default_rng(1)), 20))
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    monkeypatch.setattr(variants, "_known", Memo(100))
    assert list(islice(model.sample(PROMPT, generator=np.random.default_rng(1)), 20)) == expected


@pytest.mark.filterwarnings("ignore::tinygrad_seq.errors.CompileWarning")
def test_a_cell_that_cannot_be_compiled_writes_the_same_and_training_stays_on() -> None:
    model = model_of(BranchCell)
    written = list(islice(model.train().sample(PROMPT, generator=np.random.default_rng(2)), 20))
    assert model.training
    assert written == list(islice(step_by_step(model, np.random.default_rng(2)), 20))


@pytest.mark.parametrize("count", [1, 2, 3, 70])
def test_each_token_taken_draws_one_number(count: int) -> None:
    model, ours, theirs = model_of("rnn"), np.random.default_rng(3), np.random.default_rng(3)
    list(islice(model.sample(PROMPT, generator=ours), count))
    theirs.random(count)
    assert ours.bit_generator.state == theirs.bit_generator.state
    list(islice(model.sample(PROMPT, generator=ours, temperature=0), count))
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_a_generator_that_others_draw_from_meanwhile() -> None:
    model, ours, theirs = model_of("lstm"), np.random.default_rng(4), np.random.default_rng(4)
    written, expected = model.sample(PROMPT, generator=ours), step_by_step(model, theirs)
    for turn in range(40):
        if turn % 7 == 3:
            assert ours.random() == theirs.random()
        assert next(written) == next(expected)


def test_two_texts_from_the_generator_of_the_process() -> None:
    model = model_of("gru")
    ts.manual_seed(6)
    one, other = model.sample(PROMPT), model.sample([1])
    mixed = [(next(one), next(other)) for _ in range(12)]
    ts.manual_seed(6)
    one, other = model.sample(PROMPT), model.sample([1])
    assert [(next(one), next(other)) for _ in range(12)] == mixed
    ts.manual_seed(6)
    assert len({*islice(model.sample(PROMPT), 50)}) > 3


def test_a_prompt_outside_the_vocabulary_is_refused() -> None:
    for prompt in ([V], [V, 1], [-1]):
        with pytest.raises(IndexRangeError, match="from 0 to 8"):
            next(model_of("rnn").sample(prompt))


@pytest.mark.parametrize(("largest", "products"), [(2**22, 2), (V * 8 - 1, 3)])
def test_an_embedded_token_needs_no_product(largest: int, products: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LARGEST", largest)
    monkeypatch.setattr(variants, "_known", Memo(100))
    model = LanguageModel(V, 4, 8, cell="rnn")
    written = list(islice(model.sample(PROMPT, generator=np.random.default_rng(0)), 9))
    made = {known._first for known in variants._known.values()}
    loops = [[eqn.primitive.name for eqn in one.forward.stages.during] for one in made if isinstance(one, ShortLoop)]
    (drawing,) = [names for names in loops if "categorical" in names]
    assert drawing.count("matmul") == products
    assert written == list(islice(step_by_step(model, np.random.default_rng(0)), 9))
