"""`Module`: parameters found by walking the attributes, by PyTorch's dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.creation import zeros_like
from ...autograd.tensor import Tensor
from ...base.modes import is_grad_enabled
from ...base.switches import Switch
from ...errors import ArgumentError, DtypeError, GraphError
from .hooks import HookHandle, Hooks
from .loading import LoadedKeys, load_arrays
from .parameter import Buffer, Parameter
from .placement import dtype_of_placement
from .summary import as_html, as_text, summarise

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class _Forward(Protocol[P, R_co]):
    """The type of a module's call for type checkers: the arguments and result of its `forward`."""

    _precision: str
    _hooks: Hooks | None
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
    _hooks: Hooks | None = None

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
        if self._hooks is not None:
            return self._hooks.call(self, partial(in_precision, self, self.forward), args, kwargs)
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

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its dotted name: those of a module before those of the modules in it.

        Parameters
        ----------
        prefix : str, default ""
            What the names begin with, before a dot.
        recurse : bool, default True
            False for the module's own parameters alone.
        remove_duplicate : bool, default True
            Whether a shared parameter comes once, under its first name.

        Yields
        ------
        name, parameter : str, Parameter
        """
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield every buffer with its dotted name.

        Parameters
        ----------
        prefix, recurse, remove_duplicate
            As in `named_parameters`.

        Yields
        ------
        name, buffer : str, Buffer
        """
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def named_modules(
        self, memo: None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module (named `prefix`) and every module inside it.

        Parameters
        ----------
        memo : None
            Accepted for the order of PyTorch's arguments.
        prefix, remove_duplicate
            As in `named_parameters`.

        Yields
        ------
        name, module : str, Module
        """
        return self._named(Module, prefix, True, remove_duplicate)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield every module that this one holds directly, also in lists, tuples and dicts, with its name, once."""
        return _once(_held(vars(self)))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield every parameter once: those of a module before those of the modules in it.

        Parameters
        ----------
        recurse : bool, default True
            False for the module's own parameters alone.

        Yields
        ------
        Parameter
        """
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """Yield every buffer once.

        Parameters
        ----------
        recurse : bool, default True
            False for the module's own buffers alone.

        Yields
        ------
        Buffer
        """
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module inside it once."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """Yield every module that this one holds directly, also in lists, tuples and dicts, shared ones once."""
        return (module for _, module in Module.named_children(self))

    def _named(self, kind: type[Any], prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        parts = walk(self, prefix) if recurse else ((_join(prefix, name), part) for name, part in vars(self).items())
        found = ((name, part) for name, part in parts if isinstance(part, kind))
        return _once(found) if remove_duplicate else found

    def _get(self, kind: type[Any], target: str) -> Any:
        for name, part in walk(self):
            if name == target and isinstance(part, kind):
                return part
        raise ArgumentError(
            f"{type(self).__name__}: expected the name of a {kind.__name__}, got {target!r}; see the names in "
            f"print(model)."
        )

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter of this name.

        Parameters
        ----------
        target : str
            The dotted name.

        Returns
        -------
        Parameter

        Raises
        ------
        ArgumentError
            If there is none.
        """
        found: Parameter = self._get(Parameter, target)
        return found

    def get_buffer(self, target: str) -> Buffer:
        """Return the buffer of this name.

        Parameters
        ----------
        target : str
            The dotted name.

        Returns
        -------
        Buffer

        Raises
        ------
        ArgumentError
            If there is none.
        """
        found: Buffer = self._get(Buffer, target)
        return found

    def get_submodule(self, target: str) -> Module:
        """Return the module of this name.

        Parameters
        ----------
        target : str
            The dotted name; ``""`` is this module.

        Returns
        -------
        Module

        Raises
        ------
        ArgumentError
            If there is none.
        """
        found: Module = self._get(Module, target)
        return found

    # ---------------------------------------------------------------------------------------------- registering

    def register_buffer(self, name: str, tensor: ArrayLike, persistent: bool = True) -> None:
        """Set an attribute to a `Buffer`: a tensor that is saved and cast with the module, and not trained.

        Parameters
        ----------
        name : str
            The name of the attribute.
        tensor : array_like
            The values; they are copied. To change them later, call ``self.name.copy_(values)``.
        persistent : bool, default True
            Whether `state_dict` contains it.

        Raises
        ------
        ArgumentError
            If the module has another attribute of that name, the name has a dot, or `tensor` is None.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> layer = ts.nn.Linear(2, 1)
        >>> layer.register_buffer("mean", [0.5, 0.5])
        >>> list(layer.state_dict())
        ['weight', 'bias', 'mean']
        """
        if tensor is None:
            raise ArgumentError(
                f"{type(self).__name__}.register_buffer: expected values for {name!r}, got None; write "
                f"self.{name} = None, and register the buffer when there are values."
            )
        self._register(name, Buffer(tensor, persistent=persistent), Buffer)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set an attribute to a parameter, which may be None.

        Parameters
        ----------
        name : str
            The name of the attribute.
        param : Parameter or None
            The parameter.

        Raises
        ------
        ArgumentError
            If the module has another attribute of that name, the name has a dot, or `param` is something else.
        """
        self._register(name, param, Parameter)

    def register_module(self, name: str, module: Module | None) -> None:
        """Set an attribute to a module, which may be None.

        Parameters
        ----------
        name : str
            The name of the attribute.
        module : Module or None
            The module.

        Raises
        ------
        ArgumentError
            If the module has another attribute of that name, the name has a dot, or `module` is something else.
        """
        self._register(name, module, Module)

    add_module = register_module

    def _register(self, name: str, value: Any, kind: type) -> None:
        if not isinstance(name, str) or not name or "." in name:
            got, advice = repr(name), "pass a word"
        elif hasattr(self, name) and not isinstance(vars(self).get(name, self.forward), kind | None):
            got, advice = f"{name!r}, which the module has", "choose another name"
        elif not isinstance(value, kind | None):
            got, advice = f"a {type(value).__name__} as {name!r}", f"pass an nn.{kind.__name__}"
        else:
            setattr(self, name, value)
            return
        expected = f"a new name and a {kind.__name__}"
        raise ArgumentError(f"{type(self).__name__}: expected {expected} to register, got {got}; {advice}.")

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook` with the module and the tuple of its arguments before each call of `forward`.

        Parameters
        ----------
        hook : callable
            ``hook(module, args)``, or ``hook(module, args, kwargs)`` with `with_kwargs`. It returns None, or what to
            use in place of the arguments: a value, a tuple, or with `with_kwargs` the pair ``(args, kwargs)``.
        prepend : bool, default False
            Whether the hook runs before those that there are.
        with_kwargs : bool, default False
            Whether the hook takes the keyword arguments too.

        Returns
        -------
        HookHandle
            Its `remove` removes the hook.

        Raises
        ------
        ArgumentError
            If this is a cell: a layer runs its step in compiled loops, which no function can look into. Name the value
            with `tag` and use ``layer.inspect``.
        """
        hooks = self._own_hooks()
        return hooks.add(hooks.before, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook` with the module, the tuple of its arguments and its result after each call of `forward`.

        A module with hooks inside a step of a scan makes the scan run step by step, with a warning.

        Parameters
        ----------
        hook : callable
            ``hook(module, args, output)``, or ``hook(module, args, kwargs, output)`` with `with_kwargs`. It returns
            None, or what to use in place of the result.
        prepend : bool, default False
            Whether the hook runs before those that there are.
        with_kwargs : bool, default False
            Whether the hook takes the keyword arguments too.

        Returns
        -------
        HookHandle
            Its `remove` removes the hook.

        Raises
        ------
        ArgumentError
            As `register_forward_pre_hook`.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> layer, shapes = ts.nn.Linear(2, 3), []
        >>> handle = layer.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
        >>> layer(ts.ones((4, 2))).shape, shapes
        ((4, 3), [(4, 3)])
        >>> handle.remove()
        """
        hooks = self._own_hooks()
        return hooks.add(hooks.after, hook, prepend, with_kwargs)

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

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
        """Call `function` with every module inside this one, each after those in it, and then with this one.

        Parameters
        ----------
        function : callable
            Takes a module; its result is ignored.

        Returns
        -------
        Module
            This module.
        """
        for module in _inside_out(self, {id(self)}):
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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to None.

        Parameters
        ----------
        set_to_none : bool, default True
            False to set the gradients that there are to zeros.
        """
        clear_gradients(self.parameters(), set_to_none)

    def to(self, *placement: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Self:
        """Cast all floating-point parameters, their gradients and buffers in place.

        Parameters
        ----------
        *placement
            A dtype, float32 or float64; ``"cpu"``, the only device; both; or a tensor, for its dtype.
        device, dtype : optional
            The same by keyword.
        non_blocking : bool, default False
            Accepted so that PyTorch code runs.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        DtypeError
            If the dtype is another one, or float64 and a module is quantised.
        ArgumentError
            If the device is not the CPU.
        """
        chosen = dtype_of_placement("Module.to", placement, device, dtype)
        if chosen is None:
            return self
        low = [module for module in self.modules() if module._precision != "float32"]
        if low and chosen == np.float64:
            raise DtypeError(
                f"Module.to: expected a quantised {type(low[0]).__name__} to stay float32, got float64, whose products "
                f"cannot run in {low[0]._precision}; cast the model that it was made from."
            )
        for found in (*self.parameters(), *self.buffers()):
            if found.dtype.kind == "f" and found.dtype != chosen:
                found._array = found._array.astype(chosen)
                found.grad = None if found.grad is None else found.grad.astype(chosen)
        return self

    def cpu(self) -> Self:
        """Return this module, which is on the CPU."""
        return self

    def float(self) -> Self:
        """Cast to float32 in place; return the module."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Cast to float64 in place; return the module."""
        return self.to(np.float64)

    # ----------------------------------------------------------------------------------------------- saving

    def state_dict(self, *, prefix: str = "") -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers by name; a shared one under each of its names.

        Parameters
        ----------
        prefix : str, default ""
            What the names begin with, such as ``"encoder."``.

        Returns
        -------
        dict of str to numpy.ndarray
            The arrays, in PyTorch's order. They are copies: changing them does not change the module.
        """
        return {prefix + name: found.numpy().copy() for name, found in self._saved()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> LoadedKeys:
        """Copy the arrays of `state` into the parameters and buffers.

        Parameters
        ----------
        state : mapping of str to array_like
            Arrays or Tensors by name, e.g. from `state_dict` or from PyTorch. Values in half precision (float16,
            bfloat16) are widened; other dtypes must be those of the module.
        strict : bool, default True
            Whether missing and unexpected names are errors; otherwise they are ignored.

        Returns
        -------
        missing_keys, unexpected_keys : list of str
            The names that `state` lacks, and those that the module lacks; a named tuple.

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
        LoadedKeys(missing_keys=['bias'], unexpected_keys=[])
        """
        return load_arrays(f"{type(self).__name__}.load_state_dict", dict(self._saved()), state, strict)

    def _saved(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        return (
            (name, found)
            for name, found in walk(self)
            if isinstance(found, Parameter) or (isinstance(found, Buffer) and found.persistent)
        )

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


def walk(value: Any, name: str = "", inside: tuple[Module, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the modules, parameters and buffers in `value` with their names; a shared one under every name.

    In PyTorch's order: a module, its own parameters, its own buffers, then what is in its other attributes. Lists,
    tuples and dicts are walked in their order.
    """
    parts: Iterable[tuple[Any, Any]]
    if isinstance(value, Module):
        if any(value is outer for outer in inside):  # a child that holds its parent
            return
        yield name, value
        inside = (*inside, value)
        parts = _parameters_first(vars(value))
    elif isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return
    for key, part in parts:
        if isinstance(part, Parameter | Buffer):
            yield _join(name, key), part
        elif part.__class__ not in _PLAIN:
            yield from walk(part, _join(name, key), inside)


def _parameters_first(attributes: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the attributes of a module that may hold something: parameters, then buffers, then all others."""
    parts: tuple[list[tuple[str, Any]], ...] = [], [], []
    for name, value in attributes.items():
        if value.__class__ not in _PLAIN:
            parts[0 if isinstance(value, Parameter) else 1 if isinstance(value, Buffer) else 2].append((name, value))
    return [*parts[0], *parts[1], *parts[2]]


def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Set the gradients of parameters to None, or to zeros."""
    for parameter in parameters:
        if set_to_none or parameter.grad is None:
            parameter.grad = None
        else:
            parameter.grad = zeros_like(parameter.grad)


def _inside_out(module: Module, seen: set[int]) -> Iterator[Module]:
    """Yield the modules in `module` that are not in `seen`, each after those in it, and then `module`."""
    for child in Module.children(module):
        if id(child) not in seen:
            seen.add(id(child))
            yield from _inside_out(child, seen)
    yield module


def _join(prefix: str, name: Any) -> str:
    return f"{prefix}.{name}" if prefix else str(name)


def _held(value: Any, name: str = "") -> Iterator[tuple[str, Module]]:
    """Yield the modules in `value`, a container, but not those inside these."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, Module):
            yield _join(name, key), part
        elif isinstance(part, dict | list | tuple):
            yield from _held(part, _join(name, key))


def _once(found: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, value in found:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value
