"""Padding is never computed with: padded batches against each sequence alone, for cells that are often singular.

The padding holds zeros, NaN, infinities and 1e30. Nothing of what counts may change by one bit, and the gradient on the
padding is exactly 0. HYPOTHESIS_PROFILE=thorough compiles every cell with every option.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.nn.test_cell_library import ROWS, make
from tests.scan.case import GRADIENT_TOLERANCE, assert_close
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten, map_leaves
from tinygrad_seq.errors import AnomalyError
from tinygrad_seq.nn.recurrence import shrinking

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
FILLINGS = (np.nan, 0.0, np.inf, 1e30)
T, N, H = 5, 5, 3
LENGTHS = np.array([3, 5, 0, 1, 4])
MASK = np.array([[0, 1, 0, 1, 0], [1, 1, 0, 0, 1], [1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [1, 1, 0, 0, 0]], bool)


class SingularCell(nn.Cell):
    """A cell whose step has no finite gradient at most inputs and states but those of the data."""

    def __init__(self, input_size: int = H, hidden_size: int = H) -> None:
        self.input_size = self.output_size = H
        self.state_shape = (H,)
        self.weight, self.hidden = nn.Parameter(np.zeros((H, H))), nn.Parameter(np.zeros((H, H)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.uniform_(parameter, 0.2, 0.9)

    def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
        return ts.zeros((batch_size, H), dtype or self.dtype) + 0.7


class NormCell(SingularCell):
    """Singular where the input or the state is 0."""

    def forward(self, x: Any, h: Any) -> Any:
        x, h = (part / ts.norm(part, axis=-1, keepdims=True) for part in (x, h))
        h = ts.tanh(x @ self.weight) + 0.5 * h @ self.hidden
        return h, h


class RootCell(SingularCell):
    """Singular at 0, and where an input is the one before: at the last state of every sequence."""

    def forward(self, x: Any, h: Any) -> Any:
        y = ts.sqrt(ts.abs((x - h) @ self.weight)) + ts.sqrt(ts.abs(x @ self.hidden))
        return y, x


class LogarithmCell(SingularCell):
    """Singular where an element of the input is 0, or one of the state."""

    def forward(self, x: Any, h: Any) -> Any:
        y = ts.log(ts.abs(x)) @ self.weight + ts.log(ts.square(h)) @ self.hidden
        return y, 1.5 + ts.tanh(y)


class InverseCell(SingularCell):
    """Singular at 0, and grows without end: the state of a step too many is infinite."""

    def forward(self, x: Any, h: Any) -> Any:
        h = (1 / x) @ self.weight + (1 / h) @ self.hidden
        return h, h * h


class CountingCell(SingularCell):
    """Singular at a step number, beside a boolean and an integer part of the state."""

    def __init__(self, input_size: int = H, hidden_size: int = H) -> None:
        super().__init__()
        self.state_shape = {"h": (H,), "count": (), "seen": (H,)}

    def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
        h = super().initial_state(batch_size, dtype)
        return {"h": h, "count": ts.zeros(batch_size, "int64"), "seen": ts.zeros((batch_size, H), "bool")}

    def forward(self, x: Any, state: Any) -> Any:
        left = ts.sqrt((5 - state["count"]).astype(x.dtype) * ts.square(state["h"][:, 0]))[:, None]
        h = ts.tanh(ts.sqrt(ts.abs(x @ self.weight)) + left * state["h"] @ self.hidden)
        return h, {"h": h, "count": state["count"] + 1, "seen": state["seen"] | (h > 0)}


CELLS = (NormCell, RootCell, LogarithmCell, InverseCell, CountingCell)
OPTIONS: dict[str, dict[str, Any]] = {
    "one layer": {"lengths": LENGTHS},
    "a mask": {"mask": MASK},
    "two layers": {"lengths": LENGTHS, "num_layers": 2},
    "two layers, mask": {"mask": MASK, "num_layers": 2},
    "two directions": {"lengths": LENGTHS, "num_layers": 2, "bidirectional": True, "merge": "sum"},
    "two directions, mask": {"mask": MASK, "num_layers": 2, "bidirectional": True, "merge": "mean"},
    "residual": {"lengths": LENGTHS, "num_layers": 2, "residual": True},
    "residual, mask": {"mask": MASK, "residual": True},
    "held": {"lengths": LENGTHS, "masked_output": "held", "num_layers": 2},
    "held, mask": {"mask": MASK, "masked_output": "held"},
    "held, residual": {"lengths": LENGTHS, "masked_output": "held", "residual": True},
    "held, residual, mask": {"mask": MASK, "masked_output": "held", "residual": True, "go_backwards": True},
    "backwards": {"lengths": LENGTHS, "go_backwards": True},
    "backwards, mask": {"mask": MASK, "go_backwards": True, "num_layers": 2},
    "projection": {"lengths": LENGTHS, "proj_size": H, "num_layers": 2},
    "zoneout": {"lengths": LENGTHS, "zoneout": 0.3},
    "learned": {"mask": MASK, "learn_initial_state": True, "return_all_states": True},
    "window": {"lengths": LENGTHS, "window": 2},
    "stride": {"lengths": LENGTHS, "window": 2, "stride": 1},
    "remember": {"lengths": LENGTHS, "remember": 2, "num_layers": 2},
    "all rows empty": {"lengths": [0] * N, "num_layers": 2, "residual": True},
    "all masked": {"mask": np.zeros((T, N), bool), "masked_output": "held", "bidirectional": True, "merge": "sum"},
}
COMPILED = [(name, CELLS[number % len(CELLS)]) for number, name in enumerate(OPTIONS)]


def layer_of(kind: type[SingularCell], options: dict[str, Any]) -> tuple[nn.Recurrent, dict[str, Any], np.ndarray]:
    """Return a float64 layer that is not in training, its flags, and which steps count."""
    options = dict(options)
    flags: dict[str, Any] = {name: options.pop(name) for name in ("lengths", "mask") if name in options}
    layer = nn.Recurrent(kind(), **options).double().eval()
    return layer, flags, flags["mask"] if "mask" in flags else nn.sequence_mask(flags["lengths"], T)


def data(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.3, 0.9, (T, N, H)) * rng.choice([-1, 1], (T, N, H))


def leaves_of(outputs: Any) -> list[Any]:
    return [leaf for leaf in flatten(outputs)[0] if leaf.dtype.kind == "f"]


def results(outputs: Any, *inputs: Any) -> list[np.ndarray]:
    """Return the outputs, and the gradients of their sum with fixed weights by the inputs."""
    leaves, weights = leaves_of(outputs), np.random.default_rng(7)
    for one in inputs:
        one.grad = None
    sum((leaf * weights.standard_normal(leaf.shape)).sum() for leaf in leaves).backward()
    assert all(one.grad is not None for one in inputs)
    return [*[leaf.detach().numpy() for leaf in leaves], *[one.grad.numpy() for one in inputs]]


def alone(layer: nn.Recurrent, xs: Any, state: Any, valid: np.ndarray) -> Any:
    """Return ``(ys, state)`` of each sequence by itself, cut to the steps that count."""
    rows, finals = [], []
    backwards, held = layer.options["go_backwards"], layer.options["masked_output"] == "held"
    for n in range(N):
        steps = np.flatnonzero(valid[:, n])
        last = map_leaves(lambda part, n=n: part[n : n + 1], state)
        found: dict[int, Any] = {}
        if len(steps):
            ys, last, *_ = layer(ts.stack([xs[t, n] for t in steps])[:, None], last)
            found = dict(zip(steps.tolist(), ts.unstack(ys), strict=True))
        y = nothing = ts.zeros((1, H), "float64")
        for t in reversed(range(T)) if backwards else range(T):
            y = found.get(t, y if held else nothing)
            found[t] = y
        rows.append(ts.stack([found[t] for t in range(T)]))
        finals.append(last)
    columns = zip(*[flatten(final)[0] for final in finals], strict=True)
    return ts.concat(rows, axis=1), flatten(finals[0])[1]([ts.concat(list(column)) for column in columns])


def states_of(layer: nn.Recurrent) -> tuple[Any, list[Any]]:
    """Return a first state, and those of its arrays that want a gradient."""
    state = layer.initial_state(N)
    if layer.initial_states is not None:
        return state, []
    leaves, rebuild = flatten(state)
    leaves = [ts.tensor(x.numpy(), requires_grad=True) if x.dtype.kind == "f" else x for x in leaves]
    return rebuild(leaves), leaves_of(leaves)


def compare(kind: type[SingularCell], option: str, compiled: bool, rng: np.random.Generator) -> None:
    layer, flags, valid = layer_of(kind, OPTIONS[option])
    clean, found = data(rng), []
    with nullcontext() if compiled else ts.disable_compile():
        for filling in FILLINGS:
            xs = ts.tensor(np.where(valid[:, :, None], clean, filling), requires_grad=True)
            state, wanted = states_of(layer)
            ys, last, *_ = layer(xs, state, **flags)
            found.append(results((ys, last), xs, *wanted, *layer.parameters()))
            assert not grad_of(xs).numpy()[~valid].any()
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    xs = ts.tensor(clean, requires_grad=True)
    with ts.disable_compile():
        state, wanted = states_of(layer)
        outputs = alone(layer, xs, state, valid)
        if valid.any():
            expected = results(outputs, xs, *wanted, *layer.parameters())
        else:
            expected = [*[leaf.numpy() for leaf in leaves_of(outputs)], *found[0][len(leaves_of(outputs)) :]]
    for number, (a, b) in enumerate(zip(found[0], expected, strict=True)):
        assert_close(f"value or gradient {number}", a, b, GRADIENT_TOLERANCE)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", CELLS)
def test_a_padded_batch_is_each_sequence_alone(kind: Any, option: str, rng: np.random.Generator) -> None:
    compare(kind, option, False, rng)


@pytest.mark.parametrize(
    ("option", "kind"), [(name, kind) for name in OPTIONS for kind in CELLS] if THOROUGH else COMPILED
)
def test_compiled(kind: Any, option: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "SEGMENT", 0)  # what has ended leaves the loop at once
    compare(kind, option, True, rng)


@pytest.mark.parametrize("name", ROWS)
def test_every_cell_of_the_library(name: str, rng: np.random.Generator) -> None:
    """In float64, and against the sequences cut to their lengths."""
    layer = nn.Recurrent(make(name, rng))
    lengths, size = [4, 2, 0], layer.cells[0].input_size
    assert size is not None
    valid, clean = nn.sequence_mask(lengths, 4), rng.standard_normal((4, 3, size))
    found = []
    with ts.disable_compile():
        for filling in (np.nan, 0.0):
            xs = ts.tensor(np.where(valid[:, :, None], clean, filling), requires_grad=True)
            found.append(results(layer(xs, lengths=lengths)[0], xs, *layer.parameters()))
            assert not grad_of(xs).numpy()[~valid].any()
        xs = ts.tensor(clean, requires_grad=True)
        pieces = [
            ts.pad(layer(xs[:end, n : n + 1])[0], ((0, 4 - end), (0, 0), (0, 0))) for n, end in enumerate(lengths)
        ]
        expected = results(ts.concat(pieces, axis=1), xs, *layer.parameters())
    for a, b, c in zip(*found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert_close("value or gradient", a, c, 16 * GRADIENT_TOLERANCE)  # the norm of mLSTM's heads magnifies rounding


RANDOM: list[tuple[type[SingularCell], dict[str, Any]]] = [
    (NormCell, {"dropout": 0.2, "num_layers": 2}),
    (NormCell, {"variational_dropout": 0.2}),
    (CountingCell, {"recurrent_dropout": 0.2, "drop_connect": 0.2}),
    (RootCell, {"zoneout": 0.5, "residual": True}),
]


@pytest.mark.parametrize("flags", [{"lengths": LENGTHS}, {"mask": MASK}], ids=["lengths", "mask"])
@pytest.mark.parametrize(("kind", "options"), RANDOM)
def test_in_training(kind: Any, options: dict[str, Any], flags: dict[str, Any], rng: np.random.Generator) -> None:
    """Padding that dropout makes 0 is not read either."""
    layer = nn.Recurrent(kind(), **options).double()
    valid = flags["mask"] if "mask" in flags else nn.sequence_mask(LENGTHS, T)
    clean, reset, found = data(rng), rng.random((T, N)) < 0.3, []
    with ts.disable_compile():
        for filling in FILLINGS:
            ts.manual_seed(3)
            xs = ts.tensor(np.where(valid[:, :, None], clean, filling), requires_grad=True)
            found.append(results(layer(xs, reset=reset, **flags), xs, *layer.parameters()))
            assert not grad_of(xs).numpy()[~valid].any()
    for other in found:
        for a, b in zip(found[0], other, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_array_equal(a, b)


def test_a_state_that_a_reset_discards_is_not_read_on_padding(rng: np.random.Generator) -> None:
    layer, xs, reset = nn.Recurrent(RootCell()).double(), ts.tensor(data(rng)), np.zeros((T, N), bool)
    reset[0] = reset[3, 4] = True
    found = []
    for filling in (0.5, np.nan):
        state = ts.full((N, H), filling, "float64", requires_grad=True)
        found.append(results(layer(xs, state, reset=reset, lengths=LENGTHS)[0], state, *layer.parameters()))
    for a, b in zip(*found, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("filling", FILLINGS)
def test_a_row_without_steps_keeps_any_state(filling: float, rng: np.random.Generator) -> None:
    layer, given = nn.Recurrent(NormCell()).double(), np.full((N, H), 0.5)
    given[2] = filling
    xs, state = ts.tensor(data(rng), requires_grad=True), ts.tensor(given, requires_grad=True)
    with ts.disable_compile():
        ys, last = layer(xs, state, mask=nn.sequence_mask(LENGTHS, T))
        gradients = results((ys, last[:2], last[3:]), xs, state, *layer.parameters())[3:]
    np.testing.assert_array_equal(last[2].numpy(), given[2])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("flags", [{"lengths": [3, 5, 0, 2, 4]}, {"mask": MASK | (np.arange(N) >= 3)}])
def test_a_padded_step_pairs_no_state_with_the_input_of_another_step(
    backwards: bool, flags: dict[str, Any], rng: np.random.Generator
) -> None:
    """The first state of each row is its last input, and the state that it ends with is that input too."""
    layer, clean = nn.Recurrent(RootCell(), go_backwards=backwards).double(), data(rng)
    valid = flags["mask"] if "mask" in flags else nn.sequence_mask(flags["lengths"], T)
    last = valid.argmax(axis=0) if backwards else T - 1 - valid[::-1].argmax(axis=0)
    with ts.disable_compile():
        found = layer(ts.tensor(clean), clean[last, np.arange(N)], **flags)
        assert all(np.isfinite(result).all() for result in results(found, *layer.parameters()))


@pytest.mark.parametrize("make_layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("steps", [0, T])
def test_layers_without_any_step(make_layer: Any, steps: int) -> None:
    layer = make_layer(H, 4, num_layers=2, bidirectional=True, batch_first=True)
    xs = ts.full((N, steps, H), np.nan, requires_grad=True)
    state = map_leaves(lambda x: ts.randn(*x.shape, requires_grad=True), layer.initial_state(N))
    calls: list[dict[str, Any]] = [{"lengths": [0] * N}, {"mask": np.zeros((N, steps), bool)}]
    if steps == 0:
        calls.append({})
    for call in calls:
        with ts.detect_anomaly():
            ys, last = layer(xs, state, **call)
            results((ys, last), xs, *flatten(state)[0], *layer.parameters())
        assert ys.shape == (N, steps, 8)
        assert not ys.numpy().any()
        for a, b in zip(flatten(last)[0], flatten(state)[0], strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert not any(parameter.grad.numpy().any() for parameter in (xs, *layer.parameters()))


def test_second_order(rng: np.random.Generator) -> None:
    layer, valid = nn.Recurrent(LogarithmCell(), num_layers=2, residual=True).double(), nn.sequence_mask(LENGTHS, T)
    clean = data(rng)

    def outputs(x: Any, *_: Any) -> Any:
        ys, last = layer(ts.where(valid[:, :, None], x, np.nan), lengths=LENGTHS)
        return ys, *last

    ts.gradcheck(outputs, [ts.tensor(clean, requires_grad=True), *layer.parameters()], order=2)


def test_inside_the_step_of_another_scan(rng: np.random.Generator) -> None:
    layer, valid = nn.Recurrent(RootCell(), num_layers=2).double(), nn.sequence_mask(LENGTHS, T)
    xs = ts.tensor(np.where(valid[:, :, None], data(rng), np.nan)[None].repeat(2, 0), requires_grad=True)

    def step(carry: Any, x: Any) -> Any:
        ys, _ = layer(x, lengths=LENGTHS)
        return carry + ys.sum(), ys

    found = [
        results(ts.scan(step, ts.tensor(0.0, "float64"), xs, compile=c), xs, *layer.parameters()) for c in (True, False)
    ]
    for a, b in zip(*found, strict=True):
        assert np.isfinite(a).all()
        assert_close("value or gradient", a, b, GRADIENT_TOLERANCE)


# ------------------------------------------------------------------------------------------------------- anomalies


@pytest.mark.parametrize("backwards", [False, True])
def test_no_anomaly_is_told_of_a_padded_step(backwards: bool, rng: np.random.Generator) -> None:
    layer = nn.Recurrent(InverseCell(), go_backwards=backwards, num_layers=2, residual=True).double()
    clean = np.where(MASK[:, :, None], data(rng), np.nan)
    with ts.detect_anomaly():
        results(layer(ts.tensor(clean, requires_grad=True), mask=MASK), *layer.parameters())
    where = (4, 0) if backwards else (1, 0)  # the first step of row 0, whose padding comes before it
    clean[where] = 0
    mask = MASK.copy()
    mask[4, 1] = not backwards
    mask[4, 0] = mask[4, 0] and backwards
    with ts.detect_anomaly(), pytest.raises(AnomalyError, match=rf"step {where[0]}, row 0: 'divide' made inf"):
        layer(ts.tensor(clean), mask=mask)
    found = layer.inspect(ts.tensor(clean), mask=mask).first_anomaly()
    assert found is not None
    assert (found.step, found.row) == where


@pytest.mark.parametrize("option", ["all rows empty", "all masked"])
@pytest.mark.parametrize("kind", CELLS)
def test_no_anomaly_where_nothing_is_computed(kind: Any, option: str) -> None:
    layer, flags, _ = layer_of(kind, OPTIONS[option])
    for steps in (T, 0):
        flags = {name: [0] * N if name == "lengths" else flag[:steps] for name, flag in flags.items()}
        xs = ts.full((steps, N, H), np.nan, "float64", requires_grad=True)
        with ts.detect_anomaly():
            results(layer(xs, **flags), xs, *layer.parameters())
