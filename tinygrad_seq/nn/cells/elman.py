"""Elman's recurrent network, in PyTorch's form."""

from __future__ import annotations

from typing import Any, Literal

from ...errors import ArgumentError
from ...ops.activation import relu
from ...ops.linear import linear
from ...ops.primitive import Array
from ...ops.trigonometric import tanh
from .gated import GatedCell

_NONLINEARITIES = {"tanh": tanh, "relu": relu}


class ElmanCell(GatedCell):
    """Elman's recurrent cell (Elman, Finding structure in time, 1990; `torch.nn.RNNCell`).

    ::

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)      (or relu)

    Variant: PyTorch's, with tanh or relu where Elman had logistic units, and with two biases, which add up to one. The
    output is h'. `nn.RNNCell`, PyTorch's name, is this class.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    bias
        Whether there are biases.
    nonlinearity
        ``"tanh"`` or ``"relu"``.
    device
        None or ``"cpu"``: what PyTorch's constructors take.
    dtype
        ``"float32"`` or ``"float64"``; None: the default one.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (H, I) and (H, H), drawn uniform in ±1/sqrt(H).
    bias_ih, bias_hh : Parameter or None
        (H,).

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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if not isinstance(nonlinearity, str) or nonlinearity not in _NONLINEARITIES:
            raise ArgumentError(f"ElmanCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}; pass one.")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        h = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        h = _NONLINEARITIES[self.nonlinearity](h)
        return h, h
