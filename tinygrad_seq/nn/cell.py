"""`Cell`: one step of a recurrence, written as its forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

import numpy as np

from ..autograd.creation import zeros
from ..base.settings import default_dtype
from ..base.tree import Tree, describe, map_leaves
from ..errors import ArgumentError, DtypeError, ShapeError
from ..scan.eager import StepFunction
from ..scan.ir.leaves import alike, difference, name_of, named_leaves
from ..scan.ir.trace import as_leaf
from .checks import check_features
from .module.module import Module, in_precision

X_contra = TypeVar("X_contra", contravariant=True)
S = TypeVar("S")
Y_co = TypeVar("Y_co", covariant=True)


class _Step(Protocol[X_contra, S, Y_co]):
    """A cell, as type checkers see its call: with the arguments and results of its own `forward`."""

    def forward(self, x: X_contra, state: S, /) -> tuple[Y_co, S]: ...


class Cell(Module):
    """Base of recurrent cells: one step of a recurrence, for a batch of rows.

    A subclass sets `state_shape` and writes ``forward(x, state) -> (output, state)``, the step, with ordinary tensor
    operations. Its gradient through time is derived from that: run the cell over a sequence with `Recurrent`. Calling
    a cell makes one step and returns output and state, even where PyTorch's cells return the state alone:
    ``h, (h, c) = LSTMCell(8, 16)(x, (h, c))``.

    ::

        ┌────────────────────────────────────────────────────────────────────┐
        │ A cell returns (output, state); a scan step returns (carry, y).    │
        └────────────────────────────────────────────────────────────────────┘

    If the two are mixed up, the state changes its structure or shape, and that is an error. Where output and state have
    the same shape the mistake cannot be detected, unless the state is a dict or tuple and the output is not: give the
    cell ``state_shape = {"h": (H,)}``.

    Attributes
    ----------
    state_shape : tuple of int, or a tuple, list or dict of them
        The shape of the state of one sequence: ``(H,)``; ``((H,), (H,))`` or ``{"h": (H,), "c": (H,)}`` for several
        arrays. The state of a batch has N rows of it, in the same structure.
    state_names : tuple, list or dict of str, optional
        The names of the arrays of the state in reports and messages, ``("h", "c")``, in the structure of the state;
        None for a position.
    tag_symbols : dict of str to str
        The symbols of tagged values in the cell's equations, ``{"update_gate": "Γ_u"}``: `inspect` takes them as names.
    input_size : int, optional
        I, if x is one array of shape (N, I).

    Examples
    --------
    A leaky integrator:

    >>> import tinygrad_seq as ts
    >>> class LeakyCell(ts.nn.Cell):
    ...     def __init__(self, input_size, hidden_size):
    ...         self.state_shape = (hidden_size,)
    ...         self.project = ts.nn.Linear(input_size + hidden_size, hidden_size)
    ...
    ...     def forward(self, x, h):
    ...         h = 0.9 * h + 0.1 * ts.tanh(self.project(ts.concat([x, h], axis=-1)))
    ...         return h, h
    >>> ys, h = ts.nn.Recurrent(LeakyCell(3, 5))(ts.randn(7, 2, 3))
    >>> ys.shape, h.shape
    ((7, 2, 5), (2, 5))
    """

    state_shape: Any
    state_names: Any = None
    tag_symbols: ClassVar[Mapping[str, str]] = {}
    input_size: int | None = None

    def __call__(self: _Step[X_contra, S, Y_co], x: X_contra, state: S | None = None) -> tuple[Y_co, S]:
        """Return ``(output, state)`` of one step.

        Parameters
        ----------
        x : Tensor (N, I), or what the cell takes
            The inputs, one row per sequence.
        state : Tensors (N, *shape), default None
            The state in the structure of `state_shape`; None for the initial state.

        Returns
        -------
        output : Tensor (N, H), or the structure that `forward` returns
        state : Tensors (N, *shape)

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If x or the state does not fit the cell, or `forward` does not return ``(output, state)``.
        """
        cell: Any = self  # all that type checkers know of `self` is its step
        if cell.input_size is not None:
            check_features(type(self).__name__, x, cell.input_size, cell.dtype)
        shape: tuple[int, ...] = getattr(next(named_leaves(x), ("", None))[1], "shape", ())
        if not shape if cell.input_size is None else len(shape) != 2:
            axes = "(N, ...)" if cell.input_size is None else f"(N, {cell.input_size})"
            raise ShapeError(
                f"{type(self).__name__}: expected x with one row per sequence, {axes}, got {describe(x)}; "
                "make it an array with ts.tensor, of one sequence with x[None]."
            )
        if state is None:
            state = cell.initial_state(shape[0])
        else:
            cell.check_state(state, shape[0])
        return cell._checked(state, in_precision(cell, self.forward, x, state), promote=True)

    def _checked(self, entered: Tree, result: Any, promote: bool = False) -> tuple[Tree, Tree]:
        """Return what `forward` returned if it is ``(output, state)`` with a state like `entered`.

        With `promote` the state may have another dtype, as where integers entered.
        """
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError(
                f"{type(self).__name__}.forward: expected two values, (output, state), got {describe(result)}; "
                "put several arrays of the state into one tuple or dict."
            )
        state = result[1]
        if not alike(entered, state) and not alike(entered, state := map_leaves(as_leaf, state)):
            caller = f"{type(self).__name__}.forward"
            error = difference("state", "entered", "left the step", entered, state, "start from a state", caller)
            if not (promote and isinstance(error, DtypeError)):
                raise error
        return result

    def _own_hooks(self) -> NoReturn:
        raise ArgumentError(
            f"{type(self).__name__}: expected a layer or a module that is called by itself, got a cell, whose step a "
            "layer runs in compiled loops, past any hook; name the value with ts.tag and call layer.inspect."
        )

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the parameters; float32 if there are none."""
        return next((p.dtype for p in self.parameters() if p.dtype.kind == "f"), default_dtype())

    def initial_state(self, batch_size: int, dtype: np.typing.DTypeLike | None = None) -> Tree:
        """Return the state that a sequence starts from, by default zeros.

        A cell that starts from something else overrides this.

        Parameters
        ----------
        batch_size : int
            N, the number of sequences.
        dtype : dtype, default None
            float32 or float64; None for that of the cell.

        Returns
        -------
        Tensors (N, *shape)
            In the structure of `state_shape`.
        """
        kind = self.dtype if dtype is None else dtype
        return _map_shapes(lambda shape: zeros((batch_size, *shape), kind), self._state_shape())

    def check_state(self, state: Tree, batch_size: int) -> None:
        """Raise unless `state` has the structure, shapes and dtype of this cell's.

        Parameters
        ----------
        state : Tensors (N, *shape)
            The state to check.
        batch_size : int
            N, the number of sequences.

        Raises
        ------
        ArgumentError, ShapeError, DtypeError
            If the structure, a shape or a dtype is wrong.
        """
        cell, dtype = type(self).__name__, self.dtype
        expected = _map_shapes(lambda shape: _Expected((batch_size, *shape), dtype), self._state_shape())
        wanted, given = dict(named_leaves(expected)), dict(named_leaves(state))
        if wanted.keys() != given.keys() or isinstance(expected, dict) != isinstance(state, dict):
            raise ArgumentError(
                f"{cell}: expected a state {describe(expected)}, got {describe(state)}; "
                "pass the structure of initial_state(batch_size); a cell returns (output, state)."
            )
        for position, (path, want) in enumerate(wanted.items()):
            shape, found = np.shape(given[path]), getattr(given[path], "dtype", dtype)
            if shape == want.shape and (found == dtype or found.kind != "f"):
                continue
            name = list(self.name_states(expected))[position]
            facts = f"{cell}: expected {name} of shape {want.shape} {dtype}, got {shape} {found}; "
            if shape != want.shape:
                raise ShapeError(f"{facts}pass one row per sequence, as initial_state(batch_size) does.")
            raise DtypeError(f"{facts}cast the state, or the module with .float() or .double().")

    def name_states(self, state: Tree) -> dict[str, Any]:
        """Return the arrays of a state by their names in reports: ``state 'h'``.

        Parameters
        ----------
        state : Tree
            A state, or anything in its structure.

        Returns
        -------
        dict
            The leaves of `state` by name.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> list(ts.nn.StackedCell(ts.nn.GRUCell(3, 8), ts.nn.LSTMCell(8, 5)).name_states((1, (2, 3))))
        ["state '0'", "state '1.h'", "state '1.c'"]
        """
        return {name_of("state", path): leaf for path, leaf in _named(state, self.state_names)}

    def _state_shape(self) -> Any:
        shape = getattr(self, "state_shape", None)
        if shape is None:
            raise ArgumentError(
                f"{type(self).__name__}: expected an attribute state_shape, got none; set self.state_shape = (H,), "
                "or a tuple or dict of shapes, in __init__."
            )
        return shape


class _Expected:
    """The shape and dtype that an array should have."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype


def _named(state: Tree, names: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a state with their paths, with names in place of positions."""
    if not isinstance(state, dict | tuple | list):
        if state is not None:
            yield path, state
        return
    for key, part in state.items() if isinstance(state, dict) else enumerate(state):
        below = None if names is None else names[key]
        label = below if isinstance(below, str) else str(key)
        yield from _named(part, None if isinstance(below, str) else below, f"{path}.{label}" if path else label)


def step_of_one(cell: Cell) -> StepFunction:
    """Return the scan step ``(state, x) -> (state, y)`` of a cell, whose `forward` returns them the other way round."""

    def step(state: Tree, x: Tree) -> tuple[Tree, Tree]:
        y, state = cell._checked(state, in_precision(cell, cell.forward, x, state))
        return state, y

    return step


def _map_shapes(function: Any, shape: Any) -> Tree:
    """Return the structure of shapes with each shape (a tuple of integers) replaced by ``function(shape)``."""
    if isinstance(shape, dict):
        return {key: _map_shapes(function, part) for key, part in shape.items()}
    if isinstance(shape, tuple) and all(isinstance(size, int | np.integer) for size in shape):
        return function(shape)
    if isinstance(shape, tuple | list):
        return type(shape)(_map_shapes(function, part) for part in shape)
    raise ArgumentError(
        f"Cell: expected state_shape to be a shape like (16,), or a tuple, list or dict of shapes, got {shape!r}; "
        "write one size as (16,)."
    )


def detach_state(state: Tree) -> Tree:
    """Return `state` without its graph, to continue from in the next window of truncated backpropagation.

    Parameters
    ----------
    state : Tensor, or a tuple, list or dict of them
        The state that a layer or cell returned.

    Returns
    -------
    Tensors
        The same values in the same structure; no gradient flows back through them.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> lstm = ts.nn.LSTM(3, 4)
    >>> _, state = lstm(ts.randn(5, 2, 3))
    >>> [part.requires_grad for part in ts.nn.detach_state(state)]
    [False, False]
    """
    return map_leaves(lambda part: as_leaf(part).detach(), state)
