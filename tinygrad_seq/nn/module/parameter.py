"""Tensors that belong to a module: trained ones (`Parameter`) and fixed ones (`Buffer`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.tensor import Tensor
from ...base.settings import default_dtype


def _dtype(data: ArrayLike, dtype: np.typing.DTypeLike | None) -> np.typing.DTypeLike | None:
    if dtype is None and not isinstance(data, Tensor) and np.asarray(data).dtype.kind == "f":
        return default_dtype()
    return dtype


class Parameter(Tensor):
    """A tensor that a module finds among its attributes, trains and saves.

    Parameters
    ----------
    data
        The first values, of any shape; they are copied.
    requires_grad
        Whether it is trained.
    dtype
        By default that of a Tensor; float32 for anything else, also for float64 ndarrays.

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

    Change it with ``self.mean.copy_(values)``; parameters of the constructor as in `Parameter`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Buffer([0.5, 1.5]).requires_grad
    False
    """

    def __init__(self, data: ArrayLike, dtype: np.typing.DTypeLike | None = None) -> None:
        super().__init__(data, _dtype(data, dtype))
