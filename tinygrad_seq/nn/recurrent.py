"""`Recurrent`: any cell over a sequence, in one layer or several."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.normalisation import dropout as drop
from ..ops.shape import swapaxes
from ..scan import Remember, check_remember, program_of, scan
from ..scan.leaves import name_of, named_leaves
from ..scan.trace import as_leaf
from ..tree import Tree, describe, flatten, map_leaves
from .cell import Cell, step_of_one
from .checks import check_features, check_probability, check_sizes
from .module import Module
from .stream import Stream


class Recurrent(Module):
    """A recurrent layer made of any cell: its step, applied from t = 0 to T - 1.

    The step is compiled, forward and backward, when it first runs on a machine; `explain` shows what became of it. A
    cell that cannot be compiled runs step by step, with one `CompileWarning` that names the line and the reason; inside
    `disable_compile` every cell does.

    Parameters
    ----------
    cell
        A `Cell`, or a list of cells, one per layer; each further cell reads the outputs of the one before.
    num_layers
        For a single cell: the number of layers. The further ones are copies of it with parameters drawn anew, so the
        cell must read what it puts out (input size = output size), and it or its modules must have a method
        ``reset_parameters``. Where the sizes differ, pass a list: ``[GRUCell(8, 64), GRUCell(64, 64)]``.
    batch_first
        Whether inputs and outputs are (N, T, ...) instead of (T, N, ...).
    dropout
        The probability of an output of a layer, except the last, to be dropped in training.
    window
        Truncated backpropagation: no gradient crosses from one block of `window` steps into the one before.
    remember
        ``"all"``, ``"sqrt"`` or a number of steps: less memory for more time, as in `scan`.

    Attributes
    ----------
    cells : list of Cell
        One per layer.

    Raises
    ------
    ArgumentError
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
        cell: Cell | Sequence[Cell],
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        window: int | None = None,
        remember: Remember = "all",
    ) -> None:
        check_sizes("Recurrent", num_layers=num_layers)
        check_remember("Recurrent", remember)
        if window is not None:
            check_sizes("Recurrent", window=window)
        cells: list[Any] = list(cell) if isinstance(cell, list | tuple) else [cell]
        for position, each in enumerate(cells):
            if not isinstance(each, Cell):
                raise ArgumentError(
                    f"Recurrent: expected a Cell, got {type(each).__name__} at position {position}; derive it from "
                    "nn.Cell: state_shape and forward(x, state) -> (output, state)."
                )
        if num_layers > 1 and len(cells) != num_layers:
            if len(cells) != 1:
                raise ArgumentError(
                    f"Recurrent: expected num_layers={num_layers} cells, got {len(cells)}; leave num_layers out."
                )
            cells += [_redrawn(cells[0]) for _ in range(num_layers - 1)]
        if not cells:
            raise ArgumentError("Recurrent: expected at least one cell, got an empty list; pass e.g. LSTMCell(8, 16).")
        check_layer_dropout("Recurrent", dropout, len(cells))
        self.cells: list[Cell] = cells
        self.batch_first, self.dropout, self.window, self.remember = batch_first, dropout, window, remember

    @property
    def num_layers(self) -> int:
        return len(self.cells)

    def initial_state(self, batch_size: int) -> Tree:
        """Return the state that `forward` starts from by default."""
        states = tuple(cell.initial_state(batch_size) for cell in self.cells)
        return states[0] if len(states) == 1 else states

    def forward(self, xs: Tree, state: Tree = None) -> tuple[Tree, Tree]:
        """Return ``(ys, state)``: the outputs of the last layer and the state after the last step.

        Parameters
        ----------
        xs
            (T, N, I), or nested tuples, lists and dicts of arrays (T, N, ...) if the cell takes them.
        state
            The state to start from, zeros by default. With one layer it is the cell's; with several a tuple of one
            state per layer. Its gradient flows.

        Returns
        -------
        ys
            (T, N, H), or the structure of the cell's output.
        state
            As `state`; pass it (through `detach_state`) to the next call to go on.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If xs or the state does not fit the cell.
        """
        xs = map_leaves(as_leaf, xs)
        batch_size = self._check_inputs(xs)
        if self.batch_first:
            xs = map_leaves(_swap, xs)
        states = self._split(state, (batch_size,))
        dropout = self.dropout if self.training else 0.0
        ys, states = run_layers(self.cells, xs, states, dropout, self.window, self.remember)
        if self.batch_first:
            ys = map_leaves(_swap, ys)
        return ys, self._join(states)

    def stream(self, batch_size: int, state: Tree = None) -> Stream:
        """Return this layer as a function of one step's inputs, which keeps its state: see `Stream`.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> stream = ts.nn.Recurrent(ts.nn.GRUCell(3, 5)).stream(batch_size=2)
        >>> stream(ts.randn(2, 3)).shape, stream.state.shape
        ((2, 5), (2, 5))
        """
        return Stream(self, batch_size, state)

    def _cells(self) -> list[Cell]:
        return self.cells

    def explain(self, xs: Tree, layer: int = 0) -> str:
        """Return what the step of a layer was compiled to; of the first layer, `xs` are the inputs.

        It shows what is done before, during and after the loop over time, forward and backward, what is saved, the
        memory that takes, and the generated source.

        Parameters
        ----------
        xs
            As in `forward`; for a further layer, the outputs of the one before.
        layer
            The number of the layer, from 0.
        """
        xs = map_leaves(as_leaf, xs)
        if self.batch_first:
            xs = map_leaves(_swap, xs)
        length, batch_size = flatten(xs)[0][0].shape[:2]
        cell = self.cells[layer]
        program = program_of(step_of_one(cell), cell.initial_state(batch_size), xs)
        return program.explain(length, self.remember)

    def _check_inputs(self, xs: Tree) -> int:
        """Refuse inputs that do not fit; return N."""
        cell, axes = self.cells[0], "(N, T, " if self.batch_first else "(T, N, "
        axes, rank = (f"{axes}...)", 2) if cell.input_size is None else (f"{axes}{cell.input_size})", 3)
        sizes = {}
        for path, leaf in named_leaves(xs):
            if leaf.ndim < rank:
                raise ShapeError(
                    f"Recurrent: expected {name_of('xs', path)} of shape {axes}, got {leaf.shape} {leaf.dtype}; "
                    "add the missing axis with xs[:, None] or xs[None]."
                )
            if leaf.dtype.kind == "f" and leaf.dtype != cell.dtype:
                raise DtypeError(
                    f"Recurrent: expected {name_of('xs', path)} as {cell.dtype} like the cell, got {leaf.shape} "
                    f"{leaf.dtype}; cast it with astype, or the module with .float() or .double()."
                )
            sizes[name_of("xs", path)] = leaf.shape[0 if self.batch_first else 1]
        if not sizes:
            raise ArgumentError("Recurrent: expected inputs xs, got none; pass an array of shape (T, N, ...).")
        if len(set(sizes.values())) > 1:
            raise ShapeError(f"Recurrent: expected one batch size, got {sizes}; pass the same N for all inputs.")
        if cell.input_size is not None:
            check_features(type(cell).__name__, xs, cell.input_size)
        return int(next(iter(sizes.values())))

    def _split(self, state: Tree, batch: tuple[int, ...]) -> Sequence[Tree]:
        """Return the state of each cell."""
        (batch_size,) = batch
        if state is None:
            return [cell.initial_state(batch_size) for cell in self.cells]
        states = [state] if len(self.cells) == 1 else state
        if not isinstance(states, tuple | list) or len(states) != len(self.cells):
            raise ArgumentError(
                f"Recurrent: expected a tuple of {len(self.cells)} states, one per layer, got {describe(state)}; "
                "pass what the layer returned or initial_state(batch_size)."
            )
        for cell, part in zip(self.cells, states, strict=True):
            cell.check_state(part, batch_size)
        return states

    def _join(self, states: Sequence[Tree], batched: bool = True) -> Tree:
        """Return the states of the cells as the state of the layer."""
        return states[0] if len(states) == 1 else tuple(states)


def run_layers(
    cells: Sequence[Cell],
    xs: Tree,
    states: Sequence[Tree],
    dropout: float,
    window: int | None = None,
    remember: Remember = "all",
) -> tuple[Tree, tuple[Tree, ...]]:
    """Return the outputs of the last of `cells` over time-major `xs`, and the final state of each."""
    finals = []
    for layer, (cell, state) in enumerate(zip(cells, states, strict=True)):
        if layer and dropout:
            xs = map_leaves(lambda y: drop(y, dropout), xs)
        state, xs = scan(step_of_one(cell), state, xs, window=window, remember=remember)
        finals.append(state)
    return xs, tuple(finals)


def check_layer_dropout(layer: str, dropout: float, num_layers: int) -> None:
    """Refuse a dropout that is no probability or has no place to be, between layers."""
    check_probability(layer, dropout=dropout)
    if dropout and num_layers == 1:
        raise ArgumentError(
            f"{layer}: expected dropout=0 with one layer, got {dropout}; it acts between layers: "
            "raise num_layers, or put nn.Dropout after the layer."
        )


def _redrawn(cell: Cell) -> Cell:
    """Return a copy of `cell` with parameters drawn anew."""
    kind, size = type(cell).__name__, cell.input_size
    if size is not None and (hidden := getattr(cell, "hidden_size", size)) != size:
        raise ArgumentError(
            f"Recurrent: expected a {kind} that reads its own output, got input_size {size} and hidden_size "
            f"{hidden}; pass a list of cells, one per layer, with the sizes of each."
        )
    other = copy.deepcopy(cell)
    drawn = [module for module in other.modules() if hasattr(module, "reset_parameters")]
    reached = {id(parameter) for module in drawn for parameter in module.parameters()}
    if any(id(parameter) not in reached for parameter in other.parameters()):
        raise ArgumentError(
            f"Recurrent: expected a {kind} with a method reset_parameters, got none, so all layers would start equal; "
            "write that method, or pass a list of cells, one per layer."
        )
    for module in reversed(drawn):  # the outer ones last, as in constructors
        module.reset_parameters()
    return other


def _swap(x: Any) -> Any:
    return swapaxes(x, 0, 1)
