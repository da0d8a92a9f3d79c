"""A tensor's memory: leaves such as parameters change in place, recorded history never does.

A view of a plain tensor, one that is no part of a graph, shares its memory (`sharing.py`), as in PyTorch and NumPy:
``a[0][1] = 0`` changes `a`.

No graph ever sees an array change under it. A tensor's array is private until ``.data`` hands it out; from then on
graphs save copies of it while anyone else still holds it, and whoever wants to write to an array that a graph or
another tensor still needs (``.data``, an optimiser) is given a fresh copy. Both are decided by reference counts, so
the normal case costs nothing.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ..base.modes import mode
from ..base.settings import generator as current_generator
from ..errors import ArgumentError, GraphError, ShapeError
from ..ops import arithmetic
from ..ops.primitive import Primitive
from .exchange import DLPACK_CPU, check_export
from .sharing import Memory, make_writable, moving, refuse_lost_write


class _Probe:
    __slots__ = ("_array",)

    def __init__(self) -> None:
        self._array = np.empty(1)


_probe = _Probe()
# What sys.getrefcount says of an array that only one attribute refers to.
_ALONE = sys.getrefcount(_probe._array)


class Stamp:
    """Stands for the values of a tensor as they are: the tensor has another one after every change.

    Parameters
    ----------
    array
        The memory of the tensor. It is not kept alive, so that it still counts as the tensor's alone.

    Attributes
    ----------
    kept
        What was computed from the values, such as packed weights, by a description of it; freed with the stamp.
    """

    __slots__ = ("__weakref__", "_array", "kept")

    def __init__(self, array: np.ndarray) -> None:
        self._array = weakref.ref(array)
        self.kept: dict[Any, Any] = {}

    def is_of(self, array: np.ndarray) -> bool:
        """Return whether the stamp is that of the values in `array`."""
        return self._array() is array


def _holds(array: np.ndarray, values: np.ndarray) -> bool:
    """Return whether `array` can take `values` without changing what kind of numbers they are."""
    return np.can_cast(values.dtype, array.dtype, "same_kind")


class InPlace:
    """Mixed into `Tensor`, whose slots it has."""

    __slots__ = ("__dict__", "__weakref__", "_array", "_memory", "_requires_grad", "_source")
    _array: np.ndarray
    _requires_grad: bool
    _source: Any
    _apply: Any
    _exposed: bool = False  # `.data` has handed the array out: someone may write to it
    _stamp: Stamp | None = None
    _viewed: tuple[weakref.ref[Any], ...] = ()  # of the result of a recorded operation: what it is a view of
    _memory: Memory | None  # that of the tensor and its views, if there are any

    # ------------------------------------------------------------------------------------- who else has the array

    def _alone(self) -> bool:
        """Return whether nothing else refers to this tensor's memory."""
        return sys.getrefcount(self._array) <= _ALONE and self._array.base is None

    def _writable(self, strided: bool = False) -> np.ndarray:
        """Return this tensor's own C-contiguous array to write to, copied first if anyone else needs the old one.

        With `strided` it is the memory that other tensors share, if they do, in whatever order it is. Call `_written`
        afterwards: another thread may have read in between.
        """
        self._stamp = None
        if self._memory is not None and self._share():
            if strided and self._has_places():
                self._array.flags.writeable = True  # NumPy protects diagonals
                return self._array
            if self._array.flags.carray:
                return self._array
        if not (self._exposed or self._alone()) or not self._array.flags.carray:
            self._array, self._memory = self._array.copy(order="C"), None
        return self._array

    def _written(self) -> None:
        """Say that the write to the array of `_writable` is over."""
        self._stamp = None
        if self._memory is not None:
            for tensor in self._memory.members():
                tensor._stamp = None

    def _share(self) -> bool:
        """Return whether other tensors share the memory, which is then one that they may all see a write to."""
        assert self._memory is not None
        with moving:
            members = self._memory.members()
            if len(members) == 1:
                self._memory = None
                return False
            make_writable(members)
            for tensor in members:
                tensor._stamp = None
            return True

    def _write(self, key: Any, values: Any) -> None:
        """Write `values` to the elements at `key`, so that a tensor of which this is a view sees them."""
        if self._memory is not None and not self._has_places():
            raise ArgumentError(
                f"x[...] = value: expected a tensor whose elements have a place in memory each, got an expanded one of "
                f"shape {self._array.shape}; write to x.clone()."
            )
        with moving:
            self._writable(strided=True)[key] = values
            self._written()

    def _has_places(self) -> bool:
        """Return whether the elements have a place in memory each, unlike those of an expanded tensor."""
        return all(size <= 1 or step for size, step in zip(self._array.shape, self._array.strides, strict=True))

    def _current_stamp(self) -> Stamp | None:
        """Return the `Stamp` of the values as they are; None while someone else may write to them."""
        if self._exposed:
            if not self._alone():
                return None
            self._exposed = False
        stamp = self._stamp
        if stamp is None or not stamp.is_of(self._array):
            stamp = self._stamp = Stamp(self._array)
        return stamp

    def _has(self, stamp: Stamp) -> bool:
        """Return whether the values are those that `stamp` was given for."""
        return self._stamp is stamp and not self._exposed and stamp._array() is self._array

    def _frozen(self) -> np.ndarray:
        """Return an array of this tensor's values that nobody will write to, for a graph or another tensor."""
        if self._exposed:
            if not self._alone():
                return self._array.copy()
            self._exposed = False
        return self._array

    @property
    def data(self) -> np.ndarray:
        """The values, to read and write: a graph that still needs the old ones keeps them."""
        array = self._writable(strided=True)
        for tensor in (self,) if self._memory is None else self._memory.members():
            tensor._exposed = True
        return array

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if value is self._array:  # the second half of `w.data -= step`
            return
        array = value._array if isinstance(value, InPlace) else np.asarray(value)
        if array.shape != self._array.shape or not np.can_cast(array.dtype, self._array.dtype, "same_kind"):
            raise ShapeError(
                f"Tensor.data: expected an array of shape {self._array.shape} {self._array.dtype}, got {array.shape} "
                f"{array.dtype}; make a new tensor to change shape or dtype."
            )
        self._array, self._exposed, self._memory = array.astype(self._array.dtype, order="C"), False, None

    def numpy(self) -> np.ndarray:
        """Return the values for reading: this tensor's memory, read-only unless `data` has handed it out."""
        if self._exposed:
            return self._array
        view = self._array.view()
        view.flags.writeable = False
        return view

    # ---------------------------------------------------------------------------------------- memory for others

    def __dlpack_device__(self) -> tuple[int, int]:
        return DLPACK_CPU

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Hand the memory out as `data` does: who receives it may write to it, and graphs keep the old values."""
        check_export(self, stream, dl_device)
        before = id(self._array)  # a reference would count as one more owner
        array = np.array(self._array) if copy else self.data
        if copy is False and id(array) != before:
            raise ArgumentError(
                "__dlpack__: expected a tensor in row-major order whose memory no graph needs, with copy=False, got "
                f"shape {array.shape} {array.dtype} that had to be copied; leave out copy=, or pass copy=True."
            )
        return array.__dlpack__(max_version=max_version)

    # --------------------------------------------------------------------------------------------------- writing

    def copy_(self, values: ArrayLike) -> Self:
        """Overwrite the values and return the tensor itself.

        Parameters
        ----------
        values : array_like
            Numbers that broadcast to the shape of the tensor; they are cast to its dtype.

        Returns
        -------
        Tensor
            The tensor itself.

        Raises
        ------
        ShapeError
            If `values` does not broadcast to the shape.
        GraphError
            If the tensor has a recorded history, or requires grad outside of `no_grad`.
        """
        self._refuse_recorded_write("copy_")
        new = values._array if isinstance(values, InPlace) else np.asarray(values)
        try:
            fitted = np.broadcast_to(new, self._array.shape)
        except ValueError:
            raise ShapeError(
                f"copy_: expected values that broadcast to {self._array.shape}, got {new.shape}; reshape them first."
            ) from None
        self._write(..., fitted)
        return self

    def zero_(self) -> Self:
        """Overwrite the values with zeros and return the tensor itself."""
        return self.copy_(0)

    def fill_(self, value: float) -> Self:
        """Overwrite the values with one value.

        Parameters
        ----------
        value : float
            The value, cast to the dtype of the tensor.

        Returns
        -------
        Tensor
            The tensor itself.
        """
        return self.copy_(value)

    def uniform_(self, low: float = 0.0, high: float = 1.0, generator: np.random.Generator | None = None) -> Self:
        """Overwrite the values with random numbers from the uniform distribution on ``[low, high)``.

        Parameters
        ----------
        low, high : float, default 0.0 and 1.0
            The bounds.
        generator : Generator, default None
            The random generator; by default the one that `manual_seed` seeds.

        Returns
        -------
        Tensor
            The tensor itself.
        """
        return self.copy_(current_generator(generator).uniform(low, high, self._array.shape))

    def normal_(self, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Self:
        """Overwrite the values with random numbers from a normal distribution.

        Parameters
        ----------
        mean, std : float, default 0.0 and 1.0
            Its mean and standard deviation.
        generator : Generator, default None
            The random generator; by default the one that `manual_seed` seeds.

        Returns
        -------
        Tensor
            The tensor itself.
        """
        return self.copy_(current_generator(generator).normal(mean, std, self._array.shape))

    def detach_(self) -> Self:
        """Cut the tensor off from the history that made it, and return it."""
        self._array, self._source, self._requires_grad = self._frozen(), None, False
        return self

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        self._refuse_recorded_write("x[...] = value")
        if isinstance(value, InPlace):
            if value._requires_grad and mode.recording:
                raise GraphError(
                    "x[...] = value: expected a value that needs no gradient, got a tensor that requires grad, whose "
                    "gradient assignment would drop; build a new tensor with ts.where, ts.index_add or ts.concat, "
                    "which pass the gradient on."
                )
            value = value.numpy()
        keys = tuple(k.numpy() if isinstance(k, InPlace) else k for k in (key if isinstance(key, tuple) else (key,)))
        self._write(keys, value)

    def _refuse_recorded_write(self, what: str) -> None:
        if self._source is not None or (self._requires_grad and mode.recording):
            raise GraphError(
                f"{what}: expected a tensor without a recorded history, got one that requires grad; build a new one "
                "with ts.where, ts.index_add or ts.concat, or write inside `with ts.no_grad():` if it is a parameter."
            )

    def _update(self, primitive: Primitive, other: ArrayLike) -> Self:
        """Return ``x op= other``, changed in place.

        Where there is a recorded history, and in a step of a scan, only the name is bound anew.
        """
        stepping = mode.stepping
        if self._requires_grad and self._source is None and not stepping:
            self._refuse_recorded_write("in-place operator on a parameter")
            return self.copy_(self._apply(primitive, (self, other), {}))
        result: Self = self._apply(primitive, (self, other), {})
        fits = not stepping and isinstance(result, InPlace) and result._array.shape == self._array.shape
        if fits and self._source is None and not result._requires_grad and _holds(self._array, result._array):
            self._write(..., result._array)
            return self
        refuse_lost_write(self)
        return result

    def __iadd__(self, other: ArrayLike) -> Self:
        return self._update(arithmetic.add, other)

    def __isub__(self, other: ArrayLike) -> Self:
        return self._update(arithmetic.subtract, other)

    def __imul__(self, other: ArrayLike) -> Self:
        return self._update(arithmetic.multiply, other)

    def __itruediv__(self, other: ArrayLike) -> Self:
        return self._update(arithmetic.divide, other)
