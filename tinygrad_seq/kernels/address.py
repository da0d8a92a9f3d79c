"""Arrays at given addresses, inside kernels: how a kernel takes any number of arrays of any strides as one argument.

Numba compiles a function again for every combination of dtypes, layouts and read-only flags of its arguments. A
generated kernel takes one array of addresses instead, so one compilation serves them all. Whoever calls it keeps the
arrays alive and answers for their shapes.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def _array(context: Any, builder: Any, kind: Any, address: Any, shape: Any, strides: Any) -> Any:
    array = context.make_array(kind)(context, builder)
    pointer = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
    size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    populate_array(
        array,
        data=pointer,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, [builder.mul(stride, size) for stride in strides]),
        itemsize=size,
        meminfo=None,
        parent=None,
    )
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def vector(typing, address, size, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the array of `size` elements, of the type of `like`, that begins at an address."""
    kind = types.Array(types.unliteral(like), 1, "C")
    signature = kind(types.uint64, types.uint64, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return _array(
            context, builder, signature.return_type, values[0], [values[1]], [context.get_constant(types.intp, 1)]
        )

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def matrix(typing, address, rows, columns, row_step, column_step, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the matrix that begins at an address; the steps from row to row and column to column are in elements."""
    kind = types.Array(types.unliteral(like), 2, "A")
    signature = kind(types.uint64, types.uint64, types.uint64, types.uint64, types.uint64, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return _array(context, builder, signature.return_type, values[0], values[1:3], values[3:5])

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def panels(typing, address, count, depth, width, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the packed panels ``(count, depth, width)`` that begin at an address."""
    kind = types.Array(types.unliteral(like), 3, "C")
    signature = kind(types.uint64, types.uint64, types.uint64, types.uint64, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        one = context.get_constant(types.intp, 1)
        strides = [builder.mul(values[2], values[3]), values[3], one]
        return _array(context, builder, signature.return_type, values[0], values[1:4], strides)

    return signature, generate
