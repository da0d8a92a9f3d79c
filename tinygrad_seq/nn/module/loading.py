"""`Module.load_state_dict`: read the arrays that are given, compare them with those of the module, then copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...errors import ArgumentError

_HALF = ("float16", "bfloat16")  # float32 holds each of their values


class LoadedKeys(NamedTuple):
    """The names that a state dict lacks, and those that the module lacks.

    Attributes
    ----------
    missing_keys, unexpected_keys : list of str
        In the order of the module, and in that of the state dict.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_arrays(caller: str, own: Mapping[str, Tensor], state: Mapping[str, Any], strict: bool) -> LoadedKeys:
    """Copy the arrays of `state` into those of `own`, or raise one error with all that does not fit."""
    if not isinstance(state, Mapping):
        raise ArgumentError(
            f"{caller}: expected arrays by name, got {type(state).__name__}; "
            "pass a state_dict(), or ts.load(path) of a file."
        )
    given = {name: _as_array(value, own[name].dtype if name in own else None) for name, value in state.items()}
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    faults = []
    if strict and missing:
        faults.append(f"missing {missing}")
    if strict and unexpected:
        faults.append(f"unexpected {unexpected}")
    faults += [
        f"{name!r} expected {own[name].shape} {own[name].dtype}, got {array.shape} {array.dtype}"
        for name, array in given.items()
        if name in own and (own[name].shape, own[name].dtype) != (array.shape, array.dtype)
    ]
    first: dict[int, str] = {}
    faults += [
        f"{one!r} and {name!r} with different values, which are one array here"
        for name, array in given.items()
        if name in own and (one := first.setdefault(id(own[name]), name)) != name and not _equal(given[one], array)
    ]
    if faults:
        raise ArgumentError(
            f"{caller}: expected the names, shapes and dtypes of state_dict(), got "
            f"{'; '.join(faults)}; correct these (strict=False passes over names; .double() casts the module)."
        )
    with no_grad():
        for name, array in given.items():
            if name in own:
                own[name].copy_(array)
    return LoadedKeys(missing, unexpected)


def _as_array(value: Any, dtype: np.dtype | None) -> np.ndarray:
    """Return `value` as an array; its dtype or shape is then refused if it is not numbers of one shape.

    Half precision is widened to `dtype`. Tensors of PyTorch are recognised by their methods: NumPy reads only those
    without a gradient, and none in bfloat16.
    """
    if isinstance(value, Tensor):
        value = value.numpy()
    elif hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        return np.empty((), object)
    return array.astype(dtype) if array.dtype.name in _HALF and dtype is not None and dtype.kind == "f" else array


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays hold the same values, NaN being equal to NaN."""
    return (a.shape, a.dtype) == (b.shape, b.dtype) and bool(np.all((a == b) | ((a != a) & (b != b))))
