"""Simplified gated recurrent units, with one or two gates."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...ops.activation import relu
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from ..init import orthogonal_, zeros_
from ..module.parameter import Parameter
from .declared import AffineCell, DeclaredCell, declare

__all__ = ["LiGRUCell", "MGUCell", "MUT1Cell", "MinimalRNNCell", "ResetAfterMGUCell", "UGRNNCell"]


class MGUCell(DeclaredCell):
    """Minimal gated unit: one gate serves as forget and reset gate (Zhou et al., 2016).

    ::

        f  = sigmoid(W_f x + U_f h + b_f)                        forget gate
        n  = tanh(W_n x + U_n (f * h) + b_n)                     candidate
        h' = (1 - f) * h + f * n

    Variant: reset before the product, as published. Source: torchrecurrent ``MGUCell``, chainer ``StatefulMGU``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (2H, I), in the order f, n, Xavier uniform.
    weight_fh, weight_nh : Parameter
        (H, H), Xavier uniform.
    bias : Parameter
        (2H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MGUCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("2H I")
    weight_fh: Parameter = declare("H H")
    weight_nh: Parameter = declare("H H")
    bias: Parameter = declare("2H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        f, n = split(linear(x, self.weight_ih, self.bias), 2, axis=-1)
        f = tag(sigmoid(f + linear(h, self.weight_fh)), "forget_gate")
        n = tag(tanh(n + linear(f * h, self.weight_nh)), "candidate")
        h = (1 - f) * h + f * n
        return h, h


class ResetAfterMGUCell(AffineCell):
    """Minimal gated unit in Flax's form: it resets after the product, and f = 1 keeps the old state.

    ::

        f  = sigmoid(W_f x + U_f h + b_f)                        forget gate
        n  = tanh(W_n x + b_n + f * (U_n h + d_n))               candidate
        h' = (1 - f) * n + f * h

    Variant: resets after the product, with f in the role of a GRU's update gate; `MGUCell` differs in both. Source:
    flax ``linen.MGUCell`` (there without d_n).

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (2H, I), Xavier uniform, and (2H, H), orthogonal, in the order f, n.
    bias : Parameter
        (2H,), zeros.
    bias_nh : Parameter
        d_n, (H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ResetAfterMGUCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 2
    weight_hh: Parameter = declare("2H H", orthogonal_)
    bias_nh: Parameter = declare("H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        xf, xn = split(linear(x, self.weight_ih, self.bias), 2, axis=-1)
        hf, hn = split(linear(h, self.weight_hh), 2, axis=-1)
        f = tag(sigmoid(xf + hf), "forget_gate")
        n = tag(tanh(xn + f * (hn + self.bias_nh)), "candidate")
        h = (1 - f) * n + f * h
        return h, h


class UGRNNCell(AffineCell):
    """Update-gate network: one gate mixes the old state and a candidate (Collins et al., 2017).

    ::

        g  = sigmoid(W_g x + U_g h + b_g)                        update gate
        c  = tanh(W_c x + U_c h + b_c)                           candidate
        h' = g * h + (1 - g) * c

    Variant: biases start at 0 (b_g starts at 1 in the paper). Source: torchrecurrent ``UGRNNCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (2H, I) and (2H, H), in the order g, c, Xavier uniform.
    bias : Parameter
        (2H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.UGRNNCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 2

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        g, c = self._affine(x, h)
        g, c = tag(sigmoid(g), "update_gate"), tag(tanh(c), "candidate")
        h = g * h + (1 - g) * c
        return h, h


class LiGRUCell(AffineCell):
    """Light gated recurrent unit: no reset gate, and a ReLU candidate (Ravanelli et al., 2018).

    ::

        z  = sigmoid(W_z x + U_z h + b_z)                        update gate
        c  = relu(W_c x + U_c h + b_c)                           candidate
        h' = z * h + (1 - z) * c

    Variant: biases instead of the batch normalisation of W x; scale the inputs instead. Source: torchrecurrent
    ``LiGRUCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (2H, I), Xavier uniform, and (2H, H), orthogonal, in the order z, c.
    bias : Parameter
        (2H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LiGRUCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 2
    weight_hh: Parameter = declare("2H H", orthogonal_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, c = self._affine(x, h)
        z, c = tag(sigmoid(z), "update_gate"), tag(relu(c), "candidate")
        h = z * h + (1 - z) * c
        return h, h


class MUT1Cell(DeclaredCell):
    """MUT1, the first of three cells found by an evolutionary search (Jozefowicz et al., 2015).

    ::

        z  = sigmoid(W_z x + b_z)                                update gate
        r  = sigmoid(W_r x + U_r h + b_r)                        reset gate
        n  = tanh(U_n (r * h) + tanh(W_n x + b_n) + d_n)         candidate
        h' = z * n + (1 - z) * h

    Variant: W_n x + b_n inside the inner tanh. Source: torchrecurrent ``MUT1Cell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih : Parameter
        (3H, I), in the order z, r, n, Xavier uniform.
    weight_rh, weight_nh : Parameter
        (H, H), Xavier uniform.
    bias, bias_nh : Parameter
        (3H,) and (H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MUT1Cell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("3H I")
    weight_rh: Parameter = declare("H H")
    weight_nh: Parameter = declare("H H")
    bias: Parameter = declare("3H", zeros_)
    bias_nh: Parameter = declare("H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, r, n = split(linear(x, self.weight_ih, self.bias), 3, axis=-1)
        z, r = tag(sigmoid(z), "update_gate"), tag(sigmoid(r + linear(h, self.weight_rh)), "reset_gate")
        n = tag(tanh(linear(r * h, self.weight_nh, self.bias_nh) + tanh(n)), "candidate")
        h = z * n + (1 - z) * h
        return h, h


class MinimalRNNCell(DeclaredCell):
    """MinimalRNN: one gate mixes the old state and a feature of x (Chen, 2017).

    ::

        z  = tanh(W_z x + b_z)                                   candidate
        u  = sigmoid(V_u z + U_u h + b_u)                        update gate
        h' = u * h + (1 - u) * z

    Variant: one tanh layer as the map from x to z, which the paper leaves open. Source: torchrecurrent
    ``MinimalRNNCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_zh, weight_hh : Parameter
        W_z (H, I), V_u and U_u (H, H), Xavier uniform.
    bias : Parameter
        (2H,), in the order z, u, zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MinimalRNNCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("H I")
    weight_zh: Parameter = declare("H H")
    weight_hh: Parameter = declare("H H")
    bias: Parameter = declare("2H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        bias_z, bias_u = split(self.bias, 2)
        z = tag(tanh(linear(x, self.weight_ih, bias_z)), "candidate")
        u = tag(sigmoid(linear(z, self.weight_zh, bias_u) + linear(h, self.weight_hh)), "update_gate")
        h = u * h + (1 - u) * z
        return h, h
