"""Calls of a layer that are ready to run again.

A call without gradients on few values keeps its weights packed, and its memory; a call that is recorded keeps its
programs. Both skip what a layer does besides: checks, choices, traces. A call is prepared if nothing but its cells is
at work, and these are cells of the package (see `trace_cache`). It can run again if the layer holds the same objects as
before, and the same switches are on; with packed weights, if each has the stamp that it had (see
`autograd.inplace.Stamp`). Results are copies: no call writes to what an earlier one has returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import is_, itemgetter
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from ...autograd.creation import as_tensor
from ...autograd.inplace import Stamp
from ...autograd.tensor import Tensor, wrap
from ...base.memo import Memo
from ...base.modes import quiet
from ...base.settings import default_dtype
from ...base.switches import current
from ...base.tree import Tree, flatten
from ...errors import CompileError
from ...kernels.pool import pays_off, side_by_side
from ...ops.shape import reshape, swapaxes
from ...scan.ir.step import Aval
from ...scan.repeated import SteadyStep
from ...scan.run.segments import run_of
from ..cell import Cell
from .call import Call, merge_outputs
from .options import joins
from .passes import Pass, is_only_cell, overlaps
from .trace_cache import Snapshot, ignore, step_of_cell

MOST_BYTES: Final = 4 << 20
"""Most bytes of inputs and outputs of a prepared call, which copies them: for more, copies cost more than they save."""
KEPT_BYTES: Final = 32 << 20
"""Capacity of one generation of prepared calls of a layer, without weights."""
ENTRY_BYTES: Final = 1 << 16
"""Bytes of the objects of a prepared call: bounds their number."""
RECORDED: Final = 100
"""Capacity of one generation of calls that are recorded; they have no memory of their own."""
IDLE: Final = 4
"""Most copies of a prepared call that wait for threads that make the same call at the same time."""


class Layer(Protocol):
    """What a prepared call needs from a layer."""

    batch_first: bool
    options: Any
    _stacks_states: bool

    def _split_arrays(self, leaves: Sequence[np.ndarray], counts: Sequence[int]) -> Sequence[Sequence[np.ndarray]]: ...
    def _join_arrays(self, states: Sequence[Sequence[np.ndarray]]) -> Sequence[np.ndarray]: ...
    def _join(self, states: Sequence[Tree]) -> Tree: ...


class _Known(NamedTuple):
    """What a layer held, and the calls that were prepared while it did: for each kind of call those that are idle.

    `forwards` are the classes of its cells with their methods, for a layer may make its cells of its parameters. All
    that are idle are of the weights with these `stamps`: others would keep old weights in memory.
    """

    snapshot: Snapshot
    forwards: tuple[tuple[type, Any], ...]
    recorded: Memo[Any, _Recorded]
    stamps: Sequence[Stamp | None]
    idle: Memo[Any, list[_Prepared]]

    def holds(self, layer: Any) -> bool:
        """Return whether the layer holds what it held."""
        return all(kind.forward is forward for kind, forward in self.forwards) and self.snapshot.holds(layer)  # type: ignore[attr-defined]


@ignore
class PreparedCalls:
    """The prepared calls of one layer; a copy of it is empty."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    def __reduce__(self) -> Any:
        return PreparedCalls, ()

    def run(self, layer: Layer, xs: Any, state: Tree) -> tuple[Tensor, Tree] | None:
        """Return the outputs and the last state of a call without flags, or None if it is not prepared."""
        known = self._known
        if known is None:
            return None
        asked = _asked(xs, state, known.snapshot.tensors)
        if asked is None or not known.holds(layer):
            return None
        if asked.wants is not None:
            recorded = known.recorded.get((asked.key, asked.wants))
            if recorded is None or not known.snapshot.has_avals():
                return None
            return recorded.run(layer, xs, asked.leaves)
        idle = known.idle.get(asked.key)
        try:
            prepared = idle.pop() if idle else None  # ours alone: another thread at this moment prepares its own
        except IndexError:
            return None
        if idle is None or prepared is None or not prepared.is_current():
            return None
        result = prepared.run(layer, asked.x, asked.leaves)
        if len(idle) < IDLE:
            idle.append(prepared)
        return result

    def prepare(self, layer: Layer, call: Call, xs: Any, state: Tree, states: Sequence[Tree]) -> bool:
        """Prepare a call, so that `run` runs it, and return whether that is possible; its arguments are valid."""
        if not _is_plain(call):
            return False
        steps = [step_of_cell(one.cell) for one in call.passes]
        if not all(isinstance(step, SteadyStep) for step in steps):
            return False
        known = self._known
        if known is None or not known.holds(layer) or not known.snapshot.has_avals():
            snapshot = Snapshot(layer)  # type: ignore[arg-type]
            if not snapshot.usable:
                return False
            kinds = {type(cell): type(cell).forward for one in call.passes for cell in one.cell.modules()}
            recorded: Memo[Any, _Recorded] = Memo(RECORDED)
            known = _Known(snapshot, tuple(kinds.items()), recorded, (), _no_calls())
        asked = _asked(xs, state, known.snapshot.tensors)
        if asked is None or not asked.x.size:
            return False
        x = asked.x.swapaxes(0, 1) if layer.batch_first else asked.x
        if asked.wants is not None:
            if overlaps(call.options, len(x)):
                return False
            known.recorded.put((asked.key, asked.wants), _Recorded(layer, call, steps, states, len(x)))
            self._known = known
            return True
        stamps = [(tensor, tensor._current_stamp()) for tensor in known.snapshot.tensors]
        if _bytes_of(x, states) > MOST_BYTES or any(stamp is None for _, stamp in stamps):
            return False
        try:
            prepared = _Prepared(layer, call, steps, x, states, stamps)
        except CompileError:  # the scan will say why
            return False
        if not (len(known.stamps) == len(stamps) and all(map(is_, known.stamps, map(itemgetter(1), stamps)))):
            known = known._replace(stamps=[stamp for _, stamp in stamps], idle=_no_calls())
        self._known = known
        idle = known.idle.get(asked.key)
        if idle is None:
            idle = known.idle.put(asked.key, [])
        known.idle.charge(prepared.nbytes)
        idle.append(prepared)
        return True


def _no_calls() -> Memo[Any, list[_Prepared]]:
    return Memo(KEPT_BYTES, lambda _: ENTRY_BYTES)


class _Asked(NamedTuple):
    """A call of a layer without flags: what another one has in common with it, its inputs and arrays of the state.

    `wants` says of what gradients are wanted, None for nothing.
    """

    key: Any
    wants: tuple[bool, ...] | None
    x: np.ndarray
    leaves: list[Tensor] | None


def _asked(xs: Any, state: Tree, tensors: Sequence[Tensor]) -> _Asked | None:
    """Return a call of a layer with these tensors; None if such a call is never prepared."""
    modes = current()
    if modes.anomaly or not modes.compiling or modes.traced is not None or modes.tags is not None:
        return None
    x = xs._array if isinstance(xs, Tensor) else xs
    if x.__class__ is not np.ndarray:
        return None
    leaves: list[Tensor] = []
    structure = state is not None and _structure(state, leaves)
    if structure is None:
        return None
    wants = None
    if modes.recording:
        flags = xs is not x and xs._requires_grad, *[leaf._requires_grad for leaf in (*leaves, *tensors)]
        wants = flags if True in flags else None
    avals = tuple([(leaf._array.shape, leaf._array.dtype) for leaf in leaves])
    key = x.shape, x.dtype, structure, avals, default_dtype(), modes.precision, modes.quantized
    return _Asked(key, wants, x, leaves if structure else None)


def _structure(tree: Tree, leaves: list[Tensor]) -> Any:
    """Add the Tensors in `tree` to `leaves` and return its structure; None if it has other parts."""
    if isinstance(tree, Tensor):
        leaves.append(tree)
        return True
    if tree.__class__ is dict:
        names = tuple(sorted(tree, key=str))  # the order of `flatten`
        parts = _structure(tuple([tree[name] for name in names]), leaves)
        return parts and (names, parts)
    if tree.__class__ is not tuple:
        return None
    parts = tuple([_structure(part, leaves) for part in tree])
    return parts if all(parts) else None


def _bytes_of(x: np.ndarray, states: Sequence[Tree]) -> int:
    """Return the bytes of the inputs and roughly those of the outputs of all passes."""
    T = x.shape[0]
    return x.nbytes + sum([T * part._array.nbytes for state in states for part in flatten(state)[0]])


def _is_plain(call: Call) -> bool:
    """Return whether nothing but the cells is at work in a call."""
    options, training = call.options, call.training
    dropped = training and (call.dropout or options["variational_dropout"])
    special = dropped or options["residual"] or options["return_all_states"] or options["stateful"]
    return not special and all(is_only_cell(one, options, training) for one in call.passes)


class _Prepared:
    """One prepared call; it runs in one thread at a time.

    Parameters
    ----------
    layer, call
        The layer, and its call.
    steps
        The step of each pass.
    xs
        The inputs, (T, N, ...).
    states
        The state that each pass starts from.
    stamps
        The tensors of the layer with their stamps.
    """

    def __init__(
        self,
        layer: Layer,
        call: Call,
        steps: Sequence[Any],
        xs: np.ndarray,
        states: Sequence[Tree],
        stamps: Sequence[Any],
    ) -> None:
        from ...scan.prepared_scan import PreparedScan  # the compiler is imported when first used

        self._stamps: Sequence[tuple[Tensor, Stamp]] = stamps
        self._count, self._merge = call.directions, call.options["merge"]
        self._states = [_Begin(one, state) for one, state in zip(call.passes, states, strict=True)]
        self._counts = [len(each.arrays) for each in self._states]
        tensors = [tensor for tensor, _ in stamps]
        T, x = xs.shape[0], Aval(xs.shape[1:], xs.dtype)
        self._scans: list[PreparedScan] = []
        for first in range(0, len(steps), self._count):
            for k in range(first, first + self._count):
                one, state = call.passes[k], states[k]
                self._scans.append(PreparedScan(steps[k], state, x, T, one.reverse, tensors))
            y = self._scans[first].y
            both = self._count == 2 and joins(self._merge)
            x = Aval((*y.shape[:-1], y.shape[-1] * (1 + both)), y.dtype)
        finals = [scan.rebuild_carry(each.arrays) for scan, each in zip(self._scans, self._states, strict=True)]
        self._rebuild = flatten(layer._join(finals))[1]
        self.nbytes = sum([scan.nbytes for scan in self._scans])

    def is_current(self) -> bool:
        """Return whether all weights are what they were."""
        for tensor, stamp in self._stamps:
            if tensor._stamp is not stamp or tensor._exposed or stamp._array() is not tensor._array:
                return False
        return True

    def run(self, layer: Layer, x: np.ndarray, given: Sequence[Tensor] | None) -> tuple[Tensor, Tree]:
        """Return the outputs and the last state, from the state `given`."""
        if layer.batch_first:
            x = x.swapaxes(0, 1)
        begins = None if given is None else layer._split_arrays([leaf._array for leaf in given], self._counts)
        lasts, count, scans = [], self._count, self._scans
        for first in range(0, len(scans), count):
            inits = [self._states[k]() if begins is None else begins[k] for k in range(first, first + count)]
            if count == 1:
                last, (x,) = scans[first].run(inits[0], (x,))
                lasts.append(last)
                continue
            both = scans[first : first + count]
            runs = [partial(scan.run, init, (x,)) for scan, init in zip(both, inits, strict=True)]
            found = side_by_side(runs) if pays_off([scan.seconds for scan in both]) else [run() for run in runs]
            lasts += [last for last, _ in found]
            x = quiet().run(merge_outputs, found[0][1][0], found[1][1][0], self._merge)
        if layer.batch_first:
            x = x.swapaxes(0, 1)
        return wrap(x), self._rebuild([wrap(array) for array in layer._join_arrays(lasts)])


class _Recorded:
    """One call that is recorded for gradients: its programs.

    Parameters
    ----------
    layer, call, steps, states
        See `_Prepared`.
    T
        The number of steps.
    """

    def __init__(self, layer: Layer, call: Call, steps: Sequence[Any], states: Sequence[Tree], T: int) -> None:
        self._call, self._steps = call, steps
        self._begins = [_Begin(one, state) for one, state in zip(call.passes, states, strict=True)]
        self._plans: list[Any] = [None] * len(steps)
        self._counts = [len(begin.arrays) for begin in self._begins]
        window, remember = call.options["window"], call.options["remember"]
        self._runs = [run_of(T, one.reverse, window, remember) for one in call.passes]
        self._lead = layer._stacks_states and len(steps) == 1

    def run(self, layer: Any, xs: Any, given: Sequence[Tensor] | None) -> tuple[Tensor, Tree] | None:
        """Return the outputs and the last state, from the state `given`; None if a step cannot be compiled."""
        from ...scan.compiled import plan, run_calls  # the compiler is imported when first used

        call, count = self._call, self._call.directions
        x = xs if isinstance(xs, Tensor) else as_tensor(call.caller, xs)
        x = swapaxes(x, 0, 1) if layer.batch_first else x
        states = None if given is None else layer._split_arrays(given, self._counts)
        finals: list[Tree] = []
        for first in range(0, len(self._steps), count):
            calls = []
            for k in range(first, first + count):
                begin = self._begins[k]
                init = begin.tensors() if states is None else states[k]
                planned = self._plans[k]
                if planned is None:
                    try:
                        planned = plan(self._steps[k], begin.state_of(init), [x], itemgetter(0), self._runs[k].T)
                    except CompileError:  # the scan will say why
                        return None
                    if self._steps[k].traces.holds(planned.traced):
                        self._plans[k] = planned
                calls.append(planned.call(init, [x], self._runs[k], self._lead))
            found = run_calls(calls)
            finals += [final for final, _ in found]
            x = found[0][1] if count == 1 else merge_outputs(found[0][1], found[1][1], call.options["merge"])
        return swapaxes(x, 0, 1) if layer.batch_first else x, finals[0] if self._lead else layer._join(finals)


class _Begin:
    """The initial state of a pass: constant, unless it is learned or the cell's own."""

    def __init__(self, one: Pass, state: Tree) -> None:
        self._pass = one
        leaves, self.rebuild = flatten(state)
        self._rows = leaves[0]._array.shape[0]
        self._constant: list[Tensor] | None = None
        if one.learned is None and type(one.cell).initial_state is Cell.initial_state:
            self._constant = self.tensors()
        self.arrays = [leaf._array for leaf in (self._constant or leaves)]

    def state_of(self, leaves: Sequence[Tensor]) -> Tree:
        """Return a state of given Tensors, which may have an axis of size 1 in front."""
        return self.rebuild([reshape(x, own.shape) for x, own in zip(leaves, self.arrays, strict=True)])

    def tensors(self) -> list[Tensor]:
        """Return the Tensors, (N, ...)."""
        return self._constant or flatten(self._pass.initial_state(self._rows))[0]

    def __call__(self) -> list[np.ndarray]:
        """Return the arrays, (N, ...)."""
        return self.arrays if self._constant else [leaf._array for leaf in self.tensors()]
