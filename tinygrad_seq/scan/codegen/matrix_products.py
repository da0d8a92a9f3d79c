"""Products of matrices in the loop as source text: of one batch element, or of the whole batch with a constant."""

from __future__ import annotations

import math

from ...kernels.gemm.narrow import columns_of, format_of, panel_nbytes, panels_nbytes, rows_nbytes
from ...kernels.gemm.operands import bits_of
from ..ir.step import Eqn, Var
from .expression import literal
from .fusion import Blocks, Packing
from .kernel_text import KernelText, indented
from .layout import CopyNeededError, as_int, broadcast


def small_product(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of a product of two matrices of one batch element: ``c[m, g] = sum(a[m, k] * b[k, g])``."""
    a, b = eqn.operands
    c = eqn.result
    shape = text.loop.features(c)
    M, G = (1, shape[-1]) if len(shape) == 1 else shape[-2:]
    lead = shape[:-2]

    def at(var: Var, row: str, column: str) -> str:
        layout, own = text.layouts[var], text.loop.features(var)
        strides = layout.strides if len(own) > 1 else (0, *layout.strides)
        front = broadcast(text.loop, own[:-2], strides[:-2], lead)
        names = *[f"j{axis}" for axis in range(len(front))], row, column
        return text.element(layout, (*front, *strides[-2:]), names)

    m, k, g = (text.number((eqn, letter), size) for letter, size in (("m", M), ("k", a.shape[-1]), ("g", G)))
    zero, total = literal(0, c.dtype), f"total{text.fresh(c)}"
    if G == 1:
        body = [
            f"{total} = {zero}",
            f"for k in range({k}):",
            f"    {total} += {at(a, 'm', 'k')} * {at(b, 'k', 'zero')}",
            f"{at(c, 'm', 'zero')} = {total}",
        ]
    else:
        body = [
            f"for g in range({g}):",
            f"    {at(c, 'm', 'g')} = {zero}",
            f"for k in range({k}):",
            f"    factor = {at(a, 'm', 'k')}",
            f"    for g in range({g}):",
            f"        {at(c, 'm', 'g')} += factor * {at(b, 'k', 'g')}",
        ]
    return text.around(lead, range(len(lead)), [f"for m in range({m}):", *indented(body)], eqn)


def large_product(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of a product of the whole batch with a constant matrix, for the panels of one part.

    Raises
    ------
    CopyNeededError
        If the layout of an operand or of the result is not that of a matrix.
    """
    a, b = eqn.operands
    N, precision = b.shape[1], precision_of(eqn)
    weight = text.weights.setdefault(Packing(b, (0,), N, N, precision), f"p{len(text.weights)}")
    depth, width = (text.number((eqn, letter), size) for letter, size in zip("kg", b.shape, strict=True))
    left, rows, *steps = _matrix(text, eqn, a, depth)
    right, _, right_step, one = _matrix(text, eqn, eqn.result, width)
    if one != "u8(1)":
        raise CopyNeededError(eqn, eqn.result)
    kind = format_of(precision, eqn.result.dtype)
    panels = text.number((eqn, "panels"), -(-N // columns_of(kind)))
    panel = text.number((eqn, "panel bytes"), panel_nbytes(b.shape[0], precision, b.dtype))
    columns = text.number(("panel columns", kind), columns_of(kind))
    line = text.number(("line bytes", kind), columns_of(kind) * eqn.result.dtype.itemsize)
    target = f"{weight} + begin * {panel}, {right} + begin * {line}, columns, {right_step}, {literal(0, kind)}"
    before: list[str] = []
    if precision == "float32":
        product = f"gemm_at({left}, {rows}, {depth}, {', '.join(steps)}, {target})"
    else:
        name, _, before = _converted(text, eqn)
        product = f"gemm_rows_at({name}, {rows}, {depth}, {target})"
    return [
        *before,
        f"begin = part * {panels} // parts",
        f"stop = (part + one) * {panels} // parts",
        f"columns = ({width} if stop == {panels} else stop * {columns}) - begin * {columns}",
        product,
    ]


def precision_of(eqn: Eqn) -> str:
    """Return the precision of a product."""
    return str(eqn.params.get("precision", "float32"))


def _converted(text: KernelText, eqn: Eqn) -> tuple[str, str, list[str]]:
    """Return where the rows of the operand of a product are in its precision, the bytes of one, and how they get there.

    They are converted once per part of a phase, for all rows of this thread, before the first product that reads them.
    """
    a, b = eqn.operands
    precision, fixed = precision_of(eqn), bits_of(eqn.params.get("largest", 0.0))
    size = text.number((a, precision, "row bytes"), rows_nbytes(1, b.shape[0], precision))
    depth = text.number((eqn, "k"), b.shape[0])
    left, rows, *steps = _matrix(text, eqn, a, depth)
    name, _ = text.rows.setdefault((a, precision, fixed), (f"q{len(text.rows)}", f"({rows}) * {size}"))
    if name in text.converted:
        return f"a{name}", size, []
    text.converted.add(name)
    limit, zero = text.number((a, precision, "largest", fixed), fixed), literal(0, format_of(precision))
    return f"a{name}", size, [f"rows_at({left}, {rows}, {depth}, {', '.join(steps)}, a{name}, {limit}, {zero})"]


def fused_product(text: KernelText, eqn: Eqn, blocks: Blocks) -> tuple[list[str], str]:
    """Return the lines before the blocks, and the line of a fused product, for the rows of a tile and a block of units.

    Raises
    ------
    CopyNeededError
        If the layout of the operand is not that of a matrix.
    """
    a, b = eqn.operands
    buffer = text.layouts[eqn.result].buffer
    starts, precision = text.fused[buffer.var], precision_of(eqn)
    packing = Packing(b, starts, blocks.length, blocks.units, precision)
    weight = text.weights.setdefault(packing, f"p{len(text.weights)}")
    depth = text.number((eqn, "k"), b.shape[0])
    left, _, *steps = _matrix(text, eqn, a, depth, "top")
    columns = blocks.units * len(starts)
    size = text.number((packing, "block bytes"), panels_nbytes(b.shape[0], columns, precision, b.dtype))
    width, room = text.length(buffer), len(starts) * blocks.units * blocks.rows
    text.scratch[buffer] = max(room, text.scratch.get(buffer, 0))
    right, zero = f"c{text.buffer(buffer)}", literal(0, format_of(precision, eqn.result.dtype))
    target = f"{weight} + b * {size}, {right}, {width}, {width}, {zero}"
    if precision == "float32":
        return [], f"gemm_at({left}, rows, {depth}, {', '.join(steps)}, {target})"
    name, row, lines = _converted(text, eqn)
    return lines, f"gemm_rows_at({name} + (top - first) * {row}, rows, {depth}, {target})"


def _matrix(text: KernelText, eqn: Eqn, var: Var, columns: str, first: str = "first") -> tuple[str, str, str, str]:
    """Return the address of `var` from batch element `first` on as one matrix, its rows for all, and its strides."""
    layout, shape = text.layouts[var], text.loop.features(var)
    buffer, lead = layout.buffer, math.prod(shape[:-1])
    itemsize = buffer.dtype.itemsize
    offset = "".join([f" + {text.stride(o)} * {text.number(('itemsize', itemsize), itemsize)}" for o in layout.offsets])
    column_step = _u8(text.stride(layout.strides[-1]))
    if len(shape) > 2 - buffer.batched:  # several matrix rows per batch element: all must be in order
        axes = [axis for axis, size in enumerate(shape) if size != 1]
        in_order = all(as_int(layout.strides[axis]) == math.prod(shape[axis + 1 :]) for axis in axes)
        if (
            buffer.kind == "varying"
            or var.ndim < 2
            or layout.offsets
            or buffer.size != math.prod(shape)
            or not in_order
        ):
            raise CopyNeededError(eqn, var)
        rows, row_step = text.number((var, "lead"), lead), columns
        rows = f"(last - first) * {rows}" if buffer.batched else rows
    elif buffer.batched:
        rows, row_step = "last - first", text.row_step(buffer)
    else:
        rows, row_step = text.number((var, "lead"), lead), _u8(text.stride(layout.strides[0]))
    return text.address(buffer, first) + offset, rows, row_step, column_step


def _u8(number: str) -> str:
    return f"u8({number})" if number in {"0", "1"} else number
