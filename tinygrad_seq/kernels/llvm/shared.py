"""Machine code that many kernels call: compiled once for each dtype, and found by its name.

Numba copies what a kernel calls into it and optimises it there again. For a tile of a matrix product, which is large
and never inlined, that was half of the time to compile a cell, and most of the code on disk.

    gemm ──────────────┐
    matmul_into ───────┤ call "tinygrad_seq.tile.float32"   ──►   one piece of code, at an address that LLVM is told
    generated kernels ─┘
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from llvmlite import binding
from numba import config, types
from numba.core import cgutils

_alive: dict[str, Any] = {}


def _kinds(count: int, dtype: Any) -> tuple[Any, ...]:
    return (*[types.intp] * count, dtype)


def publish(name: str, function: Callable[..., None], count: int, dtype: Any) -> None:
    """Compile a kernel of `count` integers and a number of `dtype`, a type of Numba, and tell LLVM where it is.

    To be done before a kernel that calls it is compiled or loaded. Without Numba's compiler nothing is done.
    """
    symbol, kinds, compiled = _symbol(name, dtype), _kinds(count, dtype), cast("Any", function)
    if config.DISABLE_JIT or symbol in _alive:
        return
    type(compiled).compile(compiled, kinds)  # in this thread: another would wait until it has imported the module
    found = compiled.overloads[kinds]
    binding.add_symbol(symbol, found.library.get_pointer_to_function(found.fndesc.llvm_func_name))
    _alive[symbol] = found


def call(context: Any, builder: Any, name: str, dtype: Any, integers: Sequence[Any]) -> None:
    """Write the call of a published kernel; pointers among the integers become their addresses."""
    kinds = _kinds(len(integers), dtype)
    number = context.get_value_type(types.intp)
    values = [builder.ptrtoint(x, number) if x.type.is_pointer else x for x in integers]
    callee = context.call_conv.get_function_type(types.void, kinds)
    function = cgutils.get_or_insert_function(builder.module, callee, _symbol(name, dtype))
    zero = context.get_constant(dtype, 0)
    context.call_conv.call_function(builder, function, types.void, kinds, [*values, zero])


def _symbol(name: str, dtype: Any) -> str:
    return f"tinygrad_seq.{name}.{dtype}"
