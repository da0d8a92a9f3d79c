"""The loop over time as source text: one function that runs all times for a range of rows.

The text holds no size. Every number it needs, how long a row is, where the second gate begins, comes in an array, so
that one compilation serves a cell at all sizes. What is in the text is structure: which axes are adjacent in memory
and which are broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

from numba import config

from ...errors import CompileError
from ...kernels.gemm.matmul import SUM_ROWS
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var
from .arrange import Loop, is_elementwise
from .buffers import Buffer, CopyNeededError, Homes, as_int, in_order, stretched
from .expression import NAMES, expression, literal, type_name
from .lookup import COMPLAINT, draw, lookup
from .schedule import Nest, Stretch, features, summed_from
from .snippets import Stride, Texts

_DTYPES: Final = ", ".join([f"{name.replace('bool', 'bool_')} as {short}" for name, short in NAMES.items()])
HEADER: Final = (
    "import math\n"
    "import numpy as np\n"
    "from numpy import inf, nan\n"
    "from tinygrad_seq.kernels import categorical, reduce, scalar\n"
    "from tinygrad_seq.kernels.llvm.address import read, room, vector, write\n"
    "from tinygrad_seq.kernels.gemm.packed import gemm_at, ready\n"
    "from tinygrad_seq.kernels.llvm.simd import elements\n"
    f"from numpy import {_DTYPES}\n\n"
)
FIXED: Final = ("T", "backwards", "window", "start", "N")
"""The first numbers of every kernel."""


class Source(NamedTuple):
    """The text of a kernel and what it wants to be given.

    Attributes
    ----------
    text
        A module that defines ``run(addresses, sizes, first, last)``.
    buffers
        In the order of their addresses; ``now`` and ``next`` of a carry are one, named by ``now``.
    weights
        Variables whose packed panels' addresses follow.
    numbers
        The sizes after `FIXED`.
    factors
        Python scalars of the step; the address after those of the weights is that of an array of them.
    alternating
        The carries of which only two slabs are kept.
    risks
        The equations that may complain (see `pick`); the very last address is that of an array for it.
    """

    text: str
    buffers: tuple[Buffer, ...]
    weights: tuple[Var, ...]
    numbers: tuple[int | Stride, ...]
    factors: tuple[float, ...]
    alternating: frozenset[Var]
    risks: tuple[Eqn, ...]


def emit(loop: Loop, stretches: list[Stretch], homes: Homes, alternating: Collection[Var], backward: bool) -> Source:
    """Return the source of a loop; `alternating` are the carries whose history nobody reads.

    Raises
    ------
    CompileError
        If the loop holds an operation that has no source.
    """
    return _Emitter(loop, homes, frozenset(alternating)).run(stretches, backward)


class _Emitter(Texts):
    # ------------------------------------------------------------------------------------------------------- a row

    def nest(self, nest: Nest) -> tuple[list[str], set[Buffer]]:
        """Return the lines of a nest, and the buffers they touch."""
        sums = [eqn for eqn in nest.eqns if not is_elementwise(eqn)]
        made = self.singles | {eqn.result: f"v{self.fresh(eqn.result)}" for eqn in nest.eqns}
        loaded = dict.fromkeys([var for eqn in nest.eqns for var in eqn.reads if var not in made])
        stored = [eqn.result for eqn in nest.eqns if eqn not in sums and eqn.result in self.homes.places]
        apart = self.places_apart([*loaded, *stored])
        mark = [f"{self.nests}, {apart[var]}, {len(set(apart.values()))}" for var in (*loaded, *stored)]
        self.nests += 1
        before: list[str] = []
        body: list[str] = []
        for var, how in zip(loaded, mark, strict=False):
            index, strides = self.element(var, nest.shape)
            line = f"x{self.fresh(var)} = {self.read(var, index, how)}"
            (body if any(stride != 0 for stride in strides) else before).append(line)
        for eqn in nest.eqns:
            operands = [made.get(o, f"x{self.fresh(o)}") if o.__class__ is Var else "" for o in eqn.operands]
            result = made[eqn.result]
            added = f"reduce.add({result}, {operands[0]})"
            body.append(f"{result} = {added if eqn in sums else expression(eqn, operands, partial(self.factor, eqn))}")
        for var, how in zip(stored, mark[len(loaded) :], strict=True):
            index, _ = self.element(var, nest.shape)
            body.append(self.write(var, index, made[var], how))
        self.singles |= {var: name for var, name in made.items() if self.homes.is_single(var)}
        loops, buffers = self.loops(nest, body, {eqn.result: made[eqn.result] for eqn in sums})
        return before + loops, buffers | {self.homes.places[var].buffer for var in (*loaded, *stored)}

    def loops(self, nest: Nest, body: list[str], totals: dict[Var, str]) -> tuple[list[str], set[Buffer]]:
        """Return the loops of a nest around its body, each sum begun before the loops that it is over."""
        buffers: set[Buffer] = set()
        numbers = "elements" if any(eqn.primitive.vectorised for eqn in nest.eqns) else "range"
        for axis in reversed(range(len(nest.shape))):
            if nest.shape[axis] != 1 or not self.homes.narrow:
                body = self.around(nest.shape, [axis], body, nest, numbers)
            for eqn in nest.eqns:
                if eqn.result not in totals or summed_from(eqn, self.rows) != axis:
                    continue
                total, place = totals[eqn.result], self.homes.places.get(eqn.result)
                body = [f"{total} = {literal(0, eqn.result.dtype)}", *body]
                if place is not None:
                    index, _ = self.element(eqn.result, nest.shape)
                    body.append(f"{self.row_name(place.buffer)}[{index}] = {total}")
                    buffers.add(place.buffer)
        return body, buffers

    def read(self, var: Var, index: str, how: str) -> str:
        row = self.row_name(self.homes.places[var].buffer)
        return f"{row}[{index}]" if config.BOUNDSCHECK else f"read({row}, {index}, {how})"

    def write(self, var: Var, index: str, value: str, how: str) -> str:
        row = self.row_name(self.homes.places[var].buffer)
        return f"{row}[{index}] = {value}" if config.BOUNDSCHECK else f"write({row}, {index}, {value}, {how})"

    def places_apart(self, variables: list[Var]) -> dict[Var, int]:
        """Return a number for each variable: what has different numbers never shares memory.

        Parts of one buffer count as apart if none of them reaches into another, at any row and time.
        """
        spans: dict[str, dict[tuple[int, int], list[Var]]] = {}
        for var in variables:
            place = self.homes.places[var]
            low = sum(map(as_int, place.offsets))
            shape = features(var, self.rows)
            ends = [as_int(stride) * (size - 1) for stride, size in zip(place.strides, shape, strict=True)]
            span = (low + sum(min(end, 0) for end in ends), low + sum(max(end, 0) for end in ends))
            spans.setdefault(self.buffer(place.buffer), {}).setdefault(span, []).append(var)
        numbers: dict[Var, int] = {}
        count = 0
        for found in spans.values():
            ordered = sorted(found)
            apart = all(a[1] < b[0] for a, b in pairwise(ordered))
            for span in ordered:
                numbers.update(dict.fromkeys(found[span], count))
                count += apart
            count += not apart
        return numbers

    def reduction(self, eqn: Eqn) -> tuple[list[str], set[Buffer]]:
        """Return the lines of a reduction over axes of a row."""
        operand, result = eqn.operands[0], eqn.result
        place, target = self.homes.places[operand], self.homes.places[result]
        shape = features(operand, self.rows)
        axes = [axis - (operand in self.rows) for axis in eqn.params["axes"]]
        source, into = self.row_name(place.buffer), self.row_name(target.buffer)
        kept = [axis for axis in range(len(shape)) if axis not in axes]
        out = [0 if axis in axes else stride for axis, stride in enumerate(target.strides)]
        to = f"{into}[{self.index(target, tuple(out))}]"
        dtype = result.dtype
        value = f"{source}[{self.index(place, place.strides)}]"
        value = value if operand.dtype == dtype or dtype.kind == "b" else f"{type_name(dtype)}({value})"
        assert eqn.primitive.fold is not None
        starts, step = eqn.primitive.fold
        start_text = value if starts is None else literal(starts, dtype)
        total = f"total{self.fresh(result)}"
        summing = self.around(shape, axes, [step.format(total=total, value=value)], (eqn, "inner"))
        if starts is None:
            low = self.index(place, tuple([s if a in kept else 0 for a, s in enumerate(place.strides)]))
            start_text = f"{type_name(dtype)}({source}[{low}])"
        body = [f"{total} = {start_text}", *summing, f"{to} = {total}"]
        return self.around(shape, kept, body, eqn), {place.buffer, target.buffer}

    def small_product(self, eqn: Eqn) -> tuple[list[str], set[Buffer]]:
        """Return the lines of a product of two matrices of one row: ``c[m, g] = sum(a[m, k] * b[k, g])``."""
        a, b = eqn.operands
        c = eqn.result
        shape = features(c, self.rows)
        M, G = (1, shape[-1]) if len(shape) == 1 else shape[-2:]
        K = a.shape[-1]
        places = {var: self.homes.places[var] for var in (a, b, c)}
        lead = shape[:-2] if len(shape) > 1 else ()

        def at(var: Var, row: str, column: str) -> str:
            place, own = places[var], features(var, self.rows)
            strides = place.strides if len(own) > 1 else (0, *place.strides)
            own = own if len(own) > 1 else (1, *own)
            front = stretched(own[:-2], strides[:-2], lead, self.homes.narrow)
            terms = [self.index(place, front)] if place.offsets or any(s != 0 for s in front) else []
            terms += [
                f"{letter} * {self.stride(stride)}" if stride != 1 else letter
                for letter, stride in ((row, strides[-2]), (column, strides[-1]))
                if stride != 0
            ]
            return f"{self.row_name(place.buffer)}[{' + '.join(terms) or 'zero'}]"

        m, k, g = (self.number((eqn, letter), size) for letter, size in (("m", M), ("k", K), ("g", G)))
        zero, total = literal(0, c.dtype), f"total{self.fresh(c)}"
        if G == 1:
            body = [
                f"for m in range({m}):",
                f"    {total} = {zero}",
                f"    for k in range({k}):",
                f"        {total} += {at(a, 'm', 'k')} * {at(b, 'k', 'zero')}",
                f"    {at(c, 'm', 'zero')} = {total}",
            ]
        else:
            body = [
                f"for m in range({m}):",
                f"    for g in range({g}):",
                f"        {at(c, 'm', 'g')} = {zero}",
                f"    for k in range({k}):",
                f"        factor = {at(a, 'm', 'k')}",
                f"        for g in range({g}):",
                f"            {at(c, 'm', 'g')} += factor * {at(b, 'k', 'g')}",
            ]
        return self.around(lead, range(len(lead)), body, eqn), {place.buffer for place in places.values()}

    # ---------------------------------------------------------------------------------------------------- all rows

    def product(self, eqn: Eqn) -> str:
        """Return the line of a product of all rows with a constant matrix."""
        a, b = eqn.operands
        weight = self.weights.setdefault(b, f"p{len(self.weights)}")
        K, G = b.shape
        depth, width = self.number((eqn, "k"), K), self.number((eqn, "g"), G)
        left, rows, *steps = self.matrix(eqn, a, depth)
        right, _, right_step, one = self.matrix(eqn, eqn.result, width)
        if one != "u8(1)":
            raise CopyNeededError(eqn, eqn.result)
        zero = literal(0, eqn.result.dtype)
        return f"gemm_at({left}, {rows}, {depth}, {', '.join(steps)}, {weight}, {right}, {width}, {right_step}, {zero})"

    def matrix(self, eqn: Eqn, var: Var, columns: str) -> tuple[str, str, str, str]:
        """Return the address of all rows of `var` as one matrix, how many there are, and their steps."""
        place = self.homes.places[var]
        shape, buffer = features(var, self.rows), place.buffer
        lead, size = math.prod(shape[:-1]), buffer.dtype.itemsize
        offset = "".join(f" + {self.stride(o)} * {self.number(('itemsize', size), size)}" for o in place.offsets)
        step = self.stride(place.strides[-1])
        step = f"u8({step})" if step in {"0", "1"} else step
        if buffer.kind == "time":
            raise CopyNeededError(eqn, var)
        if (buffer.rows and len(shape) > 1) or len(shape) > 2:
            if var.ndim < 2 or place.offsets or buffer.size != math.prod(shape) or not in_order(place, shape):
                raise CopyNeededError(eqn, var)
            rows = (
                f"(last - first) * {self.number((var, 'lead'), lead)}"
                if buffer.rows
                else self.number((var, "lead"), lead)
            )
            return self.address(buffer, "first"), rows, columns, step
        if buffer.rows:
            rows = "last - first"
            row_step = self.number((buffer.var, "length"), buffer.size)
        else:
            rows, row_step = self.number((var, "lead"), lead), self.stride(place.strides[0])
            row_step = f"u8({row_step})" if row_step in {"0", "1"} else row_step
        return self.address(buffer, "first") + offset, rows, row_step, step

    # -------------------------------------------------------------------------------------------------- the module

    def stretch(self, stretch: Stretch) -> list[str]:
        lines: list[str] = []
        touched: set[Buffer] = set()
        self.singles: dict[Var, str] = {}
        for item in stretch.items:
            if isinstance(item, Nest):
                more, buffers = self.nest(item)
            elif item.primitive.kind is OpKind.REDUCTION:
                more, buffers = self.reduction(item)
            elif item.primitive is matmul:  # all other products are made of it
                more, buffers = self.small_product(item)
            elif item.primitive.kind is OpKind.LOOKUP:
                more, buffers = lookup(self, item)
            elif item.primitive.kind is OpKind.DRAW:
                more, buffers = draw(self, item)
            else:
                raise CompileError(
                    f"scan: expected operations that have a compiled form, got {item.primitive.name!r} on what depends "
                    "on the carry; move it out of the recurrence, or pass compile=False."
                )
            lines += more
            touched |= buffers
        views = [
            f"{self.row_name(buffer)} = vector({self.address(buffer, 'i')}, "
            f"{self.number((buffer.var, 'length'), buffer.size)}, {literal(0, buffer.dtype)})"
            for buffer in sorted(touched, key=lambda buffer: (int(self.buffer(buffer)), buffer.kind))
            if buffer.kind != "row"
        ]
        body = views + lines
        if lines and self.rows:
            body = ["for i in range(first, last):", *["    " + line for line in body]]
        elif not lines:
            body = []
        return body + [self.product(eqn) for eqn in stretch.products]

    def run(self, stretches: list[Stretch], backward: bool) -> Source:
        turn = [line for stretch in stretches for line in self.stretch(stretch)]
        if backward:
            turn += self.cut()
        scratch = [
            f"w{name} = room({self.number((buffer.var, 'length'), buffer.size)}, {literal(0, buffer.dtype)})"
            for buffer, name in self.buffers.items()
            if buffer.kind == "row"
        ]
        given = [f"{name} = sizes[{at}]" for at, name in enumerate((*FIXED, *[n for n, _ in self.numbers.values()]))]
        given += [f"a{name} = addresses[{name}]" for name in self.buffers.values()]
        given += [f"{name} = addresses[{len(self.buffers) + at}]" for at, name in enumerate(self.weights.values())]
        if self.factors:
            at, count = len(self.buffers) + len(self.weights), len(self.factors)
            given.append(f"factors = vector(addresses[{at}], u8({count}), f8(0))")
            given += [f"{name} = factors[{at}]" for at, (name, _) in enumerate(self.factors.values())]
        if self.risks:
            at = len(self.buffers) + len(self.weights) + 1
            given.append(f"complaint = vector(addresses[{at}], u8({COMPLAINT}), i8(0))")
        lines = [
            "def run(addresses, sizes, first, last):",
            *[f"    {line}" for line in (*given, "zero = u8(0)", "one = u8(1)", *scratch)],
            "    for p in range(T):",
            *[f"        {line}" for line in (*_CLOCK, *([_BLOCK] if self.loop.totals else []))],
            *[f"        {line}" for line in turn],
        ]
        numbers = tuple([value for _, value in self.numbers.values()])
        factors = tuple([value for _, value in self.factors.values()])
        called = sorted({type_name(weight.dtype) for weight in self.weights})
        text = HEADER + "".join([f"ready({name})\n" for name in called]) + "\n\n" + "\n".join(lines) + "\n"
        weights, risks = tuple(self.weights), tuple(self.risks)
        return Source(text, tuple(self.buffers), weights, numbers, factors, self.alternating, risks)

    def cut(self) -> list[str]:
        """Return the lines by which no gradient crosses from one window into the one before."""
        lines = ["if window != 0 and place != 0 and place % window == 0:"]
        for var in self.loop.carry:
            buffer = self.homes.places[var].buffer
            following = Buffer("next", var, buffer.rows)
            length = self.number((var, "length"), buffer.size)
            view = f"cut = vector({self.address(following, 'i')}, {length}, {literal(0, var.dtype)})"
            fill = [view, f"for j in range({length}):", f"    cut[j] = {literal(0, var.dtype)}"]
            lines += ["    " + line for line in (["for i in range(first, last):", *["    " + x for x in fill]]
                                                  if self.rows else fill)]  # fmt: skip
        return lines if len(lines) > 1 else []


_CLOCK: Final = (
    "t = T - one - p if backwards else p",
    "now = t + backwards",
    "next = t + one - backwards",
    "other_now = p & one",
    "other_next = one - other_now",
    "place = start + T - one - p",
)
_BLOCK: Final = f"block = place // u8({SUM_ROWS})"
