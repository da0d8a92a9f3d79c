"""One layer in one direction: runs the cell's step over time, with the layer's options."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...base.switches import current
from ...base.tree import Tree, first_leaf, flatten, map_leaves
from ...ops.comparison import where
from ...ops.indexing import take
from ...ops.joining import concat
from ...ops.linear import linear
from ...ops.primitive import is_traced
from ...ops.shape import broadcast_to
from ...scan import begin_scan, run_scans
from ...scan.eager import StepFunction
from ...scan.ir.trace import as_leaf
from ..cell import Cell, step_of_one
from ..init import uniform_
from ..masks import Flags, Mask
from ..module.module import in_precision
from ..module.parameter import Parameter
from ..module.reinitialise import reinitialise
from .options import TRANSFORMS, Options
from .padding import fill_padding, first_steps, hold_padding, send_zeros
from .shrinking import plan_segments, run_segments
from .trace_cache import step_of_cell
from .transforms.hold import hold
from .transforms.inputs import Arrays, Inputs, InputStep, Leaves, Outputs, per_row, take_steps
from .transforms.observe import observe
from .transforms.reset import find_restarts, restart
from .transforms.transform import Run

R = TypeVar("R")
Running = Generator[Any, tuple[Any, Any], R]
"""A function that yields each scan that it has begun (see `begin_scan`) and is sent the results of the scan."""


class Pass(NamedTuple):
    """One layer in one direction.

    Attributes
    ----------
    cell
        The cell to run.
    reverse
        Whether it runs from the last step to the first.
    learned
        The learned initial state of one sequence, without a batch axis; None to use the cell's own.
    projection
        (P, H), the matrix that multiplies the outputs; None for no projection.
    """

    cell: Cell
    reverse: bool
    learned: Tree
    projection: Parameter | None

    def place(self, layer: int) -> str:
        """Return the name of this pass in reports: ``LSTMCell, layer 1``; ``GRUCell, layer 0, backwards``."""
        return f"{type(self.cell).__name__}, layer {layer}{', backwards' if self.reverse else ''}"

    def initial_state(self, rows: int) -> Tree:
        """Return the initial state of `rows` sequences."""
        if self.learned is None:
            return self.cell.initial_state(rows)
        return map_leaves(lambda x: broadcast_to(x[None], (rows, *x.shape)), self.learned)

    def reinitialise(self, layer: str) -> None:
        """Re-initialise all parameters; a learned initial state is set to that of the cell."""
        reinitialise(layer, self.cell)
        if self.learned is not None:
            with no_grad():
                own = flatten(self.cell.initial_state(1))[0]
                for parameter, initial in zip(flatten(self.learned)[0], own, strict=True):
                    if isinstance(parameter, Parameter):
                        parameter.copy_(initial[0])
        if self.projection is not None:
            draw_projection(self.projection)


def learned_state(cell: Cell) -> Tree:
    """Return the initial state of one sequence, without a batch axis, as parameters of the cell's dtype."""

    def learned(x: Any) -> Any:
        return Parameter(x.numpy()[0], dtype=cell.dtype) if x.dtype.kind == "f" else x[0]

    return map_leaves(learned, cell.initial_state(1))


def draw_projection(projection: Parameter) -> Parameter:
    """Fill (P, H) uniform in ±1/sqrt(H)."""
    bound: float = projection.shape[1] ** -0.5
    return uniform_(projection, -bound, bound)


class Outcome(NamedTuple):
    """The results of a pass.

    Attributes
    ----------
    ys
        The outputs, (T, N, ...).
    state
        The last state, (N, ...), in the structure of the cell's state.
    states
        The states after all steps, (T, N, ...), if requested; otherwise None.
    tags
        The tagged values by name, (T, N, ...), if the pass was observed.
    """

    ys: Leaves
    state: Tree
    states: Tree = None
    tags: dict[str, Any] = {}  # noqa: RUF012 - never written to


def run_together(running: Sequence[Running[R]]) -> list[R]:
    """Run independent passes together: their scans run side by side, everything else in the given order."""
    found: dict[int, R] = {}
    sent: dict[int, Any] = dict.fromkeys(range(len(running)))
    while sent:
        begun: dict[int, Any] = {}
        for number, results in sent.items():
            try:
                begun[number] = running[number].send(results)
            except StopIteration as stop:
                found[number] = stop.value
        sent = dict(zip(begun, run_scans([*begun.values()]), strict=True))
    return [found[number] for number in range(len(running))]


def run_pass(
    one: Pass,
    xs: Leaves,
    state: Tree,
    flags: Flags,
    options: Options,
    training: bool,
    nudges: Arrays | None = None,
) -> Running[Outcome]:
    """Run a pass over `xs`, (T, N, ...), from `state`: a generator that `run_together` runs.

    If `flags` has lengths, the sequences are sorted by length, the longest first. With `nudges`, (T, N, ...) for
    each array of the state, the step is observed (see `observe`), and the outcome has states and tags.
    """
    recorder = current().recorder
    if recorder is not None and (found := recorder.run_pass(one, xs, state, flags, options)) is not None:
        return Outcome(*found)
    plain = nudges is None and not options["return_all_states"] and all(flag is None for flag in flags)
    if not (plain and xs.arrays[0].shape[0] and is_only_cell(one, options, training)):
        return (yield from _run_with_options(one, xs, state, flags, options, training, nudges))
    inputs = xs.tree()
    step = step_of_cell(one.cell) if isinstance(inputs, Tensor) else step_of_one(one.cell)
    last, ys = yield from _scan(step, state, inputs, one.reverse, options)
    return Outcome(Leaves.of(ys), last)


def _run_with_options(
    one: Pass,
    xs: Leaves,
    state: Tree,
    flags: Flags,
    options: Options,
    training: bool,
    nudges: Arrays | None,
) -> Running[Outcome]:
    """Run a pass whose step is more than its cell, or in which no step counts."""
    T = xs.arrays[0].shape[0]
    valid = flags.valid(T)
    runs = bool(T) if valid is None or is_traced(valid) else bool(valid.any())
    begin, rebuild = flatten(state)
    cell = _FlatStep(one.cell)
    cell.rebuild_state, cell.rebuild_x = rebuild, xs.rebuild
    varying: Inputs = {"x": xs.arrays}
    fixed: Inputs = {}
    step = _with_options(cell, one, flags, nudges, Run(one.cell, begin, options, training, varying, fixed))
    held = valid is not None and options["masked_output"] == "held"
    show = options["return_all_states"] or nudges is not None
    cut = runs and options["window"] is not None and valid is not None and not is_traced(valid)

    def run(state: Arrays, varying: Inputs, fixed: Inputs) -> Running[tuple[Arrays, Outputs]]:
        def step_of_scan(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
            state, outputs = step(state, inputs | fixed)
            return state, outputs._replace(states=state) if show or cut else outputs

        return (yield from _scan(step_of_scan, state, varying, one.reverse, options, held))

    if not runs:
        sources = [xs.arrays, *map(vars, one.cell.modules()), one.projection]
        last, outputs = yield from _run_no_step(run, begin, varying, fixed, sources)
    elif flags.lengths is None or is_traced(flags.lengths) or options["stride"] is not None:
        last, outputs = yield from run(begin, varying, fixed)
    else:
        segments = plan_segments(flags.lengths, T, options["window"], one.reverse, one.cell.count_parameters())
        steps = run_segments(run, segments, begin, varying, fixed, _outputs_of_ended, one.reverse, cut)
        last, outputs = yield from steps
    ys = outputs.y
    if held and valid is not None and not overlaps(options, T):
        ys = hold_padding(ys, valid, one.reverse, options["window"])
    if cut and valid is not None:
        last = _last_states(outputs.states, begin, valid, one.reverse)
    states = rebuild(outputs.states) if show else None
    return Outcome(Leaves(ys, cell.rebuild_y), rebuild(last), states, outputs.tags)


# ---------------------------------------------------------------------------------------------------- the step


def step_of_pass(one: Pass, options: Options) -> StepFunction:
    """Return the step ``(state, x) -> (state, y)`` of a pass that is not in training."""
    if is_only_cell(one, options, training=False):
        return step_of_one(one.cell)
    cell = _FlatStep(one.cell)
    run = Run(one.cell, flatten(one.cell.initial_state(1))[0], options, False, {}, {})
    with_output = _with_output(cell, one.projection, run)

    def step(state: Tree, x: Tree) -> tuple[Tree, Tree]:
        begin, xs = Leaves.of(state), Leaves.of(x)
        cell.rebuild_state, cell.rebuild_x = begin.rebuild, xs.rebuild
        new, outputs = with_output(begin.arrays, {"x": xs.arrays})
        return begin.rebuild(new), cell.rebuild_y(outputs.y)

    return step


class _FlatStep:
    """The step of a cell on lists of arrays.

    The structures `rebuild_state` and `rebuild_x` are set before it runs, `rebuild_y` when it runs.
    """

    rebuild_state: Callable[[Sequence[Any]], Tree]
    rebuild_x: Callable[[Sequence[Any]], Tree]
    rebuild_y: Callable[[Sequence[Any]], Tree]

    def __init__(self, cell: Cell) -> None:
        self._step = step_of_one(cell)

    def __call__(self, state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        new, y = self._step(self.rebuild_state(state), self.rebuild_x(inputs["x"]))
        ys, self.rebuild_y = flatten(y)
        return [as_leaf(x) for x in flatten(new)[0]], Outputs([as_leaf(y) for y in ys])


def _with_options(step: InputStep, one: Pass, flags: Flags, nudges: Arrays | None, run: Run) -> InputStep:
    """Return the step of a pass with all its options, whose inputs are added to those of the run."""
    step = _with_output(step, one.projection, run)
    valid = flags.valid(run.varying["x"][0].shape[0])
    if nudges is not None:
        step = observe(step)
        run.varying["nudges"] = nudges
    if flags.reset is not None:
        step = restart(step, flatten(one.initial_state(1))[0])
        run.varying["reset"] = find_restarts(flags.reset, valid, one.reverse)
    if valid is not None:
        step = hold(step)
        run.varying["mask"] = valid
        if is_traced(valid):  # no gradient reads padding
            run.fixed["begin"] = run.state
        else:
            _fill(run.varying, run.fixed, valid, run.state, one.reverse)
    return step


def _with_output(step: InputStep, projection: Parameter | None, run: Run) -> InputStep:
    """Return the step of a cell with the options at work and the projection of its output."""
    for transform in TRANSFORMS:
        if transform.is_active(run.options, run.training):
            step = transform.apply(step, run)
    if projection is None:
        return step

    def projected(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        state, outputs = step(state, inputs)
        return state, outputs._replace(y=[in_precision(run.cell, linear, y, projection) for y in outputs.y])

    return projected


def _fill(varying: Inputs, fixed: Inputs, valid: Mask, state: Arrays, reverse: bool) -> None:
    """Give masked steps the inputs of the first valid step: see `padding`."""
    varying["x"] = fill_padding(varying["x"], valid, reverse=reverse)
    fixed["begin"] = [array.detach() for array in state]
    empty = not valid.any(axis=0).all()
    if not valid.any() or not (empty or "reset" in varying):
        return
    sources, steps = first_steps(valid, reverse)
    if "reset" in varying:
        varying["reset"] = np.where(valid, varying["reset"], varying["reset"][steps, sources])
    if empty:  # a row without any step takes those of another row, and the factors of its dropout
        fixed.update(map_leaves(lambda array: take(array, sources, axis=0), fixed))


# ----------------------------------------------------------------------------------------------------- the run


def is_only_cell(one: Pass, options: Options, training: bool) -> bool:
    """Return whether the step of a pass is that of its cell, with neither a projection nor an option at work."""
    return one.projection is None and not any(each.is_active(options, training) for each in TRANSFORMS)


def _run_no_step(
    run: Any, state: Arrays, varying: Inputs, fixed: Inputs, sources: Tree
) -> Running[tuple[Arrays, Outputs]]:
    """Return the state unchanged and outputs of zeros; a backward pass sends zeros to `sources`."""
    T = varying["x"][0].shape[0]
    _, outputs = yield from run(state, map_leaves(lambda x: x[:0], varying), fixed)
    unchanged = [broadcast_to(x[None], (T, *x.shape)) for x in state] if outputs.states else []
    outputs = map_leaves(lambda y: zeros((T, *y.shape[1:]), y.dtype), outputs)._replace(states=unchanged)
    return send_zeros((state, outputs), flatten((sources, state))[0])


def _outputs_of_ended(outputs: Outputs, state: Arrays) -> Outputs:
    """Return the outputs of one step for finished sequences with the state `state`, structured like a segment's."""
    rows = state[0].shape[0]
    y = [zeros((rows, *y.shape[2:]), y.dtype) for y in outputs.y]
    return Outputs(y, states=state if outputs.states else [])


def _last_states(states: Arrays, begin: Arrays, valid: Mask, reverse: bool) -> Arrays:
    """Return the state after the last valid step of each sequence; no window cuts off its gradient."""
    rows, steps = first_steps(valid, not reverse)
    counts, places = valid.any(axis=0), steps * valid.shape[1] + rows

    found = [take_steps(array, places) for array in states]
    return [where(per_row(counts, last), last, first) for last, first in zip(found, begin, strict=True)]


def overlaps(options: Options, T: int) -> bool:
    """Return whether the windows of truncated backpropagation over T steps overlap."""
    window, stride = options["window"], options["stride"]
    return window is not None and stride not in (None, window) and window < T


def _scan(
    step: Any, carry: Tree, xs: Tree, reverse: bool, options: Options, held: bool = False
) -> Running[tuple[Any, Any]]:
    """Return the last carry and the outputs of a scan over `xs`, in overlapping windows if there is a stride.

    With `held` the outputs of overlapping windows are held where ``xs["mask"]`` is False; those of others are not.
    """
    if options["stride"] is not None and overlaps(options, first_leaf(xs).shape[0]):
        return (yield from _scan_overlapping(step, carry, xs, reverse, options, held))
    return (yield begin_scan(step, carry, xs, reverse=reverse, window=options["window"], remember=options["remember"]))


def _scan_overlapping(
    step: Any, carry: Tree, xs: Tree, reverse: bool, options: Options, held: bool
) -> Running[tuple[Any, Any]]:
    """Run one scan per stride; each begins up to a window before the end of its stride."""
    window, stride, remember = options["window"], options["stride"], options["remember"]
    assert window is not None
    assert stride is not None
    T = first_leaf(xs).shape[0]
    begins, parts = [carry], list[Tree]()
    for turn in range(-(-T // stride)):
        back, begin = max((turn + 1) * stride - window, 0), turn * stride
        end = min(begin + stride, T)
        first = begins[back // stride]
        first = map_leaves(Tensor.detach, first) if back else first
        inputs = _times(xs, T - end if reverse else back, T - back if reverse else end)
        carry, ys = yield begin_scan(step, first, inputs, reverse=reverse, remember=remember)
        if held:
            before = [y[0 if reverse else -1].detach() for y in parts[back // stride - 1].y] if back else None
            ys = ys._replace(y=hold_padding(ys.y, inputs["mask"], reverse, before=before))
        begins.append(carry)
        parts.append(_times(ys, 0 if reverse else begin - back, end - begin if reverse else end - back))
    columns = zip(*[flatten(part)[0] for part in (parts[::-1] if reverse else parts)], strict=True)
    return carry, flatten(parts[0])[1]([concat(column) for column in columns])


def _times(tree: Tree, start: int, stop: int) -> Tree:
    return map_leaves(lambda x: x[start:stop], tree)
