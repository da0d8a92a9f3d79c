"""Cells without a matrix product with the state: all products run before the loop, over all times at once."""

from __future__ import annotations

import math
from typing import Any

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops.activation import relu, silu
from ...ops.comparison import where
from ...ops.exponential import log_sigmoid, sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from ..checks import check_numbers, check_sizes
from ..init import uniform_, zeros_
from ..module.parameter import Parameter
from .declared import DeclaredCell, declare

__all__ = ["HGRNCell", "IndRNNCell", "MinGRUCell", "MinLSTMCell", "QRNNCell", "SRUCell"]


class IndRNNCell(DeclaredCell):
    """Independently recurrent network: each unit sees only its own previous state (Li et al., 2018).

    ::

        h' = relu(W x + u * h + b)

    Variant: relu. Source: batzner/indrnn ``IndRNNCell``. For long sequences clip u to ±2^(1/T), as the paper does.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (H, I), Xavier uniform.
    weight_hh, bias : Parameter
        u and b, (H,): uniform in [0, 1), and zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.IndRNNCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("H I")
    weight_hh: Parameter = declare("H", uniform_)
    bias: Parameter = declare("H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = relu(linear(x, self.weight_ih, self.bias) + self.weight_hh * h)
        return h, h


class SRUCell(DeclaredCell):
    """Simple recurrent unit: elementwise recurrence with a highway connection (Lei et al., 2018).

    ::

        f  = sigmoid(W_f x + v_f * c + b_f)                      forget gate
        r  = sigmoid(W_r x + v_r * c + b_r)                      reset gate
        c' = f * c + (1 - f) * (W_c x)
        y  = r * c' + (1 - r) * s        s = x if I = H, else W_s x

    Variant: no activation of c', no rescaling of s. Source: asappresearch/sru, ``elementwise_recurrence_naive``.

    Shapes: input x (N, I); state c and output y (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (3H, I), in the order c, f, r, or (4H, I) with s; uniform with variance 1/I, and 1/(2I) for the gates.
    weight_ch : Parameter
        (2H,), in the order v_f, v_r, uniform with variance 1/2.
    bias : Parameter
        (2H,), in the order f, r, zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, c = ts.nn.SRUCell(3, 5)(ts.randn(2, 3))
    >>> y.shape, c.shape
    ((2, 5), (2, 5))
    """

    weight_ih: Parameter = declare("GH I", uniform_)
    weight_ch: Parameter = declare("2H", lambda v: uniform_(v, -math.sqrt(1.5), math.sqrt(1.5)))
    bias: Parameter = declare("2H", zeros_)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.parts = 3 if input_size == hidden_size else 4
        self._create(input_size, hidden_size, G=self.parts)

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        bound, gates = math.sqrt(3 / self.input_size), slice(self.hidden_size, 3 * self.hidden_size)
        uniform_(self.weight_ih, -bound, bound)
        self.weight_ih.data[gates] *= math.sqrt(0.5)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        content, f, r, *projected = split(linear(x, self.weight_ih), self.parts, axis=-1)
        see_f, see_r = split(self.weight_ch, 2)
        bias_f, bias_r = split(self.bias, 2)
        f, r = tag(sigmoid(f + see_f * c + bias_f), "forget_gate"), tag(sigmoid(r + see_r * c + bias_r), "reset_gate")
        c = f * c + (1 - f) * tag(content, "candidate")
        skip = projected[0] if projected else x
        return r * c + (1 - r) * skip, c


class QRNNCell(DeclaredCell):
    """Quasi-recurrent network: the gates are convolutions over the last k inputs (Bradbury et al., 2017).

    ::

        z  = tanh(sum_j W_z[j] x[t - j] + b_z)                   candidate       j = 0 .. k - 1
        f  = sigmoid(sum_j W_f[j] x[t - j] + b_f)                forget gate
        o  = sigmoid(sum_j W_o[j] x[t - j] + b_o)                output gate
        c' = f * c + (1 - f) * z
        y  = o * c'

    Variant: fo-pooling, causal. Source: salesforce/pytorch-qrnn (whose f is 1 - f here). late[j] holds what the inputs
    so far contribute to the gates j + 1 steps ahead, so that every product is with the current x and leaves the loop.

    Shapes: input x (N, I); state {"c", "late"}, c (N, H) and late a list of k - 1 arrays (N, 3H); output y (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    kernel_size : int, default 2
        The width k of the convolution.

    Attributes
    ----------
    weight_ih : Parameter
        (k 3H, I): W[0], W[1], ..., each with gates in the order z, f, o; uniform in ±1/sqrt(kI).
    bias : Parameter
        (3H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, state = ts.nn.QRNNCell(3, 5, kernel_size=3)(ts.randn(2, 3))
    >>> y.shape, state["c"].shape, [late.shape for late in state["late"]]
    ((2, 5), (2, 5), [(2, 15), (2, 15)])
    """

    weight_ih: Parameter = declare("3KH I", uniform_)
    bias: Parameter = declare("3H", zeros_)

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int = 2) -> None:
        check_sizes("QRNNCell", kernel_size=kernel_size)
        self.kernel_size = kernel_size
        self._create(input_size, hidden_size, K=kernel_size)
        self.state_shape = {"c": (hidden_size,), "late": [(3 * hidden_size,)] * (kernel_size - 1)}

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        bound = 1 / math.sqrt(self.kernel_size * self.input_size)
        uniform_(self.weight_ih, -bound, bound)

    def forward(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        c, late = state["c"], state["late"]
        now, *later = split(linear(x, self.weight_ih), self.kernel_size, axis=-1)
        z, f, o = split((now + late[0] if late else now) + self.bias, 3, axis=-1)
        z, f, o = tag(tanh(z), "candidate"), tag(sigmoid(f), "forget_gate"), tag(sigmoid(o), "output_gate")
        c = f * c + (1 - f) * z
        late = [part + before for part, before in zip(later, late[1:], strict=False)] + later[-1:]
        return o * c, {"c": c, "late": late}


class MinimalCell(DeclaredCell):
    """Base of cells whose gates depend on x only, initialised as `nn.Linear` is."""

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values, uniform in ±1/sqrt(I)."""
        bound = 1 / math.sqrt(self.input_size)
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)


class MinGRUCell(MinimalCell):
    """Minimal GRU: its gate depends on x only, which makes it linear in the state (Feng et al., 2024).

    ::

        z  = sigmoid(W_z x + b_z)                                update gate
        n  = g(W_n x + b_n)                                      candidate
        h' = (1 - z) * h + z * n         g(a) = a + 1/2 where a >= 0, else sigmoid(a)

    Variant: g keeps the state positive, as in the log-space form; initial states must be >= 0. Source:
    lucidrains/minGRU-pytorch (there without biases).

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (2H, I), in the order z, n, uniform in ±1/sqrt(I).
    bias : Parameter
        (2H,), uniform in ±1/sqrt(I).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MinGRUCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("2H I", uniform_)
    bias: Parameter = declare("2H", uniform_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, n = split(linear(x, self.weight_ih, self.bias), 2, axis=-1)
        z, n = tag(sigmoid(z), "update_gate"), tag(_positive(n), "candidate")
        h = (1 - z) * h + z * n
        return h, h


class MinLSTMCell(MinimalCell):
    """Minimal LSTM: its gates depend on x only and sum to 1 (Feng et al., 2024).

    ::

        f  = sigmoid(W_f x + b_f)                                forget gate
        i  = sigmoid(W_i x + b_i)                                input gate
        n  = g(W_n x + b_n)                                      candidate
        h' = (f * h + i * n) / (f + i)   g(a) = a + 1/2 where a >= 0, else sigmoid(a)

    Variant: normalised gates, computed as the sigmoid of log f - log i, which is right even if both underflow to 0; g
    as in `MinGRUCell`. Source: lucidrains/minGRU-pytorch ``minLSTM`` (which gives other results if a sequence is run in
    chunks).

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (3H, I), in the order f, i, n, uniform in ±1/sqrt(I).
    bias : Parameter
        (3H,), uniform in ±1/sqrt(I).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MinLSTMCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("3H I", uniform_)
    bias: Parameter = declare("3H", uniform_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        f, i, n = split(linear(x, self.weight_ih, self.bias), 3, axis=-1)
        lead = log_sigmoid(f) - log_sigmoid(i)
        f, i = tag(sigmoid(lead), "forget_gate"), tag(sigmoid(-lead), "input_gate")
        h = f * h + i * tag(_positive(n), "candidate")
        return h, h


class HGRNCell(DeclaredCell):
    """Hierarchically gated recurrent network: forget gates with a lower bound (Qin et al., 2023).

    ::

        f  = l + (1 - l) * sigmoid(W_f x)                        forget gate
        h' = f * h + (1 - f) * silu(W_i x)

    Variant: real-valued, and l is a constant; in the paper the state is complex, and l is learned and grows from layer
    to layer. Source: fla-org/flash-linear-attention, ``layers/hgrn.py`` and ``ops/hgrn/naive.py``; its norm and output
    gate are layers after this one.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    lower_bound : float, default 0.0
        l, in [0, 1).

    Attributes
    ----------
    weight_ih : Parameter
        (2H, I), in the order f, i, Xavier uniform.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `lower_bound` not in [0, 1).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.HGRNCell(3, 5, lower_bound=0.9)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("2H I")

    def __init__(self, input_size: int, hidden_size: int, lower_bound: float = 0.0) -> None:
        check_numbers("HGRNCell", 0, 1, lower_bound=lower_bound)
        if lower_bound == 1:
            raise ArgumentError(f"HGRNCell: expected lower_bound in [0, 1), got {lower_bound}; pass e.g. 0.9.")
        super().__init__(input_size, hidden_size)
        self.lower_bound = lower_bound

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        f, i = split(linear(x, self.weight_ih), 2, axis=-1)
        f = tag(self.lower_bound + (1 - self.lower_bound) * sigmoid(f), "forget_gate")
        h = f * h + (1 - f) * tag(silu(i), "candidate")
        return h, h


def _positive(a: Tensor) -> Tensor:
    """Return ``a + 1/2`` where a >= 0, elsewhere ``sigmoid(a)``."""
    return where(a >= 0, a + 0.5, sigmoid(a))
