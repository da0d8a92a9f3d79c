"""Encoder and decoder as one model: teacher forcing, scheduled sampling, writing step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

S, N, T, I, H, V = 5, 3, 4, 3, 4, 6
LENGTHS = [5, 2, 4]


def model_of(rng, attention: bool = True, cell=None, **options) -> nn.Seq2Seq:
    if cell is None:
        cell = nn.AttentionCell(nn.GRUCell(I + H, H), nn.DotAttention(H, H)) if attention else nn.GRUCell(I, H)
    outputs = 2 * H if isinstance(cell, nn.AttentionCell) else H
    model = nn.Seq2Seq(
        nn.Recurrent(nn.GRUCell(I, H)),
        cell,
        nn.Embedding(V, I),
        nn.Linear(outputs, V),
        nn.Embedding(V, I),
        **options,
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.0, 0.8, rng)
    return model


def data(rng) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, V, (S, N)), rng.integers(0, V, (T, N))


def test_an_encoder_may_return_all_states(rng) -> None:
    model, (source, target) = model_of(rng), data(rng)
    encoder: Any = model.encoder
    with ts.disable_compile():
        expected = model(source, target).numpy()
        encoder.options["return_all_states"] = True
        np.testing.assert_array_equal(model(source, target).numpy(), expected)


@pytest.mark.parametrize("attention", [False, True])
def test_teacher_forcing_is_step_by_step(attention: bool, rng) -> None:
    model, (source, target) = model_of(rng, attention), data(rng)
    with ts.disable_compile():
        logits = model(source, target, LENGTHS)
        state = model.begin(source, LENGTHS)
        for t in range(T):
            row, state = model.step(ts.tensor(target[t]), state)
            assert_close(f"step {t}", row.numpy(), logits.numpy()[t])


def test_padding_of_the_source_has_no_effect(rng) -> None:
    model, (source, target) = model_of(rng), data(rng)
    with ts.disable_compile():
        logits = model(source, target, LENGTHS).numpy()
        for n, length in enumerate(LENGTHS):
            alone = model(source[:length, n : n + 1], target[:, n : n + 1])
            assert_close(f"row {n}", alone.numpy(), logits[:, n : n + 1])


@pytest.mark.filterwarnings("error::tinygrad_seq.CompileWarning")
def test_scheduled_sampling_compiled_is_step_by_step(rng) -> None:
    model, (source, target) = model_of(rng, attention=False), data(rng)
    results = []
    for compiled in (True, False):
        model.zero_grad()
        with ts.enable_grad() if compiled else ts.disable_compile():
            logits = model(source, target, LENGTHS, sampling=0.6, generator=np.random.default_rng(1))
            ts.cross_entropy(logits, target).backward()
        results.append([logits.numpy(), *(grad_of(parameter).numpy() for parameter in model.parameters())])
    for found, expected in zip(*results, strict=True):
        assert_close("value or gradient", found, expected)


def test_scheduled_sampling_reads_what_it_wrote_where_a_flag_says_so(rng) -> None:
    model, (source, target) = model_of(rng, attention=False), data(rng)
    with ts.disable_compile():
        logits = model(source, target, LENGTHS, 0.5, generator=np.random.default_rng(3))
        draw = np.random.default_rng(3)
        flags, uniforms = draw.random((T, N)) < 0.5, draw.random((T, N))
        state, tokens, own = model.begin(source, LENGTHS), target[0], None
        for t in range(T):
            tokens = target[t] if t == 0 else np.where(flags[t], own, target[t])
            row, state = model.step(ts.tensor(tokens), state)
            assert_close(f"step {t}", logits.numpy()[t], row.numpy())
            own = ts.categorical(row, uniforms[t]).numpy()
    assert flags[1:].any()
    assert not flags[1:].all()


def test_dropout_in_the_loop_is_said_to_cost_the_compilation(rng) -> None:
    model, (source, target) = model_of(rng, attention=False), data(rng)
    model.readout = nn.Sequential(nn.Dropout(0.5), model.readout)
    with pytest.warns(ts.CompileWarning, match="random numbers"):
        logits = model(source, target, sampling=0.5)
    assert logits.shape == (T, N, V)


def test_sampling_always_the_likeliest_is_greedy_search(rng) -> None:
    model, (source, target) = model_of(rng), data(rng)
    with ts.disable_compile():
        logits = model(source, target, LENGTHS, sampling=1.0, temperature=0)
        found = nn.greedy_search(model.step, model.begin(source, LENGTHS), target[0], max_length=T)
    np.testing.assert_array_equal(found.tokens.T, logits.numpy().argmax(-1))


def test_beams_of_rows_keep_to_their_own_memory(rng) -> None:
    model, (source, _) = model_of(rng), data(rng)
    options: dict[str, Any] = {
        "start": 0,
        "eos": 1,
        "max_length": 5,
        "beam_size": 3,
        "num_best": 2,
        "length_penalty": 0.6,
    }
    with ts.disable_compile():
        together = nn.beam_search(model.step, model.begin(source, LENGTHS), **options)
        for n, length in enumerate(LENGTHS):
            alone = nn.beam_search(model.step, model.begin(source[:length, n : n + 1]), **options)
            np.testing.assert_allclose(alone.scores[0], together.scores[n], rtol=1e-12)
            np.testing.assert_array_equal(alone.lengths[0], together.lengths[n])


def test_stacked_cells_and_a_bridge_from_two_directions(rng) -> None:
    cell = nn.AttentionCell(nn.StackedCell(nn.LSTMCell(I + 2 * H, H), nn.GRUCell(H, H)), nn.AdditiveAttention(H, 2 * H))
    model = nn.Seq2Seq(
        nn.GRU(I, H, bidirectional=True),
        cell,
        nn.Embedding(V, I),
        nn.Linear(3 * H, V),
        bridge=lambda state: ((state[0], state[1]), state[0]),
    )
    xs = ts.randn(S, N, I, requires_grad=True)
    with ts.disable_compile():
        model(xs, data(rng)[1], LENGTHS).sum().backward()
        assert grad_of(xs).numpy()[0].any()
        model.bridge = lambda state: None
        found = nn.beam_search(model.step, model.begin(xs, LENGTHS), 0, max_length=3, beam_size=2)
    assert found.tokens.shape == (N, 1, 3)


def test_a_stack_is_the_layers_one_after_the_other(rng) -> None:
    cells = [nn.GRUCell(I, H), nn.LSTMCell(H, 5)]
    xs = ts.randn(T, N, I)
    with ts.disable_compile():
        ys, (first, (h, _)) = nn.Recurrent(cells)(xs)
        same, (one, (two, _)) = nn.Recurrent(nn.StackedCell(*cells))(xs)
    for found, expected in zip((same, one, two), (ys, first, h), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda m: m(np.zeros((S, N), int), np.zeros(N, int)), ShapeError, "target tokens"),
        (lambda m: m(np.zeros((S, N), int), np.zeros((T, N))), DtypeError, "target tokens"),
        (lambda m: m(np.zeros((S, N), int), np.zeros((T, N), int), sampling=2), ArgumentError, "sampling"),
        (lambda m: m(np.zeros((S, N), int), np.zeros((T, 2), int)), ShapeError, "targets of 3 sources"),
        (lambda m: m(np.zeros((S, N), int), np.zeros((T, 2), int), sampling=0.5), ShapeError, "targets of 3 sources"),
        (
            lambda m: model_of(np.random.default_rng(0), cell=nn.Linear(2, 2)),
            ArgumentError,
            "cell to be a Cell",
        ),
        (lambda m: nn.Seq2Seq(nn.GRU(2, 3, batch_first=True), m.cell, m, m), ArgumentError, "time-major"),
        (
            lambda m: nn.Seq2Seq(3, m.cell, m, m),  # type: ignore[arg-type]
            ArgumentError,
            "expected encoder to be a module, got int",
        ),
        (lambda m: nn.StackedCell(), ArgumentError, "expected cells"),
        (lambda m: nn.StackedCell([m.cell]), ArgumentError, "got list at position 0"),  # type: ignore[arg-type]
    ],
)
def test_refusals(call, error, text: str, rng) -> None:
    with pytest.raises(error, match=text):
        call(model_of(rng))


def test_refuses_a_state_that_does_not_fit_the_cell(rng) -> None:
    model = model_of(rng, bridge=lambda state: (state, state))
    with pytest.raises(ArgumentError, match="a state"), ts.disable_compile():
        model.begin(data(rng)[0])
