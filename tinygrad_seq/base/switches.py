"""Switches: what the operations of a thread or task do besides computing, and the blocks that set it."""

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
"""A reference to an object that is no more."""


class Modes:
    """The switches of a thread or task: one entry of a chain, which ends at `DEFAULT`.

    Every ``with`` block of a `Switch` puts an entry in front, with the values of the entry before and its own changes.
    An entry holds as long as its token lives: the object that the interpreter keeps on its stack to leave the block
    with. It drops that object however the block ends, so a switch cannot outlast its block, even if an interrupt
    strikes inside of `Switch.__enter__` or ``__exit__``. Nothing has to be put back: dead entries are skipped.

    Attributes
    ----------
    recording
        Whether operations are recorded for gradients.
    anomaly
        Whether operations look for the first NaN or infinity.
    compiling
        Whether scans are compiled.
    place, rows
        Where in a model this is, for messages, and N, where rows are sequences.
    counted
        The mask (N,) of the rows that count; the others raise no anomaly. None if all count.
    traced
        Inside a step that is traced, whether operations were recorded where the outermost trace began; else None.
    tags
        What is tagged, by name, if somebody looks.
    draws
        Where draws are recorded or replayed, see `config.Draws`; None: nowhere.
    """

    recording = True
    anomaly = False
    compiling = True
    place = ""
    rows: int | None = None
    counted: Any = None
    traced: bool | None = None
    tags: dict[str, object] | None = None
    draws: Any = None
    _outer: Modes | None = None
    _token: Callable[[], object] = weakref.ref(object)
    _switch: Callable[[], object] = _nobody

    def _enter(self, switch: Switch) -> None:
        """Put this entry, which is fresh, in front."""
        outer = in_front()
        if outer is not DEFAULT:
            outer = current()
        self.__dict__ = outer.__dict__ | switch._changes_in(outer) | self.__dict__
        self._outer = outer
        _modes.set(self)

    def _leave(self, *_error: object) -> None:
        outer = self._outer
        if outer is None:  # ``switch.__exit__()`` by hand
            _leave_innermost(self._switch())
        self._token = _nobody
        if in_front() is self:  # drop what it refers to now, not when the next one asks
            _modes.set(outer or DEFAULT)


DEFAULT = Modes()
_modes = contextvars.ContextVar("tinygrad_seq modes", default=DEFAULT)
_last_token: contextvars.ContextVar[Callable[[], object]] = contextvars.ContextVar("last token", default=_nobody)
in_front = _modes.get
"""Return the first entry, dead or alive: if it is `DEFAULT`, which is quickly seen, it is what `current` returns."""


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
    """``__exit__`` of a `Switch`: at each look-up a fresh object, the token of one ``with`` block.

    The block looks it up before it enters and nobody else holds it. It refers to its entry, not the other way round,
    and a traceback through `Modes._leave` holds the entry only.
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
    """Leave the innermost block of a switch that was entered by hand or by a `contextlib.ExitStack`."""
    modes: Modes | None = current()
    while modes is not None and modes is not DEFAULT:
        if modes._switch() is switch and modes._token() is not None:
            modes._leave()
            break
        modes = modes._outer


class Switch:
    """Sets switches of this thread or task inside a ``with`` block, or while a function it decorates runs.

    One object can be used again and inside itself. A generator that stops inside such a block leaves the switch on for
    its caller, as in PyTorch; decorated, it does not. A task of `asyncio` has switches of its own, which begin as those
    of the task that made it, until that one leaves its block.

    Parameters
    ----------
    changes
        New values, by the names of the attributes of `Modes`.
    """

    __slots__ = ("__weakref__", "_changes")

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def _changes_in(self, outer: Modes) -> dict[str, Any]:
        return self._changes

    def set_in(self, context: contextvars.Context) -> None:
        """Set the switch in a context that belongs to the caller; it ends with the context.

        This takes a third of the time of a ``with`` block, but `context.run` hides what the function does to context
        variables, so it is for the functions of this package only.
        """
        context.run(Modes()._enter, self)

    def __enter__(self) -> Any:
        token: Any = _last_token.get()()
        entry = Modes() if token is None else token.__self__
        if entry._switch() is not self or entry._outer is not None:  # entered by hand: until the switch is dropped
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
        """Run a generator with the switch set while it runs, and not while it waits."""
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
                except BaseException as error:  # noqa: BLE001 (thrown in by the caller: it belongs to the generator)
                    resume = functools.partial(generator.throw, error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
