"""The loop over time as source text: one function that runs all times for a range of batch elements.

The text holds no size. Every number it needs, the length of a buffer or the offset of the second gate, is a runtime
argument, so one compilation serves a cell at all sizes. What is in the text is structure: which axes are adjacent in
memory and which are broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ...errors import CompileError
from ...kernels.gemm.matmul import SUM_ROWS
from ...kernels.gemm.narrow import format_of
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var
from .arrange import Loop
from .expression import NAMES, literal, type_name
from .fusion import Packing, blocks_of
from .kernel_text import OF_ELEMENT, KernelText, Stride, indented
from .layout import Buffer, Layout
from .lookup import STATUS_SIZE, draw, lookup
from .loop_nests import loop_nest, reduction
from .matrix_products import fused_product, large_product, small_product
from .replay_loop import Replay
from .schedule import LoopNest, Phase

_DTYPES: Final = ", ".join([f"{name.replace('bool', 'bool_')} as {short}" for name, short in NAMES.items()])
HEADER: Final = (
    "import math\n"
    "import numpy as np\n"
    "from numpy import inf, nan\n"
    "from tinygrad_seq.kernels import categorical, crew, reduce, scalar\n"
    "from tinygrad_seq.kernels.crew import finish, take\n"
    "from tinygrad_seq.kernels.llvm.address import begin_of, read, room, scopes, vector, write\n"
    "from tinygrad_seq.kernels.gemm.packed import gemm_at, ready\n"
    "from tinygrad_seq.kernels.llvm.simd import elements\n"
    f"from numpy import {_DTYPES}\n\n"
)
_LOW: Final = "from tinygrad_seq.kernels.gemm.narrow import gemm_rows_at, ready as ready_rows, rows_at\n"
FIXED: Final = ("T", "backwards", "window", "start", "N")
"""The first numbers of every kernel."""

_CLOCK: Final = (
    "t = T - one - p if backwards else p",
    "now = t + backwards",
    "next = t + one - backwards",
    "other_now = p & one",
    "other_next = one - other_now",
    "place = start + T - one - p",
)
_REPLAY_CLOCK: Final = ("entering = t + one - backwards", "leaving = t + backwards")
_BLOCK: Final = f"block = place // u8({SUM_ROWS})"
_ITEMS: Final[dict[OpKind, Callable[[KernelText, Eqn], list[str]]]] = {
    OpKind.REDUCTION: reduction,
    OpKind.LOOKUP: lookup,
    OpKind.DRAW: draw,
}


class Source(NamedTuple):
    """The text of a kernel and its runtime arguments.

    Attributes
    ----------
    text
        A module that defines ``run(addresses, sizes, first, last, members, me, parts)``: thread `me` of a crew of
        `parts` threads, whose memory is at `members` (0: one thread), on the batch elements from `first` to `last`.
    buffers
        In the order of their addresses; ``now`` and ``next`` of a carry are one, named by ``now``.
    weights
        The packed matrices whose addresses follow.
    numbers
        The sizes after `FIXED`.
    factors
        Python scalars of the step; the address after those of the weights is that of an array of them.
    checked
        The equations that may store a status (see `lookup`); the last address is that of an array for it.
    epochs
        How often per step threads wait for each other that work on the same batch elements; 0 if they cannot.
    """

    text: str
    buffers: tuple[Buffer, ...]
    weights: tuple[Packing, ...]
    numbers: tuple[int | Stride, ...]
    factors: tuple[float, ...]
    checked: tuple[Eqn, ...]
    epochs: int


def emit(
    loop: Loop,
    phases: list[Phase],
    layouts: Mapping[Var, Layout],
    backward: bool,
    replay: Replay | None = None,
    apart: bool = False,
) -> Source:
    """Return the source of a loop, and of a replay that runs before it for each batch element.

    If they are `apart`, the loop over batch elements is outside of that over time.

    Raises
    ------
    CompileError
        If the loop holds an operation that has no source.
    CopyNeededError
        If an operation needs an operand or result in another layout.
    """
    text = KernelText(loop, layouts)
    text.elements_apart = apart
    before = _replay(text, replay) if replay else []
    if replay:
        text.loop, text.layouts = loop, {**layouts, **{var: replay.layouts[var] for var in replay.loop.carry}}
    epochs = [lines for phase in phases for lines in _phase(text, phase) if lines]
    per_step = len(epochs) + 1
    body = [line for number, lines in enumerate(epochs) for line in _in_parts(text, number, per_step, lines)]
    if backward and (cut := _cut_at_window(text)):
        body += [
            "if window != 0 and place != 0 and place % window == 0:",
            *indented(_in_parts(text, len(epochs), per_step, cut)),
        ]
    clock = [*_CLOCK, *(_REPLAY_CLOCK if replay else []), *([_BLOCK] if loop.time_sums else [])]
    over_time = ["for p in range(T):", *indented([*clock, *body])]
    if text.elements_apart:
        over_time = ["for i in range(first, last):", *indented([*before, *over_time])]
    scratch = [
        f"w{name} = room({text.length(buffer)}, {literal(0, buffer.dtype)})"
        for buffer, name in text.buffers.items()
        if buffer.kind == "element"
    ]
    for buffer, size in text.scratch.items():
        name = text.buffer(buffer)
        scratch += [f"w{name} = room({text.number((buffer, 'room'), size)}, {literal(0, buffer.dtype)})"]
        scratch += [f"c{name} = begin_of(w{name})"]
    for name, nbytes in text.rows.values():
        scratch += [f"w{name} = room({nbytes}, u1(0))", f"a{name} = begin_of(w{name})"]
    for buffer, name in text.buffers.items():
        if buffer.kind in OF_ELEMENT:
            scratch += [f"w{name} = room((T + one) * {text.length(buffer)}, {literal(0, buffer.dtype)})"]
            scratch += [f"a{name} = begin_of(w{name})"]
    turns = "turns = parts + one if parts > one else one"
    run = [*_read_arguments(text), "zero = u8(0)", "one = u8(1)", turns, *scratch, *over_time]
    lines = ["def run(addresses, sizes, first, last, members, me, parts):", *indented(run)]
    return Source(
        HEADER + "".join(_ready(text)) + "\n\n" + "\n".join(lines) + "\n",
        tuple(text.buffers),
        tuple(text.weights),
        tuple([value for _, value in text.numbers.values()]),
        tuple([value for _, value in text.factors.values()]),
        tuple(text.checked),
        len(epochs) if loop.batched and not text.elements_apart else 0,
    )


def _ready(text: KernelText) -> list[str]:
    """Return the lines before the function that make the products of its formats available."""
    packed = {(weight.dtype, precision) for weight, *_, precision in text.weights}
    lines = sorted({f"ready({type_name(dtype)})\n" for dtype, precision in packed if precision == "float32"})
    low = sorted(
        {f"ready_rows({type_name(format_of(precision))})\n" for _, precision in packed if precision != "float32"}
    )
    return [*([_LOW, *low] if low else []), *lines, "crew.ready()\n"]


def _read_arguments(text: KernelText) -> list[str]:
    """Return the lines that give the runtime arguments their names."""
    count, factors = len(text.buffers) + len(text.weights), [name for name, _ in text.factors.values()]
    sizes = *FIXED, *[name for name, _ in text.numbers.values()]
    addresses = *[f"a{name}" for name in text.buffers.values()], *text.weights.values()
    lines = [f"{name} = sizes[{at}]" for at, name in enumerate(sizes)]
    lines += [f"{name} = addresses[{at}]" for at, name in enumerate(addresses)]
    if factors:
        lines.append(f"factors = vector(addresses[{count}], u8({len(factors)}), f8(0))")
        lines += [f"{name} = factors[{at}]" for at, name in enumerate(factors)]
    if text.checked:
        lines.append(f"complaint = vector(addresses[{count + 1}], u8({STATUS_SIZE}), i8(0))")
    return lines


def _in_parts(text: KernelText, number: int, per_step: int, lines: list[str]) -> list[str]:
    """Return the lines of one of the epochs of a step (see `kernels.crew`), given those of a part of it."""
    if text.elements_apart:
        return lines
    epoch = f"p * u8({per_step}) + u8({number + 1})"
    return [
        "for turn in range(turns):",
        f"    part = take(members, me, {epoch}, parts)",
        "    if part < parts:",
        *indented([*lines, f"finish(members, part, {epoch})"], 2),
    ]


def _phase(text: KernelText, phase: Phase) -> list[list[str]]:
    """Return the epochs of a phase: a loop over batch elements, then products of the whole batch."""
    lines: list[str] = []
    text.opened, text.scalars, text.converted = set(), {}, set()
    text.fused = {eqn.result: starts for eqn, starts in phase.fused.items()}
    for item in phase.items:
        lines += loop_nest(text, item) if isinstance(item, LoopNest) else _item(text, item)
    opened = sorted(text.opened, key=lambda buffer: (int(text.buffer(buffer)), buffer.kind))
    vectors = [text.declare(text.vector(buffer), buffer) for buffer in opened if buffer.kind != "element"]
    if phase.fused:
        return [_in_blocks(text, phase, vectors + lines)]
    products = [line for eqn in phase.products for line in large_product(text, eqn)]
    return [_per_element(text, vectors + lines) if lines else [], products]


def _in_blocks(text: KernelText, phase: Phase, lines: list[str]) -> list[str]:
    """Return the lines of a fused phase, given those of its loop nest for one batch element."""
    blocks = blocks_of(text.loop, phase)
    count, block, units, most = (
        text.number((phase, name), size)
        for name, size in (
            ("blocks", -(-blocks.length // blocks.units)),
            ("block", blocks.units),
            ("units", blocks.length),
            ("rows", blocks.rows),
        )
    )
    found = [fused_product(text, eqn, blocks) for eqn in phase.fused]
    tile = [
        "top = first + q * (last - first) // tiles",
        "rows = first + (q + one) * (last - first) // tiles - top",
        *[product for _, product in found],
        "for i in range(top, top + rows):",
        *indented(lines),
    ]
    return [
        *[line for before, _ in found for line in before],
        f"tiles = (last - first + {most} - one) // {most}",
        f"for b in range(part * {count} // parts, (part + one) * {count} // parts):",
        f"    begin = b * {block}",
        f"    units = {block} if begin + {block} < {units} else {units} - begin",
        "    for q in range(tiles):",
        *indented(tile, 2),
    ]


def _item(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of an equation that has a loop of its own."""
    # All products are lowered to matrix products, but for those with a letter twice in one operand of an einsum.
    emitter = small_product if eqn.primitive is matmul else _ITEMS.get(eqn.primitive.kind)
    if emitter is None:
        raise CompileError(
            f"scan: expected operations that have a compiled form, got {eqn.primitive.name!r} on what depends "
            "on the carry; move it out of the recurrence, or pass compile=False."
        )
    return emitter(text, eqn)


def _per_element(text: KernelText, lines: list[str]) -> list[str]:
    """Return `lines` in a loop over the batch elements of a part, if there is a batch and no such loop around them."""
    if text.elements_apart:
        return lines
    if not text.loop.batched:
        return ["if part == zero:", *indented(lines)]
    first, last = (f"first + {part} * (last - first) // parts" for part in ("part", "(part + one)"))
    return [f"for i in range({first}, {last}):", *indented(lines)]


def _replay(text: KernelText, replay: Replay) -> list[str]:
    """Return the lines of a replay for one batch element; it runs against the order of the backward loop."""
    text.loop, text.layouts = replay.loop, replay.layouts
    opening = ["entering = zero if backwards else T"]
    for entering, first in replay.first.items():
        opening += [text.declare("source", first), text.declare("target", entering)]
        opening += [f"for j in range({text.length(first)}):", "    target[j] = source[j]"]
    body = [line for phase in replay.phases for lines in _phase(text, phase) for line in lines]
    return [*opening, "for p in range(T):", *indented(["t = p if backwards else T - one - p", *_REPLAY_CLOCK, *body])]


def _cut_at_window(text: KernelText) -> list[str]:
    """Return the lines that keep gradients from crossing from one window into the previous one."""
    lines: list[str] = []
    for after in text.loop.carry_out:
        following = text.layouts[after].buffer
        fill = [f"for j in range({text.length(following)}):", f"    cut[j] = {literal(0, after.dtype)}"]
        lines += _per_element(text, [text.declare("cut", following), *fill])
    return lines
