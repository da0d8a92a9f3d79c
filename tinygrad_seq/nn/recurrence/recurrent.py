"""`Recurrent`: run any cell over a sequence, in one or more layers."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any, Unpack

from ...autograd.creation import zeros
from ...base.tree import Tree, describe, flatten
from ...errors import ArgumentError, DtypeError, ShapeError
from ...scan.ir.leaves import name_of, named_leaves
from ...scan.ir.trace import as_leaf
from ..cell import Cell
from ..checks import check_features, check_sizes, check_switches
from ..module.parameter import Parameter
from ..module.reinitialise import reinitialise
from .layer import SequenceLayer
from .options import Options, joins
from .passes import draw_projection


class Recurrent(SequenceLayer):
    """A recurrent layer made from any cell: applies its step from t = 0 to T - 1.

    The step is compiled, forward and backward, when it first runs on a machine; `explain` shows the result. A cell that
    cannot be compiled runs step by step, with one `CompileWarning` that names the line and the reason; inside
    `disable_compile`, every cell runs this way.

    Parameters
    ----------
    cell : Cell, or list of cells
        A cell, or one per layer; each further cell reads the outputs of the layer before.
    num_layers : int, default 1
        The number of layers if a single cell is given. Further layers are copies of it with re-initialised parameters,
        so the cell must read its own output, and it or its modules must have a method ``reset_parameters``. If the
        sizes differ, pass a list: ``[GRUCell(8, 64), GRUCell(64, 64)]``.
    batch_first : bool, default False
        Whether inputs and outputs are (N, T, ...) instead of (T, N, ...).
    dropout : float, default 0.0
        The probability of dropping an output of a layer, except the last, in training.
    bidirectional : bool, default False
        Whether a second cell runs from the end to the beginning: a copy with re-initialised parameters, or the second
        of a pair: ``[(GRUCell(8, 64), GRUCell(8, 64)), ...]``.
    proj_size : int, default 0
        P > 0: the outputs of each layer and direction are multiplied by a matrix (P, H).
    **options
        See `Options`: variational, recurrent and weight dropout, zoneout, residual layers, learned initial states,
        truncated backpropagation, returning all states, carrying states from call to call ...

    Attributes
    ----------
    cells : list of Cell
        One per layer; with two directions, the forward and then the backward cell of each layer.
    projections : list of Parameter
        (P, H), one for each cell, if there is a `proj_size`.

    Raises
    ------
    ArgumentError, ShapeError
        If an argument is outside its range, or the cell cannot be copied into further layers.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> layer = ts.nn.Recurrent([ts.nn.NotesGRUCell(3, 8), ts.nn.LSTMCell(8, 5)])
    >>> ys, (c, (h, lstm_c)) = layer(ts.randn(7, 2, 3))
    >>> ys.shape, c.shape, h.shape
    ((7, 2, 5), (2, 8), (2, 5))
    """

    def __init__(
        self,
        cell: Cell | Sequence[Cell | tuple[Cell, Cell]],
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        **options: Unpack[Options],
    ) -> None:
        check_sizes("Recurrent", num_layers=num_layers)
        check_switches("Recurrent", batch_first=batch_first, bidirectional=bidirectional)
        layers: list[Any] = list(cell) if isinstance(cell, list | tuple) else [cell]
        _check_cells(layers, bidirectional)
        if num_layers > 1 and len(layers) != num_layers:
            if len(layers) != 1 or isinstance(layers[0], tuple):
                raise ArgumentError(
                    f"Recurrent: expected num_layers={num_layers} cells, got {len(layers)}; leave num_layers out."
                )
            _check_reads_itself(layers[0], bidirectional and joins(options.get("merge", "concat")), proj_size)
            layers += [_reinitialised_copy(layers[0]) for _ in range(num_layers - 1)]
        if bidirectional:
            layers = [each if isinstance(each, tuple) else (each, _reinitialised_copy(each)) for each in layers]
        self.cells: list[Cell] = [one for each in layers for one in (each if bidirectional else (each,))]
        if proj_size:
            check_sizes("Recurrent", proj_size=proj_size)
        sizes = [(each.input_size, proj_size or _output_size(each)) for each in self.cells[:: 1 + bidirectional]]
        self._set_up(self.cells, sizes, bidirectional, batch_first, dropout, options)
        if proj_size:
            self.projections = [_projection(each, proj_size) for each in self.cells]

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return len(self.cells) // (1 + self.bidirectional)

    def _pass_cells(self) -> list[Cell]:
        return self.cells

    def _check_inputs(self, xs: Tree) -> None:
        """Raise if the inputs do not fit the first cell."""
        cell, axes = self.cells[0], "(N, T, " if self.batch_first else "(T, N, "
        axes, rank = (f"{axes}...)", 2) if cell.input_size is None else (f"{axes}{cell.input_size})", 3)
        times, sizes = {}, {}
        for path, leaf in named_leaves(xs):
            if leaf.ndim < rank or (leaf.ndim > rank and cell.input_size is not None):
                raise ShapeError(
                    f"Recurrent: expected {name_of('xs', path)} of shape {axes}, got {leaf.shape} {leaf.dtype}; "
                    "add a missing axis with xs[:, None] or xs[None]."
                )
            if leaf.dtype.kind == "f" and leaf.dtype != cell.dtype:
                raise DtypeError(
                    f"Recurrent: expected {name_of('xs', path)} as {cell.dtype} like the cell, got {leaf.shape} "
                    f"{leaf.dtype}; cast it with astype, or the module with .float() or .double()."
                )
            steps, rows = leaf.shape[1::-1] if self.batch_first else leaf.shape[:2]
            times[name_of("xs", path)], sizes[name_of("xs", path)] = steps, rows
        if not sizes:
            raise ArgumentError("Recurrent: expected inputs xs, got none; pass an array of shape (T, N, ...).")
        if len(set(sizes.values())) > 1:
            raise ShapeError(f"Recurrent: expected one batch size, got {sizes}; pass the same N for all inputs.")
        if len(set(times.values())) > 1:
            raise ShapeError(f"Recurrent: expected one length T, got {times}; cut or pad all inputs to the same T.")
        if cell.input_size is not None:
            check_features("Recurrent", xs, cell.input_size, cell.dtype)

    def _split(self, state: Tree, batch_size: int) -> list[Tree]:
        """Return the state of each pass."""
        states = [state] if len(self.cells) == 1 else state
        if not isinstance(states, tuple | list) or len(states) != len(self.cells):
            raise ArgumentError(
                f"Recurrent: expected a tuple of {len(self.cells)} states, one for each layer and direction, got "
                f"{describe(state)}; pass what the layer returned or initial_state(batch_size)."
            )
        parts = []
        for cell, part in zip(self.cells, states, strict=True):
            cell.check_state(part, batch_size)
            rebuild = flatten(cell.initial_state(1))[1]  # a list may stand for a tuple
            parts.append(rebuild([as_leaf(leaf) for leaf in flatten(part)[0]]))
        return parts

    def _split_arrays(self, leaves: Sequence[Any], counts: Sequence[int]) -> Sequence[Sequence[Any]]:
        ends = list(itertools.accumulate(counts))
        return [leaves[end - count : end] for count, end in zip(counts, ends, strict=True)]

    def _join_arrays(self, states: Sequence[Sequence[Any]]) -> Sequence[Any]:
        return [array for state in states for array in state]

    def _join(self, states: Sequence[Tree]) -> Tree:
        """Return the states of the cells as the state of the layer."""
        return states[0] if len(states) == 1 else tuple(states)


def _check_cells(layers: Sequence[Any], bidirectional: bool) -> None:
    if not layers:
        raise ArgumentError("Recurrent: expected at least one cell, got an empty list; pass e.g. LSTMCell(8, 16).")
    for position, each in enumerate(layers):
        if isinstance(each, tuple) and not (bidirectional and len(each) == 2):
            raise ArgumentError(
                f"Recurrent: expected a Cell at position {position}, got {len(each)} in a tuple; pass pairs of a "
                "forward and a backward cell with bidirectional=True only."
            )
        for one in each if isinstance(each, tuple) else (each,):
            if not isinstance(one, Cell):
                raise ArgumentError(
                    f"Recurrent: expected a Cell, got {type(one).__name__} at position {position}; derive it from "
                    "nn.Cell: state_shape and forward(x, state) -> (output, state)."
                )


def _output_size(cell: Cell) -> int | None:
    """Return the size of a cell's output: its `output_size`, else its `hidden_size`, else None."""
    size: int | None = getattr(cell, "output_size", getattr(cell, "hidden_size", None))
    return size


def _projection(cell: Cell, size: int) -> Parameter:
    hidden = _output_size(cell)
    if hidden is None:
        raise ArgumentError(
            f"Recurrent: expected a {type(cell).__name__} with an attribute output_size, which proj_size={size} needs, "
            "got none; set self.output_size in its __init__."
        )
    return draw_projection(Parameter(zeros((size, hidden), cell.dtype)))


def _check_reads_itself(cell: Cell, both: bool, proj_size: int) -> None:
    """Raise if a cell cannot read the output of a layer of it."""
    hidden = proj_size or _output_size(cell)
    if cell.input_size is not None and hidden is not None and cell.input_size != hidden * (1 + both):
        raise ArgumentError(
            f"Recurrent: expected a {type(cell).__name__} that reads its own output, got input_size {cell.input_size} "
            f"and an output of {hidden * (1 + both)}; pass a list of cells, one per layer, with the sizes of each."
        )


def _reinitialised_copy(cell: Cell) -> Cell:
    """Return a copy of `cell` with re-initialised parameters."""
    other = copy.deepcopy(cell)
    reinitialise("Recurrent", other)
    return other
