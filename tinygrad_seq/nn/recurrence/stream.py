"""`Stream`: run a recurrent layer one step at a time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...autograd.creation import asarray, zeros
from ...autograd.tensor import Tensor
from ...base.tree import Tree, describe, flatten, map_leaves
from ...errors import ArgumentError, DtypeError, ShapeError
from ...scan.eager import StepFunction
from ...scan.ir.leaves import name_of, named_leaves
from ..checks import check_sizes

if TYPE_CHECKING:
    from ...scan.stepper import CompiledStepper, EagerStepper


class Streamable(Protocol):
    """What `Stream` needs from a layer: its step, its passes, and conversion between its state and one per pass."""

    def initial_state(self, batch_size: int) -> Tree: ...
    def _step(self) -> StepFunction: ...
    def _passes(self) -> Sequence[Any]: ...
    def _split(self, state: Any, batch_size: int) -> Sequence[Tree]: ...
    def _join(self, states: Sequence[Tree]) -> Tree: ...


class Stream:
    """A recurrent layer that advances one step per call: the result of `layer.stream(batch_size)`.

    The first call compiles the step, packs its weights and allocates all memory, unless that is done already; after
    that, a call costs little more than the arithmetic of the step. No gradient flows, and nothing is dropped. The
    stream has a copy of the weights: call `refresh` after they have changed. A stream holds N sequences in progress:
    use it in one thread at a time.

    Parameters
    ----------
    layer : Recurrent, RNN, GRU or LSTM
        A layer that runs forwards only.
    batch_size : int
        N, the number of sequences.
    state : Tensors, default None
        The state to start from, as the layer's `forward` takes it, (L, N, H); None for its initial state.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the layer goes backwards, or the state does not fit it.

    Examples
    --------
    >>> import numpy as np, tinygrad_seq as ts
    >>> lstm, xs = ts.nn.LSTM(3, 5), ts.randn(7, 2, 3)
    >>> stream = lstm.stream(batch_size=2)
    >>> ys = ts.stack([stream(x) for x in xs])
    >>> np.allclose(ys, lstm(xs)[0].detach(), atol=1e-6)
    True
    >>> h, c = stream.state
    >>> h.shape
    (1, 2, 5)
    """

    def __init__(self, layer: Streamable, batch_size: int, state: Tree = None) -> None:
        check_sizes(f"{type(layer).__name__}.stream", batch_size=batch_size)
        layer._step()  # raises if the layer goes backwards
        self._layer, self._batch = layer, (int(batch_size),)
        self._stepper: CompiledStepper | EagerStepper | None = None
        self._expected: list[tuple[tuple[int, ...], np.dtype]] = []
        self._begin = self._parts(layer.initial_state(batch_size) if state is None else state)
        self._states = self._begin
        cell = layer._passes()[0].cell
        if cell.input_size is not None:
            self._prepare(zeros((*self._batch, cell.input_size), cell.dtype))

    def __call__(self, x: Tree) -> Tree:
        """Return the output for `x`, the next input, and advance the state.

        Parameters
        ----------
        x : Tensor (N, I), or what the cell takes
            With the same structure, shapes and dtypes in each call.

        Returns
        -------
        y : Tensor (N, H), or the structure of the cell's output

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If x does not fit.
        """
        leaves = [x] if x.__class__ in (Tensor, np.ndarray) else flatten(map_leaves(asarray, x))[0]
        if self._stepper is None:
            self._prepare(map_leaves(asarray, x))
        arrays = [leaf._array if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        if [(array.shape, array.dtype) for array in arrays] != self._expected:
            self._refuse(x)
        assert self._stepper is not None
        return self._stepper.step(arrays)

    @property
    def state(self) -> Tree:
        """The state after the last step, in the layer's form; assign to it to continue from another state."""
        states = self._states if self._stepper is None else self._stepper.carry
        return self._layer._join(states)

    @state.setter
    def state(self, state: Tree) -> None:
        self._advance_from(self._parts(state))

    def reset(self) -> None:
        """Set the state to the one that the stream started from."""
        self._advance_from(self._begin)

    def refresh(self) -> None:
        """Copy the current weights of the layer; the state is unchanged."""
        if self._stepper is not None:
            self._states = self._parts(self.state)
            self._prepare(self._x)

    def _parts(self, state: Tree) -> Sequence[Tree]:
        states = self._layer._split(map_leaves(asarray, state), *self._batch)
        return [map_leaves(_values, part) for part in states]

    def _advance_from(self, states: Sequence[Tree]) -> None:
        self._states = states
        if self._stepper is not None:
            self._stepper.carry = tuple(states)

    def _prepare(self, x: Tree) -> None:
        leaves = dict(named_leaves(x))
        sizes = {name_of("x", path): leaf.shape[:1] for path, leaf in leaves.items()}
        if not sizes or set(sizes.values()) != {self._batch}:
            raise ShapeError(
                f"stream: expected x with {self._batch[0]} rows, one for each sequence, got {describe(x)}; "
                "pass the inputs of one step, (N, ...), or another batch_size."
            )
        from ...scan.stepper import make_stepper  # the compiler is imported when first used

        self._x = x
        self._expected = [(leaf.shape, leaf.dtype) for leaf in flatten(x)[0]]
        layer: Any = copy.deepcopy(self._layer)
        self._stepper = make_stepper(layer.eval()._step(), tuple(self._states), x)

    def _refuse(self, x: Tree) -> None:
        """Raise the error for an input that differs from the first in structure, shape or dtype."""
        x = map_leaves(asarray, x)
        shapes, expected = [leaf.shape for leaf in flatten(x)[0]], [shape for shape, _ in self._expected]
        kind = ArgumentError if len(shapes) != len(expected) else ShapeError if shapes != expected else DtypeError
        raise kind(
            f"stream: expected x as {describe(self._x)}, got {describe(x)}; pass the inputs of one step, (N, ...), "
            "and cast them with astype if need be."
        )


def _values(x: Tensor) -> Tensor:
    """Return the values of a Tensor, without its graph."""
    return Tensor(x.numpy())
