"""`AttentionDecoder`: an `AttentionCell` over a sequence."""

from __future__ import annotations

import copy
from typing import Any, Unpack

from ...base.tree import Tree
from ...errors import ArgumentError
from ...ops.primitive import Array
from ..cell import Cell
from ..module.module import Module
from ..recurrence.options import Options
from ..recurrence.recurrent import Recurrent
from .attention_cell import AttentionCell
from .mechanism import Attention


class AttentionDecoder(Module):
    """A recurrent layer that looks at a memory in every step: an `AttentionCell` under a compiled scan.

    Parameters
    ----------
    cell, attention
        As of `AttentionCell`. The attention's own `batch_first` says how the memory comes.
    batch_first
        Whether inputs and outputs are (N, T, ...) instead of (T, N, ...).
    **options
        As of `Recurrent`, but for `stateful`.

    Attributes
    ----------
    recurrent : Recurrent
        A `Recurrent` of one cell.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> attention = ts.nn.AdditiveAttention(query_size=8, memory_size=6)
    >>> decoder = ts.nn.AttentionDecoder(ts.nn.GRUCell(3 + 6, 8), attention)
    >>> ys, state = decoder(ts.randn(7, 2, 3), memory=ts.randn(5, 2, 6), memory_lengths=[5, 3])
    >>> ys.shape
    (7, 2, 14)
    """

    def __init__(self, cell: Cell, attention: Attention, batch_first: bool = False, **options: Unpack[Options]) -> None:
        if options.get("stateful"):
            raise ArgumentError(
                "AttentionDecoder: expected no stateful=True, as each call has a memory of its own, got it; "
                "pass the state from call to call."
            )
        self.recurrent = Recurrent(AttentionCell(cell, attention), batch_first=batch_first, **options)
        if len(self.recurrent.cells) > 1:
            raise ArgumentError(
                f"AttentionDecoder: expected one layer in one direction, got {len(self.recurrent.cells)} cells; leave "
                "num_layers and bidirectional out, and pass several cells as a StackedCell."
            )

    @property
    def cell(self) -> AttentionCell:
        return self.recurrent.cells[0]  # type: ignore[return-value]

    def over(self, memory: Array, memory_lengths: Any = None, memory_mask: Any = None) -> Recurrent:
        """Return the layer, with its parameters themselves, as one that reads `memory`: to stream, explain, inspect."""
        layer = copy.copy(self.recurrent)
        layer.cells = [self.cell.over(self.cell.attention.prepare(memory, memory_lengths, memory_mask))]
        return layer

    def forward(
        self,
        xs: Array,
        memory: Array,
        state: Tree = None,
        memory_lengths: Any = None,
        memory_mask: Any = None,
        lengths: Any = None,
        mask: Any = None,
        reset: Any = None,
    ) -> tuple[Array, ...]:
        """Return ``(ys, state)``: the outputs, hidden values and contexts side by side, and the last state.

        Parameters
        ----------
        xs
            (T, N, I).
        memory
            (S, N, E), as an encoder returned it.
        state
            ``(state of the cell, context)``; zeros by default. ``decoder.cell.begin(state, N)`` makes it of an
            encoder's state.
        memory_lengths, memory_mask
            As `lengths` and `mask` of an `Attention`.
        lengths, mask, reset
            Which steps of xs count, and where a row begins anew, as of `Recurrent`.

        Returns
        -------
        ys
            (T, N, H + E).
        state
            As `state`.
        states
            Only with `return_all_states`, as of `Recurrent`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument does not fit.
        """
        layer = self.over(memory, memory_lengths, memory_mask)
        return layer(xs, state, lengths=lengths, mask=mask, reset=reset)
