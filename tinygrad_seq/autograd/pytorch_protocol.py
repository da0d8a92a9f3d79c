"""Methods of tensors under PyTorch's names: sizes, dtypes and devices, new tensors of the same dtype."""

from __future__ import annotations

import builtins
import functools
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..errors import ArgumentError, GraphError, MissingAttributeError, ShapeError
from ..ops.axes import normalise_axis
from ..ops.casting import as_dtype, astype, clone
from ..ops.primitive import Array
from ..ops.shape import as_shape, one_argument
from .exchange import check_device


class Size(builtins.int):
    """The number of values, as in NumPy; called, the sizes of the axes or of one of them, as in PyTorch."""

    shape: tuple[builtins.int, ...]

    def __call__(self, dim: builtins.int | None = None) -> Any:
        return self.shape if dim is None else self.shape[normalise_axis("size", dim, len(self.shape))]


# Why there is no such method, and what to write.
_CALLS = {
    "cuda": "all tensors are on the CPU; leave it out",
    "half": "float16 is no dtype of tensors; use ts.autocast('bfloat16') or x.float()",
    "bfloat16": "bfloat16 is no dtype of tensors; use ts.autocast('bfloat16') or x.float()",
    "median": "write x.sort(dim=...).values and index it in the middle",
    "mode": "write ts.unique_counts(x)",
    "kthvalue": "write x.topk(k, largest=False)",
    "quantile": "write np.quantile(x.numpy(), q)",
    "histc": "write np.histogram(x.numpy(), ...)",
    "bincount": "write np.bincount(x.numpy())",
    "storage": "write x.numpy()",
    "is_cuda": "all tensors are on the CPU",
    "data_ptr": "write x.numpy().ctypes.data",
    "grad_fn": "print the tensor: its repr names the operation that made it",
    "apply_": "write x.copy_(f(x))",
    "map_": "write x.copy_(f(x))",
    "baddbmm": "write beta * x + alpha * ts.bmm(a, b)",
    "addbmm": "write beta * x + alpha * ts.bmm(a, b).sum(axis=0)",
    "masked_scatter": "write ts.where(mask, values, x)",
    "index_copy": "write x.index_add(...) on zeros, or x[indices] = values of a copy",
    "index_fill": "write x[indices] = value of a copy, or ts.where",
    "index_put": "write x[indices] = values of a copy",
    "nanmean": "write ts.where(x.isnan(), 0, x).sum() / (~x.isnan()).sum()",
    "svd": "write np.linalg.svd(x.numpy())",
    "inverse": "write np.linalg.inv(x.numpy())",
    "cholesky": "write np.linalg.cholesky(x.numpy())",
    "nan_to_num": "write ts.where(x.isfinite(), x, value)",
    "unique": "write ts.unique_values(x), or ts.unique_inverse and ts.unique_counts",
    "unique_consecutive": "write x[ts.concat([ts.tensor([True]), x[1:] != x[:-1]])]",
    "diag": "write ts.diagonal(x), or ts.eye(n) * x for a matrix",
    "clamp_min": "write x.clamp(min=...)",
    "clamp_max": "write x.clamp(max=...)",
    "byte": "write x.to('uint8')",
    "char": "write x.to('int8')",
    "short": "write x.to('int16')",
    "nelement": "write x.numel()",
    "ndimension": "write x.dim()",
    "is_contiguous": "leave it out: contiguous() copies only where it must",
    "stride": "write x.numpy().strides, which counts bytes",
    "where": "write ts.where(condition, x, other)",
    "random_": "write x.copy_(ts.randint(low, high, x.shape))",
    "exponential_": "write x.copy_(-ts.log(1 - ts.rand_like(x)))",
    "pin_memory": "all tensors are on the CPU; leave it out",
    "get_device": "all tensors are on the CPU; leave it out",
    "unfold": "write ts.stack([x[..., i : i + size] for i in range(0, n - size + 1, step)], axis=-2)",
}

_ON_CPU = "all tensors are on the CPU; leave it out, or write 'cpu' for a device"
_COMPILED = "cells and scans are compiled by themselves; leave it out"
_LOW = "16 bits are no dtype of tensors; write ts.autocast('bfloat16')"
_FUNCTIONS = {
    **dict.fromkeys(("device", "cuda", "mps", "xpu", "backends"), _ON_CPU),
    **dict.fromkeys(("compile", "jit"), _COMPILED),
    **dict.fromkeys(("amp", "half", "float16", "bfloat16"), _LOW),
    **{
        f"{name}Tensor": f"write ts.tensor(values, dtype='{dtype}'), or ts.zeros(...) for a shape"
        for name, dtype in (
            ("Float", "float32"), ("Double", "float64"), ("Long", "int64"), ("Int", "int32"), ("Short", "int16"),
            ("Byte", "uint8"), ("Bool", "bool"),
        )
    },
    "utils": "write ts.data.bucket_batches for batches, ts.nn.utils for the rest",
    "distributions": "write ts.multinomial(probabilities, 1) to sample, log_softmax and gather for log probabilities",
    "inference_mode": "write ts.no_grad()",
    "is_tensor": "write isinstance(x, ts.Tensor)",
    "is_floating_point": "write x.is_floating_point()",
    "numel": "write x.numel()",
    "normal": "write mean + std * ts.randn(shape)",
    "std_mean": "write x.std(dim=...), x.mean(dim=...)",
    "var_mean": "write x.var(dim=...), x.mean(dim=...)",
    "Generator": "write ts.manual_seed(seed)",
    "seed": "write ts.manual_seed(seed)",
    "use_deterministic_algorithms": "results are the same in every run; leave it out",
    "get_default_dtype": "write ts.zeros(1).dtype",
    "Size": "write tuple",
    "linalg": "write np.linalg on x.numpy()",
    "fft": "write np.fft on x.numpy()",
    "vmap": "write the function for arrays with a batch axis",
}  # fmt: skip


def explain_missing(name: str) -> MissingAttributeError | None:
    """Return the error for a name of PyTorch's module that this package lacks, or None if it has nothing to say."""
    advice = _FUNCTIONS.get(name) or _CALLS.get(name)
    if advice is None:
        return None
    return MissingAttributeError(f"ts.{name}: expected a name of this package, got one of PyTorch alone; {advice}.")


class PyTorchProtocol:
    """Mixed into `Tensor`, and into the values of a scan step."""

    __slots__ = ()
    shape: Any
    dtype: Any
    ndim: Any
    _leaf: Any  # makes a tensor of an array

    # ----------------------------------------------------------------------------------------------------- sizes

    @property
    def size(self) -> Size:
        """The number of values; ``x.size()`` is the shape and ``x.size(0)`` one size of it, as in PyTorch."""
        shape = self.shape
        size = Size(math.prod(shape))
        size.shape = shape
        return size

    def dim(self) -> builtins.int:
        """Return the number of axes."""
        return builtins.int(self.ndim)

    def numel(self) -> builtins.int:
        """Return the number of values."""
        return builtins.int(self.size)

    # ----------------------------------------------------------------------------------------- dtypes and devices

    def to(self, *target: Any, dtype: DTypeLike | None = None, device: str | None = None, **options: bool) -> Self:
        """Return the tensor in another dtype: the tensor itself where it has it.

        Parameters
        ----------
        *target : dtype, str or Tensor
            A dtype, the device "cpu", both, or a tensor whose dtype is wanted.
        dtype : dtype, default None
            The dtype by name.
        device : str, default None
            "cpu", the only device.
        **options : bool
            ``copy=True`` always makes a copy; ``non_blocking=`` has no meaning here and changes nothing.

        Returns
        -------
        Tensor
            Of that dtype; gradient flows through it.

        Raises
        ------
        ArgumentError
            If another device is asked for, or an option is unknown.
        """
        for one in target:
            if isinstance(one, PyTorchProtocol):
                dtype = one.dtype
            elif isinstance(one, str) and not _is_dtype(one):
                device = one
            elif one.__class__ is builtins.bool:  # non_blocking
                continue
            elif one is not None:
                dtype = one
        check_device("to", None if device is None else str(device))
        if unknown := options.keys() - {"copy", "non_blocking", "memory_format"}:
            raise ArgumentError(f"to: expected a dtype, a device or copy=, got {sorted(unknown)}; leave it out.")
        wanted = self.dtype if dtype is None else as_dtype("to", dtype)
        if wanted == self.dtype and not options.get("copy"):
            return self
        found: Self = clone(self) if wanted == self.dtype else astype(self, wanted)
        return found

    def float(self) -> Self:
        """Return the tensor as float32: itself if it is."""
        return self.to("float32")

    def double(self) -> Self:
        """Return the tensor as float64: itself if it is."""
        return self.to("float64")

    def long(self) -> Self:
        """Return the tensor as int64, cut off towards zero: itself if it is."""
        return self.to("int64")

    def int(self) -> Self:
        """Return the tensor as int32, cut off towards zero: itself if it is."""
        return self.to("int32")

    def bool(self) -> Self:
        """Return where the tensor is not zero: itself if it is boolean."""
        return self.to("bool")

    def type(self, dtype: DTypeLike) -> Self:
        """Return the tensor in another dtype.

        Parameters
        ----------
        dtype : dtype
            A dtype or its name.

        Returns
        -------
        Tensor
            Of that dtype; itself if it has it.
        """
        return self.to(dtype)

    def type_as(self, other: Array) -> Self:
        """Return the tensor in the dtype of `other`.

        Parameters
        ----------
        other : Tensor
            A tensor of the wanted dtype.

        Returns
        -------
        Tensor
            Of that dtype; itself if it has it.
        """
        return self.to(other.dtype)

    def is_floating_point(self) -> builtins.bool:
        """Return whether the values are float32 or float64."""
        return builtins.bool(self.dtype.kind == "f")

    def cpu(self) -> Self:
        """Return the tensor itself: all tensors are on the CPU."""
        return self

    def contiguous(self) -> Self:
        """Return the tensor itself if its memory is in row-major order, or a copy that is."""
        array = getattr(self, "_array", None)  # the values of a scan step have none
        return self if array is None or array.flags.c_contiguous else self.to(copy=True)

    # ---------------------------------------------------------------------------------- new tensors of this dtype

    def new_zeros(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None) -> Any:
        """Return zeros of the dtype of this tensor.

        Parameters
        ----------
        *size : int or tuple of int
            The shape, as one tuple or as several integers.
        dtype : dtype, default None
            Another dtype.
        device : str, default None
            "cpu", the only device.

        Returns
        -------
        Tensor
            A new leaf.
        """
        return self.new_full(one_argument(size), 0, dtype=dtype, device=device)

    def new_ones(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None) -> Any:
        """Return ones of the dtype of this tensor.

        Parameters
        ----------
        *size : int or tuple of int
            The shape, as one tuple or as several integers.
        dtype : dtype, default None
            Another dtype.
        device : str, default None
            "cpu", the only device.

        Returns
        -------
        Tensor
            A new leaf.
        """
        return self.new_full(one_argument(size), 1, dtype=dtype, device=device)

    def new_empty(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None) -> Any:
        """Return a tensor of the dtype of this one, to be filled; its values are zeros.

        Parameters
        ----------
        *size : int or tuple of int
            The shape, as one tuple or as several integers.
        dtype : dtype, default None
            Another dtype.
        device : str, default None
            "cpu", the only device.

        Returns
        -------
        Tensor
            A new leaf.
        """
        return self.new_full(one_argument(size), 0, dtype=dtype, device=device)

    def new_full(
        self, size: Any, fill_value: builtins.float, dtype: DTypeLike | None = None, device: str | None = None
    ) -> Any:
        """Return a tensor of the dtype of this one, filled with one value.

        Parameters
        ----------
        size : int or tuple of int
            The shape.
        fill_value : float
            The value.
        dtype : dtype, default None
            Another dtype.
        device : str, default None
            "cpu", the only device.

        Returns
        -------
        Tensor
            A new leaf.
        """
        check_device("new_full", device)
        shape, kind = as_shape("new_full", size), self.dtype if dtype is None else as_dtype("new_full", dtype)
        return self._leaf(np.full(shape, fill_value, kind))

    def new_tensor(self, data: ArrayLike, dtype: DTypeLike | None = None, device: str | None = None) -> Any:
        """Return a tensor with a copy of `data` in the dtype of this one.

        Parameters
        ----------
        data : array_like
            Numbers of any shape.
        dtype : dtype, default None
            Another dtype.
        device : str, default None
            "cpu", the only device.

        Returns
        -------
        Tensor
            A new leaf.
        """
        check_device("new_tensor", device)
        return self._leaf(np.array(data, self.dtype if dtype is None else as_dtype("new_tensor", dtype)))

    # --------------------------------------------------------------------------------------------- what is missing

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make operations in place of the others, and say what to write for those of PyTorch that there are not."""
            if name[0] != "_":
                if name in _CALLS:
                    raise MissingAttributeError(
                        f"{name}: expected an attribute of tensors, got one that only PyTorch's have; {_CALLS[name]}."
                    )
                base = name.removesuffix("_")
                if base != name and hasattr(type(self), base):
                    return functools.partial(_change, self, base)
                raise MissingAttributeError(
                    f"{name}: expected an attribute of tensors, got another one; see dir(x), or compute with x.numpy()."
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)


def _change(tensor: Any, name: str, *args: Any, **options: Any) -> Any:
    """Overwrite `tensor` with the result of its method `name`, and return it."""
    if not hasattr(tensor, "copy_"):
        raise MissingAttributeError(
            f"{name}_: expected a step that changes no value in place, got {tensor!r}; write x = x.{name}(...)."
        )
    tensor._refuse_recorded_write(f"{name}_")
    alpha = options.pop("alpha", None) if name in ("add", "sub") else None
    if alpha is not None:
        args = (args[0] * alpha, *args[1:])
    result = getattr(tensor, name)(*args, **options)
    fits = hasattr(result, "dtype") and result.shape == tensor.shape
    if not fits or not np.can_cast(result.dtype, tensor.dtype, "same_kind"):
        got = f"{result.shape} {result.dtype}" if hasattr(result, "dtype") else type(result).__name__
        raise ShapeError(
            f"{name}_: expected a result of the tensor's shape {tensor.shape} that {tensor.dtype} can hold, got {got}; "
            f"write x = x.{name}(...)."
        )
    if result.requires_grad:
        raise GraphError(
            f"{name}_: expected operands that need no gradient, got one that requires grad, whose gradient a write "
            f"would drop; write x = x.{name}(...), or use no_grad()."
        )
    return tensor.copy_(result)


def _is_dtype(name: str) -> builtins.bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True
