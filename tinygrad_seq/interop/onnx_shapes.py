"""The operators of ONNX on shapes and positions: one row per operator."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import functional as F  # noqa: N812
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from ..ops.casting import SUPPORTED
from .onnx_graph import Node, size_of

Operator = Callable[..., Any]

_LOWEST, _HIGHEST = -(1 << 62), 1 << 62  # the ends of a slice that mean "all"


def concrete(x: Any) -> np.ndarray:
    """Return the values of an input that must be known when the model runs, such as sizes and indices.

    Raises
    ------
    ArgumentError
        If it is computed inside of a Scan from values that are not known yet.
    """
    if not isinstance(x, Tensor):
        return np.asarray(x)
    try:
        return x.numpy()
    except Exception as error:
        raise ArgumentError(
            "expected sizes, axes and conditions that do not depend on the data inside of a Scan, got some that do; "
            "export the model with fixed ones."
        ) from error


def integers(x: Any) -> list[int]:
    """Return a list of integers, such as a shape."""
    array = concrete(x)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise DtypeError(f"expected integers in one list, got {array.shape} {array.dtype}; check the model.")
    return [int(value) for value in array.reshape(-1)]


def listed(node: Node, name: str, given: Any) -> list[int] | None:
    """Return a list of integers that is an input, or an attribute in earlier opsets."""
    if given is not None:
        return integers(given)
    value = node.get(name)
    return None if value is None else list(value)


def _dtype(number: int) -> np.dtype[Any]:
    from onnx import helper

    dtype: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(number))
    if dtype.name in ("float16", "bfloat16"):
        return np.dtype(np.float32)
    if dtype.name not in SUPPORTED:
        raise DtypeError(
            f"expected a dtype of real numbers, integers or booleans, got {dtype}; export the model in float32."
        )
    return dtype


def _normal_axes(x: Any, axes: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if axes is None else tuple(axis + x.ndim if axis < 0 else axis for axis in axes)


def _arg(function: Operator) -> Operator:
    def run(node: Node, x: Any) -> Any:
        axis = node.get("axis", 0)
        if node.get("select_last_index"):
            return x.shape[axis] - 1 - function(F.flip(x, axis), axis=axis, keepdims=bool(node.get("keepdims", 1)))
        return function(x, axis=axis, keepdims=bool(node.get("keepdims", 1)))

    return run


def _cumsum(node: Node, x: Any, axis: Any) -> Any:
    (along,) = integers(axis)
    x = F.flip(x, along) if node.get("reverse") else x
    y = F.astype(F.cumsum(x, axis=along), x.dtype)
    y = y - x if node.get("exclusive") else y
    return F.flip(y, along) if node.get("reverse") else y


def _topk(node: Node, x: Any, k: Any) -> Any:
    (count,) = integers(k)
    axis = node.get("axis", -1)
    order = F.argsort(x, axis=axis, descending=bool(node.get("largest", 1)), stable=True)
    index = [slice(None)] * x.ndim
    index[axis] = slice(0, count)
    order = order[tuple(index)]
    return F.take_along_axis(x, order, axis=axis), order


# ------------------------------------------------------------------------------------------------------ shapes


def _shape(node: Node, x: Any) -> np.ndarray:
    return np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


def _reshape(node: Node, x: Any, shape: Any) -> Any:
    sizes = integers(shape)
    if not node.get("allowzero"):
        sizes = [x.shape[k] if size == 0 else size for k, size in enumerate(sizes)]
    return F.reshape(x, tuple(sizes))


def _flatten(node: Node, x: Any) -> Any:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return F.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    chosen = _normal_axes(x, listed(node, "axes", axes))
    if chosen is None:
        chosen = tuple(k for k, size in enumerate(x.shape) if size == 1)
    if any(not 0 <= axis < x.ndim or x.shape[axis] != 1 for axis in chosen):
        raise ArgumentError(f"expected axes of size 1, got {chosen} of {x.shape}; check the model and its inputs.")
    return F.reshape(x, tuple(size for k, size in enumerate(x.shape) if k not in chosen))


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    chosen = listed(node, "axes", axes) or []
    rank = x.ndim + len(chosen)
    places = {axis + rank if axis < 0 else axis for axis in chosen}
    if len(places) < len(chosen) or any(not 0 <= axis < rank for axis in places):
        raise ArgumentError(f"expected axes of an array with {rank} axes, got {chosen}; check the model.")
    sizes = iter(x.shape)
    return F.reshape(x, tuple(1 if k in places else next(sizes) for k in range(rank)))


def _transpose(node: Node, x: Any) -> Any:
    return F.permute_dims(x, tuple(node.get("perm") or range(x.ndim)[::-1]))


def _expand(node: Node, x: Any, shape: Any) -> Any:
    return F.broadcast_to(x, np.broadcast_shapes(size_of(integers(shape)), x.shape))


def _tile(node: Node, x: Any, repeats: Any) -> Any:
    counts = integers(repeats)
    size_of([size * count for size, count in zip(x.shape, counts, strict=True)])
    return F.tile(x, tuple(counts))


def _split(node: Node, x: Any, sizes: Any = None) -> Any:
    axis = node.get("axis", 0)
    parts = listed(node, "split", sizes)
    total = x.shape[axis]
    if parts is None:
        count = node.get("num_outputs", len(node.outputs))
        size = -(-total // count)
        parts = [size] * (count - 1) + [total - size * (count - 1)]
    if builtins.sum(parts) != total or builtins.min(parts) < 0:
        raise ArgumentError(f"expected sizes of parts whose sum is {total}, got {parts}; check the model.")
    return tuple(F.split(x, tuple(np.cumsum(parts)[:-1].tolist()), axis=axis))


def _slice(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    first, last = listed(node, "starts", starts), listed(node, "ends", ends)
    if first is None or last is None:
        raise ArgumentError("expected starts and ends, got none; check the model.")
    along = listed(node, "axes", axes) or list(range(len(first)))
    by = [1] * len(first) if steps is None else integers(steps)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        size = x.shape[axis]
        start, end = (value + size if value < 0 else value for value in (start, end))
        low, high = (0, size) if step > 0 else (-1, size - 1)
        start, end = (builtins.min(builtins.max(value, low), high) for value in (builtins.max(start, 0), end))
        index[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(index)]


def _gather(node: Node, x: Any, indices: Any) -> Any:
    axis = node.get("axis", 0) % builtins.max(x.ndim, 1)
    if axis == 0 and x.ndim == 2 and isinstance(x, Tensor):
        return F.embedding(x, _wrapped(indices, x.shape[0]))
    return F.take(x, _wrapped(indices, x.shape[axis]), axis=axis)


def _wrapped(indices: Any, size: int) -> Any:
    """Return indices with negative ones counted from the end."""
    if isinstance(indices, np.ndarray):
        return np.where(indices < 0, indices + size, indices)
    return F.where(indices < 0, indices + size, indices)


def _gather_elements(node: Node, x: Any, indices: Any) -> Any:
    axis = node.get("axis", 0)
    return F.take_along_axis(x, _wrapped(indices, x.shape[axis]), axis=axis)


def _scatter_elements(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    axis, how = node.get("axis", 0), node.get("reduction", "none")
    if how not in ("none", "add"):
        raise ArgumentError(f"expected a reduction of none or add, got {how[:40]!r}; export the model without it.")
    return (F.scatter if how == "none" else F.scatter_add)(x, axis, _wrapped(indices, x.shape[axis]), updates)


def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    sizes = listed(node, "pads", pads) or []
    along = list(range(x.ndim)) if axes is None else list(_normal_axes(x, integers(axes)) or ())
    if len(sizes) != 2 * len(along):
        raise ArgumentError(f"expected {2 * len(along)} pads, got {len(sizes)}; check the model.")
    widths = [(0, 0)] * x.ndim
    for k, axis in enumerate(along):
        widths[axis] = (sizes[k], sizes[k + len(along)])
    size_of([size + builtins.sum(width) for size, width in zip(x.shape, widths, strict=True)])
    cut = tuple(
        slice(-low if low < 0 else 0, size + high if high < 0 else size)
        for (low, high), size in zip(widths, x.shape, strict=True)
    )
    widths = [(builtins.max(low, 0), builtins.max(high, 0)) for low, high in widths]
    mode = node.get("mode", "constant")
    if mode == "constant":
        fill = node.get("value", 0.0) if value is None else concrete(value).item()
        return F.pad(x[cut], tuple(widths), value=fill)
    return F.pad(x[cut], tuple(widths), mode=mode)


def _range(node: Node, start: Any, limit: Any, delta: Any) -> np.ndarray:
    first, last, by = (concrete(x).reshape(()) for x in (start, limit, delta))
    size_of([builtins.max(0, math.ceil((last - first) / by))] if by else [-1])
    found: np.ndarray = np.arange(first.item(), last.item(), by.item(), dtype=first.dtype)
    return found


def _constant(node: Node) -> Any:
    for name, value in node.attributes.items():
        if name == "value":
            return value
        if name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
    raise ArgumentError(f"expected a constant of numbers, got {list(node.attributes)}; export the model without it.")


def _filled(node: Node, shape: Any) -> np.ndarray:
    value = node.get("value", np.zeros(1, np.float32))
    return np.full(size_of(integers(shape)), value.reshape(()))


def _cast(node: Node, x: Any) -> Any:
    return F.astype(x, _dtype(node.get("to", 1)))


def _one_hot(node: Node, indices: Any, depth: Any, values: Any) -> Any:
    (count,) = integers(np.asarray(concrete(depth)).astype(np.int64))
    size_of([*indices.shape, count])
    off, on = values[:1], values[1:]
    axis = node.get("axis", -1)
    hits = F.expand_dims(_wrapped(indices, count), axis) == np.arange(count).reshape(
        (-1,) + (1,) * ((indices.ndim - axis) if axis >= 0 else -1 - axis)
    )
    return F.where(hits, on, off)


def _trilu(node: Node, x: Any, k: Any = None) -> Any:
    return (F.triu if node.get("upper", 1) else F.tril)(x, 0 if k is None else int(concrete(k).item()))


def _reverse_sequence(node: Node, x: Any, lengths: Any) -> Any:
    time, batch = node.get("time_axis", 0), node.get("batch_axis", 1)
    ends = concrete(lengths)
    steps = np.arange(x.shape[time])[:, None]
    order = np.where(steps < ends, ends - 1 - steps, steps)  # (T, N)
    if (time, batch) == (1, 0):
        order = order.T
    elif (time, batch) != (0, 1):
        raise ArgumentError(f"expected time and batch axes 0 and 1, got {time} and {batch}; check the model.")
    order = order.reshape(order.shape + (1,) * (x.ndim - 2))
    return F.take_along_axis(x, np.broadcast_to(order, x.shape), axis=time)


SHAPES: dict[str, Operator] = {
    "ArgMax": _arg(F.argmax),
    "ArgMin": _arg(F.argmin),
    "CumSum": _cumsum,
    "TopK": _topk,
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Concat": lambda node, *xs: F.concat(xs, axis=node.get("axis", 0)),
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "ScatterElements": _scatter_elements,
    "Pad": _pad,
    "Range": _range,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Cast": _cast,
    "CastLike": lambda node, x, like: F.astype(x, like.dtype),
    "OneHot": _one_hot,
    "Trilu": _trilu,
    "ReverseSequence": _reverse_sequence,
}
