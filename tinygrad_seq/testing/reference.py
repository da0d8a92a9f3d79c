"""The functions that programs call, in plain NumPy: an independent reference, also used to infer shapes."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .elementwise import BITS, LOGIC, ROWS
from .random_program import fill


def _log_softmax(x: Any, axis: int = -1) -> Any:
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def _standardised(x: Any, shape: Any, eps: float, centre: bool) -> Any:
    axes = tuple(range(-len(shape), 0)) if isinstance(shape, tuple) else -1
    x = x - x.mean(axis=axes, keepdims=True) if centre else x
    return x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + eps)


def _layer_norm(x: Any, shape: Any, weight: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> Any:
    return _standardised(x, shape, eps, True) * weight + bias


def _rms_norm(x: Any, shape: Any, weight: Any = 1.0, eps: float = 1e-5) -> Any:
    return _standardised(x, shape, eps, False) * weight


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    top = x.max()
    return np.log(np.exp(x - top).sum(axis=axis, keepdims=keepdims)) + top


def _norm(x: Any, ord: float = 2, axis: Any = None, keepdims: bool = False) -> Any:
    return (np.abs(x) ** ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def _linear(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return x @ weight.T + bias


def _var(x: Any, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    return np.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def _one_hot(indices: Any, count: int, dtype: Any = np.float32) -> Any:
    return np.eye(count, dtype=dtype)[indices]


def _topk(x: Any, k: int, axis: int = -1) -> tuple[Any, Any]:
    order = np.argsort(-x, axis=axis, kind="stable").take(range(k), axis=axis)
    return np.take_along_axis(x, order, axis=axis), order


def _scan(step: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
    ys = []
    for x in xs:
        carry, y = step(carry, x)
        ys.append(y)
    return carry, np.stack(ys)


def _conv1d(x: Any, weight: Any) -> Any:
    width = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, width, axis=-1)
    return np.einsum("nclk,ock->nol", windows, weight)


def _index_add(x: Any, axis: int, indices: Any, source: Any) -> Any:
    y = np.array(x)
    np.add.at(y, (slice(None),) * (axis % y.ndim) + (indices,), source)
    return y


def _scatter_add(x: Any, axis: int, indices: Any, source: Any) -> Any:
    y, where = np.array(x), list(np.indices(indices.shape))
    where[axis] = indices
    np.add.at(y, tuple(where), source[tuple(slice(n) for n in indices.shape)])
    return y


def _cross_entropy(logits: Any, target: Any) -> Any:
    return -np.take_along_axis(_log_softmax(logits), target[..., None], axis=-1).mean()


_NUMPY = (
    "abs all any argmax argmin argsort broadcast_to clip concat cumprod count_nonzero diagonal diff einsum expand_dims "
    "flip hypot inner kron max mean min moveaxis outer pad permute_dims prod repeat reshape roll sort split squeeze "
    "stack std sum swapaxes take take_along_axis tensordot tile trace tril triu unstack vecdot where matmul"
)

TABLE: dict[str, Any] = {row.name: row.reference for row in ROWS} | LOGIC | BITS
FUNCTIONS = SimpleNamespace(
    **{name: getattr(np, name) for name in _NUMPY.split() if hasattr(np, name)}
    | TABLE
    | {
        "unstack": lambda x, axis=0: tuple(np.moveaxis(x, axis, 0)),
        "vecdot": lambda a, b, axis=-1: (a * b).sum(axis=axis),
        "cumsum": np.cumsum,
        "cummax": lambda x, axis: np.maximum.accumulate(x, axis=axis),
        "cummin": lambda x, axis: np.minimum.accumulate(x, axis=axis),
        "softmax": lambda x, axis=-1: np.exp(_log_softmax(x, axis)),
        "log_softmax": _log_softmax,
        "layer_norm": _layer_norm,
        "rms_norm": _rms_norm,
        "logsumexp": _logsumexp,
        "norm": _norm,
        "linear": _linear,
        "var": _var,
        "one_hot": _one_hot,
        "embedding": lambda table, indices: table[indices],
        "gather": lambda x, axis, indices: np.take_along_axis(x, indices, axis=axis),
        "topk": _topk,
        "scan": _scan,
        "conv1d": _conv1d,
        "index_add": _index_add,
        "scatter_add": _scatter_add,
        "cross_entropy": _cross_entropy,
        "masked_fill": lambda x, mask, value: np.where(mask, value, x),
        "clone": np.array,
        "tensor": lambda array, **_: np.asarray(array),
    }
)


def evaluate(template: str, operands: Sequence[Any]) -> Any:
    """Evaluate one template on NumPy arrays."""
    names = [f"a{i}" for i in range(len(operands))]
    scope = {"np": np, "ts": FUNCTIONS, "TABLE": TABLE, **dict(zip(names, operands, strict=True))}
    with np.errstate(all="ignore"):
        return eval(fill(template, names).replace(".detach()", ""), scope)  # noqa: S307 (generated by this package)


def execute(definitions: str) -> dict[str, Any]:
    """Run the text of a program with ndarrays instead of Tensors, and return the names that it defines."""
    text = definitions.replace("import tinygrad_seq as ts", "").replace(
        "from tinygrad_seq.ops.primitive import TABLE", ""
    )
    text = text.replace(".detach()", "")
    scope: dict[str, Any] = {"ts": FUNCTIONS, "TABLE": TABLE}
    exec(compile(text, "<program on NumPy>", "exec"), scope)
    return scope
