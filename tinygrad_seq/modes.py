"""What a thread's operations do besides computing: record for a gradient, look for the first NaN, compile scans."""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .errors import AnomalyError

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = str(Path(__file__).parent) + os.sep


class Mode(threading.local):
    """The switches of one thread."""

    recording = True
    anomaly = False
    compiling = True


mode = Mode()


def _quiet_numpy() -> tuple[contextvars.ContextVar[Any], Any]:
    """Return the context variable in which NumPy keeps its error handling, and its value when all is ignored."""
    context = contextvars.Context()
    context.run(np.errstate(all="ignore").__enter__)
    ((variable, value),) = context.items()
    return variable, value


# Operations follow IEEE 754 without warnings: log(0) is -inf. Setting NumPy's variable directly takes 0.16 us for an
# operation, np.errstate 1.0 us (an exp of 8 x 16 takes 0.4).
error_handling, QUIET = _quiet_numpy()


def ieee(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` run without NumPy's floating-point warnings."""

    @functools.wraps(function)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
        token = error_handling.set(QUIET)
        try:
            return function(*args, **kwargs)
        finally:
            error_handling.reset(token)

    return quiet


class Switch:
    """Sets one switch of this thread inside a ``with`` block, or while a function it decorates runs."""

    __slots__ = ("_before", "_name", "_value")

    def __init__(self, name: str, value: bool) -> None:
        self._name, self._value = name, value
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(getattr(mode, self._name))
        setattr(mode, self._name, self._value)

    def __exit__(self, *error: object) -> None:
        setattr(mode, self._name, self._before.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def switched(*args: P.args, **kwargs: P.kwargs) -> R:
            with Switch(self._name, self._value):
                return function(*args, **kwargs)

        return switched


def no_grad() -> Switch:
    """Return a context (or decorator) in which this thread's operations are not recorded.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([1.0, 2.0], requires_grad=True)
    >>> with ts.no_grad():
    ...     print((x * 2).requires_grad)
    False
    """
    return Switch("recording", False)


def enable_grad() -> Switch:
    """Return a context (or decorator) in which this thread's operations are recorded, inside a `no_grad` too."""
    return Switch("recording", True)


def set_grad_enabled(enabled: bool) -> Switch:
    """Return a context (or decorator) in which this thread's operations are recorded if `enabled`.

    Unlike PyTorch's it changes nothing by itself, only inside its `with` block.
    """
    return Switch("recording", bool(enabled))


def is_grad_enabled() -> bool:
    """Return whether this thread's operations are recorded."""
    return mode.recording


def disable_compile() -> Switch:
    """Return a context (or decorator) in which this thread's scans run step by step, as with ``compile=False``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> layer, xs = ts.nn.GRU(3, 4), ts.randn(5, 2, 3)
    >>> with ts.disable_compile():
    ...     ys, _ = layer(xs)
    >>> ys.shape
    (5, 2, 4)
    """
    return Switch("compiling", False)


def detect_anomaly() -> Switch:
    """Return a context in which the first NaN or infinity raises, naming the operation and the line that made it.

    Forward results are checked as they are made and gradients as they are passed on; it costs about one more pass
    over every array.

    Raises
    ------
    AnomalyError
        Inside the context, when an operation turns finite operands into a NaN or infinity.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> with ts.detect_anomaly():  # doctest: +ELLIPSIS
    ...     ts.log(ts.tensor([1.0, 0.0]))
    Traceback (most recent call last):
        ...
    tinygrad_seq.errors.AnomalyError: 'log' made -inf at index (1,)...
    """
    return Switch("anomaly", True)


def user_line() -> str:
    """Return ``file:line: source`` of the innermost frame outside this package."""
    import linecache

    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{line}: {linecache.getline(name, line).strip()}"


def check_finite(value: Any, what: str, origin: str | None) -> None:
    """Raise an `AnomalyError` that names `what` and the line `origin` if the floating-point `value` is not finite."""
    array = np.asarray(value if isinstance(value, np.ndarray | np.generic) else value.numpy())
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AnomalyError(
            f"{what} made {array[index]} at index {index}, from {origin or 'a line not recorded'}; "
            "keep its operands in the range where it is finite, e.g. with ts.clip."
        )
