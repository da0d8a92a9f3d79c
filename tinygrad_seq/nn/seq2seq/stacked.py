"""`StackedCell`: several cells as one cell."""

from __future__ import annotations

from numpy.typing import DTypeLike

from ...autograd.tensor import Tensor
from ...base.tree import Tree
from ...errors import ArgumentError
from ..cell import Cell


class StackedCell(Cell):
    """Several cells as one: in each step every cell gets the output of the one before.

    The state is the tuple of their states. `Recurrent` with a list of cells computes the same layer by layer; use a
    stack if one step must run all layers, as in an `AttentionCell` or a decoder that reads its own output.

    Parameters
    ----------
    *cells : Cell
        One or more; the first reads x.

    Raises
    ------
    ArgumentError
        If there are no cells, or one is not a Cell.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> cell = ts.nn.StackedCell(ts.nn.GRUCell(3, 8), ts.nn.LSTMCell(8, 5))
    >>> y, (first, (h, c)) = cell(ts.randn(2, 3))
    >>> y.shape, first.shape, h.shape
    ((2, 5), (2, 8), (2, 5))
    """

    def __init__(self, *cells: Cell) -> None:
        for position, cell in enumerate(cells or (None,)):
            if not isinstance(cell, Cell):
                raise ArgumentError(
                    f"StackedCell: expected cells, got {type(cell).__name__} at position {position}; "
                    "pass them one by one: StackedCell(GRUCell(8, 16), GRUCell(16, 16))."
                )
        self.cells = list(cells)
        self.state_shape = tuple(cell.state_shape for cell in self.cells)
        self.state_names = tuple(cell.state_names for cell in self.cells)
        self.input_size = self.cells[0].input_size
        last = self.cells[-1]
        size = getattr(last, "output_size", getattr(last, "hidden_size", None))
        if size is not None:
            self.output_size = size

    def initial_state(self, batch_size: int, dtype: DTypeLike | None = None) -> Tree:
        return tuple(cell.initial_state(batch_size, dtype) for cell in self.cells)

    def forward(self, x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        states = []
        for cell, part in zip(self.cells, state, strict=True):
            x, after = cell.forward(x, part)
            states.append(after)
        return x, tuple(states)
