"""What a thread's operations do besides computing: record for a gradient, look for the first NaN, compile scans."""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

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
    place = ""
    rows: int | None = None
    counted: np.ndarray | None = None


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
    over every array, and scans run step by step. Inside a recurrent layer the message says where, for values and for
    gradients: ``LSTMCell, layer 1, step 17, row 3``, and the tagged value that is not finite (see `tag`).

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


class Within:
    """The context in which anomalies are told to be at `place`, inside the place that there is.

    `rows` is N, where rows are sequences.
    """

    __slots__ = ("_before", "_place", "_rows")

    def __init__(self, place: str, rows: int | None = None) -> None:
        self._place, self._rows = place, rows

    def __enter__(self) -> None:
        self._before = mode.place, mode.rows
        mode.place = f"{mode.place}, {self._place}" if mode.place else self._place
        mode.rows = mode.rows if self._rows is None else self._rows

    def __exit__(self, *error: object) -> None:
        mode.place, mode.rows = self._before


class Counted:
    """The context in which rows that do not count, those not in `mask` (N,) bool, raise no anomaly."""

    __slots__ = ("_before", "_mask")

    def __init__(self, mask: np.ndarray) -> None:
        self._mask = mask

    def __enter__(self) -> None:
        self._before, mode.counted = mode.counted, self._mask

    def __exit__(self, *error: object) -> None:
        mode.counted = self._before


class Origin(NamedTuple):
    """Where an operation was called: the user's line, the place in a model with its number of rows, a tag.

    `counted` is the mask (N,) of the rows that count, or None if all do.
    """

    line: str
    place: str
    rows: int | None
    tag: str = ""
    counted: np.ndarray | None = None

    def at(self, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """Return the place of one element of an array."""
        return f"{self.place}, row {index[0]}" if index and shape[0] == self.rows else self.place

    def without_padding(self, value: Any) -> Any:
        """Return an array with zeros in the rows that do not count, if its rows are sequences."""
        if self.counted is None or not value.ndim or len(value) != len(self.counted):
            return value
        array = np.array(value if isinstance(value, np.ndarray) else value.numpy())
        array[~self.counted] = 0
        return array


def origin() -> Origin:
    """Return where this is."""
    return Origin(user_line(), mode.place, mode.rows, counted=mode.counted)


def user_line() -> str:
    """Return ``file:line: source`` of the innermost frame outside this package."""
    import linecache

    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{line}: {linecache.getline(name, line).strip()}"


def first_bad(value: Any) -> tuple[tuple[int, ...], float] | None:
    """Return the index and value of the first element of an array or Tensor that is not finite, if there is one."""
    array = np.asarray(value if isinstance(value, np.ndarray | np.generic) else value.numpy())
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return index, float(array[index])


def check_finite(value: Any, what: str, origin: Origin | None) -> None:
    """Raise an `AnomalyError` that names `what` and its `origin` if the floating-point `value` is not finite."""
    bad = first_bad(value if origin is None else origin.without_padding(value))
    if bad is not None:
        index, number = bad
        line, place = ("a line not recorded", "") if origin is None else (origin.line, origin.at(index, value.shape))
        tagged = f" ({origin.tag!r})" if origin is not None and origin.tag else ""
        raise AnomalyError(
            f"{what}{tagged} made {number} at index {index}, from {line}; "
            "keep its operands in the range where it is finite, e.g. with ts.clip.",
            place,
        )
