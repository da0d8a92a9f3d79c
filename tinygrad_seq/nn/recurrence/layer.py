"""What all recurrent layers do: layers, directions and options, around the passes of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...base.modes import Within, mode
from ...base.tree import Tree, describe, first_leaf, flatten, map_leaves
from ...errors import ArgumentError, ShapeError
from ...ops.comparison import where
from ...ops.joining import concat
from ...ops.normalisation import dropout as drop
from ...ops.shape import swapaxes
from ...scan import program_of
from ...scan.eager import StepFunction
from ...scan.ir.trace import as_leaf
from ..cell import Cell, detach_state
from ..checks import check_given, check_probability
from ..masks import Flags, Mask, check_flags
from ..module.module import Module
from ..module.parameter import Buffer, Parameter
from .inspection import Inspection, PassInspection, make_nudges
from .options import Options, check_options, check_residual
from .padding import hold_padding
from .passes import Outcome, Pass, learned_state, run_pass, step_of_pass
from .shrinking import reorder_rows, reorder_steps
from .stream import Stream
from .trace_cache import is_from_package
from .transforms import check_zoneout, per_row


class SequenceLayer(Module):
    """Base of `Recurrent`, `RNN`, `GRU` and `LSTM`.

    A subclass says what its passes are, checks inputs, and turns its state into one for each pass and back.

    Attributes
    ----------
    options : Options
        All of them, as given or by default.
    """

    batch_first: bool
    bidirectional: bool
    dropout: float
    options: Options
    initial_states: list[Tree] | None

    def _set_up(
        self,
        cells: Sequence[Cell],
        sizes: Sequence[tuple[int | None, int | None]],
        bidirectional: bool,
        batch_first: bool,
        dropout: float,
        options: Options,
    ) -> None:
        """Check and keep the options; `cells` are those of all passes, `sizes` what each layer's read and put out."""
        name = type(self).__name__
        check_probability(name, dropout=dropout)
        if dropout and len(cells) == 1 + bidirectional:
            raise ArgumentError(
                f"{name}: expected dropout=0 with one layer, got {dropout}; it acts between layers: "
                "raise num_layers, or put nn.Dropout after the layer."
            )
        self.batch_first, self.bidirectional, self.dropout = batch_first, bidirectional, dropout
        self.options = check_options(name, bidirectional, options)
        if self.options["residual"]:
            check_residual(name, sizes, bidirectional and self.options["merge"] == "concat")
        for cell in cells:
            check_zoneout(name, self.options["zoneout"], cell.initial_state(1))
        learned = self.options["learn_initial_state"]
        self.initial_states = [learned_state(cell) for cell in cells] if learned else None
        self._kept: list[Tree] | None = None

    # ------------------------------------------------------------------------------------ what a subclass says

    def _passes(self) -> list[Pass]:
        """Return the passes: of each layer in turn the forward one and, if there is one, the backward one."""
        raise NotImplementedError

    def _check_inputs(self, xs: Tree) -> None:
        """Refuse inputs that do not fit the first cell."""
        raise NotImplementedError

    def _split(self, state: Tree, batch_size: int) -> list[Tree]:
        """Return the state of each pass."""
        raise NotImplementedError

    def _join(self, states: Sequence[Tree]) -> Tree:
        """Return the states of the passes as the state of the layer."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------- running

    def forward(
        self, xs: Tree, state: Tree = None, *, lengths: Any = None, mask: Any = None, reset: Any = None
    ) -> tuple[Any, Any, *tuple[Any, ...]]:
        """Return ``(ys, state)``: the outputs of the last layer and the state after the last step.

        Parameters
        ----------
        xs
            (T, N, I), or (N, T, I) with `batch_first`; nested tuples, lists and dicts of arrays if the cell takes them.
        state
            The state to start from, by default the initial state. Its gradient flows.
        lengths
            (N,), integers from 0 to T: how many steps of each sequence count. The others have no effect on anything,
            their output is 0 (see `masked_output`), and no gradient arrives there; the direction that goes backwards
            begins at the last step that counts. Where no step counts the state stays as it was. Nothing need be sorted
            or packed; where it pays, what has ended leaves the loop, if the cells are of this package.
        mask
            (T, N), or (N, T) with `batch_first`, bool: the same for any steps: where it is False the state stays.
        reset
            (T, N), or (N, T) with `batch_first`, bool: the steps before which a new sequence begins: there the state
            is set to the initial state, in both directions. A flag at a step that does not count holds for the next
            one that does.

        Returns
        -------
        ys
            (T, N, H), or the structure of the cell's output; of both directions (T, N, 2H) if they are joined.
        state
            After the last step that counts; pass it (through `detach_state`) to the next call to go on.
        states
            Only with `return_all_states`: as `state`, with an axis of time before that of the sequences.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If xs, the state or the flags do not fit the layer or each other.
        """
        xs, flags = self._take(xs, lengths, mask, reset)
        passes = self._passes()
        states = self._begin(passes, state, first_leaf(xs).shape[1])
        ys, outcomes = self._run(passes, xs, states, flags)
        finals, swap = [outcome.state for outcome in outcomes], _swap if self.batch_first else _same
        if self.options["stateful"]:
            self._kept = [detach_state(final) for final in finals]
        if not self.options["return_all_states"]:
            return map_leaves(swap, ys), self._join(finals)
        shown = [map_leaves(swap, outcome.states) for outcome in outcomes]
        return map_leaves(swap, ys), self._join(finals), self._join(shown)

    def _take(self, xs: Tree, lengths: Any, mask: Any, reset: Any) -> tuple[Tree, Flags]:
        """Return the inputs, time-major, and the flags, checked."""
        xs = map_leaves(as_leaf, xs)
        self._check_inputs(xs)
        if self.batch_first:
            xs = map_leaves(_swap, xs)
        T, N = first_leaf(xs).shape[:2]
        return xs, check_flags(type(self).__name__, T, N, self.batch_first, lengths, mask, reset)

    def _run(
        self,
        passes: Sequence[Pass],
        xs: Tree,
        states: Sequence[Tree],
        flags: Flags,
        nudges: Sequence[Any] | None = None,
    ) -> tuple[Tree, list[Outcome]]:
        """Return the outputs of the last layer, (T, N, ...), and the states that each pass returned.

        `nudges` has those of each pass: see `run_pass`.
        """
        T, N = first_leaf(xs).shape[:2]
        order = back = None
        if flags.lengths is not None and (
            nudges is not None
            or mode.anomaly
            or not isinstance(first_leaf(xs), Tensor)  # inside a step that is traced: nothing can leave the loop
            or any(_binds_rows(one.cell, N) for one in passes)
        ):
            flags = flags.with_mask(T)
        if flags.lengths is not None:
            order = np.argsort(-flags.lengths, kind="stable")
            back = np.argsort(order)
            flags = Flags(flags.lengths[order], None, None if flags.reset is None else flags.reset[:, order])
            xs, states = reorder_steps(xs, order), [reorder_rows(state, order) for state in states]
        mask = flags.valid(T)
        if mask is not None and (self.options["residual"] or mode.anomaly):  # what a pass reads is filled there
            xs = map_leaves(lambda x: where(per_row(mask, x), x, np.zeros((), x.dtype)), xs)
        directions, outcomes = 1 + self.bidirectional, list[Outcome]()
        if mode.anomaly:
            check_given([(one.place(k // directions), one.cell) for k, one in enumerate(passes)], xs)
        for first in range(0, len(passes), directions):
            inputs = map_leaves(lambda x, first=first: self._thinned(x, first > 0), xs)
            for k in range(first, first + directions):
                given = (inputs, states[k], flags, self.options, self.training)
                with Within(passes[k].place(first // directions), N):
                    outcomes.append(run_pass(passes[k], *given, None if nudges is None else nudges[k]))
            ys = self._merge([outcome.ys for outcome in outcomes[first:]])
            xs = self._with_residual(xs, ys, first > 0, mask)
        if back is None:
            return xs, outcomes
        restored = [Outcome(None, reorder_rows(one.state, back), reorder_steps(one.states, back)) for one in outcomes]
        return reorder_steps(xs, back), restored

    def _thinned(self, x: Any, between: bool) -> Any:
        """Return the input of a layer with what dropout leaves of it."""
        if not self.training or x.dtype.kind != "f":
            return x
        if between and self.dropout:
            x = drop(x, self.dropout)
        if rate := self.options["variational_dropout"]:
            x = x * drop(zeros(x.shape[1:], x.dtype) + 1, rate)
        return x

    def _merge(self, ys: list[Tree]) -> Tree:
        """Return the outputs of the directions of a layer as one."""
        if len(ys) == 1:
            return ys[0]
        pairs = zip(*[flatten(y)[0] for y in ys], strict=True)
        how = self.options["merge"]
        if how == "concat":
            merged = [concat(pair, -1) for pair in pairs]
        else:
            merged = [(a + b) * (0.5 if how == "mean" else 1) for a, b in pairs]
        return flatten(ys[0])[1](merged)

    def _with_residual(self, xs: Tree, ys: Tree, between: bool, mask: Mask | None = None) -> Tree:
        if not self.options["residual"]:
            return ys
        if mask is not None and self.options["masked_output"] == "held":
            xs = hold_padding(xs, mask, self.options["go_backwards"])
        before, (after, rebuild) = flatten(xs)[0], flatten(ys)
        if [x.shape for x in before] == [y.shape for y in after]:
            return rebuild([x + y for x, y in zip(before, after, strict=True)])
        if between or len(self._passes()) == 1 + self.bidirectional:
            raise ShapeError(
                f"{type(self).__name__}: expected a residual layer whose output is like its input, got "
                f"{describe(ys)} from {describe(xs)}; give it equal sizes, or leave residual out."
            )
        return ys

    # -------------------------------------------------------------------------------------------------- states

    def reset_parameters(self) -> None:
        """Draw every parameter anew, and let learned first states be those of the cells again.

        Raises
        ------
        ArgumentError
            If a cell has parameters, but no method `reset_parameters`.
        """
        for one in self._passes():
            one.redraw(type(self).__name__)

    def initial_state(self, batch_size: int) -> Tree:
        """Return the state that `forward` starts from by default."""
        return self._join([one.initial_state(batch_size) for one in self._passes()])

    def reset_states(self) -> None:
        """Let a `stateful` layer start from its initial state again."""
        self._kept = None

    def _begin(self, passes: Sequence[Pass], state: Tree, batch_size: int) -> list[Tree]:
        """Return the state from which each pass starts."""
        if state is not None:
            return self._split(state, batch_size)
        if self._kept is None:
            return [one.initial_state(batch_size) for one in passes]
        kept = first_leaf(self._kept).shape[0]
        if kept != batch_size:
            raise ShapeError(
                f"{type(self).__name__}: expected a batch of {kept} sequences, those of the call before (stateful), "
                f"got {batch_size}; call reset_states() first."
            )
        return [
            map_leaves(lambda x, dtype=one.cell.dtype: x.astype(dtype) if x.dtype.kind == "f" else x, part)
            for one, part in zip(passes, self._kept, strict=True)  # the module may have been cast since
        ]

    # ------------------------------------------------------------------------------------------ other ways to run

    def inspect(
        self, xs: Tree, state: Tree = None, *, lengths: Any = None, mask: Any = None, reset: Any = None
    ) -> Inspection:
        """Return what happens inside in a call with these arguments, those of `forward`: see `Inspection`.

        Everything a cell tagged and every state, at all times, and after a backward pass dL/dh_t. It is compiled as
        `forward` is, and leaves a `stateful` layer where it was. Its arrays are time-major; one sequence alone, (T, I),
        is given as a batch.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> inspection = ts.nn.GRU(3, 5, num_layers=2).inspect(ts.randn(7, 2, 3))
        >>> inspection[1, "update_gate"].shape
        (7, 2, 5)
        >>> inspection.ys[-1].sum().backward()
        >>> inspection.one(layer=1).gradient_norms().shape
        (7, 2)
        """
        xs, flags = self._take(xs, lengths, mask, reset)
        T, N = first_leaf(xs).shape[:2]
        passes = self._passes()
        states = self._begin(passes, state, N)
        nudges = [make_nudges(each, T) for each in states]
        ys, outcomes = self._run(passes, xs, states, flags, nudges)
        found = []
        for k, (one, outcome, each) in enumerate(zip(passes, outcomes, nudges, strict=True)):
            layer, (leaves, rebuild) = k // (1 + self.bidirectional), flatten(outcome.state)
            numbers = one.cell.name_states(rebuild(range(len(leaves))))
            names = sorted(numbers, key=numbers.__getitem__)  # in the order of `flatten`
            about = (one.place(layer), layer, one.reverse)
            found.append(PassInspection(*about, outcome.tags, outcome.states, names, each))
        ys = map_leaves(_swap if self.batch_first else _same, ys)
        return Inspection(ys, self._join([outcome.state for outcome in outcomes]), tuple(found))

    def stream(self, batch_size: int, state: Tree = None) -> Stream:
        """Return this layer as a function of one step's inputs (N, I), which keeps its state: see `Stream`.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> stream = ts.nn.LSTM(3, 5).stream(batch_size=1)
        >>> for x in ts.randn(7, 1, 3):
        ...     y = stream(x)
        >>> y.shape
        (1, 5)
        """
        return Stream(self, batch_size, state)

    def _step(self) -> StepFunction:
        """Return the step of all layers as one, not in training; its carry is the tuple of the passes' states."""
        if any(one.reverse for one in self._passes()):
            raise ArgumentError(
                f"{type(self).__name__}.stream: expected a layer that goes forwards only, got one that goes backwards; "
                "it needs whole sequences."
            )
        steps = [step_of_pass(one, self.options) for one in self._passes()]

        def step(states: Tree, x: Tree) -> tuple[Tree, Tree]:
            finals = []
            for layer, (one, state) in enumerate(zip(steps, states, strict=True)):
                state, y = one(state, x)
                finals.append(state)
                x = self._with_residual(x, y, layer > 0)
            return tuple(finals), x

        return step

    def explain(self, xs: Tree, layer: int = 0) -> str:
        """Return what the step of a layer was compiled to; of the first layer, `xs` are the inputs.

        It shows what is done before, during and after the loop over time, forward and backward, what is saved, the
        memory that takes, and the generated source.

        Parameters
        ----------
        xs
            As in `forward`; for a further layer, the outputs of the one before.
        layer
            The number of the layer, from 0.
        """
        xs = map_leaves(as_leaf, xs)
        shape: tuple[int, ...] = next((leaf.shape for leaf in flatten(xs)[0]), ())
        if len(shape) < 2 or not shape[0]:
            raise ShapeError(
                f"{type(self).__name__}.explain: expected xs (T, N, ...), of at least one step, got {describe(xs)}; "
                "pass zeros."
            )
        if self.batch_first:
            xs, shape = map_leaves(_swap, xs), (shape[1], shape[0])
        passes = self._passes()[:: 1 + self.bidirectional]
        if isinstance(layer, bool) or layer not in range(len(passes)):
            raise ArgumentError(
                f"{type(self).__name__}.explain: expected layer to be one of {len(passes)}, counted from 0, got "
                f"{layer!r}; pass its number."
            )
        one = passes[layer]
        program = program_of(step_of_pass(one, self.options), one.initial_state(shape[1]), xs)
        return program.explain(shape[0], self.options["remember"])


def _binds_rows(cell: Cell, N: int) -> bool:
    """Return whether a cell may read arrays that have a row for each sequence, beside what its step is given.

    A cell of this package reads its attributes only. What the `forward` of another one reads, such as a memory in a
    variable around it, cannot be known.
    """
    modules = list(cell.modules())
    if not all(map(is_from_package, modules)):
        return True
    held = flatten([vars(module) for module in modules])[0]
    return any(not isinstance(x, Parameter | Buffer) and getattr(x, "shape", ())[:1] == (N,) for x in held)


def _swap(x: Any) -> Any:
    return swapaxes(x, 0, 1)


def _same(x: Any) -> Any:
    return x
