"""Record what happens inside a recurrent layer: each gate, each state, and the gradient of the loss at each step."""

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

_SPELLINGS = {"Gamma": "Γ", "_tilde": "~", "\N{COMBINING TILDE}": "~", "_": ""}


class Anomaly(NamedTuple):
    """A NaN or infinity: ``str(anomaly)`` is ``LSTMCell, layer 1, step 17, row 3: 'forget_gate' is nan``.

    Attributes
    ----------
    place : str
        The cell, the layer and, if there are two, the direction.
    step, row : int
        The step t, and the index of the sequence in the batch.
    what : str
        The tagged value, the state or the gradient of a state.
    value : float
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
        ``LSTMCell, layer 1``, or ``GRUCell, layer 0, backwards``.
    layer : int
        The number of the layer, from 0.
    reverse : bool
        Whether it ran from the last step to the first.
    tags : dict
        The values that the cell tagged by name, (T, N, ...), connected to the graph; 0 at masked steps.
    states : Tensor, or a tuple, list or dict of them
        The state after each step, (T, N, H), in the structure of the cell's state.
    _names : sequence of str
        The names of the arrays of the state in reports.
    _nudges : sequence of Tensor or None
        Zeros that were added to the states; their gradients are dL/dh_t.
    _symbols : dict of str to str
        `Cell.tag_symbols`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> one = ts.nn.GRU(3, 5).inspect(ts.randn(7, 2, 3)).one()
    >>> one.place, one["update_gate"].shape
    ('GRUCell, layer 0', (7, 2, 5))
    """

    place: str
    layer: int
    reverse: bool
    tags: Mapping[str, Tensor]
    states: Tree
    _names: Sequence[str] = field(repr=False)
    _nudges: Sequence[Tensor | None] = field(repr=False)
    _symbols: Mapping[str, str] = field(repr=False, default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        if name in self.tags:
            return self.tags[name]
        for tag, value in self.tags.items():
            if tag in self._symbols and _letters(self._symbols[tag]) == _letters(str(name)):
                return value
        known = ", ".join(f"{tag!r}{f' ({self._symbols[tag]})' if tag in self._symbols else ''}" for tag in self.tags)
        raise ArgumentError(
            f"inspect: expected a name that {self.place} gives, {known or 'nothing'}, got {name!r}; "
            "give a value in the cell a name with ts.tag(x, name)."
        )

    def named_states(self) -> dict[str, Tensor]:
        """Return the states by their names in reports: ``state 'h'``, ``state 'c'``; see `Cell.state_names`."""
        return dict(zip(self._names, flatten(self.states)[0], strict=True))

    @property
    def gradients(self) -> Tree:
        """dL/dh_t for each state and step, (T, N, H), in the structure of `states` (None for integers).

        This is the total derivative: it includes the effect of h_t through the outputs, the other states and all later
        steps. As with ``x.grad``, the gradients of several backward passes accumulate.

        Raises
        ------
        GraphError
            If there has been no backward pass through the layer.
        """
        wanted = [nudge for nudge in self._nudges if nudge is not None]
        if all(nudge.grad is None for nudge in wanted):
            raise GraphError(
                f"inspect: expected a backward pass that reached {self.place}, got none; call backward on a loss of "
                "inspection.ys first (a cell that reads its values in Python has no such gradients)."
            )
        return flatten(self.states)[1]([_gradient_of(nudge) for nudge in self._nudges])

    def gradient_norms(self) -> Tree:
        """Return the norm of dL/dh_t for each state and step, (T, N), in the structure of `states`."""
        return map_leaves(lambda g: np.sqrt(_squares(g)), self.gradients)

    def total_gradient_norm(self) -> np.ndarray:
        """Return the norm of dL/ds_t for each step, (T, N), where s is all states together."""
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

    ``inspection["forget_gate"]`` is the value that the cell tagged with that name, (T, N, H). With several layers it is
    ``inspection[1, "forget_gate"]``, in the backward direction ``inspection[1, "backwards", "forget_gate"]``. The
    symbols of the cell's equations (`Cell.tag_symbols`) are names too: the forget gate of an LSTM is ``"Γ_f"`` or
    ``"Gamma_f"``, its candidate ``"c̃"`` or ``"c_tilde"``.

    Attributes
    ----------
    ys, state : Tensors
        What ``layer(xs)`` returns, connected to the graph.
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
        """Return what happened in one layer and direction.

        Parameters
        ----------
        layer : int, default None
            The number of the layer, from 0; None if there is only one.
        direction : {"forwards", "backwards"}, default "forwards"
            The direction, if the layer has two.

        Returns
        -------
        PassInspection
            The one with this layer and direction.

        Raises
        ------
        ArgumentError
            If there is no such pass, or there are several.
        """
        found = [one for one in self.passes if layer is None or one.layer == layer]
        if direction == "backwards" or (layer is not None and len(found) > 1):
            found = [one for one in found if one.reverse == (direction == "backwards")]
        if len(found) != 1 or direction not in ("forwards", "backwards"):
            known = "; ".join(one.place for one in self.passes)
            raise ArgumentError(
                f"inspect: expected the layer and, of two, the direction of one of {known}, got layer={layer} and "
                f"direction={direction!r}; pass e.g. inspection[0, 'forget_gate'], or of two directions "
                "inspection[0, 'backwards', 'forget_gate']."
            )
        return found[0]

    @property
    def states(self) -> Tree:
        """See `PassInspection.states`; a tuple if there are several passes."""
        return self._each(lambda one: one.states)

    @property
    def gradients(self) -> Tree:
        """See `PassInspection.gradients`; a tuple if there are several passes."""
        return self._each(lambda one: one.gradients)

    def gradient_norms(self) -> Tree:
        """Return `PassInspection.gradient_norms`; a tuple if there are several passes."""
        return self._each(PassInspection.gradient_norms)

    def total_gradient_norm(self) -> Any:
        """Return `PassInspection.total_gradient_norm`; a tuple if there are several passes."""
        return self._each(PassInspection.total_gradient_norm)

    def first_anomaly(self) -> Anomaly | None:
        """Return the first NaN or infinity, or None if everything is finite.

        It looks at the values layer by layer, then, after a backward pass, at the gradients from the last layer to the
        first. `detect_anomaly` also names the operation and the line, but runs step by step.
        """
        reached = [one for one in self.passes[::-1] if any(n is not None and n.grad is not None for n in one._nudges)]
        looks = [*[one.first_anomaly for one in self.passes], *[one.first_gradient_anomaly for one in reached]]
        return next((found for look in looks if (found := look()) is not None), None)

    def _each(self, look: Callable[[PassInspection], Any]) -> Any:
        found = tuple(look(one) for one in self.passes)
        return found[0] if len(found) == 1 else found


def make_nudges(state: Tree, T: int) -> list[Any]:
    """Return zeros (T, N, ...) that require a gradient, for each floating-point array of a state (N, ...)."""
    return [
        zeros((T, *leaf.shape), leaf.dtype, requires_grad=True) if leaf.dtype.kind == "f" else None
        for leaf in flatten(state)[0]
    ]


def _letters(symbol: str) -> str:
    """Return what the spellings of a symbol have in common: Γ_u of Γu and Gamma_u, c̃ of c~ and c_tilde."""
    for spelling, letter in _SPELLINGS.items():
        symbol = symbol.replace(spelling, letter)
    return symbol


def _gradient_of(nudge: Tensor | None) -> Tensor | None:
    if nudge is None:
        return None
    return zeros(nudge.shape, nudge.dtype) if nudge.grad is None else nudge.grad


def _squares(g: Tensor) -> np.ndarray:
    array = g.numpy()
    return np.square(array).sum(axis=tuple(range(2, array.ndim)))
