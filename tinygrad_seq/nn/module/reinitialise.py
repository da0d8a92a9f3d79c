"""Re-initialise all parameters of a module and of the modules in it."""

from __future__ import annotations

from ...errors import ArgumentError
from .module import Module


def reinitialise(caller: str, module: Module) -> None:
    """Re-initialise every parameter of `module` by calling `reset_parameters` on it and on the modules inside it.

    Raises
    ------
    ArgumentError
        If a parameter belongs to no module with such a method; then nothing is changed. The message begins with
        `caller`.
    """
    drawn = [each for each in module.modules() if hasattr(each, "reset_parameters")]
    reached = {id(parameter) for each in drawn for parameter in each.parameters()}
    if any(id(parameter) not in reached for parameter in module.parameters()):
        kind = type(module).__name__
        raise ArgumentError(
            f"{caller}: expected a {kind} with a method reset_parameters, which re-initialises all its parameters, got "
            "none; write that method, or pass a list with a cell for each layer (a pair for two directions)."
        )
    for each in reversed(drawn):  # outer modules last, as in constructors
        each.reset_parameters()
