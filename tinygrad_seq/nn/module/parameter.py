"""Tensors that belong to a module: `Parameter`, which is trained, and `Buffer`, which is not."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.tensor import Tensor
from ...base.settings import default_dtype


def _dtype(data: ArrayLike, dtype: np.typing.DTypeLike | None) -> np.typing.DTypeLike | None:
    if dtype is None and not isinstance(data, Tensor) and np.asarray(data).dtype.kind == "f":
        return default_dtype()
    return dtype


class Parameter(Tensor):
    """A tensor that is an attribute of a module, and that the module trains and saves.

    Parameters
    ----------
    data : array_like
        The initial values, of any shape; they are copied.
    requires_grad : bool, default True
        Whether it is trained.
    dtype : dtype, default None
        None for the dtype of a Tensor, and float32 for other data, including float64 ndarrays.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Parameter([0.5, 1.5])
    tensor([0.5, 1.5], requires_grad=True)
    """

    def __init__(self, data: ArrayLike, requires_grad: bool = True, dtype: np.typing.DTypeLike | None = None) -> None:
        super().__init__(data, _dtype(data, dtype), requires_grad)


class Buffer(Tensor):
    """A tensor that a module saves and casts with its parameters but does not train.

    Change its values with ``self.mean.copy_(values)``.

    Parameters
    ----------
    data : array_like
        The initial values, of any shape; they are copied.
    dtype : dtype, default None
        As in `Parameter`.
    persistent : bool, default True
        Whether `state_dict` contains it.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Buffer([0.5, 1.5]).requires_grad
    False
    """

    persistent: bool = True

    def __init__(self, data: ArrayLike, dtype: np.typing.DTypeLike | None = None, *, persistent: bool = True) -> None:
        super().__init__(data, _dtype(data, dtype))
        if not persistent:
            self.persistent = False

    def __reduce__(self) -> Any:
        return _copied, (super().__reduce__(), self.persistent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied: Self = _copied(super().__reduce__(), self.persistent)
        return copied


def _copied(reduced: Any, persistent: bool) -> Any:
    """Return a copy of a buffer, for pickle and copy.deepcopy."""
    function, arguments = reduced
    buffer = function(*arguments)
    if not persistent:
        buffer.persistent = False
    return buffer
