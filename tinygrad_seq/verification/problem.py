"""`Problem`: a subject with data of one size; runs it and returns outputs and gradients of a weighting of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..autograd.creation import asarray
from ..autograd.tensor import Tensor, pull_back
from ..base import settings
from ..base.modes import disable_compile, enable_grad, no_grad
from ..base.tree import Tree, describe, flatten, map_leaves
from ..errors import ArgumentError, CompileWarning, ShapeError
from ..ops.joining import concat
from ..scan.ir.leaves import name_of, named_leaves
from .compare import Arrays, Evaluation
from .subject import CARRY, COMPILED, ROWS, LayerSubject, Outputs, Subject, replaced

Run = Callable[[Tree, Tree], Outputs]

_BURN_IN = 2


@dataclass
class Problem:
    """A subject with inputs (T, N, ...) and a reachable state, all in float64.

    Attributes
    ----------
    subject : Subject
        The subject to verify.
    T, N : int
        The sequence length and the batch size.
    short : bool
        Whether checks that do not concern the compiler run step by step.
    compile : bool
        Whether the compiler may be used.
    seed : int
        The seed of the data and of the subject's random masks.
    given_xs, given_init : pytree
        The user's inputs and state; None generates random ones.
    make : callable, optional
        Constructs the user's cell, layer or module.
    locate : bool
        Whether to locate a wrong derivative element by element.
    """

    subject: Subject
    T: int
    N: int
    short: bool
    compile: bool
    seed: int
    given_xs: Tree = None
    given_init: Tree = None
    random: bool | None = None
    make: Callable[[], Any] | None = None
    locate: bool = False
    xs: Tree = field(init=False)
    state: Tree = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.xs = self._draw_inputs(rng, self.T) if self.given_xs is None else self._cut(self.given_xs, 0)
        self.state = self._reach_state(np.random.default_rng([self.seed, 1]))

    # ------------------------------------------------------------------------------------------------- data

    def _draw_inputs(self, rng: np.random.Generator, T: int) -> Tensor:
        subject = self.subject
        size = None
        if isinstance(subject, LayerSubject):
            size = subject.layer._passes()[0].cell.input_size
        if size is None:
            raise ArgumentError(
                f"verify: expected xs for {subject.name}, which has no input_size to generate them, got None; "
                "pass xs=, an array (T, N, ...) or a tree of them."
            )
        return _leaf(rng.standard_normal((T, self.N, size)))

    def _cut(self, tree: Tree, first: int) -> Tree:
        """Return the user's arrays as float64 leaves, cut to T steps and N batch elements."""

        def part(x: Any) -> Tensor:
            array = asarray(x).numpy()
            array = array[: self.T] if first == 0 and self.cuts_time else array
            rows = self.subject.row_axis if first == 0 else self.subject.state_axis
            if rows is not None and self.subject.row_axis is not None and array.ndim > rows:
                array = array[(slice(None),) * rows + (slice(self.N),)]
            return _leaf(array)

        return map_leaves(part, tree)

    @property
    def cuts_time(self) -> bool:
        """Whether time is known to be axis 0 of the inputs."""
        return not self.subject.lacks(CARRY) or isinstance(self.subject, LayerSubject)

    def _reach_state(self, rng: np.random.Generator) -> Tree:
        """Return the user's state, or one that the subject reaches; an arbitrary state may be invalid."""
        if self.given_init is not None:
            return self._cut(self.given_init, 1)
        first = self.subject.initial_state(self.N)
        if first is None:
            return None
        with no_grad(), self._engine(False):
            before = self.xs if self.given_xs is not None else self._draw_inputs(rng, _BURN_IN)
            state = self.subject.run(before, None, evaluate=True)["state"]
        return map_leaves(lambda x: _leaf(x.numpy()), state)

    def at(self, T: int, N: int, xs: Tree = None) -> Problem:
        """Return the problem with other sizes or inputs."""
        return replace(self, T=T, N=N, given_xs=self.given_xs if xs is None else xs)

    def from_the_start(self) -> Problem:
        """Return the problem with the initial state of the subject."""
        other = replace(self)
        other.state = None
        return other

    def with_xs(self, change: Callable[[np.ndarray], np.ndarray]) -> Problem:
        """Return the problem with its floating-point inputs transformed by `change`."""
        other = replace(self)
        other.xs = map_leaves(lambda x: _leaf(change(x.numpy())) if x.dtype.kind == "f" else x, self.xs)
        other.state = self.state
        return other

    # -------------------------------------------------------------------------------------------- properties

    @property
    def leaves(self) -> dict[str, Tensor]:
        """The leaves of the gradients by name: parameters, inputs, state."""
        found = {repr(name): parameter for name, parameter in self.subject.parameters().items()}
        for role, tree in (("xs", self.xs), ("state", self.state)):
            found |= {name_of(role, path): leaf for path, leaf in named_leaves(tree) if leaf.dtype.kind == "f"}
        return found

    def lacks(self, need: str) -> str:
        """Return why a check with this need cannot run; an empty string if it can."""
        if need == COMPILED:
            return self.not_compiled
        one_row = "there is one row only; pass N=2 or more" if need == ROWS and self.N == 1 else ""
        return self.subject.lacks(need) or one_row

    @property
    def not_compiled(self) -> str:
        """Why the compiled path cannot be checked; an empty string if it can."""
        if not self.compile:
            return "compile=False, or inside disable_compile or detect_anomaly"
        with self._engine(True):
            return self.subject.refusal(self.xs, self.state, self.compiled_in_evaluation)

    @property
    def compiled_in_evaluation(self) -> bool:
        """Whether it can be compiled only in evaluation mode, like a cell that draws random numbers in training."""
        with self._engine(True):
            return bool(self.subject.refusal(self.xs, self.state, False))

    @property
    def learns_its_start(self) -> bool:
        """Whether the initial state has parameters."""
        return any(leaf.requires_grad for leaf in flatten(self.subject.initial_state(self.N))[0])

    def draws(self) -> bool:
        """Return whether the subject draws random numbers, as dropout does in training."""
        if self.random is None:
            first, second = (replace(self, seed=self.seed + k, random=False) for k in (0, 1))
            second.xs, second.state = first.xs, first.state
            a, b = (one.evaluate(compile=False).values for one in (first, second))
            self.random = any(not np.array_equal(a[name], b[name], equal_nan=True) for name in a)
        return self.random

    # ------------------------------------------------------------------------------------------------ running

    @contextmanager
    def _engine(self, compile: bool | None) -> Iterator[None]:
        """Return a context that runs scans compiled or step by step, without warnings of the compiler."""
        compiled = (not self.short if compile is None else compile) and self.compile
        with warnings.catch_warnings(), nullcontext() if compiled else disable_compile():
            warnings.simplefilter("ignore", CompileWarning)
            yield

    def whole(self, **options: Any) -> Run:
        """Return a run of the whole sequence in evaluation mode, with options of `Subject.run`: outputs and state."""

        def run(xs: Tree, state: Tree) -> Outputs:
            outputs = self.subject.run(xs, state, evaluate=True, **options)
            return {"ys": outputs["ys"], "state": outputs["state"]}

        return run

    def outputs(self, run: Run | None = None, *, compile: bool | None = None, **how: Any) -> Outputs:
        """Return the outputs; see `evaluate`."""
        settings.manual_seed(self.seed)
        with self._engine(compile):
            if run is not None:
                return run(self.xs, self.state)
            return self.subject.run(self.xs, self.state, **how)

    def evaluate(self, run: Run | None = None, *, compile: bool | None = None, **how: Any) -> Evaluation:
        """Return the outputs and the gradients of a weighting of them, equal for outputs of the same structure.

        Parameters
        ----------
        run : callable, optional
            Another function from inputs and state to outputs.
        compile : bool, optional
            Whether scans may be compiled; by default, unless the problem is short.
        **how
            Options of `Subject.run`.
        """
        with enable_grad():
            outputs = self.outputs(run, compile=compile, **how)
        with self._engine(compile):
            pulled = self.pull(outputs)
        zero = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in self.leaves.items()}
        gradients = {name: pulled[leaf].numpy() if leaf in pulled else zero[name] for name, leaf in self.leaves.items()}
        return Evaluation({name: leaf.numpy() for name, leaf in named(outputs).items()}, gradients)

    def pull(self, outputs: Outputs, *, differentiable: bool = False, every: bool = False) -> dict[Tensor, Tensor]:
        """Return the gradients of the weighting for `every` leaf of the graph, or for the leaves of the problem."""
        weights = weights_of(outputs)
        live = {name: y for name, y in named(outputs).items() if y.requires_grad}
        return pull_back(
            [*live.values()],
            [weights[name] for name in live],
            only=None if every else [*self.leaves.values()],
            keep=True,
            differentiable=differentiable,
        )

    def loss(self, outputs: Outputs) -> np.ndarray:
        """Return the weighted sum of the outputs."""
        weights = weights_of(outputs)
        return np.asarray(sum(float((w * named(outputs)[name].numpy()).sum()) for name, w in weights.items()))

    def moved(self, steps: dict[str, np.ndarray]) -> AbstractContextManager[None]:
        """Return a context in which `steps` are added to leaves of the problem."""
        leaves = self.leaves
        return replaced([(leaves[name], np.asarray(leaves[name]._array + step)) for name, step in steps.items()])


def named(outputs: Outputs) -> dict[str, Tensor]:
    """Return the leaves of outputs by name: ``ys``, ``state 'h'``."""
    return {name_of(role, path): asarray(leaf) for role, tree in outputs.items() for path, leaf in named_leaves(tree)}


def weights_of(outputs: Outputs) -> Arrays:
    """Return random weights per floating-point output, equal for outputs of the same structure."""
    rng = np.random.default_rng(7)
    leaves = {name: leaf for name, leaf in named(outputs).items() if leaf.dtype.kind == "f"}
    return {name: rng.standard_normal(leaf.shape) for name, leaf in leaves.items()}


def _leaf(values: np.ndarray) -> Tensor:
    """Return values as a Tensor: floating-point ones as float64 that require grad, others unchanged."""
    floating = values.dtype.kind == "f"
    return Tensor(values.astype(np.float64) if floating else values, requires_grad=floating)


# ------------------------------------------------------------------------------------ splitting and joining trees


def part(tree: Tree, key: slice, axis: int) -> Tree:
    """Return a slice of every array along an axis; arrays without that axis are unchanged."""
    return map_leaves(lambda x: x[(slice(None),) * axis + (key,)] if x.ndim > axis else x, tree)


def row(tree: Tree, n: int, axis: int) -> Tree:
    """Return one batch element of every array; the axis stays."""
    return part(tree, slice(n, n + 1), axis)


def joined(trees: Sequence[Tree], axis: int) -> Tree:
    """Concatenate the arrays of trees of one structure along an axis, the inverse of `part`."""
    columns = zip(*[flatten(tree)[0] for tree in trees], strict=True)
    return flatten(trees[0])[1]([concat(list(xs), axis) if xs[0].ndim > axis else xs[0] for xs in columns])


def sizes_of(xs: Tree, row_axis: int | None) -> tuple[int, int]:
    """Return T and N of the user's inputs."""
    leaves = [asarray(leaf) for leaf in flatten(xs)[0]]
    axes = max(1, 0 if row_axis is None else row_axis + 1)
    if not leaves or any(leaf.ndim < axes for leaf in leaves[:1]) or not leaves[0].shape[0]:
        raise ShapeError(f"verify: expected xs (T, N, ...) of at least one step, got {describe(xs)}; pass such arrays.")
    first = leaves[0].shape
    return first[0], 1 if row_axis is None or len(first) <= row_axis else first[row_axis]
