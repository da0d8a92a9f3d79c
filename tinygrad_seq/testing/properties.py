"""Properties of every program: each check runs a program in two ways and compares the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd.creation import asarray
from ..autograd.gradcheck import gradcheck
from ..autograd.tensor import Tensor
from ..base.tree import Tree, flatten, map_leaves
from ..errors import CompileError, GradientError
from ..functional import stack
from ..scan import scan
from ..verification.paths import SHARES, on_threads
from . import reference
from .random_program import Graph, Step, leaves_of

# The largest difference allowed, relative to the largest element: far above rounding, far below the effect of a fault.
TOLERANCE = {"float64": 1e-8, "float32": 2e-3}
# Relative disturbances of all values that must not change the results of a program; else it is unstable.
DISTURBANCE = {"float64": 1e-12, "float32": 1e-6}


class Fault(NamedTuple):
    """A failed check.

    Attributes
    ----------
    check : str
        The name of the check.
    text : str
        The result found and the result expected.

    Examples
    --------
    >>> from tinygrad_seq.testing import Fault
    >>> Fault("values", "output 0[2]: 1.5, expected 1.25 (1 of 4)").check
    'values'
    """

    check: str
    text: str


class Outcome(NamedTuple):
    """The outcome of checking a program.

    Parameters
    ----------
    faults : list of Fault
        The checks that failed.
    checks : int
        The number of checks.
    refused : bool
        Whether the compiler rejected the step.
    unstable : bool
        Whether rounding errors alone explain a difference, so that it is not a fault.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing import check_graph
    >>> from tinygrad_seq.testing.generate import draw_graph
    >>> outcome = check_graph(draw_graph(Random(3)), order=1)
    >>> outcome.faults, outcome.checks
    ([], 2)
    """

    faults: list[Fault]
    checks: int
    refused: bool = False
    unstable: bool = False


class Result(NamedTuple):
    """The results of a program by name: values, `requires_grad` flags, and gradients of the leaves."""

    values: dict[str, np.ndarray]
    flags: dict[str, bool]
    gradients: dict[str, np.ndarray]


def differences(what: str, got: dict[str, np.ndarray], want: dict[str, np.ndarray], tolerance: float) -> list[Fault]:
    """Return one fault per array that differs by more than `tolerance`; integers and masks must be equal."""
    faults = []
    for name, b in want.items():
        a = got[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            faults.append(Fault(what, f"{name}: {a.shape} {a.dtype}, expected {b.shape} {b.dtype}"))
            continue
        if b.dtype.kind == "f":
            allowed = tolerance * max(float(np.abs(b).max(initial=0.0)), 1e-2)
            bad = ~((np.abs(a - b) <= allowed) | (np.isnan(a) & np.isnan(b)) | (a == b))
        else:
            bad = a != b
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            faults.append(Fault(what, f"{name}{list(at)}: {a[at]}, expected {b[at]} ({bad.sum()} of {bad.size})"))
    return faults


# --------------------------------------------------------------------------------------------------------------- graphs


def check_graph(graph: Graph, order: int = 2) -> Outcome:
    """Compare values with NumPy, and first and second derivatives with finite differences.

    Parameters
    ----------
    graph : Graph
        A graph from `graphs`.
    order : int, default 2
        1 checks first derivatives only.

    Returns
    -------
    Outcome
        The faults and the number of checks.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing.generate import draw_graph
    >>> check_graph(draw_graph(Random(3)))
    Outcome(faults=[], checks=3, refused=False, unstable=False)
    """
    scope = execute(graph.definitions())
    plain = reference.execute(graph.definitions())
    names = [leaf.value.name for leaf in graph.leaves]
    results = scope["f"](*[scope[name] for name in names])
    expected = plain["f"](*[plain[name] for name in names])
    got, want = ({f"output {i}": _array(y) for i, y in enumerate(ys)} for ys in (results, expected))
    faults = differences("numpy", got, want, TOLERANCE["float64"])
    leaves = [scope[name] for name in names]
    if not any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves):
        return Outcome(faults, 1)
    for level in range(1, order + 1):
        try:
            gradcheck(lambda *_: scope["f"](*leaves), leaves, order=level)
        except GradientError as error:
            if "not differentiable" in str(error):
                return Outcome(faults, level, unstable=True)
            return Outcome([*faults, Fault(f"finite differences, order {level}", str(error))], level + 1)
    return Outcome(faults, 1 + order)


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value)


def execute(definitions: str) -> dict[str, Any]:
    """Run the text of a program and return the names that it defines."""
    scope: dict[str, Any] = {}
    exec(compile(definitions, "<program>", "exec"), scope)
    return scope


# ---------------------------------------------------------------------------------------------------------------- scans


class Scan:
    """A random step, ready to run compiled, step by step, or as a plain loop."""

    def __init__(self, step: Step, wrap: Callable[[Any], Any] | None = None) -> None:
        self.drawn = step
        self.scope = execute(step.definitions("disturb" if wrap else ""))
        self.scope["disturb"] = wrap
        self.leaves = [leaf.value.name for leaf in step.leaves if leaf.grad]
        self.floats = {leaf.value.dtype for leaf in step.leaves if leaf.value.kind == "f"}

    def run(self, compile: bool | None) -> tuple[Tree, Tree]:
        """Return ``(carry, ys)`` of `scan`, or of a plain loop if `compile` is None."""
        if compile is None:
            return self.scope["run"](plain_loop)  # type: ignore[no-any-return]
        return self.scope["run"](scan, compile=compile)  # type: ignore[no-any-return]

    def result(self, compile: bool | None) -> Result:
        """Return the values, flags and gradients of one run; `compile` as in `run`."""
        for name in self.leaves:
            self.scope[name].grad = None
        carry, ys = self.run(compile)
        outputs = dict(zip(self.names(), map(asarray, flatten((carry, ys))[0]), strict=True))
        total = self.scope["loss"](carry, ys)
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()
        gradients = {name: self.gradient(name) for name in self.leaves}
        values = {name: np.asarray(output.numpy()) for name, output in outputs.items()}
        return Result(values, {name: output.requires_grad for name, output in outputs.items()}, gradients)

    def names(self) -> list[str]:
        carry, ys = leaves_of(self.drawn.carry), leaves_of(self.drawn.ys)
        return [f"carry {name}" for name in carry] + [f"output {i} ({name})" for i, name in enumerate(ys)]

    def gradient(self, name: str) -> np.ndarray:
        leaf = self.scope[name]
        return np.zeros(leaf.shape, leaf.dtype) if leaf.grad is None else np.asarray(leaf.grad.numpy())

    def second(self, compile: bool) -> dict[str, np.ndarray]:
        """Return the product of the Hessian of the loss and a random vector, by leaf."""
        leaves = [self.scope[name] for name in self.leaves]
        for again in (False, True):
            total = self.scope["directional"](leaves) if again else self.scope["loss"](*self.run(compile))
            for leaf in leaves:
                leaf.grad = None
            if isinstance(total, Tensor) and total.requires_grad:
                total.backward(create_graph=not again)
        return {name: self.gradient(name) for name in self.leaves}


def plain_loop(
    step: Callable[[Tree, Tree], tuple[Tree, Tree]],
    carry: Tree,
    xs: Tree,
    *,
    length: int | None = None,
    reverse: bool = False,
    window: int | None = None,
    remember: Any = None,  # noqa: ARG001 (it does not change results)
) -> tuple[Tree, Tree]:
    """Compute a scan as a plain Python loop, on Tensors or ndarrays."""
    columns, rebuild = flatten(xs)
    T = columns[0].shape[0] if columns else length or 0
    found: list[Any] = [None] * T
    for count, t in enumerate(reversed(range(T)) if reverse else range(T)):
        if window is not None and count and count % window == 0:
            carry = map_leaves(lambda part: part.detach() if isinstance(part, Tensor) else part, carry)
        carry, found[t] = step(carry, rebuild([column[t] for column in columns]))
    if not found:
        return carry, None
    plain = not any(isinstance(leaf, Tensor) for leaf in flatten((carry, found))[0])
    stacked = [
        np.stack(parts) if plain else stack([asarray(part) for part in parts])
        for parts in zip(*[flatten(y)[0] for y in found], strict=True)
    ]
    return carry, flatten(found[0])[1](stacked)


def check_step(step: Step, second: bool = True) -> Outcome:
    """Compare a scan compiled, step by step, as a plain loop and in NumPy.

    Values, the gradients of all arrays, `requires_grad` flags and second derivatives must agree, and one thread and two
    threads must give the same bits.

    Parameters
    ----------
    step : Step
        A scan from `steps`.
    second : bool, default True
        Whether to compare second derivatives, for which the scan runs step by step.

    Returns
    -------
    Outcome
        The faults and the number of checks.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing.generate import draw_step
    >>> check_step(draw_step(Random(5), largest=3)).faults
    []
    """
    ways = Scan(step)
    dtype = "float32" if "float32" in ways.floats else "float64"
    tolerance = TOLERANCE[dtype]
    want = ways.result(False)
    faults: list[Fault] = []
    numeric: list[Fault] = []
    checks = 0
    if step.T:
        plain = ways.result(None)
        numeric += differences("eager values", want.values, plain.values, tolerance)
        numeric += differences("eager gradients", want.gradients, plain.gradients, tolerance)
        faults += _flags("eager flags", want.flags, plain.flags)
        numeric += differences("numpy", want.values, _numpy(step, want.values), max(tolerance, 1e-7))
        checks += 4
    try:
        got = ways.result(True)
    except CompileError:
        return Outcome(faults + _stable(step, numeric, want, tolerance), checks, refused=True)
    except Exception as error:  # noqa: BLE001 (any exception is a fault of the compiled scan)
        return Outcome([*faults, Fault("error", f"{type(error).__name__}: {str(error)[:300]}")], checks + 1)
    numeric += differences("values", got.values, want.values, tolerance)
    numeric += differences("gradients", got.gradients, want.gradients, tolerance)
    faults += _flags("flags", got.flags, want.flags)
    for share in SHARES:
        with on_threads(2, share):
            more = ways.result(True)
        faults += differences("threads", more.values, got.values, 0.0)
        faults += differences("threads", more.gradients, got.gradients, 0.0)
    checks += 6
    if second and 0 < step.T < 10 and any(want.flags.values()):
        try:
            numeric += differences("second derivatives", ways.second(True), ways.second(False), 10 * tolerance)
        except Exception as error:  # noqa: BLE001
            faults.append(Fault("error of second derivatives", f"{type(error).__name__}: {str(error)[:300]}"))
        checks += 1
    stable = _stable(step, numeric, want, tolerance)
    return Outcome(faults + stable, checks, unstable=bool(numeric) and not stable)


def _flags(what: str, got: dict[str, bool], want: dict[str, bool]) -> list[Fault]:
    wrong = [name for name in want if got[name] != want[name]]
    return [Fault(what, f"requires_grad of {name} is {got[name]}, expected {want[name]}") for name in wrong]


def _numpy(step: Step, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the values computed by NumPy, with the names and dtypes of `like`."""
    with np.errstate(all="ignore"):
        found = flatten(reference.execute(step.definitions())["run"](plain_loop))[0]
    return {name: np.asarray(y, a.dtype) for (name, a), y in zip(like.items(), found, strict=True)}


def _stable(step: Step, faults: list[Fault], want: Result, tolerance: float) -> list[Fault]:
    """Return numeric faults, or none if rounding errors alone could cause the difference."""
    if not faults:
        return []
    for seed in range(4):
        rng = np.random.default_rng(seed)

        def disturb(x: Any) -> Any:
            if np.dtype(x.dtype).kind != "f":
                return x
            return x * (1 + DISTURBANCE[str(x.dtype)] * rng.choice([-1.0, 1.0], x.shape)).astype(x.dtype)  # noqa: B023

        other = Scan(step, disturb).result(False)
        if differences("", other.values, want.values, tolerance) or differences(
            "", other.gradients, want.gradients, tolerance
        ):
            return []
    return faults


def kinds(faults: Sequence[Fault]) -> str:
    """Return the names of the checks that failed."""
    return ", ".join(dict.fromkeys(fault.check for fault in faults))
