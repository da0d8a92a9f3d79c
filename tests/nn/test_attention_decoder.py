"""A cell that looks at a memory in every step: compiled as step by step, padded as not, together as alone."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError, ShapeError

T, S, N, I, H, E, A = 4, 5, 3, 2, 6, 6, 7  # N and S, H and E alike: no size tells which axis is the batch
LENGTHS = [5, 3, 1]


def decoder_of(kind: str, rng, cell=nn.GRUCell, **options) -> nn.AttentionDecoder:
    attention = {
        "additive": lambda: nn.AdditiveAttention(H, E, A),
        "dot": lambda: nn.DotAttention(H, E, A),
        "multihead": lambda: nn.MultiHeadAttention(H, 2),
    }[kind]()
    decoder = nn.AttentionDecoder(cell(I + E, H), attention, **options).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, 0.0, 0.5, rng)
    return decoder


def run(decoder, xs, memory, **options):
    """Return values and gradients by name."""
    xs, memory = (ts.tensor(x, requires_grad=True) for x in (xs, memory))
    ys, state = decoder(xs, memory, **options)
    leaves = {"xs": xs, "memory": memory, **dict(decoder.named_parameters())}
    decoder.zero_grad()
    loss = (ys * ys).sum() + sum((part * 0.5).sum() for part in flatten(state)[0])
    loss.backward()
    values = {"ys": ys, **{f"state {k}": part for k, part in enumerate(flatten(state)[0])}}
    gradients = {name: x.grad.numpy() for name, x in leaves.items()}
    return {name: value.numpy() for name, value in values.items()}, gradients


def assert_same(got, want) -> None:
    for found, expected in zip(got, want, strict=True):
        assert found.keys() == expected.keys()
        for name, x in found.items():
            assert_close(name, x, expected[name])


def arrays(rng):
    return rng.standard_normal((T, N, I)), rng.standard_normal((S, N, E))


@pytest.mark.filterwarnings("error::tinygrad_seq.CompileWarning")
@pytest.mark.parametrize("kind", ["additive", "dot"])
def test_compiled_is_step_by_step(kind: str, rng) -> None:
    decoder, (xs, memory) = decoder_of(kind, rng), arrays(rng)
    compiled = run(decoder, xs, memory, memory_lengths=LENGTHS)
    with ts.disable_compile():
        eager = run(decoder, xs, memory, memory_lengths=LENGTHS)
    assert_same(compiled, eager)
    valid = nn.sequence_mask(LENGTHS, S)
    gradient = compiled[1]["memory"]
    assert (gradient[~valid] == 0).all()
    assert gradient[valid].any(axis=-1).all()


def test_gradients(rng) -> None:
    decoder = decoder_of("multihead", rng, nn.LSTMCell)
    xs, memory = (ts.tensor(x[:, :2], requires_grad=True) for x in arrays(rng))
    with ts.disable_compile():
        ts.gradcheck(lambda xs, memory, *_: decoder(xs, memory, memory_lengths=[5, 2]), [xs, memory])


def test_is_the_recurrence_of_its_docstring(rng) -> None:
    decoder, (xs, memory) = decoder_of("additive", rng), arrays(rng)
    ys, (h, context) = decoder(ts.tensor(xs), ts.tensor(memory), memory_lengths=LENGTHS)
    cell, attention = decoder.cell.cell, decoder.cell.attention
    now, read = ts.zeros((N, H), "float64"), ts.zeros((N, E), "float64")
    for t in range(T):
        y, now = cell(ts.concat([ts.tensor(xs[t]), read], axis=-1), now)
        read, _ = attention(y, ts.tensor(memory), LENGTHS)
        assert_close(f"ys[{t}]", ys.numpy()[t], np.concatenate([y.numpy(), read.numpy()], -1))
    assert_close("h", h.numpy(), now.numpy())
    assert_close("context", context.numpy(), read.numpy())


def test_a_row_alone_is_the_row_in_a_batch(rng) -> None:
    decoder, (xs, memory) = decoder_of("dot", rng), arrays(rng)
    with ts.disable_compile():
        together, gradients = run(decoder, xs, memory, memory_lengths=LENGTHS)
        for n, length in enumerate(LENGTHS):
            one = slice(n, n + 1)
            alone, own = run(decoder, xs[:, one], memory[:length, one])
            assert_close(f"row {n}", alone["ys"], together["ys"][:, one])
            assert_close(f"gradient of row {n}", own["memory"], gradients["memory"][:length, one])


def test_rows_that_end_stay_with_their_memory(rng) -> None:
    decoder, (xs, memory) = decoder_of("dot", rng), arrays(rng)
    ends = [1, 4, 2]  # in no order
    with ts.disable_compile():
        ys, (h, _) = decoder(ts.tensor(xs), ts.tensor(memory), memory_lengths=LENGTHS, lengths=ends)
        for n, end in enumerate(ends):
            one = slice(n, n + 1)
            row, (last, _) = decoder(ts.tensor(xs[:end, one]), ts.tensor(memory[:, one]), memory_lengths=LENGTHS[one])
            assert_close(f"row {n}", ys.numpy()[:end, one], row.numpy())
            assert_close(f"state of row {n}", h.numpy()[one], last.numpy())
            assert not ys.numpy()[end:, n].any()


def test_whole_is_chunk_by_chunk_and_streamed(rng) -> None:
    decoder, (xs, memory) = decoder_of("additive", rng), arrays(rng)
    xs, memory = ts.tensor(xs), ts.tensor(memory)
    whole, _ = decoder(xs, memory, memory_lengths=LENGTHS)
    first, state = decoder(xs[:1], memory, memory_lengths=LENGTHS)
    second, _ = decoder(xs[1:], memory, state, memory_lengths=LENGTHS)
    assert_close("chunks", np.concatenate([first.numpy(), second.numpy()]), whole.numpy())
    with ts.disable_compile():
        stream = decoder.over(memory, LENGTHS).stream(N)
        assert_close("streamed", np.stack([stream(x).numpy() for x in xs]), whole.numpy())


def test_begins_with_the_state_of_an_encoder(rng) -> None:
    decoder, (xs, memory) = decoder_of("dot", rng, batch_first=True), arrays(rng)
    memory, h = ts.tensor(memory), ts.tensor(rng.standard_normal((N, H)), requires_grad=True)
    with ts.disable_compile():
        ys, _ = decoder(ts.tensor(xs.swapaxes(0, 1)), memory, decoder.cell.begin(h, N))
    ys.sum().backward()
    assert ys.shape == (N, T, H + E)
    assert grad_of(h).numpy().all()


def test_takes_the_options_of_recurrent_layers(rng) -> None:
    decoder, (xs, memory) = decoder_of("dot", rng, learn_initial_state=True, masked_output="held"), arrays(rng)
    with ts.disable_compile():
        values, gradients = run(decoder, xs, memory, memory_lengths=LENGTHS, lengths=[1, 4, 2])
    np.testing.assert_array_equal(values["ys"][1:, 0], np.repeat(values["ys"][:1, 0], T - 1, axis=0))
    learned = [gradient for name, gradient in gradients.items() if "initial" in name]
    assert [gradient.shape for gradient in learned] == [(H,), (E,)]
    assert all(gradient.all() for gradient in learned)


def test_a_row_begins_anew(rng) -> None:
    decoder, (xs, memory) = decoder_of("dot", rng), arrays(rng)
    reset = np.zeros((T, N), bool)
    reset[2] = True
    with ts.disable_compile():
        ys = decoder(xs, memory, reset=reset)[0].numpy()
        np.testing.assert_array_equal(ys[:2], decoder(xs[:2], memory)[0].numpy())
        np.testing.assert_array_equal(ys[2:], decoder(xs[2:], memory)[0].numpy())


def test_weights_are_tagged(rng) -> None:
    decoder, (xs, memory) = decoder_of("multihead", rng), arrays(rng)
    with ts.disable_compile():
        inspection = decoder.over(ts.tensor(memory), LENGTHS).inspect(ts.tensor(xs))
    weights = inspection["attention_weights"].numpy()
    assert weights.shape == (T, N, S)
    assert_close("sum", weights.sum(-1), np.ones((T, N)))
    assert (weights[:, ~nn.sequence_mask(LENGTHS, S, batch_first=True)] == 0).all()


def test_parameters_are_those_of_cell_and_attention() -> None:
    decoder = nn.AttentionDecoder(nn.GRUCell(I + E, H), nn.DotAttention(H, E, A))
    start = "recurrent.cells.0."
    assert [name.removeprefix(start) for name, _ in decoder.named_parameters()] == [
        *[f"cell.{kind}_{which}" for kind in ("weight", "bias") for which in ("ih", "hh")],
        "attention.query.weight",
        "attention.key.weight",
    ]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda d, x, m: nn.AttentionCell(nn.GRUCell(E, H), nn.DotAttention(H, E)),
            ArgumentError,
            "context's 6",
        ),
        (lambda d, x, m: nn.AttentionCell(nn.GRUCell(9, 4), nn.DotAttention(H, E)), ArgumentError, "query_size=4"),
        (lambda d, x, m: nn.AttentionCell(nn.GRUCell(9, 4), nn.Linear(4, 4)), ArgumentError, "and an Attention"),  # type: ignore[arg-type]
        (lambda d, x, m: d.cell(x[0]), ArgumentError, "expected a memory, got none"),
        (lambda d, x, m: decoder_of("dot", np.random.default_rng(0), stateful=True), ArgumentError, "stateful"),
        (lambda d, x, m: decoder_of("dot", np.random.default_rng(0), bidirectional=True), ArgumentError, "one layer"),
        (
            lambda d, x, m: nn.AttentionDecoder(nn.GRUCell(H + 2 * E, H), nn.DotAttention(H, E), num_layers=2),  # type: ignore[call-arg]
            ArgumentError,
            "one layer in one direction, got 2 cells",
        ),
        (lambda d, x, m: d(x, m, ts.zeros((N, H))), ArgumentError, "a state"),
        (lambda d, x, m: d(x, m[:, :2]), ShapeError, "a memory of 3 sequences"),
    ],
)
def test_refusals(call, error, text: str) -> None:
    decoder = nn.AttentionDecoder(nn.GRUCell(I + E, H), nn.DotAttention(H, E, A))
    with pytest.raises(error, match=text):
        call(decoder, ts.randn(T, N, I), ts.randn(S, N, E))
