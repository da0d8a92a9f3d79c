"""Gradients against finite differences: `gradcheck`.

All outputs are projected on one random cotangent, which gives one scalar function of the inputs. Each input is first
moved along a few random directions, with two or three evaluations each. Only if a direction disagrees is every element
checked, to name the wrong one. Differences are central and extrapolated over shrinking steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base.modes import enable_grad, ieee, mode, no_grad
from ..base.tree import Tree, flatten
from ..errors import ArgumentError, DtypeError, GradientError
from .tensor import Tensor, pull_back

# The step that balances truncation against rounding in a central difference.
_STEP = float(np.cbrt(np.finfo(np.float64).eps))
_ROUNDING = 8 * float(np.finfo(np.float64).eps)
_DIRECTIONS = 3
_SHRINK = 4
_LEVELS = 6


@ieee
def gradcheck(
    f: Callable[..., Any],
    inputs: Tensor | Sequence[Any] | dict[str, Any],
    order: int = 1,
    *,
    eps: float = _STEP,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    generator: np.random.Generator | None = None,
) -> bool:
    """Check the gradients of `f` against finite differences.

    Parameters
    ----------
    f
        Called as ``f(*inputs)``, or ``f(**inputs)`` for a dict; it may also close over the inputs. It returns a Tensor
        or nested tuples, lists and dicts of Tensors of any shape; only floating-point ones are checked.
    inputs
        All float64 Tensors in it that require grad are checked.
    order
        1 for gradients; 2 also checks the gradient of a random projection of the gradient.
    eps
        Largest step, relative to ``max(1, |x|)``.
    atol, rtol
        Tolerances between analytic and numeric derivatives.
    generator
        Draws the cotangent and the directions; by default with a fixed seed.

    Returns
    -------
    bool
        True; a failed check raises.

    Raises
    ------
    GradientError
        If a derivative is wrong, `f` is not differentiable at this point, a value is NaN or infinite, or `f` or its
        backward pass gives different results for the same inputs. The message names the input and the index.
    DtypeError
        If an input or output is a float32 Tensor.
    ArgumentError
        If no input requires grad, no output is a floating-point Tensor, or `order` is neither 1 nor 2.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([0.5, -1.0], dtype="float64", requires_grad=True)
    >>> ts.gradcheck(lambda x: ts.tanh(x) * x, [x], order=2)
    True
    """
    if order not in (1, 2):
        raise ArgumentError(f"gradcheck: expected order 1 or 2, got {order!r}; pass order=2 for second derivatives.")
    given = inputs if isinstance(inputs, dict | list | tuple) else (inputs,)
    checked = _checked_inputs(given)
    generator = np.random.default_rng(0) if generator is None else generator
    tolerance = _Tolerance(eps, atol, rtol)

    def call() -> Any:
        return f(**given) if isinstance(given, dict) else f(*given)

    cotangents = _check(call, checked, "derivative", tolerance, generator)
    if not cotangents:
        raise ArgumentError(
            "gradcheck: expected f to return a floating-point Tensor, or several, got none; return Tensors, as "
            "NumPy arrays and numbers have no gradient."
        )
    if order == 2:
        tensors = list(checked.values())

        def gradient() -> list[Tensor]:
            recording = mode.recording
            with enable_grad():
                outputs = _float_outputs(call())
            pulled = _pull_back(outputs, cotangents, tensors, differentiable=recording)
            return [pulled[tensor] for tensor in tensors if tensor in pulled]

        _check(gradient, checked, "second derivative", tolerance, generator)
    return True


class _Tolerance(NamedTuple):
    eps: float
    atol: float
    rtol: float

    def agree(self, analytic: float, numeric: float, noise: float) -> bool:
        return abs(analytic - numeric) <= self.atol + self.rtol * max(abs(analytic), abs(numeric)) + noise


class _Slope(NamedTuple):
    """A numeric derivative along a line, its rounding uncertainty, and the one-sided derivatives if they differ."""

    value: float
    noise: float
    sides: tuple[float, float] | None


# ------------------------------------------------------------------------------------------ inputs and outputs


def _checked_inputs(inputs: Tree) -> dict[str, Tensor]:
    """Return the Tensors to check by name: ``0``, ``'W'``, ``0['h'][1]``."""
    found: dict[str, Tensor] = {}
    for path, value in _named(inputs, ()):
        if not isinstance(value, Tensor):
            continue
        name = repr(path[0]) + "".join(f"[{key!r}]" for key in path[1:])
        _refuse_single(value, f"input {name}")
        if value.requires_grad and all(value is not other for other in found.values()):
            found[name] = value
    if not found:
        raise ArgumentError(
            "gradcheck: expected at least one float64 Tensor that requires grad among the inputs, got none; "
            "make it with ts.tensor(values, dtype='float64', requires_grad=True)."
        )
    return found


def _named(tree: Tree, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(tree, dict | list | tuple):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _named(item, (*path, key))
    else:
        yield path, tree


def _refuse_single(tensor: Tensor, what: str) -> None:
    if tensor.dtype == np.float32:
        raise DtypeError(
            f"gradcheck: expected float64, got {what} of shape {tensor.shape} float32, whose 7 digits are too few for "
            "differences; use float64 throughout, e.g. .astype('float64') or ts.set_default_dtype('float64')."
        )


def _float_outputs(result: Any) -> list[Tensor]:
    outputs = [leaf for leaf in flatten(result)[0] if isinstance(leaf, Tensor) and leaf.dtype.kind == "f"]
    for output in outputs:
        _refuse_single(output, "an output")
    return outputs


def _pull_back(
    outputs: list[Tensor], cotangents: list[np.ndarray], tensors: list[Tensor], *, differentiable: bool = False
) -> dict[Tensor, Tensor]:
    live = [(output, g) for output, g in zip(outputs, cotangents, strict=True) if output.requires_grad]
    return pull_back(
        [output for output, _ in live], [g for _, g in live], only=tensors, keep=True, differentiable=differentiable
    )


# --------------------------------------------------------------------------------------------------- the check


def _check(
    call: Callable[[], Any], inputs: dict[str, Tensor], what: str, tolerance: _Tolerance, generator: np.random.Generator
) -> list[np.ndarray]:
    """Check ``call()`` as a function of `inputs` and return the random cotangents used."""
    with enable_grad():
        outputs = _float_outputs(call())
    values = [output.numpy() for output in outputs]
    for position, value in enumerate(values):
        _refuse_not_finite(value, f"output {position} of {'f' if what == 'derivative' else 'its gradient'}")
    if [value.size for value in values] == [1]:
        cotangents = [np.ones(value.shape) for value in values]
    else:
        cotangents = [generator.uniform(0.5, 1.5, value.shape) for value in values]
        what += " of the randomly weighted outputs"
    scale = math.fsum(float(np.abs(g * value).sum()) for g, value in zip(cotangents, values, strict=True))

    def project() -> float:
        with no_grad():
            return math.fsum(
                float((g * output.numpy()).sum())
                for g, output in zip(cotangents, _float_outputs(call()), strict=True)
            )  # fmt: skip

    with no_grad():
        again = [output.numpy() for output in _float_outputs(call())]
    if len(again) != len(values) or not all(map(_same, values, again)):
        raise GradientError(
            "gradcheck: expected the same outputs for the same inputs, got different ones; if f draws random numbers "
            "(dropout), give it a generator seeded anew in each call, or switch it to .eval()."
        )
    tensors = list(inputs.values())
    first, second = (_pull_back(outputs, cotangents, tensors) for _ in range(2))
    for name, tensor in inputs.items():
        analytic = first[tensor].numpy() if tensor in first else np.zeros(tensor.shape)
        if tensor in second and not np.array_equal(analytic, second[tensor].numpy(), equal_nan=True):
            raise GradientError(
                f"gradcheck: expected the same {what} for input {name} from the same graph, got different bits in a "
                "second backward pass; a rule changes what it was given or draws random numbers."
            )
        _refuse_not_finite(analytic, f"the {what} for input {name}")
        _check_input(project, name, tensor, analytic, what, scale, tolerance, generator)
    return cotangents


def _refuse_not_finite(array: np.ndarray, what: str) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(bad[0].tolist())
        raise GradientError(
            f"gradcheck: expected finite values, got {what} = {array[index]} at index {index} (shape {array.shape}); "
            "move the inputs away from that point, or mask it with ts.where before the operation."
        )


def _check_input(
    project: Callable[[], float],
    name: str,
    tensor: Tensor,
    analytic: np.ndarray,
    what: str,
    scale: float,
    tolerance: _Tolerance,
    generator: np.random.Generator,
) -> None:
    """Check one input along random directions, and element by element if one of them disagrees."""
    unit = np.maximum(1.0, np.abs(tensor.numpy()))

    def compare(direction: np.ndarray) -> tuple[float, _Slope, bool]:
        expected = float((analytic * direction).sum())
        slope = _slope(lambda step: _moved(project, tensor, step * direction), expected, scale, tolerance)
        return expected, slope, slope.sides is None and tolerance.agree(expected, slope.value, slope.noise)

    suspects = []
    for _ in range(_DIRECTIONS if tensor.size else 0):
        suspect = compare(generator.standard_normal(tensor.shape) * unit)
        if not suspect[2]:
            suspects.append(suspect)
    if not suspects:
        return
    wrong: list[tuple[float, tuple[int, ...], float, float]] = []
    for index in np.ndindex(tensor.shape):
        direction = np.zeros(tensor.shape)
        direction[index] = unit[index]
        expected, slope, right = compare(direction)
        if math.isnan(slope.value):
            raise GradientError(
                f"gradcheck: expected f to be finite on both sides of the inputs, got NaN or infinity next to input "
                f"{name} at index {index} (x = {tensor.numpy()[index]:.6g}); move the inputs away from that edge."
            )
        if slope.sides is not None:
            left, after = (side / unit[index] for side in slope.sides)
            raise GradientError(
                f"gradcheck: expected a point where f is differentiable, got one where the {what} for input {name} at "
                f"index {index} jumps from {left:.6g} on the left to {after:.6g} on the right (x = "
                f"{tensor.numpy()[index]:.6g}, analytic {analytic[index]:.6g}): a kink such as |x| or relu at 0 or a "
                "tie of max, not an error of a rule; move the inputs away from it."
            )
        if not right:
            wrong.append((abs(expected - slope.value), index, expected / unit[index], slope.value / unit[index]))
    if wrong:
        _, index, found, numeric = max(wrong)
        raise GradientError(
            f"gradcheck: expected the {what} for input {name} at index {index} to be {numeric:.10g} (numeric), got "
            f"{found:.10g} (analytic); {len(wrong)} of {tensor.size} elements of shape {tensor.shape} are wrong. "
            "Check the gradient rule of the operation that this input goes into."
        )
    expected, slope, _ = suspects[0]
    raise GradientError(
        f"gradcheck: expected the {what} along a random direction of input {name} to be {slope.value:.10g} (numeric), "
        f"got {expected:.10g} (analytic), though each element by itself agrees; f is not differentiable here: "
        "move the inputs."
    )


def _moved(project: Callable[[], float], tensor: Tensor, step: np.ndarray) -> float:
    """Return the projection with `tensor` moved by `step`; the tensor is restored."""
    array, exposed = tensor._array, tensor._exposed
    try:
        try:
            tensor._array, tensor._exposed = np.asarray(array + step), False
            return project()
        finally:
            tensor._array, tensor._exposed = array, exposed
    finally:  # an interrupt can cut one block short, not both
        tensor._array, tensor._exposed = array, exposed


def _slope(line: Callable[[float], float], expected: float, scale: float, tolerance: _Tolerance) -> _Slope:
    """Return the derivative of `line` at 0; steps shrink until it agrees with `expected` or they run out."""
    centre = line(0.0)
    best = _Slope(math.nan, math.inf, None)
    smallest = math.inf
    before: tuple[float, float] | None = None
    for level in range(_LEVELS):
        step = tolerance.eps / _SHRINK**level
        right, left = (line(step) - centre) / step, (centre - line(-step)) / step
        if not (math.isfinite(left) and math.isfinite(right)):
            continue
        mean, gap = (left + right) / 2, right - left
        noise = _ROUNDING * scale / step
        if level > 1 and noise > 10 * (tolerance.atol + tolerance.rtol * abs(mean)):
            break
        if before is not None:
            # Where f is smooth, the difference of the two sides shrinks with the step; at a kink it stays; at a jump
            # slopes grow.
            visible = tolerance.atol + 10 * tolerance.rtol * max(abs(left), abs(right)) + 4 * noise
            kink = abs(gap) > visible and abs(gap) > abs(before[1]) / 2
            kink |= abs(mean) > visible and abs(mean) > 2 * abs(before[0]) > 0  # a jump
            value = mean + (mean - before[0]) / (_SHRINK**2 - 1)
            error = abs(value - mean)
            if error <= smallest or kink:
                smallest, best = error, _Slope(value, noise, (left, right) if kink else None)
            if not kink and tolerance.agree(expected, value, noise):
                return _Slope(value, noise, None)
        before = mean, gap
    return best


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two results are equal up to rounding, as a compiled and an eager loop are."""
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)
