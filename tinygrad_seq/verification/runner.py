"""`verify`: run all checks on one subject, and find the smallest failing case."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..base import settings
from ..base.modes import mode
from ..base.tree import Tree, describe
from ..errors import ArgumentError, ShapeError
from ..nn.checks import check_sizes, check_switches
from . import batch, derivatives, paths, saving, through_time  # noqa: F401 (these register their checks)
from .certificate import Certificate, Check
from .compare import Finding, place_of
from .problem import Problem, sizes_of
from .subject import LayerSubject, Subject, subject_of
from .table import TABLE, Row, SkipError

# The maximum number of smaller cases to try for a failed check.
_MOST_CASES = 12


def verify(
    subject: Any,
    init: Tree = None,
    xs: Tree = None,
    *,
    parameters: Tree = None,
    batch_axis: int | None = None,
    T: int | None = None,
    N: int | None = None,
    level: Literal["short", "full"] = "full",
    compile: bool = True,
    checks: Iterable[str] | None = None,
    make: Callable[[], Any] | None = None,
    seed: int = 0,
) -> Certificate:
    """Verify the values and gradients of a cell, layer, step or module.

    The checks compare results in float64 that should be equal: gradients with finite differences, compiled with
    step-by-step execution, the whole sequence with chunks and a stream, a batch element with the same element alone,
    padded with unpadded, backwards with forwards on reversed time, truncated with detached, forward mode and real-time
    recurrent learning with backpropagation, Hessian-vector products with differenced gradients, several threads with
    one, float32 with float64, loaded with saved. Extreme inputs must give finite numbers.

    All checks run on a copy (the Tensors of a step are restored). Parameters are changed slightly, because zeros and
    ties, where training often starts, hide many faults. Dropout stays enabled where both sides draw the same masks, and
    is disabled elsewhere.

    Parameters
    ----------
    subject : Cell, Module or callable
        A `Cell`; `Recurrent`, `RNN`, `GRU` or `LSTM` with any options; a function ``step(carry, x) -> (carry, y)`` as
        for `scan`; or a module whose ``forward(xs)`` maps sequences to outputs.
    init : pytree, optional
        The state to start from. Required for a step; for cells and layers, by default a state reached in two steps.
    xs : pytree, optional
        The inputs: an array (T, N, ...), also with `batch_first`, or a tree of such arrays, floating-point or integer.
        By default random numbers, for cells and layers that have an `input_size`.
    parameters : pytree of Tensor, optional
        For a step: the Tensors that it uses; by default those that one call reaches.
    batch_axis : int, optional
        For a step (1) or a module: the batch axis of `xs`, if batch elements are independent.
    T : int, optional
        The sequence length; by default 4, or that of `xs`.
    N : int, optional
        The batch size; by default 2, or that of `xs`.
    level : str, default "full"
        ``"short"`` runs step by step, except for one comparison with the compiled path, in one or two seconds.
        ``"full"`` runs every check on the compiled path too, with large batches on several threads, in about ten
        seconds.
    compile : bool, default True
        Whether the compiler may be used.
    checks : iterable of str, optional
        The names of the checks to run; by default all.
    make : callable, optional
        Constructs the cell, layer or module. The saved state is then loaded into a new object, which detects random
        values that ``__init__`` draws and that are not saved.
    seed : int, default 0
        The seed of the data and of random masks.

    Returns
    -------
    Certificate
        The results; `print` it, or call `raise_on_failure`.

    Raises
    ------
    ArgumentError
        If the subject cannot be run, or an argument is outside its range. A single check that cannot run is reported as
        skipped, with the reason.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> certificate = ts.verify(ts.nn.GRUCell(2, 3), level="short", compile=False)
    >>> certificate.passed
    True

    A cell that cuts off a gradient:

    >>> class Cut(ts.nn.Cell):
    ...     input_size, state_shape = 2, (2,)
    ...
    ...     def forward(self, x, h):
    ...         h = ts.tanh(x + h.numpy())
    ...         return h, h
    >>> certificate = ts.verify(Cut(), level="short", compile=False)
    >>> certificate["gradients == finite differences"].smallest
    'T=1, N=1: gradient of state at index (0, 0): got 0, expected -0.2169979456'
    """
    _check_arguments(T, N, level, compile, checks)
    before = settings.generator()
    try:
        one = subject_of(subject, init, xs, parameters, batch_axis)
        found = (4, 2) if xs is None else sizes_of(xs, one.row_axis)
        T, N = (size if asked is None else asked for asked, size in zip((T, N), found, strict=True))
        with one.as_dtype(np.float64, _Mover(seed)):
            compiling = compile and mode.compiling and not mode.anomaly
            problem = _prepare(one, T, N, level == "short", compiling, seed, xs, init, make)
            rows = [row for row in TABLE if (row.short or level == "full") and (checks is None or row.name in checks)]
            results = tuple(_with_smallest(row, problem, _run(row, problem)) for row in rows)
    finally:
        settings._generator = before
    return Certificate(one.name, level, problem.T, problem.N, seed, results)


def _check_arguments(T: Any, N: Any, level: Any, compile: Any, checks: Any) -> None:
    check_sizes("verify", **{name: size for name, size in (("T", T), ("N", N)) if size is not None})
    check_switches("verify", compile=compile)
    if level not in ("short", "full"):
        raise ArgumentError(f"verify: expected level 'short' or 'full', got {level!r}; correct it.")
    names = [row.name for row in TABLE]
    for name in checks or ():
        if name not in names:
            raise ArgumentError(f"verify: expected checks among {names}, got {name!r}; correct the name.")


class _Mover:
    """Changes parameters by up to a fifth; signs stay, and zeros become small numbers."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 2])

    def __call__(self, array: np.ndarray) -> np.ndarray:
        moves = self._rng.uniform(-1, 1, array.shape)
        return np.where(array == 0, 0.1 * moves, array * (1 + 0.2 * moves))


def _prepare(
    subject: Subject, T: int, N: int, short: bool, compile: bool, seed: int, xs: Tree, init: Tree, make: Any
) -> Problem:
    """Return the problem of a subject, after a trial run."""
    try:
        problem = Problem(subject, T, N, short, compile, seed, xs, init, make=make)
        problem.evaluate(compile=False)
    except ArgumentError as error:
        if str(error).startswith("verify:"):
            raise
        raise _cannot_run(subject, xs, init, error) from error
    except Exception as error:
        raise _cannot_run(subject, xs, init, error) from error
    if isinstance(subject, LayerSubject) and N > 1 and subject.holds_rows(N):
        try:
            problem.at(T, 1).evaluate(compile=False)
        except ShapeError:  # it holds arrays with one row per batch element, so no check may change the batch size
            subject.row_axis = None
    return problem


def _cannot_run(subject: Subject, xs: Tree, init: Tree, error: Exception) -> ArgumentError:
    given = "random inputs" if xs is None else f"xs {describe(xs)}"
    state = "" if init is None else f" and init {describe(init)}"
    return ArgumentError(
        f"verify: expected {subject.name} to run in float64 on {given}{state}, got {type(error).__name__}: "
        f"{str(error).rstrip('.')}; correct it, or pass xs= and init= that it accepts."
    )


# ------------------------------------------------------------------------------------------------- one check


def _run(row: Row, problem: Problem) -> Check:
    """Return the result of one check: its worst finding."""
    for need in row.needs:
        if reason := problem.lacks(need):
            return Check(row.name, "skipped", detail=f"cannot run: {reason}")
    try:
        findings = [*row.function(problem)]
    except SkipError as reason:
        return Check(row.name, "skipped", detail=f"cannot run: {reason}")
    except Exception as error:  # noqa: BLE001 (the user's code may raise anything; the error is the finding)
        return _raised(row, error)
    worst = max(findings, key=lambda finding: finding.badness, default=Finding("", 0.0, 0.0))
    status: Literal["passed", "failed"] = "passed" if worst.passed else "failed"
    where = place_of(worst, problem.subject.axes) if worst.figure else ""
    return Check(row.name, status, worst.figure, worst.tolerance, where, worst.detail)


def _with_smallest(row: Row, problem: Problem, check: Check) -> Check:
    """Return a failed check with the smallest sizes for which it fails."""
    if check.status != "failed":
        return check
    sizes = (problem.T, problem.N)
    T, N = next((size for size in _smaller(problem) if _at(row, problem, *size).status == "failed"), sizes)
    found = _at(row, replace(problem, locate=True), T, N)
    smallest = f"T={T}, N={N}: " + ": ".join(text for text in (found.where, found.detail) if text)
    return Check(check.name, check.status, check.worst, check.tolerance, check.where, check.detail, smallest)


def _at(row: Row, problem: Problem, T: int, N: int) -> Check:
    """Return the result of one check at other sizes, at which the subject may not run at all."""
    try:
        case = problem.at(T, N)
    except Exception as error:  # noqa: BLE001 (as above)
        return _raised(row, error)
    return _run(row, case)


def _raised(row: Row, error: Exception) -> Check:
    return Check(row.name, "failed", detail=f"raised {type(error).__name__}: {error}")


def _smaller(problem: Problem) -> list[tuple[int, int]]:
    """Return smaller sizes (T, N), smallest first."""
    times = range(1, problem.T + 1) if problem.cuts_time else [problem.T]
    rows = range(1, problem.N + 1) if problem.subject.row_axis is not None else [problem.N]
    sizes = sorted(((t, n) for t in times for n in rows), key=lambda size: (size[0] * size[1], size))
    return [size for size in sizes if size != (problem.T, problem.N)][:_MOST_CASES]
