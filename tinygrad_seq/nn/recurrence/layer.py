"""What all recurrent layers do: layers, directions and options, around the passes of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...base.tree import Tree, describe, first_leaf, flatten, map_leaves
from ...errors import ArgumentError, ShapeError
from ...ops.shape import swapaxes
from ...scan import program_of
from ...scan.eager import StepFunction
from ...scan.ir.trace import as_leaf
from ..cell import Cell, detach_state
from ..checks import check_probability
from ..masks import check_flags
from ..module.module import Module
from ..module.parameter import Parameter
from .call import Call, add_residual, run_call
from .inspection import Inspection, PassInspection, make_nudges
from .options import Options, check_options, check_residual
from .passes import Pass, learned_state, step_of_pass
from .stream import Stream
from .transforms.inputs import Leaves
from .transforms.zoneout import check_zoneout


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
    projections: list[Parameter] | None = None

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

    def _pass_cells(self) -> Sequence[Cell]:
        """Return the cell of each pass: see `_passes`."""
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

    def _passes(self) -> list[Pass]:
        """Return the passes: the forward one of layer 0, the backward one if there is one, then those of layer 1 ..."""
        cells, backwards = self._pass_cells(), self.options["go_backwards"]
        none = [None] * len(cells)
        return [
            Pass(cell, backwards or (self.bidirectional and k % 2 == 1), first, projection)
            for k, (cell, first, projection) in enumerate(
                zip(cells, self.initial_states or none, self.projections or none, strict=True)
            )
        ]

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
        call = self._enter(xs, state, lengths, mask, reset)
        ys, outcomes = run_call(call)
        finals = [outcome.state for outcome in outcomes]
        if self.options["stateful"]:
            self._kept = [detach_state(final) for final in finals]
        if not self.options["return_all_states"]:
            return self._pack(ys), self._join(finals)
        return self._pack(ys), self._join(finals), self._join([self._pack(Leaves.of(each.states)) for each in outcomes])

    def _enter(self, xs: Tree, state: Tree, lengths: Any, mask: Any, reset: Any) -> Call:
        """Check the arguments of a call and flatten its inputs."""
        xs = Leaves.of(xs).map(as_leaf)
        self._check_inputs(xs.tree())
        if self.batch_first:
            xs = xs.map(_swap)
        name, (T, N) = type(self).__name__, xs.arrays[0].shape[:2]
        flags = check_flags(name, T, N, self.batch_first, lengths, mask, reset)
        passes = self._passes()
        states, directions = self._begin(passes, state, N), 1 + self.bidirectional
        return Call(name, passes, directions, xs, states, flags, self.options, self.dropout, self.training)

    def _pack(self, arrays: Leaves) -> Tree:
        """Return time-major arrays in their structure, with the axes as the caller wants them."""
        return (arrays.map(_swap) if self.batch_first else arrays).tree()

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
        call = self._enter(xs, state, lengths, mask, reset)
        nudges = [make_nudges(each, call.xs.arrays[0].shape[0]) for each in call.states]
        ys, outcomes = run_call(call._replace(nudges=nudges))
        found = []
        for k, (one, outcome, each) in enumerate(zip(call.passes, outcomes, nudges, strict=True)):
            layer, (leaves, rebuild) = k // (1 + self.bidirectional), flatten(outcome.state)
            numbers = one.cell.name_states(rebuild(range(len(leaves))))
            names = sorted(numbers, key=numbers.__getitem__)  # in the order of `flatten`
            about = (one.place(layer), layer, one.reverse)
            found.append(PassInspection(*about, outcome.tags, outcome.states, names, each))
        return Inspection(self._pack(ys), self._join([outcome.state for outcome in outcomes]), tuple(found))

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
        passes = self._passes()
        if any(one.reverse for one in passes):
            raise ArgumentError(
                f"{type(self).__name__}.stream: expected a layer that goes forwards only, got one that goes backwards; "
                "it needs whole sequences."
            )
        name, options, steps = type(self).__name__, self.options, [step_of_pass(one, self.options) for one in passes]

        def step(states: Tree, x: Tree) -> tuple[Tree, Tree]:
            finals = []
            for layer, (one, state) in enumerate(zip(steps, states, strict=True)):
                state, y = one(state, x)
                finals.append(state)
                if options["residual"]:
                    strict = layer > 0 or len(steps) == 1
                    y = add_residual(name, Leaves.of(x), Leaves.of(y), strict, options).tree()
                x = y
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


def _swap(x: Any) -> Any:
    return swapaxes(x, 0, 1)
