"""`RNN`, `GRU` and `LSTM`: layers with PyTorch's arguments, parameter names and shapes."""

from __future__ import annotations

from typing import Literal, Unpack

from numpy.typing import DTypeLike

from ...errors import ArgumentError
from ..cells.elman import ElmanCell
from ..cells.gru import GRUCell
from ..cells.lstm import LSTMCell
from .options import Options
from .stacked_layers import StackedLayers


class RNN(StackedLayers):
    """Elman's recurrent network in `num_layers` layers, as `torch.nn.RNN`; the step is that of `ElmanCell`.

    The step is compiled, forward and backward, when it first runs on a machine; inside `disable_compile` it never is.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers : int, default 1
        L; each further layer reads the outputs of the one before.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The activation function.
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

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (H, I) in layer 0 and (H, H) in further layers, 2H after two directions; (H, H); (H,); (H,). The names of the
        second direction end in ``_reverse``.

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If an argument is not one of those above.

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
        device: str | None = None,
        dtype: DTypeLike | None = None,
        **options: Unpack[Options],
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"{type(self).__name__}: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}; pass one."
            )
        self.settings = {"nonlinearity": nonlinearity}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, **options
        )


class GRU(StackedLayers):
    """Gated recurrent units in `num_layers` layers, as `torch.nn.GRU`; the step is that of `GRUCell`.

    The step is compiled, forward and backward, when it first runs on a machine; inside `disable_compile` it never is.

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

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (3H, I) in layer 0 and (3H, H) in further layers, 2H after two directions; (3H, H); (3H,); (3H,). The names of
        the second direction end in ``_reverse``.

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ys, h = ts.nn.GRU(3, 5, batch_first=True)(ts.randn(4, 7, 3))
    >>> ys.shape, h.shape
    ((4, 7, 5), (1, 4, 5))
    """

    cell = GRUCell


class LSTM(StackedLayers):
    """Long short-term memory in `num_layers` layers, as `torch.nn.LSTM`; the step is that of `LSTMCell`.

    The step is compiled, forward and backward, when it first runs on a machine; inside `disable_compile` it never is.

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
    proj_size : int, default 0
        P > 0: h is projected to P features, while c has H; 0 for no projection, so P = H.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.
    **options
        See `Options`: more dropout, zoneout, residual layers, learned initial states, truncated backpropagation, ...

    Attributes
    ----------
    weight_ih_l<k>, weight_hh_l<k>, bias_ih_l<k>, bias_hh_l<k> : Parameter
        (4H, I) in layer 0 and (4H, P) in further layers, 2P after two directions; (4H, P); (4H,); (4H,).
    weight_hr_l<k> : Parameter
        (P, H), if there is a projection. The names of the second direction end in ``_reverse``.

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If an argument is not one of those above.

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
        device: str | None = None,
        dtype: DTypeLike | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.proj_size = proj_size
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, **options
        )
