"""Operations of the loop that pick: the rows of a table, an index to draw. Not every operand will do.

Compiled code checks no bounds by itself, so here it does: at an index outside the table, or scores that nothing can be
drawn from, it goes on with index 0 and leaves the number of the equation and the index in a *complaint*, which becomes
the error of the same operation outside a scan.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...errors import CompileError
from ...ops.choice import refuse_scores
from ...ops.indexing import check_range
from ...ops.primitive import OpKind
from ..ir.step import Eqn
from .buffers import Buffer, CopyNeededError, Number
from .schedule import features
from .snippets import Texts

COMPLAINT: Final = 3
"""The numbers of a complaint: whether there is one, the position of the equation among those that can, the index."""


def lookup(texts: Texts, eqn: Eqn) -> tuple[list[str], set[Buffer]]:
    """Return the lines of ``table[index]`` for each index of a row, and the buffers they touch."""
    table, indices = eqn.operands
    if table in texts.rows or eqn.params.get("axis", 0) != 0:
        raise CompileError(
            "scan: expected lookups along the first axis of a table that all sequences share, got one of shape "
            f"{table.shape} along axis {eqn.params.get('axis', 0)}; use take_along_axis outside of the scan, "
            "a product with a one-hot row, or pass compile=False."
        )
    source, at, target = (texts.homes.places[var] for var in (table, indices, eqn.result))
    shape, inner = features(indices, texts.rows), table.shape[1:]
    count = texts.number((table, "count"), table.shape[0])
    position = f"{texts.row_name(at.buffer)}[{texts.index(at, at.strides)}]"
    lowest = f"-i8({count})" if eqn.primitive.from_end else "0"
    element = texts.index(source, (*_none(len(shape)), *source.strides[1:]))
    row = f"u8(at) * u8({texts.stride(source.strides[0])})"
    copy = f"{texts.row_name(target.buffer)}[{texts.index(target, target.strides)}]"
    copy += f" = {texts.row_name(source.buffer)}[{row} + {element}]"
    body = [
        f"at = i8({position})",
        f"if at < {lowest} or at >= i8({count}):",
        *complain(texts, eqn, "at"),
        "    at = i8(0)",
    ]
    if eqn.primitive.from_end:
        body += ["if at < 0:", f"    at += i8({count})"]
    body += texts.around((*shape, *inner), range(len(shape), len(shape) + len(inner)), [copy], (eqn, "inner"))
    return texts.around(shape, range(len(shape)), body, eqn), {source.buffer, at.buffer, target.buffer}


def draw(texts: Texts, eqn: Eqn) -> tuple[list[str], set[Buffer]]:
    """Return the lines of a draw from the scores of a row, and the buffers they touch."""
    scores = eqn.operands[0]
    source, uniform, heat, target = (texts.homes.places[var] for var in (*eqn.operands, eqn.result))
    shape = features(eqn.result, texts.rows)
    if source.strides[-1] not in (1, 0) and scores.shape[-1] > 1:
        raise CopyNeededError(eqn, scores)
    size = scores.shape[-1]
    start = texts.index(source, (*source.strides[:-1], 0))
    operands = [
        texts.row_name(source.buffer),
        start,
        texts.number((eqn, "count"), size),
        f"f8({texts.row_name(uniform.buffer)}[{texts.index(uniform, uniform.strides)}])",
        f"f8({texts.row_name(heat.buffer)}[{texts.index(heat, heat.strides)}])",
        texts.number((eqn, "top_k"), min(eqn.params["top_k"] or size, size)),
    ]
    body = [
        f"at = categorical.choose({', '.join(operands)})",
        "if at < 0:",
        *complain(texts, eqn, "at"),
        "    at = i8(0)",
        f"{texts.row_name(target.buffer)}[{texts.index(target, target.strides)}] = at",
    ]
    touched = {place.buffer for place in (source, uniform, heat, target)}
    return texts.around(shape, range(len(shape)), body, eqn), touched


def _none(rank: int) -> list[Number]:
    """Return the strides along axes that do not matter."""
    return [0 for _ in range(rank)]


def complain(texts: Texts, eqn: Eqn, index: str) -> list[str]:
    """Return the lines that leave a complaint of an equation, unless there is one already."""
    number = len(texts.risks)
    texts.risks.append(eqn)
    return [
        "    if complaint[0] == 0:",
        "        complaint[0] = i8(1)",
        f"        complaint[1] = i8({number})",
        f"        complaint[2] = i8({index})",
    ]


def raise_complaint(risks: tuple[Eqn, ...], complaint: np.ndarray) -> None:
    """Raise the error that a kernel has left a complaint of, if it has, and forget it."""
    if not complaint[0]:
        return
    complaint[0] = 0
    eqn, index = risks[complaint[1]], complaint[2]
    operand = eqn.operands[0]
    if eqn.primitive.kind is OpKind.DRAW:
        refuse_scores(operand.shape)
    size, indices = operand.shape[0], np.full(eqn.operands[1].shape, index, eqn.operands[1].dtype)
    check_range(eqn.primitive.name, indices, size, -size if eqn.primitive.from_end else 0)
