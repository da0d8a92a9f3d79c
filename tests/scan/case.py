"""A scan that is run on both paths, compiled and step by step, and compared in values and gradients.

Shapes are written in the letters of the field, ``"T N 4H"``, and become numbers only when a case is built, so that one
cell is tried at many sizes. A dtype may follow: ``"T N:int64"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.base.tree import Tree, describe, flatten, map_leaves
from tinygrad_seq.kernels import categorical, reduce  # noqa: F401  before a test turns the compiler on: see below
from tinygrad_seq.scan.ir.leaves import alike, named_leaves

# Some tests turn the compiler on under NUMBA_DISABLE_JIT=1. Kernels that are first imported then would be compiled, and
# crash when they run without it.

# Largest difference between the two paths, in units of the dtype's eps and of the largest element of the array (of 1 if
# that is smaller). Both add in an order of their own, with approximations of exp and tanh of their own: rounding, which
# in these cells is at most 5 units (eager float32 beside float64). A wrong rule is wrong by a million.
VALUE_TOLERANCE, GRADIENT_TOLERANCE = 32, 128

SIZES = {"T": 5, "N": 3, "I": 4, "H": 6, "S": 5, "D": 2, "V": 7}


def sizes_of(shape: str, sizes: dict[str, int]) -> tuple[int, ...]:
    """Return ``"T N 2H+I 1"`` in numbers."""

    def term(text: str) -> int:
        factor, letter = re.fullmatch(r"(\d*)([A-Z]?)", text).groups()  # type: ignore[union-attr]
        return int(factor or 1) * (sizes[letter] if letter else 1)

    return tuple(sum(map(term, size.split("+"))) for size in shape.split())


def draw(spec: str, sizes: dict[str, int], dtype: Any, rng: np.random.Generator) -> ts.Tensor:
    """Return a random Tensor: floats require grad, integers are below V, of a mask two in three are true."""
    text, _, own = spec.partition(":")
    shape, dtype = sizes_of(text, sizes), np.dtype(own or dtype)
    if dtype.kind == "f":
        scale = 0.5 if len(shape) < 2 else 1 / np.sqrt(max(shape[-2], 4))
        return ts.tensor(np.asarray(scale * rng.standard_normal(shape), dtype), requires_grad=True)
    return ts.tensor(np.asarray(rng.integers(0, 3 if dtype.kind == "b" else sizes["V"], shape), dtype))


def projected(outputs: Tree, seed: int = 7) -> ts.Tensor:
    """Return a scalar that depends on every floating-point value of `outputs`, each with a random weight."""
    rng = np.random.default_rng(seed)
    parts = [(part * rng.standard_normal(part.shape)).sum() for part in flatten(outputs)[0] if part.dtype.kind == "f"]
    return sum(parts, ts.tensor(0.0))


def gradient_of(leaf: ts.Tensor) -> np.ndarray | None:
    return None if leaf.grad is None else leaf.grad.numpy()


class Result(NamedTuple):
    """What a scan gave, and the gradients of a random projection of it by name (None where none arrives)."""

    outputs: Tree
    gradients: dict[str, np.ndarray | None]


@dataclass
class Problem:
    """A scan with all its arrays."""

    step: Callable[[Tree, Tree], tuple[Tree, Tree]]
    init: Tree
    xs: Tree
    weights: dict[str, ts.Tensor] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def scan(self, compile: bool | None) -> tuple[Tree, Tree]:
        return ts.scan(self.step, self.init, self.xs, compile=compile, **self.options)

    def leaves(self) -> dict[str, ts.Tensor]:
        trees = {"init": self.init, "xs": self.xs, "weights": self.weights}
        return {name: leaf for name, leaf in named_leaves(trees) if leaf.requires_grad}

    def run(self, compile: bool | None, part: slice = slice(None)) -> Result:
        """Return the results of the scan; the gradients are those of ``(carry, ys)[part]``."""
        leaves = self.leaves()
        for leaf in leaves.values():
            leaf.grad = None
        outputs = self.scan(compile)
        loss = projected(outputs[part])
        if loss.requires_grad:
            loss.backward()
        return Result(outputs, {name: gradient_of(leaf) for name, leaf in leaves.items()})

    def dtype(self) -> np.dtype:
        """The least precise dtype that takes part."""
        arrays = flatten([self.init, self.xs, self.weights])[0]
        return min((array.dtype for array in arrays if array.dtype.kind == "f"), key=lambda dtype: dtype.itemsize)

    def check(self, part: slice = slice(None)) -> Result:
        """Compare the compiled path with the eager one and return the result of the compiled one."""
        want, got = self.run(False, part), self.run(True, part)
        assert_agree(got, want, self.dtype())
        return got


def assert_agree(got: Result, want: Result, dtype: Any) -> None:
    """Fail unless two results agree: structure, shapes and dtypes exactly, numbers within the tolerances of `dtype`."""
    assert alike(got.outputs, want.outputs), f"{describe(got.outputs)} is not {describe(want.outputs)}"
    parts, wanted = (dict(named_leaves(result.outputs, "outputs")) for result in (got, want))
    for name, a, b in _pairs(parts, wanted):
        assert_close(name, a.numpy(), b.numpy(), VALUE_TOLERANCE, dtype)
        assert a.requires_grad == b.requires_grad, f"{name}: requires_grad is {a.requires_grad}, not {b.requires_grad}"
    for name, g, h in _pairs(got.gradients, want.gradients):
        if g is not None or h is not None:  # no gradient is a gradient of zero
            g, h = (np.zeros_like(h) if g is None else g), (np.zeros_like(g) if h is None else h)
            assert_close(f"gradient of {name}", g, h, GRADIENT_TOLERANCE, dtype)


def assert_close(name: str, got: Any, want: Any, units: float = GRADIENT_TOLERANCE, dtype: Any = "float64") -> None:
    """Fail unless two arrays differ by at most so many `units` of eps and of the largest element; integers, at all.

    The eps is that of `dtype`, or of the arrays' own where that is larger.
    """
    assert (got.shape, got.dtype) == (want.shape, want.dtype), name
    allowed = 0.0
    if want.dtype.kind == "f":
        eps = max(np.finfo(dtype).eps, np.finfo(want.dtype).eps)
        allowed = units * float(eps) * max(1.0, np.abs(want).max(initial=0.0))
    np.testing.assert_allclose(got, want, rtol=0, atol=allowed, err_msg=name)


def _pairs(a: dict[str, Any], b: dict[str, Any]) -> Any:
    assert a.keys() == b.keys()
    return ((name, a[name], b[name]) for name in a)


class Case(NamedTuple):
    """A cell and the shapes of its arrays; ``step(carry, x, **weights) -> (carry, y)``."""

    step: Callable[..., tuple[Tree, Tree]]
    init: Tree
    xs: Tree
    weights: dict[str, str]

    def build(
        self, dtype: Any = "float64", seed: int = 0, options: dict[str, Any] | None = None, **sizes: int
    ) -> Problem:
        """Return the scan at these sizes, the others as in `SIZES`, with random arrays."""
        numbers, rng = SIZES | sizes, np.random.default_rng(seed)
        init, xs, weights = (
            map_leaves(lambda spec: draw(spec, numbers, dtype, rng), tree)
            for tree in (self.init, self.xs, self.weights)
        )
        options = dict(options or {})
        if self.xs is None:
            options["length"] = numbers["T"]
        return Problem(lambda carry, x: self.step(carry, x, **weights), init, xs, weights, options)


def collect(cases: dict[str, Case]) -> Callable[..., Any]:
    """Return a decorator that enters a step with its shapes into `cases`: ``@cell("N H", "T N I", w="I H")``."""

    def cell(init: Tree, xs: Tree = None, **weights: str) -> Callable[[Any], Any]:
        def enter(step: Any) -> Any:
            cases[step.__name__] = Case(step, init, xs, weights)
            return step

        return enter

    return cell
