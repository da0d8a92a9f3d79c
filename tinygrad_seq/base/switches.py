"""Switches per thread or task (gradient recording, anomaly detection, ...) and the context managers that set them."""

from __future__ import annotations

import contextvars
import functools
import inspect
import weakref
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar

from ..errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")


_nobody: Callable[[], object] = weakref.ref(set())
"""A dead weak reference."""


class Modes:
    """The switches of a thread or task: one entry of a chain that ends at `DEFAULT`.

    Each ``with`` block of a `Switch` pushes an entry: a copy of the previous one with changes. An entry is valid while
    its token is alive. The token is the ``__exit__`` object that the interpreter holds on its stack for the block; the
    interpreter drops it however the block ends, so a switch cannot outlive its block, even if an interrupt arrives
    inside ``__enter__`` or ``__exit__``. Nothing needs to be restored: dead entries are skipped.

    Attributes
    ----------
    recording
        Whether operations are recorded for gradients.
    anomaly
        Whether operations raise at the first NaN or infinity.
    compiling
        Whether scans are compiled.
    place, rows
        The position in the model, for messages; the batch size N if arrays have one row per sequence.
    counted
        Mask (N,) of the rows that are not padding; padding raises no anomaly. None: no padding.
    traced
        While a step is traced: whether recording was on where the outermost trace began; otherwise None.
    stepping
        Whether a step of a scan runs by itself: ``h += x`` binds the name, as in a compiled step.
    recorder
        Writes scans and recurrent layers of a model that is traced as a whole; otherwise None.
    tags
        The tagged values by name, while they are collected; otherwise None.
    draws
        Records or replays random draws, see `settings.Draws`; otherwise None.
    precision
        In which products are computed: ``"float32"`` (as the operands are), ``"bfloat16"`` or ``"int8"``.
    quantized
        The name of the innermost quantised module at work, which no gradient flows through; otherwise "".
    observer
        Called with each operation, its operands and their arrays before it runs; otherwise None.
    """

    recording = True
    anomaly = False
    compiling = True
    place = ""
    rows: int | None = None
    counted: Any = None
    traced: bool | None = None
    stepping = False
    recorder: Any = None
    tags: dict[str, object] | None = None
    draws: Any = None
    precision = "float32"
    quantized = ""
    observer: Any = None
    _outer: Modes | None = None
    _token: Callable[[], object] = weakref.ref(object)
    _switch: Callable[[], object] = _nobody

    def _enter(self, switch: Switch) -> None:
        """Push this new entry."""
        outer = in_front()
        if outer is not DEFAULT:
            outer = current()
        self.__dict__ = outer.__dict__ | switch._changes_in(outer) | self.__dict__
        self._outer = outer
        _modes.set(self)

    def _leave(self, *_error: object) -> None:
        outer = self._outer
        if outer is None:  # ``switch.__exit__()`` called by hand
            _leave_innermost(self._switch())
        self._token = _nobody
        if in_front() is self:  # drop its references now, not at the next lookup
            _modes.set(outer or DEFAULT)


DEFAULT = Modes()
_modes = contextvars.ContextVar("tinygrad_seq modes", default=DEFAULT)
_last_token: contextvars.ContextVar[Callable[[], object]] = contextvars.ContextVar("last token", default=_nobody)
in_front = _modes.get
"""Return the first entry, dead or alive. A fast path: if it is `DEFAULT`, `current` returns it too."""


def current() -> Modes:
    """Return the switches of this thread or task."""
    first = modes = in_front()
    while modes._token() is None:
        assert modes._outer is not None
        modes = modes._outer
    if modes is not first:
        _modes.set(modes)
    return modes


class _Exit:
    """``__exit__`` of a `Switch`: each lookup returns a new object, the token of one ``with`` block.

    The block looks it up before it enters, and nothing else holds it. The token refers to its entry, not the reverse;
    a traceback through `Modes._leave` holds only the entry.
    """

    def __get__(self, switch: Switch | None, owner: type | None = None) -> Callable[..., None]:
        if switch is None:  # `contextlib.ExitStack` calls what it finds in the class
            return _leave_innermost
        entry = Modes()
        token = entry._leave
        entry._token, entry._switch = weakref.ref(token), weakref.ref(switch)
        _last_token.set(entry._token)
        return token


def _leave_innermost(switch: object, *_error: object) -> None:
    """Leave the innermost block of a switch entered by hand or by a `contextlib.ExitStack`."""
    modes: Modes | None = current()
    while modes is not None and modes is not DEFAULT:
        if modes._switch() is switch and modes._token() is not None:
            modes._leave()
            break
        modes = modes._outer


class Switch:
    """Sets switches of this thread or task inside a ``with`` block, or while a decorated function runs.

    A switch is reusable and reentrant. A generator suspended inside a ``with`` block leaves the switch on for its
    caller, as in PyTorch; a decorated generator does not. An `asyncio` task inherits the switches of the task that
    created it until that task leaves its block.

    Parameters
    ----------
    changes
        New values by attribute name of `Modes`.
    """

    __slots__ = ("__weakref__", "_changes")

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def _changes_in(self, outer: Modes) -> dict[str, Any]:
        return self._changes

    def set_in(self, context: contextvars.Context) -> None:
        """Set the switch in a context owned by the caller; it ends with the context.

        Three times as fast as a ``with`` block, but `context.run` hides changes of context variables, so it is only for
        functions of this package.
        """
        context.run(Modes()._enter, self)

    def __enter__(self) -> Any:
        token: Any = _last_token.get()()
        entry = Modes() if token is None else token.__self__
        if entry._switch() is not self or entry._outer is not None:  # entered by hand: valid until it is dropped
            entry = Modes()
            entry._token = entry._switch = weakref.ref(self)
        entry._enter(self)

    __exit__ = _Exit()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        switched: Any
        if inspect.isasyncgenfunction(function):
            raise ArgumentError(
                f"a switch such as no_grad: expected a function, a generator or a coroutine to decorate, got the "
                f"asynchronous generator {function.__qualname__!r}; use a `with` block inside it."
            )
        if inspect.iscoroutinefunction(function):
            coroutine: Any = function

            @functools.wraps(function)
            async def switched(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await coroutine(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):
            generator: Any = function

            @functools.wraps(function)
            def switched(*args: P.args, **kwargs: P.kwargs) -> Any:
                return self._switched_steps(generator(*args, **kwargs))

        else:

            @functools.wraps(function)
            def switched(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return function(*args, **kwargs)

        return switched  # type: ignore[no-any-return]

    def _switched_steps(self, generator: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
        """Run a generator with the switch set only while the generator runs."""
        resume: Callable[[], Any] = functools.partial(generator.send, None)
        try:
            while True:
                with self:
                    given = resume()
                try:
                    resume = functools.partial(generator.send, (yield given))
                except GeneratorExit:
                    with self:
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 (thrown by the caller: pass it to the generator)
                    resume = functools.partial(generator.throw, error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
