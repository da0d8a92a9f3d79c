"""Table lookups and random draws in the loop as source text, and the errors of both.

Compiled code checks no bounds by itself, so here it does. At an index outside the table, or scores that nothing can be
drawn from, it goes on with index 0 and stores a status: the number of the equation and the index. The status becomes
the error that the same operation raises outside of a scan.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...errors import CompileError
from ...ops.choice import refuse_scores
from ...ops.indexing import check_range
from ...ops.primitive import OpKind
from ..ir.step import Eqn
from .kernel_text import KernelText
from .layout import CopyNeededError, Number

STATUS_SIZE: Final = 3
"""The numbers of a status: whether something failed, the position of the equation in ``Source.checked``, the index."""


def lookup(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of ``table[index]`` for each index of a batch element."""
    table, indices = eqn.operands
    if table in text.loop.batched or eqn.params.get("axis", 0) != 0:
        raise CompileError(
            "scan: expected lookups along the first axis of a table that all sequences share, got one of shape "
            f"{table.shape} along axis {eqn.params.get('axis', 0)}; use take_along_axis outside of the scan, "
            "a product with a one-hot row, or pass compile=False."
        )
    source, at, target = (text.layouts[var] for var in (table, indices, eqn.result))
    shape, inner = text.loop.features(indices), table.shape[1:]
    count = text.number((table, "count"), table.shape[0])
    index = text.element(at)
    negative = eqn.primitive.from_end
    leading: list[Number] = [0 for _ in shape]
    lowest = f"-i8({count})" if negative else "0"
    within = text.index(source, (*leading, *source.strides[1:]))
    entry = f"u8(at) * u8({text.stride(source.strides[0])})"
    copy = f"{text.element(target)} = {text.vector(source.buffer)}[{entry} + {within}]"
    body = [f"at = i8({index})", *_check(text, eqn, f"at < {lowest} or at >= i8({count})")]
    if negative:
        body += ["if at < 0:", f"    at += i8({count})"]
    body += text.around((*shape, *inner), range(len(shape), len(shape) + len(inner)), [copy], (eqn, "inner"))
    return text.around(shape, range(len(shape)), body, eqn)


def draw(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of a draw from the scores of a batch element."""
    scores = eqn.operands[0]
    source, uniform, temperature, target = (text.layouts[var] for var in (*eqn.operands, eqn.result))
    shape, size = text.loop.features(eqn.result), scores.shape[-1]
    if source.strides[-1] not in (1, 0) and size > 1:
        raise CopyNeededError(eqn, scores)
    operands = [
        text.vector(source.buffer),
        text.index(source, (*source.strides[:-1], 0)),
        text.number((eqn, "count"), size),
        f"f8({text.element(uniform)})",
        f"f8({text.element(temperature)})",
        text.number((eqn, "top_k"), min(eqn.params["top_k"] or size, size)),
    ]
    body = [
        f"at = categorical.choose({', '.join(operands)})",
        *_check(text, eqn, "at < 0"),
        f"{text.element(target)} = at",
    ]
    return text.around(shape, range(len(shape)), body, eqn)


def _check(text: KernelText, eqn: Eqn, failed: str) -> list[str]:
    """Return the lines that go on with index 0 if the index has `failed`, and store the status unless there is one."""
    number = len(text.checked)
    text.checked.append(eqn)
    return [
        f"if {failed}:",
        "    if complaint[0] == 0:",
        "        complaint[0] = i8(1)",
        f"        complaint[1] = i8({number})",
        "        complaint[2] = i8(at)",
        "    at = i8(0)",
    ]


def raise_status(checked: tuple[Eqn, ...], status: np.ndarray) -> None:
    """Raise the error of the status that a kernel has stored, if it has, and clear it."""
    if not status[0]:
        return
    status[0] = 0
    eqn, index = checked[status[1]], status[2]
    operand = eqn.operands[0]
    if eqn.primitive.kind is OpKind.DRAW:
        refuse_scores(operand.shape)
    size, indices = operand.shape[0], np.full(eqn.operands[1].shape, index, eqn.operands[1].dtype)
    check_range(eqn.primitive.name, indices, size, -size if eqn.primitive.from_end else 0)
