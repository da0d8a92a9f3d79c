"""Elman's recurrent network, in PyTorch's form."""

from __future__ import annotations

from typing import Literal

from numpy.typing import DTypeLike

from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops.activation import relu
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from .gated import GatedCell

__all__ = ["ElmanCell", "RNNCell"]

NONLINEARITIES = {"tanh": tanh, "relu": relu}


class ElmanCell(GatedCell):
    """Elman's recurrent cell (Elman, Finding structure in time, 1990; `torch.nn.RNNCell`).

    ::

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)      (or relu)

    Variant: PyTorch's, with tanh or relu where Elman had logistic units, and with two biases, which add up to one.
    `nn.RNNCell` is the same cell under PyTorch's name.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool, default True
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The activation function.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (H, I) and (H, H), uniform in ±1/sqrt(H).
    bias_ih, bias_hh : Parameter or None
        (H,), uniform in ±1/sqrt(H).

    Raises
    ------
    ArgumentError, DtypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, h = ts.nn.ElmanCell(3, 5)(ts.randn(2, 3))
    >>> h.shape
    (2, 5)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        if not isinstance(nonlinearity, str) or nonlinearity not in NONLINEARITIES:
            raise ArgumentError(
                f"{type(self).__name__}: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}; pass one."
            )
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        h = NONLINEARITIES[self.nonlinearity](h)
        return h, h


class RNNCell(ElmanCell):
    """`ElmanCell` under PyTorch's name, with the same parameters.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool, default True
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The activation function.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Raises
    ------
    ArgumentError, DtypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, h = ts.nn.RNNCell(3, 5, nonlinearity="relu")(ts.randn(2, 3))
    >>> h.shape
    (2, 5)
    """
