"""What a thread's operations do besides computing: record for a gradient, look for the first NaN, compile scans."""

from __future__ import annotations

import contextvars
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from ..errors import AnomalyError
from .switches import Modes, Switch, current

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Mode:
    """The switches of the thread or task that asks; see `Modes`."""

    __slots__ = ()

    @property
    def recording(self) -> bool:
        return current().recording

    @property
    def anomaly(self) -> bool:
        return current().anomaly

    @property
    def compiling(self) -> bool:
        return current().compiling

    @property
    def place(self) -> str:
        return current().place

    @property
    def rows(self) -> int | None:
        return current().rows

    @property
    def tracing(self) -> bool:
        return current().traced is not None

    @property
    def counted(self) -> Any:
        return current().counted


mode = Mode()


# ---------------------------------------------------------------------------------------------- NumPy's warnings


def _quiet_numpy() -> tuple[contextvars.ContextVar[Any], Any]:
    """Return the context variable in which NumPy keeps its error handling, and its value when all is ignored."""
    context = contextvars.Context()
    context.run(np.errstate(all="ignore").__enter__)
    ((variable, value),) = context.items()
    return variable, value


_error_handling, _QUIET = _quiet_numpy()
_quiet = contextvars.Context()
_quiet.run(_error_handling.set, _QUIET)
fresh_quiet = _quiet.copy
"""Return a context like `quiet`, in a third of the time, but one in which nothing else is set, no switch either."""


def quiet() -> contextvars.Context:
    """Return a copy of the context to run one function in: operations follow IEEE 754 without warnings, log(0) is -inf.

    ``quiet().run(function)`` enters and leaves it in C, where no interrupt can strike and leave NumPy silent. It takes
    0.17 us, np.errstate 1.0 us (an exp of 8 x 16 takes 0.4).
    """
    context = contextvars.copy_context()
    context.run(_error_handling.set, _QUIET)
    return context


def ieee(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` run without NumPy's floating-point warnings."""

    @functools.wraps(function)
    def silent(*args: P.args, **kwargs: P.kwargs) -> R:
        return quiet().run(function, *args, **kwargs)

    return silent


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
    return Switch(recording=False)


def enable_grad() -> Switch:
    """Return a context (or decorator) in which this thread's operations are recorded, inside a `no_grad` too."""
    return Switch(recording=True)


def set_grad_enabled(enabled: bool) -> Switch:
    """Return a context (or decorator) in which this thread's operations are recorded if `enabled`.

    Unlike PyTorch's it changes nothing by itself, only inside its `with` block.
    """
    return Switch(recording=bool(enabled))


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
    return Switch(compiling=False)


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
    return Switch(anomaly=True)


class Within(Switch):
    """The context in which anomalies are told to be at `place`, inside the place that there is.

    `rows` is N, where rows are sequences.
    """

    __slots__ = ()

    def __init__(self, place: str, rows: int | None = None) -> None:
        super().__init__(place=place, rows=rows)

    def _changes_in(self, outer: Modes) -> dict[str, Any]:
        place, rows = self._changes["place"], self._changes["rows"]
        return {
            "place": f"{outer.place}, {place}" if outer.place else place,
            "rows": outer.rows if rows is None else rows,
        }


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
