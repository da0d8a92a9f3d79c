"""Long short-term memory with layer normalisation, in its two published forms."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.normalisation import layer_norm
from ...ops.trigonometric import tanh
from ..checks import check_switches
from ..init import ones_, zeros_
from ..module.parameter import Parameter
from .declared import AffineCell, HiddenAndCellState, declare

__all__ = ["LayerNormLSTMCell"]

State = tuple[Tensor, Tensor]


class LayerNormLSTMCell(AffineCell, HiddenAndCellState):
    """LSTM with layer normalisation of both products and of the cell state (Ba et al., 2016).

    ::

        z  = LN(W x; gain_x) + LN(U h; gain_h) + b               all gates: i, f, g, o
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)       g = tanh(z_g)
        c' = f * c + i * g
        n  = LN(c'; gain_c, shift_c)
        h' = o * tanh(n)

    Variant: `carry_normalised` selects one of two published forms, which are different functions. With False, c' goes
    to the next step, as in the paper. Source: lmnt-com/haste ``LayerNormLSTMCell``. With True, n does. Source:
    PyTorch's ``benchmarks/fastrnns/custom_lstms.py``. The shifts of the two norms in z are one b.

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    carry_normalised : bool, default False
        Whether the next step gets the normalised cell state n instead of c'.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, Xavier uniform.
    bias, gain_x, gain_h : Parameter
        (4H,): zeros, ones and ones.
    gain_c, shift_c : Parameter
        (H,): ones and zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (h, c) = ts.nn.LayerNormLSTMCell(3, 5, carry_normalised=True)(ts.randn(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    gates = 4
    gain_x: Parameter = declare("4H", ones_)
    gain_h: Parameter = declare("4H", ones_)
    gain_c: Parameter = declare("H", ones_)
    shift_c: Parameter = declare("H", zeros_)

    def __init__(self, input_size: int, hidden_size: int, carry_normalised: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        check_switches("LayerNormLSTMCell", carry_normalised=carry_normalised)
        self.carry_normalised = carry_normalised

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
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
