"""Assign the variables of a loop to buffers: which values share memory, and the layout of each.

1  inputs and carry    a buffer each; the carry and the next carry share one, and so do a sum and its next value
2  reuse               what a loop nest saves is written over the products that it reads last: gates
3  results             a buffer for what leaves its loop nest; the rest stays in registers
4  layouts             of the operands of a `concat` and of views, within the buffers of 1 to 3
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from ...ops.primitive import OpKind
from ..ir.step import Var
from .arrange import Loop, is_layout
from .layout import Buffer, Kind, Layout, concatenated, contiguous, view
from .schedule import LoopNest, Phase, eqns_of, summed_down


def assign_buffers(
    loop: Loop,
    phases: list[Phase],
    time_varying: set[Var],
    history: set[Var],
    reusable: Collection[Var],
    replayed: Mapping[Var, Layout] = MappingProxyType({}),
    apart: bool = False,
) -> dict[Var, Layout]:
    """Return the layout of each variable that is in memory.

    Parameters
    ----------
    loop, phases
        The loop and its order.
    time_varying
        The inputs with one value per time.
    history
        The carries whose values at all times are read after the loop.
    reusable
        Inputs that nobody reads after the loop, in memory that may be overwritten.
    replayed
        Where the inputs are that a replay stacked.
    apart
        Whether each batch element runs over all times before the next one begins.

    Raises
    ------
    CopyNeededError
        If a variable must be copied to be read in another shape.
    """
    saved = {loop.root(var) for var in loop.saved}
    in_place = _find_in_place(loop, phases) if apart else set()
    buffers = _of_inputs(loop, time_varying, history | saved, in_place)
    buffers |= {var: layout.buffer for var, layout in replayed.items()}
    overwritten = _find_reuse(loop, phases, buffers.keys(), reusable)
    buffers |= _of_results(loop, phases, saved, {*buffers, *overwritten})
    return _lay_out(loop, buffers, overwritten, replayed)


def elements_apart(loop: Loop, phases: list[Phase], history: set[Var]) -> bool:
    """Return whether each batch element runs over all times before the next one begins.

    That needs a loop without products of the whole batch. It pays if the carry is a matrix, of which only the last one
    is wanted, and what is read and written per time are vectors: then the matrix of a batch element stays in the cache.
    """
    if not loop.batched or not loop.carry or any(phase.products or phase.fused for phase in phases):
        return False
    stacked = history.union(map(loop.root, loop.saved))
    pairs = [pair for pair in zip(loop.carry, loop.carry_out, strict=True) if stacked.isdisjoint(pair)]
    inside = {var for pair in pairs for var in pair}
    others = [var for var in (*loop.inputs, *loop.saved, *loop.time_sums, *loop.carry_out) if var in loop.batched]
    ranks = [max([var.ndim for var in found], default=0) for found in (inside, set(others) - inside)]
    return ranks[0] > ranks[1]


def _find_in_place(loop: Loop, phases: list[Phase]) -> set[Var]:
    """Return the carries that are read for the last time where the next one is written, element by element.

    A step that may end with an error keeps its carry.
    """
    items = list(enumerate([item for phase in phases for item in phase.items]))
    if any(eqn.primitive.kind is OpKind.LOOKUP for eqn in loop.eqns):
        return set()
    found = set()
    for before, after in zip(loop.carry, loop.carry_out, strict=True):
        maker = [(at, item) for at, item in items if isinstance(item, LoopNest) and after in item.registers]
        reads = [(at, var) for at, item in items for eqn in eqns_of(item) for var in eqn.reads]
        reads = [(at, var) for at, var in reads if loop.root(var) is before]
        if len(maker) != 1 or any(at > maker[0][0] for at, _ in reads):
            continue
        alike = all(var is before for at, var in reads if at == maker[0][0])
        if alike and maker[0][1].shape == loop.features(after) == loop.features(before):
            found.add(before)
    return found


def _of_inputs(loop: Loop, time_varying: set[Var], history: set[Var], in_place: set[Var]) -> dict[Var, Buffer]:
    """Return the buffers of the carry, of the sums over time, and of the other inputs."""
    buffers: dict[Var, Buffer] = {}
    for before, after in zip(loop.carry, loop.carry_out, strict=True):
        alternates = history.isdisjoint((before, after))
        buffers[before] = buffers[after] = Buffer("now", before, before in loop.batched, in_place=True)
        if before not in in_place or not alternates:
            buffers[before] = Buffer("now", before, before in loop.batched, alternates)
            buffers[after] = Buffer("next", before, before in loop.batched, alternates)
    for before, after in zip(loop.time_sums, loop.time_sums_out, strict=True):
        buffers[before] = buffers[after] = Buffer("sum", before, before in loop.batched)
    for var in loop.inputs:
        if var not in buffers:
            buffers[var] = Buffer("varying" if var in time_varying else "const", var, var in loop.batched)
    return buffers


def _find_reuse(loop: Loop, phases: list[Phase], placed: Collection[Var], reusable: Collection[Var]) -> dict[Var, Var]:
    """Return for saved results the piece of a reusable input, read last by their own loop nest, to write them over."""
    last: dict[Var, object] = {}
    pieces_of: dict[Var, dict[Var, None]] = {}
    nests: dict[Var, LoopNest] = {}
    # A fused product of one block reads its operand after the loop nest of another block has written.
    for item in [item for phase in phases for item in (*phase.items, *phase.products, *phase.fused)]:
        for eqn in eqns_of(item):
            for var in eqn.reads:
                last[var] = item
                pieces_of.setdefault(loop.root(var), {})[var] = None
            if isinstance(item, LoopNest) and not summed_down(loop, eqn):  # which begins before all is read
                nests[eqn.result] = item
    parts = {part for eqn in loop.eqns if eqn.primitive.kind is OpKind.JOIN for part in eqn.operands}
    found: dict[Var, Var] = {}
    for source in reusable:
        splits = {_split_of(loop, piece) for piece in pieces_of.get(source, ())}
        if len(splits) != 1 or None in splits:
            continue
        free = [piece for piece in pieces_of[source] if piece not in loop.saved]
        for var in loop.saved:
            fits = [
                piece
                for piece in free
                if piece.aval == var.aval
                and (piece in loop.batched) == (var in loop.batched)
                and last[piece] is nests.get(var)
            ]
            if fits and var not in placed and var not in parts and var not in found:
                found[var] = fits[0]
                free.remove(fits[0])
    return found


def _split_of(loop: Loop, piece: Var) -> object:
    """Return what separates `piece` from the other pieces of its root: the root itself, or a view in pieces of it."""
    eqn = loop.producer.get(piece)
    if eqn is None:
        return piece
    return eqn if eqn.primitive.multiple and eqn.operands[0] not in loop.producer else None


def _of_results(loop: Loop, phases: list[Phase], saved: set[Var], placed: set[Var]) -> dict[Var, Buffer]:
    """Return the buffers of results that are saved, or read outside of the loop nest that computes them."""
    used, registers = _find_uses(loop, phases)
    fused = {eqn for phase in phases for eqn in phase.fused}
    concats = [eqn for eqn in loop.eqns if eqn.primitive.kind is OpKind.JOIN]
    placed = placed.union(
        *[eqn.operands for eqn in concats], *[e.results for e in loop.eqns if e.primitive.kind is OpKind.VIEW]
    )
    buffers = {}
    for eqn in loop.eqns:
        for var in eqn.results:
            members = [var, *(eqn.operands if eqn in concats else ())]
            is_saved = not saved.isdisjoint(members)
            if var in placed or (var in registers and not is_saved):
                continue
            one_phase = len(set().union(*[used.get(member, ()) for member in members])) == 1
            kind: Kind = "stack" if is_saved else "element" if one_phase and var in loop.batched else "batch"
            if eqn in fused:
                kind = "block"
            buffers[var] = Buffer(kind, var, var in loop.batched)
    return buffers


def _find_uses(loop: Loop, phases: list[Phase]) -> tuple[dict[Var, set[object]], set[Var]]:
    """Return in which phases each variable is written or read, and the variables that stay in registers.

    These never leave the loop nest that computes them, or are one number that loop nests of the same phase read.
    """
    used: dict[Var, set[object]] = {}
    registers: set[Var] = set()

    def mark(var: Var, phase: object) -> None:
        used.setdefault(var, set()).add(phase)
        eqn = loop.producer.get(var)
        if eqn is not None and is_layout(eqn):
            registers.difference_update(eqn.reads)
            for operand in eqn.reads:
                mark(operand, phase)

    for number, phase in enumerate(phases):
        scalars: set[Var] = set()
        for item in phase.items:
            eqns = eqns_of(item)
            inside: set[Var] = set()
            if isinstance(item, LoopNest):
                made = {eqn.result for eqn in eqns}
                registers |= made
                scalars |= {var for var in made if loop.is_scalar(var)}
                inside = made | scalars
            for eqn in eqns:
                registers.difference_update([var for var in eqn.reads if var not in inside])
                for var in (*eqn.results, *eqn.reads):
                    mark(var, number)
        for eqn in (*phase.products, *phase.fused):
            registers.difference_update(eqn.reads)
            for var in (*eqn.results, *eqn.reads):
                mark(var, ("product", number))
    return used, registers


def _lay_out(
    loop: Loop, buffers: dict[Var, Buffer], overwritten: dict[Var, Var], replayed: Mapping[Var, Layout]
) -> dict[Var, Layout]:
    """Return the layouts of all variables in memory."""
    layouts = {var: contiguous(buffer) for var, buffer in buffers.items()} | dict(replayed)
    for eqn in loop.eqns:
        if eqn.primitive.kind is OpKind.JOIN:
            layouts |= concatenated(loop, eqn, layouts[eqn.result])
    views = [eqn for eqn in loop.eqns if eqn.primitive.kind is OpKind.VIEW]
    for eqn in views:
        if eqn.operands[0] in layouts:
            layouts |= view(loop, eqn, layouts[eqn.operands[0]])
    layouts |= {var: layouts[piece] for var, piece in overwritten.items()}
    for eqn in views:
        if eqn.results[0] not in layouts:
            layouts |= view(loop, eqn, layouts[eqn.operands[0]])
    return layouts
