"""Every cell of the library: its equations, its gradients, compiled as step by step, in parts as in the whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn import cell_formulas as formulas
from tests.nn.cell_names import CELLS
from tests.scan.case import Problem, assert_close
from tinygrad_seq import nn
from tinygrad_seq.autograd.tagging import collect_tags
from tinygrad_seq.base.tree import flatten, map_leaves
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.nn.cell import step_of_one
from tinygrad_seq.nn.cells.declared import DeclaredCell
from tinygrad_seq.scan import program_of

T, N, I, H = 4, 3, 4, 6
# The largest difference to a formula that adds up in another order, divides by exponentials or takes a logarithm.
ROUNDING = 1e-12


class Row(NamedTuple):
    """How to make a cell, its formula, its tags."""

    make: Callable[[], Any]
    formula: Callable[..., Any]
    tags: str
    sequence: bool = False
    positive: bool = False  # the state holds sums of positive numbers


GATES = "input_gate forget_gate candidate output_gate"
TWO: dict[str, Any] = {"num_heads": formulas.HEADS}

ROWS: dict[str, Row] = {
    "peephole lstm": Row(lambda: nn.PeepholeLSTMCell(I, H), formulas.peephole_lstm, GATES),
    "full peephole lstm": Row(lambda: nn.FullPeepholeLSTMCell(I, H), formulas.full_peephole_lstm, GATES),
    "coupled lstm": Row(lambda: nn.CoupledLSTMCell(I, H), formulas.coupled_lstm, "forget_gate candidate output_gate"),
    "original lstm": Row(lambda: nn.OriginalLSTMCell(I, H), formulas.original_lstm, "input_gate candidate output_gate"),
    "janet": Row(lambda: nn.JANETCell(I, H), formulas.janet, "forget_gate input_gate candidate"),
    "multiplicative lstm": Row(lambda: nn.MultiplicativeLSTMCell(I, H), formulas.multiplicative_lstm, GATES),
    "phased lstm": Row(lambda: nn.PhasedLSTMCell(I, H), formulas.phased_lstm, f"{GATES} phase time_gate"),
    "phased lstm, timestamps": Row(
        lambda: nn.PhasedLSTMCell(I, H, timestamps=True),
        formulas.phased_lstm_of_timestamps,
        f"{GATES} phase time_gate",
    ),
    "layer-norm lstm": Row(lambda: nn.LayerNormLSTMCell(I, H), formulas.layer_norm_lstm, GATES),
    "layer-norm lstm, normalised carry": Row(
        lambda: nn.LayerNormLSTMCell(I, H, carry_normalised=True), formulas.layer_norm_lstm_of_pytorch, GATES
    ),
    "mgu": Row(lambda: nn.MGUCell(I, H), formulas.mgu, "forget_gate candidate"),
    "reset-after mgu": Row(lambda: nn.ResetAfterMGUCell(I, H), formulas.reset_after_mgu, "forget_gate candidate"),
    "ugrnn": Row(lambda: nn.UGRNNCell(I, H), formulas.ugrnn, "update_gate candidate"),
    "ligru": Row(lambda: nn.LiGRUCell(I, H), formulas.ligru, "update_gate candidate"),
    "mut1": Row(lambda: nn.MUT1Cell(I, H), formulas.mut1, "update_gate reset_gate candidate"),
    "minimal rnn": Row(lambda: nn.MinimalRNNCell(I, H), formulas.minimal_rnn, "update_gate candidate"),
    "ran": Row(lambda: nn.RANCell(I, H), formulas.ran, "input_gate forget_gate candidate"),
    "cfn": Row(lambda: nn.CFNCell(I, H), formulas.cfn, "input_gate forget_gate candidate"),
    "atr": Row(lambda: nn.ATRCell(I, H), formulas.atr, "input_gate forget_gate"),
    "star": Row(lambda: nn.STARCell(I, H), formulas.star, "update_gate candidate"),
    "leaky rnn": Row(lambda: nn.LeakyRNNCell(I, H, leak=0.3), formulas.leaky_rnn, "candidate"),
    "fast grnn": Row(lambda: nn.FastGRNNCell(I, H), formulas.fast_grnn, "update_gate candidate"),
    "indrnn": Row(lambda: nn.IndRNNCell(I, H), formulas.ind_rnn, ""),
    "sru": Row(lambda: nn.SRUCell(I, H), formulas.sru, "forget_gate reset_gate candidate"),
    "sru, I = H": Row(lambda: nn.SRUCell(I, I), formulas.sru, "forget_gate reset_gate candidate"),
    "qrnn": Row(lambda: nn.QRNNCell(I, H), formulas.qrnn, "forget_gate output_gate candidate", True),
    "qrnn, k = 1": Row(lambda: nn.QRNNCell(I, H, 1), formulas.qrnn, "forget_gate output_gate candidate", True),
    "qrnn, k = 3": Row(lambda: nn.QRNNCell(I, H, 3), formulas.qrnn, "forget_gate output_gate candidate", True),
    "mingru": Row(lambda: nn.MinGRUCell(I, H), formulas.min_gru, "update_gate candidate"),
    "minlstm": Row(lambda: nn.MinLSTMCell(I, H), formulas.min_lstm, "forget_gate input_gate candidate"),
    "hgrn": Row(lambda: nn.HGRNCell(I, H, lower_bound=0.25), formulas.hgrn, "forget_gate candidate"),
    "lru": Row(lambda: nn.LRUCell(I, H, state_size=5), formulas.lru, "", True),
    "s4d": Row(lambda: nn.S4DCell(I, H, state_size=4), formulas.s4d, "", True),
    "mamba": Row(lambda: nn.MambaCell(I, H, state_size=5, dt_rank=2), formulas.mamba, "step output_gate", True),
    "linear attention": Row(
        lambda: nn.LinearAttentionCell(I, H, **TWO), formulas.linear_attention, "query key", True, True
    ),
    "retnet": Row(lambda: nn.RetNetCell(I, H, **TWO), formulas.retnet, "", True),
    "gla": Row(lambda: nn.GLACell(I, H, **TWO, rank=2), formulas.gla, "forget_gate", True),
    "delta net": Row(lambda: nn.DeltaNetCell(I, H, **TWO), formulas.delta_net, "key write_gate", True),
    "gated delta net": Row(
        lambda: nn.GatedDeltaNetCell(I, H, **TWO), formulas.gated_delta_net, "key write_gate forget_gate", True
    ),
    "slstm": Row(lambda: nn.SLSTMCell(I, H), formulas.slstm, GATES, positive=True),
    "mlstm": Row(lambda: nn.MLSTMCell(I, H, **TWO), formulas.mlstm, "input_gate forget_gate output_gate", True),
    "mlstm, no norm": Row(
        lambda: nn.MLSTMCell(I, H, **TWO, norm=False),
        formulas.mlstm_without_norm,
        "input_gate forget_gate output_gate",
        True,
    ),
    "rwkv4": Row(lambda: nn.RWKV4Cell(I, H), formulas.rwkv4, "input_gate forget_gate receptance", True, True),
}

# Compiling takes the time of these tests, so it is left out where another row is the same cell with another option.
OPTIONS = {
    "layer-norm lstm, normalised carry",
    "qrnn, k = 1",
    "qrnn, k = 3",
    "phased lstm, timestamps",
    "sru, I = H",
    "mlstm, no norm",
}
COMPILED = [name for name in ROWS if name not in OPTIONS]


def make(name: str, rng) -> Any:
    """Return a cell in float64, all its parameters moved away from where they start."""
    cell = ROWS[name].make().double()
    for parameter in cell.parameters():
        parameter.data[...] = parameter.numpy() + 0.3 * rng.standard_normal(parameter.shape)
    return cell


def inputs(rng) -> ts.Tensor:
    return ts.tensor(rng.standard_normal((T, N, I)), requires_grad=True)


def random_state(name: str, cell, rng) -> Any:
    def draw(zeros):
        values = rng.standard_normal(zeros.shape)
        return ts.tensor(0.5 + np.abs(values) if ROWS[name].positive else values, requires_grad=True)

    return map_leaves(draw, cell.initial_state(N))


def numpy_of(tree: Any) -> Any:
    return map_leaves(lambda leaf: leaf.numpy(), tree)


def test_every_cell_has_a_row() -> None:
    kinds = [getattr(nn, name) for name in CELLS if not name.startswith("Notes")]  # those have test_cells.py
    declared = {kind for kind in kinds if issubclass(kind, DeclaredCell)}
    assert {type(row.make()) for row in ROWS.values()} == declared
    assert all(getattr(nn, kind.__name__) is kind for kind in declared)


@pytest.mark.parametrize("name", ROWS)
def test_equals_the_published_equations(name: str, rng) -> None:
    cell, xs, row = make(name, rng), inputs(rng), ROWS[name]
    p = cell.state_dict()
    with ts.disable_compile():
        if row.sequence:
            got = nn.Recurrent(cell)(xs)[0].numpy()
            np.testing.assert_allclose(got, row.formula(p, xs.numpy()), rtol=ROUNDING, atol=ROUNDING)
            return
        state = random_state(name, cell, rng)
        ys, last = nn.Recurrent(cell)(xs, state)
    state = numpy_of(state)
    for x, y in zip(xs.numpy(), ys.numpy(), strict=True):
        want, state = row.formula(p, x, state)
        np.testing.assert_allclose(y, want, rtol=ROUNDING, atol=ROUNDING)
    for got, want in zip(flatten(numpy_of(last))[0], flatten(state)[0], strict=True):
        np.testing.assert_allclose(got, want, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", ROWS)
def test_backpropagation_through_time_equals_finite_differences(name: str, rng) -> None:
    cell, xs = make(name, rng), inputs(rng)
    state = random_state(name, cell, rng)
    layer = nn.Recurrent(cell)
    with ts.disable_compile():
        ts.gradcheck(lambda *_: layer(xs, state), [*cell.parameters(), xs, *flatten(state)[0]])


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_equals_eager_in_whole_and_in_parts(name: str, rng) -> None:
    """Values and all gradients; then the same code chunk by chunk; and the cell alone, step by step."""
    cell, xs = make(name, rng), inputs(rng)
    state, step = random_state(name, cell, rng), step_of_one(cell)
    (_, whole) = Problem(step, state, xs, dict(cell.named_parameters())).check().outputs
    chunks, carry = [], state
    for part in (xs[:1], xs[1:]):
        carry, ys = ts.scan(step, carry, part, compile=True)
        chunks.append(ys)
    assert_close("chunks", ts.concat(chunks).numpy(), whole.numpy())
    single = []
    for x in xs:
        y, state = cell(x, state)
        single.append(y)
    assert_close("steps", ts.stack(single).numpy(), whole.numpy())


@pytest.mark.parametrize("name", ROWS)
def test_tags_float32_and_drawing_anew(name: str) -> None:
    cell = ROWS[name].make()
    with collect_tags() as tags:
        output, state = cell(ts.randn(N, I))
    assert set(tags) == set(ROWS[name].tags.split())
    values: Any = tags.values()
    assert all(tag.shape[0] == N for tag in values)
    assert {x.dtype for x in [output, *flatten(state)[0], *cell.parameters()]} == {np.dtype(np.float32)}
    assert output.shape == (N, cell.hidden_size)
    assert cell.input_size == I
    for parameter in cell.parameters():
        parameter.data[...] = 9.0
    ts.manual_seed(1)
    cell.reset_parameters()
    ts.manual_seed(1)
    for key, values in ROWS[name].make().state_dict().items():
        np.testing.assert_array_equal(cell.state_dict()[key], values)


@pytest.mark.parametrize("name", ROWS)
def test_a_padded_row_is_what_it_is_alone(name: str, rng) -> None:
    cell, xs = make(name, rng), inputs(rng)
    layer = nn.Recurrent(cell)
    with ts.disable_compile():
        padded, alone = layer(xs, lengths=[T, 2, 3]), layer(xs[:2, 1:2])
    assert_close("ys", padded[0].numpy()[:2, 1:2], alone[0].numpy())
    for one, other in zip(flatten(padded[1])[0], flatten(alone[1])[0], strict=True):
        assert_close("state", one.numpy()[1:2], other.numpy())


@pytest.mark.parametrize("name", ["peephole lstm", "retnet", "rwkv4"])
def test_a_stack_of_copies_starts_from_other_values(name: str, rng) -> None:
    kind = type(ROWS[name].make())
    layer = nn.Recurrent(kind(I, I), num_layers=2)
    first, second = (cell.state_dict() for cell in layer.cells)
    assert any((first[key] != second[key]).any() for key in first)
    with ts.disable_compile():
        assert layer(ts.randn(T, N, I))[0].shape == (T, N, I)


# ------------------------------------------------------------------------------------------------ what is promised

WITHOUT_A_PRODUCT = ["indrnn", "sru", "qrnn", "mingru", "minlstm", "hgrn", "lru", "s4d", "mamba", "rwkv4"]


@pytest.mark.parametrize("name", WITHOUT_A_PRODUCT)
def test_products_leave_the_loop(name: str) -> None:
    cell = ROWS[name].make()
    text = program_of(step_of_one(cell), cell.initial_state(N), ts.randn(T, N, I)).explain()
    assert text.count("products 0 flop in the loop") == 2  # forward and backward


def test_first_values_of_the_state_spaces() -> None:
    lru = nn.LRUCell(8, 8, state_size=500, r_min=0.6, r_max=0.9, max_phase=0.5)
    size = np.exp(-np.exp(lru.nu_log.numpy()))
    assert 0.6 - 1e-6 <= size.min() < 0.65
    assert 0.85 < size.max() <= 0.9 + 1e-6
    assert np.exp(lru.theta_log.numpy()).max() <= 0.5
    np.testing.assert_allclose(np.exp(lru.gamma_log.numpy()), np.sqrt(1 - size**2), rtol=1e-4)
    mamba = nn.MambaCell(64, 500)
    step = np.log1p(np.exp(mamba.bias_dt.numpy()))
    assert (step.min() > 0.0009, step.max() < 0.11, mamba.weight_r.shape) == (True, True, (4, 500))
    np.testing.assert_allclose(np.exp(mamba.A_log.numpy()[3]), np.arange(1, 17), rtol=1e-6)
    s4d = nn.S4DCell(8, 300)
    assert -6.91 < s4d.log_dt.numpy().min() < s4d.log_dt.numpy().max() < -2.3
    np.testing.assert_allclose(s4d.A_imag.numpy()[5], np.pi * np.arange(32), rtol=1e-6)


def test_first_values_of_the_phases_and_the_simple_recurrent_unit() -> None:
    phased = nn.PhasedLSTMCell(8, 500)
    period, shift = phased.period.numpy(), phased.shift.numpy()
    assert np.e <= period.min() < period.max() <= np.exp(6)
    assert ((shift >= 0) & (shift <= period)).all()
    sru = nn.SRUCell(300, 400)
    content, gates = sru.weight_ih.numpy()[:400], sru.weight_ih.numpy()[400:1200]
    np.testing.assert_allclose([content.var() * 300, gates.var() * 300], [1.0, 0.5], rtol=0.05)


def test_first_values_of_the_matrix_lstm() -> None:
    """As in the published code: the input gate is open, so the cell speaks from the first step."""
    cell = nn.MLSTMCell(32, 400, num_heads=200)
    i, f = np.split(cell.bias_if.numpy(), 2)
    assert abs(i.mean()) < 0.03
    assert 0.08 < i.std() < 0.12
    np.testing.assert_allclose(f, np.linspace(3, 6, 200), rtol=1e-6)
    for options in ({}, {"norm": False}):
        ys, _ = nn.Recurrent(nn.MLSTMCell(32, 64, num_heads=4, **options))(ts.randn(20, 3, 32))
        assert ys.numpy().std() > (0.3 if not options else 0.05)
    assert (nn.MLSTMCell(2, 4, num_heads=4).norm, nn.MLSTMCell(2, 4, num_heads=2).norm) == (False, True)


def test_chaos_free_network_dies_away_without_inputs_and_bias(rng) -> None:
    cell = nn.CFNCell(I, H).double()
    start = ts.tensor(rng.standard_normal((N, H)))
    quiet = ts.zeros((400, N, I), "float64")
    assert np.abs(nn.Recurrent(cell)(quiet, start)[1].numpy()).max() < 1e-12
    cell.bias.data[2 * H :] = 0.5
    assert np.abs(nn.Recurrent(cell)(quiet, start)[1].numpy()).min() > 0.05


@pytest.mark.parametrize("name", [name for name in CELLS if not name.startswith("Notes")])
def test_every_docstring_says_how_the_cell_differs_from_its_source(name: str) -> None:
    """The cells of the notes are their own source."""
    assert "Variant: " in (getattr(nn, name).__doc__ or "")


@pytest.mark.parametrize("name", CELLS)
def test_every_docstring_gives_the_shapes(name: str) -> None:
    assert re.search(
        r"\n    Shapes: input x \(N, \w+\); state .*\boutput \w", getattr(nn, name).__doc__ or "", re.DOTALL
    )


def test_phased_lstm_sleeps_without_a_leak_in_evaluation(rng) -> None:
    cell = nn.PhasedLSTMCell(I, H).double().eval()
    nn.init.constant_(cell.period, 100.0)
    nn.init.constant_(cell.shift, 0.0)
    state = {"h": ts.randn(N, H, dtype="float64"), "c": ts.randn(N, H, dtype="float64")}
    asleep = cell(ts.randn(N, I, dtype="float64"), {**state, "t": ts.full((N,), 50.0, dtype="float64")})[1]
    awake = cell(ts.randn(N, I, dtype="float64"), {**state, "t": ts.full((N,), 1.5, dtype="float64")})[1]
    np.testing.assert_array_equal(asleep["c"].numpy(), state["c"].numpy())
    assert (awake["c"].numpy() != state["c"].numpy()).all()


def test_exponential_gates_do_not_overflow() -> None:
    for cell in (nn.SLSTMCell(1, 2), nn.MLSTMCell(1, 2), nn.RWKV4Cell(1, 2)):
        for scale in (1e4, -1e4):
            xs = ts.full((3, 1, 1), scale)
            with ts.disable_compile():
                ys, _ = nn.Recurrent(cell)(xs)
            assert np.isfinite(ys.numpy()).all(), (type(cell), scale)


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="MGUCell: expected hidden_size to be an integer >= 1, got 0"):
        nn.MGUCell(I, 0)
    with pytest.raises(ArgumentError, match="GLACell: expected num_heads to divide hidden_size, got 4 and 6"):
        nn.GLACell(I, 6, num_heads=4)
    with pytest.raises(ArgumentError, match="S4DCell: expected an even state_size, got 3"):
        nn.S4DCell(I, H, state_size=3)
    with pytest.raises(ArgumentError, match=r"LeakyRNNCell: expected leak in \(0, 1\], got 0"):
        nn.LeakyRNNCell(I, H, leak=0)
    with pytest.raises(ArgumentError, match=r"HGRNCell: expected lower_bound in \[0, 1\), got 1"):
        nn.HGRNCell(I, H, lower_bound=1)
    with pytest.raises(ArgumentError, match="QRNNCell: expected kernel_size to be an integer >= 1, got 0"):
        nn.QRNNCell(I, H, kernel_size=0)
    with pytest.raises(ArgumentError, match="LRUCell: expected state_size to be an integer >= 1, got 0"):
        nn.LRUCell(I, H, state_size=0)
    with pytest.raises(ArgumentError, match="MambaCell: expected dt_rank to be an integer >= 1, got 0"):
        nn.MambaCell(I, H, dt_rank=0)
    with pytest.raises(ArgumentError, match="GLACell: expected rank to be an integer >= 1, got 0"):
        nn.GLACell(I, H, rank=0)
    with pytest.raises(TypeError, match="proj_size"):  # a size that the cell has not
        nn.GRUCell(I, H, proj_size=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="S"):
        nn.ATRCell(I, H, S=2)  # type: ignore[call-arg]
