"""From the stages of a step to the source of its loop: all passes of the code generator in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...errors import CompileError
from ...ops.linear import matmul
from ..ir.step import Stages, Var
from .arrange import Loop, arrange, with_copy
from .batch_axis import with_batch_axis
from .buffers import assign_buffers, elements_apart
from .emit import Source, emit
from .fusion import fuse_products
from .layout import CopyNeededError, Layout
from .replay_loop import replay_loop
from .runtime_arguments import with_arguments
from .schedule import schedule


class LoopSource(NamedTuple):
    """A loop, where its variables are in memory, and its source."""

    loop: Loop
    layouts: Mapping[Var, Layout]
    source: Source


def loop_source(stages: Stages, time_varying: set[Var], history: set[Var], backward: bool) -> LoopSource:
    """Return the source of the loop of `stages`.

    Parameters
    ----------
    stages
        Whose `during` is the loop.
    time_varying
        The variables with one value per time.
    history
        The carries, before or after the step, whose values at all times are read after the loop.
    backward
        Whether windows cut the carry.

    Raises
    ------
    CompileError
        If the loop holds an operation that has no source.
    """
    loop = with_arguments(arrange(stages, cuts_carry=backward), stages)
    reusable = _reusable(stages, loop, history)
    history = {loop.renamed.get(var, var) for var in history}
    copies: set[Var] = set()
    while True:
        loop = with_batch_axis(loop)
        try:
            phases = fuse_products(loop, schedule(loop, constants=set(loop.inputs) - time_varying))
            replay = None if stages.replay is None else replay_loop(stages, time_varying)
            replayed = replay.replayed if replay else {}
            apart = replay is not None or elements_apart(loop, phases, history)
            layouts = assign_buffers(loop, phases, time_varying, history, reusable, replayed, apart)
            return LoopSource(loop, layouts, emit(loop, phases, layouts, backward, replay, apart))
        except CopyNeededError as missing:
            if missing.var in copies:
                raise CompileError(
                    f"scan: expected a step whose arrays can be laid out in memory, got {missing.eqn.primitive.name!r} "
                    f"of {missing.var.aval} in this one; report it, and pass compile=False."
                ) from None
            loop, copy = with_copy(loop, missing.eqn, missing.var)
            copies.add(copy)


def _reusable(stages: Stages, loop: Loop, history: set[Var]) -> list[Var]:
    """Return the products computed before the loop that only the loop reads: it may overwrite their memory."""
    others = {*[var for eqn in stages.before for var in eqn.reads], *history, *stages.saved}
    products = [eqn.result for eqn in stages.before if eqn.primitive is matmul]
    return [loop.renamed.get(var, var) for var in products if var not in others]
