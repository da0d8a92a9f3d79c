"""Units with one or two gates: what can be left out of a gated recurrent unit."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...ops.activation import relu
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.primitive import Array
from ...ops.trigonometric import tanh
from ..init import orthogonal_, zeros_
from ..module.parameter import Parameter
from .declared import DeclaredCell, drawn


class MGUCell(DeclaredCell):
    """Minimal gated unit: one gate both forgets and resets (Zhou et al., 2016).

    ::

        f  = sigmoid(W_f x + U_f h + b_f)                        forget gate
        n  = tanh(W_n x + U_n (f * h) + b_n)                     candidate
        h' = (1 - f) * h + f * n

    Variant: reset before the product, as published. Source: torchrecurrent ``MGUCell``, chainer ``StatefulMGU``. The
    output is h'.

    Parameters
    ----------
    input_size, hidden_size
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

    weight_ih: Parameter = drawn("2H I")
    weight_fh: Parameter = drawn("H H")
    weight_nh: Parameter = drawn("H H")
    bias: Parameter = drawn("2H", zeros_)

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        f, n = split(linear(x, self.weight_ih, self.bias), 2, axis=-1)
        f = tag(sigmoid(f + linear(h, self.weight_fh)), "forget_gate")
        n = tag(tanh(n + linear(f * h, self.weight_nh)), "candidate")
        h = (1 - f) * h + f * n
        return h, h


class ResetAfterMGUCell(DeclaredCell):
    """Minimal gated unit in Flax's form, which resets after the product and keeps the old state where f is 1.

    ::

        f  = sigmoid(W_f x + U_f h + b_f)                        forget gate
        n  = tanh(W_n x + b_n + f * (U_n h + d_n))               candidate
        h' = (1 - f) * n + f * h

    Variant: reset after the product, f as in a GRU's update gate; `MGUCell` has both the other way round. Source: flax
    ``linen.MGUCell`` (there without d_n). The output is h'.

    Parameters
    ----------
    input_size, hidden_size
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (2H, I), Xavier uniform, and (2H, H), orthogonal, in the order f, n.
    bias : Parameter
        (2H,), zeros.
    bias_nh : Parameter
        (H,), d_n, zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ResetAfterMGUCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = drawn("2H I")
    weight_hh: Parameter = drawn("2H H", orthogonal_)
    bias: Parameter = drawn("2H", zeros_)
    bias_nh: Parameter = drawn("H", zeros_)

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        xf, xn = split(linear(x, self.weight_ih, self.bias), 2, axis=-1)
        hf, hn = split(linear(h, self.weight_hh), 2, axis=-1)
        f = tag(sigmoid(xf + hf), "forget_gate")
        n = tag(tanh(xn + f * (hn + self.bias_nh)), "candidate")
        h = (1 - f) * n + f * h
        return h, h


class UGRNNCell(DeclaredCell):
    """Update-gate network: a gate between the old state and a new one (Collins et al., 2017).

    ::

        g  = sigmoid(W_g x + U_g h + b_g)                        update gate
        c  = tanh(W_c x + U_c h + b_c)                           candidate
        h' = g * h + (1 - g) * c

    Variant: biases zero (the paper starts b_g at 1). Source: torchrecurrent ``UGRNNCell``. The output is h'.

    Parameters
    ----------
    input_size, hidden_size
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

    weight_ih: Parameter = drawn("2H I")
    weight_hh: Parameter = drawn("2H H")
    bias: Parameter = drawn("2H", zeros_)

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        g, c = split(linear(x, self.weight_ih, self.bias) + linear(h, self.weight_hh), 2, axis=-1)
        g, c = tag(sigmoid(g), "update_gate"), tag(tanh(c), "candidate")
        h = g * h + (1 - g) * c
        return h, h


class LiGRUCell(DeclaredCell):
    """Light gated recurrent unit: no reset gate, a rectified candidate (Ravanelli et al., 2018).

    ::

        z  = sigmoid(W_z x + U_z h + b_z)                        update gate
        c  = relu(W_c x + U_c h + b_c)                           candidate
        h' = z * h + (1 - z) * c

    Variant: biases instead of the batch normalisation of W x, which is a layer before the cell; without it, scale the
    inputs. Source: torchrecurrent ``LiGRUCell``. The output is h'.

    Parameters
    ----------
    input_size, hidden_size
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

    weight_ih: Parameter = drawn("2H I")
    weight_hh: Parameter = drawn("2H H", orthogonal_)
    bias: Parameter = drawn("2H", zeros_)

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        z, c = split(linear(x, self.weight_ih, self.bias) + linear(h, self.weight_hh), 2, axis=-1)
        z, c = tag(sigmoid(z), "update_gate"), tag(relu(c), "candidate")
        h = z * h + (1 - z) * c
        return h, h


class MUT1Cell(DeclaredCell):
    """The first of three units found by evolution (Jozefowicz et al., 2015).

    ::

        z  = sigmoid(W_z x + b_z)                                update gate
        r  = sigmoid(W_r x + U_r h + b_r)                        reset gate
        n  = tanh(U_n (r * h) + tanh(W_n x + b_n) + d_n)         candidate
        h' = z * n + (1 - z) * h

    Variant: W_n x + b_n inside the inner tanh. Source: torchrecurrent ``MUT1Cell``. The output is h'.

    Parameters
    ----------
    input_size, hidden_size
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

    weight_ih: Parameter = drawn("3H I")
    weight_rh: Parameter = drawn("H H")
    weight_nh: Parameter = drawn("H H")
    bias: Parameter = drawn("3H", zeros_)
    bias_nh: Parameter = drawn("H", zeros_)

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        z, r, n = split(linear(x, self.weight_ih, self.bias), 3, axis=-1)
        z, r = tag(sigmoid(z), "update_gate"), tag(sigmoid(r + linear(h, self.weight_rh)), "reset_gate")
        n = tag(tanh(linear(r * h, self.weight_nh, self.bias_nh) + tanh(n)), "candidate")
        h = z * n + (1 - z) * h
        return h, h


class MinimalRNNCell(DeclaredCell):
    """A gate between the old state and a feature of x alone (Chen, MinimalRNN, 2017).

    ::

        z  = tanh(W_z x + b_z)                                   candidate
        u  = sigmoid(V_u z + U_u h + b_u)                        update gate
        h' = u * h + (1 - u) * z

    Variant: one tanh layer as the map from x to z, which the paper leaves open. Source: torchrecurrent
    ``MinimalRNNCell``. The output is h'.

    Parameters
    ----------
    input_size, hidden_size
        I and H.

    Attributes
    ----------
    weight_ih, weight_zh, weight_hh : Parameter
        W_z (H, I), V_u and U_u (H, H), Xavier uniform.
    bias : Parameter
        (2H,) for z and u, zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MinimalRNNCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = drawn("H I")
    weight_zh: Parameter = drawn("H H")
    weight_hh: Parameter = drawn("H H")
    bias: Parameter = drawn("2H", zeros_)

    def forward(self, x: Array, h: Array) -> tuple[Array, Array]:
        bias_z, bias_u = split(self.bias, 2)
        z = tag(tanh(linear(x, self.weight_ih, bias_z)), "candidate")
        u = tag(sigmoid(linear(z, self.weight_zh, bias_u) + linear(h, self.weight_hh)), "update_gate")
        h = u * h + (1 - u) * z
        return h, h
