"""First values once more: all parameters of a module, those of the modules in it included."""

from __future__ import annotations

from ...errors import ArgumentError
from .module import Module


def redraw(caller: str, module: Module) -> None:
    """Draw every parameter of `module` anew, by the method `reset_parameters` that it or the modules in it have.

    Raises
    ------
    ArgumentError
        If there is a parameter that none of these methods reaches; nothing has been drawn.
    """
    drawn = [each for each in module.modules() if hasattr(each, "reset_parameters")]
    reached = {id(parameter) for each in drawn for parameter in each.parameters()}
    if any(id(parameter) not in reached for parameter in module.parameters()):
        kind = type(module).__name__
        raise ArgumentError(
            f"{caller}: expected a {kind} with a method reset_parameters, which draws all its parameters anew, got "
            "none; write that method, or build each layer's cell yourself: a list of cells, of two directions pairs."
        )
    for each in reversed(drawn):  # the outer ones last, as in constructors
        each.reset_parameters()
