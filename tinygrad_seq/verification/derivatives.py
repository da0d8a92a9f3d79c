"""Checks of derivatives: finite differences, forward mode, RTRL, second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor, pull_back
from ..autograd.transforms.forward_mode import hvp, jvp
from ..base.tree import Tree, flatten
from ..errors import ArgumentError
from ..rtrl import grad_rtrl
from .compare import DIFFERENCES, ROUNDING, Arrays, Finding, closeness
from .differences import slope
from .problem import Problem, named, weights_of
from .subject import FORWARD, Outputs
from .table import SkipError, check

# The number of elements of a leaf that are checked one by one to locate a wrong one.
_MOST_ELEMENTS = 64
# The step sizes of one-sided differences, and their precision relative to the gradient.
_SIDES, _KINK = (1e-5, 3e-6), DIFFERENCES / 5
_AT_A_KINK = ", the derivatives of both sides of a kink"
# Limits of the check of RTRL, whose cost grows with the square of the state.
_MOST_STEPS = 3
_MOST_STATE = 256


@check("gradients == finite differences")
def finite_differences(problem: Problem) -> Iterator[Finding]:
    """Compare the gradient of each parameter, input and state with finite differences."""
    starts = {"": problem}
    if problem.learns_its_start:
        starts["from the initial state: "] = problem.from_the_start()
    for prefix, start in starts.items():
        gradients = start.evaluate(compile=False, **problem.subject.whole_gradient()).gradients
        rng = np.random.default_rng(3)
        for name, gradient in gradients.items():
            found = [
                _along(start, name, gradient, rng.standard_normal(gradient.shape), prefix)
                for _ in range(1 if problem.short else 2)
            ]
            worst = max(found, key=lambda finding: finding.badness)
            kinked = any(finding.detail.endswith(_AT_A_KINK) for finding in found)
            look = kinked or (problem.locate and not worst.passed)
            yield _element(start, name, gradient, worst, prefix) if look else worst


def _along(problem: Problem, name: str, gradient: np.ndarray, direction: np.ndarray, prefix: str = "") -> Finding:
    """Compare the derivative along a direction of one leaf with its finite difference."""

    def line(step: float) -> np.ndarray:
        with problem.moved({name: step * direction}):
            return problem.loss(problem.outputs(compile=False, **problem.subject.whole_gradient()))

    numeric = slope(line, DIFFERENCES / 10)
    expected, found = float(numeric.value), float((gradient * direction).sum())
    scale = max(float(np.linalg.norm(gradient)), abs(expected), 1e-3)
    figure = abs(found - expected) / scale
    figure = figure if np.isfinite(figure) else np.inf
    if figure > DIFFERENCES and (sides := _sides_of_a_kink(line, scale)):
        least, most = sides
        inside = least - _KINK * scale <= found <= most + _KINK * scale
        detail = f"got {found:.10g}, expected a number from {least:.6g} to {most:.6g}{_AT_A_KINK}"
        return Finding(f"{prefix}gradient of {name}", 0.0 if inside else figure, DIFFERENCES, detail)
    detail = f"along a random direction got {found:.10g}, expected {expected:.10g}"
    if numeric.error / scale > DIFFERENCES:
        detail += f" ± {numeric.error:.1g}: a kink, a jump, or arithmetic less precise than float64"
    return Finding(f"{prefix}gradient of {name}", figure, DIFFERENCES, "" if figure <= DIFFERENCES else detail)


def _sides_of_a_kink(line: Callable[[float], np.ndarray], scale: float) -> tuple[float, float] | None:
    """Return the derivatives of the two sides, smaller first, if the line has a kink at 0 such as that of relu."""
    here, slack = line(0.0), _KINK * scale

    def side(h: float) -> float:
        return float((4 * line(h) - line(2 * h) - 3 * here) / (2 * h))

    (right, left), closer = ([side(step), side(-step)] for step in _SIDES)
    steady = max(abs(right - closer[0]), abs(left - closer[1])) < slack  # noise and jumps grow with smaller steps
    return (min(right, left), max(right, left)) if steady and abs(right - left) > 4 * slack else None


def _element(problem: Problem, name: str, gradient: np.ndarray, worst: Finding, prefix: str) -> Finding:
    """Return the finding of the element with the largest difference, or `worst` if all elements pass."""
    found = []
    for position in range(min(gradient.size, _MOST_ELEMENTS)):
        direction = np.zeros(gradient.shape)
        index = tuple(map(int, np.unravel_index(position, gradient.shape)))
        direction[index] = 1
        one = _along(problem, name, gradient, direction)
        detail = one.detail.replace("along a random direction ", "")
        found.append(one._replace(where=f"{prefix}gradient of {name}", detail=detail, place=index))
    element = max(found, key=lambda finding: finding.badness, default=worst)
    return worst if element.passed and not worst.detail.endswith(_AT_A_KINK) else element


@check("jvp == gradients")
def forward_mode(problem: Problem) -> Iterator[Finding]:
    """Compare the inner product of w and J v (`ts.jvp`) with that of J^T w (the gradients) and v."""
    for compile in (False,) if problem.short else (False, None):
        tangents, f, primals = _function(problem, compile)
        gradients = problem.evaluate(compile=compile, **problem.subject.whole_gradient()).gradients
        values, pushed = jvp(f, primals, tuple(Tensor(tangent) for tangent in tangents.values()))
        weights = list(weights_of({"outputs": values}).values())
        found = sum(float((w * j.numpy()).sum()) for w, j in zip(weights, pushed, strict=True))
        expected = sum(float((gradients[name] * tangent).sum()) for name, tangent in tangents.items())
        scale = max(1e-3, *[float(np.linalg.norm(gradients[name])) for name in tangents])
        figure = abs(found - expected) / scale
        detail = f"got {found:.10g}, expected {expected:.10g}"
        where = f"derivative along inputs and state{_path(compile)}"
        figure = figure if np.isfinite(figure) else np.inf
        yield Finding(where, figure, ROUNDING, "" if figure <= ROUNDING else detail)


def _path(compile: bool | None) -> str:
    return ", step by step" if compile is False else ""


def _function(problem: Problem, compile: bool | None) -> tuple[Arrays, Any, tuple[Tensor, ...]]:
    """Return tangents of the inputs and the state by name, the outputs as a function of both, and their values."""
    (xs, rebuild_xs), (state, rebuild_state) = flatten(problem.xs), flatten(problem.state)
    floats = [leaf for leaf in (*xs, *state) if leaf.dtype.kind == "f"]
    names = {id(leaf): name for name, leaf in problem.leaves.items()}
    if not floats:
        raise SkipError("neither inputs nor state are floating-point")
    rng = np.random.default_rng(5)

    def f(*given: Tensor) -> list[Tensor]:
        fresh = iter(given)
        new = [next(fresh) if leaf.dtype.kind == "f" else leaf for leaf in (*xs, *state)]
        run_xs, run_state = rebuild_xs(new[: len(xs)]), rebuild_state(new[len(xs) :])
        uncut = problem.subject.whole_gradient()
        outputs = problem.outputs(lambda *_: problem.subject.run(run_xs, run_state, **uncut), compile=compile)
        return [leaf for leaf in named(outputs).values() if leaf.dtype.kind == "f"]

    return {names[id(leaf)]: rng.standard_normal(leaf.shape) for leaf in floats}, f, tuple(floats)


@check("hvp == differenced gradients")
def second_derivatives(problem: Problem) -> Iterator[Finding]:
    """Compare Hessian-vector products of the weighting, in a direction over all leaves, with differenced gradients."""
    rng = np.random.default_rng(9)
    leaves = problem.leaves
    direction = {name: 0.3 * rng.standard_normal(leaf.shape) for name, leaf in leaves.items()}
    sizes = np.cumsum([leaf.size for leaf in leaves.values()])[:-1]

    def line(step: float) -> np.ndarray:
        with problem.moved({name: step * d for name, d in direction.items()}):
            gradients = problem.evaluate(compile=False, **problem.subject.whole_gradient()).gradients
        return np.concatenate([gradients[name].ravel() for name in leaves])

    numeric = slope(line, DIFFERENCES / 10)
    wanted = (
        [np.full(sum(leaf.size for leaf in leaves.values()), np.nan)] if numeric.value.ndim == 0 else [numeric.value]
    )
    expected = dict(zip(leaves, np.split(wanted[0], sizes), strict=True))
    for compile in (False,) if problem.short else (False, None):
        products = _products(problem, direction, compile)
        for name, leaf in leaves.items():
            want = expected[name].reshape(leaf.shape)
            yield closeness(f"Hessian product of {name}{_path(compile)}", products[name], want, DIFFERENCES)
    yield from _public_hvp(problem, direction)


def _products(problem: Problem, direction: Arrays, compile: bool | None) -> Arrays:
    """Return Hessian-vector products by name: the gradients of the inner product of gradients and direction."""
    leaves = problem.leaves
    outputs = problem.outputs(compile=compile, **problem.subject.whole_gradient())
    first = problem.pull(outputs, differentiable=True)
    reached = [(first[leaf], direction[name]) for name, leaf in leaves.items() if leaf in first]
    reached = [(gradient, d) for gradient, d in reached if gradient.requires_grad]
    second = pull_back([gradient for gradient, _ in reached], [d for _, d in reached], only=[*leaves.values()])
    return {
        name: second[leaf].numpy() if leaf in second else np.zeros(leaf.shape, leaf.dtype)
        for name, leaf in leaves.items()
    }


def _public_hvp(problem: Problem, direction: Arrays) -> Iterator[Finding]:
    """Compare `ts.hvp` for inputs and state with double backward."""
    try:
        tangents, f, primals = _function(problem, False)
    except SkipError:
        return
    zero = {name: np.zeros(d.shape) for name, d in direction.items()}
    want = _products(problem, zero | tangents, False)

    def loss(*given: Tensor) -> Tensor:
        outputs = f(*given)
        weights = weights_of({"outputs": outputs}).values()
        return sum(((y * w).sum() for y, w in zip(outputs, weights, strict=True)), Tensor(np.zeros(())))

    got = hvp(loss, primals, tuple(Tensor(tangent) for tangent in tangents.values()))
    for name, product in zip(tangents, got, strict=True):
        yield closeness(f"hvp of {name}", product.numpy(), want[name], ROUNDING)


@check("real-time recurrent learning == backpropagation", FORWARD)
def online(problem: Problem) -> Iterator[Finding]:
    """Compare gradients of real-time recurrent learning (`ts.grad_rtrl`) with backpropagation through time."""
    small = problem.at(min(problem.T, _MOST_STEPS), problem.N if problem.subject.row_axis is None else 1)
    step, form = small.subject.step()
    state = form(small.state)
    values = sum(leaf.size for leaf in flatten(state)[0])
    if values > _MOST_STATE:
        raise SkipError(f"the state has {values} values, more than {_MOST_STATE}")

    def only_ys(xs: Tree, first: Tree) -> Outputs:
        options = small.subject.whole_gradient()
        return {"ys": small.subject.run(xs, first, evaluate=True, **options)["ys"]}

    want = small.evaluate(only_ys, compile=False)
    weights = weights_of({"ys": small.outputs(only_ys, compile=False)["ys"]})

    def loss(y: Tree, weight: dict[str, Tensor]) -> Tensor:
        leaves = named({"ys": y})
        return sum(((leaves[name] * w).sum() for name, w in weight.items()), Tensor(np.zeros(())))

    parameters = {name: leaf for name, leaf in small.leaves.items() if not name.startswith("xs")}
    if not parameters:
        raise SkipError("neither parameters nor state are floating-point")
    if not weights:
        raise SkipError("no output is floating-point")
    try:
        _, got = grad_rtrl(step, loss, state, small.xs, weights, parameters=parameters)
    except ArgumentError as error:
        raise SkipError(str(error)) from error
    for name, gradient in got.items():
        yield closeness(f"gradient of {name}", gradient.numpy(), want.gradients[name], ROUNDING)
