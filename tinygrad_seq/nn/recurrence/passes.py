"""One layer in one direction: the cell's step, with the options it was given, run over time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.creation import asarray, zeros, zeros_like
from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...base.tree import Tree, first_leaf, flatten, map_leaves
from ...ops.comparison import where
from ...ops.indexing import take
from ...ops.joining import concat
from ...ops.linear import linear
from ...ops.shape import broadcast_to, reshape
from ...scan import scan
from ...scan.eager import StepFunction
from ..cell import Cell, step_of_one
from ..init import uniform_
from ..masks import Flags, Mask
from ..module.parameter import Parameter
from ..module.reinitialise import redraw
from .options import Options
from .padding import fill_padding, first_steps, send_zeros, unchecked
from .shrinking import plan_segments, run_segments
from .trace_cache import step_of_cell
from .transforms import (
    Inputs,
    InputStep,
    check_zoneout,
    draw_drop_connect,
    draw_recurrent,
    draw_zoneout,
    drop_in_products,
    find_restarts,
    hold,
    observe,
    per_row,
    restart,
    with_states,
    zoneout,
)


class Pass(NamedTuple):
    """One layer in one direction.

    Attributes
    ----------
    cell
        Its cell.
    reverse
        Whether it goes from the last step to the first.
    first
        The learned first state of one row, without an axis for it; None where it is the cell's own.
    projection
        (P, H), what the outputs are multiplied with; None to leave them alone.
    """

    cell: Cell
    reverse: bool
    first: Tree
    projection: Parameter | None

    def place(self, layer: int) -> str:
        """Return how reports call this pass: ``LSTMCell, layer 1``; ``GRUCell, layer 0, backwards``."""
        return f"{type(self.cell).__name__}, layer {layer}{', backwards' if self.reverse else ''}"

    def initial_state(self, rows: int) -> Tree:
        """Return the state of `rows` sequences that the pass starts from."""
        if self.first is None:
            return self.cell.initial_state(rows)
        return map_leaves(lambda x: broadcast_to(x[None], (rows, *x.shape)), self.first)

    def redraw(self, layer: str) -> None:
        """Draw all parameters anew; a learned first state is the cell's own again."""
        redraw(layer, self.cell)
        if self.first is not None:
            with no_grad():
                for learned, own in zip(flatten(self.first)[0], flatten(self.cell.initial_state(1))[0], strict=True):
                    if isinstance(learned, Parameter):
                        learned.copy_(own[0])
        if self.projection is not None:
            draw_projection(self.projection)


def learned_state(cell: Cell) -> Tree:
    """Return the cell's own first state of one row, without an axis for it, as parameters of the cell's dtype."""

    def learned(x: Any) -> Any:
        return Parameter(x.numpy()[0], dtype=cell.dtype) if x.dtype.kind == "f" else x[0]

    return map_leaves(learned, cell.initial_state(1))


def draw_projection(projection: Parameter) -> Parameter:
    """Fill (P, H) uniform in ±1/sqrt(H)."""
    bound: float = projection.shape[1] ** -0.5
    return uniform_(projection, -bound, bound)


class Outcome(NamedTuple):
    """What a pass returns: the outputs (T, N, ...), the last state; if asked for, all states and tagged values."""

    ys: Tree
    state: Tree
    states: Tree
    tags: Tree = None


def step_of_pass(one: Pass, options: Options) -> StepFunction:
    """Return the step ``(state, x) -> (state, y)`` of a pass that is not in training."""
    step = _with_output(_input_step(one.cell), one, options, training=False)
    return lambda state, x: step(state, {"x": x})


def run_pass(
    one: Pass,
    xs: Tree,
    state: Tree,
    flags: Flags,
    options: Options,
    training: bool,
    nudges: Sequence[Any] | None = None,
) -> Outcome:
    """Return what a pass makes of `xs`, (T, N, ...), from `state`.

    If `flags` has lengths the rows are in their order, the longest first. With `nudges`, (T, N, ...) for each array of
    the state, the step is observed (see `observe`), and the outcome has states and tags.
    """
    T = first_leaf(xs).shape[0]
    valid = flags.valid(T)
    runs = bool(T) if valid is None else bool(valid.any())
    if runs and nudges is None and _is_bare(one, flags, options, training):
        bare = step_of_cell(one.cell) if isinstance(xs, Tensor) else step_of_one(one.cell)
        carry, ys = _run(bare, one.reverse, options, state, xs)
        return Outcome(ys, carry, None)
    over: Inputs = {"x": xs}
    rows: Inputs = {}
    step = _input_step(one.cell)
    if training:
        step = _drop(step, one, xs, state, options, rows)
        if any(rates := _rates(one, options)):
            over["zoneout"] = draw_zoneout(rates, T, state)
    step = _with_output(step, one, options, training)
    if nudges is not None:
        step = observe(step)
        over["nudges"] = nudges
    if flags.reset is not None:
        step = restart(step, one.initial_state(1))
        over["reset"] = find_restarts(flags.reset, valid, one.reverse)
    carry, held = state, valid is not None and options["masked_output"] == "held"
    if valid is not None:
        over["mask"] = valid
        _fill(over, rows, valid, state, one.reverse)
        if held:
            y = _zero_output(step, state, over, rows)
            carry = (state, y if nudges is None else y[0])
        step = hold(step, outputs=held, tagged=nudges is not None)
    cut = options["window"] is not None
    shown = options["return_all_states"] or nudges is not None or (cut and valid is not None)
    if shown:
        step = with_states(step)

    def run(carry: Tree, over: Inputs, rows: Inputs) -> tuple[Tree, Tree]:
        return _run(lambda carry, inputs: step(carry, inputs | rows), one.reverse, options, carry, over)

    if not runs:
        _, ys = run(carry, map_leaves(lambda x: x[:0], over), rows)
        ys = map_leaves(lambda y: zeros((T, *y.shape[1:]), y.dtype), ys[0] if shown else ys)
        held_by_cell = [vars(module) for module in one.cell.modules()]
        ys, carry = send_zeros((ys, carry), flatten((xs, state, held_by_cell, one.projection))[0])
        ys = (ys, map_leaves(lambda x: broadcast_to(x[None], (T, *x.shape)), carry)) if shown else ys
    elif flags.lengths is None or options["stride"] is not None:
        carry, ys = run(carry, over, rows)
    else:
        segments = plan_segments(flags.lengths, T, options["window"], one.reverse, one.cell.count_parameters())
        fill = functools.partial(_output_of_ended, held=held, shown=shown)
        carry, ys = run_segments(run, segments, carry, over, rows, fill, one.reverse, cut)
    ys, states = ys if shown else (ys, None)
    ys, tags = ys if nudges is not None else (ys, None)
    carry, states = (carry[0], states and states[0]) if held else (carry, states)
    if cut and runs and valid is not None:
        carry = _last_states(states, state, valid, one.reverse)
    return Outcome(ys, carry, states if options["return_all_states"] or nudges is not None else None, tags)


def _fill(over: Inputs, rows: Inputs, valid: Mask, state: Tree, reverse: bool) -> None:
    """Give the steps that do not count what the first step that does was given: see `padding`."""
    over["x"] = fill_padding(over["x"], valid, reverse=reverse)
    rows["begin"] = map_leaves(lambda leaf: leaf.detach(), state)
    empty = not valid.any(axis=0).all()
    if not valid.any() or not (empty or "reset" in over):
        return
    sources, steps = first_steps(valid, reverse)
    if "reset" in over:
        over["reset"] = np.where(valid, over["reset"], over["reset"][steps, sources])
    if empty:  # a row without any step takes those of another, with the factors of its dropout
        names = [name for name in ("begin", "recurrent") if name in rows]
        rows.update({name: map_leaves(lambda leaf: take(leaf, sources, axis=0), rows[name]) for name in names})


# ---------------------------------------------------------------------------------------------------- the step


def _is_bare(one: Pass, flags: Flags, options: Options, training: bool) -> bool:
    """Return whether a pass is the step of its cell and nothing else."""
    dropped = training and (options["drop_connect"] or options["recurrent_dropout"])
    return (
        one.projection is None
        and options["zoneout"] == 0
        and not (dropped or options["return_all_states"])
        and all(flag is None for flag in flags)
    )


def _input_step(cell: Cell) -> InputStep:
    step = step_of_one(cell)
    return lambda state, inputs: step(state, inputs["x"])


def _drop(step: InputStep, one: Pass, xs: Tree, state: Tree, options: Options, rows: Inputs) -> InputStep:
    """Return the step with dropout in the products that read the state; its masks go to `rows`."""
    if not (options["drop_connect"] or options["recurrent_dropout"]):
        return step
    name, x = type(one.cell).__name__, map_leaves(_first, xs)
    weights: Sequence[np.ndarray] = ()
    if options["drop_connect"]:
        weights = draw_drop_connect(name, step, state, x, options["drop_connect"])
    if options["recurrent_dropout"]:
        rows["recurrent"] = draw_recurrent(name, step, state, x, options["recurrent_dropout"])
    return drop_in_products(step, weights)


def _with_output(step: InputStep, one: Pass, options: Options, training: bool) -> InputStep:
    """Return the step with zoneout and the projection of its output."""
    rates, projection = _rates(one, options), one.projection
    if any(rates):
        step = zoneout(step, rates, training)
    if projection is None:
        return step

    def projected(state: Tree, inputs: Inputs) -> tuple[Tree, Tree]:
        state, y = step(state, inputs)
        return state, linear(y, projection)

    return projected


def _rates(one: Pass, options: Options) -> list[float]:
    """Return the rate of zoneout of each array of the state; none if there is no zoneout."""
    if options["zoneout"] == 0:
        return []
    return check_zoneout(type(one.cell).__name__, options["zoneout"], one.cell.initial_state(1))


def _zero_output(step: InputStep, state: Tree, over: Inputs, rows: Inputs) -> Tree:
    """Return zeros like an output of the step."""
    with unchecked():
        _, y = step(state, map_leaves(_first, over) | rows)
    return map_leaves(zeros_like, y)


def _first(xs: Any) -> Any:
    """Return the values of the first step; zeros if there is no step."""
    return asarray(xs[0]) if xs.shape[0] else zeros(xs.shape[1:], xs.dtype)


def _output_of_ended(ys: Tree, rest: Tree, *, held: bool, shown: bool) -> Tree:
    """Return the output of a step of rows that have ended: zeros, or the last one, which their carry `rest` holds."""
    rows = first_leaf(rest).shape[0]
    y = rest[1] if held else map_leaves(lambda y: zeros((rows, *y.shape[2:]), y.dtype), ys[0] if shown else ys)
    return (y, rest) if shown else y


def _last_states(states: Tree, begin: Tree, valid: Mask, reverse: bool) -> Tree:
    """Return the state after the last step that counts of each row, whose gradient no window cuts off."""
    rows, steps = first_steps(valid, not reverse)
    counts, places = valid.any(axis=0), steps * valid.shape[1] + rows

    def last(leaf: Any, first: Any) -> Any:
        found = take(reshape(leaf, (valid.size, *leaf.shape[2:])), places, axis=0)
        return where(per_row(counts, found), found, first)

    leaves, rebuild = flatten(states)
    return rebuild([last(*pair) for pair in zip(leaves, flatten(begin)[0], strict=True)])


# ----------------------------------------------------------------------------------------------------- the run


def _run(step: StepFunction, reverse: bool, options: Options, carry: Tree, over: Tree) -> tuple[Tree, Tree]:
    """Return the last carry and the outputs of a scan over `over`."""
    window, stride, remember = options["window"], options["stride"], options["remember"]
    T = first_leaf(over).shape[0]
    if window is None or stride in (None, window) or window >= T:
        return scan(step, carry, over, reverse=reverse, window=window, remember=remember)
    begins, parts = [carry], list[Tree]()
    for turn in range(-(-T // stride)):
        back, begin = max((turn + 1) * stride - window, 0), turn * stride
        end = min(begin + stride, T)
        first = begins[back // stride]
        first = map_leaves(Tensor.detach, first) if back else first
        inputs = _times(over, T - end if reverse else back, T - back if reverse else end)
        carry, ys = scan(step, first, inputs, reverse=reverse, remember=remember)
        begins.append(carry)
        parts.append(_times(ys, 0 if reverse else begin - back, end - begin if reverse else end - back))
    columns = zip(*[flatten(part)[0] for part in (parts[::-1] if reverse else parts)], strict=True)
    return carry, flatten(parts[0])[1]([concat(column) for column in columns])


def _times(tree: Tree, start: int, stop: int) -> Tree:
    return map_leaves(lambda x: x[start:stop], tree)
