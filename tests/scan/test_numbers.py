"""Python numbers of a step that change from call to call: runtime arguments of one program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.scan.case import GRADIENT_TOLERANCE, assert_close
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.kernels.compile import generated
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.scan import program, program_of, variants
from tinygrad_seq.scan.ir import retrace
from tinygrad_seq.scan.ir.numbers import changeable
from tinygrad_seq.scan.ir.step import Aval, Var
from tinygrad_seq.scan.pipeline import compile_step
from tinygrad_seq.scan.run.direction import Plan
from tinygrad_seq.scan.stepper import make_stepper

T, N, H = 4, 3, 5


class Problem:
    """A scan whose step closes over a number."""

    def __init__(self, dtype: str) -> None:
        rng = np.random.default_rng(1)
        self.number = 0.5
        self.leaves = tuple(
            ts.tensor(rng.standard_normal(shape).astype(dtype) / 2, requires_grad=True)
            for shape in ((T, N, H), (H, H), (H,))
        )
        self.init = ts.zeros((N, H), dtype)

    def loss(self, compile: bool, xs: Any, u: Any, b: Any) -> tuple[ts.Tensor, ts.Tensor]:
        def step(h: Any, x: Any) -> tuple[Any, Any]:
            k = self.number
            m = ts.where(h > k * 0.1, h * k, x * 0.25)
            h = ts.tanh(h @ (u * k) + ts.sigmoid(x / k) * (1 - k) * m + ts.lerp(x, b, k) + ts.clip(x, -k, k))
            return h + k / (2 + x * x), ts.leaky_relu(h, k) + ts.maximum(h, k)

        _, ys = ts.scan(step, self.init, xs, compile=compile)
        return (ys * ys).sum(), ys

    def run(self, compile: bool) -> list[np.ndarray]:
        """Return the outputs and the gradients."""
        gradient, ys = ts.grad(lambda *leaves: self.loss(compile, *leaves), (0, 1, 2), has_aux=True)(*self.leaves)
        return [part.numpy() for part in (ys, *gradient)]

    def run_twice(self, compile: bool) -> list[np.ndarray]:
        """Return the gradients of the squared length of the gradients."""

        def length(*leaves: Any) -> ts.Tensor:
            first = ts.grad(lambda *leaves: self.loss(compile, *leaves)[0], (0, 1, 2))(*leaves)
            return sum(((part * part).sum() for part in first), ts.tensor(0.0))

        return [part.numpy() for part in ts.grad(length, (0, 1, 2))(*self.leaves)]


def agree(got: list[np.ndarray], want: list[np.ndarray], dtype: str) -> None:
    for at, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.dtype == dtype
        assert_close(f"result {at}", a, b, GRADIENT_TOLERANCE, dtype)


@pytest.fixture(autouse=True)
def made(monkeypatch) -> list[Any]:
    """The steps that are compiled in this test."""
    found: list[Any] = []

    def recording(*step: Any, **options: Any) -> Plan:
        found.append(step)
        return compile_step(*step, **options)

    monkeypatch.setattr(variants, "_known", Memo(1000))
    monkeypatch.setattr(retrace, "_roots", Memo(1000))
    monkeypatch.setattr(program, "compile_step", recording)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_program_serves_every_number(dtype: str, made: list[Any]) -> None:
    problem, states = Problem(dtype), []
    for count, problem.number in enumerate(np.linspace(0.1, 0.9, 200).tolist()):
        got = problem.run(compile=True)
        if count < 3 or count % 40 == 0:
            agree(got, problem.run(compile=False), dtype)
        states.append((sum(root.grown for root in retrace._roots.values()), len(generated._loaded)))
    assert len(made) == 2
    assert len(set(states)) == 1  # no trace and no kernel beside those of the first number


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_second_derivatives(dtype: str) -> None:
    problem = Problem(dtype)
    for problem.number in (0.3, 0.6, 0.45):
        agree(problem.run_twice(compile=True), problem.run_twice(compile=False), dtype)


def scanned(step: Any, **options: Any) -> np.ndarray:
    rng = np.random.default_rng(0)
    init, xs = ts.tensor(rng.standard_normal((N, H))), ts.tensor(rng.standard_normal((T, N, H)))
    got, want = (ts.scan(step, init, xs, compile=compile, **options)[1].numpy() for compile in (True, False))
    np.testing.assert_allclose(got, want, rtol=1e-12)
    return got


def test_numbers_that_change_one_after_the_other(made: list[Any]) -> None:
    """Each new one makes one more program; then all may change, and numbers that were equal may differ."""
    numbers = [0.5, 0.5, 0.5]

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        a, b, c = numbers
        h = ts.tanh(h * a + x * b) * c
        return h, h

    seen = [scanned(step)]
    for numbers[:] in ([0.25, 0.25, 0.5], [0.75, 0.75, 0.5], [0.25, 0.75, 0.5], [0.1, 0.2, 0.3], [0.3, 0.3, 0.4]):
        seen.append(scanned(step))
    assert len(made) == 4
    for numbers[:] in np.random.default_rng(0).random((20, 3)).tolist():
        scanned(step)
    assert len(made) == 4
    numbers[:] = [0.5, 0.5, 0.5]
    np.testing.assert_array_equal(scanned(step), seen[0])


def test_numbers_of_which_code_is_made(made: list[Any]) -> None:
    """0 and 1 may be sizes, exponents choose the code, and what is not finite has names of its own."""
    numbers: list[Any] = [1.5]

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        return ts.tanh(h + x) * numbers[0], h

    def power(h: Any, x: Any) -> tuple[Any, Any]:
        return h, abs(x) ** numbers[0]

    for numbers[0] in (0.5, 0.0, 1.0, -0.0, -1.0, 3.0, 2, True, 1e300, float("inf"), float("nan"), 0.25):
        scanned(step)
    before = len(made)
    for numbers[0] in (1.5, 2.0, 2.5):
        scanned(power)
    assert len(made) == before + 3


def test_which_operands_may_change() -> None:
    single, double, integer, mask = (Var(Aval((2,), np.dtype(code))) for code in "fdi?")
    assert changeable(TABLE["multiply"], (single, 0.5)) == (1,)
    assert changeable(TABLE["lerp"], (0.25, double, 0.5)) == (0, 2)
    assert changeable(TABLE["where"], (mask, 0.5, single)) == (1,)
    assert changeable(TABLE["where"], (0.5, single, single)) == ()
    for atoms in ((integer, 0.5), (mask, 0.5), (single, 2), (single, True), (single, 1.0), (single, 0.0)):
        assert changeable(TABLE["multiply"], atoms) == ()
    for atoms in ((single, float("inf")), (single, float("nan")), (single, 1e39)):
        assert changeable(TABLE["multiply"], atoms) == ()
    assert changeable(TABLE["lerp"], (single, double, 0.5)) == ()  # which dtype it takes is not for us to say
    assert changeable(TABLE["pow"], (single, 2.5)) == ()
    assert changeable(TABLE["sum"], (single,)) == ()


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="there is no source then")
def test_the_source_is_that_of_the_first_number() -> None:
    problem, texts = Problem("float32"), []
    for problem.number in (0.3, 0.6):
        xs, u, b = problem.leaves

        def step(h: Any, x: Any, k: float = problem.number) -> tuple[Any, Any]:
            h = ts.tanh(h @ (u * k) + ts.leaky_relu(x * (1 - k), k) + b)  # noqa: B023
            return h, h / k

        program = program_of(step, problem.init, xs)
        assert program.backward is not None
        kernels = [direction.kernel for direction in (program.forward, program.backward)]
        texts.append([kernel.source.text for kernel in kernels if kernel is not None])
        assert ("0.3" in program.explain()) == (problem.number == 0.3)
    assert texts[0] == texts[1]


def test_the_memory_dial_and_windows() -> None:
    for k in (0.5, 0.25, 0.75):

        def step(h: Any, x: Any, k: float = k) -> tuple[Any, Any]:
            h = ts.tanh(h * k + x)
            return h, h * (1 - k)

        for options in ({}, {"remember": 2}, {"window": 2, "reverse": True}):
            scanned(step, **options)


def test_streams(made: list[Any]) -> None:
    xs = np.random.default_rng(0).standard_normal((6, N, H))
    for k in (0.5, 0.25, 0.75, 0.8):

        def step(h: Any, x: Any, k: float = k) -> tuple[Any, Any]:
            h = ts.tanh(h * k + x) * (1 - k)
            return h, h

        stepper = make_stepper(step, ts.zeros((N, H), "float64"), ts.zeros((N, H), "float64"), 6)
        _, want = ts.scan(step, ts.zeros((N, H), "float64"), ts.tensor(xs), compile=False)
        np.testing.assert_allclose(stepper.run([xs]).numpy(), want.numpy(), rtol=1e-12)
    assert len(set(variants._known.values())) == 1
    assert made == []
