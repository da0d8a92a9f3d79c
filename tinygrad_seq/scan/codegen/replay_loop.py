"""The loop that computes states again for the backward loop of one batch element (see `replay`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..ir.step import Stages, Var
from .arrange import Loop, arrange
from .batch_axis import with_batch_axis
from .buffers import assign_buffers
from .layout import Buffer, Kind, Layout
from .runtime_arguments import with_arguments
from .schedule import Phase, schedule

KINDS: Final[Mapping[Kind, Kind]] = {"now": "entering", "next": "leaving", "stack": "replayed"}
"""What becomes of the buffers of the replay: they hold all times, but one batch element."""


class Replay(NamedTuple):
    """The loop of a replay.

    Attributes
    ----------
    loop, phases, layouts
        The loop, its order, and where its variables are.
    replayed
        Where the backward loop finds what the replay stacked.
    first
        For the buffer of each carry, that of its value before the first time.
    """

    loop: Loop
    phases: list[Phase]
    layouts: Mapping[Var, Layout]
    replayed: Mapping[Var, Layout]
    first: Mapping[Buffer, Buffer]


def replay_loop(stages: Stages, time_varying: set[Var]) -> Replay:
    """Return the loop of the replay of `stages`; `time_varying` are the variables with one value per time.

    Raises
    ------
    CopyNeededError
        If a variable must be copied to be read in another shape.
    """
    replay = stages.replay
    assert replay is not None
    loop = with_batch_axis(with_arguments(arrange(replay), replay))
    history = {loop.renamed.get(var, var) for var in stages.replayed}
    phases = schedule(loop, constants=set(loop.inputs) - time_varying)
    layouts = assign_buffers(loop, phases, time_varying, history | set(loop.carry), ())
    of_element: dict[Buffer, Buffer] = {}

    def moved(layout: Layout) -> Layout:
        buffer = layout.buffer
        if buffer.kind not in KINDS:
            return layout
        own = of_element.setdefault(buffer, Buffer(KINDS[buffer.kind], buffer.var, buffer.batched))
        return layout._replace(buffer=own)

    layouts = {var: moved(layout) for var, layout in layouts.items()}
    found = {var: layouts[loop.renamed.get(var, var)] for var in stages.replayed}
    first = {layouts[var].buffer: Buffer("const", var, var in loop.batched) for var in loop.carry}
    return Replay(loop, phases, layouts, found, first)
