"""Matrix states that the backward loop computes again, instead of the forward loop saving them.

A cell with a matrix state, such as linear attention, reads vectors and updates matrices. Its matrices of all times are
most of what it would save, and computing them again from saved vectors takes less time than to write and to read them.
The backward loop does so for one batch element at a time, so that they stay in the cache::

    for each batch element:
        forward in time     S = f S + k vᵀ        from the saved f, k and v: the replay
        backward in time    dS, dk, dv ...        reads S at each time

What is replayed has no product with a weight and is not compared with a reduction (see `residuals`), and nothing
outside of the backward loop reads a replayed value.
"""

from __future__ import annotations

from dataclasses import replace

from ...ops.primitive import OpKind
from ..ir.check import check
from ..ir.step import Eqn, Stages, Step, Var, dependents, live
from ..passes.partition import is_cheap, partition
from ..passes.residuals import Saved, compared
from .arrange import arrange
from .batch_axis import hoist_unbatched, with_batch_axis

_IN_LOOP = {OpKind.ELEMENTWISE, OpKind.CAST, OpKind.VIEW, OpKind.JOIN, OpKind.REDUCTION}


class _NoReplayError(Exception):
    """The states cannot be computed again."""


def with_replay(forward: Step, saved: Saved) -> tuple[Saved, Stages] | None:
    """Return what is saved if states are replayed, and the stages of the backward step; None if there is no replay."""
    rank = max([var.ndim for var in forward.carry], default=0)
    recurrent = dependents(forward.eqns, forward.carry)
    outputs = {*forward.ys, *forward.sums}
    states = [var for var in saved.residuals if var not in outputs and var.ndim == rank]
    if rank < 3 or recurrent.isdisjoint(states) or any(x.ndim >= rank for x in forward.xs):
        return None
    if any(var.ndim == rank for var in compared(forward.eqns, saved.step.eqns)):
        return None
    small = [var for var in saved.residuals if var not in states]
    try:
        step, extra = _replay_step(forward, states, small)
    except _NoReplayError:
        return None
    replay = hoist_unbatched(partition(step, step.ys))
    if replay.after or not all(map(is_cheap, replay.during)):
        return None
    backward = replace(saved.step, xs=(*saved.step.xs, *[var for var in extra if var not in saved.step.xs]))
    stages = hoist_unbatched(partition(check(backward), replay=replay))
    outside = {var for eqn in (*stages.before, *stages.after) for var in eqn.reads}
    if not outside.isdisjoint(stages.replayed) or not all(map(is_cheap, stages.during)):
        return None
    if not _elements_are_apart(stages):
        return None
    stacked = (saved.stacked - set(states)) | set(extra)
    return Saved(backward, (*small, *extra), stacked), stages


def _elements_are_apart(stages: Stages) -> bool:
    """Return whether the loop and its replay handle the elements of a batch separately."""
    assert stages.replay is not None
    loops = [with_batch_axis(arrange(stages.replay)), with_batch_axis(arrange(stages, cuts_carry=True))]
    states = {*stages.replayed, *[after for loop in loops[:1] for after in loop.carry_out]}
    return all(
        loop.batched and loop.batched.issuperset(states.intersection([*loop.inputs, *loop.producer, *loop.carry]))
        for loop in loops
    )


def _replay_step(forward: Step, states: list[Var], small: list[Var]) -> tuple[Step, list[Var]]:
    """Return the step that computes `states` from what is `small`, and what has to be saved for it beside that."""
    producer = {result: eqn for eqn in forward.eqns for result in eqn.results}
    follows = dict(zip(forward.carry, forward.carry_out, strict=True))
    recurrent = dependents(forward.eqns, forward.carry)
    given = {*forward.consts, *forward.xs, *small}
    carried: dict[Var, None] = {}
    extra: dict[Var, None] = {}
    done: set[Var] = set()
    waiting = list(states)
    while waiting:
        var = waiting.pop()
        if var in done or var in given:
            continue
        done.add(var)
        if var in follows:
            carried[var] = None
            waiting.append(follows[var])
            continue
        eqn = producer[var]
        if is_cheap(eqn) and eqn.primitive.kind in _IN_LOOP:
            waiting += eqn.reads
        elif var in recurrent:
            raise _NoReplayError
        else:
            extra[var] = None
    given.update(extra)
    carry = tuple([var for var in forward.carry if var in carried])
    carry_out = tuple([follows[var] for var in carry])
    if any(var in given for var in (*carry, *carry_out)):
        raise _NoReplayError
    eqns: tuple[Eqn, ...] = _without(forward.eqns, given)
    ys = tuple([var for var in states if var not in carry])
    step = replace(
        forward,
        carry=carry,
        xs=(*forward.xs, *[var for var in given if var not in forward.consts and var not in forward.xs]),
        eqns=live(eqns, (*carry_out, *ys)),
        carry_out=carry_out,
        ys=ys,
        sums=(),
    )
    return check(step), list(extra)


def _without(eqns: tuple[Eqn, ...], given: set[Var]) -> tuple[Eqn, ...]:
    """Return the equations without those that compute only what is given; of the others results are renamed."""
    kept = []
    for eqn in eqns:
        if all(result in given for result in eqn.results):
            continue
        results = tuple([Var(result.aval) if result in given else result for result in eqn.results])
        kept.append(Eqn(eqn.primitive, eqn.operands, eqn.params, results))
    return tuple(kept)
