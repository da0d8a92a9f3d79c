"""What happened inside a recurrent layer: every gate, every state, and the gradient of the loss at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...base.modes import first_bad
from ...base.tree import Tree, flatten, map_leaves
from ...errors import ArgumentError, GraphError


class Anomaly(NamedTuple):
    """A NaN or infinity: ``str(anomaly)`` is ``LSTMCell, layer 1, step 17, row 3: 'forget_gate' is nan``.

    Attributes
    ----------
    place
        Cell, layer and, of two, direction.
    step, row
        t and the number of the sequence.
    what
        The tagged value, the state or the gradient of a state.
    value
        nan, inf or -inf.
    """

    place: str
    step: int
    row: int
    what: str
    value: float

    def __str__(self) -> str:
        return f"{self.place}, step {self.step}, row {self.row}: {self.what} is {self.value}"


@dataclass(frozen=True)
class PassInspection:
    """What happened in one layer in one direction; all arrays begin with the axes (T, N).

    Attributes
    ----------
    place : str
        As ``LSTMCell, layer 1``; ``GRUCell, layer 0, backwards``.
    layer : int
        From 0.
    reverse : bool
        Whether it went from the last step to the first.
    tags : dict
        By name what the cell tagged, (T, N, ...), connected to the graph. Out of the mask it is 0.
    states : Tensor, or a tuple, list or dict of them
        The state after every step, (T, N, H), in the structure of the cell's state.
    """

    place: str
    layer: int
    reverse: bool
    tags: Mapping[str, Tensor]
    states: Tree
    _names: Sequence[str] = field(repr=False)
    _nudges: Sequence[Tensor | None] = field(repr=False)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tags:
            known = ", ".join(map(repr, self.tags)) or "nothing"
            raise ArgumentError(
                f"inspect: expected a name that {self.place} gives, {known}, got {name!r}; "
                "give a value in the cell a name with ts.tag(x, name)."
            )
        return self.tags[name]

    def named_states(self) -> dict[str, Tensor]:
        """Return the states by what reports call them: ``state 'h'``, ``state 'c'``; see `Cell.state_names`."""
        return dict(zip(self._names, flatten(self.states)[0], strict=True))

    @property
    def gradients(self) -> Tree:
        """dL/dh_t for every state and step, (T, N, H), in the structure of `states` (None for integers).

        It is the whole effect that h_t has on the loss: through the outputs, the other states and all later steps.
        As with ``x.grad``, backward passes add up, and it is there only after one.

        Raises
        ------
        GraphError
            If no gradient has arrived.
        """
        wanted = [nudge for nudge in self._nudges if nudge is not None]
        if all(nudge.grad is None for nudge in wanted):
            raise GraphError(
                f"inspect: expected a backward pass that reached {self.place}, got none; call backward on a loss of "
                "inspection.ys first (a cell that reads its values in Python has no such gradients)."
            )
        return flatten(self.states)[1]([_gradient_of(nudge) for nudge in self._nudges])

    def gradient_norms(self) -> Tree:
        """Return the norm of dL/dh_t for every state and step, (T, N), in the structure of `states`."""
        return map_leaves(lambda g: np.sqrt(_squares(g)), self.gradients)

    def total_gradient_norm(self) -> np.ndarray:
        """Return the norm of dL/ds_t for every step, (T, N), s being all states together."""
        return np.sqrt(sum(_squares(g) for g in flatten(self.gradients)[0]))

    def first_anomaly(self) -> Anomaly | None:
        """Return the first tagged value or state that is not finite, in the order in which they were computed."""
        tags = {repr(name): value for name, value in self.tags.items()}
        return self._first(tags | self.named_states(), self.reverse)

    def first_gradient_anomaly(self) -> Anomaly | None:
        """Return the first gradient of a state that is not finite, in the order of the backward pass."""
        named = zip(self._names, self._nudges, strict=True)
        names = [f"the gradient of {name}" for name, nudge in named if nudge is not None]
        return self._first(dict(zip(names, flatten(self.gradients)[0], strict=True)), not self.reverse)

    def _first(self, values: Mapping[str, Tensor], backwards: bool) -> Anomaly | None:
        found = []
        for order, (what, value) in enumerate(values.items()):
            array = value.numpy()
            bad = first_bad(array[::-1] if backwards else array)
            if bad is not None:
                index, number = bad
                count, row = (*index, 0)[:2]  # a tagged number has no rows
                found.append((count, order, Anomaly(self.place, 0, row, what, number)))
        if not found:
            return None
        count, _, anomaly = min(found)
        T = flatten(self.states)[0][0].shape[0]
        return anomaly._replace(step=T - 1 - count if backwards else count)


@dataclass(frozen=True)
class Inspection:
    """What happened in a recurrent layer in one call: what `layer.inspect(xs)` returns.

    ``inspection["forget_gate"]`` is what the cell tagged by that name, (T, N, H); of several layers
    ``inspection[1, "forget_gate"]``, of the backward direction ``inspection[1, "backwards", "forget_gate"]``.

    Attributes
    ----------
    ys, state
        What ``layer(xs)`` returns; a loss of them sends gradients back as usual.
    passes : tuple of PassInspection
        One for each layer and direction: layer 0 forward, layer 0 backward, layer 1 ...

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> lstm = ts.nn.LSTM(3, 5)
    >>> inspection = lstm.inspect(ts.randn(7, 2, 3))
    >>> inspection["forget_gate"].shape
    (7, 2, 5)
    >>> h, c = inspection.states
    >>> inspection.ys[-1].sum().backward()  # a loss that looks at the last step only
    >>> inspection.total_gradient_norm().shape  # of dL/d(h, c), at every step of every sequence
    (7, 2)
    >>> print(inspection.first_anomaly())
    None
    """

    ys: Tree
    state: Tree
    passes: tuple[PassInspection, ...]

    def __getitem__(self, key: str | tuple[Any, ...]) -> Tensor:
        *where, name = key if isinstance(key, tuple) else (key,)
        if len(where) > 2:
            raise ArgumentError(
                f"inspect: expected a layer, a direction and a name at the most, got {key!r}; pass e.g. "
                "inspection[0, 'backwards', 'forget_gate']."
            )
        return self.one(*where)[name]

    def one(self, layer: int | None = None, direction: str = "forwards") -> PassInspection:
        """Return what happened in one layer, which need not be named if there is but one, and direction.

        Parameters
        ----------
        layer
            From 0.
        direction
            ``"forwards"`` or ``"backwards"``, of a layer that has both.

        Raises
        ------
        ArgumentError
            If there is no such pass, or several.
        """
        found = [one for one in self.passes if layer is None or one.layer == layer]
        if layer is not None and len(found) > 1:
            found = [one for one in found if one.reverse == (direction == "backwards")]
        if len(found) != 1 or direction not in ("forwards", "backwards"):
            known = "; ".join(one.place for one in self.passes)
            raise ArgumentError(
                f"inspect: expected the layer and, of two, the direction of one of {known}, got layer={layer} and "
                f"direction={direction!r}; pass e.g. inspection[0, 'forget_gate'] or inspection[0, 'backwards', "
                "'forget_gate']."
            )
        return found[0]

    @property
    def states(self) -> Tree:
        """See `PassInspection.states`; of several passes a tuple."""
        return self._each(lambda one: one.states)

    @property
    def gradients(self) -> Tree:
        """See `PassInspection.gradients`; of several passes a tuple."""
        return self._each(lambda one: one.gradients)

    def gradient_norms(self) -> Tree:
        """See `PassInspection.gradient_norms`; of several passes a tuple."""
        return self._each(PassInspection.gradient_norms)

    def total_gradient_norm(self) -> Any:
        """See `PassInspection.total_gradient_norm`; of several passes a tuple."""
        return self._each(PassInspection.total_gradient_norm)

    def first_anomaly(self) -> Anomaly | None:
        """Return where the first NaN or infinity is: of the values layer by layer; then, if there are, of gradients.

        Gradients are looked at from the last layer to the first, in the order of the backward pass. None if all is
        finite. `detect_anomaly` names the operation and the line, too, but takes the time of running step by step.
        """
        reached = [one for one in self.passes[::-1] if any(n is not None and n.grad is not None for n in one._nudges)]
        looks = [*[one.first_anomaly for one in self.passes], *[one.first_gradient_anomaly for one in reached]]
        return next((found for look in looks if (found := look()) is not None), None)

    def _each(self, look: Callable[[PassInspection], Any]) -> Any:
        found = tuple(look(one) for one in self.passes)
        return found[0] if len(found) == 1 else found


def make_nudges(state: Tree, T: int) -> list[Any]:
    """Return zeros (T, N, ...) that want a gradient, for each floating-point array of a state (N, ...)."""
    return [
        zeros((T, *leaf.shape), leaf.dtype, requires_grad=True) if leaf.dtype.kind == "f" else None
        for leaf in flatten(state)[0]
    ]


def _gradient_of(nudge: Tensor | None) -> Tensor | None:
    if nudge is None:
        return None
    return zeros(nudge.shape, nudge.dtype) if nudge.grad is None else nudge.grad


def _squares(g: Tensor) -> np.ndarray:
    array = g.numpy()
    return np.square(array).sum(axis=tuple(range(2, array.ndim)))
