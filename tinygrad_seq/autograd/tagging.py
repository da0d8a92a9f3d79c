"""`tag`: names for values inside a cell, so that they can be inspected."""

from __future__ import annotations

import itertools
from typing import TypeVar

from ..base.switches import Switch, current
from ..errors import ArgumentError
from .tape import Node
from .tensor import Tensor

T = TypeVar("T")


def tag(x: T, name: str) -> T:
    """Name a value inside a cell: ``layer.inspect(xs)[name]`` then has shape (T, N, ...).

    Without an inspection it costs nothing.

    Parameters
    ----------
    x
        A value inside a cell, e.g. a gate of shape (N, H).
    name
        Its name. If one step uses a name several times, the later ones become ``name_2``, ``name_3``, ...

    Returns
    -------
    Tensor
        `x` itself.

    Raises
    ------
    ArgumentError
        If the name is not a string or is empty.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> class LeakyCell(ts.nn.Cell):
    ...     state_shape = (4,)
    ...
    ...     def forward(self, x, h):
    ...         h = h + ts.tag(ts.sigmoid(x), "rate") * (x - h)
    ...         return h, h
    >>> ys, h = ts.nn.Recurrent(LeakyCell())(ts.randn(7, 2, 4))
    """
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"tag: expected a non-empty name, got {name!r}; pass e.g. 'forget_gate'.")
    modes = current()
    if modes.anomaly:
        _note(x, name)
    found = modes.tags
    if found is not None:
        numbered = (f"{name}_{count}" for count in itertools.count(2))
        found[name if name not in found else next(other for other in numbered if other not in found)] = x
    return x


def _note(x: object, name: str) -> None:
    """Store the name with the node of `x`, for anomalies in its gradient."""
    node = x._source if isinstance(x, Tensor) else None
    if isinstance(node, Node) and node.origin is not None:
        node.origin = node.origin._replace(tag=name)


def is_collecting() -> bool:
    """Return whether tagged values are being collected in this thread or task."""
    return current().tags is not None


class collect_tags(Switch):  # noqa: N801 (called as a function)
    """A context manager that returns a dict and collects the tagged values of this thread or task in it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(tags={})

    def __enter__(self) -> dict[str, object]:
        super().__enter__()
        return self._changes["tags"]  # type: ignore[no-any-return]
