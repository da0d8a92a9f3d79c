"""`AttentionCell`: a cell that attends to a memory at every step."""

from __future__ import annotations

import copy

from numpy.typing import DTypeLike

from ...autograd.creation import zeros
from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...base.tree import Tree
from ...errors import ArgumentError, ShapeError
from ...ops.joining import concat
from ...ops.shape import expand_dims
from ..cell import Cell
from .mechanism import Attention, Memory


def check_attention(caller: str, cell: Cell, attention: Attention) -> None:
    """Raise unless the attention reads the output of the cell, and the cell has room for the context."""
    if not isinstance(cell, Cell) or not isinstance(attention, Attention):
        raise ArgumentError(
            f"{caller}: expected a Cell and an Attention, got {type(cell).__name__} and "
            f"{type(attention).__name__}; pass e.g. GRUCell(64, 32) and DotAttention(32, 32)."
        )
    if cell.input_size is not None and cell.input_size <= attention.context_size:
        raise ArgumentError(
            f"{caller}: expected a cell with an input_size above the context's {attention.context_size}, got "
            f"{cell.input_size}; build it with the size of x + {attention.context_size}."
        )
    hidden = getattr(cell, "output_size", getattr(cell, "hidden_size", attention.query_size))
    if hidden != attention.query_size:
        raise ArgumentError(
            f"{caller}: expected queries of the cell's output size {hidden}, got {attention.query_size}; "
            f"build the attention with query_size={hidden}."
        )


class AttentionCell(Cell):
    """A cell with attention and input feeding (Luong, Pham and Manning, 2015).

    ::

        h_t, state_t = cell([x_t, context_(t - 1)], state_(t - 1))
        context_t = attention(h_t, memory)
        output = [h_t, context_t]

    The state is ``(state of the cell, context)``. The memory is the same at all steps; `over` returns a cell that
    reads it. A scan compiles it: keys and values are computed once before the loop, and gradients
    reach them. The weights are tagged ``"attention_weights"``.

    Parameters
    ----------
    cell : Cell
        Any cell with one output array. Its `input_size`, if set, is the sum of the sizes of x and of the context.
    attention : Attention
        `AdditiveAttention`, `DotAttention`, `MultiHeadAttention` or your own; its queries are the outputs of the cell.

    Raises
    ------
    ArgumentError
        If `cell` is not a Cell or `attention` not an Attention, or their sizes do not match.

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

    memory: Memory | None = None

    def __init__(self, cell: Cell, attention: Attention) -> None:
        check_attention("AttentionCell", cell, attention)
        self.cell, self.attention = cell, attention
        self.input_size = None if cell.input_size is None else cell.input_size - attention.context_size
        self.output_size = attention.query_size + attention.context_size
        self.state_shape = (cell.state_shape, (attention.context_size,))
        self.state_names = (cell.state_names, "context")

    def initial_state(self, batch_size: int, dtype: DTypeLike | None = None) -> Tree:
        return self.begin(self.cell.initial_state(batch_size, dtype), batch_size)

    def begin(self, state: Tree, batch_size: int) -> Tree:
        """Return an initial state: that of the cell, and a context of zeros.

        Parameters
        ----------
        state : Tensor or tree of Tensor
            The initial state of the inner cell, such as an encoder's last state.
        batch_size : int
            N.

        Returns
        -------
        tuple
            ``(state, zeros (N, E))``.
        """
        return state, zeros((batch_size, self.attention.context_size), self.dtype)

    def over(self, memory: Memory) -> AttentionCell:
        """Return a cell that reads a memory and shares the parameters of this one.

        Parameters
        ----------
        memory : Memory
            The result of ``attention.prepare``.

        Returns
        -------
        AttentionCell
            A cell to step or to run with `Recurrent`.
        """
        cell = copy.copy(self)
        cell.memory = memory
        return cell

    def attend(self, x: Tensor, state: Tree, memory: Memory) -> tuple[Tensor, Tree]:
        """Run one step.

        Parameters
        ----------
        x : Tensor
            (N, I).
        state : tuple
            ``(state of the cell, context (N, E))``.
        memory : Memory
            The result of ``attention.prepare``, for N sequences.

        Returns
        -------
        output : Tensor
            (N, H + E), the cell's output and the context.
        state : tuple
            The new state.

        Raises
        ------
        ShapeError
            If the memory is of another number of sequences than x.
        """
        if x.shape[0] != memory.mask.shape[0]:
            raise ShapeError(
                f"AttentionCell: expected a memory of {x.shape[0]} sequences like x, got {memory.mask.shape[0]}; "
                "pass the memory of these sequences."
            )
        before, context = state
        y, after = self.cell.forward(concat([x, context], axis=-1), before)
        contexts, weights = self.attention.attend(expand_dims(y, 1), memory)
        tag(weights[:, 0], "attention_weights")
        return concat([y, contexts[:, 0]], axis=-1), (after, contexts[:, 0])

    def forward(self, x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        """Run one step on the memory given to `over`."""
        if self.memory is None:
            raise ArgumentError(
                "AttentionCell: expected a memory, got none; call cell.over(attention.prepare(memory)), or run it with "
                "AttentionDecoder."
            )
        return self.attend(x, state, self.memory)
