"""Convolution over time as a layer."""

from __future__ import annotations

import math
from typing import Any, Literal

from numpy.typing import DTypeLike

from ..autograd.creation import zeros
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.convolution import conv1d
from ..ops.edges import pad
from .checks import check_sizes, check_switches, check_tensor
from .init import uniform_
from .module.module import Module
from .module.parameter import Parameter
from .module.placement import check_placement

__all__ = ["Conv1d"]

_MODES: dict[str, Any] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Conv1d(Module):
    """Convolution along the last axis of (N, C, L), as `torch.nn.Conv1d`; see `conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int
        K, the steps that a kernel reads.
    stride : int, default 1
        The steps by which the kernel moves on.
    padding : int, "same" or "valid", default 0
        Steps added on both sides; ``"same"`` keeps the length (with stride 1), ``"valid"`` adds none.
    dilation : int, default 1
        The distance between the steps that a kernel reads.
    groups : int, default 1
        The channels form so many groups; each output channel reads those of its own.
    bias : bool, default True
        Whether there is a bias.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the added steps hold.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight : Parameter
        (O, C / groups, K), uniform in ±1/sqrt(C K / groups).
    bias : Parameter or None
        (O,), uniform in the same range.

    Raises
    ------
    ArgumentError, DtypeError
        If an argument is not one of those above, or `groups` does not divide both numbers of channels.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Conv1d(3, 8, kernel_size=5, padding="same")(ts.randn(2, 3, 20)).shape
    (2, 8, 20)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Literal["same", "valid"] = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        kernel_size, stride, padding, dilation = map(_single, (kernel_size, stride, padding, dilation))
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        check_sizes(name, stride=stride, dilation=dilation, groups=groups)
        check_switches(name, bias=bias)
        check_placement(name, device, dtype)
        if padding not in ("same", "valid"):
            check_sizes(name, padding=padding + 1 if type(padding) is int else padding)
        if padding == "same" and stride != 1:
            raise ArgumentError(f"{name}: expected stride 1 with padding='same', got {stride}; pass a number of steps.")
        if padding_mode not in _MODES:
            raise ArgumentError(f"{name}: expected padding_mode one of {[*_MODES]}, got {padding_mode!r}; pass one.")
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: expected groups to divide in_channels={in_channels} and out_channels={out_channels}, got "
                f"{groups}; pass a common divisor."
            )
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.padding_mode = padding_mode
        self.weight = Parameter(zeros((out_channels, in_channels // groups, kernel_size), dtype))
        self.bias = Parameter(zeros(out_channels, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight and bias to new initial values."""
        bound = 1 / math.sqrt(self.weight.shape[1] * self.weight.shape[2])
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x.

        Parameters
        ----------
        x : Tensor
            (N, C, L), or (C, L) for one sequence, of the dtype of the parameters.

        Returns
        -------
        Tensor
            (N, O, L') or (O, L').

        Raises
        ------
        ShapeError, DtypeError
            If x is not an array of this shape and of the dtype of the parameters, or shorter than the kernel.
        """
        name = type(self).__name__
        check_tensor(name, x, self.weight.dtype)
        if x.ndim not in (2, 3) or x.shape[-2] != self.in_channels:
            raise ShapeError(
                f"{name}: expected x (N, C, L) or (C, L) with C={self.in_channels} channels, got {x.shape} {x.dtype}; "
                "put the features before the steps with swapaxes(-1, -2)."
            )
        padding = self.padding
        if self.padding_mode != "zeros" and padding not in (0, "valid"):
            total = self.dilation * (self.kernel_size - 1)
            sides: Any = (total // 2, total - total // 2) if padding == "same" else (padding, padding)
            x = pad(x, [(0, 0)] * (x.ndim - 1) + [sides], mode=_MODES[self.padding_mode])
            padding = 0
        return conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


def _single(value: Any) -> Any:
    """Return the number in a tuple of one, as PyTorch code writes it."""
    return value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
