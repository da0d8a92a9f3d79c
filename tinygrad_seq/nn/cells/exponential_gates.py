"""Cells with exponential gates, stabilised by the running maximum of their exponents.

The state stores sums as c e^m and n e^m, so an option that changes one of the three alone, such as zoneout of ``"c"``,
``"n"`` or ``"m"``, changes the sums. Apply zoneout to ``"h"`` only.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...ops.arithmetic import abs as magnitude
from ...ops.arithmetic import maximum, minimum
from ...ops.comparison import where
from ...ops.exponential import exp, log_sigmoid, sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.normalisation import layer_norm
from ...ops.reduction import sum as total
from ...ops.shape import reshape
from ...ops.trigonometric import tanh
from ..checks import check_switches
from ..init import normal_, zeros_
from ..module.parameter import Parameter
from .declared import AffineCell, DeclaredCell, declare, fan_in_uniform_
from .matrix_memory import MatrixCell, merge, outer, read, shrunk

__all__ = ["MLSTMCell", "RWKV4Cell", "SLSTMCell"]

State = dict[str, Tensor]

_NOTHING = -3e38
"""The exponent of an empty sum: next to any other exponent it gives 0."""


class SLSTMCell(AffineCell):
    """LSTM with exponential gates and a normaliser (sLSTM of xLSTM; Beck et al., 2024).

    ::

        i, f, z, o = W x + U h + b                               exponents, candidate, output gate
        m' = max(log sigmoid(f) + m, i)
        I  = exp(i - m')         F = exp(log sigmoid(f) + m - m')
        c' = F * c + I * tanh(z)
        n' = F * n + I
        h' = sigmoid(o) * c' / n'

    Variant: sigmoid forget gate; one head, so U is full; biases start at 0, where the published code spreads those of
    f; no convolution before i and f and no norm after h'; m' is i for each unit with n = 0, as at the start (in the
    published code only if all n are 0). Source: NX-AI/xlstm ``blocks/slstm/src/vanilla/slstm.py``.

    Shapes: input x (N, I); state {"h", "c", "n", "m"}, (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, H), in the order i, f, z, o, Xavier uniform.
    bias : Parameter
        (4H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, state = ts.nn.SLSTMCell(3, 5)(ts.randn(2, 3))
    >>> {name: part.shape for name, part in state.items()}
    {'h': (2, 5), 'c': (2, 5), 'n': (2, 5), 'm': (2, 5)}
    """

    state: ClassVar[Any] = {"h": "H", "c": "H", "n": "H", "m": "H"}
    gates = 4

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c, n, m = (state[name] for name in "hcnm")
        i, f, z, o = self._affine(x, h)
        f = where(n == 0, _NOTHING, log_sigmoid(f) + m)
        m = maximum(f, i)
        i, f = tag(exp(i - m), "input_gate"), tag(exp(f - m), "forget_gate")
        c, n = f * c + i * tag(tanh(z), "candidate"), f * n + i
        h = tag(sigmoid(o), "output_gate") * c / n
        return h, {"h": h, "c": c, "n": n, "m": m}


class MLSTMCell(MatrixCell):
    """LSTM with a matrix memory and exponential gates (mLSTM of xLSTM; Beck et al., 2024).

    ::

        q, k, v = W_q x, W_k x / sqrt(D), W_v x
        i, f = W_if x + b_if                                     exponents, one of each per head
        m' = max(log sigmoid(f) + m, i)
        I  = exp(i - m')         F = exp(log sigmoid(f) + m - m')
        C' = F C + I k vᵀ
        n' = F n + I k
        h  = C'ᵀ q / (max(|n' · q|, exp(-m')) + eps)
        y  = sigmoid(W_o x + b_o) * norm(h)                      norm: mean 0 and variance 1 per head

    Variant: eps = 1e-6; the gates depend on x, in the published code on q, k and v; the sigmoid output gate is the
    paper's, the published code has a silu; no convolution before q and k, no skip connection, no weight in the norm.
    Source: NX-AI/xlstm ``blocks/mlstm``: ``cell.py`` and in ``backends.py`` ``recurrent_step_stabilized_simple``. C
    must not overflow: in float32 inputs may reach about 1e9.

    Shapes: input x (N, I); state {"C", "n", "m"}, (N, A, D, D), (N, A, D) and (N, A) with D = H / A; output y (N, H),
    the heads concatenated.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.
    norm : bool, optional
        Whether to normalise each head; by default if D > 1, because the norm of a single number is 0.

    Attributes
    ----------
    weight_qkv, weight_o, weight_if : Parameter
        (3H, I) and (H, I), Xavier uniform; (2A, I), in the order i, f, zeros.
    bias_o, bias_if : Parameter
        (H,), zeros; (2A,), normal with standard deviation 0.1 for i, evenly spaced from 3 to 6 for f.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, state = ts.nn.MLSTMCell(3, 6, num_heads=2)(ts.randn(2, 3))
    >>> {name: part.shape for name, part in state.items()}
    {'C': (2, 2, 3, 3), 'n': (2, 2, 3), 'm': (2, 2)}
    """

    state: ClassVar[Any] = {"C": "A D D", "n": "A D", "m": "A"}
    weight_o: Parameter = declare("H I")
    weight_if: Parameter = declare("2A I", zeros_)
    bias_o: Parameter = declare("H", zeros_)
    bias_if: Parameter = declare("2A", zeros_)

    def __init__(self, input_size: int, hidden_size: int, num_heads: int = 1, norm: bool | None = None) -> None:
        super().__init__(input_size, hidden_size, num_heads)
        if norm is not None:
            check_switches("MLSTMCell", norm=norm)
        self.norm = self.head_size > 1 if norm is None else norm

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        with no_grad():
            normal_(self.bias_if, std=0.1)
            self.bias_if.data[self.num_heads :] = np.linspace(3, 6, self.num_heads)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        C, n, m = state["C"], state["n"], state["m"]
        q, k, v = self._query_key_value(x)
        i, f = split(linear(x, self.weight_if, self.bias_if), 2, axis=-1)
        f = log_sigmoid(f) + m
        m = maximum(f, i)
        half, f = exp((i - m) / 2)[..., None], tag(exp(f - m), "forget_gate")[..., None]
        tag((half * half)[..., 0], "input_gate")
        written = half * k / math.sqrt(self.head_size)
        C, n = f[..., None] * C + outer(written, half * v), f * n + half * written  # k vᵀ alone may overflow
        q, scale = shrunk(q)
        low, high = exp(minimum(m, 0)), exp(-maximum(m, 0)) / scale[..., 0]  # e^-m = high / low
        size = maximum(magnitude(total(n * q, axis=-1)) * low, high) + 1e-6 * low / scale[..., 0]
        o = tag(sigmoid(linear(x, self.weight_o, self.bias_o)), "output_gate")
        h = read(C, q) * (low / size)[..., None]
        h = layer_norm(h, self.head_size) if self.norm else h
        return o * merge(h), {"C": C, "n": n, "m": m}


class RWKV4Cell(DeclaredCell):
    """Time mixing of RWKV-4: an average of values with exponentially decaying weights (Peng et al., 2023).

    ::

        r, k, v = W_r x_r, W_k x_k, W_v x_v                      x_i = mu_i * x + (1 - mu_i) * x_previous
        y  = sigmoid(r) * (a + e^(u + k) v) / (b + e^(u + k))    u: bonus of the current step
        a' = e^(-w) a + e^k v                                    w = exp(decay)
        b' = e^(-w) b + e^k

    Variant: the state stores a and b divided by e^p, with p their largest exponent; W is initialised uniformly, and mu,
    w and u as in the first layer of the published code; the output projection is a layer after this one. Source:
    BlinkDL/RWKV-LM ``RWKV-v4/src/model_run.py``. late holds what x contributes to the next r, k and v, so that all
    products leave the loop. b = 0 marks empty sums, whatever p is.

    Shapes: input x (N, I); state {"a", "b", "p", "late"}, late (N, 3H), the others (N, H); output y (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (3H, I), in the order r, k, v, uniform in ±1/sqrt(I).
    mix : Parameter
        mu, (3, I), in the order r, k, v: at feature j sqrt(j / I), j / I and j / I.
    decay, bonus : Parameter
        (H,): at unit j -5 + 8 (j / (H - 1))^0.7; u, log 0.3 + (0, 0.5, -0.5, 0, ...).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, state = ts.nn.RWKV4Cell(3, 5)(ts.randn(2, 3))
    >>> y.shape, state["late"].shape
    ((2, 5), (2, 15))
    """

    state: ClassVar[Any] = {"a": "H", "b": "H", "p": "H", "late": "3H"}
    weight_ih: Parameter = declare("3H I", fan_in_uniform_)
    mix: Parameter = declare("3 I", zeros_)
    decay: Parameter = declare("H", zeros_)
    bonus: Parameter = declare("H", zeros_)

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        feature, unit = np.arange(self.input_size) / self.input_size, np.arange(self.hidden_size)
        with no_grad():
            self.mix.copy_(np.stack([np.sqrt(feature), feature, feature]))
            self.decay.copy_(-5 + 8 * (unit / max(self.hidden_size - 1, 1)) ** 0.7)
            self.bonus.copy_(math.log(0.3) + 0.5 * ((unit + 1) % 3 - 1))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        a, b, p = state["a"], state["b"], state["p"]
        p = where(b == 0, _NOTHING, p)
        weight = reshape(self.weight_ih, (3, self.hidden_size, self.input_size))
        present, past = (reshape(weight * mu[:, None], self.weight_ih.shape) for mu in (self.mix, 1 - self.mix))
        r, k, v = split(linear(x, present) + state["late"], 3, axis=-1)
        top = maximum(p, self.bonus + k)
        old, new = exp(p - top), exp(self.bonus + k - top)
        y = tag(sigmoid(r), "receptance") * (old * a + new * v) / (old * b + new)
        p = p - exp(self.decay)
        top = maximum(p, k)
        old, new = tag(exp(p - top), "forget_gate"), tag(exp(k - top), "input_gate")
        return y, {"a": old * a + new * v, "b": old * b + new, "p": top, "late": linear(x, past)}
