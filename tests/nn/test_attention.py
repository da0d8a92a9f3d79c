"""Attention by itself: the formulas, padding, gradients, PyTorch's names and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

L, S, N, Q, E, A = 2, 5, 3, 4, 6, 7
LENGTHS = [5, 3, 1]

ATTENTIONS = {
    "additive": lambda **options: nn.AdditiveAttention(Q, E, A, **options),
    "dot": lambda **options: nn.DotAttention(E, E, **options),
    "projected": lambda **options: nn.DotAttention(Q, E, A, **options),
    "multihead": lambda **options: nn.MultiHeadAttention(Q, 2, kdim=E, vdim=E, **options),
}


@pytest.fixture(params=ATTENTIONS)
def attention(request, rng) -> nn.Attention:
    return randomised(ATTENTIONS[request.param](), rng)


def randomised(module, rng):
    module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.0, 0.6, rng)
    return module


def data(attention, rng, requires_grad: bool = False) -> tuple[ts.Tensor, ts.Tensor]:
    shapes = (L, N, attention.query_size), (S, N, attention.memory_size)
    query, memory = (ts.tensor(rng.standard_normal(shape), requires_grad=requires_grad) for shape in shapes)
    return query, memory


def read(attention, query, memory, lengths=None):
    """Return context (L, N, ..) and weights (L, N, S), of any attention."""
    if isinstance(attention, nn.MultiHeadAttention):
        context, weights = attention(query, memory, lengths=lengths)
        assert weights is not None
        return context, weights.swapaxes(0, 1)
    return attention(query, memory, lengths)


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


@pytest.mark.parametrize("kind", ["additive", "dot", "projected"])
def test_is_the_formula_row_by_row(kind: str, rng) -> None:
    attention = randomised(ATTENTIONS[kind](), rng)
    query, memory = data(attention, rng)
    context, weights = attention(query, memory, LENGTHS)
    for at, n in np.ndindex(L, N):
        q, rows = query.numpy()[at, n], memory.numpy()[: LENGTHS[n], n]
        if kind == "additive":
            layer = attention.query
            compared = np.tanh(layer.weight.numpy() @ q + layer.bias.numpy() + rows @ attention.key.weight.numpy().T)
            scores = compared @ attention.weight.numpy()
        elif kind == "dot":
            scores = rows @ q / np.sqrt(E)
        else:
            scores = (rows @ attention.key.weight.numpy().T) @ (attention.query.weight.numpy() @ q) / np.sqrt(A)
        expected = softmax(scores)
        assert_close("weights", weights.numpy()[at, n, : LENGTHS[n]], expected)
        assert_close("context", context.numpy()[at, n], expected @ rows)


def test_padding_has_no_weight_no_gradient_and_no_effect(attention, rng) -> None:
    query, memory = data(attention, rng, requires_grad=True)
    valid = nn.sequence_mask(LENGTHS, S)
    dirty = ts.tensor(np.where(valid[:, :, None], memory.numpy(), np.nan), requires_grad=True)
    context, weights = read(attention, query, dirty, LENGTHS)
    assert (weights.numpy().transpose(2, 1, 0)[~valid] == 0).all()
    assert_close("sum", weights.numpy().sum(-1), np.ones((L, N)))
    (context * context).sum().backward()
    assert (grad_of(dirty).numpy()[~valid] == 0).all()
    assert np.isfinite(grad_of(dirty).numpy()).all()
    for n, length in enumerate(LENGTHS):
        alone, _ = read(attention, query[:, n : n + 1], memory[:length, n : n + 1])
        assert_close(f"row {n}", context.numpy()[:, n : n + 1], alone.numpy())


def test_gradients(attention, rng) -> None:
    query, memory = data(attention, rng, requires_grad=True)
    ts.gradcheck(lambda q, m, *_: read(attention, q, m, LENGTHS), [query, memory, *attention.parameters()])


def test_one_query_is_the_first_of_several(rng) -> None:
    attention = randomised(nn.AdditiveAttention(Q, E), rng)
    query, memory = data(attention, rng)
    context, weights = attention(query, memory, LENGTHS)
    one, same = attention(query[0], memory, LENGTHS)
    assert_close("context", one.numpy(), context.numpy()[0])
    assert_close("weights", same.numpy(), weights.numpy()[0])


def test_batch_first_swaps_memory_queries_and_mask(rng) -> None:
    attention = randomised(nn.DotAttention(Q, E, A), rng)
    query, memory = data(attention, rng)
    mask = rng.random((S, N)) < 0.7
    context, weights = attention(query, memory, mask=mask)
    attention.batch_first = True
    swapped, same = attention(query.swapaxes(0, 1), memory.swapaxes(0, 1), mask=mask.T)
    np.testing.assert_array_equal(swapped.numpy().swapaxes(0, 1), context.numpy())
    np.testing.assert_array_equal(same.numpy().swapaxes(0, 1), weights.numpy())


def test_a_row_without_memory_reads_zeros(rng) -> None:
    attention = randomised(nn.DotAttention(Q, E, A), rng)
    query, memory = data(attention, rng, requires_grad=True)
    context, weights = attention(query, memory, mask=np.ones((S, 1), bool) & (np.arange(N) > 0))
    context.sum().backward()
    assert not context.numpy()[:, 0].any()
    assert not weights.numpy()[:, 0].any()
    assert not grad_of(memory).numpy()[:, 0].any()
    assert np.isfinite(grad_of(query).numpy()).all()


def test_float32_stays_float32() -> None:
    for make in ATTENTIONS.values():
        attention = make()
        query, memory = ts.randn(L, N, attention.query_size), ts.randn(S, N, E)
        context, weights = read(attention, query, memory, LENGTHS)
        assert context.dtype == weights.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a, q, m: a(q, m[:, :2]), ShapeError, "queries for 2 memories"),
        (lambda a, q, m: a(q, m[..., :3]), ShapeError, "a memory .S, N, E. with E=6"),
        (lambda a, q, m: a(q[..., :2], m), ShapeError, "expected 4 features"),
        (lambda a, q, m: a(q, m, [5, -1, 1]), ArgumentError, "lengths from 0 to 5, got -1"),
        (lambda a, q, m: a(q, m, [5, 1]), ShapeError, "lengths of shape"),
        (lambda a, q, m: a(q, m, mask=np.ones((N, S), bool)), ShapeError, "mask of shape"),
        (lambda a, q, m: a(q, m, mask=np.ones((S, N))), DtypeError, "bool"),
        (lambda a, q, m: a(q, m, [5, 3, 1], np.ones((S, N), bool)), ArgumentError, "lengths or mask"),
        (lambda a, q, m: a(q, np.ones((S, N, E), int)), DtypeError, "inputs as float32"),
        (lambda *_: nn.DotAttention(Q, E), ArgumentError, "hidden_size"),
        (lambda *_: nn.AdditiveAttention(Q, 0), ArgumentError, "memory_size"),
        (lambda *_: nn.MultiHeadAttention(Q, 3), ArgumentError, "multiple of num_heads"),
        (
            lambda *_: nn.MultiHeadAttention(Q, 2, vdim=E).prepare(ts.ones((S, N, Q))),
            ArgumentError,
            "kdim = vdim",
        ),
    ],
)
def test_refusals(call, error, text: str, rng) -> None:
    attention = nn.AdditiveAttention(Q, E)
    with pytest.raises(error, match=text):
        call(attention, ts.randn(L, N, Q), ts.randn(S, N, E))


# ---------------------------------------------------------------------------------------------- multi-head attention


def multihead_by_hand(attention, query, key, value, hidden, added):
    """Return output (L, N, E) and weights (N, heads, L, S), head by head."""
    heads, width = attention.num_heads, attention.embed_dim // attention.num_heads
    if attention.in_proj_weight is not None:
        weights = np.split(attention.in_proj_weight.numpy(), 3)
    else:
        weights = [w.numpy() for w in (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)]
    projected = [
        x @ w.T + b
        for x, w, b in zip((query, key, value), weights, np.split(attention.in_proj_bias.numpy(), 3), strict=True)
    ]
    shown = np.zeros((query.shape[1], heads, query.shape[0], key.shape[0]))
    joined = np.zeros(projected[0].shape)
    for n, h, at in np.ndindex(shown.shape[:3]):
        q, k, v = (x[:, n, h * width : (h + 1) * width] for x in projected)
        scores = k @ q[at] / np.sqrt(width) + added[n, h, at]
        see = ~hidden[n, h, at]
        if see.any():
            shown[n, h, at, see] = softmax(scores[see])
        joined[at, n, h * width : (h + 1) * width] = shown[n, h, at] @ v
    out = attention.out_proj
    return joined @ out.weight.numpy().T + out.bias.numpy(), shown


@pytest.mark.parametrize("sizes", [{}, {"kdim": 3, "vdim": 5}])
def test_multihead_is_its_formula_under_all_masks(sizes: dict[str, Any], rng) -> None:
    attention = randomised(nn.MultiHeadAttention(8, 2, **sizes), rng)
    query, key, value = (
        rng.standard_normal((length, N, size))
        for length, size in ((4, 8), (S, attention.memory_size), (S, attention.value_size))
    )
    padding = ~nn.sequence_mask(LENGTHS, S, batch_first=True)
    scores = rng.standard_normal((N * 2, 4, S))
    scores[:, 1, 2] = -np.inf
    cases: list[tuple[dict[str, Any], np.ndarray, Any]] = [
        ({}, np.zeros((1, 1, 1, 1), bool), 0.0),
        ({"key_padding_mask": padding}, padding[:, None, None], 0.0),
        ({"lengths": LENGTHS}, padding[:, None, None], 0.0),
        ({"is_causal": True}, ~np.tri(4, S, dtype=bool), 0.0),
        ({"attn_mask": ~np.tri(4, S, -1, dtype=bool)}, ~np.tri(4, S, -1, dtype=bool), 0.0),  # the first sees nothing
        ({"attn_mask": scores[0]}, np.isneginf(scores[0]), np.where(np.isneginf(scores[0]), 0, scores[0])),
    ]
    apart = np.isneginf(scores).reshape(N, 2, 4, S)
    each = {"attn_mask": scores, "key_padding_mask": np.where(padding, -np.inf, 0.25)}
    cases.append((each, apart | padding[:, None, None], np.where(apart, 0, scores.reshape(N, 2, 4, S))))
    for masks, hidden, added in cases:
        full = (N, 2, 4, S)
        expected, weights = multihead_by_hand(
            attention, query, key, value, np.broadcast_to(hidden, full), np.broadcast_to(added, full)
        )
        output, found = attention(query, key, value, average_attn_weights=False, **masks)
        assert_close("output", output.numpy(), expected)
        assert_close("weights", found.numpy(), weights)
        _, averaged = attention(query, key, value, **masks)
        assert_close("averaged", averaged.numpy(), weights.mean(1))


def test_multihead_batch_first_and_without_a_batch(rng) -> None:
    attention = randomised(nn.MultiHeadAttention(8, 4), rng)
    x = rng.standard_normal((S, N, 8))
    output, weights = attention(x, x, x, is_causal=True)
    alone, own = attention(x[:, 1], x[:, 1], x[:, 1], is_causal=True)
    assert_close("alone", alone.numpy(), output.numpy()[:, 1])
    assert_close("weights", own.numpy(), weights.numpy()[1])
    attention.batch_first = True
    swapped, none = attention(x.swapaxes(0, 1), x.swapaxes(0, 1), need_weights=False, is_causal=True)
    assert_close("swapped", swapped.numpy().swapaxes(0, 1), output.numpy())
    assert none is None


def test_multihead_has_the_names_of_pytorch() -> None:
    names = {name: x.shape for name, x in nn.MultiheadAttention(8, 2).state_dict().items()}
    assert names == {"in_proj_weight": (24, 8), "in_proj_bias": (24,), "out_proj.weight": (8, 8), "out_proj.bias": (8,)}
    apart = nn.MultiHeadAttention(8, 2, bias=False, kdim=3, vdim=5).state_dict()
    assert list(apart) == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]


def test_multihead_gradient_of_a_mask_that_is_added(rng) -> None:
    attention = randomised(nn.MultiHeadAttention(4, 2), rng)
    x, bias = (ts.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((S, 2, 4), (S, S)))
    ts.gradcheck(lambda x, bias: attention(x, x, x, attn_mask=bias, is_causal=True), [x, bias])


def test_multihead_drops_weights_in_training_only() -> None:
    attention, x = nn.MultiHeadAttention(4, 2, dropout=0.5), ts.randn(S, 2, 4)
    a, b = (attention(x, x)[0].numpy() for _ in range(2))
    assert not np.array_equal(a, b)
    a, b = (attention.eval()(x, x)[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"attn_mask": np.zeros((2, 2), bool)}, ShapeError, "attn_mask of shape"),
        ({"attn_mask": np.zeros((S, S), int)}, DtypeError, "attn_mask as bool"),
        ({"key_padding_mask": np.zeros((S, N), bool)}, ShapeError, "key_padding_mask of shape"),
        ({"lengths": [9, 1, 1]}, ArgumentError, "lengths from 0 to 5, got 9"),
        ({"value": np.zeros((S - 1, N, 4), np.float32)}, ShapeError, "the same S"),
    ],
)
def test_multihead_refusals(options, error, text: str) -> None:
    x = ts.randn(S, N, 4)
    with pytest.raises(error, match=text):
        nn.MultiHeadAttention(4, 2)(x, x, **options)
