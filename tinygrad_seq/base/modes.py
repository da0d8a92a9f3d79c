"""Public switches per thread or task: `no_grad`, `enable_grad`, `autocast`, `detect_anomaly`, `disable_compile`."""

from __future__ import annotations

import contextvars
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from ..errors import AnomalyError, ArgumentError
from .switches import Modes, Switch, current

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Mode:
    """The switches of the current thread or task; see `Modes`."""

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
    def stepping(self) -> bool:
        return current().stepping

    @property
    def counted(self) -> Any:
        return current().counted

    @property
    def precision(self) -> str:
        return current().precision


mode = Mode()


# ---------------------------------------------------------------------------------------------- NumPy's warnings


def _quiet_numpy() -> tuple[contextvars.ContextVar[Any], Any]:
    """Return the context variable that holds NumPy's error handling, and its value when all errors are ignored."""
    context = contextvars.Context()
    context.run(np.errstate(all="ignore").__enter__)
    ((variable, value),) = context.items()
    return variable, value


_error_handling, _QUIET = _quiet_numpy()
_quiet = contextvars.Context()
_quiet.run(_error_handling.set, _QUIET)
fresh_quiet = _quiet.copy
"""Like `quiet`, three times as fast, but the context holds nothing else: no switch is set in it."""


def quiet() -> contextvars.Context:
    """Return a copy of the current context without NumPy warnings: operations follow IEEE 754, log(0) is -inf.

    ``quiet().run(function)`` enters and leaves the context in C, so an interrupt cannot leave NumPy silent. It costs
    0.17 us; np.errstate costs 1.0 us.
    """
    context = contextvars.copy_context()
    context.run(_error_handling.set, _QUIET)
    return context


def ieee(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` wrapped so that it runs without NumPy's floating-point warnings."""

    @functools.wraps(function)
    def silent(*args: P.args, **kwargs: P.kwargs) -> R:
        if _error_handling.get() is _QUIET:
            return function(*args, **kwargs)
        return quiet().run(function, *args, **kwargs)

    return silent


def no_grad() -> Switch:
    """Return a context manager (or decorator) that turns off gradient recording in this thread.

    Returns
    -------
    Switch
        Use it in a ``with`` statement or as a decorator.

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
    """Return a context manager (or decorator) that turns on gradient recording in this thread, even inside `no_grad`.

    Returns
    -------
    Switch
        Use it in a ``with`` statement or as a decorator.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([1.0, 2.0], requires_grad=True)
    >>> with ts.no_grad(), ts.enable_grad():
    ...     print((x * 2).requires_grad)
    True
    """
    return Switch(recording=True)


def set_grad_enabled(enabled: bool) -> Switch:
    """Return a context manager (or decorator) that turns gradient recording on or off in this thread.

    Unlike PyTorch's function, the call alone changes nothing; the switch acts inside its ``with`` block.

    Parameters
    ----------
    enabled
        Whether operations are recorded.

    Returns
    -------
    Switch
        Use it in a ``with`` statement or as a decorator.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([1.0, 2.0], requires_grad=True)
    >>> with ts.set_grad_enabled(False):
    ...     print((x * 2).requires_grad)
    False
    """
    return Switch(recording=bool(enabled))


def is_grad_enabled() -> bool:
    """Return whether gradient recording is on in this thread.

    Returns
    -------
    bool
        False inside `no_grad`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> with ts.no_grad():
    ...     print(ts.is_grad_enabled())
    False
    """
    return mode.recording


def disable_compile() -> Switch:
    """Return a context manager (or decorator) in which scans run step by step, as with ``compile=False``.

    Returns
    -------
    Switch
        Use it in a ``with`` statement or as a decorator.

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


PRECISIONS = ("float32", "bfloat16", "int8")
"""In which a product can be computed; "float32" stands for that of its operands."""


def autocast(precision: str) -> Switch:
    """Return a context manager (or decorator) in which products with a matrix are computed in a lower precision.

    Products ``x @ w`` of float32 arrays, with a matrix w (K, N), round both operands to bfloat16 and add the products
    up in float32: `linear`, `matmul`, and all layers and cells made of them, compiled or not. Everything else stays
    float32: parameters, gradients, states, gates, sums, losses; products with more than one matrix on the right;
    products of other dtypes. In a compiled scan so do products with a matrix that changes from step to step. The
    gradient of an operation is computed in the precision in which the operation was recorded, wherever `backward` is
    called.

    Parameters
    ----------
    precision
        ``"bfloat16"``, or ``"float32"`` to switch it off inside.

    Returns
    -------
    Switch
        Use it in a ``with`` statement or as a decorator.

    Raises
    ------
    ArgumentError
        If `precision` is neither of the two.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> with ts.autocast("bfloat16"):
    ...     y = ts.tensor([[1.01]]) @ ts.tensor([[1.0]])
    >>> y
    tensor([[1.0078125]])
    """
    if precision == "int8":
        raise ArgumentError(
            "autocast: expected 'bfloat16' or 'float32', got 'int8', which is for inference only; "
            "call ts.quantize(model, 'int8') on the trained model."
        )
    if precision not in PRECISIONS:
        raise ArgumentError(f"autocast: expected 'bfloat16' or 'float32', got {precision!r}; pass one of the two.")
    return Switch(precision=precision)


def detect_anomaly() -> Switch:
    """Return a context manager in which the first NaN or infinity raises an error that names its origin.

    Forward results and gradients are checked as they are computed. This costs about one extra pass over every array,
    and scans run step by step. Inside a recurrent layer the message gives the position, for values and gradients:
    ``LSTMCell, layer 1, step 17, row 3``, and the tagged value that is not finite (see `tag`).

    Returns
    -------
    Switch
        Use it in a ``with`` statement or as a decorator.

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
    """Labels anomalies with `place`, nested in the current label.

    `rows` is the batch size N if arrays have one row per sequence.
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
    """Where an operation was called: the user's line, the position in the model, its batch size, a tag.

    `counted` is the mask (N,) of the rows that are not padding, or None if there is no padding.
    """

    line: str
    place: str
    rows: int | None
    tag: str = ""
    counted: np.ndarray | None = None

    def at(self, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """Return the position of one array element as text."""
        return f"{self.place}, row {index[0]}" if index and shape[0] == self.rows else self.place

    def without_padding(self, value: Any) -> Any:
        """Return the array with zeros in padded rows, if it has one row per sequence."""
        if self.counted is None or not value.ndim or len(value) != len(self.counted):
            return value
        array = np.array(value if isinstance(value, np.ndarray) else value.numpy())
        array[~self.counted] = 0
        return array


def origin() -> Origin:
    """Return the current origin."""
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
    """Return the index and value of the first non-finite element of an array or Tensor, or None."""
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
