"""Cells whose state is a matrix per head: keys and values are written to it, queries read from it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...errors import ArgumentError
from ...ops.activation import silu
from ...ops.arithmetic import abs as magnitude
from ...ops.arithmetic import maximum, rsqrt
from ...ops.comparison import where
from ...ops.exponential import exp, log, log_sigmoid, sigmoid, softplus
from ...ops.extrema import max as greatest
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.reduction import sum as total
from ...ops.shape import reshape
from ..checks import check_sizes
from ..init import uniform_, zeros_
from ..module.parameter import Buffer, Parameter
from .declared import DeclaredCell, declare

__all__ = ["DeltaNetCell", "GLACell", "GatedDeltaNetCell", "LinearAttentionCell", "RetNetCell"]


class MatrixCell(DeclaredCell):
    """Base of the cells whose state is a matrix S (D, D) per head, for A heads with D = H / A.

    S sums products of a key and a value, and an output is a product of S and a query. If one of these overflows, so
    does the result.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.

    Attributes
    ----------
    weight_qkv : Parameter
        (3H, I), queries, keys and values of all heads, Xavier uniform.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `num_heads` does not divide `hidden_size`.
    """

    state = "A D D"
    weight_qkv: Parameter = declare("3H I")

    def __init__(self, input_size: int, hidden_size: int, num_heads: int = 1) -> None:
        self._create(input_size, hidden_size, A=num_heads)

    def _create(self, input_size: int, hidden_size: int, **sizes: int) -> None:
        name, num_heads = type(self).__name__, sizes["A"]
        check_sizes(name, hidden_size=hidden_size, num_heads=num_heads)
        if hidden_size % num_heads:
            raise ArgumentError(
                f"{name}: expected num_heads to divide hidden_size, got {num_heads} and {hidden_size}; change one."
            )
        self.num_heads, self.head_size = num_heads, hidden_size // num_heads
        super()._create(input_size, hidden_size, D=self.head_size, **sizes)

    def _heads(self, x: Tensor) -> Tensor:
        """Return (N, H) as (N, A, D)."""
        return reshape(x, (-1, self.num_heads, self.head_size))

    def _query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v of all heads, (N, A, D) each."""
        q, k, v = map(self._heads, split(linear(x, self.weight_qkv), 3, axis=-1))
        return q, k, v


def outer(k: Tensor, v: Tensor) -> Tensor:
    """Return k vᵀ per head, (N, A, D, D)."""
    return k[..., :, None] * v[..., None, :]


def read(S: Tensor, q: Tensor) -> Tensor:
    """Return Sᵀ q per head, (N, A, D)."""
    return (q[..., None, :] @ S)[..., 0, :]


def merge(y: Tensor) -> Tensor:
    """Return (N, A, D) as (N, H)."""
    return reshape(y, (y.shape[0], -1))


def shrunk(k: Tensor) -> tuple[Tensor, Tensor]:
    """Return vectors scaled so that no element exceeds 1, and the divisors (N, A, 1).

    The divisors are detached: callers cancel them, so they have no gradient.
    """
    size = maximum(greatest(magnitude(k), axis=-1, keepdims=True), 1).detach()
    return k / size, size


def unit(k: Tensor) -> Tensor:
    """Return vectors of length 1, with eps = 1e-6 as in flash-linear-attention; no square overflows."""
    k, size = shrunk(k)
    return k * rsqrt(total(k * k, axis=-1, keepdims=True) + 1e-6 / size / size)


def phi(a: Tensor) -> Tensor:
    """Return ``elu(a) + 1``, accurate for very negative a too."""
    return where(a > 0, a + 1, exp(where(a > 0, 0, a)))


class LinearAttentionCell(MatrixCell):
    """Linear attention as a recurrent network (Katharopoulos et al., Transformers are RNNs, 2020).

    ::

        q, k, v = phi(W_q x), phi(W_k x), W_v x        phi(a) = elu(a) + 1
        S' = S + k vᵀ
        z' = z + k
        y  = S'ᵀ q / (z' · q + eps)                               per head

    Variant: normalised, eps = 1e-6. Source: idiap/fast-transformers ``recurrent/attention/linear_attention.py``. S and
    v / eps must not overflow: in float32 inputs may reach about 1e9.

    Shapes: input x (N, I); state (S, z), (N, A, D, D) and (N, A, D) with D = H / A; output y (N, H), the heads
    concatenated.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.

    Attributes
    ----------
    weight_qkv : Parameter
        (3H, I), Xavier uniform.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (S, z) = ts.nn.LinearAttentionCell(3, 6, num_heads=2)(ts.randn(2, 3))
    >>> y.shape, S.shape, z.shape
    ((2, 6), (2, 2, 3, 3), (2, 2, 3))
    """

    state: ClassVar[Any] = ("A D D", "A D")
    state_names = ("S", "z")

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        q, k, v = self._query_key_value(x)
        q, k = tag(phi(q), "query"), tag(phi(k), "key")
        S, z = state[0] + outer(k, v), state[1] + k
        q, size = shrunk(q)
        y = read(S, q) / (total(z * q, axis=-1, keepdims=True) + 1e-6 / size)
        return merge(y), (S, z)


class RetNetCell(MatrixCell):
    """Retention: linear attention with a fixed decay rate per head (Sun et al., 2023).

    ::

        q, k, v = W_q x, W_k x / sqrt(D), W_v x
        S' = g S + k vᵀ                                          g = 1 - 2^(-5 - a) in head a = 0, 1, ...
        y  = S'ᵀ q

    Variant: without the rotation of q and k (xPos); group norm and gate are layers after the cell. Source:
    fla-org/flash-linear-attention ``ops/retention/naive.py``.

    Shapes: input x (N, I); state S (N, A, D, D) with D = H / A; output y (N, H), the heads concatenated.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.

    Attributes
    ----------
    weight_qkv : Parameter
        (3H, I), Xavier uniform.
    decay : Buffer
        g, (A, 1, 1).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.RetNetCell(3, 6, num_heads=2).decay.flatten().tolist()
    [0.96875, 0.984375]
    """

    def __init__(self, input_size: int, hidden_size: int, num_heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, num_heads)
        self.decay = Buffer(1 - 2.0 ** (-5 - np.arange(num_heads).reshape(-1, 1, 1)))

    def forward(self, x: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self._query_key_value(x)
        S = self.decay * S + outer(k / math.sqrt(self.head_size), v)
        return merge(read(S, q)), S


class GLACell(MatrixCell):
    """Gated linear attention: each row of the matrix decays at a rate computed from x (Yang et al., 2024).

    ::

        q, k, v = W_q x / sqrt(D), W_k x, W_v x
        f  = sigmoid(V_2 V_1 x + b)^(1/16)                       forget gate, one per key feature
        S' = diag(f) S + k vᵀ
        y  = S'ᵀ q

    Variant: without the norm over heads and the output gate, which are layers after the cell. Source:
    fla-org/flash-linear-attention ``ops/gla/naive.py``, ``layers/gla.py``.

    Shapes: input x (N, I); state S (N, A, D, D) with D = H / A; output y (N, H), the heads concatenated.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.
    rank : int, default 16
        R, the inner size of the low-rank map from x to the gate.

    Attributes
    ----------
    weight_qkv : Parameter
        (3H, I), Xavier uniform.
    weight_low, weight_gate, bias : Parameter
        V_1 (R, I), V_2 (H, R), Xavier uniform; (H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.GLACell(3, 6, num_heads=2)(ts.randn(2, 3))[0].shape
    (2, 6)
    """

    weight_low: Parameter = declare("R I")
    weight_gate: Parameter = declare("H R")
    bias: Parameter = declare("H", zeros_)

    def __init__(self, input_size: int, hidden_size: int, num_heads: int = 1, rank: int = 16) -> None:
        check_sizes("GLACell", rank=rank)
        self._create(input_size, hidden_size, A=num_heads, R=rank)

    def forward(self, x: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self._query_key_value(x)
        gate = log_sigmoid(linear(linear(x, self.weight_low), self.weight_gate, self.bias))
        forget = tag(exp(self._heads(gate) / 16), "forget_gate")
        S = forget[..., :, None] * S + outer(k, v)
        return merge(read(S, q / math.sqrt(self.head_size))), S


class DeltaNetCell(MatrixCell):
    """Delta rule: the new value of a key replaces the old one (Schlag et al., 2021).

    ::

        q, k = unit(silu(W_q x)), unit(silu(W_k x))      v = silu(W_v x)
        b  = sigmoid(W_b x)                                      write strength, one per head
        S' = S + k (b (v - Sᵀ k))ᵀ
        y  = S'ᵀ q / sqrt(D)

    Variant: silu and vectors of length 1, as in Yang et al. (2024), where Schlag et al. have a positive feature map and
    keys that sum to 1; without short convolutions and norm. Source: fla-org/flash-linear-attention
    ``ops/delta_rule/naive.py``.

    Shapes: input x (N, I); state S (N, A, D, D) with D = H / A; output y (N, H), the heads concatenated.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.

    Attributes
    ----------
    weight_qkv, weight_beta : Parameter
        (3H, I) and (A, I), Xavier uniform.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, S = ts.nn.DeltaNetCell(3, 6, num_heads=2)(ts.randn(2, 3))
    >>> y.shape, S.shape
    ((2, 6), (2, 2, 3, 3))
    """

    weight_beta: Parameter = declare("A I")

    def forward(self, x: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = (silu(part) for part in self._query_key_value(x))
        q, k = unit(q), tag(unit(k), "key")
        beta = tag(sigmoid(linear(x, self.weight_beta)), "write_gate")
        S = S + outer(k, beta[..., None] * (v - read(S, k)))
        return merge(read(S, q / math.sqrt(self.head_size))), S


class GatedDeltaNetCell(DeltaNetCell):
    """Delta rule with a forget gate (Yang et al., Gated delta networks, 2025).

    ::

        q, k = unit(silu(W_q x)), unit(silu(W_k x))      v = silu(W_v x)
        b  = sigmoid(W_b x)                                      write strength, one per head
        f  = exp(-exp(a) softplus(W_f x + d))                    forget gate, one per head
        S' = f S + k (b (v - f Sᵀ k))ᵀ
        y  = S'ᵀ q / sqrt(D)

    Variant: without short convolutions, norm and output gate. Source: fla-org/flash-linear-attention
    ``ops/gated_delta_rule/naive.py``, ``layers/gated_deltanet.py``.

    Shapes: input x (N, I); state S (N, A, D, D) with D = H / A; output y (N, H), the heads concatenated.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_heads : int, default 1
        A, a divisor of H.

    Attributes
    ----------
    weight_qkv, weight_beta, weight_forget : Parameter
        (3H, I), (A, I) and (A, I), Xavier uniform.
    A_log, bias_forget : Parameter
        a and d, (A,): exp(a) is uniform in [0, 16), softplus(d) is log-uniform in [0.001, 0.1].

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.GatedDeltaNetCell(3, 6, num_heads=2)(ts.randn(2, 3))[0].shape
    (2, 6)
    """

    weight_forget: Parameter = declare("A I")
    A_log: Parameter = declare("A", lambda a: uniform_(a, 0.0, 16.0))
    bias_forget: Parameter = declare("A", lambda d: uniform_(d, math.log(0.001), math.log(0.1)))

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        with no_grad():
            self.A_log.copy_(log(self.A_log))
            self.bias_forget.copy_(log(exp(exp(self.bias_forget)) - 1))

    def forward(self, x: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        rate = exp(self.A_log) * softplus(linear(x, self.weight_forget, self.bias_forget))
        return super().forward(x, tag(exp(-rate), "forget_gate")[..., None, None] * S)
