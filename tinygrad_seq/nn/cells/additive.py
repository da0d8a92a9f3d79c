"""Cells whose new state is a gated sum of the old state and a candidate, and leaky averages."""

from __future__ import annotations

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from ..checks import check_numbers
from ..init import constant_, zeros_
from ..module.parameter import Parameter
from .declared import AffineCell, DeclaredCell, HiddenAndCellState, declare

__all__ = ["ATRCell", "CFNCell", "FastGRNNCell", "LeakyRNNCell", "RANCell", "STARCell"]

State = tuple[Tensor, Tensor]


class RANCell(HiddenAndCellState):
    """Recurrent additive network: the state is a weighted sum of the inputs so far (Lee et al., 2017).

    ::

        i  = sigmoid(W_i x + U_i h + b_i)                        input gate
        f  = sigmoid(W_f x + U_f h + b_f)                        forget gate
        c' = i * (W_c x) + f * c
        h' = tanh(c')

    Variant: h' = tanh(c'); the paper also has h' = c'. Source: torchrecurrent ``RANCell``.

    Shapes: input x (N, I); state (h, c), (N, H) each; output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (3H, I) in the order i, f, c, and (2H, H), Xavier uniform.
    bias : Parameter
        (2H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (h, c) = ts.nn.RANCell(3, 5)(ts.randn(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    weight_ih: Parameter = declare("3H I")
    weight_hh: Parameter = declare("2H H")
    bias: Parameter = declare("2H", zeros_)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        xi, xf, content = split(linear(x, self.weight_ih), 3, axis=-1)
        hi, hf = split(linear(h, self.weight_hh, self.bias), 2, axis=-1)
        i, f = tag(sigmoid(xi + hi), "input_gate"), tag(sigmoid(xf + hf), "forget_gate")
        c = i * tag(content, "candidate") + f * c
        h = tanh(c)
        return h, (h, c)


class CFNCell(DeclaredCell):
    """Chaos-free network: without inputs and b_c the state decays to 0 (Laurent and von Brecht, 2017).

    ::

        t  = sigmoid(W_t x + U_t h + b_t)                        horizontal, forget gate
        e  = sigmoid(W_e x + U_e h + b_e)                        vertical, input gate
        h' = t * tanh(h) + e * tanh(W_c x + b_c)

    Variant: the candidate has a bias b_c, as in the source; the paper has none. b_c starts at 0; once training changes
    it, the state no longer decays to 0 without inputs. Freeze it to keep that property. Source: torchrecurrent
    ``CFNCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (3H, I) in the order t, e, c, and (2H, H), Xavier uniform.
    bias : Parameter
        (3H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.CFNCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("3H I")
    weight_hh: Parameter = declare("2H H")
    bias: Parameter = declare("3H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        xt, xe, content = split(linear(x, self.weight_ih, self.bias), 3, axis=-1)
        ht, he = split(linear(h, self.weight_hh), 2, axis=-1)
        forget, take = tag(sigmoid(xt + ht), "forget_gate"), tag(sigmoid(xe + he), "input_gate")
        h = forget * tanh(h) + take * tag(tanh(content), "candidate")
        return h, h


class ATRCell(AffineCell):
    """Addition-subtraction twin-gated unit: two gates from one pair of products (Zhang et al., 2018).

    ::

        p  = W x + b             q = U h
        i  = sigmoid(p + q)                                      input gate
        f  = sigmoid(p - q)                                      forget gate
        h' = i * p + f * h

    Variant: with a bias b, as in the source; the paper's equations have none. Source: torchrecurrent ``ATRCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (H, I) and (H, H), Xavier uniform.
    bias : Parameter
        (H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ATRCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 1

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        p, q = linear(x, self.weight_ih, self.bias), linear(h, self.weight_hh)
        h = tag(sigmoid(p + q), "input_gate") * p + tag(sigmoid(p - q), "forget_gate") * h
        return h, h


class STARCell(DeclaredCell):
    """Stackable recurrent cell, whose gradients keep their size across many layers (Turkoglu et al., 2021).

    ::

        z  = tanh(W_z x + b_z)                                   candidate
        k  = sigmoid(W_k x + U_k h + b_k)                        update gate
        h' = tanh((1 - k) * h + k * z)

    Variant: Xavier uniform weights and zero biases as initial values; the equations are the paper's. Source:
    torchrecurrent ``STARCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (2H, I) in the order z, k, and (H, H), Xavier uniform.
    bias : Parameter
        (2H,), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.STARCell(3, 5)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    weight_ih: Parameter = declare("2H I")
    weight_hh: Parameter = declare("H H")
    bias: Parameter = declare("2H", zeros_)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, k = split(linear(x, self.weight_ih, self.bias), 2, axis=-1)
        z, k = tag(tanh(z), "candidate"), tag(sigmoid(k + linear(h, self.weight_hh)), "update_gate")
        h = tanh((1 - k) * h + k * z)
        return h, h


class LeakyRNNCell(AffineCell):
    """Leaky recurrent network: an exponential average of Elman's (Jaeger et al., 2007; echo state networks).

    ::

        h' = (1 - a) * h + a * tanh(W x + U h + b)

    Variant: a fixed leak a, the same for all units; a = 1 is `ElmanCell`. Freeze W and U with ``requires_grad_(False)``
    for a reservoir. Source: ReservoirComputing.jl ``ESN``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    leak : float, default 0.5
        The rate a, in (0, 1].

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (H, I) and (H, H), Xavier uniform.
    bias : Parameter
        (H,), zeros.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `leak` not in (0, 1].

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LeakyRNNCell(3, 5, leak=0.1)(ts.randn(2, 3))[0].shape
    (2, 5)
    """

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5) -> None:
        check_numbers("LeakyRNNCell", 0, 1, leak=leak)
        if leak == 0:
            raise ArgumentError(f"LeakyRNNCell: expected leak in (0, 1], got {leak}; pass e.g. leak=0.5.")
        super().__init__(input_size, hidden_size)
        self.leak = leak

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        candidate = tag(tanh(linear(x, self.weight_ih, self.bias) + linear(h, self.weight_hh)), "candidate")
        h = (1 - self.leak) * h + self.leak * candidate
        return h, h


class FastGRNNCell(DeclaredCell):
    """Gated network for small devices: gate and candidate share their weights (Kusupati et al., 2018).

    ::

        a  = W x + U h
        z  = sigmoid(a + b_z)                                    update gate
        n  = tanh(a + b_n)                                       candidate
        h' = (sigmoid(zeta) * (1 - z) + sigmoid(nu)) * n + z * h

    Variant: full-rank, not quantised. Source: microsoft/EdgeML ``FastGRNNCell``.

    Shapes: input x (N, I); state h and output h' (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (H, I) and (H, H), Xavier uniform.
    bias : Parameter
        (2H,), in the order z, n, ones.
    zeta, nu : Parameter
        (1,), 1 and -4.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.FastGRNNCell(3, 5).count_parameters()
    52
    """

    weight_ih: Parameter = declare("H I")
    weight_hh: Parameter = declare("H H")
    bias: Parameter = declare("2H", lambda bias: constant_(bias, 1.0))
    zeta: Parameter = declare("1", lambda zeta: constant_(zeta, 1.0))
    nu: Parameter = declare("1", lambda nu: constant_(nu, -4.0))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        bias_z, bias_n = split(self.bias, 2)
        a = linear(x, self.weight_ih) + linear(h, self.weight_hh)
        z, n = tag(sigmoid(a + bias_z), "update_gate"), tag(tanh(a + bias_n), "candidate")
        h = (sigmoid(self.zeta) * (1 - z) + sigmoid(self.nu)) * n + z * h
        return h, h
