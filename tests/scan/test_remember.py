"""The memory dial: the same bits from less memory, and as much of it as was said beforehand."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tests.scan.cells import CELLS
from tests.scan.traps import TRAPS
from tinygrad_seq import nn
from tinygrad_seq.base import settings
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.scan import program_of
from tinygrad_seq.scan.compiled import prepare
from tinygrad_seq.scan.inspect.memory import predict
from tinygrad_seq.scan.inspect.printer import Names
from tinygrad_seq.scan.run.segments import parts_of, run_of

CASES = {**CELLS, **TRAPS}


def results(name: str, sizes: dict[str, int], **options: Any) -> list[np.ndarray | None]:
    problem = CASES[name].build("float32", options=options, **sizes)
    found = problem.run(True)
    return [part.numpy() for part in flatten(found.outputs)[0]] + list(found.gradients.values())


def assert_same(got: list[np.ndarray | None], want: list[np.ndarray | None]) -> None:
    for a, b in zip(got, want, strict=True):
        if config.DISABLE_JIT and a is not None and b is not None:  # BLAS adds in an order that depends on the size
            assert_close("result", a, b, dtype="float32")
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("window", [None, 3, 10])
def test_same_bits(window: int | None, reverse: bool) -> None:
    """Also where a segment fills no block of a sum, or several: a block is of 1024 products or of 256 rows."""
    for sizes in ({"T": 23}, {"T": 41, "N": 77}):
        options = {"window": window, "reverse": reverse}
        want = results("lstm", sizes, **options)
        for remember in ("sqrt", 1, 4, 20, 23, 1000):
            assert_same(results("lstm", sizes, remember=remember, **options), want)


@pytest.mark.parametrize(
    "name",
    [
        "gru", "min_gru", "ind_rnn", "sru", "peephole_lstm", "layer_norm_lstm", "delta_net", "attention_cell",
        "delay_line", "rotating_carry", "constant_carry", "outputs_that_are_inputs", "constants_of_every_shape",
        "no_input", "no_output", "mixed_dtypes", "no_batch_axis", "integers_and_flags_in_the_carry", "token",
        "token_by_index",
    ],
)  # fmt: skip
def test_same_bits_of_other_cells(name: str) -> None:
    want = results(name, {"T": 11})
    for remember in ("sqrt", 3):
        assert_same(results(name, {"T": 11}, remember=remember), want)


def test_second_derivatives_and_two_backward_passes(rng) -> None:
    problem = CELLS["lstm"].build(options={"remember": 2})
    plain = CELLS["lstm"].build()
    found = []
    for each in (problem, plain):
        (h, _), _ = each.scan(True)
        u = each.weights["u"]
        (h * h).sum().backward(retain_graph=True)
        h.sum().backward(create_graph=True)
        slope, u.grad = grad_of(u), None
        (slope * slope).sum().backward()
        found.append(grad_of(u).numpy())
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("reverse", [False, True])
def test_same_bits_of_what_the_loop_adds_up(reverse: bool) -> None:
    """Over several blocks of 256 times, with segments that fill none of them or end within one."""
    options = {"window": 100, "reverse": reverse}
    want = results("ind_rnn", {"T": 600}, **options)
    for remember in ("sqrt", 256, 300):
        assert_same(results("ind_rnn", {"T": 600}, remember=remember, **options), want)


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_layers(layer: Any, rng) -> None:
    xs = ts.tensor(rng.standard_normal((9, 3, 4)).astype(np.float32))
    one = layer(4, 5, num_layers=2)
    other = layer(4, 5, num_layers=2, remember="sqrt")
    other.load_state_dict(one.state_dict())
    for each in (one, other):
        each(xs)[0].sum().backward()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert_same([a.grad.numpy()], [b.grad.numpy()])


def test_recurrent_explains_its_layers(rng) -> None:
    layer = nn.Recurrent([nn.GRUCell(3, 5), nn.LSTMCell(5, 4)], batch_first=True, remember=2)
    text = layer.explain(rng.standard_normal((2, 7, 3)).astype(np.float32))
    assert "x0: f32[2, 3]" in text
    assert "during, the loop over time" in text
    assert "h1: f32[2, 4]" in layer.explain(np.zeros((2, 7, 5), np.float32), layer=1)


def test_segments() -> None:
    parts = parts_of(run_of(7, reverse=False, window=None, remember=3))
    assert [(part.run.T, part.run.start, part.times) for part in parts] == [
        (3, 0, slice(0, 3)),
        (3, 3, slice(3, 6)),
        (1, 6, slice(6, 7)),
    ]
    assert [part.times for part in parts_of(run_of(7, reverse=True, window=None, remember=3))] == [
        slice(4, 7),
        slice(1, 4),
        slice(0, 1),
    ]
    assert [run_of(T, False, None, "sqrt").segment for T in (1, 2, 4, 5, 100_000)] == [1, 2, 2, 3, 317]
    assert len(parts_of(run_of(7, False, None, "all"))) == 1


@pytest.mark.parametrize("remember", ["some", 0, -1, 2.0, True, None, [2]])
def test_what_is_no_way_to_remember(remember: Any) -> None:
    with pytest.raises(ArgumentError, match="scan: expected remember to be 'all', 'sqrt' or an integer >= 1"):
        ts.scan(lambda c, x: (c, x), ts.zeros(2), ts.ones((3, 2)), remember=remember)
    with pytest.raises(ArgumentError, match="LSTM: expected remember"):
        nn.LSTM(2, 3, remember=remember)


# ----------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("name", "remember"),
    [("lstm", "all"), ("lstm", "sqrt"), ("lstm", 100), ("gru", "all"), ("min_gru", "sqrt"), ("delta_net", "all")],
)
def test_memory_is_as_predicted(name: str, remember: Any, monkeypatch) -> None:
    """NumPy tells tracemalloc of its arrays; 300 kB are for the packed operands of products and for Python."""
    monkeypatch.setattr(settings, "_threads", 1)
    problem = CELLS[name].build("float32", T=1000, N=16, H=32, I=24)
    run = run_of(1000, False, None, remember)
    call = prepare(problem.step, problem.init, *flatten(problem.xs), run)
    program = call.program
    assert program.backward is not None
    if program.backward.kernel is None:
        return  # the prediction is of the compiled loops
    names = Names(program.forward.step)
    said = predict(program._plan, run, names, Names(program.backward.step, names, program.gradient))
    arrays = [getattr(operand, "data", operand) for operand in call.operands]
    runs = []
    for _ in range(3):  # the first compiles; what else happens to be alive only adds to it
        gc.collect()
        tracemalloc.start()
        outputs = program.run_forward(arrays, run, True)
        kept, forward = tracemalloc.get_traced_memory()
        given = outputs[: len(program.forward.step.outputs)]
        cotangents = [np.broadcast_to(np.float32(1), part.shape) for part in given]
        tracemalloc.reset_peak()
        program.pull_back(cotangents, arrays, outputs, run)
        runs.append((kept, forward, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    least = np.min(runs, axis=0)
    np.testing.assert_allclose([said.kept, said.peak_forward, said.peak_backward], least, rtol=0.07, atol=300_000)


def test_explain_states_the_memory() -> None:
    problem = CELLS["lstm"].build("float32", N=1, H=128, I=64)
    program = program_of(problem.step, problem.init, problem.xs)
    if program.forward.kernel is not None:
        texts = [program.explain(100_000, remember) for remember in ("all", "sqrt")]
        peaks = [int(text.split("peak backward")[1].split()[0].replace(",", "")) for text in texts]
        assert peaks[1] < peaks[0] / 4 < 2**29
        assert "threads for 100,000 steps" in texts[0]
        assert "us per step: one thread" in texts[0]
    assert "memory for" not in program.explain()
