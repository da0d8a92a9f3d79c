"""Dropout in products of the state with a matrix: recurrent dropout and DropConnect, for any cell.

The step is traced and run with two values of the state and each part of it: the plain one, and one with dropped
elements, which only products with matrices read. The term that a gated cell carries over, ``z * h``, is not dropped::

    state h ──┬────────────────► z * h          plain
              └─► h * mask ────► [·; x] @ W     dropped
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....autograd.creation import zeros
from ....autograd.tagging import tag
from ....base import settings
from ....base.tree import Tree
from ....errors import ArgumentError, CompileError
from ....ops.arithmetic import multiply
from ....ops.primitive import OpKind
from ....scan.ir.step import Eqn, Var, evaluate
from ...checks import check_probability
from .equations import Written, write_down
from .inputs import Arrays, Inputs, InputStep, Outputs
from .transform import Run, Transform


def drop_in_products(step: InputStep, weights: Sequence[np.ndarray] = ()) -> InputStep:
    """Return a step whose products with matrices read the state and the weights with elements dropped.

    ``inputs["recurrent"]``, if there, has a factor for each array of the state; `weights`, if not empty, has one for
    each weight that multiplies the state (see `draw_drop_connect`).
    """
    known: dict[Any, Written] = {}

    def dropping(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        x = inputs["x"]
        key = tuple([(array.shape, array.dtype) for array in (*state, *x)])
        if key not in known:
            known[key] = _write_down(step, state, x)
        traced, tags = known[key]
        inner = traced.step
        plain = dict(zip(inner.consts, traced.objects, strict=True))
        plain.update(zip((*inner.carry, *inner.xs), (*state, *x), strict=True))
        factors = inputs.get("recurrent", [None] * len(state))
        dropped = {
            var: array if factor is None else array * factor
            for var, array, factor in zip(inner.carry, state, factors, strict=True)
        }
        masks = iter(weights)

        def apply(eqn: Eqn, operands: list[Any]) -> Sequence[Any]:
            touched = any(operand in dropped for operand in eqn.reads)
            thinned = [dropped.get(o, value) for o, value in zip(eqn.operands, operands, strict=True)]
            if touched and _is_product(eqn):
                for position in _weights(eqn, inner.consts) if weights else ():
                    thinned[position] = thinned[position] * next(masks)
                return eqn.apply(thinned)
            if touched and _passes(eqn):
                dropped.update(zip(eqn.results, eqn.apply(thinned), strict=True))
            return eqn.apply(operands)

        evaluate(inner.eqns, plain, apply)
        for name, x in tags.items():
            tag(plain[x] if x.__class__ is Var else x, name)
        return [plain[var] for var in inner.carry_out], traced.rebuild_y([plain[var] for var in inner.ys])

    return dropping


def draw_recurrent(cell: str, step: InputStep, state: Tree, x: Tree, rate: float) -> list[np.ndarray | None]:
    """Return a factor of 0 or ``1 / (1 - rate)`` for each element of the state that products read, None for others.

    Raises
    ------
    ArgumentError
        If no product with a matrix reads the state.
    """
    inner = _write_down(step, state, x).traced.step
    read: set[Any] = set()
    for var in inner.carry:
        parts = {var}
        for eqn in inner.eqns:
            if not parts.isdisjoint(eqn.reads):
                if _is_product(eqn):
                    read.add(var)
                elif _passes(eqn):
                    parts.update(eqn.results)
    _require(bool(read), "recurrent_dropout", cell)
    generator = settings.generator(None)
    return [_draw(generator, var.shape, var.dtype, rate) if var in read else None for var in inner.carry]


def draw_drop_connect(cell: str, step: InputStep, state: Tree, x: Tree, rate: float) -> list[np.ndarray]:
    """Return a factor of 0 or ``1 / (1 - rate)`` for each element of the weights that multiply the state.

    If a weight multiplies ``[h; x]``, the columns of x are not dropped.

    Raises
    ------
    ArgumentError
        If there is no such weight.
    """
    inner = _write_down(step, state, x).traced.step
    of_state: dict[Any, Any] = {var: np.ones(var.shape, bool) for var in inner.carry}
    generator = settings.generator(None)
    factors = []
    for eqn in inner.eqns:
        if of_state.keys().isdisjoint(eqn.reads):
            continue
        if _is_product(eqn):
            for position in _weights(eqn, inner.consts):
                weight = eqn.operands[position]
                factor = _draw(generator, weight.shape, weight.dtype, rate)
                factors.append(np.where(_met(eqn, position, of_state), factor, weight.dtype.type(1)))
        elif eqn.primitive is multiply:
            part = next(of_state[o] for o in eqn.operands if o in of_state)
            of_state[eqn.result] = np.broadcast_to(part, eqn.result.shape)
        elif _passes(eqn):
            results = eqn.apply([of_state.get(o, np.zeros(o.shape, bool)) for o in eqn.operands])
            of_state.update(zip(eqn.results, results, strict=True))
    _require(bool(factors), "drop_connect", cell)
    return factors


def _write_down(step: InputStep, state: Tree, x: Tree) -> Written:
    try:
        return write_down(step, state, {"x": x})
    except CompileError as error:
        raise ArgumentError(
            "recurrent_dropout, drop_connect: expected a cell whose step can be traced, got one that cannot; use "
            f"zoneout or variational_dropout, or change the cell: {error}"
        ) from error


def _is_product(eqn: Eqn) -> bool:
    return eqn.primitive.kind is OpKind.PRODUCT


def _passes(eqn: Eqn) -> bool:
    """Return whether the result is a part of the state if an operand is: elements moved, or scaled as by ``z * h``."""
    return eqn.primitive.kind in {OpKind.VIEW, OpKind.JOIN, OpKind.CAST} or eqn.primitive is multiply


def _weights(eqn: Eqn, consts: Sequence[Any]) -> list[int]:
    """Return the positions of the weights among the operands of a product."""
    return [position for position, operand in enumerate(eqn.operands[:2]) if operand in consts]


def _met(eqn: Eqn, position: int, of_state: dict[Any, Any]) -> Any:
    """Return which elements of a weight multiply the state, as an array that broadcasts to its shape."""
    other = of_state[eqn.operands[1 - position]]
    summed, row = eqn.primitive.summed, other.reshape(-1, other.shape[-1]).any(axis=0)
    if position == 1 and summed is not None and eqn.operands[1].ndim == 2:
        return row[:, None] if summed == -2 else row
    return True


def _draw(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, rate: float) -> np.ndarray:
    kept = generator.random(shape, np.float32) >= rate
    return kept.astype(dtype) / dtype.type(1 - rate) if rate < 1 else np.zeros(shape, dtype)


def _require(found: bool, option: str, cell: str) -> None:
    if not found:
        raise ArgumentError(
            f"{option}: expected a cell that multiplies its state with a matrix, got {cell}, which does not; "
            "use zoneout or variational_dropout."
        )


def _check(layer: str, options: Mapping[str, Any], _state: Tree) -> None:
    check_probability(layer, **{name: options[name] for name in DROPS.defaults})


def _apply(step: InputStep, run: Run) -> InputStep:
    name, x = type(run.cell).__name__, [zeros(xs.shape[1:], xs.dtype) for xs in run.varying["x"]]
    weights: Sequence[np.ndarray] = ()
    if rate := run.options["drop_connect"]:
        weights = draw_drop_connect(name, step, run.state, x, rate)
    if rate := run.options["recurrent_dropout"]:
        run.fixed["recurrent"] = draw_recurrent(name, step, run.state, x, rate)
    return drop_in_products(step, weights)


DROPS = Transform({"recurrent_dropout": 0.0, "drop_connect": 0.0}, _check, _apply, training_only=True)
