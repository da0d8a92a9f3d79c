"""Real-time recurrent learning: exact gradients through time, computed forwards with no stored history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .autograd.creation import asarray
from .autograd.tensor import Tensor, pull_back
from .base.modes import enable_grad
from .base.tree import Tree, describe, flatten, map_leaves
from .errors import ArgumentError, GraphError, ShapeError
from .nn.cell import Cell, step_of_one
from .nn.recurrence.layer import SequenceLayer
from .scan.eager import StepFunction, pair
from .scan.ir.leaves import alike, difference

MOST_BYTES = 2**28
"""Default limit of the influence matrix; three matrices of its size exist during a step."""

_DRAWN = ("variational_dropout", "recurrent_dropout", "drop_connect", "zoneout")


def grad_rtrl(
    model: StepFunction | Cell | SequenceLayer,
    loss: Callable[..., Tensor],
    init: Tree,
    xs: Tree,
    targets: Tree = None,
    *,
    parameters: Tree = None,
    max_bytes: int = MOST_BYTES,
) -> tuple[Tensor, Tree]:
    """Return the loss, summed over time, and its exact gradients, computed forwards (see `RTRL`).

    The gradients equal those of backpropagation through time. Memory does not depend on the number of steps.

    Parameters
    ----------
    model
        As in `RTRL`.
    loss
        ``loss(y, target)``, or ``loss(y)`` without targets, returns the scalar loss of one step.
    init
        The initial state; None for the default of a cell or layer.
    xs
        (T, N, ...), or (N, T, ...) for a layer with `batch_first`; or nested tuples, lists and dicts of such arrays.
    targets
        One per step, with the time axis in the same place as `xs`; None if the loss needs none.
    parameters
        As in `RTRL`.
    max_bytes
        As in `RTRL`.

    Returns
    -------
    loss : Tensor
        The sum of the losses of all steps, without a graph.
    gradients
        In the structure of `parameters`; ``.grad`` does not change.

    Raises
    ------
    ArgumentError, ShapeError, GraphError
        As `RTRL`; or if the arrays of `xs` and `targets` differ in length.

    Examples
    --------
    >>> import numpy as np, tinygrad_seq as ts
    >>> cell, xs, targets = ts.nn.GRUCell(3, 4).double(), ts.randn(9, 2, 3, dtype="float64"), ts.zeros((9, 2, 4))
    >>> loss, gradients = ts.grad_rtrl(cell, ts.nn.functional.mse_loss, None, xs, targets)
    >>> ys, _ = ts.nn.Recurrent(cell)(xs)  # the same by backpropagation through time
    >>> sum(ts.nn.functional.mse_loss(y, target) for y, target in zip(ys, targets)).backward()
    >>> all(np.allclose(gradients[name], p.grad) for name, p in cell.named_parameters())
    True
    """
    swapped = isinstance(model, SequenceLayer) and model.batch_first
    (columns, rebuild_x), (goals, rebuild_target) = (
        flatten(map_leaves(lambda x: _time_first(asarray(x), swapped), tree)) for tree in (xs, targets)
    )
    lengths = {column.shape[0] for column in (*columns, *goals)}
    if not columns or len(lengths) != 1:
        raise ShapeError(
            f"grad_rtrl: expected xs and targets of one length T, got xs {describe(xs)} and targets "
            f"{describe(targets)}; pass arrays (T, N, ...), targets=None if the loss needs none."
        )
    chosen = _parameters("grad_rtrl", model, parameters)
    batch_size = columns[0].shape[1] if columns[0].ndim > 1 else 1
    learner = RTRL(model, loss, init, batch_size=batch_size, parameters=chosen, max_bytes=max_bytes)
    total = np.zeros((), learner.influence.dtype)
    sums = [np.zeros(p.shape, p.dtype) for p in learner.parameters]
    for t in range(lengths.pop()):
        given = () if targets is None else (rebuild_target([goal[t] for goal in goals]),)
        made = learner._advance(rebuild_x([column[t] for column in columns]), given)
        total = total + made.loss.numpy()
        for position, gradient in enumerate(made.gradients):
            sums[position] += gradient
    return Tensor(total), flatten(chosen)[1]([Tensor(found) for found in sums])


class _Made(NamedTuple):
    """The results of one step: output, loss and its gradient for each parameter."""

    y: Tree
    loss: Tensor
    gradients: list[np.ndarray]


class RTRL:
    """An online learner with exact gradients: real-time recurrent learning (Williams and Zipser, 1989).

    With the state h' = f(h, x, w) it carries the influence matrix P = dh/dw::

        P'     = df/dh P + df/dw
        dL/dw += dL'/dh P + dL'/dw          L' is the loss of this step as a function of h and w

    The gradient of each step, through all previous steps, is known right after the step, and no history is stored. P
    has one row per value of the state (of all sequences) and one column per value of the parameters, so this is for
    small states. A step costs one backward pass of the step per value of the state.

    The gradients are exact while the parameters do not change. After an update, P still belongs to the old parameters;
    this is the usual approximation of online learning. `reset` restarts from zero influence.

    Parameters
    ----------
    model
        A step ``step(state, x) -> (state, y)`` as for `scan`, a `Cell`, or a unidirectional recurrent layer. `window`
        and other options of a layer's backward pass have no effect.
    loss
        ``loss(y, *targets)`` returns the scalar loss of one step.
    state
        The initial state: arrays in the structure of the model's state; floating-point parts carry derivatives. By
        default the initial state of a cell or layer.
    batch_size
        N, for the initial state.
    parameters
        The Tensors to differentiate with respect to, a list or dict; by default all trainable parameters of a cell or
        layer, by name. Tensors of `state` may be among them.
    max_bytes
        Size limit of the influence matrix.

    Attributes
    ----------
    state
        The state after the last step.
    influence : ndarray
        P, shape (values of the state, values of the parameters), both in storage order.
    parameters : list of Tensor
        The parameters, flat.

    Raises
    ------
    ArgumentError
        If the model has no forward step, draws masks for whole sequences, has no parameters, or its influence matrix
        would exceed `max_bytes`.

    Examples
    --------
    Learn to output the previous input, with an update after every step:

    >>> import numpy as np, tinygrad_seq as ts
    >>> _ = ts.manual_seed(1)
    >>> class Model(ts.nn.Cell):
    ...     input_size, state_shape = 1, (8,)
    ...
    ...     def __init__(self):
    ...         self.cell, self.out = ts.nn.GRUCell(1, 8), ts.nn.Linear(8, 1)
    ...
    ...     def forward(self, x, h):
    ...         y, h = self.cell(x, h)
    ...         return self.out(y), h
    >>> model = Model()
    >>> learner = ts.RTRL(model, ts.nn.functional.mse_loss)
    >>> optimizer, before, losses = ts.optim.Adam(model.parameters(), lr=0.02), ts.zeros((1, 1)), []
    >>> for x in ts.randn(500, 1, 1):
    ...     optimizer.zero_grad()
    ...     y, loss = learner.step(x, before)
    ...     optimizer.step()
    ...     before = x
    ...     losses.append(loss.item())
    >>> bool(np.mean(losses[-50:]) < np.mean(losses[:50]) / 4)
    True
    """

    def __init__(
        self,
        model: StepFunction | Cell | SequenceLayer,
        loss: Callable[..., Tensor],
        state: Tree = None,
        *,
        batch_size: int = 1,
        parameters: Tree = None,
        max_bytes: int = MOST_BYTES,
    ) -> None:
        self.parameters: list[Tensor] = flatten(_parameters("RTRL", model, parameters))[0]
        self._model, self._loss, self._batch_size, self._most = model, loss, batch_size, max_bytes
        self._function = _step_of(model)
        self.reset(state)

    def reset(self, state: Tree = None) -> None:
        """Restart from `state` with zero influence of earlier steps.

        Parameters
        ----------
        state
            As in the constructor; by default the initial state.

        Raises
        ------
        ArgumentError
            If the influence matrix would exceed `max_bytes`, or the model needs a state and none is given.
        """
        with enable_grad():
            first = self._first(state)
        leaves = _floats(first)
        size, columns = sum(leaf.size for leaf in leaves), sum(p.size for p in self.parameters)
        dtype = np.result_type(*[x.dtype for x in (*leaves, *self.parameters)])
        if size * columns * dtype.itemsize > self._most:
            raise ArgumentError(
                f"RTRL: expected an influence matrix of at most {self._most:,} bytes, got {size:,} values of the state "
                f"x {columns:,} of the parameters x {dtype.itemsize} bytes = {size * columns * dtype.itemsize:,}; use "
                "a smaller state or batch, fewer parameters, backpropagation through time, or raise max_bytes."
            )
        self.influence = np.zeros((size, columns), dtype)
        _fill_jacobian(self.influence, leaves, self.parameters)
        self._state = map_leaves(Tensor.detach, first)

    def _first(self, state: Tree) -> Tree:
        """Return the initial state in the structure of the step's state."""
        model = self._model
        if isinstance(model, SequenceLayer):
            given = model.initial_state(self._batch_size) if state is None else map_leaves(asarray, state)
            return tuple(model._split(given, self._batch_size))
        if state is not None:
            return map_leaves(asarray, state)
        if isinstance(model, Cell):
            return model.initial_state(self._batch_size)
        raise ArgumentError(
            "RTRL: expected an initial state for a step that is a function, got None; pass state, arrays in the "
            "structure that the step takes and returns."
        )

    @property
    def state(self) -> Tree:
        """The state after the last step, in the structure of the model's state."""
        return self._model._join(self._state) if isinstance(self._model, SequenceLayer) else self._state

    def step(self, x: Tree, *targets: Tree) -> tuple[Tree, Tensor]:
        """Run one step with a loss and add the gradients of the loss to ``.grad`` of the parameters.

        Parameters
        ----------
        x
            The inputs of one step, (N, ...).
        *targets
            Further arguments of the loss.

        Returns
        -------
        output
            The output of the step.
        loss : Tensor
            The scalar loss of the step.

        Raises
        ------
        GraphError
            If the loss is not a scalar Tensor.
        ArgumentError, ShapeError, DtypeError
            If the step does not return two values, or its state changes structure, shape or dtype.
        """
        made = self._advance(x, targets)
        for parameter, gradient in zip(self.parameters, made.gradients, strict=True):
            parameter.grad = Tensor(gradient) if parameter.grad is None else parameter.grad + gradient
        return made.y, made.loss

    def advance(self, x: Tree) -> Tree:
        """Run one step without a loss.

        Parameters
        ----------
        x
            The inputs of one step, (N, ...).

        Returns
        -------
        output
            The output of the step.
        """
        state, y = self._run(x)
        self._take(*state)
        return map_leaves(_detached, y)

    def _run(self, x: Tree) -> tuple[tuple[Tree, Tree], Tree]:
        """Return the state before (as leaves of a graph) and after the step, and the output."""
        entered = map_leaves(lambda part: Tensor(part.numpy(), requires_grad=part.dtype.kind == "f"), self._state)
        with enable_grad():
            left, y = pair(self._function(entered, map_leaves(asarray, x)))
            left = map_leaves(asarray, left)
        if not alike(entered, left):
            raise difference("state", "entered", "left the step", entered, left, "pass state")
        return (entered, left), y

    def _advance(self, x: Tree, targets: Sequence[Tree]) -> _Made:
        (entered, left), y = self._run(x)
        with enable_grad():
            loss = self._loss(y, *targets)
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise GraphError(
                f"RTRL: expected a loss that returns a scalar Tensor, got {describe(loss)}; reduce it with .sum() or "
                ".mean()."
            )
        direct = np.zeros((1, sum(p.size for p in self.parameters)), self.influence.dtype)
        through = np.zeros((1, len(self.influence)), self.influence.dtype)
        _fill_jacobian(direct, [loss], self.parameters)
        _fill_jacobian(through, [loss], _floats(entered))
        total = (direct + through @ self.influence)[0]
        ends = np.cumsum([p.size for p in self.parameters])[:-1]
        gradients = [
            part.reshape(p.shape).astype(p.dtype)
            for part, p in zip(np.split(total, ends), self.parameters, strict=True)
        ]
        self._take(entered, left)
        return _Made(map_leaves(_detached, y), loss.detach(), gradients)

    def _take(self, entered: Tree, left: Tree) -> None:
        """Advance to the new state: P' = df/dh P + df/dw."""
        before, after = _floats(entered), _floats(left)
        size = len(self.influence)
        both = np.zeros((size, size + self.influence.shape[1]), self.influence.dtype)
        _fill_jacobian(both, after, [*before, *self.parameters])
        self.influence = both[:, :size] @ self.influence + both[:, size:]
        self._state = map_leaves(Tensor.detach, left)


def _fill_jacobian(matrix: np.ndarray, outputs: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Fill a zero matrix with the derivatives of all values of `outputs` (rows) by all values of `sources`."""
    ends = np.cumsum([0, *[source.size for source in sources]])
    row = 0
    for output in outputs:
        for index in range(output.size if output.requires_grad else 0):
            one = np.zeros(output.size, output.dtype)
            one[index] = 1
            pulled = pull_back([output], [one.reshape(output.shape)], only=sources, keep=True)
            for source, start, stop in zip(sources, ends[:-1], ends[1:], strict=True):
                if source in pulled:
                    matrix[row + index, start:stop] = pulled[source].numpy().ravel()
        row += output.size


def _parameters(caller: str, model: Any, given: Tree) -> Tree:
    """Return the parameters to differentiate with respect to, by default the trainable ones by name."""
    if given is None and isinstance(model, Cell | SequenceLayer):
        given = {name: p for name, p in model.named_parameters() if p.requires_grad}
    leaves = flatten(given)[0]
    if not leaves or not all(isinstance(p, Tensor) and p.requires_grad and p.dtype.kind == "f" for p in leaves):
        raise ArgumentError(
            f"{caller}: expected parameters that require grad, got {describe(given)}; pass parameters=, a list or dict "
            "of the Tensors that the step uses."
        )
    return given


def _step_of(model: Any) -> StepFunction:
    """Return the step ``(state, x) -> (state, y)`` of a model."""
    if isinstance(model, Cell):
        return step_of_one(model)
    if not isinstance(model, SequenceLayer):
        if not callable(model):
            raise ArgumentError(
                f"RTRL: expected a step, a Cell or a recurrent layer, got {type(model).__name__}; pass a function "
                "step(state, x) -> (state, y)."
            )
        return model  # type: ignore[no-any-return]
    rates: dict[str, Any] = {"dropout": model.dropout, **{name: model.options[name] for name in _DRAWN}}  # type: ignore[literal-required]
    drawn = [name for name, rate in rates.items() if any(flatten(rate)[0])]
    if model.training and drawn:
        raise ArgumentError(
            f"RTRL: expected a layer that draws no masks for whole sequences, got {type(model).__name__} in training "
            f"with {drawn[0]}={rates[drawn[0]]}; call .eval() first, or leave {drawn[0]} out."
        )
    return model._step()


def _floats(tree: Tree) -> list[Tensor]:
    return [leaf for leaf in flatten(tree)[0] if leaf.dtype.kind == "f"]


def _time_first(x: Tensor, swapped: bool) -> Tensor:
    if x.ndim < 1 + swapped:
        raise ShapeError(f"grad_rtrl: expected arrays with a time axis, got {describe(x)}; pass one value per step.")
    return x.swapaxes(0, 1) if swapped else x


def _detached(y: Any) -> Any:
    return y.detach() if isinstance(y, Tensor) else y
