"""`Stream`: a recurrent layer that is given its inputs one at a time, as they come."""

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
    """What a layer has that streams: its step, its passes, and states in two forms, its own and one for each pass."""

    def _step(self) -> StepFunction: ...
    def _passes(self) -> Sequence[Any]: ...
    def _split(self, state: Any, batch_size: int) -> Sequence[Tree]: ...
    def _join(self, states: Sequence[Tree]) -> Tree: ...


class Stream:
    """A recurrent layer that advances one step at each call: what `layer.stream(batch_size)` returns.

    The step is compiled, its weights laid out and all memory set aside once, at the latest in the first call; after
    that a call costs little more than the arithmetic of the step. No gradient flows, and nothing is dropped. The
    weights are those of the moment the stream was made: after they have changed, call `refresh`. A stream is one
    sequence (or N of them) in progress: use it in one thread at a time.

    Parameters
    ----------
    layer
        `Recurrent`, `RNN`, `GRU` or `LSTM`.
    batch_size
        N.
    state
        The state to start from, as the layer's `forward` takes it (L, N, H); its initial state by default.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the state does not fit the layer.

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
        check_sizes("stream", batch_size=batch_size)
        layer._step()  # refuses a layer that goes backwards
        self._layer, self._batch = layer, (int(batch_size),)
        self._stepper: CompiledStepper | EagerStepper | None = None
        self._expected: list[tuple[tuple[int, ...], np.dtype]] = []
        self._begin: Sequence[Tree] = (
            [map_leaves(_values, one.initial_state(batch_size)) for one in layer._passes()]
            if state is None
            else self._parts(state)
        )
        self._states = self._begin
        cell = layer._passes()[0].cell
        if cell.input_size is not None:
            self._prepare(zeros((*self._batch, cell.input_size), cell.dtype))

    def __call__(self, x: Tree) -> Tree:
        """Return the output for `x`, the next input, and advance the state.

        Parameters
        ----------
        x
            (N, I), or what the cell takes: always of the same structure, shapes and dtypes.

        Returns
        -------
        y
            (N, H), or the structure of the cell's output.

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
        """The state after the last step, in the layer's form; it may be set."""
        states = self._states if self._stepper is None else self._stepper.carry
        return self._layer._join(states)

    @state.setter
    def state(self, state: Tree) -> None:
        self._advance_from(self._parts(state))

    def reset(self) -> None:
        """Go back to the state that the stream began with."""
        self._advance_from(self._begin)

    def refresh(self) -> None:
        """Take on the weights that the layer has now; the state stays."""
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
        """Raise the error of an input that is not like the first."""
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
