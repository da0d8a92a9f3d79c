"""Long short-term memory, in PyTorch's form."""

from __future__ import annotations

from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from ...primitive import Array
from ...tagging import tag
from .gated import GatedCell


class LSTMCell(GatedCell):
    """Long short-term memory with a forget gate (Gers et al., 2000; `torch.nn.LSTMCell`).

    ::

        i  = sigmoid(W_ii x + b_ii + W_hi h + b_hi)              input gate
        f  = sigmoid(W_if x + b_if + W_hf h + b_hf)              forget gate
        g  = tanh(W_ig x + b_ig + W_hg h + b_hg)                 candidate
        o  = sigmoid(W_io x + b_io + W_ho h + b_ho)              output gate
        c' = f * c + i * g
        h' = o * tanh(c')

    The state is the tuple (h, c), the output h'.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    bias
        Whether there are biases.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, drawn uniform in ±1/sqrt(H).
    bias_ih, bias_hh : Parameter or None
        (4H,).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (h, c) = ts.nn.LSTMCell(3, 5)(ts.randn(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    states = 2
    gates = 4

    def forward(self, x: Array, state: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        h, c = state
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = split(gates, 4, axis=-1)
        i, f = tag(sigmoid(i), "input_gate"), tag(sigmoid(f), "forget_gate")
        g, o = tag(tanh(g), "candidate"), tag(sigmoid(o), "output_gate")
        c = f * c + i * g
        h = o * tanh(c)
        return h, (h, c)
