"""Calls of a layer that are ready to run again: without gradients, on few values, while its weights are unchanged.

A call is prepared if nothing but its cells is at work, and these are cells of the package (see `trace_cache`). It can
run again if the layer holds the same objects as before, the same switches are on, and each weight has the stamp that
it had (see `autograd.inplace.Stamp`). Results are copies: no call writes to what an earlier one has returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from ...autograd.inplace import Stamp
from ...autograd.tensor import Tensor, wrap
from ...base.memo import Memo
from ...base.modes import quiet
from ...base.settings import default_dtype
from ...base.switches import current
from ...base.tree import Tree, flatten
from ...errors import CompileError
from ...kernels.pool import pays_off, side_by_side
from ...scan.ir.step import Aval
from ...scan.repeated import SteadyStep
from ..cell import Cell
from .call import Call, merge_outputs
from .passes import Pass, is_only_cell
from .trace_cache import Snapshot, ignore, step_of_cell

MOST_BYTES: Final = 1 << 20
"""Most bytes of inputs and outputs of a prepared call, which copies them: for more, copies cost more than they save."""
KEPT_BYTES: Final = 16 << 20
"""Capacity of one generation of prepared calls of a layer, without weights."""
ENTRY_BYTES: Final = 1 << 16
"""Bytes of the objects of a prepared call: bounds their number."""
IDLE: Final = 4
"""Most copies of a prepared call that wait for threads that make the same call at the same time."""


class Layer(Protocol):
    """What a prepared call needs from a layer."""

    batch_first: bool
    options: Any

    def _split_arrays(self, leaves: Sequence[np.ndarray], counts: Sequence[int]) -> Sequence[Sequence[np.ndarray]]: ...
    def _join_arrays(self, states: Sequence[Sequence[np.ndarray]]) -> Sequence[np.ndarray]: ...
    def _join(self, states: Sequence[Tree]) -> Tree: ...


class _Known(NamedTuple):
    """What a layer held, and the calls that were prepared while it did: for each kind of call those that are idle.

    `forwards` are the classes of its cells with their methods, for a layer may make its cells of its parameters.
    """

    snapshot: Snapshot
    forwards: tuple[tuple[type, Any], ...]
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
        key, x, given = asked
        idle = known.idle.get(key)
        try:
            prepared = idle.pop() if idle else None  # ours alone: another thread at this moment prepares its own
        except IndexError:
            return None
        if idle is None or prepared is None or not prepared.is_current():
            return None
        result = prepared.run(layer, x, given)
        if len(idle) < IDLE:
            idle.append(prepared)
        return result

    def prepare(self, layer: Layer, call: Call, xs: Any, state: Tree, states: Sequence[Tree]) -> bool:
        """Prepare a call, so that `run` runs it, and return whether that is possible; its arguments are valid."""
        if not _is_plain(call):
            return False
        known = self._known
        if known is None or not known.holds(layer):
            if _asked(xs, state, vars(call.passes[0].cell).values()) is None:  # mostly in training
                return False
            snapshot = Snapshot(layer)  # type: ignore[arg-type]
            if not snapshot.usable:
                return False
            kinds = {type(cell): type(cell).forward for one in call.passes for cell in one.cell.modules()}
            known = _Known(snapshot, tuple(kinds.items()), Memo(KEPT_BYTES, lambda _: ENTRY_BYTES))
        asked = _asked(xs, state, known.snapshot.tensors)
        if asked is None:
            return False
        key, x, _ = asked
        if _bytes_of(x, states) > MOST_BYTES or not x.size:
            return False
        steps = [step_of_cell(one.cell) for one in call.passes]
        stamps = [(tensor, tensor._current_stamp()) for tensor in known.snapshot.tensors]
        if not all(isinstance(step, SteadyStep) for step in steps) or any(stamp is None for _, stamp in stamps):
            return False
        try:
            prepared = _Prepared(layer, call, steps, x.swapaxes(0, 1) if layer.batch_first else x, states, stamps)
        except CompileError:  # the scan will say why
            return False
        self._known = known
        idle = known.idle.get(key)
        if idle is None:
            idle = known.idle.put(key, [])
        known.idle.charge(prepared.nbytes)
        idle.append(prepared)
        return True


def _asked(xs: Any, state: Tree, tensors: Iterable[Any]) -> tuple[Any, np.ndarray, list[np.ndarray] | None] | None:
    """Return the key of a call of a layer with these tensors, its inputs and the arrays of its state.

    None if such a call is never prepared, for example because a gradient is wanted.
    """
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
    if modes.recording and any(_wants_gradient(given) for given in (xs, *leaves, *tensors)):
        return None
    arrays = [leaf._array for leaf in leaves]
    avals = tuple([(array.shape, array.dtype) for array in arrays])
    key = x.shape, x.dtype, structure, avals, default_dtype(), modes.precision
    return key, x, arrays if structure else None


def _wants_gradient(value: Any) -> bool:
    return isinstance(value, Tensor) and value._requires_grad


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
            both = self._count == 2 and self._merge == "concat"
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

    def run(self, layer: Layer, x: np.ndarray, given: Sequence[np.ndarray] | None) -> tuple[Tensor, Tree]:
        """Return the outputs and the last state, from the state `given`."""
        if layer.batch_first:
            x = x.swapaxes(0, 1)
        begins = None if given is None else layer._split_arrays(given, self._counts)
        lasts, count, scans = [], self._count, self._scans
        for first in range(0, len(scans), count):
            inits = [self._states[k]() if begins is None else begins[k] for k in range(first, first + count)]
            runs = [
                partial(scan.run, init, (x,)) for scan, init in zip(scans[first : first + count], inits, strict=True)
            ]
            if count == 1:
                last, (x,) = runs[0]()
                lasts.append(last)
            else:
                beside = pays_off([scan.seconds for scan in scans[first : first + count]])
                both = side_by_side(runs) if beside else [run() for run in runs]
                lasts += [last for last, _ in both]
                x = quiet().run(merge_outputs, both[0][1][0], both[1][1][0], self._merge)
        if layer.batch_first:
            x = x.swapaxes(0, 1)
        return wrap(x), self._rebuild([wrap(array) for array in layer._join_arrays(lasts)])


class _Begin:
    """The arrays of the initial state of a pass: constant, unless it is learned or the cell's own."""

    def __init__(self, one: Pass, state: Tree) -> None:
        self._pass = one
        self.arrays = [leaf._array for leaf in flatten(state)[0]]
        self._constant = one.learned is None and type(one.cell).initial_state is Cell.initial_state
        if self._constant:
            self.arrays = [leaf._array for leaf in flatten(one.initial_state(self.arrays[0].shape[0]))[0]]

    def __call__(self) -> list[np.ndarray]:
        """Return the arrays, (N, ...)."""
        if self._constant:
            return self.arrays
        return [leaf._array for leaf in flatten(self._pass.initial_state(self.arrays[0].shape[0]))[0]]
