from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import AnomalyError, ArgumentError, DataError, TinygradSeqError
from tinygrad_seq.train import LanguageModel, generation, language_model


class LeakyCell(ts.nn.Cell):
    """A cell of a user's, with a dict as state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.state_shape = {"h": (hidden_size,)}
        self.project = ts.nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, state):
        h = 0.5 * state["h"] + 0.5 * ts.tanh(self.project(ts.concat([x, state["h"]], axis=-1)))
        return h, {"h": h}


CELLS = ["lstm", "gru", "rnn", LeakyCell]


def test_reset_begins_a_new_text(rng: np.random.Generator) -> None:
    model = LanguageModel(7, 3, 5, cell="gru").double().eval()
    tokens = rng.integers(7, size=(6, 2))
    reset = np.zeros((6, 2), bool)
    reset[4] = True
    logits, _ = model(tokens, reset=reset)
    apart = [model(part)[0].numpy() for part in (tokens[:4], tokens[4:])]
    np.testing.assert_allclose(logits.numpy(), np.concatenate(apart), rtol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_window_at_once_is_step_by_step(rng: np.random.Generator, cell, num_layers: int) -> None:
    model = LanguageModel(7, 3, 5, num_layers, cell=cell).double().eval()
    tokens = rng.integers(7, size=(6, 2))
    whole, end = model(tokens)
    state, parts = None, []
    for row in tokens:
        logits, state = model(row[None], state)
        parts.append(logits.numpy())
    np.testing.assert_allclose(np.concatenate(parts), whole.numpy(), rtol=1e-10)
    for left, right in zip(flatten(end)[0], flatten(state)[0], strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_log_probability_is_the_softmax_of_the_next_token(rng: np.random.Generator, cell) -> None:
    model = LanguageModel(5, 3, 4, cell=cell, dropout=0.5)
    tokens = rng.integers(5, size=6)
    log_p = model.log_probability(tokens)
    assert model.training
    logits = model.eval()(tokens[:, None])[0].numpy()[:, 0].astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_p, expected[np.arange(5), tokens[1:]], rtol=1e-6)


def test_long_texts_are_read_in_windows(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel(5, 3, 4, cell="lstm")
    tokens = rng.integers(5, size=24)
    whole = model.log_probability(tokens)
    written = list(itertools.islice(model.sample(tokens, temperature=0), 5))
    for module in (language_model, generation):
        monkeypatch.setattr(module, "MOST_LOGITS", 35)  # seven steps
    lengths: list[int] = []
    project = model.decoder.forward

    def measured(ys: ts.Tensor) -> ts.Tensor:
        lengths.append(len(ys))
        return project(ys)

    monkeypatch.setattr(model.decoder, "forward", measured)
    np.testing.assert_allclose(model.log_probability(tokens), whole, rtol=1e-5)
    assert lengths == [7, 7, 7, 2]
    lengths.clear()
    assert list(itertools.islice(model.sample(tokens, temperature=0), 5)) == written
    assert lengths[:4] == [7, 7, 7, 2]


def test_probabilities_of_all_texts_add_up_to_one() -> None:
    model = LanguageModel(3, 2, 4)
    texts = itertools.product(range(3), repeat=3)
    total = sum(np.exp(model.log_probability([2, *text]).sum()) for text in texts)
    assert total == pytest.approx(1, abs=1e-6)


def test_samples_follow_the_model() -> None:
    model = LanguageModel(3, 2, 8)
    model.decoder.weight.data[...] *= 5
    counts = np.zeros((3, 3))
    generator = np.random.default_rng(0)
    for _ in range(800):
        first, second = itertools.islice(model.sample([0], generator=generator), 2)
        counts[first, second] += 1
    expected = [[np.exp(model.log_probability([0, a, b]).sum()) for b in range(3)] for a in range(3)]
    np.testing.assert_allclose(counts / 800, expected, atol=0.06)


def test_samples_can_be_repeated_and_leave_training_as_it_was() -> None:
    model = LanguageModel(6, 3, 4, dropout=0.5)
    draws = [
        list(itertools.islice(model.sample([1, 2], generator=np.random.default_rng(3), exclude=[0]), 30))
        for _ in range(2)
    ]
    assert draws[0] == draws[1]
    assert 0 not in draws[0]
    assert model.training
    greedy = [list(itertools.islice(model.sample([1], temperature=0), 5)) for _ in range(2)]
    assert greedy[0] == greedy[1]


@pytest.mark.parametrize("cell", CELLS)
def test_gradients(cell) -> None:
    model = LanguageModel(4, 2, 3, cell=cell).double()
    tokens, targets = np.array([[0, 1], [2, 3], [1, 1]]), np.array([[2, 3], [1, 1], [0, 2]])
    parameters = list(model.parameters())
    ts.cross_entropy(model(tokens)[0], targets).backward()
    rng = np.random.default_rng(1)
    for parameter in parameters:
        direction = rng.standard_normal(parameter.shape)
        losses = []
        for sign in (1, -1):
            parameter.data[...] += sign * 1e-6 * direction
            losses.append(ts.cross_entropy(model(tokens)[0], targets).item())
            parameter.data[...] -= sign * 1e-6 * direction
        assert parameter.grad is not None
        analytic = float((grad_of(parameter).numpy() * direction).sum())
        assert analytic == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="lstm, gru, rnn, got 'lsmt'"):
        LanguageModel(5, cell="lsmt")
    for sizes in ((0, 3, 4), (5, 0, 4), (5, 3, 0), (5, 3, 4, 0)):
        with pytest.raises(ArgumentError, match="got 0"):
            LanguageModel(*sizes)
    model = LanguageModel(5, 3, 4)
    for row in ([], [1], [[1, 2]]):
        with pytest.raises(DataError):
            model.log_probability(row)
    with pytest.raises(DataError):
        model.sample([])
    with pytest.raises(ArgumentError):
        model.sample([1], temperature=-1)
    with pytest.raises(TinygradSeqError, match="5"):
        model(np.array([[5]]))


def test_damaged_weights_are_an_error_not_a_token() -> None:
    model = LanguageModel(5, 3, 4)
    model.decoder.weight.data[2] = np.nan
    with pytest.raises(AnomalyError, match="finite logits"):
        next(model.sample([1]))


@pytest.mark.parametrize("reset", [False, True])
def test_the_loss_is_the_cross_entropy_of_the_logits(reset):
    model = LanguageModel(9, embedding_size=4, hidden_size=8, num_layers=2)
    rng = np.random.default_rng(0)
    tokens, targets = rng.integers(0, 9, (2, 5, 3))
    options = {"reset": rng.random((5, 3)) < 0.5} if reset else {}
    state = ts.nn.detach_state(model(tokens)[1])
    found, ours = model.loss(tokens, targets, state, **options)
    logits, theirs = model(tokens, state, **options)
    expected = ts.cross_entropy(logits, targets)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, two in zip(flatten(ours)[0], flatten(theirs)[0], strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    gradients = []
    for loss in (found, expected):
        model.zero_grad()
        loss.backward()
        gradients.append([grad_of(parameter).numpy() for parameter in model.parameters()])
    for one, two in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
