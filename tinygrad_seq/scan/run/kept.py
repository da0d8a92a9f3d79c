"""Packed forms of weights, kept while the weights are unchanged: packing pays off over many rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from ...autograd.inplace import Stamp
from ...autograd.tensor import Tensor
from ...kernels.llvm.address import address_of
from .panels import Panels

Stamps = Mapping[int, Stamp]
"""The stamps of arrays whose packed forms are kept, by the id of the array."""
NO_STAMPS: Final[Stamps] = MappingProxyType({})
FEW_ROWS: Final = {True: 512, False: 4096}
"""Most rows, of all times and batch elements, that a call in training, or not, multiplies with kept matrices.

With more rows packing takes a small part of the time, and kept forms would only take memory."""


def stamps_of(tensors: Iterable[Any]) -> Stamps:
    """Return the stamps of those of the operands that are Tensors to which nobody else may write."""
    return {id(x._array): stamp for x in tensors if isinstance(x, Tensor) and (stamp := x._current_stamp()) is not None}


def packed(weight: np.ndarray, panels: Panels, stamps: Stamps) -> np.ndarray:
    """Return the panels of a matrix, kept ones if it is (a view of) an array with a stamp."""
    found = packed_once(weight, panels, stamps)
    return panels.pack(weight) if found is None else found


def packed_once(weight: np.ndarray, panels: Panels, stamps: Stamps) -> np.ndarray | None:
    """Return the kept panels of a matrix, packed if they are not there; None unless it has a stamp."""
    base = weight if weight.base is None else weight.base
    stamp = stamps.get(id(base))
    if stamp is None or not stamp.is_of(base):
        return None
    key = panels.key, weight.shape, weight.strides, address_of(weight) - address_of(base)
    kept: np.ndarray | None = stamp.kept.get(key)
    if kept is None:
        kept = stamp.kept[key] = panels.pack(weight)
    return kept
