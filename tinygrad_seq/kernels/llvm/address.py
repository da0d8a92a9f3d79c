"""Arrays at given addresses, so that a kernel takes any number of arrays of any strides as one argument.

Numba compiles a function for every combination of dtypes, layouts and read-only flags of its arguments. A generated
kernel takes one array of addresses instead, so one compilation serves all. The caller keeps the arrays alive and
guarantees their shapes.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

_LINE = 64
_pointer_at = ctypes.c_void_p.from_address
_DATA = object.__basicsize__


def address_of(array: np.ndarray) -> int:
    """Return the address of the first element of an array.

    It is the first field of NumPy's public C structure after the object header. ``__array_interface__`` builds a dict,
    which takes 1.05 us instead of 0.14.
    """
    return _pointer_at(id(array) + _DATA).value or 0


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array aligned to a cache line, so that vectors of rows of whole lines do not straddle lines."""
    room = np.empty(math.prod(shape) * dtype.itemsize + _LINE, np.uint8)
    return np.ndarray(shape, dtype, room, -address_of(room) % _LINE)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def data(typing, array):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the address of the first element of an array, in a kernel."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.ptrtoint(array.data, context.get_value_type(types.intp))

    return types.intp(array), generate


def _array(context: Any, builder: Any, kind: Any, address: Any, shape: Any, strides: Any, owner: Any = None) -> Any:
    array = context.make_array(kind)(context, builder)
    pointer = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
    size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    populate_array(
        array,
        data=pointer,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, [builder.mul(stride, size) for stride in strides]),
        itemsize=size,
        meminfo=owner,
        parent=None,
    )
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def vector(typing, address, size, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the array of `size` elements, with the dtype of `like`, at an address."""
    kind = types.Array(types.unliteral(like), 1, "C")
    signature = kind(types.uint64, types.uint64, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return _array(
            context, builder, signature.return_type, values[0], [values[1]], [context.get_constant(types.intp, 1)]
        )

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def matrix(typing, address, rows, columns, row_step, column_step, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the matrix at an address; row and column strides are in elements."""
    kind = types.Array(types.unliteral(like), 2, "A")
    signature = kind(types.uint64, types.uint64, types.uint64, types.uint64, types.uint64, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return _array(context, builder, signature.return_type, values[0], values[1:3], values[3:5])

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def panels(typing, address, count, depth, width, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the packed panels ``(count, depth, width)`` at an address."""
    kind = types.Array(types.unliteral(like), 3, "C")
    signature = kind(types.uint64, types.uint64, types.uint64, types.uint64, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        one = context.get_constant(types.intp, 1)
        strides = [builder.mul(values[2], values[3]), values[3], one]
        return _array(context, builder, signature.return_type, values[0], values[1:4], strides)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def room(typing, size, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return memory for `size` elements with the dtype of `like`, freed when the kernel ends."""
    kind = types.Array(types.unliteral(like), 1, "C")

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        owner = context.nrt.meminfo_alloc_aligned(builder, builder.mul(values[0], size), _LINE)
        address = builder.ptrtoint(context.nrt.meminfo_data(builder, owner), size.type)
        one = context.get_constant(types.intp, 1)
        return _array(context, builder, signature.return_type, address, values[:1], [one], owner)

    return kind(types.uint64, like), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def begin_of(typing, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the address of the first element of an array."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.uint64))

    return types.uint64(x), generate


# -------------------------------------------------------------------------------------------- elements of a loop nest
#
# LLVM vectorises a loop only if it knows, or can check at run time, that no store overlaps a load of another iteration.
# With a dozen arrays that takes hundreds of comparisons. The code generator knows that buffers do not overlap; `read`
# and `write` tell LLVM (`!alias.scope`, `!noalias` in LLVM's language reference).


def _scopes(module: Any, nest: int, places: int) -> list[Any]:
    domain = module.add_metadata([ir.MetaDataString(module, f"nest {nest}")])
    return [module.add_metadata([ir.MetaDataString(module, f"{nest}.{n}"), domain]) for n in range(places)]


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator, unused-ignore]
def scopes(typing, nest, places):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Limit what `read` and `write` say about a loop nest to one iteration: the next one reads what this one wrote."""
    numbers = [literal.literal_value for literal in (nest, places)]

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        kind = ir.FunctionType(ir.VoidType(), [ir.MetaDataType()])
        declare = cgutils.get_or_insert_function(builder.module, kind, "llvm.experimental.noalias.scope.decl")
        for scope in _scopes(builder.module, *numbers):
            builder.call(declare, [builder.module.add_metadata([scope])])
        return context.get_dummy_value()

    return types.void(nest, places), generate


def _mark(module: Any, instruction: Any, nest: int, place: int, places: int) -> None:
    """Mark that an instruction of a loop nest touches its buffer and no other buffer."""
    scopes = _scopes(module, nest, places)
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[place]]))
    if places > 1:
        instruction.set_metadata("noalias", module.add_metadata([s for n, s in enumerate(scopes) if n != place]))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = builder.extract_value(array, context.data_model_manager[kind].get_field_position("data"))
    return builder.gep(data, [index])


def load_element(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> tuple[Any, Any]:
    """Emit ``array[index]`` for a contiguous array, unchecked; return its value and the load instruction."""
    loaded = builder.load(_pointer(context, builder, kind, array, index))
    return context.data_model_manager[kind.dtype].from_data(builder, loaded), loaded


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator, unused-ignore]
def read(typing, x, index, nest, place, places):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return ``x[index]``; loop nest, buffer and number of buffers are literals."""
    numbers = [literal.literal_value for literal in (nest, place, places)]
    signature = x.dtype(x, types.uint64, nest, place, places)  # literal types: separate code for each combination

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        value, loaded = load_element(context, builder, signature.args[0], *values[:2])
        _mark(builder.module, loaded, *numbers)
        return value

    return signature, generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator, unused-ignore]
def write(typing, x, index, value, nest, place, places):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Set ``x[index] = value``; loop nest, buffer and number of buffers are literals."""
    numbers = [literal.literal_value for literal in (nest, place, places)]
    signature = types.void(x, types.uint64, x.dtype, nest, place, places)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        data = context.data_model_manager[signature.args[2]].as_data(builder, values[2])
        pointer = _pointer(context, builder, signature.args[0], values[0], values[1])
        _mark(builder.module, builder.store(data, pointer), *numbers)

    return signature, generate
