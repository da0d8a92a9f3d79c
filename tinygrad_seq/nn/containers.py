"""Containers: modules and parameters in a sequence or by name, as in PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

from ..errors import ArgumentError
from .module.module import Module
from .module.parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Sequence(Module):
    """Base of containers whose parts are the attributes "0", "1", ..."""

    kind: ClassVar[type] = Module

    def _part(self, value: Any) -> Any:
        """Return `value` as a part, or raise."""
        if isinstance(value, self.kind):
            return value
        raise ArgumentError(
            f"{type(self).__name__}: expected an nn.{self.kind.__name__}, got {type(value).__name__}; "
            "pass one, or a list of them."
        )

    def _names(self) -> list[str]:
        return [name for name, value in vars(self).items() if name.isdigit() or isinstance(value, self.kind)]

    def _parts(self) -> list[Any]:
        return [getattr(self, name) for name in self._names()]

    def _set(self, parts: Iterable[Any]) -> None:
        """Replace all parts; they are numbered from 0."""
        checked = [self._part(part) for part in parts]
        for name in self._names():
            delattr(self, name)
        for number, part in enumerate(checked):
            setattr(self, str(number), part)

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts())

    def __getitem__(self, position: Any) -> Any:
        parts = self._parts()
        return type(self)(parts[position]) if isinstance(position, slice) else parts[position]  # type: ignore[call-arg]

    def __setitem__(self, position: int, value: Any) -> None:
        name = self._names()[position]
        vars(self)[name] = self._part(value)

    def __delitem__(self, position: int | slice) -> None:
        parts = self._parts()
        del parts[position]
        self._set(parts)

    def append(self, value: Any) -> Self:
        """Add a part at the end.

        Parameters
        ----------
        value : Module or Parameter
            The part.

        Returns
        -------
        Module
            This container.

        Raises
        ------
        ArgumentError
            If it is not a part of the kind that the container holds.
        """
        setattr(self, str(len(self)), self._part(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parts at the end.

        Parameters
        ----------
        values : iterable of Module or Parameter
            The parts.

        Returns
        -------
        Module
            This container.

        Raises
        ------
        ArgumentError
            As `append`.
        """
        for value in [self._part(value) for value in values]:
            self.append(value)
        return self

    def insert(self, index: int, value: Any) -> Self:
        """Add a part before another one; those after it are renumbered.

        Parameters
        ----------
        index : int
            The number of the part that it comes before.
        value : Module or Parameter
            The part.

        Returns
        -------
        Module
            This container.

        Raises
        ------
        ArgumentError
            As `append`.
        """
        parts = self._parts()
        parts.insert(index, value)
        self._set(parts)
        return self

    __iadd__ = extend


class Sequential(_Sequence):
    """Apply layers one after the other. They are named "0", "1", ... as in PyTorch; ``model[0]`` returns the first.

    Parameters
    ----------
    *layers : Module or callable
        The layers; each gets the output of the one before. Or one dict of layers by name.

    Raises
    ------
    ArgumentError
        If a layer is not callable.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> model = ts.nn.Sequential(ts.nn.Linear(3, 8), ts.nn.Tanh(), ts.nn.Linear(8, 2))
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *layers: Any) -> None:
        named: Any = layers[0] if len(layers) == 1 and isinstance(layers[0], dict) else dict(enumerate(layers))
        for position, layer in named.items():
            if not callable(layer):
                raise ArgumentError(
                    f"Sequential: expected layers, got {type(layer).__name__} at position {position}; "
                    "pass them one by one: Sequential(first, second)."
                )
            name = str(position)
            if not name.isdigit():
                self._register(name, layer, Module)
            setattr(self, name, layer)

    def _part(self, value: Any) -> Any:
        return value if callable(value) else super()._part(value)

    def __getitem__(self, position: Any) -> Any:
        if not isinstance(position, slice):
            return super().__getitem__(position)
        names = self._names()[position]
        return Sequential({name: getattr(self, name) for name in names})

    def forward(self, x: Any) -> Any:
        """Return the output of the last layer for x, the input of the first."""
        for layer in self._parts():
            x = layer(x)
        return x


class ModuleList(_Sequence):
    """A list of modules, named "0", "1", ... A plain list as an attribute does the same.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules.

    Raises
    ------
    ArgumentError
        If one is not a module.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> layers = ts.nn.ModuleList([ts.nn.Linear(3, 4), ts.nn.Linear(4, 2)])
    >>> len(layers), [name for name, _ in layers.named_parameters()]
    (2, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self.extend([] if modules is None else modules)


class ParameterList(_Sequence):
    """A list of parameters, named "0", "1", ... A plain list as an attribute does the same.

    Parameters
    ----------
    values : iterable of Parameter or array_like, optional
        The parameters; tensors and arrays become parameters.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> scales = ts.nn.ParameterList([ts.ones(2), ts.ones(3)])
    >>> [(name, parameter.shape) for name, parameter in scales.named_parameters()]
    [('0', (2,)), ('1', (3,))]
    """

    kind = Parameter

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.extend([] if values is None else values)

    def _part(self, value: Any) -> Any:
        return value if isinstance(value, Parameter) else Parameter(value)


class _Mapping(Module):
    """Base of containers whose parts are attributes by their name."""

    kind: ClassVar[type] = Module

    def _part(self, value: Any) -> Any:
        return value

    def _found(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if isinstance(value, self.kind)}

    def __len__(self) -> int:
        return len(self._found())

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __contains__(self, name: object) -> bool:
        return name in self._found()

    def __getitem__(self, name: str) -> Any:
        return self._found()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._register(name, self._part(value), self.kind)

    def __delitem__(self, name: str) -> None:
        del self._found()[name]  # a KeyError for a name that is not a part
        delattr(self, name)

    def keys(self) -> Iterable[str]:
        """Return the names, in order."""
        return self._found().keys()

    def values(self) -> Iterable[Any]:
        """Return the parts, in order."""
        return self._found().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return the names with their parts, in order."""
        return self._found().items()

    def pop(self, name: str) -> Any:
        """Remove a part.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Module or Parameter
            The part.
        """
        part = self[name]
        del self[name]
        return part

    def update(self, parts: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace parts.

        Parameters
        ----------
        parts : mapping or iterable of pairs
            The parts by name.

        Raises
        ------
        ArgumentError
            If one is not a part of the kind that the container holds, or its name is that of a method.
        """
        for name, part in dict(parts).items():
            self[name] = part


class ModuleDict(_Mapping):
    """Modules by name. A plain dict as an attribute does the same.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        The modules.

    Raises
    ------
    ArgumentError
        If one is not a module, or its name is that of a method.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> heads = ts.nn.ModuleDict({"tag": ts.nn.Linear(4, 3), "word": ts.nn.Linear(4, 9)})
    >>> heads["tag"](ts.ones(4)).shape, list(heads.keys())
    ((3,), ['tag', 'word'])
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        self.update({} if modules is None else modules)


class ParameterDict(_Mapping):
    """Parameters by name. A plain dict as an attribute does the same.

    Parameters
    ----------
    parameters : mapping of str to Parameter or array_like, or iterable of pairs, optional
        The parameters; tensors and arrays become parameters.

    Raises
    ------
    ArgumentError
        If a name is that of a method.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ParameterDict({"left": ts.ones(2)})["left"]
    tensor([1., 1.], requires_grad=True)
    """

    kind = Parameter

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        self.update({} if parameters is None else parameters)

    def _part(self, value: Any) -> Any:
        return value if isinstance(value, Parameter) else Parameter(value)
