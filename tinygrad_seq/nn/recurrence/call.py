"""One call of a recurrent layer: sort the sequences, then run each layer in each direction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...base.modes import Within, mode
from ...base.tree import Tree, describe, flatten, map_leaves
from ...errors import ShapeError
from ...ops.comparison import where
from ...ops.joining import concat
from ...ops.normalisation import dropout as drop
from ...ops.primitive import is_traced
from ..cell import Cell
from ..checks import check_given
from ..masks import Flags, Mask
from ..module.parameter import Buffer, Parameter
from .options import Options, joins
from .padding import hold_padding
from .passes import Outcome, Pass, run_pass, run_together
from .shrinking import reorder_rows, reorder_steps
from .trace_cache import is_library
from .transforms.inputs import Arrays, Leaves, per_row


class Call(NamedTuple):
    """Everything that one call of a layer needs besides its inputs and states.

    Attributes
    ----------
    caller
        The name of the layer in messages.
    passes
        The passes of layer 0, then those of layer 1 ...; `directions` (1 or 2) per layer.
    flags
        Which steps are valid, and where sequences begin.
    options, dropout, training
        The settings of the layer.
    nudges
        Zeros like the states, (T, N, ...) for each pass, if the call is observed: see `run_pass`.
    """

    caller: str
    passes: Sequence[Pass]
    directions: int
    flags: Flags
    options: Options
    dropout: float
    training: bool
    nudges: Sequence[Arrays] | None = None


def run_call(call: Call, xs: Leaves, states: Sequence[Tree]) -> tuple[Leaves, list[Outcome]]:
    """Return the outputs of the last layer, (T, N, ...), and the outcome of each pass.

    If finished sequences can leave the loop, the sequences are sorted by length for the run.

    Parameters
    ----------
    call
        The passes, flags and options.
    xs
        The inputs, (T, N, ...).
    states
        The state that each pass starts from, (N, ...).
    """
    lengths = call.flags.lengths
    return _run_layers(call, xs, states) if lengths is None or is_traced(lengths) else _run_sorted(call, xs, states)


def _run_sorted(call: Call, xs: Leaves, states: Sequence[Tree]) -> tuple[Leaves, list[Outcome]]:
    """Run the layers on rows sorted by length, or with a mask in place of lengths where the order must stay."""
    flags = call.flags
    assert flags.lengths is not None
    T, N = xs.arrays[0].shape[:2]
    if (
        call.nudges is not None
        or mode.anomaly
        or not isinstance(xs.arrays[0], Tensor)  # inside a step that is traced
        or any(_binds_rows(one.cell, N) for one in call.passes)
    ):
        return _run_layers(call._replace(flags=flags.with_mask(T)), xs, states)
    order = np.argsort(-flags.lengths, kind="stable")
    back = np.argsort(order)
    flags = Flags(flags.lengths[order], None, None if flags.reset is None else flags.reset[:, order])
    states = [reorder_rows(state, order) for state in states]
    ys, outcomes = _run_layers(call._replace(flags=flags), xs.map(lambda x: reorder_steps(x, order)), states)
    restored = [
        Outcome(one.ys, reorder_rows(one.state, back), map_leaves(lambda x: reorder_steps(x, back), one.states))
        for one in outcomes
    ]
    return ys.map(lambda y: reorder_steps(y, back)), restored


def _binds_rows(cell: Cell, N: int) -> bool:
    """Return whether a cell may read arrays with one entry per sequence, apart from the inputs of its step.

    A cell of this package reads only its attributes. Any other cell may read anything in its `forward`, such as a
    memory in an enclosing variable.
    """
    modules = list(cell.modules())
    if not all(map(is_library, modules)):
        return True
    held = flatten([vars(module) for module in modules])[0]
    return any(not isinstance(x, Parameter | Buffer) and getattr(x, "shape", ())[:1] == (N,) for x in held)


def _run_layers(call: Call, xs: Leaves, states: Sequence[Tree]) -> tuple[Leaves, list[Outcome]]:
    """Run the layers in order, each in all its directions."""
    options, count = call.options, call.directions
    T, N = xs.arrays[0].shape[:2]
    mask = call.flags.valid(T)
    if mask is not None and (options["residual"] or mode.anomaly):  # these read padding too
        xs = xs.map(lambda x: where(per_row(mask, x), x, np.zeros((), x.dtype)))
    if mode.anomaly:
        check_given([(one.place(k // count), one.cell) for k, one in enumerate(call.passes)], xs.tree())
    dropped = call.training and (call.dropout or options["variational_dropout"])
    outcomes: list[Outcome] = []
    for first in range(0, len(call.passes), count):
        inputs = xs.map(functools.partial(_drop_inputs, call, first > 0)) if dropped else xs
        running = []
        for k in range(first, first + count):
            one, nudges = call.passes[k], None if call.nudges is None else call.nudges[k]
            run = Within(one.place(first // count), N)(run_pass)
            running.append(run(one, inputs, states[k], call.flags, options, call.training, nudges))
        outcomes += run_together(running)
        ys = outcomes[first].ys
        if count == 2:
            ys = _merge(ys, outcomes[first + 1].ys, options["merge"])
        strict = first > 0 or count == len(call.passes)
        xs = add_residual(call.caller, xs, ys, strict, options, mask) if options["residual"] else ys
    return xs, outcomes


def _drop_inputs(call: Call, between: bool, x: Any) -> Any:
    """Return an input of a layer with elements dropped."""
    if x.dtype.kind != "f":
        return x
    if between and call.dropout:
        x = drop(x, call.dropout)
    if rate := call.options["variational_dropout"]:
        x = x * drop(zeros(x.shape[1:], x.dtype) + 1, rate)
    return x


def _merge(forward: Leaves, backward: Leaves, how: str | None) -> Leaves:
    """Merge the outputs of the two directions of a layer."""
    pairs = zip(forward.arrays, backward.arrays, strict=True)
    return Leaves([merge_outputs(*pair, how) for pair in pairs], forward.rebuild)


def merge_outputs(forward: Any, backward: Any, how: str | None) -> Any:
    """Merge an output of the two directions of a layer: Tensors or ndarrays."""
    if joins(how):
        return concat((forward, backward), -1)
    if how == "mul":
        return forward * backward
    return (forward + backward) * (0.5 if how == "mean" else 1)


def add_residual(
    caller: str, xs: Leaves, ys: Leaves, strict: bool, options: Options, mask: Mask | None = None
) -> Leaves:
    """Add a layer's inputs to its outputs; if the shapes differ, raise if `strict`, else return the outputs unchanged.

    Raises
    ------
    ShapeError
        If the shapes of inputs and outputs differ, and `strict`.
    """
    before = xs.arrays
    if mask is not None and options["masked_output"] == "held":
        before = hold_padding(before, mask, options["go_backwards"])
    if [x.shape for x in before] == [y.shape for y in ys.arrays]:
        return Leaves([x + y for x, y in zip(before, ys.arrays, strict=True)], ys.rebuild)
    if strict:
        raise ShapeError(
            f"{caller}: expected a residual layer whose output is like its input, got {describe(ys.tree())} from "
            f"{describe(xs.tree())}; give it equal sizes, or leave residual out."
        )
    return ys
