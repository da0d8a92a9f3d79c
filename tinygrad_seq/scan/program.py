"""A compiled scan: its plan, and how to run both directions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd.deferred import Deferred, complete
from ..autograd.tensor import Tensor
from ..kernels.allocator import keep_freed_memory
from ..ops.primitive import TABLE, Array
from .inspect.draw_stages import draw_stages
from .inspect.explain import explain
from .ir.step import Step, Var, evaluate, live
from .pipeline import compile_step
from .requires_grad import Flow, reaching
from .run.batched import Env
from .run.kept import FEW_ROWS, NO_STAMPS, Stamps, stamps_of
from .run.segments import Part, Remember, Run, parts_of, run_of
from .run.sums_of_calls import ProductSum
from .run.time_sums import Accumulator, sum_of_calls

_permute_dims = TABLE["permute_dims"]


class Program:
    """A step compiled once and run many times.

    Parameters
    ----------
    step
        As traced.
    wanted
        The inputs of the step whose gradients are wanted.
    once
        Whether all runs have one step.

    Attributes
    ----------
    normal
        The step that the gradient is of (see `Plan`).
    consts
        Those of its constants that a call computes, by `outer`.
    reached
        For each operand of a call whether gradient can flow from an output to it.
    flow
        Which outputs require grad.
    count
        The number of outputs, the last carry and the stacked outputs.
    forward, backward, gradient, residuals
        See `Plan`.
    """

    def __init__(self, step: Step, wanted: Collection[Var], once: bool = False) -> None:
        keep_freed_memory()
        self.traced = step
        self._plan = plan = compile_step(step, wanted, once=once)
        self.normal, self.gradient, self.residuals = plan.normal, plan.gradient, plan.residuals
        self.forward, self.backward = plan.forward, plan.backward
        self.consts = tuple([var for var in plan.normal.consts if var not in plan.normal.constants])
        # A weight that is read transposed is passed untransposed: a transpose here is free, on the tape it is a node.
        transposes = {eqn.result: eqn for eqn in plan.invariants if eqn.primitive is _permute_dims}
        self._given = tuple([transposes[var].operands[0] if var in transposes else var for var in self.consts])
        axes = [transposes[var].params["axes"] if var in transposes else None for var in self.consts]
        self._turned = [(at, each) for at, each in enumerate(axes) if each is not None]
        self._invariants = live(plan.invariants, self._given)
        self._constants = {**plan.forward.step.constants, **(plan.backward.step.constants if plan.backward else {})}
        reached = reaching(plan.normal).difference(step.arguments)
        self.reached = [var in reached for var in (*self.consts, *step.carry, *step.xs)]
        self._shapes = [var.shape for var in step.carry]
        self.count = len(plan.normal.carry) + len(plan.normal.ys)
        self.flow = Flow(plan.normal, plan.wanted)
        directions = [direction for direction in (plan.forward, plan.backward) if direction is not None]
        precisions = {eqn.params.get("precision", "float32") for each in directions for eqn in each.step.eqns}
        packs = any(each.kernel is not None and each.kernel.panels for each in directions)
        self._keeps = not once or packs or precisions != {"float32"}
        self._is_int8 = any(eqn.params.get("precision") == "int8" for eqn in plan.forward.step.eqns)
        self._carries = [step.carry.index(var) for var in plan.gradient.carries] if plan.gradient else []

    def explain(self, T: int | None = None, remember: Remember = "all") -> str:
        """Return as text the stages of both directions, the residuals, what is rematerialised, the work and the source.

        Parameters
        ----------
        T
            The number of steps, if the memory of a run is to be shown too.
        remember
            As in `scan`.
        """
        return explain(self._plan, None if T is None else run_of(T, reverse=False, window=None, remember=remember))

    def draw(self, limit: int = 200) -> str:
        """Return the stages of both directions as a graph in DOT, with at most `limit` operations per stage."""
        return draw_stages(self._plan, limit)

    # ------------------------------------------------------------------------------------------------------ running

    def outer(self, objects: Sequence[Any]) -> list[Any]:
        """Return what is handed over as constants, computed from those that were traced: Tensors are recorded."""
        env = dict(zip(self.traced.consts, objects, strict=True)) | dict(self.normal.constants)
        evaluate(self._invariants, env)
        return [env[var] for var in self._given]

    def constants(self, objects: Sequence[Any]) -> Env:
        """Return the constants of the loop, computed from those that were traced."""
        given = [x._frozen() if isinstance(x, Tensor) else x for x in self.outer(objects)]
        return {**self._constants, **dict(zip(self.consts, self.transposed(given), strict=True))}

    def transposed(self, given: Sequence[Array]) -> list[Array]:
        """Return the constants of the loop, arrays of any kind, from what was handed over."""
        found = list(given)
        for at, axes in self._turned:
            found[at] = found[at].transpose(axes)
        return found

    def seconds(self, run: Run, backward: bool = False) -> float:
        """Return roughly how long the loop of a run takes on one thread, in machine code."""
        direction = self.backward if backward else self.forward
        return 0.0 if direction is None or direction.kernel is None else direction.kernel.seconds_of(run.T)

    def stamps(self, operands: Sequence[Any], run: Run, train: bool) -> Stamps:
        """Return the stamps of the constants among the operands of a call, if it multiplies them with few rows.

        Those of an int8 step do not change and are small: they are kept in any case.
        """
        kernel = self.forward.kernel
        if kernel is None or not self._keeps or (FEW_ROWS[train] < run.T * self.forward.rows and not self._is_int8):
            return NO_STAMPS
        return stamps_of(operands[: len(self.consts)])

    def run_forward(
        self, arrays: Sequence[np.ndarray], run: Run, train: bool, stamps: Stamps = NO_STAMPS
    ) -> tuple[np.ndarray, ...]:
        """Return the last carry, the stacked outputs and, to `train`, what is saved for the backward run.

        That is the residuals, or in several segments the carry with which each began.
        """
        consts, carry, xs = self._sorted(arrays)
        step, parts = self.forward.step, parts_of(run)
        saved = [np.empty((len(parts), *var.shape), var.dtype) for var in step.carry] if len(parts) > 1 else None
        ys: Env = {}
        for number, part in enumerate(parts):
            for border, value in zip(saved or (), carry, strict=False):
                border[number] = value
            env = self._values(consts, _cut(xs, part, run.T))
            carry = self.forward.run(env, carry, part.run, stamps)
            _store(ys, zip(step.ys, self.forward.outputs(env, part.run.T), strict=True), part, run.T)
        if saved is None:
            saved = [env[var] for var in self.residuals]
        return (*carry, *[ys[y] for y in step.ys], *(saved if train else ()))

    def pull_back(
        self,
        cotangents: Sequence[np.ndarray],
        arrays: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        run: Run,
        stamps: Stamps = NO_STAMPS,
    ) -> list[np.ndarray | Deferred | None]:
        """Return the cotangent of each of `arrays`, None where none flows; those of matrices may be `Deferred`."""
        gradient, direction = self.gradient, self.backward
        assert gradient is not None
        assert direction is not None
        consts, carry, xs = self._sorted(arrays)
        forward, parts = self.forward.step, parts_of(run)
        count = len(forward.carry)
        saved, of_ys = outputs[count + len(forward.ys) :], [cotangents[count + at] for at in gradient.outputs]
        last: Sequence[np.ndarray] = [reshaped(cotangents[at], forward.carry[at].shape) for at in self._carries]
        blocks = direction.blocks(run.T)
        later, groups = direction.sums_in(run)
        sums = [Accumulator(group, run.reverse) for group in groups]
        of_blocks = [total for total in sums if any(map(direction.adds_blocks, total.plans))] if blocks else []
        found: dict[Var, Any] = {}
        for number, part in reversed(tuple(enumerate(parts))):
            env = self._values(consts, _cut(xs, part, run.T))
            residuals = saved if len(parts) == 1 else self._rematerialise(env, [x[number] for x in saved], part)
            env.update(zip(self.residuals, residuals, strict=True))
            if direction.stages.replay is not None:
                begin = dict(zip(forward.carry, carry if len(parts) == 1 else [x[number] for x in saved], strict=True))
                env.update({var: begin[var] for var in direction.stages.replay.step.carry})
            env.update(zip(direction.step.xs, _cut(of_ys, part, run.T), strict=False))
            env.update(blocks)
            last = direction.run(env, last, part.run, stamps)
            _store(found, zip(gradient.inputs, direction.outputs(env, part.run.T), strict=True), part, run.T)
            for total in sums:
                if total not in of_blocks:
                    total.add(env, last=not number)
            if number:
                del env, residuals  # before the next segment takes as much
        for total in of_blocks:
            total.add(blocks, last=True)
        found.update(zip(gradient.carries, last, strict=True))
        plans = direction.time_sums
        summed = dict(pair for total in sums for pair in total.results())
        rest: list[Any] = [  # what waits takes over the terms of others, so each leaf has one of its own
            sum_of_calls(var, plans[var], env, run.reverse) if var in later else summed[var]
            for var in direction.step.sums
        ]
        position = 0
        for var, terms in gradient.consts:
            if terms:
                found[var] = sum(rest[position + 1 : position + terms], rest[position])
            position += terms
        back = [*map(found.get, self.consts)]
        for at, axes in self._turned:
            back[at] = _turned_back(back[at], axes)
        given = arrays[len(self.consts) : len(self.consts) + count]
        of_carry = [
            reshaped(found[v], x.shape) if v in found else None for v, x in zip(forward.carry, given, strict=True)
        ]
        return [*back, *of_carry, *map(found.get, forward.xs)]

    def _rematerialise(self, env: Env, carry: Sequence[np.ndarray], part: Part) -> list[np.ndarray]:
        """Return the residuals of a segment that began with `carry`."""
        again = dict(env)
        self.forward.run(again, carry, part.run)
        return [again[var] for var in self.residuals]

    def _values(self, consts: Sequence[np.ndarray], xs: Sequence[np.ndarray]) -> Env:
        """Return the values before a run, by variable."""
        env = dict(self._constants)
        env.update(zip(self.consts, consts, strict=True))
        env.update(zip(self.forward.step.xs, xs, strict=True))
        return env

    def _sorted(self, arrays: Sequence[np.ndarray]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        a, b = len(self.consts), len(self.consts) + len(self.traced.carry)
        carry = [*map(reshaped, arrays[a:b], self._shapes)]
        return self.transposed(arrays[:a]), carry, arrays[b:]


def reshaped(x: Array, shape: tuple[int, ...]) -> Array:
    """Return a part of the carry with or without an axis of size 1 in front."""
    return x if x.shape == shape else x.reshape(shape)


def _turned_back(g: np.ndarray | Deferred | None, axes: tuple[int, ...]) -> np.ndarray | Deferred | None:
    """Return the cotangent of an array whose axes were permuted."""
    if isinstance(g, ProductSum) and axes == (1, 0):
        return g.transposed()
    return None if g is None else complete(g).transpose(np.argsort(axes))


def _cut(arrays: Sequence[np.ndarray], part: Part, T: int) -> Sequence[np.ndarray]:
    """Return the values of a segment of arrays over all `T` steps."""
    return arrays if part.run.T == T else [x[part.times] for x in arrays]


def _store(arrays: Env, values: Iterable[tuple[Var, np.ndarray]], part: Part, T: int) -> None:
    """Put the values of a segment into arrays over all `T` steps; a single segment needs no copy."""
    for var, value in values:
        if part.run.T == T:
            arrays[var] = value
        else:
            if var not in arrays:
                arrays[var] = np.empty((T, *var.shape), var.dtype)
            arrays[var][part.times] = value
