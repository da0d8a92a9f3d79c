"""`AttentionCell`: a cell that looks at a memory in every step."""

from __future__ import annotations

from typing import Any

from ...autograd.creation import zeros
from ...autograd.tagging import tag
from ...base.tree import Tree
from ...errors import ArgumentError, ShapeError
from ...ops.joining import concat
from ...ops.primitive import Array
from ...ops.shape import expand_dims
from ..cell import Cell
from .mechanism import Attention, Memory


class AttentionCell(Cell):
    """A cell with attention and input feeding (Luong, Pham and Manning, 2015).

    ::

        h_t, state_t = cell([x_t, context_(t - 1)], state_(t - 1))
        context_t = attention(h_t, memory)
        output = [h_t, context_t]

    The state is ``(state of the cell, context)``. The memory is the same at all steps: `over` gives the cell that reads
    it, an ordinary `Cell`. Under a scan it is compiled; keys and values of the memory are made once, outside of the
    loop, and the gradient flows into them. The weights are tagged ``"attention_weights"``.

    Parameters
    ----------
    cell
        Any cell with one output array. If it has an `input_size`, that is the size of x and of the context together.
    attention
        `AdditiveAttention`, `DotAttention`, `MultiHeadAttention` or another `Attention`; its queries are the cell's
        outputs.

    Raises
    ------
    ArgumentError
        If the cell is none, or its inputs have no room for a context.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> attention = ts.nn.DotAttention(query_size=8, memory_size=6, hidden_size=8)
    >>> cell = ts.nn.AttentionCell(ts.nn.GRUCell(3 + 6, 8), attention)
    >>> bound = cell.over(attention.prepare(ts.randn(5, 2, 6)))
    >>> y, (h, context) = bound(ts.randn(2, 3))
    >>> y.shape, h.shape, context.shape
    ((2, 14), (2, 8), (2, 6))
    """

    def __init__(self, cell: Cell, attention: Attention) -> None:
        if not isinstance(cell, Cell) or not isinstance(attention, Attention):
            raise ArgumentError(
                f"AttentionCell: expected a Cell and an Attention, got {type(cell).__name__} and "
                f"{type(attention).__name__}; pass e.g. GRUCell(64, 32) and DotAttention(32, 32)."
            )
        if cell.input_size is not None and cell.input_size <= attention.context_size:
            raise ArgumentError(
                f"AttentionCell: expected a cell whose inputs are x and a context of {attention.context_size}, got "
                f"input_size {cell.input_size}; build it with the size of x + {attention.context_size}."
            )
        hidden = getattr(cell, "output_size", getattr(cell, "hidden_size", attention.query_size))
        if hidden != attention.query_size:
            raise ArgumentError(
                f"AttentionCell: expected queries of the cell's output size {hidden}, got {attention.query_size}; "
                f"build the attention with query_size={hidden}."
            )
        self.cell, self.attention = cell, attention
        self.input_size = None if cell.input_size is None else cell.input_size - attention.context_size
        self.output_size = attention.query_size + attention.context_size
        self.state_shape = (cell.state_shape, (attention.context_size,))
        self.state_names = (cell.state_names, "context")

    def initial_state(self, batch_size: int, dtype: Any = None) -> Tree:
        return self.begin(self.cell.initial_state(batch_size, dtype), batch_size)

    def begin(self, state: Tree, batch_size: int) -> Tree:
        """Return the state to begin with where the cell begins with `state`: with a context of zeros."""
        return state, zeros((batch_size, self.attention.context_size), self.dtype)

    def over(self, memory: Memory) -> Cell:
        """Return this cell, with its parameters themselves, as one that reads a memory from ``attention.prepare``."""
        return BoundAttentionCell(self, memory)

    def attend(self, x: Array, state: Tree, memory: Memory) -> tuple[Array, Tree]:
        """Return ``(output, state)`` of one step; arguments as of a cell, and the memory.

        Raises
        ------
        ShapeError
            If the memory has not one row for each of x.
        """
        if x.shape[0] != memory.mask.shape[0]:
            raise ShapeError(
                f"AttentionCell: expected a memory of {x.shape[0]} rows, as many as x has, got {memory.mask.shape[0]}; "
                "pass the memory of these sequences."
            )
        before, context = state
        y, after = self.cell.forward(concat([x, context], axis=-1), before)
        contexts, weights = self.attention.attend(expand_dims(y, 1), memory)
        tag(weights[:, 0], "attention_weights")
        return concat([y, contexts[:, 0]], axis=-1), (after, contexts[:, 0])

    def forward(self, x: Array, state: Tree) -> tuple[Array, Tree]:
        raise ArgumentError(
            "AttentionCell: expected a memory to read, got none; call cell.over(attention.prepare(memory)), or run it "
            "with AttentionDecoder."
        )


class BoundAttentionCell(Cell):
    """An `AttentionCell` and the memory it reads: what `AttentionCell.over` returns."""

    def __init__(self, cell: AttentionCell, memory: Memory) -> None:
        self.cell, self.memory = cell, memory
        self.input_size, self.output_size = cell.input_size, cell.output_size
        self.state_shape, self.state_names = cell.state_shape, cell.state_names

    def initial_state(self, batch_size: int, dtype: Any = None) -> Tree:
        return self.cell.initial_state(batch_size, dtype)

    def forward(self, x: Array, state: Tree) -> tuple[Array, Tree]:
        return self.cell.attend(x, state, self.memory)
