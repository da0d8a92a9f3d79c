"""What the cells of the literature share: their parameters as a table, one line each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from ...autograd.creation import zeros
from ...base.tree import map_leaves
from ...errors import ArgumentError
from ..cell import Cell
from ..checks import check_sizes
from ..init import uniform_, xavier_uniform_
from ..module.parameter import Parameter


class Declaration(NamedTuple):
    """The shape of a parameter in letters, and the function that draws its first values."""

    shape: str
    draw: Callable[[Parameter], Any]


def drawn(shape: str, draw: Callable[[Parameter], Any] = xavier_uniform_) -> Any:
    """Return the declaration of a parameter: ``weight_ih: Parameter = drawn("3H I")``.

    Parameters
    ----------
    shape
        Sizes in the letters of the cell, ``I`` and ``H`` and those it adds, with factors: ``"3H I"``.
    draw
        A function as in `nn.init`, called with the parameter whenever its values are drawn.
    """
    return Declaration(shape, draw)


class DeclaredCell(Cell):
    """Base of cells that declare each parameter in a line, as `drawn` has it, and the state in letters.

    Parameters
    ----------
    input_size, hidden_size
        I and H; the output has H features.
    more
        Other sizes, by the letter that stands for them in shapes.
    """

    state: ClassVar[Any] = "H"
    input_size: int
    hidden_size: int

    def __init__(self, input_size: int, hidden_size: int, **more: int) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size, **more)
        self.input_size, self.hidden_size = input_size, hidden_size
        sizes = {"I": input_size, "H": hidden_size, **more}
        self.state_shape = map_leaves(lambda text: _sizes(text, sizes), self.state)
        for name, declaration in self._declarations():
            setattr(self, name, Parameter(zeros(_sizes(declaration.shape, sizes))))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew."""
        for name, declaration in self._declarations():
            declaration.draw(getattr(self, name))

    def _declarations(self) -> Iterator[tuple[str, Declaration]]:
        for kind in reversed(type(self).__mro__):
            yield from ((name, value) for name, value in vars(kind).items() if isinstance(value, Declaration))


class HiddenAndCellState(DeclaredCell):
    """Base of cells with the state of a long short-term memory, (h, c)."""

    state = ("H", "H")
    state_names = ("h", "c")


def fan_in_uniform_(weight: Parameter) -> Parameter:
    """Fill a weight (out, in) uniform in ±1/sqrt(in), as `nn.Linear` does."""
    bound = 1 / math.sqrt(weight.shape[1])
    return uniform_(weight, -bound, bound)


def split_evenly(cell: str, hidden_size: int, num_heads: int) -> int:
    """Return the size of a head; refuse heads that do not share the features out."""
    check_sizes(cell, hidden_size=hidden_size, num_heads=num_heads)
    if hidden_size % num_heads:
        raise ArgumentError(
            f"{cell}: expected num_heads to divide hidden_size, got {num_heads} and {hidden_size}; change one."
        )
    return hidden_size // num_heads


def _sizes(text: str, sizes: dict[str, int]) -> tuple[int, ...]:
    """Return ``"3H I"`` in numbers."""

    def product(term: str) -> int:
        return math.prod(int(part) if part.isdigit() else sizes[part] for part in re.findall(r"\d+|[A-Z]", term))

    return tuple(product(term) for term in text.split())
