"""LSTM variants: peepholes, coupled gates, fewer gates, multiplicative, phased."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...ops.arithmetic import abs as magnitude
from ...ops.arithmetic import remainder
from ...ops.comparison import where
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from ..checks import check_numbers, check_switches
from ..init import constant_, normal_, uniform_, zeros_
from ..module.parameter import Parameter
from .declared import AffineCell, HiddenAndCellState, declare

__all__ = [
    "CoupledLSTMCell",
    "FullPeepholeLSTMCell",
    "JANETCell",
    "MultiplicativeLSTMCell",
    "OriginalLSTMCell",
    "PeepholeLSTMCell",
    "PhasedLSTMCell",
]

State = tuple[Tensor, Tensor]


class PeepholeLSTMCell(AffineCell, HiddenAndCellState):
    """LSTM with diagonal peepholes: each gate also sees the cell state (Gers et al., 2002).

    ::

        i  = sigmoid(W_i x + U_i h + p_i * c + b_i)              input gate
        f  = sigmoid(W_f x + U_f h + p_f * c + b_f)              forget gate
        g  = tanh(W_g x + U_g h + b_g)                           candidate
        c' = f * c + i * g
        o  = sigmoid(W_o x + U_o h + p_o * c' + b_o)             output gate
        h' = o * tanh(c')

    Variant: diagonal peepholes; the output gate sees the new cell state; the full gradient, which the paper truncates.
    Source: ONNX ``LSTM`` with ``P``, torchrecurrent ``PeepholeLSTMCell``.

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, Xavier uniform.
    bias : Parameter
        (4H,), zeros.
    peephole : Parameter
        (3H,), in the order i, f, o, standard normal.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (h, c) = ts.nn.PeepholeLSTMCell(3, 5)(ts.randn(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    gates = 4
    peephole: Parameter = declare("3H", normal_)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = self._affine(x, h)
        see_i, see_f, see_o = split(self.peephole, 3)
        i, f = tag(sigmoid(i + see_i * c), "input_gate"), tag(sigmoid(f + see_f * c), "forget_gate")
        c = f * c + i * tag(tanh(g), "candidate")
        h = tag(sigmoid(o + see_o * c), "output_gate") * tanh(c)
        return h, (h, c)


class FullPeepholeLSTMCell(AffineCell, HiddenAndCellState):
    """LSTM with full peephole matrices (Gers and Schmidhuber, 2000, in Chainer's form).

    ::

        i  = sigmoid(W_i x + U_i h + P_i c + b_i)                input gate
        f  = sigmoid(W_f x + U_f h + P_f c + b_f)                forget gate
        g  = tanh(W_g x + U_g h + b_g)                           candidate
        c' = f * c + i * g
        o  = sigmoid(W_o x + U_o h + P_o c' + b_o)               output gate
        h' = o * tanh(c')

    Variant: full matrices, as in the source; those of the paper are diagonal. Source: chainer ``StatefulPeepholeLSTM``.

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, Xavier uniform.
    bias : Parameter
        (4H,), zeros.
    peephole_if, peephole_o : Parameter
        (2H, H), in the order i, f, and (H, H), Xavier uniform.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> {name: p.shape for name, p in ts.nn.FullPeepholeLSTMCell(3, 5).named_parameters()}["peephole_if"]
    (10, 5)
    """

    gates = 4
    peephole_if: Parameter = declare("2H H")
    peephole_o: Parameter = declare("H H")

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = self._affine(x, h)
        see_i, see_f = split(linear(c, self.peephole_if), 2, axis=-1)
        i, f = tag(sigmoid(i + see_i), "input_gate"), tag(sigmoid(f + see_f), "forget_gate")
        c = f * c + i * tag(tanh(g), "candidate")
        h = tag(sigmoid(o + linear(c, self.peephole_o)), "output_gate") * tanh(c)
        return h, (h, c)


class CoupledLSTMCell(AffineCell, HiddenAndCellState):
    """LSTM with coupled gates, i = 1 - f (CIFG; Greff et al., LSTM: a search space odyssey, 2017).

    ::

        f  = sigmoid(W_f x + U_f h + b_f)                        forget gate
        g  = tanh(W_g x + U_g h + b_g)                           candidate
        o  = sigmoid(W_o x + U_o h + b_o)                        output gate
        c' = f * c + (1 - f) * g
        h' = o * tanh(c')

    Variant: without peepholes. Source: TensorFlow ``CoupledInputForgetGateLSTMCell``, DyNet ``CoupledLSTMBuilder``
    (both with optional peepholes).

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (3H, I) and (3H, H), gates in the order f, g, o, Xavier uniform.
    bias : Parameter
        (3H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.CoupledLSTMCell(3, 5).count_parameters()
    135
    """

    gates = 3

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        f, g, o = self._affine(x, h)
        f, g, o = tag(sigmoid(f), "forget_gate"), tag(tanh(g), "candidate"), tag(sigmoid(o), "output_gate")
        c = f * c + (1 - f) * g
        h = o * tanh(c)
        return h, (h, c)


class OriginalLSTMCell(AffineCell, HiddenAndCellState):
    """The first published LSTM, without a forget gate (Hochreiter and Schmidhuber, 1997).

    ::

        i  = sigmoid(W_i x + U_i h + b_i)                        input gate
        g  = tanh(W_g x + U_g h + b_g)                           candidate
        o  = sigmoid(W_o x + U_o h + b_o)                        output gate
        c' = c + i * g
        h' = o * tanh(c')

    Variant: tanh for both squashing functions, and the full gradient. Source: torchrecurrent ``OriginalLSTMCell``.

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (3H, I) and (3H, H), gates in the order i, g, o, Xavier uniform.
    bias : Parameter
        (3H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.OriginalLSTMCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 3

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, g, o = self._affine(x, h)
        i, g, o = tag(sigmoid(i), "input_gate"), tag(tanh(g), "candidate"), tag(sigmoid(o), "output_gate")
        c = c + i * g
        h = o * tanh(c)
        return h, (h, c)


class JANETCell(AffineCell):
    """JANET, an LSTM with only a forget gate (van der Westhuizen and Lasenby, 2018).

    ::

        s  = W_f x + U_f h + b_f
        g  = tanh(W_g x + U_g h + b_g)                           candidate
        h' = sigmoid(s) * h + (1 - sigmoid(s - beta)) * g

    Variant: a fixed beta, as published; biases start at 0, where the paper chooses those of f by sequence length
    (chrono initialisation). Source: torchrecurrent ``JANETCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    beta : float, default 1.0
        How far the input gate is biased open.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (2H, I) and (2H, H), gates in the order f, g, Xavier uniform.
    bias : Parameter
        (2H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.JANETCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 2

    def __init__(self, input_size: int, hidden_size: int, beta: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        check_numbers("JANETCell", -math.inf, math.inf, beta=beta)
        self.beta = beta

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        s, g = self._affine(x, h)
        forget, take = tag(sigmoid(s), "forget_gate"), tag(1 - sigmoid(s - self.beta), "input_gate")
        h = forget * h + take * tag(tanh(g), "candidate")
        return h, h


class MultiplicativeLSTMCell(HiddenAndCellState):
    """Multiplicative LSTM: the gates see a product of x and h (mLSTM; Krause et al., 2016).

    ::

        m  = (W_m x) * (U_m h)
        i  = sigmoid(W_i x + V_i m + b_i)                        input gate
        f  = sigmoid(W_f x + V_f m + b_f)                        forget gate
        g  = tanh(W_g x + V_g m + b_g)                           candidate
        o  = sigmoid(W_o x + V_o m + b_o)                        output gate
        c' = f * c + i * g
        h' = o * tanh(c')

    Variant: tanh of the candidate, h' = o * tanh(c'). Source: torchrecurrent ``MultiplicativeLSTMCell``. `MLSTMCell` is
    another cell, with a matrix memory. The product m must not overflow: in float32 inputs may reach 1e30 with states
    that the cell computed.

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_mx, weight_mh : Parameter
        (H, I) and (H, H), Xavier uniform.
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, Xavier uniform.
    bias : Parameter
        (4H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MultiplicativeLSTMCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_mx: Parameter = declare("H I")
    weight_mh: Parameter = declare("H H")
    weight_ih: Parameter = declare("4H I")
    weight_hh: Parameter = declare("4H H")
    bias: Parameter = declare("4H", zeros_)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        m = linear(x, self.weight_mx) * linear(h, self.weight_mh)
        i, f, g, o = split(linear(x, self.weight_ih, self.bias) + linear(m, self.weight_hh), 4, axis=-1)
        i, f = tag(sigmoid(i), "input_gate"), tag(sigmoid(f), "forget_gate")
        c = f * c + i * tag(tanh(g), "candidate")
        h = tag(sigmoid(o), "output_gate") * tanh(c)
        return h, (h, c)


class PhasedLSTMCell(AffineCell):
    """Phased LSTM: a periodic time gate opens each unit for a fraction of its own period (Neil et al., 2016).

    ::

        phi = ((t - s) mod tau) / tau                            phase of a unit
        k   = 2 phi / r            where phi < r / 2             time gate: opening
              2 - 2 phi / r        where r / 2 <= phi < r                   closing
              alpha phi            elsewhere                                closed, with a leak
        c~, h~ = LSTM(x, (h, c))
        c'  = k * c~ + (1 - k) * c
        h'  = k * h~ + (1 - k) * h

    Variant: no peepholes, alpha = 0.001 in training and 0 in evaluation. Source: dannyneil/public_plstm (which adds the
    shift s where the paper subtracts it).

    Shapes: input x (N, I); state {"h", "c", "t"}, (N, H), (N, H) and (N,); output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    timestamps : bool, default False
        Whether the last feature of x is the time t, in any unit; otherwise t counts steps from 1.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), gates in the order i, f, g, o, Xavier uniform.
    bias : Parameter
        (4H,), zeros.
    period, shift, open_ratio : Parameter
        tau, s and r, (H,): log tau uniform in [1, 6), s uniform in [0, tau), r = 0.05.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, state = ts.nn.PhasedLSTMCell(3, 5)(ts.randn(2, 3))
    >>> state["t"].tolist()
    [1.0, 1.0]
    """

    state: ClassVar[Any] = {"h": "H", "c": "H", "t": ""}
    gates = 4
    period: Parameter = declare("H", lambda period: uniform_(period, 1.0, 6.0))
    shift: Parameter = declare("H", uniform_)
    open_ratio: Parameter = declare("H", lambda ratio: constant_(ratio, 0.05))

    def __init__(self, input_size: int, hidden_size: int, timestamps: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        check_switches("PhasedLSTMCell", timestamps=timestamps)
        self.timestamps = timestamps

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        with no_grad():
            self.period.copy_(math.e**self.period)
            self.shift.copy_(self.shift * self.period)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        h, c, time = state["h"], state["c"], x[:, -1] if self.timestamps else state["t"] + 1
        i, f, g, o = self._affine(x, h)
        new_c = tag(sigmoid(f), "forget_gate") * c + tag(sigmoid(i), "input_gate") * tag(tanh(g), "candidate")
        new_h = tag(sigmoid(o), "output_gate") * tanh(new_c)
        period, ratio = magnitude(self.period), magnitude(self.open_ratio)
        phase = tag(remainder(time[:, None] - self.shift, period) / period, "phase")
        awake = where(phase < ratio / 2, 2 * phase / ratio, 2 - 2 * phase / ratio)
        k = tag(where(phase < ratio, awake, (0.001 if self.training else 0.0) * phase), "time_gate")
        c, h = k * new_c + (1 - k) * c, k * new_h + (1 - k) * h
        return h, {"h": h, "c": c, "t": time}
