"""State-space models: discretised linear systems. A complex number is a pair of real arrays."""

from __future__ import annotations

import math

import numpy as np

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...errors import ArgumentError
from ...ops.activation import silu
from ...ops.exponential import exp, expm1, log, softplus
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.reduction import sum as total
from ...ops.trigonometric import cos, sin
from ..checks import check_numbers, check_sizes
from ..init import constant_, normal_, ones_, uniform_
from ..module.parameter import Parameter
from .declared import DeclaredCell, declare, fan_in_uniform_

__all__ = ["LRUCell", "MambaCell", "S4DCell"]

State = tuple[Tensor, Tensor]


def _times(a: State, b: State) -> State:
    """Return the product of two complex numbers, each a pair (real, imaginary)."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


class LRUCell(DeclaredCell):
    """Linear recurrent unit: a complex diagonal recurrence, stable by construction (Orvieto et al., 2023).

    ::

        lambda = exp(-exp(nu) + i exp(theta))                    |lambda| < 1
        s' = lambda * s + exp(gamma) * (B x)                     s complex, of size S
        y  = Re(C s') + D x

    Variant: D is a matrix, as in the paper (a vector in minimal-LRU, where I = H). Source: NicolasZucchet/minimal-LRU,
    ``lru/model.py``.

    Shapes: input x (N, I); state (Re s, Im s), (N, S) each; output y (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    state_size : int, optional
        S; H by default.
    r_min, r_max : float, default 0.0 and 1.0
        The range of |lambda| at the start, 0 <= r_min < r_max <= 1.
    max_phase : float, default 2 pi
        The largest phase of lambda at the start.

    Attributes
    ----------
    nu_log, theta_log, gamma_log : Parameter
        nu, theta and gamma, (S,): lambda uniform on the ring of the complex plane, gamma = log sqrt(1 - |lambda|²).
    B_re, B_im, C_re, C_im, D : Parameter
        B (S, I), C (H, S) and D (H, I), normal with variance 1/(2I), 1/S and 1/I.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or a number outside its range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (re, im) = ts.nn.LRUCell(3, 5, state_size=8)(ts.randn(2, 3))
    >>> y.shape, re.shape
    ((2, 5), (2, 8))
    """

    state = ("S", "S")
    state_names = ("re", "im")
    nu_log: Parameter = declare("S", uniform_)
    theta_log: Parameter = declare("S", uniform_)
    gamma_log: Parameter = declare("S", uniform_)
    B_re: Parameter = declare("S I", lambda B: normal_(B, std=math.sqrt(0.5 / B.shape[1])))
    B_im: Parameter = declare("S I", lambda B: normal_(B, std=math.sqrt(0.5 / B.shape[1])))
    C_re: Parameter = declare("H S", lambda C: normal_(C, std=1 / math.sqrt(C.shape[1])))
    C_im: Parameter = declare("H S", lambda C: normal_(C, std=1 / math.sqrt(C.shape[1])))
    D: Parameter = declare("H I", lambda D: normal_(D, std=1 / math.sqrt(D.shape[1])))

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        state_size: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
    ) -> None:
        check_numbers("LRUCell", 0, 1, r_min=r_min, r_max=r_max)
        check_numbers("LRUCell", 0, math.inf, max_phase=max_phase)
        if r_min >= r_max:
            raise ArgumentError(f"LRUCell: expected r_min < r_max, got {r_min} and {r_max}; pass e.g. 0.4 and 0.9.")
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase
        state_size = hidden_size if state_size is None else state_size
        check_sizes("LRUCell", hidden_size=hidden_size, state_size=state_size)
        self._create(input_size, hidden_size, S=state_size)

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        with no_grad():
            self.nu_log.copy_(log(-0.5 * log(self.nu_log * (self.r_max**2 - self.r_min**2) + self.r_min**2)))
            self.theta_log.copy_(log(self.max_phase * self.theta_log))
            self.gamma_log.copy_(0.5 * log(-expm1(-2 * exp(self.nu_log))))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        size, phase, gamma = exp(-exp(self.nu_log)), exp(self.theta_log), exp(self.gamma_log)
        re, im = _times((size * cos(phase), size * sin(phase)), state)
        re, im = re + gamma * linear(x, self.B_re), im + gamma * linear(x, self.B_im)
        y = linear(re, self.C_re) - linear(im, self.C_im) + linear(x, self.D)
        return y, (re, im)


class S4DCell(DeclaredCell):
    """Diagonal structured state space: one complex linear system per feature (S4D-Lin; Gu et al., 2022).

    ::

        u  = W x                                                 input projection
        A  = -exp(a) + i w            d = exp(log_dt)            per feature one d and S/2 values A
        s' = exp(d A) * s + (exp(d A) - 1) / A * u               zero-order hold
        y  = 2 Re(sum C * s') + D * u

    Variant: with an input projection W; B = 1, not learned; one of each conjugate pair is stored. Source:
    state-spaces/s4, ``models/s4/s4d.py``, whose convolution kernel is 2 Re(sum C (exp(d A) - 1) / A exp(d A)^t); its
    GELU and output layer are layers after this one.

    Shapes: input x (N, I); state (Re s, Im s), (N, H, S/2) each; output y (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    state_size : int, default 64
        S, even.
    dt_min, dt_max : float, default 0.001 and 0.1
        The range of the step sizes d at the start, 0 < dt_min <= dt_max.

    Attributes
    ----------
    weight_ih : Parameter
        W, (H, I), uniform in ±1/sqrt(I).
    log_dt, D : Parameter
        (H,): uniform in [log dt_min, log dt_max), and standard normal.
    A_real_log, A_imag : Parameter
        a and w, (H, S/2): log 0.5, and pi times 0, 1, 2, ...
    C_re, C_im : Parameter
        (H, S/2), normal with variance 1/2.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, `state_size` odd, or a number outside its range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (re, im) = ts.nn.S4DCell(3, 5, state_size=8)(ts.randn(2, 3))
    >>> y.shape, re.shape
    ((2, 5), (2, 5, 4))
    """

    state = ("H S", "H S")
    state_names = ("re", "im")
    weight_ih: Parameter = declare("H I", fan_in_uniform_)
    log_dt: Parameter = declare("H", uniform_)
    A_real_log: Parameter = declare("H S", lambda a: constant_(a, math.log(0.5)))
    A_imag: Parameter = declare("H S", lambda w: _fill_rows(w, math.pi * np.arange(w.shape[1])))
    C_re: Parameter = declare("H S", lambda C: normal_(C, std=math.sqrt(0.5)))
    C_im: Parameter = declare("H S", lambda C: normal_(C, std=math.sqrt(0.5)))
    D: Parameter = declare("H", normal_)

    def __init__(
        self, input_size: int, hidden_size: int, state_size: int = 64, dt_min: float = 0.001, dt_max: float = 0.1
    ) -> None:
        check_sizes("S4DCell", state_size=state_size)
        if state_size % 2:
            raise ArgumentError(f"S4DCell: expected an even state_size, got {state_size}; pass e.g. {state_size + 1}.")
        check_numbers("S4DCell", 0, math.inf, dt_min=dt_min, dt_max=dt_max)
        if not 0 < dt_min <= dt_max:
            raise ArgumentError(
                f"S4DCell: expected 0 < dt_min <= dt_max, got {dt_min} and {dt_max}; pass e.g. 0.001 and 0.1."
            )
        self.dt_min, self.dt_max = dt_min, dt_max
        self._create(input_size, hidden_size, S=state_size // 2)

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        uniform_(self.log_dt, math.log(self.dt_min), math.log(self.dt_max))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        u = linear(x, self.weight_ih)
        dt, re, im = exp(self.log_dt)[:, None], -exp(self.A_real_log), self.A_imag
        size, phase = exp(dt * re), dt * im
        decay = size * cos(phase), size * sin(phase)
        norm = re * re + im * im
        gain = _times((decay[0] - 1, decay[1]), (re / norm, -im / norm))
        kept = _times(decay, state)
        s = kept[0] + gain[0] * u[:, :, None], kept[1] + gain[1] * u[:, :, None]
        y = 2 * total(_times((self.C_re, self.C_im), s)[0], axis=-1) + self.D * u
        return y, s


class MambaCell(DeclaredCell):
    """Mamba's selective scan: a state-space model whose step size and matrices depend on x (Gu and Dao, 2023).

    ::

        u, z = silu(W_u x), W_z x
        d  = softplus(W_d (W_r u) + b_d)                         step size per feature
        B, C = W_B u, W_C u                                      shared by all features
        s' = exp(d A) * s + d * B * u        A = -exp(a)         s (H, S)
        y  = (sum C * s' + D * u) * silu(z)

    Variant: selective scan with its projections and gate. The block's short convolution before the silu and its output
    projection are not part of the cell. Source: state-spaces/mamba, ``selective_scan_ref`` and ``mamba_simple.py``. An
    output is a product of up to five inputs, and its gradient of more: in float32 inputs and states may reach about
    1e3.

    Shapes: input x (N, I); state s (N, H, S); output y (N, H).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H (D and E D in the paper).
    state_size : int, default 16
        S.
    dt_rank : int, optional
        R, the inner size of the low-rank map to the step sizes; I / 16 rounded up by default.

    Attributes
    ----------
    weight_ih : Parameter
        W_u and W_z, (2H, I), uniform in ±1/sqrt(I).
    weight_r, weight_b, weight_c : Parameter
        (R, H), (S, H), (S, H), uniform in ±1/sqrt(H).
    weight_dt, bias_dt : Parameter
        (H, R), uniform in ±1/sqrt(R); (H,), such that softplus(bias_dt) is log-uniform in [0.001, 0.1).
    A_log, D : Parameter
        a (H, S): log of 1, 2, ..., S; (H,): ones.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, s = ts.nn.MambaCell(3, 5, state_size=8)(ts.randn(2, 3))
    >>> y.shape, s.shape
    ((2, 5), (2, 5, 8))
    """

    state = "H S"
    weight_ih: Parameter = declare("2H I", fan_in_uniform_)
    weight_r: Parameter = declare("R H", fan_in_uniform_)
    weight_b: Parameter = declare("S H", fan_in_uniform_)
    weight_c: Parameter = declare("S H", fan_in_uniform_)
    weight_dt: Parameter = declare("H R", fan_in_uniform_)
    bias_dt: Parameter = declare("H", lambda b: uniform_(b, math.log(0.001), math.log(0.1)))
    A_log: Parameter = declare("H S", lambda a: _fill_rows(a, np.log(np.arange(1, a.shape[1] + 1))))
    D: Parameter = declare("H", ones_)

    def __init__(self, input_size: int, hidden_size: int, state_size: int = 16, dt_rank: int | None = None) -> None:
        check_sizes("MambaCell", input_size=input_size)
        rank = -(-input_size // 16) if dt_rank is None else dt_rank
        check_sizes("MambaCell", state_size=state_size, dt_rank=rank)
        self._create(input_size, hidden_size, S=state_size, R=rank)

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        super().reset_parameters()
        with no_grad():
            self.bias_dt.copy_(log(expm1(exp(self.bias_dt))))

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        u, z = split(linear(x, self.weight_ih), 2, axis=-1)
        u, z = silu(u), tag(silu(z), "output_gate")
        dt = tag(softplus(linear(linear(u, self.weight_r), self.weight_dt, self.bias_dt)), "step")
        B, C = linear(u, self.weight_b), linear(u, self.weight_c)
        s = exp(dt[:, :, None] * -exp(self.A_log)) * s + (dt * u)[:, :, None] * B[:, None, :]
        y = (total(C[:, None, :] * s, axis=-1) + self.D * u) * z
        return y, s


def _fill_rows(parameter: Parameter, row: np.ndarray) -> None:
    with no_grad():
        parameter.copy_(np.broadcast_to(row, parameter.shape))
