"""`RNN`, `GRU` and `LSTM`: layers with PyTorch's arguments, parameter names and shapes."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from ...autograd.tensor import Tensor
from ...base.tree import Tree, describe, map_leaves
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.joining import stack, unstack
from ...ops.primitive import Array
from ...ops.shape import expand_dims, squeeze
from ...scan.ir.trace import as_leaf
from ..cells import ElmanCell, GRUCell, LSTMCell
from ..cells.gated import GatedCell, check_placement
from ..cells.lstm import check_projection
from ..checks import check_features, check_sizes, check_switches
from ..module.parameter import Parameter
from .layer import SequenceLayer
from .options import Options
from .passes import Pass

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")

_cells: weakref.WeakKeyDictionary[StackedLayers, dict[str, GatedCell]] = weakref.WeakKeyDictionary()


class StackedLayers(SequenceLayer):
    """Base of `RNN`, `GRU` and `LSTM`: the parameters of layer k are attributes ``weight_ih_l<k>``, ..."""

    cell: ClassVar[type[GatedCell]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Parameter: ...  # weight_ih_l0, ...: as many as there are layers

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        device: Any,
        dtype: Any,
        options: Options,
        proj_size: int = 0,
        **of_cell: Any,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_switches(name, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        check_placement(name, device, dtype)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.proj_size, self._of_cell = bias, proj_size, of_cell
        projected: dict[str, Any] = {"proj_size": proj_size} if proj_size else {}
        merged = (proj_size or hidden_size) * (1 + (bidirectional and options.get("merge", "concat") == "concat"))
        made = []
        for suffix in _suffixes(num_layers, bidirectional):
            reads = input_size if suffix.startswith("_l0") else merged
            made.append(self.cell(reads, hidden_size, bias, dtype=dtype, **projected, **of_cell))
            for parameter, values in vars(made[-1]).items():
                if parameter.startswith(("weight_", "bias_")):
                    setattr(self, parameter + suffix, values)
        sizes = [(cell.input_size, cell.output_size) for cell in made[:: 1 + bidirectional]]
        self._set_up(made, sizes, bidirectional, batch_first, dropout, options)

    def layer(self, index: int, reverse: bool = False) -> GatedCell:
        """Return the cell of one layer and direction; it has this module's own parameters."""
        return self.cell.of(self._own(f"_l{index}_reverse" if reverse else f"_l{index}"), **self._of_cell)

    def _own(self, suffix: str) -> dict[str, Parameter | None]:
        """Return the parameters of one layer and direction, by the names that they have in its cell."""
        names = _NAMES if self.proj_size else _NAMES[:-1]
        return {name: getattr(self, name + suffix) for name in names}

    def _cell(self, suffix: str) -> GatedCell:
        """Return the cell of one layer and direction, the same one as long as it is made of the same things."""
        made_of = self._own(suffix) | self._of_cell
        cells = _cells.setdefault(self, {})
        cell = cells.get(suffix)
        held = {} if cell is None else vars(cell)
        if cell is None or any(held.get(name) is not value for name, value in made_of.items()):
            cell = cells[suffix] = self.cell.of(self._own(suffix), **self._of_cell)
        return cell

    def flatten_parameters(self) -> None:
        """Do nothing: PyTorch lays its weights out for cuDNN here, and code written for it may ask for that."""

    def forward(
        self, xs: Array, state: Any = None, *, lengths: Any = None, mask: Any = None, reset: Any = None
    ) -> tuple[Tensor, Any, *tuple[Any, ...]]:
        """Return ``(ys, state)``: the last layer's h at every step, and the state of all layers after the last.

        Parameters
        ----------
        xs
            (T, N, I); (N, T, I) with `batch_first`; or (T, I) for one sequence.
        state
            The state to start from, (L, N, H) or (L, H): h, and for `LSTM` the tuple (h, c). With two directions there
            are 2L rows: layer 0 forward, layer 0 backward, layer 1 ... By default the initial state. Its
            gradient flows.
        lengths, mask, reset
            See `Recurrent.forward`; for batches.

        Returns
        -------
        ys
            (T, N, H), (N, T, H) or (T, H), as `xs`; 2H if the outputs of two directions are joined.
        state
            As `state`.
        states
            Only with `return_all_states`: (L, T, N, H), (L, N, T, H) or (L, T, H), as `xs`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If xs, the state or the flags do not fit the layer or each other.
        """
        xs = as_leaf(xs)
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
        return squeeze(ys, axis), alone, *map_leaves(lambda part: squeeze(part, axis + 1), states)

    def _passes(self) -> list[Pass]:
        firsts = self.initial_states or [None] * self.num_layers * (1 + self.bidirectional)
        return [
            Pass(self._cell(suffix), self.options["go_backwards"] or suffix.endswith("reverse"), first, None)
            for suffix, first in zip(_suffixes(self.num_layers, self.bidirectional), firsts, strict=True)
        ]

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

    def _join(self, states: Sequence[Tree]) -> Tree:
        if self.cell.states == 1:
            return stack(list(states))
        return tuple(stack(list(column)) for column in zip(*states, strict=True))


def _suffixes(num_layers: int, bidirectional: bool) -> list[str]:
    """Return what the names of the parameters of each pass end with, as in PyTorch."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [f"_l{layer}{direction}" for layer in range(num_layers) for direction in directions]


class RNN(StackedLayers):
    """Elman's recurrent network in `num_layers` layers, as `torch.nn.RNN`; the step is that of `ElmanCell`.

    The step is compiled, forward and backward, when it first runs on a machine; inside `disable_compile` it never is.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    num_layers
        L; each further layer reads the outputs of the one before.
    nonlinearity
        ``"tanh"`` or ``"relu"``.
    bias
        Whether there are biases.
    batch_first
        Whether inputs and outputs are (N, T, ·) instead of (T, N, ·).
    dropout
        The probability of an output of a layer, except the last, to be dropped in training.
    bidirectional
        Whether each layer has a second direction, from the end to the beginning; layers above read both outputs.
    device
        None or ``"cpu"``: what PyTorch's constructors take.
    dtype
        ``"float32"`` or ``"float64"``; None: the default one.
    **options
        See `Options`: more dropout, zoneout, residual layers, learned initial states, truncated backpropagation, ...

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (H, I) in layer 0 and (H, H) above, 2H after two directions; (H, H); (H,); (H,). Of the second direction the
        names end in ``_reverse``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ys, h = ts.nn.RNN(3, 5, num_layers=2)(ts.randn(7, 4, 3))
    >>> ys.shape, h.shape
    ((7, 4, 5), (2, 4, 5))
    """

    cell = ElmanCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            options,
            nonlinearity=nonlinearity,
        )


class GRU(StackedLayers):
    """Gated recurrent units in `num_layers` layers, as `torch.nn.GRU`; the step is that of `GRUCell`.

    The step is compiled, forward and backward, when it first runs on a machine; inside `disable_compile` it never is.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    num_layers
        L; each further layer reads the outputs of the one before.
    bias
        Whether there are biases.
    batch_first
        Whether inputs and outputs are (N, T, ·) instead of (T, N, ·).
    dropout
        The probability of an output of a layer, except the last, to be dropped in training.
    bidirectional
        Whether each layer has a second direction, from the end to the beginning; layers above read both outputs.
    device
        None or ``"cpu"``: what PyTorch's constructors take.
    dtype
        ``"float32"`` or ``"float64"``; None: the default one.
    **options
        See `Options`: more dropout, zoneout, residual layers, learned initial states, truncated backpropagation, ...

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (3H, I) in layer 0 and (3H, H) above, 2H after two directions; (3H, H); (3H,); (3H,). Of the second direction
        the names end in ``_reverse``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ys, h = ts.nn.GRU(3, 5, batch_first=True)(ts.randn(4, 7, 3))
    >>> ys.shape, h.shape
    ((4, 7, 5), (1, 4, 5))
    """

    cell = GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, options
        )


class LSTM(StackedLayers):
    """Long short-term memory in `num_layers` layers, as `torch.nn.LSTM`; the step is that of `LSTMCell`.

    The step is compiled, forward and backward, when it first runs on a machine; inside `disable_compile` it never is.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    num_layers
        L; each further layer reads the outputs of the one before.
    bias
        Whether there are biases.
    batch_first
        Whether inputs and outputs are (N, T, ·) instead of (T, N, ·).
    dropout
        The probability of an output of a layer, except the last, to be dropped in training.
    bidirectional
        Whether each layer has a second direction, from the end to the beginning; layers above read both outputs.
    proj_size
        P > 0: h has P elements, a projection, and H is the size of c; 0 for none, P = H.
    device
        None or ``"cpu"``: what PyTorch's constructors take.
    dtype
        ``"float32"`` or ``"float64"``; None: the default one.
    **options
        See `Options`: more dropout, zoneout, residual layers, learned initial states, truncated backpropagation, ...

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (4H, I) in layer 0 and (4H, P) above, 2P after two directions; (4H, P); (4H,); (4H,).
    weight_hr_l<k> : Parameter
        (P, H), if there is a projection. Of the second direction all names end in ``_reverse``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ys, (h, c) = ts.nn.LSTM(3, 5, num_layers=2)(ts.randn(7, 4, 3))
    >>> ys.shape, h.shape, c.shape
    ((7, 4, 5), (2, 4, 5), (2, 4, 5))
    """

    cell = LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        **options: Unpack[Options],
    ) -> None:
        check_projection("LSTM", hidden_size, proj_size)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            options,
            proj_size,
        )
