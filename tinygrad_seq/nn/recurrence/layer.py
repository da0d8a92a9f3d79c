"""`SequenceLayer`: the base class of all recurrent layers, for any cell."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...base.tree import Tree, describe, first_leaf, flatten, map_leaves
from ...errors import ArgumentError, ShapeError
from ...ops.joining import split
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
from .options import TRANSFORMS, Options, check_options, check_residual, joins
from .passes import Pass, learned_state, step_of_pass
from .prepared_calls import PreparedCalls
from .stream import Stream
from .transforms.inputs import Leaves

if TYPE_CHECKING:
    from ...scan.program import Program


class SequenceLayer(Module):
    """Base of `Recurrent`, `RNN`, `GRU` and `LSTM`.

    A subclass provides the cells of its passes, checks its inputs, and converts between the state of the layer and one
    state per pass.

    Attributes
    ----------
    options : Options
        All options, with defaults filled in.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LSTM(3, 5, window=20).options["window"]
    20
    """

    batch_first: bool
    bidirectional: bool
    dropout: float
    options: Options
    initial_states: list[Tree] | None
    projections: list[Parameter] | None = None
    _stacks_states = False
    """Whether the arrays of its state have an axis of passes in front."""

    def _set_up(
        self,
        cells: Sequence[Cell],
        sizes: Sequence[tuple[int | None, int | None]],
        bidirectional: bool,
        batch_first: bool,
        dropout: float,
        options: Options,
    ) -> None:
        """Check and store the options.

        Parameters
        ----------
        cells
            The cells of all passes.
        sizes
            The input and output size of each layer's cells; None where unknown.
        bidirectional, batch_first, dropout, options
            The arguments of the layer.
        """
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
            check_residual(name, sizes, bidirectional and joins(self.options["merge"]))
        for cell in cells:
            for transform in TRANSFORMS:
                transform.check(name, self.options, cell.initial_state(1))
        learned = self.options["learn_initial_state"]
        self.initial_states = [learned_state(cell) for cell in cells] if learned else None
        self._kept: list[Tree] | None = None
        self._prepared = PreparedCalls()

    # ------------------------------------------------------------------------------- subclasses define these

    def _pass_cells(self) -> Sequence[Cell]:
        """Return the cell of each pass, in the order of `_passes`."""
        raise NotImplementedError

    def _check_inputs(self, xs: Tree) -> None:
        """Raise if the inputs do not fit the first cell."""
        raise NotImplementedError

    def _split(self, state: Tree, batch_size: int) -> list[Tree]:
        """Return the state of each pass."""
        raise NotImplementedError

    def _join(self, states: Sequence[Tree]) -> Tree:
        """Return the states of the passes as the state of the layer."""
        raise NotImplementedError

    def _split_arrays(self, leaves: Sequence[Any], counts: Sequence[int]) -> Sequence[Sequence[Any]]:
        """Return the arrays of the state of each pass, from those of the state of the layer.

        `counts` are the numbers of arrays of the passes. Those of a single pass keep the axis of passes, of size 1.
        """
        raise NotImplementedError

    def _join_arrays(self, states: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return the arrays of the state of the layer, from those of the state of each pass."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------- running

    def _passes(self) -> list[Pass]:
        """Return the passes: the forward one of layer 0, the backward one if there is one, then those of layer 1 ..."""
        cells, backwards = self._pass_cells(), self.options["go_backwards"]
        none = [None] * len(cells)
        return [
            Pass(cell, backwards or (self.bidirectional and k % 2 == 1), learned, projection)
            for k, (cell, learned, projection) in enumerate(
                zip(cells, self.initial_states or none, self.projections or none, strict=True)
            )
        ]

    def forward(
        self, xs: Tree, state: Tree = None, *, lengths: Any = None, mask: Any = None, reset: Any = None
    ) -> tuple[Any, Any, *tuple[Any, ...]]:
        """Return ``(ys, state)``: the outputs of the last layer and the state after the last step.

        Parameters
        ----------
        xs : Tensor (T, N, I), or nested tuples, lists and dicts of them if the cell takes them
            The inputs; (N, T, I) with `batch_first`.
        state : Tensors, default None
            The state to start from, whose gradient flows; None for the initial state.
        lengths : array_like of int (N,), default None
            The number of valid steps of each sequence, from 0 to T. The steps after them are padding: they have no
            effect, their outputs are 0 (see `masked_output`), and they get no gradient. The backward direction starts
            at the last valid step. A sequence of length 0 keeps its state. Nothing needs sorting or packing. With cells
            of this package, finished sequences leave the loop when that saves time.
        mask : array_like of bool (T, N), default None
            True at valid steps, for padding at any position. (N, T) with `batch_first`.
        reset : array_like of bool (T, N), default None
            The steps before which a new sequence begins: the state is set to the initial state, in both directions. A
            flag at a masked step applies to the next valid step. (N, T) with `batch_first`.

        Returns
        -------
        ys : Tensor (T, N, H), or the structure of the cell's output
            (T, N, 2H) if the outputs of two directions are concatenated; (N, T, ...) with `batch_first`. The pair
            (forward, backward) with ``merge=None``.
        state : Tensors
            The state after the last valid step; pass it to the next call to continue, through `detach_state` to
            cut the gradient.
        states : Tensors
            Only with `return_all_states`: like `state`, with a time axis before the batch axis.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If xs, the state or the flags do not fit the layer or each other.
        """
        plain = lengths is None and mask is None and reset is None and self.options["merge"] is not None
        if plain and (ready := self._prepared.run(self, xs, state)) is not None:
            return ready
        leaves = self._enter(xs)
        T, N = leaves.arrays[0].shape[:2]
        call, states = self._call(T, N, state, lengths, mask, reset)
        if plain and self._prepared.prepare(self, call, xs, state, states):
            ready = self._prepared.run(self, xs, state)
            if ready is not None:
                return ready
        ys, outcomes = run_call(call, leaves, states)
        finals = [outcome.state for outcome in outcomes]
        if self.options["stateful"]:
            self._kept = [detach_state(final) for final in finals]
        if not self.options["return_all_states"]:
            return self._outputs(ys), self._join(finals)
        return (
            self._outputs(ys),
            self._join(finals),
            self._join([self._pack(Leaves.of(each.states)) for each in outcomes]),
        )

    def _enter(self, inputs: Tree) -> Leaves:
        """Return the inputs of a call, checked, flattened and time-major."""
        xs = Leaves.of(inputs).map(functools.partial(as_leaf, caller=type(self).__name__))
        self._check_inputs(xs.tree())
        return xs.map(_swap) if self.batch_first else xs

    def _call(self, T: int, N: int, state: Tree, lengths: Any, mask: Any, reset: Any) -> tuple[Call, list[Tree]]:
        """Prepare a call on T steps of N sequences; return it with the initial state of each pass."""
        name, passes = type(self).__name__, self._passes()
        flags = check_flags(name, T, N, self.batch_first, lengths, mask, reset)
        call = Call(name, passes, 1 + self.bidirectional, flags, self.options, self.dropout, self.training)
        return call, self._begin(passes, state, N)

    def _outputs(self, ys: Leaves) -> Tree:
        """Return the outputs as `forward` does: with ``merge=None`` the pair of those of both directions."""
        if not self.bidirectional or self.options["merge"] is not None:
            return self._pack(ys)
        halves = [split(y, 2, axis=-1) for y in ys.arrays]
        return tuple(self._pack(Leaves([half[k] for half in halves], ys.rebuild)) for k in (0, 1))

    def _pack(self, arrays: Leaves) -> Tree:
        """Rebuild the structure of time-major arrays, batch-first if the layer is."""
        return (arrays.map(_swap) if self.batch_first else arrays).tree()

    # -------------------------------------------------------------------------------------------------- states

    def reset_parameters(self) -> None:
        """Re-initialise all parameters; learned initial states are set to those of the cells.

        Raises
        ------
        ArgumentError
            If a cell has parameters, but no method `reset_parameters`.
        """
        for one in self._passes():
            one.reinitialise(type(self).__name__)

    def initial_state(self, batch_size: int) -> Tree:
        """Return the state that `forward` starts from by default.

        Parameters
        ----------
        batch_size : int
            N, the number of sequences.

        Returns
        -------
        Tensors
            In the form that `forward` takes.
        """
        return self._join([one.initial_state(batch_size) for one in self._passes()])

    def reset_states(self) -> None:
        """Make a `stateful` layer start from its initial state in the next call."""
        self._kept = None

    def _begin(self, passes: Sequence[Pass], state: Tree, batch_size: int) -> list[Tree]:
        """Return the initial state of each pass."""
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
        """Run the layer like `forward` and record what happens inside: see `Inspection`.

        It records all tagged values, the states after all steps, and after a backward pass dL/dh_t. It is compiled like
        `forward`, and does not change the state of a `stateful` layer. The recorded arrays are time-major. A single
        sequence must be given as a batch.

        Parameters
        ----------
        xs, state, lengths, mask, reset
            See `forward`.

        Returns
        -------
        Inspection
            Outputs, state, and the record of each layer and direction.

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
        leaves = self._enter(xs)
        T, N = leaves.arrays[0].shape[:2]
        call, states = self._call(T, N, state, lengths, mask, reset)
        nudges = [make_nudges(each, T) for each in states]
        ys, outcomes = run_call(call._replace(nudges=nudges), leaves, states)
        found = []
        for k, (one, outcome, each) in enumerate(zip(call.passes, outcomes, nudges, strict=True)):
            layer, (arrays, rebuild) = k // (1 + self.bidirectional), flatten(outcome.state)
            numbers = one.cell.name_states(rebuild(range(len(arrays))))
            names = sorted(numbers, key=numbers.__getitem__)  # in the order of `flatten`
            about = (one.place(layer), layer, one.reverse)
            found.append(PassInspection(*about, outcome.tags, outcome.states, names, each, one.cell.tag_symbols))
        return Inspection(self._outputs(ys), self._join([outcome.state for outcome in outcomes]), tuple(found))

    def stream(self, batch_size: int, state: Tree = None) -> Stream:
        """Return this layer as a function of one step's inputs (N, I) that keeps its state: see `Stream`.

        Parameters
        ----------
        batch_size : int
            N, the number of sequences.
        state : Tensors, default None
            The state to start from; None for the initial state.

        Returns
        -------
        Stream
            A function of the inputs of one step.

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
        """Return a report on the compiled step of a layer.

        It shows what runs before, in and after the loop over time, forward and backward, what is saved, how much memory
        that takes, and the generated source.

        Parameters
        ----------
        xs : Tensor (T, N, I)
            The inputs of `forward`, or, for a later layer, the outputs of the layer before it.
        layer : int, default 0
            The number of the layer, from 0.

        Returns
        -------
        str
            The report.

        Raises
        ------
        ShapeError, ArgumentError, CompileError
            If xs or the number does not fit, or the step cannot be compiled.
        """
        program, T = self._program("explain", xs, layer)
        return program.explain(T, self.options["remember"])

    def draw(self, xs: Tree, layer: int = 0, *, limit: int = 200) -> str:
        """Return the compiled step of a layer as a graph in DOT, the language of Graphviz.

        It shows what runs before, in and after the loop over time, forward and backward, one node per operation.
        Dashed edges lead to the next step, dotted ones from the forward to the backward direction; results have a
        double border. Save the text as ``step.dot``; ``dot -Tsvg step.dot -o step.svg`` makes a picture of it.

        Parameters
        ----------
        xs, layer
            As in `explain`.
        limit : int, default 200
            The most operations to draw per stage; one node stands for the others.

        Returns
        -------
        str
            The graph.

        Raises
        ------
        ShapeError, ArgumentError, CompileError
            As `explain`, or if `limit` is below 1.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> print(ts.nn.RNN(3, 5).draw(ts.zeros((7, 2, 3))).splitlines()[0])
        digraph "stages" {
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ArgumentError(
                f"{type(self).__name__}.draw: expected limit to be an integer >= 1, got {limit!r}; leave it out."
            )
        return self._program("draw", xs, layer)[0].draw(limit)

    def _program(self, name: str, xs: Tree, layer: int) -> tuple[Program, int]:
        """Return the compiled step of a layer, and T; `name` is that of the method that was called."""
        xs = map_leaves(as_leaf, xs)
        shape: tuple[int, ...] = next((leaf.shape for leaf in flatten(xs)[0]), ())
        if len(shape) < 2 or not shape[0]:
            raise ShapeError(
                f"{type(self).__name__}.{name}: expected xs (T, N, ...), of at least one step, got {describe(xs)}; "
                "pass zeros."
            )
        if self.batch_first:
            xs, shape = map_leaves(_swap, xs), (shape[1], shape[0])
        passes = self._passes()[:: 1 + self.bidirectional]
        if isinstance(layer, bool) or layer not in range(len(passes)):
            raise ArgumentError(
                f"{type(self).__name__}.{name}: expected layer to be one of {len(passes)}, counted from 0, got "
                f"{layer!r}; pass its number."
            )
        one = passes[layer]
        return program_of(step_of_pass(one, self.options), one.initial_state(shape[1]), xs), shape[0]


def _swap(x: Any) -> Any:
    return swapaxes(x, 0, 1)
