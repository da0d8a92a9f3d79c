"""Forward hooks: functions that run before and after the `forward` of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...autograd.tape import HookHandle
from ...base.tree import flatten
from ...errors import CompileError
from ...ops.primitive import is_traced

__all__ = ["HookHandle", "Hooks"]


class Hook(NamedTuple):
    """A function, and whether it takes the keyword arguments of the call too."""

    function: Callable[..., Any]
    with_kwargs: bool


class Hooks:
    """The forward hooks of a module, in the order in which they run."""

    def __init__(self) -> None:
        self.before: list[Hook] = []
        self.after: list[Hook] = []

    def add(self, hooks: Any, function: Callable[..., Any], prepend: bool, with_kwargs: bool) -> HookHandle:
        hook: Any = Hook(function, with_kwargs)
        hooks.insert(0 if prepend else len(hooks), hook)
        return HookHandle(hooks, hook)

    def call(self, module: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what ``run(*args, **kwargs)`` returns, with the changes that the hooks make.

        Raises
        ------
        CompileError
            If an argument is a value of a step that is being compiled, which a hook cannot read; the scan then runs
            step by step.
        """
        if (self.before or self.after) and any(is_traced(leaf) for leaf in flatten([args, kwargs])[0]):
            raise CompileError(
                f"{type(module).__name__}: expected to run its forward hooks, got values of a step that is being "
                "compiled; pass compile=False, or name the value with ts.tag and call layer.inspect."
            )
        for hook in [*self.before]:
            if hook.with_kwargs:
                changed = hook.function(module, args, kwargs)
                args, kwargs = (args, kwargs) if changed is None else changed
            else:
                changed = hook.function(module, args)
                args = args if changed is None else changed if isinstance(changed, tuple) else (changed,)
        result = run(*args, **kwargs)
        for hook in [*self.after]:
            given = (args, kwargs) if hook.with_kwargs else (args,)
            changed = hook.function(module, *given, result)
            result = result if changed is None else changed
        return result
