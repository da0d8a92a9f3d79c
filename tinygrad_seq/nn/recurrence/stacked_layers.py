"""`StackedLayers`: the base of the layers with PyTorch's arguments, parameter names and shapes."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy as np
from numpy.typing import DTypeLike

from ...autograd.tensor import Tensor
from ...base.tree import Tree, describe, map_leaves
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.joining import stack, unstack
from ...ops.primitive import Array
from ...ops.shape import expand_dims, reshape, squeeze
from ...scan.ir.trace import as_leaf
from ..cells.gated import GatedCell
from ..cells.lstm import check_projection
from ..checks import check_features, check_sizes, check_switches
from ..module.parameter import Parameter
from ..module.placement import check_placement
from ..packed_sequence import PackedSequence
from .layer import SequenceLayer
from .options import Options, joins

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")

# The cells of each living layer, one for each layer and direction.
_cells: weakref.WeakKeyDictionary[StackedLayers, dict[str, GatedCell]] = weakref.WeakKeyDictionary()


class StackedLayers(SequenceLayer):
    """Base of `RNN`, `GRU` and `LSTM`: the parameters of layer k are attributes ``weight_ih_l<k>``, ...

    A subclass may set `settings` and `proj_size` before it calls this constructor.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers : int, default 1
        L; each further layer reads the outputs of the one before.
    bias : bool, default True
        Whether there are biases.
    batch_first : bool, default False
        Whether inputs and outputs are (N, T, ·) instead of (T, N, ·).
    dropout : float, default 0.0
        The probability of dropping an output of a layer, except the last, in training.
    bidirectional : bool, default False
        Whether each layer has a second direction, from the end to the beginning; further layers read both outputs.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.
    **options
        See `Options`: more dropout, zoneout, residual layers, learned initial states, truncated backpropagation, ...

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> isinstance(ts.nn.LSTM(3, 5), ts.nn.LSTM.__base__)
    True
    """

    cell: ClassVar[type[GatedCell]]
    proj_size: int = 0
    settings: dict[str, Any] = {}  # noqa: RUF012 - attributes of the cells beside their parameters; never written to

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Parameter: ...  # weight_ih_l0, ...: as many as there are layers

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        **options: Unpack[Options],
    ) -> None:
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_switches(name, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        check_placement(name, device, dtype)
        check_projection(name, hidden_size, self.proj_size)
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        arguments: dict[str, Any] = self.settings | ({"proj_size": self.proj_size} if self.proj_size else {})
        merged = (self.proj_size or hidden_size) * (1 + (bidirectional and joins(options.get("merge", "concat"))))
        made = []
        for suffix in _suffixes(num_layers, bidirectional):
            reads = input_size if suffix.startswith("_l0") else merged
            made.append(self.cell(reads, hidden_size, bias, dtype=dtype, **arguments))
            for parameter in self._names():
                setattr(self, parameter + suffix, getattr(made[-1], parameter))
        sizes = [(cell.input_size, cell.output_size) for cell in made[:: 1 + bidirectional]]
        self._set_up(made, sizes, bidirectional, batch_first, dropout, options)

    def layer(self, index: int, reverse: bool = False) -> GatedCell:
        """Return a cell with the parameters of one layer and direction: the parameters themselves, not copies.

        Parameters
        ----------
        index : int
            The number of the layer, from 0.
        reverse : bool, default False
            Whether to return the cell of the backward direction.

        Returns
        -------
        Cell
            An `ElmanCell`, `GRUCell` or `LSTMCell`.
        """
        return self.cell.of(self._own(f"_l{index}_reverse" if reverse else f"_l{index}"), **self.settings)

    def _names(self) -> tuple[str, ...]:
        return _NAMES if self.proj_size else _NAMES[:-1]

    def _own(self, suffix: str) -> dict[str, Parameter | None]:
        """Return the parameters of one layer and direction, by their names in its cell."""
        return {name: getattr(self, name + suffix) for name in self._names()}

    def _cell(self, suffix: str) -> GatedCell:
        """Return the cell of one layer and direction: the same object as long as its parameters are the same."""
        own = self._own(suffix)
        settings = self.settings
        if "_precision" in vars(self):  # set by `quantize`
            settings = settings | {"_precision": self._precision, "training": False}
        made_of = own | settings
        cells = _cells.setdefault(self, {})
        cell = cells.get(suffix)
        if cell is None or not all(map(is_, map(vars(cell).get, made_of), made_of.values())):
            cell = cells[suffix] = self.cell.of(own, **settings)
        return cell

    def flatten_parameters(self) -> None:
        """Do nothing; accepted because PyTorch code calls it to lay out weights for cuDNN."""

    def forward(
        self,
        xs: Array | PackedSequence,
        state: Any = None,
        *,
        hx: Any = None,
        lengths: Any = None,
        mask: Any = None,
        reset: Any = None,
    ) -> tuple[Tensor, Any, *tuple[Any, ...]]:
        """Return ``(ys, state)``: the last layer's h at every step, and the state of all layers after the last step.

        Parameters
        ----------
        xs : Tensor (T, N, I), (N, T, I) or (T, I), or PackedSequence
            The inputs: time-major, with `batch_first`, or one sequence; or packed sequences, for packed outputs.
        state : Tensor (L, N, H) or (L, H), or a tuple of two, default None
            The state to start from: h, or the tuple (h, c) of an `LSTM`. With two directions the first axis is 2L:
            layer 0 forward, layer 0 backward, layer 1 ... None for the initial state. Its gradient flows.
        hx : Tensors, default None
            PyTorch's name of `state`.
        lengths, mask, reset : default None
            See `Recurrent.forward`; for batches only.

        Returns
        -------
        ys : Tensor (T, N, H), (N, T, H) or (T, H), or PackedSequence
            As `xs`; with 2H features if the outputs of two directions are concatenated.
        state : Tensor or a tuple of two
            As `state`.
        states : Tensor (L, T, N, H), (L, N, T, H) or (L, T, H), or a tuple of two
            Only with `return_all_states`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If xs, the state or the flags do not fit the layer or each other.
        """
        if hx is not None:
            if state is not None:
                raise ArgumentError(f"{type(self).__name__}: expected state or hx, got both; leave one out.")
            state = hx
        if not isinstance(xs, Tensor):
            if isinstance(xs, PackedSequence):
                return self._packed(xs, state, (lengths, mask, reset))
            xs = as_leaf(xs, type(self).__name__)
        if xs.ndim != 2:
            return super().forward(xs, state, lengths=lengths, mask=mask, reset=reset)
        if any(given is not None for given in (lengths, mask, reset)):
            raise ArgumentError(
                f"{type(self).__name__}: expected a batch (T, N, I) with lengths, mask or reset, got one sequence "
                f"{xs.shape} {xs.dtype}; add the axis with xs[:, None]."
            )
        axis = 0 if self.batch_first else 1
        if state is not None:
            self._check_state(state, ())
            state = map_leaves(lambda part: expand_dims(as_leaf(part), 1), state)
        ys, final, *states = super().forward(expand_dims(xs, axis), state)
        alone = map_leaves(lambda part: squeeze(part, 1), final)
        return (
            map_leaves(lambda part: squeeze(part, axis), ys),
            alone,
            *map_leaves(lambda part: squeeze(part, axis + 1), states),
        )

    def _packed(self, xs: PackedSequence, state: Any, flags: tuple[Any, ...]) -> Any:
        """Run the layer on packed sequences; only the outputs are packed again."""
        if any(given is not None for given in flags):
            raise ArgumentError(
                f"{type(self).__name__}: expected packed sequences alone, got lengths, mask or reset too; pass padded "
                "sequences with lengths=."
            )
        padded, lengths = xs.padded(self.batch_first)
        ys, final, *states = super().forward(padded, state, lengths=lengths)
        return map_leaves(lambda part: xs.like(part, self.batch_first), ys), final, *states

    def _pass_cells(self) -> list[GatedCell]:
        return [self._cell(suffix) for suffix in _suffixes(self.num_layers, self.bidirectional)]

    def _check_inputs(self, xs: Tensor) -> None:
        name, dtype = type(self).__name__, self.weight_ih_l0.dtype
        axes = "(N, T, I)" if self.batch_first else "(T, N, I)"
        if getattr(xs, "ndim", None) != 3:
            raise ShapeError(
                f"{name}: expected xs of shape {axes}, or (T, I) for one sequence, with I={self.input_size}, "
                f"got {describe(xs)}; reshape it."
            )
        check_features(name, xs, self.input_size, dtype)

    def _split(self, state: Any, batch_size: int) -> list[Tree]:
        """Return the state of each pass as (N, H) arrays."""
        self._check_state(state, (batch_size,))
        if self.cell.states == 1:
            return list(unstack(as_leaf(state)))
        return list(zip(*[unstack(as_leaf(part)) for part in state], strict=True))

    def _check_state(self, state: Any, batch: tuple[int, ...]) -> None:
        name, states = type(self).__name__, self.cell.states
        parts = state if states > 1 else (state,)
        if not isinstance(parts, tuple | list) or len(parts) != states:
            raise ArgumentError(
                f"{name}: expected a state (h, c), got {describe(state)}; pass a tuple of two arrays (L, N, H)."
            )
        rows, dtype = self.num_layers * (1 + self.bidirectional), self.weight_ih_l0.dtype
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)
        for letter, part, size in zip("hc", map(as_leaf, parts), sizes, strict=False):
            wanted = (rows, *batch, size)
            facts = f"{name}: expected state {letter!r} of shape {wanted} {dtype}, got {part.shape} {part.dtype}; "
            if part.shape != wanted:
                raise ShapeError(f"{facts}pass one row for each layer, direction and sequence.")
            if part.dtype != dtype:
                raise DtypeError(f"{facts}cast it with astype.")

    _stacks_states = True

    def _split_arrays(self, leaves: Sequence[Any], counts: Sequence[int]) -> Sequence[Sequence[Any]]:
        if len(counts) == 1:
            return [leaves]
        return list(zip(*map(unstack, leaves), strict=True))

    def _join_arrays(self, states: Sequence[Sequence[Any]]) -> Sequence[Any]:
        if len(states) == 1:
            return [array[None] for array in states[0]]
        return [np.stack(column) for column in zip(*states, strict=True)]

    def _join(self, states: Sequence[Tree]) -> Tree:
        if self.cell.states == 1:
            return _stacked(states)
        return tuple(map(_stacked, zip(*states, strict=True)))


def _stacked(arrays: Sequence[Any]) -> Any:
    return stack(list(arrays)) if len(arrays) > 1 else reshape(arrays[0], (1, *arrays[0].shape))


def _suffixes(num_layers: int, bidirectional: bool) -> list[str]:
    """Return the suffix of the parameter names of each pass, as in PyTorch."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [f"_l{layer}{direction}" for layer in range(num_layers) for direction in directions]
