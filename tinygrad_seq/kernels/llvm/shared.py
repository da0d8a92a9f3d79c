"""Machine code that many kernels call: compiled once per dtype and found by its symbol name.

Numba copies the callees of a kernel into it and optimises them again. For a matrix product, whose tiles are large
and never inlined, this was half of the compile time of a cell and most of the code on disk.

    gemm ──────────────┐
    matmul_into ───────┤ call "tinygrad_seq.multiply.float32"   ──►   one function, at an address registered with LLVM
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
    """Compile a kernel of `count` integers and one `dtype` (a Numba type), and register its address with LLVM.

    Call this before compiling or loading a kernel that calls it. Without Numba's compiler it does nothing.
    """
    symbol, kinds, compiled = _symbol(name, dtype), _kinds(count, dtype), cast("Any", function)
    if config.DISABLE_JIT or symbol in _alive:
        return
    type(compiled).compile(compiled, kinds)  # in this thread: another one would wait for the import lock of the module
    found = compiled.overloads[kinds]
    binding.add_symbol(symbol, found.library.get_pointer_to_function(found.fndesc.llvm_func_name))
    _alive[symbol] = found


def call(context: Any, builder: Any, name: str, dtype: Any, integers: Sequence[Any]) -> None:
    """Emit the call of a published kernel; pointers among the integers are passed as addresses."""
    kinds = _kinds(len(integers), dtype)
    number = context.get_value_type(types.intp)
    values = [builder.ptrtoint(x, number) if x.type.is_pointer else x for x in integers]
    callee = context.call_conv.get_function_type(types.void, kinds)
    function = cgutils.get_or_insert_function(builder.module, callee, _symbol(name, dtype))
    zero = context.get_constant(dtype, 0)
    context.call_conv.call_function(builder, function, types.void, kinds, [*values, zero])


def _symbol(name: str, dtype: Any) -> str:
    return f"tinygrad_seq.{name}.{dtype}"
