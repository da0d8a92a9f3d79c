"""The gated recurrent unit, in PyTorch's form."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from .gated import GatedCell

__all__ = ["GRUCell"]


class GRUCell(GatedCell):
    """Gated recurrent unit that resets after the product (Cho et al., 2014, v1; `torch.nn.GRUCell`, cuDNN).

    ::

        r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)              reset gate
        z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)              update gate
        n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))           candidate
        h' = (1 - z) * n + z * h

    Variant: PyTorch's, which resets after the product as version 1 of the paper on arXiv does (version 3 resets before
    it), with biases, which the paper leaves out. `NotesGRUCell` resets before the product, and its update gate has the
    opposite meaning.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool, default True
        Whether there are biases.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (3H, I) and (3H, H), gates in the order r, z, n, uniform in ±1/sqrt(H).
    bias_ih, bias_hh : Parameter or None
        (3H,), uniform in ±1/sqrt(H).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, h = ts.nn.GRUCell(3, 5)(ts.randn(2, 3))
    >>> h.shape
    (2, 5)
    """

    gates = 3

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        xr, xz, xn = split(linear(x, self.weight_ih, self.bias_ih), 3, axis=-1)
        hr, hz, hn = split(linear(h, self.weight_hh, self.bias_hh), 3, axis=-1)
        reset, update = tag(sigmoid(xr + hr), "reset_gate"), tag(sigmoid(xz + hz), "update_gate")
        candidate = tag(tanh(xn + reset * hn), "candidate")
        h = candidate + update * (h - candidate)
        return h, h
