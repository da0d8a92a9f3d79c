"""`Module`: parameters found by walking the attributes, by PyTorch's dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.tensor import Tensor
from ...base.modes import is_grad_enabled, no_grad
from ...base.switches import Switch
from ...errors import ArgumentError, DtypeError, GraphError
from .parameter import Buffer, Parameter
from .summary import as_html, as_text, summarise

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class _Forward(Protocol[P, R_co]):
    """The type of a module's call for type checkers: the arguments and result of its `forward`."""

    _precision: str
    training: bool

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class Module:
    """Base of layers and models: assign parameters and modules as attributes and write `forward`.

    Parameters, buffers and modules are found in attributes, also inside lists, tuples and dicts of them; there is
    nothing to register and no constructor to call.

    Attributes
    ----------
    training : bool
        Whether layers like `Dropout` are active; see `train` and `eval`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> class Classifier(ts.nn.Module):
    ...     def __init__(self):
    ...         self.hidden = ts.nn.Linear(4, 8)
    ...         self.heads = [ts.nn.Linear(8, 2), ts.nn.Linear(8, 3)]
    ...
    ...     def forward(self, x):
    ...         return [head(self.hidden(x)) for head in self.heads]
    >>> [name for name, _ in Classifier().named_parameters()][:4]
    ['hidden.weight', 'hidden.bias', 'heads.0.weight', 'heads.0.bias']
    """

    training: bool = True
    _precision = "float32"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; every subclass defines this method.

        Parameters
        ----------
        *args, **kwargs
            Whatever the subclass takes.

        Returns
        -------
        Any
            Whatever the subclass returns.

        Raises
        ------
        NotImplementedError
            If the subclass does not define it.
        """
        raise NotImplementedError(
            f"{type(self).__name__}: expected a method forward, got none; write `def forward(self, x): ...`."
        )

    def __call__(self: _Forward[P, R_co], *args: P.args, **kwargs: P.kwargs) -> R_co:
        if self._precision == "float32":
            return self.forward(*args, **kwargs)
        return in_precision(self, self.forward, *args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        known = Parameter if isinstance(held, Parameter) else Buffer if isinstance(held, Buffer) else None
        if known is not None and isinstance(value, Tensor) and not isinstance(value, known):
            kind = known.__name__
            raise ArgumentError(
                f"{type(self).__name__}.{name}: expected a {kind}, got a Tensor of shape {value.shape} {value.dtype}, "
                f"which would not be saved or trained any more; assign nn.{kind}(values), or in ts.no_grad() call "
                f".{name}.copy_(values)."
            )
        object.__setattr__(self, name, value)

    # ---------------------------------------------------------------------------------------------- walking

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its dotted name; a shared one once, under its first name."""
        return _once((name, found) for name, found in walk(self) if isinstance(found, Parameter))

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield every buffer with its dotted name, shared ones once."""
        return _once((name, found) for name, found in walk(self) if isinstance(found, Buffer))

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module (named ``""``) and every module inside it, shared ones once."""
        return _once((name, found) for name, found in walk(self) if isinstance(found, Module))

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def buffers(self) -> Iterator[Buffer]:
        """Yield every buffer once."""
        return (buffer for _, buffer in self.named_buffers())

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module inside it once."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """Yield every module that this one holds directly, also in lists, tuples and dicts, shared ones once."""
        return (module for _, module in _once(("", found) for found in _held(vars(self))))

    def count_parameters(self, trainable: bool = False) -> int:
        """Return the number of values in all parameters.

        Parameters
        ----------
        trainable : bool, default False
            Whether to count only parameters that require a gradient.

        Returns
        -------
        int
            The number of values; shared parameters count once.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> ts.nn.Linear(3, 2).count_parameters()
        8
        """
        return sum(found.size for found in self.parameters() if found.requires_grad or not trainable)

    # --------------------------------------------------------------------------------------------- changing

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` with every module inside this one, inner modules first, and then with this one.

        Parameters
        ----------
        function : callable
            Takes a module; its result is ignored.

        Returns
        -------
        Module
            This module.
        """
        for module in reversed([*self.modules()]):
            function(module)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put this module and all modules in it into training mode, in which layers like `Dropout` are active.

        The method is called once for every module inside, so a module can override it for its own part: a frozen module
        defines ``def train(self, mode=True): return super().train(False)``.

        Parameters
        ----------
        mode : bool, default True
            False for evaluation mode.

        Returns
        -------
        Module
            This module.
        """
        called, seen = _switching.get()
        if called is self:  # called by the module that holds this one
            _switching.set(_NOT_SWITCHING)  # a further call in an override is its own; the caller resets this
        else:
            seen = {id(self)}
        self.training = mode
        for child in Module.children(self):  # a subclass may have an attribute of that name
            if id(child) not in seen:
                seen.add(id(child))
                token = _switching.set((child, seen))
                try:
                    child.train(mode)
                finally:
                    _switching.reset(token)
        return self

    def eval(self) -> Self:
        """Put this module and all modules in it into evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether the parameters are trained.

        Parameters
        ----------
        requires_grad : bool, default True
            False to freeze them.

        Returns
        -------
        Module
            This module.
        """
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: np.typing.DTypeLike) -> Self:
        """Cast all floating-point parameters, their gradients and buffers in place.

        Parameters
        ----------
        dtype : dtype
            float32 or float64.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        DtypeError
            If `dtype` is another one, or float64 and a module is quantised.
        """
        try:
            chosen = None if dtype is None else np.dtype(dtype)
        except TypeError:
            chosen = None
        if chosen not in (np.float32, np.float64):
            given = repr(dtype) if chosen is None else chosen
            raise DtypeError(f"Module.to: expected float32 or float64, got {given}; pass one of the two.")
        low = [module for module in self.modules() if module._precision != "float32"]
        if low and chosen == np.float64:
            raise DtypeError(
                f"Module.to: expected a quantised {type(low[0]).__name__} to stay float32, got float64, whose products "
                f"cannot run in {low[0]._precision}; cast the model that it was made from."
            )
        for found in (*self.parameters(), *self.buffers()):
            if found.dtype.kind == "f":
                found._array = found._array.astype(chosen)
                found.grad = None if found.grad is None else found.grad.astype(chosen)
        return self

    def float(self) -> Self:
        """Cast to float32 in place; return the module."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Cast to float64 in place; return the module."""
        return self.to(np.float64)

    # ----------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers by name; a shared one under each of its names."""
        return {name: found.numpy().copy() for name, found in self._saved()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy the arrays of `state` into the parameters and buffers.

        Parameters
        ----------
        state : mapping of str to array_like
            Arrays or Tensors by name, e.g. from `state_dict` or from PyTorch.
        strict : bool, default True
            Whether missing and unexpected names are errors; otherwise they are ignored.

        Returns
        -------
        missing, unexpected : list of str
            The names that `state` lacks, and those that the module lacks.

        Raises
        ------
        ArgumentError
            If a name, shape or dtype does not fit, or a shared array is given different values under its names. The
            message lists all of them, and nothing has been written.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> layer = ts.nn.Linear(2, 1)
        >>> layer.load_state_dict({"weight": ts.ones((1, 2))}, strict=False)
        (['bias'], [])
        """
        if not isinstance(state, Mapping):
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: expected arrays by name, got {type(state).__name__}; "
                "pass a state_dict(), or ts.load(path) of a file."
            )
        own = dict(self._saved())
        given = {name: x.numpy() if isinstance(x, Tensor) else _as_array(x) for name, x in state.items()}
        missing = [name for name in own if name not in given]
        unexpected = [name for name in given if name not in own]
        faults = []
        if strict and missing:
            faults.append(f"missing {missing}")
        if strict and unexpected:
            faults.append(f"unexpected {unexpected}")
        faults += [
            f"{name!r} expected {own[name].shape} {own[name].dtype}, got {array.shape} {array.dtype}"
            for name, array in given.items()
            if name in own and (own[name].shape, own[name].dtype) != (array.shape, array.dtype)
        ]
        first: dict[int, str] = {}
        faults += [
            f"{one!r} and {name!r} with different values, which are one array here"
            for name, array in given.items()
            if name in own and (one := first.setdefault(id(own[name]), name)) != name and not _equal(given[one], array)
        ]
        if faults:
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: expected the names, shapes and dtypes of state_dict(), got "
                f"{'; '.join(faults)}; correct these (strict=False passes over names; .double() casts the module)."
            )
        with no_grad():
            for name, array in given.items():
                if name in own:
                    own[name].copy_(array)
        return missing, unexpected

    def _saved(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        return ((name, found) for name, found in walk(self) if isinstance(found, Parameter | Buffer))

    # ---------------------------------------------------------------------------------------------- showing

    def __rich__(self) -> Any:
        return summarise(walk(self))

    def __repr__(self) -> str:
        return as_text(walk(self))

    def _repr_html_(self) -> str:
        return as_html(walk(self))


def in_precision(module: _Forward[Any, Any], function: Callable[P, R_co], /, *args: P.args, **kwargs: P.kwargs) -> R_co:
    """Return what a function of a module returns, in the precision that `quantize` has set.

    Raises
    ------
    GraphError
        If the module is quantised and in training mode while gradients are recorded.
    """
    if module._precision == "float32":
        return function(*args, **kwargs)
    name = type(module).__name__
    if module.training and is_grad_enabled():
        raise GraphError(
            f"{name}: expected a quantised model in evaluation mode, got one in training mode; call .eval(), or train "
            "the model that it was made from, with ts.autocast('bfloat16') if need be."
        )
    with Switch(precision=module._precision, quantized=name):
        return function(*args, **kwargs)


# The module whose `train` is being called by the module that holds it, and the ids of all modules called so far.
_Switching = tuple[Module | None, set[int]]
_NOT_SWITCHING: _Switching = (None, set())
_switching: ContextVar[_Switching] = ContextVar("switching", default=_NOT_SWITCHING)


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Return a context in which `module` is in evaluation mode; on exit each module in it returns to its previous mode.

    Parameters
    ----------
    module : Module
        The module to evaluate.

    Yields
    ------
    None

    Raises
    ------
    ArgumentError
        If `module` is not a Module.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> model = ts.nn.Sequential(ts.nn.Dropout(0.5), ts.nn.Dropout(0.5).eval())
    >>> with ts.nn.evaluating(model):
    ...     [part.training for part in model.modules()]
    [False, False, False]
    >>> [part.training for part in model.modules()]
    [True, True, False]
    """
    if not isinstance(module, Module):
        raise ArgumentError(f"evaluating: expected a Module, got {type(module).__name__}; pass the model itself.")
    modes = [(part, part.training) for part in module.modules()]

    def restore() -> None:
        for part, mode in modes:
            if part.training != mode:
                part.train(mode)  # an override may do more than set the attribute
        for part, mode in modes:
            part.training = mode

    try:
        try:
            module.eval()
            yield
        finally:
            restore()
    finally:  # an interrupt can cut one of the two calls short, not both
        restore()


_PLAIN = frozenset({bool, int, float, str, type(None)})  # settings, which hold no module
_SAVED = (Parameter, Buffer)


def walk(value: Any, name: str = "", inside: tuple[Module, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the modules, parameters and buffers in `value` with their names; a shared one under every name."""
    if isinstance(value, _SAVED):
        yield name, value
        return
    if isinstance(value, Module):
        if any(value is outer for outer in inside):  # a child that holds its parent
            return
        yield name, value
        inside = (*inside, value)
        parts: Any = vars(value).items()
    elif isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return
    for key, part in parts:
        if isinstance(part, _SAVED):  # as `walk` would yield it, without a generator for each
            yield f"{name}.{key}" if name else str(key), part
        elif part.__class__ not in _PLAIN:
            yield from walk(part, f"{name}.{key}" if name else str(key), inside)


def _as_array(value: Any) -> np.ndarray:
    """Return `value` as an array; its dtype or shape is then refused if it is not numbers of one shape."""
    try:
        return np.asarray(value)
    except (ValueError, OverflowError):
        return np.empty((), object)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays hold the same values, NaN being equal to NaN."""
    return (a.shape, a.dtype) == (b.shape, b.dtype) and bool(np.all((a == b) | ((a != a) & (b != b))))


def _held(value: Any) -> Iterator[Module]:
    """Yield the modules in `value`, a container, but not those inside these."""
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, Module):
            yield part
        elif isinstance(part, dict | list | tuple):
            yield from _held(part)


def _once(found: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, value in found:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value
