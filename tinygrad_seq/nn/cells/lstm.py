"""Long short-term memory, in PyTorch's form."""

from __future__ import annotations

from numpy.typing import DTypeLike

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops.exponential import sigmoid
from ...ops.joining import split
from ...ops.linear import linear
from ...ops.trigonometric import tanh
from ..checks import check_sizes
from ..module.parameter import Parameter
from .gated import GatedCell

__all__ = ["LSTMCell"]

_SYMBOLS = {"input_gate": "Γ_u", "forget_gate": "Γ_f", "output_gate": "Γ_o", "candidate": "c̃"}


def check_projection(layer: str, hidden_size: int, proj_size: int) -> None:
    """Raise unless `proj_size` is 0, for no projection, or below `hidden_size`."""
    if proj_size:
        check_sizes(layer, hidden_size=hidden_size, proj_size=proj_size)
        if proj_size >= hidden_size:
            raise ArgumentError(
                f"{layer}: expected proj_size below hidden_size={hidden_size}, got {proj_size}; "
                "pass a smaller one, or 0 for no projection."
            )


class LSTMCell(GatedCell):
    """Long short-term memory with a forget gate (Gers et al., 2000; `torch.nn.LSTMCell`).

    ::

        i  = sigmoid(W_ii x + b_ii + W_hi h + b_hi)              input gate
        f  = sigmoid(W_if x + b_if + W_hf h + b_hf)              forget gate
        g  = tanh(W_ig x + b_ig + W_hg h + b_hg)                 candidate
        o  = sigmoid(W_io x + b_io + W_ho h + b_ho)              output gate
        c' = f * c + i * g
        h' = o * tanh(c')                                        W_hr (o * tanh(c')) with a `proj_size`

    Variant: PyTorch's, with tanh for both squashing functions, the full gradient, no peepholes, and two biases, which
    add up to one. The projection is that of Sak et al., 2014, without its second, non-recurrent projection.

    Shapes: input x (N, I); state (h, c), h (N, P) and c (N, H); output h' (N, P). P is H without a projection.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool, default True
        Whether there are biases.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.
    proj_size : int, default 0
        P, below H, to project h to P features; 0 for no projection.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (4H, I) and (4H, P), gates in the order i, f, g, o, uniform in ±1/sqrt(H).
    weight_hr : Parameter or None
        (P, H), the projection, uniform in ±1/sqrt(H).
    bias_ih, bias_hh : Parameter or None
        (4H,), uniform in ±1/sqrt(H).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (h, c) = ts.nn.LSTMCell(3, 5)(ts.randn(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    states = 2
    state_names = ("h", "c")
    tag_symbols = _SYMBOLS
    gates = 4
    weight_hr: Parameter | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        proj_size: int = 0,
    ) -> None:
        check_projection("LSTMCell", hidden_size, proj_size)
        self._proj_size = proj_size
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = split(gates, 4, axis=-1)
        i, f = tag(sigmoid(i), "input_gate"), tag(sigmoid(f), "forget_gate")
        g, o = tag(tanh(g), "candidate"), tag(sigmoid(o), "output_gate")
        c = f * c + i * g
        h = o * tanh(c)
        if self.weight_hr is not None:
            h = linear(h, self.weight_hr)
        return h, (h, c)
