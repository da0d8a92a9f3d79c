"""`tag`: names for the values inside a cell, for whoever wants to look at them."""

from __future__ import annotations

import itertools
from typing import TypeVar

from ..base.switches import Switch, current
from ..errors import ArgumentError
from .tape import Node
from .tensor import Tensor

T = TypeVar("T")


def tag(x: T, name: str) -> T:
    """Return `x`, known by `name` to those who look into the step: ``layer.inspect(xs)[name]`` is (T, N, ...).

    It costs nothing when nobody looks.

    Parameters
    ----------
    x
        A value inside a cell, e.g. a gate of shape (N, H).
    name
        Its name. Given again in the same step, as by a cell made of two cells, it becomes ``name_2``, ``name_3`` ...

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
        raise ArgumentError(f"tag: expected a name that is not empty, got {name!r}; pass e.g. 'forget_gate'.")
    modes = current()
    if modes.anomaly:
        _note(x, name)
    found = modes.tags
    if found is not None:
        numbered = (f"{name}_{count}" for count in itertools.count(2))
        found[name if name not in found else next(other for other in numbered if other not in found)] = x
    return x


def _note(x: object, name: str) -> None:
    """Let an anomaly in the gradient of the operation that made `x` be told with its name."""
    node = x._source if isinstance(x, Tensor) else None
    if isinstance(node, Node) and node.origin is not None:
        node.origin = node.origin._replace(tag=name)


def is_collecting() -> bool:
    """Return whether somebody looks at the tagged values of this thread or task."""
    return current().tags is not None


class collect_tags(Switch):  # noqa: N801 (called as a function)
    """A context that gives the dict that fills with what is tagged inside, in this thread or task."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(tags={})

    def __enter__(self) -> dict[str, object]:
        super().__enter__()
        return self._changes["tags"]  # type: ignore[no-any-return]
