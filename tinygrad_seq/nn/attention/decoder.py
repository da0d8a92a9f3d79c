"""`AttentionDecoder`: an `AttentionCell` over a sequence."""

from __future__ import annotations

import copy
from typing import Unpack

from numpy.typing import ArrayLike

from ...autograd.tensor import Tensor
from ...base.tree import Tree
from ...errors import ArgumentError
from ..cell import Cell
from ..module.module import Module
from ..recurrence.options import Options
from ..recurrence.recurrent import Recurrent
from .attention_cell import AttentionCell, check_attention
from .mechanism import Attention


class AttentionDecoder(Module):
    """A recurrent layer that attends to a memory at every step: an `AttentionCell` under a compiled scan.

    Parameters
    ----------
    cell : Cell
        As in `AttentionCell`.
    attention : Attention
        As in `AttentionCell`; its `batch_first` is about the memory.
    batch_first : bool, default False
        Whether inputs and outputs are (N, T, ...) instead of (T, N, ...).
    **options
        As in `Recurrent`, except `stateful`, `num_layers` and `bidirectional`.

    Attributes
    ----------
    recurrent : Recurrent
        The layer that runs the cell.

    Raises
    ------
    ArgumentError
        If cell and attention do not match, or an option is out of range.

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
                "AttentionDecoder: expected stateful=False, because each call has its own memory, got True; "
                "pass the state from call to call."
            )
        check_attention("AttentionDecoder", cell, attention)
        self.recurrent = Recurrent(AttentionCell(cell, attention), batch_first=batch_first, **options)
        if len(self.recurrent.cells) > 1:
            raise ArgumentError(
                f"AttentionDecoder: expected one layer in one direction, got {len(self.recurrent.cells)} cells; leave "
                "num_layers and bidirectional out, and pass several cells as a StackedCell."
            )

    @property
    def cell(self) -> AttentionCell:
        """The cell that the layer runs."""
        return self.recurrent.cells[0]  # type: ignore[return-value]

    def over(
        self, memory: Tensor, memory_lengths: ArrayLike | None = None, memory_mask: ArrayLike | None = None
    ) -> Recurrent:
        """Return a recurrent layer that reads `memory` and shares the parameters: to stream, explain or inspect.

        Parameters
        ----------
        memory : Tensor
            (S, N, E), as an encoder returned it.
        memory_lengths, memory_mask
            As `lengths` and `mask` in `Attention.prepare`.

        Returns
        -------
        Recurrent
            A layer of one cell.
        """
        layer = copy.copy(self.recurrent)
        layer.cells = [self.cell.over(self.cell.attention.prepare(memory, memory_lengths, memory_mask))]
        return layer

    def forward(
        self,
        xs: Tensor,
        memory: Tensor,
        state: Tree = None,
        memory_lengths: ArrayLike | None = None,
        memory_mask: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        reset: ArrayLike | None = None,
    ) -> tuple[Tensor, ...]:
        """Run the layer over a sequence.

        Parameters
        ----------
        xs : Tensor
            (T, N, I).
        memory : Tensor
            (S, N, E), as an encoder returned it.
        state : tuple, optional
            ``(state of the cell, context)``; zeros by default. ``decoder.cell.begin(state, N)`` makes it from an
            encoder's state.
        memory_lengths, memory_mask
            As `lengths` and `mask` in `Attention.prepare`.
        lengths, mask, reset
            The valid steps of xs, and where the state is reset, as in `Recurrent`.

        Returns
        -------
        ys : Tensor
            (T, N, H + E), outputs of the cell and contexts, concatenated.
        state : tuple
            The last state.
        states
            Only with `return_all_states`, as in `Recurrent`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument has another shape, dtype or structure.
        """
        layer = self.over(memory, memory_lengths, memory_mask)
        return layer(xs, state, lengths=lengths, mask=mask, reset=reset)
