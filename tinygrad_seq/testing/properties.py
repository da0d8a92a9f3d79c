"""What must hold of a program: each check runs it in two ways and compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..autograd.creation import asarray
from ..autograd.gradcheck import gradcheck
from ..autograd.tensor import Tensor
from ..base import settings
from ..base.tree import Tree, flatten, map_leaves
from ..errors import CompileError, GradientError
from ..functional import stack
from ..kernels import pool
from ..scan import scan
from . import reference
from .random_program import Graph, Step, leaves_of

# Largest difference of two results, relative to the largest element: far above rounding, far below a wrong rule.
TOLERANCE = {"float64": 1e-8, "float32": 2e-3}
# A program whose steps are disturbed by so much must give nearly the same, or its results say nothing.
DISTURBANCE = {"float64": 1e-12, "float32": 1e-6}


class Fault(NamedTuple):
    """A check that failed: its name, and what was expected and found.

    Parameters
    ----------
    check : str
        The name of the check.
    text : str
        What was expected and found.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.testing.Fault("gradient", "expected 1.0, found 2.0").check
    'gradient'
    """

    check: str
    text: str


class Outcome(NamedTuple):
    """What became of a program.

    Parameters
    ----------
    faults : list of Fault
        The checks that failed.
    checks : int
        How many were made.
    refused : bool, default False
        Whether the compiler refused the step.
    unstable : bool, default False
        Whether a difference was put down to the program: rounding decides its result.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.testing.Outcome(faults=[], checks=3).refused
    False
    """

    faults: list[Fault]
    checks: int
    refused: bool = False
    unstable: bool = False


class Result(NamedTuple):
    """The results of a program by name, whether each requires grad, and the gradient of each leaf."""

    values: dict[str, np.ndarray]
    flags: dict[str, bool]
    gradients: dict[str, np.ndarray]


def differences(what: str, got: dict[str, np.ndarray], want: dict[str, np.ndarray], tolerance: float) -> list[Fault]:
    """Return a fault for each array that differs by more than `tolerance`; integers and masks may not differ at all."""
    faults = []
    for name, b in want.items():
        a = got[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            faults.append(Fault(what, f"{name}: {a.shape} {a.dtype}, right is {b.shape} {b.dtype}"))
            continue
        if b.dtype.kind == "f":
            allowed = tolerance * max(float(np.abs(b).max(initial=0.0)), 1e-2)
            bad = ~((np.abs(a - b) <= allowed) | (np.isnan(a) & np.isnan(b)) | (a == b))
        else:
            bad = a != b
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            faults.append(Fault(what, f"{name}{list(at)}: {a[at]}, right is {b[at]} ({bad.sum()} of {bad.size})"))
    return faults


# --------------------------------------------------------------------------------------------------------------- graphs


def check_graph(graph: Graph, order: int = 2) -> Outcome:
    """Check values against NumPy, and first and second derivatives against finite differences.

    Parameters
    ----------
    graph : Graph
        What `graphs` draws.
    order : int, default 2
        1 for first derivatives only.

    Returns
    -------
    Outcome
        The faults, and how many checks were made.

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
    """Return the names that the text of a program defines."""
    scope: dict[str, Any] = {}
    exec(compile(definitions, "<program>", "exec"), scope)
    return scope


# ---------------------------------------------------------------------------------------------------------------- scans


class Scan:
    """A drawn step, ready to run in each way."""

    def __init__(self, step: Step, wrap: Callable[[Any], Any] | None = None) -> None:
        self.drawn = step
        self.scope = execute(step.definitions("disturb" if wrap else ""))
        self.scope["disturb"] = wrap
        self.leaves = [leaf.value.name for leaf in step.leaves if leaf.grad]
        self.floats = {leaf.value.dtype for leaf in step.leaves if leaf.value.kind == "f"}

    def run(self, compile: bool | None) -> tuple[Tree, Tree]:
        """Return ``(carry, ys)`` by `scan`, or by a plain loop if `compile` is None."""
        if compile is None:
            return self.scope["run"](plain_loop)  # type: ignore[no-any-return]
        return self.scope["run"](scan, compile=compile)  # type: ignore[no-any-return]

    def result(self, compile: bool | None) -> Result:
        """Return values, flags and gradients of one way."""
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
        """Return the Hessian of the loss times a random vector, by leaf."""
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
    remember: Any = None,  # noqa: ARG001 (it changes no result)
) -> tuple[Tree, Tree]:
    """Return what a scan means, computed without one; on ndarrays too."""
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
    """Check that a scan is the same compiled, step by step, as a plain loop and on NumPy.

    Compared are values, the gradients of all arrays, which results require grad, second derivatives, and the bits that
    one thread and two give.

    Parameters
    ----------
    step : Step
        What `steps` draws.
    second : bool, default True
        Whether to compare second derivatives, for which the steps run one by one.

    Returns
    -------
    Outcome
        The faults, and how many checks were made.

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
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a fault of the compiled scan)
        return Outcome([*faults, Fault("error", f"{type(error).__name__}: {str(error)[:300]}")], checks + 1)
    numeric += differences("values", got.values, want.values, tolerance)
    numeric += differences("gradients", got.gradients, want.gradients, tolerance)
    faults += _flags("flags", got.flags, want.flags)
    with _threads():
        more = ways.result(True)
    faults += differences("threads", more.values, got.values, 0.0)
    faults += differences("threads", more.gradients, got.gradients, 0.0)
    checks += 4
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
    return [Fault(what, f"requires_grad of {name} is {got[name]}, right is {want[name]}") for name in wrong]


def _numpy(step: Step, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the values that NumPy gives, by the names and in the dtypes of `like`."""
    with np.errstate(all="ignore"):
        found = flatten(reference.execute(step.definitions())["run"](plain_loop))[0]
    return {name: np.asarray(y, a.dtype) for (name, a), y in zip(like.items(), found, strict=True)}


def _stable(step: Step, faults: list[Fault], want: Result, tolerance: float) -> list[Fault]:
    """Return numeric faults; none if rounding alone could make the difference."""
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


@contextmanager
def _threads(count: int = 2) -> Iterator[None]:
    """Run on several threads, however little there is to do."""
    before, least = settings.get_num_threads(), pool.SECONDS_PER_THREAD
    settings.set_num_threads(count)
    pool.SECONDS_PER_THREAD = 1e-12
    try:
        yield
    finally:
        settings.set_num_threads(before)
        pool.SECONDS_PER_THREAD = least


def kinds(faults: Sequence[Fault]) -> str:
    """Return the names of the checks that failed."""
    return ", ".join(dict.fromkeys(fault.check for fault in faults))
