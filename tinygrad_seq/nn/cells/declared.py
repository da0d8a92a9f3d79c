"""Bases of the cells from the literature: each parameter is one line, with its shape and its initial values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...base.tree import map_leaves
from ...ops.joining import split
from ...ops.linear import linear
from ..cell import Cell
from ..checks import check_sizes
from ..init import uniform_, xavier_uniform_, zeros_
from ..module.parameter import Parameter


class Declaration(NamedTuple):
    """The shape of a parameter in letters, and the function that fills it."""

    shape: str
    fill: Callable[[Parameter], Any]


def declare(shape: str, fill: Callable[[Parameter], Any] = xavier_uniform_) -> Any:
    """Declare a parameter of a cell: ``weight_ih: Parameter = declare("3H I")``.

    Parameters
    ----------
    shape : str
        The sizes of the axes as letters, I, H and those that the cell adds, with factors and sums: ``"3H H+I"``.
    fill : callable, default `xavier_uniform_`
        A function as in `nn.init`; it is called with the parameter to set or reset its values.

    Returns
    -------
    Declaration
        What `DeclaredCell` replaces with a `Parameter` in each instance.
    """
    return Declaration(shape, fill)


class DeclaredCell(Cell):
    """Base of cells that declare each parameter with `declare`, and the shape of the state in letters.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, the number of features of an input and of an output.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from tinygrad_seq.nn.cells.declared import DeclaredCell, declare
    >>> class ShiftCell(DeclaredCell):
    ...     weight: ts.nn.Parameter = declare("H I")
    ...
    ...     def forward(self, x, h):
    ...         return h, ts.linear(x, self.weight)
    >>> ShiftCell(3, 5)(ts.randn(2, 3))[1].shape
    (2, 5)
    """

    state: ClassVar[Any] = "H"
    input_size: int
    hidden_size: int

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self._create(input_size, hidden_size)

    def _create(self, input_size: int, hidden_size: int, **sizes: int) -> None:
        """Make the parameters; `sizes` are those of other letters, already checked."""
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        sizes = {"I": input_size, "H": hidden_size, **sizes}
        self.state_shape = map_leaves(lambda letters: _shape(letters, sizes), self.state)
        for name, declaration in self._declarations().items():
            setattr(self, name, Parameter(zeros(_shape(declaration.shape, sizes))))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        for name, declaration in self._declarations().items():
            declaration.fill(getattr(self, name))

    def _declarations(self) -> dict[str, Declaration]:
        classes = reversed(type(self).__mro__)
        return {name: value for kind in classes for name, value in vars(kind).items() if isinstance(value, Declaration)}


class AffineCell(DeclaredCell):
    """Base of cells whose gates come from one affine map of x and h, W x + U h + b, with all gates stacked.

    Attributes
    ----------
    gates : int
        The number of gates, G.
    weight_ih, weight_hh, bias : Parameter
        W (G H, I), U (G H, H) and b (G H,).
    """

    gates: ClassVar[int]
    weight_ih: Parameter = declare("GH I")
    weight_hh: Parameter = declare("GH H")
    bias: Parameter = declare("GH", zeros_)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self._create(input_size, hidden_size, G=self.gates)

    def _affine(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """Return W x + U h + b, one array (N, H) per gate."""
        return split(linear(x, self.weight_ih, self.bias) + linear(h, self.weight_hh), self.gates, axis=-1)


class HiddenAndCellState(DeclaredCell):
    """Base of cells with the state (h, c) of an LSTM."""

    state = ("H", "H")
    state_names = ("h", "c")


def fan_in_uniform_(weight: Parameter) -> Parameter:
    """Fill a weight (out, in) with values uniform in ±1/sqrt(in), as `nn.Linear` does."""
    bound = 1 / math.sqrt(weight.shape[1])
    return uniform_(weight, -bound, bound)


def _shape(letters: str, sizes: dict[str, int]) -> tuple[int, ...]:
    """Return the shape that ``"3H I"`` stands for."""

    def product(term: str) -> int:
        return math.prod(int(part) if part.isdigit() else sizes[part] for part in re.findall(r"\d+|[A-Z]", term))

    return tuple(sum(map(product, axis.split("+"))) for axis in letters.split())
