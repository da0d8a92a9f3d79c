"""Planted faults: each is caught, by the check meant for it, and named in its smallest case."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.autograd.deferred import complete
from tinygrad_seq.errors import VerificationError
from tinygrad_seq.ops.primitive import TABLE, Primitive
from tinygrad_seq.scan.program import Program
from tinygrad_seq.verification.compare import NONE, closeness

SIZE = 3
DIFFERENCES, HVP, COMPILED = (
    "gradients == finite differences",
    "hvp == differenced gradients",
    "compiled == step by step",
)


class Plain(nn.Cell):
    """A cell that is right; those below differ from it in one place."""

    input_size, output_size, state_shape = SIZE, SIZE, (SIZE,)

    def __init__(self) -> None:
        self.w = nn.Parameter(0.5 * np.ones((SIZE, SIZE)) - np.eye(SIZE))
        self.b = nn.Parameter(np.full(SIZE, 0.1))

    def act(self, x: Any) -> Any:
        return ts.tanh(x)

    def carried(self, h: Any) -> Any:
        return h

    def forward(self, x: Any, h: Any) -> Any:
        h = self.act(x + self.carried(h) @ self.w + self.b)
        return h, h

    def reset_parameters(self) -> None:
        nn.init.normal_(self.w)


def caught(subject: Any, name: str, **options: Any) -> str:
    """Return the smallest failing case of the check of this name, which must fail."""
    certificate = ts.verify(subject, level="short", **({"compile": False} | options))
    assert name in [check.name for check in certificate.failures], str(certificate)
    smallest = certificate[name].smallest
    assert smallest.startswith("T=")
    assert smallest in str(certificate)
    with pytest.raises(VerificationError, match="smallest failing case: T="):
        certificate.raise_on_failure()
    return smallest


def primitive(name: str, forward: Callable[..., Any], rule: Callable[..., Any]) -> Primitive:
    """Return an operation of one operand, which is not left in the table."""
    made = Primitive(f"planted {name}", forward, (rule,))
    del TABLE[made.name]
    return made


# ------------------------------------------------------------------------------------------- rules of derivatives


def test_nothing_is_planted() -> None:
    certificate = ts.verify(Plain(), level="short")
    assert certificate.passed, str(certificate)
    assert not [check for check in certificate.checks if check.status == "skipped"]


def test_01_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TABLE["tanh"], "rules", (lambda g, y, _x: g * (1 - y),))
    assert caught(Plain(), DIFFERENCES).startswith("T=1, N=1: gradient of ")


def test_02_a_rule_that_is_wrong_in_second_order_only() -> None:
    def rule(g: Any, y: Any, _x: Any) -> Any:
        return g * (1 - (y.numpy() if isinstance(y, ts.Tensor) else y) ** 2)

    squash = primitive("constant slope", np.tanh, rule)

    class Cell(Plain):
        def act(self, x: Any) -> Any:
            return squash(x)

    certificate = ts.verify(Cell(), level="short", compile=False)
    assert [check.name for check in certificate.failures] == [HVP]


def test_03_a_custom_gradient_that_is_wrong() -> None:
    clipped = primitive("straight through", lambda x: np.clip(x, -0.2, 0.2), lambda g, _y, _x: g)

    class Cell(Plain):
        def act(self, x: Any) -> Any:
            return clipped(ts.tanh(x))

    caught(Cell(), DIFFERENCES)


def test_04_a_gradient_cut_off() -> None:
    class Cell(Plain):
        def carried(self, h: Any) -> Any:
            return h.detach() if isinstance(h, ts.Tensor) else h

    assert "gradient of state" in caught(Cell(), DIFFERENCES)


def test_05_less_precise_arithmetic() -> None:
    class Cell(Plain):
        def act(self, x: Any) -> Any:
            return ts.tanh(x).astype("float32").astype(x.dtype)

    caught(Cell(), DIFFERENCES)
    certificate = ts.verify(Cell(), level="short", compile=False, checks=[DIFFERENCES])
    assert "less precise than float64" in certificate[DIFFERENCES].detail + certificate[DIFFERENCES].smallest


def test_06_a_gradient_lost_in_the_initial_state() -> None:
    class Cell(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(np.ones(SIZE))

        def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
            first = self.first * self.b.detach()  # b is trained through it, too
            return ts.broadcast_to(first[None], (batch_size, SIZE))

    assert "from the initial state: gradient of 'b'" in caught(Cell(), DIFFERENCES)


# ------------------------------------------------------------------------------------------------ paths


def test_07_values_of_the_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value without rows is overwritten once per row of the carry: row n is computed n + 1 times."""
    right = Program.run_forward

    def wrong(*given: Any) -> Any:
        h, ys, *rest = right(*given)
        return (h, ys * 1.1 ** np.arange(ys.shape[1])[:, None], *rest)

    monkeypatch.setattr(Program, "run_forward", wrong)
    assert caught(Plain(), COMPILED, compile=True).startswith("T=1, N=2: ys at time 0, row 1, index ")


def test_08_gradients_of_the_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = TABLE["scan"].rules[0]

    def wrong(gs: Any, ys: Any, *xs: Any, **params: Any) -> Any:
        found = map(complete, right(gs, ys, *xs, **params))
        return [g if g is None else g * (1 + 1e-6 * (len(g) == SIZE)) for g in found]

    monkeypatch.setattr(TABLE["scan"], "rules", (wrong,))
    assert "gradient of " in caught(Plain(), COMPILED, compile=True)


def test_09_remembering_less_changes_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = TABLE["scan"].rules[0]

    def wrong(gs: Any, ys: Any, *xs: Any, **params: Any) -> Any:
        found = map(complete, right(gs, ys, *xs, **params))
        return [g * (1 + 4e-16) if g.ndim == 1 and params["run"].segment == 2 else g for g in found]

    monkeypatch.setattr(TABLE["scan"], "rules", (wrong,))
    assert "remember=2: gradient of 'b'" in caught(Plain(), "remember gives the same bits", compile=True)


def test_10_a_step_that_reads_a_counter() -> None:
    class Cell(Plain):
        calls = 0

        def carried(self, h: Any) -> Any:
            self.calls += 1
            return h / self.calls

    assert "T=1, N=1: ys at time 0" in caught(Cell(), "every call gives the same numbers")
    caught(Cell(), COMPILED, compile=True)


def test_11_sums_in_the_order_of_the_threads() -> None:
    def forward(x: np.ndarray) -> np.ndarray:
        parts = np.array_split(x, ts.get_num_threads(), axis=-1)
        return x + sum(part.sum(axis=-1, keepdims=True) for part in reversed(parts))

    parted = primitive("parts", forward, lambda g, _y, _x: g + g.sum(axis=-1, keepdims=True))

    class Cell(Plain):
        def act(self, x: Any) -> Any:
            return ts.tanh(parted(x))

    caught(Cell(), "every number of threads gives the same bits")


def test_12_float64_out_of_float32() -> None:
    class Cell(Plain):
        def forward(self, x: Any, h: Any) -> Any:
            y, h = super().forward(x, h)
            return y * ts.tensor(np.ones(SIZE)), h

    assert "expected float32, got float64" in caught(Cell(), "float32 is near float64")


def test_13_an_exponential_that_overflows() -> None:
    class Cell(Plain):
        def act(self, x: Any) -> Any:
            return ts.tanh(ts.log(1 + ts.exp(x)))

    assert "times 1000" in caught(Cell(), "extreme inputs and sizes of 1 stay finite")


def test_14_one_row_alone_is_squeezed_away() -> None:
    class Cell(Plain):
        def forward(self, x: Any, h: Any) -> Any:
            y, h = super().forward(x, h)
            return (y - y.mean() if y.shape[0] == 1 else y), h

    assert "T=1, N=2" in caught(Cell(), "row alone == row in a batch")


# ------------------------------------------------------------------------------------------- time and batch


def test_15_a_state_that_leaks_between_rows() -> None:
    class Cell(Plain):
        def carried(self, h: Any) -> Any:
            return h - 0.1 * h.mean(axis=0, keepdims=True)

    assert "T=1, N=2: " in caught(Cell(), "row alone == row in a batch")


def test_16_the_first_step_is_another() -> None:
    class Cell(nn.Recurrent):
        def forward(self, xs: Any, state: Any = None, **flags: Any) -> Any:
            ys, state = super().forward(xs, state, **flags)
            return ts.concat([ys[:1] * 2, ys[1:]]), state

    assert "T=2, N=1: " in caught(Cell(Plain()), "whole == chunk by chunk == step by step")


def test_17_a_stream_without_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    class Layer(nn.Recurrent):
        def _step(self) -> Any:
            plain = copy.copy(self)
            plain.options = {**self.options, "residual": False}
            return nn.Recurrent._step(plain)

    name = "stream == whole"
    assert ts.verify(nn.Recurrent(Plain(), residual=True), checks=[name], compile=False).passed
    certificate = ts.verify(Layer(Plain(), residual=True), checks=[name], compile=False)
    assert certificate[name].smallest.startswith("T=1, N=1: ys at time 0, row 0")


def test_18_two_directions_that_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Layer(nn.Recurrent):
        def _passes(self) -> Any:
            return [one._replace(reverse=False) for one in super()._passes()]

    name = "backwards == forwards on reversed time"
    assert "T=2, N=1" in caught(Layer(Plain(), bidirectional=True), name)
    assert "T=2, N=1" in caught(Layer(Plain()), name)


def test_19_a_window_that_cuts_one_step_late(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_seq.scan import api, eager

    monkeypatch.setattr(
        api, "unroll", lambda step, carry, xs, window=None: eager.unroll(step, carry, xs, window and window + 1)
    )
    assert "window=1: " in caught(Plain(), "window = T == full; window = 1 and 2 == detached")


class ReadsPadding(nn.Recurrent):
    """The gradient, not the value, of what is padded reaches everything: 0 times the slope of a norm."""

    def forward(self, xs: Any, state: Any = None, *, lengths: Any = None, mask: Any = None, **_: Any) -> Any:
        ys, state = super().forward(xs, state, lengths=lengths, mask=mask)
        valid = mask if lengths is None else np.arange(len(xs))[:, None] < lengths
        if valid is None:
            return ys, state
        cell: Any = self.cells[0]
        size = (ts.sqrt((xs * xs).sum(axis=-1, keepdims=True)) * cell.b.sum()).mean(axis=0, keepdims=True)
        return ts.where(np.ones(ys.shape, bool), ys, ys / size), state


def test_20_padding_that_reaches_gradients() -> None:
    assert "gradient of " in caught(ReadsPadding(Plain()), "NaN in what is left out reaches nothing")


def test_21_padding_that_reaches_values() -> None:
    class Layer(nn.Recurrent):
        def forward(self, xs: Any, state: Any = None, **_: Any) -> Any:
            return super().forward(xs, state)

    for name in ("padded == unpadded, no gradient on padding", "masked == left out, no gradient there"):
        caught(Layer(Plain()), name)


def test_25_a_reset_that_is_ignored() -> None:
    class Layer(nn.Recurrent):
        def forward(self, xs: Any, state: Any = None, *, reset: Any = None, **flags: Any) -> Any:
            return super().forward(xs, state, **flags)

    assert "T=2, N=1: " in caught(Layer(Plain()), "reset == begin anew")


# ------------------------------------------------------------------------------------------------- saving


def test_22_a_parameter_that_is_not_saved() -> None:
    class Cell(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.gain = ts.ones(SIZE, "float64", requires_grad=True)

        def act(self, x: Any) -> Any:
            return ts.tanh(x * self.gain)

    assert "it requires grad but is not in state_dict()" in caught(Cell(), "saved and loaded gives the same numbers")


def test_23_a_matrix_drawn_at_random_and_not_saved() -> None:
    class Cell(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.mixing = np.random.default_rng().standard_normal((SIZE, SIZE)).astype(np.float32)

        def carried(self, h: Any) -> Any:
            return h @ self.mixing

    assert ts.verify(Cell(), level="short", compile=False).passed
    caught(Cell(), "saved and loaded gives the same numbers", make=Cell)


class Forgets(Plain):
    """Pickling loses how it is scaled."""

    scale = 1.0

    def carried(self, h: Any) -> Any:
        return h * self.scale

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "scale"}

    def __deepcopy__(self, memo: Any) -> Any:
        other = Forgets()
        other.scale = 0.5
        return other


def test_24_pickling_that_loses_something() -> None:
    caught(Forgets(), "pickled gives the same numbers")


@pytest.mark.parametrize("tolerance", [NONE, 1.0])
def test_equal_numbers_of_another_dtype_or_shape_are_not_as_expected(tolerance: float) -> None:
    want = np.ones(3)
    assert closeness("xs", want.copy(), want, tolerance).passed
    for got in (want.astype(np.float32), want.astype(np.int64), want[:, None], np.ones(1), None):
        assert not closeness("xs", got, want, tolerance).passed
    found = closeness("xs", want.astype(np.float32), want, tolerance)
    assert found.detail == "expected (3,) float64, got (3,) float32"
