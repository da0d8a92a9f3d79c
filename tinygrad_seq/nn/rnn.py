"""`RNN`, `GRU` and `LSTM`: layers with PyTorch's arguments, parameter names and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.joining import stack, unstack
from ..ops.shape import expand_dims, swapaxes
from ..primitive import Array
from ..scan import Remember, check_remember
from ..scan.trace import as_leaf
from ..tensor import Tensor
from ..tree import describe
from .cells import ElmanCell, GRUCell, LSTMCell
from .cells.gated import GatedCell
from .checks import check_features, check_sizes
from .module import Module
from .recurrent import check_layer_dropout, run_layers
from .stream import Stream

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class StackedLayers(Module):
    """Base of `RNN`, `GRU` and `LSTM`: the parameters of layer k are attributes ``weight_ih_l<k>``, ..."""

    cell: ClassVar[type[GatedCell]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        remember: Remember = "all",
        **options: Any,
    ) -> None:
        name = type(self).__name__
        check_remember(name, remember)
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_layer_dropout(name, dropout, num_layers)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.remember = bias, batch_first, dropout, remember
        self._options = options
        for layer in range(num_layers):
            made = self.cell(hidden_size if layer else input_size, hidden_size, bias, **options)
            for parameter in _NAMES:
                setattr(self, f"{parameter}_l{layer}", getattr(made, parameter))

    def layer(self, index: int) -> GatedCell:
        """Return the cell of one layer; it has this module's own parameters."""
        return self.cell.of(*(getattr(self, f"{name}_l{index}") for name in _NAMES), **self._options)

    def reset_parameters(self) -> None:
        """Draw every parameter anew, uniform in ±1/sqrt(H)."""
        for index in range(self.num_layers):
            self.layer(index).reset_parameters()

    def forward(self, xs: Array, state: Any = None) -> tuple[Array, Any]:
        """Return ``(ys, state)``: the last layer's h at every step, and the state of all layers after the last.

        Parameters
        ----------
        xs
            (T, N, I); (N, T, I) with `batch_first`; or (T, I) for one sequence.
        state
            The state to start from, (L, N, H) or (L, H): h, and for `LSTM` the tuple (h, c). Zeros by default; its
            gradient flows.

        Returns
        -------
        ys
            (T, N, H), (N, T, H) or (T, H), as `xs`.
        state
            As `state`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If xs or the state does not fit the layer.
        """
        xs = as_leaf(xs)
        self._check_inputs(xs)
        batched = xs.ndim == 3
        if not batched:
            xs = expand_dims(xs, 1)
        elif self.batch_first:
            xs = swapaxes(xs, 0, 1)
        cells = self._cells()
        if state is None:
            states: Sequence[Any] = [cell.initial_state(xs.shape[1]) for cell in cells]
        else:
            states = self._split(state, (xs.shape[1],) if batched else ())
        ys, states = run_layers(cells, xs, states, self.dropout if self.training else 0.0, None, self.remember)
        final = self._join(states, batched)
        if not batched:
            return ys[:, 0], final
        return swapaxes(ys, 0, 1) if self.batch_first else ys, final

    def stream(self, batch_size: int, state: Any = None) -> Stream:
        """Return this layer as a function of one step's inputs (N, I), which keeps its state: see `Stream`.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> stream = ts.nn.LSTM(3, 5).stream(batch_size=1)
        >>> for x in ts.randn(7, 1, 3):
        ...     y = stream(x)
        >>> y.shape
        (1, 5)
        """
        return Stream(self, batch_size, state)

    def _cells(self) -> list[GatedCell]:
        return [self.layer(index) for index in range(self.num_layers)]

    def _check_inputs(self, xs: Tensor) -> None:
        name, dtype = type(self).__name__, self.weight_ih_l0.dtype  # type: ignore[attr-defined]
        axes = "(N, T, I)" if self.batch_first else "(T, N, I)"
        if xs.ndim not in (2, 3):
            raise ShapeError(
                f"{name}: expected xs of shape {axes}, or (T, I) for one sequence, with I={self.input_size}, "
                f"got {xs.shape} {xs.dtype}; reshape it."
            )
        check_features(name, xs, self.input_size)
        if xs.dtype != dtype:
            raise DtypeError(
                f"{name}: expected xs as {dtype} like the parameters, got {xs.shape} {xs.dtype}; "
                "cast xs with astype, or the module with .float() or .double()."
            )

    def _split(self, state: Any, batch: tuple[int, ...]) -> Sequence[Any]:
        """Return the state of each layer as (N, H) arrays."""
        name, states = type(self).__name__, self.cell.states
        parts = state if states > 1 else (state,)
        if not isinstance(parts, tuple | list) or len(parts) != states:
            raise ArgumentError(
                f"{name}: expected a state (h, c), got {describe(state)}; pass a tuple of two arrays (L, N, H)."
            )
        wanted, dtype = (self.num_layers, *batch, self.hidden_size), self.weight_ih_l0.dtype  # type: ignore[attr-defined]
        columns = []
        for letter, part in zip("hc", parts, strict=False):
            part = as_leaf(part)
            facts = f"{name}: expected state {letter!r} of shape {wanted} {dtype}, got {part.shape} {part.dtype}; "
            if part.shape != wanted:
                raise ShapeError(f"{facts}pass one row per layer and sequence.")
            if part.dtype != dtype:
                raise DtypeError(f"{facts}cast it with astype.")
            columns.append(unstack(part if batch else expand_dims(part, 1)))
        return list(zip(*columns, strict=True)) if states > 1 else columns[0]

    def _join(self, states: Sequence[Any], batched: bool) -> Any:
        columns = zip(*states, strict=True) if self.cell.states > 1 else [states]
        parts = [stack(list(column)) for column in columns]
        if not batched:
            parts = [part[:, 0] for part in parts]
        return tuple(parts) if self.cell.states > 1 else parts[0]


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
    remember
        ``"all"``, ``"sqrt"`` or a number of steps: less memory for more time, as in `scan`.

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (H, I) in layer 0 and (H, H) above; (H, H); (H,); (H,).

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
        remember: Remember = "all",
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, remember, nonlinearity=nonlinearity
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
    remember
        ``"all"``, ``"sqrt"`` or a number of steps: less memory for more time, as in `scan`.

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (3H, I) in layer 0 and (3H, H) above; (3H, H); (3H,); (3H,).

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
        remember: Remember = "all",
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, remember)


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
    remember
        ``"all"``, ``"sqrt"`` or a number of steps: less memory for more time, as in `scan`.

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (4H, I) in layer 0 and (4H, H) above; (4H, H); (4H,); (4H,).

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
        remember: Remember = "all",
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, remember)
