"""The gated recurrent unit, in PyTorch's form."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.primitive import Array
from ...ops.trigonometric import tanh
from .gated import GatedCell


class GRUCell(GatedCell):
    """Gated recurrent unit with the reset after the product (Cho et al., 2014, v1; `torch.nn.GRUCell`, cuDNN).

    ::

        r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)              reset gate
        z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)              update gate
        n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))           candidate
        h' = (1 - z) * n + z * h

    Variant: PyTorch's, which resets after the product as version 1 of the paper on arXiv does (version 3 resets before
    it), with biases, which the paper leaves out. The output is h'. `NotesGRUCell` resets before the product, and its
    update gate means the opposite.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    bias
        Whether there are biases.
    device
        None or ``"cpu"``: what PyTorch's constructors take.
    dtype
        ``"float32"`` or ``"float64"``; None: the default one.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (3H, I) and (3H, H), gates in the order r, z, n, drawn uniform in ±1/sqrt(H).
    bias_ih, bias_hh : Parameter or None
        (3H,).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, h = ts.nn.GRUCell(3, 5)(ts.randn(2, 3))
    >>> h.shape
    (2, 5)
    """

    gates = 3

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        xr, xz, xn = split(linear(x, self.weight_ih, self.bias_ih), 3, axis=-1)
        hr, hz, hn = split(linear(h, self.weight_hh, self.bias_hh), 3, axis=-1)
        reset, update = tag(sigmoid(xr + hr), "reset_gate"), tag(sigmoid(xz + hz), "update_gate")
        candidate = tag(tanh(xn + reset * hn), "candidate")
        h = candidate + update * (h - candidate)
        return h, h
