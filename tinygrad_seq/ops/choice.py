"""Drawing from a categorical distribution with random numbers that are given: so it may stand inside a scan."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AnomalyError, ArgumentError, DtypeError, ShapeError
from .casting import as_array
from .primitive import Array, OpKind, Primitive
from .public import Public


def refuse_scores(shape: tuple[int, ...]) -> None:
    """Raise the AnomalyError of scores that nothing can be drawn from."""
    raise AnomalyError(
        f"categorical: expected finite logits, got NaN, +infinity, or none that is finite, in a row of {shape[-1]}; "
        "look for damaged weights or a step that overflows."
    )


def check_drawing(caller: str, temperature: Any, top_k: Any) -> float:
    """Return the temperature; raise unless it is a finite number >= 0 and `top_k` an integer >= 1."""
    heat = temperature.item() if getattr(temperature, "shape", None) == () else temperature
    if isinstance(heat, bool) or not isinstance(heat, int | float) or not 0 <= heat < np.inf:
        raise ArgumentError(
            f"{caller}: expected temperature to be a finite number >= 0, got {temperature!r}; 1 draws from "
            "softmax(logits), 0 takes the greatest."
        )
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 1):
        raise ArgumentError(
            f"{caller}: expected top_k to be an integer >= 1 or None, got {top_k!r}; leave it out to allow all."
        )
    return float(heat)


def _draw(logits: np.ndarray, uniforms: np.ndarray, temperature: np.ndarray, top_k: int | None) -> np.ndarray:
    from ..kernels.categorical import choose  # 10 ms, when first used

    count = logits.shape[-1]
    rows, heat = logits.reshape(-1), float(temperature)
    drawn = np.empty(uniforms.shape, np.int64)
    for at, uniform in enumerate(uniforms.ravel().tolist()):
        drawn.flat[at] = choose(rows, at * count, count, uniform, heat, count if top_k is None else top_k)
    if drawn.size and drawn.min() < 0:
        refuse_scores(logits.shape)
    return drawn


_categorical = Primitive("categorical", _draw, (None, None, None), kind=OpKind.DRAW)


@Public(method=False)
def categorical(logits: Array, uniforms: Array, temperature: Any = 1.0, top_k: int | None = None) -> Array:
    """Return for each row of `logits` an index drawn with probability ``softmax(logits / temperature)``.

    The random numbers are given, so the same ones draw the same, also inside a compiled scan: a model writes a whole
    text in one loop, each token drawn and looked up where the next step needs it.

    Parameters
    ----------
    logits : array_like
        (..., V). -inf makes an index impossible.
    uniforms : array_like
        (...), independent and uniform in [0, 1): ``ts.rand(...)``.
    temperature : float, default 1.0
        0 takes the greatest of each row, the first of several, whatever `uniforms` are.
    top_k : int, default None
        How many of the greatest may come, of equal ones the first; None allows all.

    Returns
    -------
    Tensor
        (...), int64. No gradient flows through a draw.

    Raises
    ------
    ShapeError, DtypeError
        If shapes do not fit, or logits or uniforms are not floating-point.
    ArgumentError
        If the temperature is no finite number >= 0, or `top_k` no integer >= 1.
    AnomalyError
        If a row has NaN, +inf, or nothing finite.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> logits = ts.log(ts.tensor([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]))
    >>> ts.categorical(logits, ts.tensor([0.1, 0.6])), ts.categorical(logits, ts.zeros(2), temperature=0)
    (tensor([0, 1]), tensor([1, 1]))
    """
    uniforms, heat = as_array(uniforms), np.asarray(check_drawing("categorical", temperature, top_k))
    if logits.ndim < 1 or uniforms.shape != logits.shape[:-1] or not logits.shape[-1]:
        raise ShapeError(
            f"categorical: expected logits (..., V) and uniforms (...), one for each row, got {logits.shape} "
            f"{logits.dtype} and {uniforms.shape} {uniforms.dtype}; draw ts.rand(*logits.shape[:-1])."
        )
    if logits.dtype.kind != "f" or uniforms.dtype.kind != "f":
        raise DtypeError(
            f"categorical: expected floating-point logits and uniforms, got {logits.shape} {logits.dtype} and "
            f"{uniforms.shape} {uniforms.dtype}; cast them with astype."
        )
    return _categorical(logits, uniforms, heat, top_k=None if top_k is None else min(int(top_k), logits.shape[-1]))
