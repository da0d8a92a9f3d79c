"""A scan as one operation of the tape: trace the step, find or make its program, run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..autograd.deferred import complete
from ..autograd.tape import Node, Output
from ..autograd.tensor import Tensor, attach, record, refuse_quantised, wrap
from ..autograd.transforms.checkpointing import frozen
from ..autograd.transforms.level import Level
from ..base.modes import fresh_quiet, mode, quiet
from ..base.switches import current
from ..base.tree import Tree, flatten
from ..kernels.pool import pays_off, side_by_side
from ..ops.joining import unstack
from ..ops.primitive import Array, Primitive
from .eager import StepFunction, pair, unroll
from .ir.leaves import alike, difference, stack_leaves
from .ir.retrace import Rebuild, Traced, Walk, root_of
from .ir.step import Aval, Step, Var, evaluate
from .ir.trace import Trace, Tracer, as_leaf
from .program import Program, reshaped
from .repeated import SteadyStep
from .run.kept import NO_STAMPS, Stamps
from .run.segments import Run
from .variants import compiled_of


class Call(NamedTuple):
    """A scan that is ready to run.

    Attributes
    ----------
    program
        That of its step.
    operands
        Constants, carry and inputs, as the program takes them.
    run
        The options of the call.
    train
        Whether gradients are wanted.
    stamps
        Of the constants whose packed forms are kept.
    rebuild
        Returns ``(carry, ys)`` as trees, of a flat list of them.
    lead
        Whether the last carry gets an axis of size 1 in front. The first carry may have one in any case.
    """

    program: Program
    operands: list[Any]
    run: Run
    train: bool
    stamps: Stamps
    rebuild: Callable[[Sequence[Any]], tuple[Tree, Tree]]
    lead: bool = False


def run_calls(calls: Sequence[Call]) -> list[tuple[Tree, Tree]]:
    """Return what `scan` returns for each of several scans, which run side by side, and are recorded in order."""
    if len(calls) > 1 and pays_off([call.program.seconds(call.run) for call in calls]):
        calls = [call._replace(operands=[*map(frozen, call.operands)]) for call in calls]
        results = side_by_side([partial(_computed, call) for call in calls])
        return [*map(_recorded, calls, results)]
    return [*map(_recorded, calls)]


def _computed(call: Call) -> tuple[np.ndarray, ...]:
    arrays = [x._array if isinstance(x, Tensor) else x for x in call.operands]
    return quiet().run(call.program.run_forward, arrays, call.run, call.train, call.stamps)


def _recorded(call: Call, result: tuple[np.ndarray, ...] | None = None) -> tuple[Tree, Tree]:
    """Run a scan, unless its `result` is there, and leave a node if gradients are wanted.

    It does what `record` does, but the residuals, which nobody sees, are no outputs of the node.
    """
    arrays: list[Any] = []
    parents: list[Any] = []
    flowing = bare = False
    for x in call.operands:
        source = None
        if isinstance(x, Tensor):
            arrays.append(x._frozen() if x._exposed else x._array)
            if x._requires_grad:
                source, flowing = (x if x._source is None else x._source), True
        else:
            arrays.append(x)
            bare = True
        parents.append(source)
    program, run, train = call.program, call.run, call.train
    if result is None:
        result = fresh_quiet().run(program.run_forward, arrays, run, train, call.stamps)
    count = len(program.normal.carry)
    last, ys = result[:count], result[count : program.count]
    outputs = [*[part[None] for part in last], *ys] if call.lead else [*last, *ys]
    if not (train and flowing and mode.recording):
        return call.rebuild([wrap(part) for part in outputs])
    refuse_quantised(current())
    if bare:  # they belong to the caller
        arrays = [x if isinstance(given, Tensor) else x.copy() for x, given in zip(arrays, call.operands, strict=True)]
    params = {"program": program, "run": run, "train": train, "stamps": call.stamps}
    shapes, dtypes = tuple([part.shape for part in outputs]), tuple([part.dtype for part in outputs])
    node = Node(_scan, params, parents, arrays, result, shapes, dtypes)
    constant = program.flow.constant_outputs(run)
    return call.rebuild(
        [
            attach(part, None if slot in constant or part.dtype.kind != "f" else Output(node, slot))
            for slot, part in enumerate(outputs)
        ]
    )


def trace_step(function: StepFunction, carry: Tree, rebuild_x: Rebuild, x: Sequence[Aval]) -> Traced:
    """Return what a step does to a carry like `carry` and to inputs of the shapes and dtypes `x`.

    Raises
    ------
    CompileError
        If it reads a value or draws random numbers.
    """
    init, rebuild_init = flatten(carry)
    root = root_of(tuple([Aval(leaf.shape, leaf.dtype) for leaf in init]), tuple(x))
    walk = Walk(root)
    entered = rebuild_init([Tracer(walk, var) for var in root.carry])
    with Trace():
        carry_out, y = pair(function(entered, rebuild_x([Tracer(walk, var) for var in root.xs])))
    carry_leaves, rebuild_carry = flatten(carry_out)
    y_leaves, rebuild_y = flatten(y)
    carry_leaves = [as_leaf(leaf) for leaf in carry_leaves]
    carry_out = rebuild_carry(carry_leaves)
    if not alike(entered, carry_out):
        raise difference("carry", "entered", "left the step", carry, carry_out, "pass init")
    left = tuple([_var(walk, leaf) for leaf in carry_leaves])
    stacked = tuple([_var(walk, as_leaf(leaf)) for leaf in y_leaves])
    template = walk.step(left, stacked)
    return Traced(template, tuple(walk.numbers), list(walk.constants.values()), rebuild_carry, rebuild_y)


def traced_of(function: StepFunction, carry: Tree, rebuild_x: Rebuild, x: Sequence[Aval]) -> Traced:
    """Return what `trace_step` returns, from an earlier call if the step is a `SteadyStep`."""
    if not isinstance(function, SteadyStep):
        return trace_step(function, carry, rebuild_x, x)
    return function.traces.find(flatten(carry)[0], x, lambda: trace_step(function, carry, rebuild_x, x))


def program_for(traced: Traced, wants: tuple[bool, ...], T: int) -> tuple[Program, list[np.ndarray]]:
    """Return the program of a traced step, and its runtime arguments, for runs like one over T steps.

    `wants` says which inputs want a gradient. One step of one batch element has a program of its own.
    """
    inputs, carry = traced.template.inputs, traced.template.carry
    once = T == 1 and any(wants) and bool(carry) and all(var.shape[:1] == (1,) for var in carry)

    def compile(step: Step) -> Program:
        return Program(step, {var for var, want in zip(inputs, wants, strict=True) if want}, once)

    return compiled_of(traced, (wants, once), compile)


class Planned(NamedTuple):
    """A scan traced and compiled: what calls have in common whose operands have the same shapes and wants.

    Attributes
    ----------
    traced
        The step.
    program, arguments
        See `program_for`.
    train
        Whether gradients are wanted.
    """

    traced: Traced
    program: Program
    arguments: list[np.ndarray]
    train: bool

    def call(self, init: Sequence[Any], xs: Sequence[Any], run: Run, lead: bool = False) -> Call:
        """Return the scan ready to run, for T >= 1; `init` and `xs` are the leaves of the carry and of the inputs.

        See `Call` for `lead`.
        """
        program, traced = self.program, self.traced
        operands = [*program.outer([*traced.objects, *self.arguments]), *init, *xs]
        reached = [x if reaches else _cut_off(x) for x, reaches in zip(operands, program.reached, strict=True)]
        count = len(init)
        return Call(
            program,
            reached,
            run,
            self.train,
            program.stamps(reached, run, self.train),
            lambda flat: (traced.rebuild_carry(flat[:count]), traced.rebuild_y(flat[count:])),
            lead,
        )


def plan(function: StepFunction, carry: Tree, xs: Sequence[Any], rebuild_x: Rebuild, T: int) -> Planned:
    """Return a scan over T steps traced and compiled; `rebuild_x` makes the inputs of a step of leaves like `xs`.

    Raises
    ------
    CompileError
        If the step cannot be compiled.
    """
    init = flatten(carry)[0]
    traced = traced_of(function, carry, rebuild_x, [Aval(leaf.shape[1:], leaf.dtype) for leaf in xs])
    recording = mode.recording
    leaves = (*traced.objects, *init, *xs)
    wants = tuple([recording and isinstance(leaf, Tensor) and leaf._requires_grad for leaf in leaves])
    return Planned(traced, *program_for(traced, wants, T), any(wants))


def prepare(function: StepFunction, carry: Tree, xs: Sequence[Tensor], rebuild_x: Rebuild, run: Run) -> Call:
    """Return a scan traced, compiled and with its operands, for T >= 1; see `plan`."""
    return plan(function, carry, xs, rebuild_x, run.T).call(flatten(carry)[0], xs, run)


def _cut_off(x: Any) -> Any:
    """Return an operand that no gradient is to reach as a Tensor that wants none."""
    return x.detach() if isinstance(x, Tensor) else x


def _var(walk: Walk, leaf: Any) -> Var:
    return leaf._var if leaf.__class__ is Tracer else walk.constant(leaf)


# ------------------------------------------------------------------------------------------ the operation on the tape


def _forward(*arrays: np.ndarray, program: Program, run: Run, train: bool, stamps: Stamps) -> tuple[np.ndarray, ...]:
    return program.run_forward(arrays, run, train, stamps)


def _rule(
    gs: Sequence[Array],
    ys: Sequence[Array],
    *xs: Array,
    program: Program,
    run: Run,
    stamps: Stamps = NO_STAMPS,
    train: bool = True,  # noqa: ARG001
) -> Any:
    if any(isinstance(x, Tensor) for x in (*gs, *xs)):
        operands = (*map(_tensor, gs), *map(_cut_off, map(_tensor, ys)), *map(_tensor, xs))
        found = record(_scan_gradient, operands, {"program": program, "run": run, "count": len(gs) + len(ys)})
        by_position = dict(zip(_reached(program), found, strict=True))
        return [by_position.get(position) for position in range(len(xs))]
    found = program.pull_back(gs, xs, ys, run, stamps)
    return [np.zeros(x.shape, x.dtype) if g is None else g for g, x in zip(found, xs, strict=True)]


def _reached(program: Program) -> list[int]:
    return [position for position, reaches in enumerate(program.reached) if reaches]


def _tensor(x: Array) -> Tensor:
    return x if isinstance(x, Tensor) else wrap(x)


_scan = Primitive("scan", _forward, _rule, multiple=True)
_scan.seconds = lambda program, run, **_: program.seconds(run, backward=True)


# ------------------------------------------------------------------------------ its gradient, as another operation


def _gradient(*arrays: np.ndarray, program: Program, run: Run, count: int) -> tuple[np.ndarray, ...]:
    """Return the cotangents of the operands of a scan that are reached.

    Takes the cotangents of its results, the results with the residuals, `count` in all, and the operands.
    """
    gs, ys, xs = arrays[: program.count], arrays[program.count : count], arrays[count:]
    found = _rule(gs, ys, *xs, program=program, run=run)
    return tuple([complete(found[position]) for position in _reached(program)])


def _gradient_rule(hs: Sequence[Array], _y: None, *xs: Array, program: Program, run: Run, count: int) -> list[Any]:
    """Differentiate the gradient once more: that of the unrolled steps."""
    operands = list(map(_tensor, xs))
    through = [*range(program.count), *[count + position for position in _reached(program)]]
    through = [position for position in through if operands[position].dtype.kind == "f"]
    level = Level("scan", [operands[position] for position in through])

    def gradient(*leaves: Tensor) -> list[Tensor]:
        values = list(operands)
        for position, leaf in zip(through, leaves, strict=True):
            values[position] = leaf
        return _unrolled_gradient(values[: program.count], values[count:], program, run)

    pairs = [(part, h) for part, h in zip(level.apply(gradient), hs, strict=True) if not _is_constant_zero(h)]
    found = dict(zip(through, level.pull_back([part for part, _ in pairs], [h for _, h in pairs]), strict=True))
    parts = [found.get(position) for position in range(len(xs))]
    if any(isinstance(h, Tensor) for h in hs):
        return parts
    return [None if part is None else part._frozen() for part in parts]


def _is_constant_zero(h: Array) -> bool:
    """Return whether a cotangent stands for none: times an infinite slope it would be NaN."""
    return not (isinstance(h, Tensor) and h.requires_grad) and not np.any(_tensor(h)._frozen())


def _unrolled_gradient(gs: Sequence[Tensor], xs: Sequence[Tensor], program: Program, run: Run) -> list[Tensor]:
    reached = _reached(program)
    level = Level("scan", [xs[position] for position in reached])

    def unrolled(*leaves: Tensor) -> list[Tensor]:
        operands = list(xs)
        for position, leaf in zip(reached, leaves, strict=True):
            operands[position] = leaf
        return _unroll(operands, program, run)

    outputs = level.apply(unrolled)
    return level.pull_back(outputs, [reshaped(g, y.shape) for g, y in zip(gs, outputs, strict=True)])


def _unroll(operands: Sequence[Tensor], program: Program, run: Run) -> list[Tensor]:
    """Return the last carry and the outputs of the steps, each of them run and recorded by itself."""
    step = program.normal
    a, b = len(program.consts), len(program.consts) + len(step.carry)
    constants = {**step.constants, **dict(zip(program.consts, program.transposed(operands[:a]), strict=True))}

    def one(carry: Tree, x: Tree) -> tuple[Tree, Tree]:
        env = constants | dict(zip((*step.carry, *step.xs), (*carry, *x), strict=True))
        evaluate(step.eqns, env)
        return [env[var] for var in step.carry_out], [env[var] for var in step.ys]

    rows = list(zip(*map(unstack, operands[b:]), strict=True)) if step.xs else [()] * run.T
    carry = [reshaped(x, var.shape) for x, var in zip(operands[a:b], step.carry, strict=True)]
    carry, ys = unroll(one, carry, rows[::-1] if run.reverse else rows, run.window)
    return [*carry, *stack_leaves(ys[::-1] if run.reverse else ys)]


_scan_gradient = Primitive("scan_gradient", _gradient, _gradient_rule, multiple=True)
