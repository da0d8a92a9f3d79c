"""Write a whole model down as equations: scans become loops, and what does not depend on their carry leaves them.

A `Recorder` collects the equations of the model, another one those of the body of each loop. Variables have the scope
that names have in ONNX: a body reads those around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import numpy as np

from ...base.modes import user_line
from ...base.switches import current
from ...base.tree import Tree, flatten
from ...errors import ArgumentError
from ...ops.linear import matmul, with_precision
from ...ops.primitive import TABLE, Array, OpKind, Primitive, bind
from ...ops.shape import broadcast_to, expand_dims, reshape
from ...scan.eager import pair
from ...scan.ir.leaves import alike, difference
from ...scan.ir.rewrite import Rewriter
from ...scan.ir.step import Aval, Eqn, Step, Var, dependents, live
from ...scan.ir.trace import Tracer, as_leaf
from ...scan.passes.lower import structure
from ...scan.passes.partition import is_cheap
from .node_table import OPERATIONS, REFUSED
from .recurrent_nodes import native_pass

LOOP: Final = Primitive("onnx_loop", lambda *_arrays, **_params: (), multiple=True)
"""A scan: the operands are the captured variables, the carry and the inputs of its ``body``."""

_index, _standardise = TABLE["index"], TABLE["standardise"]


class Recorder(Rewriter):
    """Collects the equations of a model, or of the body of a loop in the recorder `around` it.

    Attributes
    ----------
    owner
        By variable: the recorder that defines it.
    lines
        By variable: the user's line that computes it.
    beyond
        By variable and axis: the slices with an end beyond the axis, which cut it at greater sizes.
    """

    caller = "to_onnx"
    otherwise = ""

    def __init__(self, around: Recorder | None = None) -> None:
        super().__init__(self._rule)
        self.around = around
        self.root: Recorder = self if around is None else around.root
        self.depth: int = 0 if around is None else around.depth + 1
        if around is None:
            self.owner: dict[Var, Recorder] = {}
            self.lines: dict[Var, str] = {}
            self.beyond: dict[tuple[Var, int], str] = {}
            self.innermost = self

    # ------------------------------------------------------------------------------------------------ operations

    def _rule(self, primitive: Primitive) -> Any:
        """Return what replaces a primitive, None if it has a translation as it is."""
        if primitive is matmul:  # in a loop, ``[h, x] @ W`` is two products, one of which leaves the loop
            return None if self.around is None else structure(primitive)
        if primitive in OPERATIONS and primitive is not _index:
            return None
        return primitive.formula or structure(primitive)

    def define(self, aval: Aval) -> Any:
        """Return a new input."""
        var = Var(aval)
        self.root.owner[var] = self
        return Tracer(self, var)

    def tracer(self, atom: Any) -> Any:
        return Tracer(self.root.owner[atom], atom) if atom.__class__ is Var else atom

    def constant(self, array: Array) -> Var:
        if self is not self.root:
            return self.root.constant(array)
        var = super().constant(array)
        if var not in self.owner:
            self.owner[var], self.lines[var] = self, user_line()
        return var

    def atom(self, primitive: Primitive, operand: Any) -> Any:
        if operand.__class__ is Tracer and getattr(operand._builder, "root", None) is self.root:
            return operand._var
        return super().atom(primitive, operand)

    def apply(self, primitive: Primitive, operands: Iterable[Any], params: dict[str, Any]) -> Any:
        operands = tuple(operands)
        home = max([x._builder for x in operands if x.__class__ is Tracer], key=_depth, default=self.root)
        if home is not self:
            return home.apply(primitive, operands, params)
        if primitive is _index:
            self._note_slices(self.atom(primitive, operands[0]), params["key"])
        if primitive.kind is OpKind.PRODUCT:
            modes = current()
            params = with_precision(primitive, operands, params, modes.precision, operands if modes.quantized else ())
        if primitive not in OPERATIONS and self._rule(primitive) is None:
            instead = REFUSED.get(primitive.name, "compute it outside the model, or write it with other operations")
            raise ArgumentError(
                f"to_onnx: expected operations that ONNX has, got {primitive.name!r} at {user_line()}; {instead}."
            )
        return super().apply(primitive, operands, params)

    def _note_slices(self, x: Var, key: Any) -> None:
        parts = [part for part in (key if isinstance(key, tuple) else (key,)) if part is not None]
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            parts[at : at + 1] = [slice(None)] * (x.ndim + 1 - len(parts))
        for axis, part in enumerate(parts):
            if isinstance(part, slice) and any(abs(end or 0) > x.shape[axis] for end in (part.start, part.stop)):
                self.root.beyond[x, axis] = f"[{part.start}:{part.stop}] at {user_line()}"

    def _find(self, primitive: Primitive, atoms: Any, params: dict[str, Any], options: Any) -> tuple[Var, ...]:
        results = super()._find(primitive, atoms, params, options)
        if results[0] not in self.root.owner:
            self._own(results)
        return results

    def _own(self, results: Sequence[Var]) -> None:
        line = user_line()
        for result in results:
            self.root.owner[result] = self
            self.root.lines[result] = line

    def append(self, eqn: Eqn) -> list[Any]:
        """Add an equation whose results are new variables; return these as Tracers."""
        self.eqns.append(eqn)
        self._own(eqn.results)
        self.producer.update(dict.fromkeys(eqn.results, eqn))
        return [Tracer(self, result) for result in eqn.results]

    def var(self, leaf: Any) -> Var:
        """Return a leaf of a result as a variable."""
        leaf = as_leaf(leaf)
        return leaf._var if leaf.__class__ is Tracer else self.constant(leaf)

    # ------------------------------------------------------------------------------------------- loops and layers

    def run_pass(self, one: Any, xs: Any, state: Tree, flags: Any, options: Any) -> Any:
        """Return ``(ys, state)`` of a pass of a recurrent layer that is a node of ONNX; None if it must be a loop."""
        return native_pass(self.root.innermost, one, xs, state, flags, options)

    def scan(
        self, step: Any, carry: Tree, leaves: Sequence[Any], rebuild: Callable[..., Tree], time: int, reverse: bool
    ) -> tuple[Tree, Tree]:
        """Write down a scan and return its last carry and its outputs."""
        around = self.root.innermost
        body = self.root.innermost = Recorder(around)
        init, rebuild_init = flatten(carry)
        entered = [body.define(Aval(leaf.shape, leaf.dtype)) for leaf in init]
        inputs = [body.define(Aval(leaf.shape[1:], leaf.dtype)) for leaf in leaves]
        try:
            carry_out, y = pair(step(rebuild_init(entered), rebuild(inputs)))
        finally:
            self.root.innermost = around
        left, rebuild_carry = flatten(carry_out)
        left = [as_leaf(leaf) for leaf in left]
        if not alike(rebuild_init(entered), rebuild_carry(left)):
            raise difference("carry", "entered", "left the step", carry, rebuild_carry(left), "pass init")
        ys, rebuild_y = flatten(y)
        stages = _Stages(body, time, {x._var: as_leaf(leaf) for x, leaf in zip(inputs, leaves, strict=True)})
        last, stacked = stages.run(
            [x._var for x in entered], init, [body.var(leaf) for leaf in left], [body.var(y) for y in ys], reverse
        )
        return rebuild_carry(last), rebuild_y(stacked)


def _depth(builder: Any) -> int:
    return getattr(builder, "depth", -1)


class _Stages:
    """The equations of a body in three places: before, in and after the loop."""

    def __init__(self, body: Recorder, time: int, over: dict[Var, Any]) -> None:
        self._body, self._around, self._time = body, body.around, time
        self._over = over  # what has a value for all times outside the loop

    def run(
        self, carry: list[Var], init: Sequence[Any], left: list[Var], ys: list[Var], reverse: bool
    ) -> tuple[list[Any], list[Any]]:
        eqns = self._before(live(self._body.eqns, (*left, *ys)), carry)
        eqns, after = _follow(eqns, left, self._local)
        inside = {result for eqn in eqns for result in eqn.results}.union(carry)
        wanted = dict.fromkeys([*[var for eqn in after for var in eqn.reads], *ys])
        saved = [var for var in wanted if var in inside]
        outside = all(var in self._over or not self._local(var) for var in left)
        if saved or not outside:
            last = self._loop(eqns, carry, init, left, saved, reverse)
        else:  # nothing depends on the step before
            last = [self._last(var, reverse) for var in left]
        for eqn in after:
            self.apply(eqn)
        return last, [self._stacked(y) for y in ys]

    def _local(self, var: Var) -> bool:
        return self._body.root.owner[var] is self._body

    def _last(self, var: Var, reverse: bool) -> Any:
        return self._over[var][0 if reverse else -1] if var in self._over else self._body.tracer(var)

    def _stacked(self, var: Var) -> Any:
        if var in self._over:
            return self._over[var]
        return broadcast_to(self._body.tracer(var), (self._time, *var.shape))

    def _before(self, eqns: Sequence[Eqn], carry: list[Var]) -> list[Eqn]:
        """Apply what does not depend on the carry to all times at once; return the other equations."""
        recurrent, rest = dependents(eqns, carry), []
        for eqn in eqns:
            free = not any(var in recurrent or (self._local(var) and var not in self._over) for var in eqn.reads)
            if free and not _spreads(eqn) and (rule := lifted(eqn, self._lifted(eqn))) is not None:
                self.apply(eqn, rule)
            else:
                rest.append(eqn)
        return rest

    def _lifted(self, eqn: Eqn) -> tuple[bool, ...]:
        return tuple([operand.__class__ is Var and self._local(operand) for operand in eqn.operands])

    def apply(self, eqn: Eqn, rule: Callable[..., Any] | None = None) -> None:
        """Apply an equation to all times at once."""
        rule = lifted(eqn, self._lifted(eqn)) if rule is None else rule
        assert rule is not None
        operands = [
            operand if operand.__class__ is not Var else self._over.get(operand, self._body.tracer(operand))
            for operand in eqn.operands
        ]
        found = rule(self._time, *operands)
        for result, value in zip(eqn.results, found if eqn.primitive.multiple else (found,), strict=True):
            self._over[result] = value
            if value.__class__ is Tracer:
                self._body.root.lines.setdefault(value._var, self._body.root.lines[result])

    def _loop(
        self,
        eqns: Sequence[Eqn],
        carry: list[Var],
        init: Sequence[Any],
        left: list[Var],
        saved: list[Var],
        reverse: bool,
    ) -> list[Any]:
        around = self._around
        assert around is not None
        made = {result for eqn in eqns for result in eqn.results}
        read = dict.fromkeys([*[var for eqn in eqns for var in eqn.reads], *left])
        xs = [var for var in read if self._local(var) and var not in made and var not in carry]
        captured = tuple([var for var in read if not self._local(var)])
        # ONNX counts the steps by an input.
        stacks = [self._over[x] for x in xs] or [np.zeros((self._time, 1), np.float32)]
        inputs = tuple(xs) or (self._body.define(Aval((1,), np.dtype(np.float32)))._var,)
        step = Step(captured, tuple(carry), inputs, tuple(eqns), tuple(left), tuple(saved))
        results = (*[Var(var.aval) for var in carry], *[Var(Aval((self._time, *y.shape), y.dtype)) for y in saved])
        operands = (*captured, *map(around.var, init), *map(around.var, stacks))
        found = around.append(Eqn(LOOP, operands, {"body": step, "reverse": reverse}, results))
        self._over.update(zip(saved, found[len(carry) :], strict=True))
        return found[: len(carry)]


def _spreads(eqn: Eqn) -> bool:
    """Return whether a cheap equation makes a larger array than it reads: at all times at once it would be huge."""
    if eqn.primitive.kind is OpKind.LOOKUP or not is_cheap(eqn):
        return False
    read = max([math.prod(var.shape) for var in eqn.reads], default=0)
    return any(math.prod(result.shape) > read for result in eqn.results)


def _follow(eqns: list[Eqn], left: list[Var], local: Callable[[Var], bool]) -> tuple[list[Eqn], list[Eqn]]:
    """Return the equations of the loop, and the expensive ones that the next carry does not need, which follow it."""
    over = {eqn: tuple([operand.__class__ is Var and local(operand) for operand in eqn.operands]) for eqn in eqns}
    fixed = [var for eqn in eqns if lifted(eqn, over[eqn]) is None for var in (*eqn.reads, *eqn.results)]
    pinned: Collection[Eqn] = set(live(eqns, (*left, *fixed)))
    after: list[Eqn] = []
    late: set[Var] = set()
    for eqn in eqns:
        if eqn not in pinned and (not is_cheap(eqn) or any(var in late for var in eqn.reads)):
            after.append(eqn)
            late.update(eqn.results)
    return [eqn for eqn in eqns if eqn not in after], after


# ------------------------------------------------------------------------------------------------ all times at once


def _aligned(x: Any, over: bool, rank: int) -> Any:
    missing = rank + 1 - x.ndim if over else 0
    return reshape(x, (x.shape[0], *[1] * missing, *x.shape[1:])) if missing > 0 else x


def lifted(eqn: Eqn, over: tuple[bool, ...]) -> Callable[..., Any] | None:
    """Return a function of T and the operands that applies an equation to all times at once; None if there is none.

    The operands that are `over` time have an axis for it in front.
    """
    primitive, params, kind = eqn.primitive, eqn.params, eqn.primitive.kind
    if kind is OpKind.VIEW or kind is OpKind.JOIN:
        return _LIFTED[primitive](eqn, over) if primitive in _LIFTED else None
    if kind in {OpKind.ELEMENTWISE, OpKind.CAST} or primitive is matmul:
        rank = max([operand.ndim for operand in eqn.reads])
        if primitive is matmul and min(operand.ndim for operand in eqn.reads) < 2:
            return None
        return lambda _T, *xs: _apply(eqn, [_aligned(x, o, rank) if o else x for x, o in zip(xs, over, strict=True)])
    if primitive.axes is not None and (axes := params[primitive.axes]) is not None:
        shifted = axes + 1 if isinstance(axes, int) else tuple([axis + 1 for axis in axes])
        return lambda _T, x: _apply(eqn, [x], {str(primitive.axes): shifted})
    if "axis" in params and kind is OpKind.OTHER and len(eqn.operands) == 1 and params["axis"] is not None:
        axis = params["axis"]
        return lambda _T, x: _apply(eqn, [x], {"axis": axis + 1 if axis >= 0 else axis})
    if primitive is _standardise:
        return lambda _T, x: _apply(eqn, [x], {"axes": tuple([axis + 1 for axis in params["axes"]])})
    if kind is OpKind.LOOKUP and over == (False, True) and params.get("axis", 0) == 0:
        return lambda _T, *xs: _apply(eqn, xs)
    return None


def _apply(eqn: Eqn, operands: Sequence[Any], changed: dict[str, Any] | None = None) -> Any:
    """Apply the primitive of an equation to other operands."""
    return bind(eqn.primitive, tuple(operands), eqn.params | (changed or {}))


def _lift_concat(eqn: Eqn, over: tuple[bool, ...]) -> Callable[..., Any]:
    axis, ends = eqn.params["axis"], eqn.params["ends"]

    def rule(T: int, *xs: Any) -> Any:
        full = [x if o else broadcast_to(expand_dims(x, 0), (T, *x.shape)) for x, o in zip(xs, over, strict=True)]
        return _apply(eqn, full, {"axis": axis + 1, "ends": ends})

    return rule


def _lift_broadcast(eqn: Eqn, _over: tuple[bool, ...]) -> Callable[..., Any]:
    shape = eqn.params["shape"]
    return lambda T, x: _apply(eqn, [_aligned(x, True, len(shape))], {"shape": (T, *shape)})


_LIFTED: Final[dict[Primitive, Callable[[Eqn, tuple[bool, ...]], Callable[..., Any]]]] = {
    TABLE["concat"]: _lift_concat,
    TABLE["broadcast_to"]: _lift_broadcast,
    TABLE["reshape"]: lambda eqn, _over: lambda T, x: _apply(eqn, [x], {"shape": (T, *eqn.params["shape"])}),
    TABLE["permute_dims"]: lambda eqn, _over: (
        lambda _T, x: _apply(eqn, [x], {"axes": (0, *[axis + 1 for axis in eqn.params["axes"]])})
    ),
    _index: lambda eqn, _over: lambda _T, x: _apply(eqn, [x], {"key": (slice(None), *eqn.params["key"])}),
    TABLE["split"]: lambda eqn, _over: lambda _T, x: _apply(eqn, [x], {"axis": eqn.params["axis"] + 1}),
}
