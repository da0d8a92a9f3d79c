"""Attention and decoders beside padding: scores that are singular at 0, rows of nothing, masks that are added."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.nn.test_attention import ATTENTIONS, E, N, Q, S, multihead_by_hand, randomised
from tests.nn.test_padding import FILLINGS, H, NormCell, results
from tests.scan.case import assert_close
from tinygrad_seq import nn

LENGTHS = [4, 0, 2]
LOWEST = np.finfo(np.float64).min


class CosineAttention(nn.Attention):
    """Scores and keys without a gradient at a memory of 0."""

    def __init__(self, query_size: int = Q, memory_size: int = E) -> None:
        self.query_size, self.memory_size = query_size, memory_size
        self.query = nn.Linear(query_size, memory_size)
        self.key = nn.Linear(memory_size, memory_size, bias=False)

    def make_keys(self, memory: Any) -> Any:
        return self.key(memory / ts.norm(memory, axis=-1, keepdims=True))

    def score(self, query: Any, keys: Any) -> Any:
        products = ts.matmul(self.query(query), ts.swapaxes(keys, 1, 2))
        return products / ts.swapaxes(ts.norm(keys, axis=-1, keepdims=True), 1, 2)


KINDS: dict[str, Callable[[], nn.Attention]] = {**ATTENTIONS, "cosine": CosineAttention}


def make(kind: str, rng: np.random.Generator) -> Any:
    return randomised(KINDS[kind](), rng)


@pytest.mark.parametrize("lengths", [LENGTHS, [0, 0, 0]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_is_read_as_if_there_were_no_padding(kind: str, lengths: list[int], rng: np.random.Generator) -> None:
    attention, valid, found = make(kind, rng), nn.sequence_mask(lengths, S), []
    clean, query = rng.standard_normal((S, N, E)), ts.tensor(rng.standard_normal((N, attention.query_size)), None, True)
    for filling in FILLINGS:
        memory = ts.tensor(np.where(valid[:, :, None], clean, filling), requires_grad=True)
        with ts.detect_anomaly():
            outputs = nn.Attention.forward(attention, query, memory, lengths)
        found.append(results(outputs, query, memory, *attention.parameters()))
        context, weights, to_query, to_memory = found[-1][:4]
        assert not weights[~valid.T].any()
        assert not to_memory[~valid].any()
        nothing = np.array(lengths) == 0
        assert not to_query[nothing].any()
        if kind != "multihead":  # it adds the bias of its output
            assert not context[nothing].any()
    for other in found:
        for a, b in zip(found[0], other, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_array_equal(a, b)
    for n, end in enumerate(lengths):
        if end:
            alone = nn.Attention.forward(attention, query[n : n + 1], ts.tensor(clean[:end, n : n + 1]))
            assert_close("context", found[0][0][n : n + 1], alone[0].numpy())
            assert_close("weights", found[0][1][n : n + 1, :end], alone[1].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_second_order_beside_rows_of_nothing(kind: str, rng: np.random.Generator) -> None:
    attention, valid = make(kind, rng), nn.sequence_mask(LENGTHS, S)
    query, memory = rng.standard_normal((N, attention.query_size)), rng.standard_normal((S, N, E))

    def outputs(query: Any, memory: Any, *_: Any) -> Any:
        memory = ts.where(valid[:, :, None], memory, np.nan)
        return nn.Attention.forward(attention, query, memory, LENGTHS)

    ts.gradcheck(outputs, [ts.tensor(x, requires_grad=True) for x in (query, memory)], order=2)


# ------------------------------------------------------------------------------------------------- masks that add

PADDING = np.arange(S) >= np.array([4, 3, 0])[:, None]
CAUSAL = ~np.tri(S, dtype=bool)
FORMS: dict[str, Any] = {
    "bool": lambda hidden: hidden,
    "-inf": lambda hidden: np.where(hidden, -np.inf, 0.0),
    "lowest": lambda hidden: np.where(hidden, LOWEST, 0.0),
}


@pytest.mark.parametrize("attn", FORMS)
@pytest.mark.parametrize("padding", FORMS)
def test_hidden_is_hidden_in_all_forms_of_masks(attn: str, padding: str, rng: np.random.Generator) -> None:
    """Lowest numbers of two masks overflow where they meet; the third row has no key at all."""
    attention, clean = randomised(nn.MultiHeadAttention(8, 2), rng), rng.standard_normal((S, N, 8))
    hidden = np.broadcast_to(PADDING[:, None, None] | CAUSAL, (N, 2, S, S))
    expected, weights = multihead_by_hand(attention, clean, clean, clean, hidden, np.zeros(hidden.shape))
    key = ts.tensor(np.where(PADDING.T[:, :, None], np.nan, clean), requires_grad=True)
    query = ts.tensor(clean, requires_grad=True)
    masks = {"key_padding_mask": FORMS[padding](PADDING), "attn_mask": FORMS[attn](CAUSAL)}
    output, found = attention(query, key, key, average_attn_weights=False, **masks)
    assert_close("output", output.numpy(), expected)
    np.testing.assert_array_equal(found.numpy() == 0, weights == 0)
    gradients = results((output, found), query, key, *attention.parameters())
    assert all(np.isfinite(g).all() for g in gradients)
    assert not grad_of(key).numpy()[PADDING.T].any()
    assert not grad_of(query).numpy()[:, 2].any()


@pytest.mark.parametrize("bias", [-1e30, -2e38, -3e38, np.finfo(np.float32).min / 2])
def test_numbers_that_are_added_never_give_padding_a_weight(bias: float) -> None:
    attention = nn.MultiHeadAttention(8, 2)
    x, every = ts.randn(S, N, 8, requires_grad=True), np.full((S, S), bias, np.float32)
    output, weights = attention(x, x, x, key_padding_mask=PADDING, attn_mask=every)
    assert weights is not None
    results((output, weights), x, *attention.parameters())
    assert all(np.isfinite(grad_of(one).numpy()).all() for one in (x, *attention.parameters()))
    expected = np.repeat(~PADDING.all(-1, keepdims=True), S, 1)
    np.testing.assert_allclose(weights.numpy().sum(-1), expected, atol=1e-6)
    twice = np.full((N, S), bias, np.float32)  # both together may be below every number
    output, weights = attention(x, x, x, key_padding_mask=twice, attn_mask=every)
    assert weights is not None
    assert np.isfinite(weights.numpy()).all()
    total = float(np.float32(bias)) * 2
    hidden = total <= float(np.finfo(np.float32).min)
    np.testing.assert_allclose(weights.numpy().sum(-1), 0.0 if hidden else 1.0, atol=1e-6)


def test_scores_that_overflow_with_what_is_added_are_not_nan() -> None:
    attention, x = nn.MultiHeadAttention(8, 2), ts.ones((S, N, 8), requires_grad=True)
    weight = attention.in_proj_weight
    assert weight is not None
    with ts.no_grad():
        weight[:8], weight[8:16] = 1e17, -1e18  # every score is about -1e36
    output, weights = attention(x, x, x, attn_mask=np.full((S, S), -3.4e38, np.float32))
    assert weights is not None
    results((output, weights), x, *attention.parameters())
    np.testing.assert_allclose(weights.numpy(), 1 / S, rtol=1e-6)
    assert np.isfinite(grad_of(x).numpy()).all()


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_masks_that_add(order: int, rng: np.random.Generator) -> None:
    attention, x = randomised(nn.MultiHeadAttention(4, 2), rng), rng.standard_normal((S, N, 4))
    bias = rng.standard_normal((S, S))

    def outputs(x: Any, bias: Any) -> Any:
        added = ts.where(CAUSAL, LOWEST, bias)
        return attention(x, x, x, key_padding_mask=FORMS["lowest"](PADDING), attn_mask=added)

    ts.gradcheck(outputs, [ts.tensor(value, requires_grad=True) for value in (x, bias)], order=order)


# -------------------------------------------------------------------------------------------------------- decoders


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("memory_lengths", [[4, 0, 2], [0, 0, 0]])
@pytest.mark.parametrize("lengths", [[1, 3, 0], [0, 0, 0]])
def test_a_decoder(lengths: Any, memory_lengths: Any, compiled: bool, rng: np.random.Generator) -> None:
    T, found = 3, []
    decoder = randomised(nn.AttentionDecoder(nn.GRUCell(2 + E, Q), CosineAttention()), rng)
    inner, outer = nn.sequence_mask(memory_lengths, S), nn.sequence_mask(lengths, T)
    clean, data = rng.standard_normal((T, N, 2)), rng.standard_normal((S, N, E))
    with nullcontext() if compiled else ts.disable_compile():
        for filling in FILLINGS:
            xs = ts.tensor(np.where(outer[:, :, None], clean, filling), requires_grad=True)
            memory = ts.tensor(np.where(inner[:, :, None], data, filling), requires_grad=True)
            outputs = decoder(xs, memory, memory_lengths=memory_lengths, lengths=lengths)
            found.append(results(outputs, xs, memory, *decoder.parameters()))
            assert not grad_of(xs).numpy()[~outer].any()
            assert not grad_of(memory).numpy()[~inner].any()
    for other in found:
        for a, b in zip(found[0], other, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_array_equal(a, b)
    with ts.disable_compile():
        for n, (end, width) in enumerate(zip(lengths, memory_lengths, strict=True)):
            if end and width:
                alone, _ = decoder(ts.tensor(clean[:end, n : n + 1]), ts.tensor(data[:width, n : n + 1]))
                assert_close("ys", found[0][0][:end, n : n + 1], alone.numpy())


class ConditionedCell(nn.GRUCell):
    """Adds to its input what it holds for each sequence."""

    def __init__(self, context: Any) -> None:
        super().__init__(2, Q)
        self.held = {"context": context}

    def forward(self, x: Any, h: Any) -> Any:
        return super().forward(x + self.held["context"], h)


@pytest.mark.parametrize("kind", ["bound", "stacked", "conditioned", "an ndarray"])
def test_rows_stay_beside_what_a_cell_holds_for_each(kind: str, rng: np.random.Generator) -> None:
    attention = randomised(nn.AdditiveAttention(Q, E), rng)
    cell = randomised(nn.AttentionCell(nn.GRUCell(2 + E, Q), attention), rng)
    memory, context = rng.standard_normal((S, N, E)), rng.standard_normal((N, 2))
    bound = cell.over(attention.prepare(ts.tensor(memory)))
    cells = {
        "bound": bound,
        "stacked": nn.StackedCell(bound),
        "conditioned": ConditionedCell(ts.tensor(context)).double(),
        "an ndarray": ConditionedCell(context).double(),
    }
    layer, xs, lengths = nn.Recurrent(cells[kind]), rng.standard_normal((4, N, 2)), [1, 4, 2]
    with ts.disable_compile():
        ys, _ = layer(xs, lengths=lengths)
        same, _ = layer(xs, mask=nn.sequence_mask(lengths, 4))
    np.testing.assert_array_equal(ys.numpy(), same.numpy())


@pytest.mark.parametrize("attends", [False, True])
@pytest.mark.parametrize("lengths", [[3, 0, 1], [0, 0, 0]])
def test_seq2seq(lengths: list[int], attends: bool, rng: np.random.Generator) -> None:
    class Embedding(nn.Module):
        """A source embedding that is singular at 0."""

        def __init__(self) -> None:
            self.weight = nn.Parameter(np.eye(H))

        def forward(self, x: Any) -> Any:
            return x @ self.weight / ts.norm(x, axis=-1, keepdims=True)

    cell: Any = nn.AttentionCell(nn.GRUCell(2 + H, H), CosineAttention(H, H)) if attends else nn.GRUCell(2, H)
    readout = nn.Linear(2 * H if attends else H, 6)
    model = nn.Seq2Seq(nn.Recurrent(NormCell()), cell, nn.Embedding(6, 2), readout, Embedding()).double()
    valid, clean, found = nn.sequence_mask(lengths, 3), rng.uniform(0.3, 0.9, (3, N, H)), []
    for filling in FILLINGS:
        source = ts.tensor(np.where(valid[:, :, None], clean, filling), requires_grad=True)
        with ts.disable_compile():
            logits = model(source, np.zeros((2, N), int), source_lengths=lengths)
        assert not np.isnan(logits.numpy()).any()
        found.append(results(logits, source, *model.parameters()))
        assert not grad_of(source).numpy()[~valid].any()
    for other in found:
        for a, b in zip(found[0], other, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_array_equal(a, b)
