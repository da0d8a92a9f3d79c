"""Long short-term memory with layer normalisation, in the two forms that are in use."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.normalisation import layer_norm
from ...ops.primitive import Array
from ...ops.trigonometric import tanh
from ..checks import check_switches
from ..init import ones_, zeros_
from ..module.parameter import Parameter
from .declared import HiddenAndCellState, drawn

State = tuple[Array, Array]


class LayerNormLSTMCell(HiddenAndCellState):
    """LSTM with layer normalisation of both products and of the cell state (Ba et al., 2016).

    ::

        z  = LN(W x; gain_x) + LN(U h; gain_h) + b               all gates: i, f, g, o
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)       g = tanh(z_g)
        c' = f * c + i * g
        n  = LN(c'; gain_c, shift_c)
        h' = o * tanh(n)

    Variant: `carry_normalised` tells the two public forms apart, which are different functions. False carries c' to the
    next step, as published. Source: lmnt-com/haste ``LayerNormLSTMCell``. True carries n. Source: PyTorch's
    ``benchmarks/fastrnns/custom_lstms.py``. The two shifts of the sum are one b. The state is (h, c') or (h, n), the
    output h'.

    Parameters
    ----------
    input_size, hidden_size
        I and H.
    carry_normalised
        Whether the normalised cell state is carried on.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, Xavier uniform.
    bias, gain_x, gain_h : Parameter
        (4H,), zeros, ones, ones.
    gain_c, shift_c : Parameter
        (H,), ones, zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (h, c) = ts.nn.LayerNormLSTMCell(3, 5, carry_normalised=True)(ts.randn(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    weight_ih: Parameter = drawn("4H I")
    weight_hh: Parameter = drawn("4H H")
    bias: Parameter = drawn("4H", zeros_)
    gain_x: Parameter = drawn("4H", ones_)
    gain_h: Parameter = drawn("4H", ones_)
    gain_c: Parameter = drawn("H", ones_)
    shift_c: Parameter = drawn("H", zeros_)

    def __init__(self, input_size: int, hidden_size: int, carry_normalised: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        check_switches("LayerNormLSTMCell", carry_normalised=carry_normalised)
        self.carry_normalised = carry_normalised

    def forward(self, x: Array, state: State) -> tuple[Array, State]:
        h, c = state
        gates = layer_norm(linear(x, self.weight_ih), 4 * self.hidden_size, self.gain_x, self.bias)
        gates = gates + layer_norm(linear(h, self.weight_hh), 4 * self.hidden_size, self.gain_h)
        i, f, g, o = split(gates, 4, axis=-1)
        i, f = tag(sigmoid(i), "input_gate"), tag(sigmoid(f), "forget_gate")
        g, o = tag(tanh(g), "candidate"), tag(sigmoid(o), "output_gate")
        c = f * c + i * g
        normalised = layer_norm(c, self.hidden_size, self.gain_c, self.shift_c)
        h = o * tanh(normalised)
        return h, (h, normalised if self.carry_normalised else c)
