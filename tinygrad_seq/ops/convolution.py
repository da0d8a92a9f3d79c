"""Convolution over time: sliding windows, which are a view, and one product with the kernel.

                       windows, stride 1
kernel k0 k1 k2   @      a b c      ->   y0 y1 y2
                         b c d
x = a b c d e            c d e
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import ArgumentError, ShapeError
from .casting import as_array
from .linear import matmul
from .primitive import Array, Primitive
from .public import Public
from .shape import reshape


def _slide(x: np.ndarray, size: int, stride: int, dilation: int, padding: tuple[int, int]) -> np.ndarray:
    """Return the windows ``(..., size, count)`` of `x` ``(..., L)``; a view unless there is padding."""
    if any(padding):
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [padding])
    span = dilation * (size - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, span, axis=-1)
    return windows[..., ::stride, ::dilation].swapaxes(-1, -2)


def _add_up(g: np.ndarray, length: int, size: int, stride: int, dilation: int, padding: tuple[int, int]) -> np.ndarray:
    """Return `g`, windows ``(..., size, count)``, added up at the elements ``(..., L)`` they came from."""
    before, after = padding
    out = np.zeros((*g.shape[:-2], before + length + after), g.dtype)
    reach = (g.shape[-1] - 1) * stride + 1
    for tap in range(size):
        start = tap * dilation
        out[..., start : start + reach : stride] += g[..., tap, :]
    return out[..., before : before + length]


_windows = Primitive(
    "windows",
    _slide,
    (lambda g, _y, x_like, **sizes: _windows_sum(g, length=x_like.shape[-1], **sizes),),
)
_windows_sum = Primitive(
    "windows_sum",
    _add_up,
    (lambda g, _y, _x, length, **sizes: _windows(g, **sizes),),
)


@Public(method=False)
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int | Literal["same", "valid"] = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Return the 1-d convolution (in the sense of neural networks: the kernel is not flipped), as in PyTorch.

    Parameters
    ----------
    x : array_like
        ``(N, C, L)``, or ``(C, L)`` for one row.
    weight : array_like
        ``(O, C / groups, K)``.
    bias : array_like, default None
        ``(O,)``, or None.
    stride : int, default 1
        By how many elements the kernel moves on.
    padding : int, "same" or "valid", default 0
        Zeros on both sides; "valid" is none, "same" as many as keep the length (the odd one goes to the end; stride 1
        only).
    dilation : int, default 1
        Distance between the elements that a kernel reads.
    groups : int, default 1
        Output channels fall in so many groups, each of which sees only its own part of the input channels.

    Returns
    -------
    Tensor
        ``(N, O, (L + padding - dilation * (K - 1) - 1) // stride + 1)``, `padding` being that of both sides.

    Raises
    ------
    ShapeError
        If the shapes are not these, or the kernel is longer than the padded input.
    ArgumentError
        If `stride`, `dilation` or `groups` is not an integer >= 1, or `padding` is not one of the above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([[1.0, 2.0, 4.0, 7.0]])
    >>> ts.conv1d(x, ts.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2., 3.]])
    """
    for name, value in (("stride", stride), ("dilation", dilation), ("groups", groups)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ArgumentError(f"conv1d: expected {name} as an integer >= 1, got {value!r}; pass e.g. {name}=1.")
    weight, bias = as_array(weight), None if bias is None else as_array(bias)
    _check_shapes(x, weight, bias, groups)
    outputs, channels, size = weight.shape
    before, after = sides = _padding(padding, stride, dilation * (size - 1))
    length = x.shape[-1]
    if before + length + after <= dilation * (size - 1):
        raise ShapeError(
            f"conv1d: expected an input at least as long as the kernel's span of {dilation * (size - 1) + 1}, got x "
            f"{x.shape} {x.dtype} with padding {sides}; pad more, or use a smaller kernel or dilation."
        )
    windows = _windows(x, size=size, stride=stride, dilation=dilation, padding=sides)
    count = windows.shape[-1]
    columns = reshape(windows, (*x.shape[:-2], groups, channels * size, count))
    kernels = reshape(weight, (groups, outputs // groups, channels * size))
    y = reshape(matmul(kernels, columns), (*x.shape[:-2], outputs, count))
    return y if bias is None else y + reshape(bias, (outputs, 1))


def _check_shapes(x: Array, weight: Array, bias: Array | None, groups: int) -> None:
    if (
        x.ndim not in (2, 3)
        or weight.ndim != 3
        or x.shape[-2] != weight.shape[1] * groups
        or weight.shape[0] % groups
        or not weight.shape[2]
    ):
        raise ShapeError(
            f"conv1d: expected x (N, C, L) or (C, L) and weight (O, C / groups, K) with O a multiple of groups and "
            f"K >= 1, got x {x.shape} {x.dtype}, weight {weight.shape} {weight.dtype} and groups={groups}; "
            "check the channel axes."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"conv1d: expected bias of shape {weight.shape[:1]}, got {bias.shape} {bias.dtype}; "
            "pass one value per output channel."
        )


def _padding(padding: int | str, stride: int, reach: int) -> tuple[int, int]:
    """Return the zeros before and after for a kernel that reaches `reach` elements beyond its first."""
    if padding == "valid":
        return 0, 0
    if padding == "same" and stride == 1:
        return reach // 2, reach - reach // 2
    if isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0:
        return padding, padding
    raise ArgumentError(
        f"conv1d: expected padding as an integer >= 0, 'valid', or 'same' with stride 1, got {padding!r} with stride "
        f"{stride}; pass e.g. padding=1."
    )
