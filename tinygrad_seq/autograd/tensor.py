"""The Tensor: an ndarray that remembers, through the tape, how it was made."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..base.locks import make_lock
from ..base.modes import fresh_quiet, quiet
from ..base.switches import DEFAULT, Modes, Switch, current, in_front
from ..errors import DtypeError, GraphError, ShapeError, TinygradSeqError
from ..ops.casting import astype
from ..ops.linear import with_precision
from ..ops.operators import Operators
from ..ops.primitive import LEVELS, Array, Primitive
from .array_protocol import ArrayProtocol
from .conversion import to_array
from .inplace import InPlace
from .promotion import WIDER, as_floats, float_of
from .python_protocol import PythonProtocol
from .pytorch_protocol import PyTorchProtocol
from .recording import check_forward, check_operand, explain, make_node
from .sharing import Memory, moving, viewed_by_view_of
from .tape import Hook, HookHandle, Node, Output, Source, backpropagate

_adding = make_lock()  # two threads may run backward on graphs that share leaves


def record(  # noqa: C901 (the path of every operation)
    primitive: Primitive, operands: tuple[Array, ...], params: dict[str, Any], result: Any = None, alone: bool = False
) -> Any:
    """Apply `primitive` to Tensors, ndarrays and Python scalars, and leave a node if a gradient may be wanted.

    `result` is what its forward returned, if it has been run already; `alone` says that no other thread moves memory.
    """
    if primitive.aliases and not alone:
        with moving:
            return record(primitive, operands, params, result, True)
    arrays: list[Any] = []
    parents: list[Any] = []
    wanted = 0
    bit = 1
    for operand in operands:
        if isinstance(operand, Tensor):
            arrays.append(operand._frozen() if operand._exposed and not primitive.aliases else operand._array)
            if operand._requires_grad:
                source = operand._source
                parents.append(operand if source is None else source)
                wanted |= bit
            else:
                parents.append(None)
        else:
            level = LEVELS.get(operand.__class__)
            if level is not None:  # a Tracer
                return level[1](primitive, operands, params)
            arrays.append(check_operand(primitive, operand))
            parents.append(None)
        bit <<= 1
    modes = in_front()
    if modes is not DEFAULT:
        modes, params = _with_modes(primitive, operands, arrays, params, wanted)
    if primitive.aliases and wanted and modes.recording and operands[0]._exposed:
        arrays[0] = operands[0]._frozen()
    if result is None:
        result = _computed(primitive, arrays, params, modes)
    if primitive.multiple:
        result = tuple(map(np.asarray, result))
    elif result.__class__ is not np.ndarray:  # NumPy makes scalars of 0-d results
        result = np.asarray(result)
    node = None
    if not primitive.multiple and result.dtype.char in WIDER:
        dtype = float_of(primitive, arrays, params, result.dtype)
        if dtype is not None:
            return record(primitive, as_floats(primitive, operands, dtype), params)
    if wanted and modes.recording:
        node = make_node(primitive, params, operands, arrays, parents, wanted, result)
    if modes.anomaly:
        check_forward(primitive, arrays, result, node)
    if primitive.multiple:
        outputs = _outputs(node, result)
        if primitive.aliases:
            for tensor in outputs:
                _as_view(operands[0], tensor)
        return outputs
    tensor = _new(Tensor)
    tensor._array = result
    tensor._memory = None
    tensor._source = node
    tensor._requires_grad = node is not None
    if primitive.aliases:
        _as_view(operands[0], tensor)
    return tensor


_new = object.__new__


def _as_view(source: Array, view: Tensor) -> None:
    """Let `view` share the memory of `source`, if it has it: what is written to one is then seen in the other.

    The result of a recorded operation cannot be written to; it knows what it is a view of.
    """
    base, origin = view._array.base, getattr(source, "_array", None)
    if base is None or (base is not origin and (origin is None or base is not origin.base)):
        return
    if view._source is not None:
        view._viewed = viewed_by_view_of(source)
        return
    memory = source._memory
    if memory is None:
        memory = source._memory = Memory(source)
    memory.add(view)
    view._memory = memory
    if source._exposed:
        view._exposed = True


def _computed(primitive: Primitive, arrays: list[Any], params: dict[str, Any], modes: Modes) -> Any:
    """Return what the forward returns."""
    context = fresh_quiet() if modes.traced is None else quiet()  # a forward sees no switch but that of tracing
    try:
        if params:
            return context.run(primitive.forward, *arrays, **params)
        return context.run(primitive.forward, *arrays)
    except TinygradSeqError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise explain(primitive, arrays, error) from error


def _outputs(node: Node | None, results: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    """Return several results as Tensors."""
    return tuple(
        [
            attach(part, None if node is None or part.dtype.kind != "f" else Output(node, slot))
            for slot, part in enumerate(results)
        ]
    )


# Rules run in the precision of what was recorded, not in that of the place where `backward` is called.
_recorded, _unrecorded = (Switch(recording=on, precision="float32", quantized="") for on in (True, False))


def _with_modes(
    primitive: Primitive, operands: tuple[Array, ...], arrays: list[Any], params: dict[str, Any], wanted: int
) -> tuple[Modes, dict[str, Any]]:
    """Return the switches, and the parameters of an operation under them."""
    modes = current()
    if modes.observer is not None:
        modes.observer(primitive, operands, arrays)
    if modes.precision == "float32":
        return modes, params
    if wanted and modes.recording:
        refuse_quantised(modes)
    found = with_precision(primitive, tuple(arrays), params, modes.precision, operands if modes.quantized else ())
    weight = operands[1] if modes.quantized and found is not params else None
    stamp = weight._current_stamp() if isinstance(weight, Tensor) else None
    if stamp is None or not stamp.is_of(arrays[1]):  # another thread has written since the array was read
        return modes, found
    return modes, found | {"kept": stamp.kept}


def refuse_quantised(modes: Modes) -> None:
    """Raise if what is to be recorded belongs to a quantised model."""
    if modes.quantized:
        raise GraphError(
            f"{modes.quantized}: expected a quantised model to run without gradients, got an operand that requires "
            "grad; use ts.no_grad(), or train the model that it was made from, with ts.autocast('bfloat16') if need be."
        )


class Tensor(InPlace, PythonProtocol, PyTorchProtocol, ArrayProtocol, Operators):
    """An n-dimensional array with a gradient.

    Made of a copy of `data`, as by `tinygrad_seq.tensor`. Shapes and broadcasting are NumPy's. Numbers never change an
    array's dtype; float32 with float64 gives float64, and with integers float32.

    Parameters
    ----------
    data : array_like
        A number, nested lists, an array or another Tensor; the values are copied.
    dtype : dtype, default None
        None keeps the dtype of an array; Python floats become float32.
    requires_grad : bool, default False
        Whether operations on this tensor are recorded.

    Raises
    ------
    DtypeError
        If `data` is a list of integers or booleans and no `dtype` is given; use `tinygrad_seq.tensor`.

    Attributes
    ----------
    data : ndarray
        The values. Writing to it is safe at any time: a graph that still needs the old values keeps them.
    grad : Tensor or None
        The gradient that backward passes have added up, with the shape and dtype of the tensor.
    requires_grad : bool
        Whether operations on this tensor are recorded.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()
    _array: np.ndarray
    _requires_grad: bool
    _source: Source | None  # where its cotangent goes; None for a leaf, whose own it is
    _hooks: list[Hook] | None = None
    _retains: bool = False  # `grad` is kept though it is no leaf
    _grad: Tensor | None = None

    def __init__(self, data: ArrayLike, dtype: DTypeLike | None = None, requires_grad: bool = False) -> None:
        self._array = to_array("tensor" if type(self) is Tensor else type(self).__name__, data, dtype)
        if dtype is None and type(self) is Tensor and isinstance(data, list | tuple) and self._array.dtype.kind != "f":
            raise DtypeError(
                f"Tensor: expected a dtype for a list of {self._array.dtype} numbers, of which PyTorch's class makes "
                "float32; write ts.tensor(data), which keeps them, or ts.Tensor(data, 'float32')."
            )
        self._memory = self._source = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    def __init_subclass__(cls) -> None:
        LEVELS[cls] = LEVELS[Tensor]

    # ------------------------------------------------------------------------------------------- plain facts

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the values: a floating-point one for all that gradients flow through."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user, not by a recorded operation."""
        return self._source is None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self._array.dtype.kind != "f":
            raise DtypeError(
                f"requires_grad: expected a floating-point tensor, got {self._array.dtype}; "
                "cast it first with .astype('float32')."
            )
        if not value and self._source is not None:
            raise GraphError(
                "requires_grad: expected a leaf, got the result of a recorded operation; use .detach() instead."
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` and return the tensor itself.

        Parameters
        ----------
        requires_grad : bool, default True
            Whether operations on the tensor are recorded.

        Returns
        -------
        Tensor
            The tensor itself.
        """
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Tensor:
        """Return a tensor with the same values that no gradient flows through."""
        return wrap(self._frozen())

    # -------------------------------------------------------------------------------------------- gradients

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have added up, with the shape and dtype of the tensor; None at first."""
        return self._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            value = wrap(to_array("Tensor.grad", value, getattr(value, "dtype", self.dtype)))
        if value is not None and (value.shape, value.dtype) != (self.shape, self.dtype):
            raise (ShapeError if value.shape != self.shape else DtypeError)(
                f"Tensor.grad: expected None or a gradient like the tensor, {self.shape} {self.dtype}, got "
                f"{value.shape} {value.dtype}; reshape it, or cast it with .astype('{self.dtype}')."
            )
        self._grad = value

    def backward(
        self, gradient: ArrayLike | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor with respect to every leaf to the leaf's ``grad``.

        Parameters
        ----------
        gradient
            The cotangent, of this tensor's shape; may be left out for a tensor with one element.
        retain_graph
            Keep the graph, so that backward can run through it again.
        create_graph
            Record the backward pass itself, so that the gradients can be differentiated; keeps the graph too.

        Raises
        ------
        GraphError
            If the tensor requires no gradient, or is not a scalar and no `gradient` is given, or its graph is freed.
        ShapeError
            If `gradient` has another shape.
        """
        arrived = pull_back([self], [gradient], keep=retain_graph or create_graph, differentiable=create_graph)
        with _adding:
            for leaf, found in arrived.items():
                leaf._grad = found if leaf._grad is None else leaf._grad + found

    def register_hook(self, hook: Hook) -> HookHandle:
        """Call `hook` with this tensor's finished gradient in every backward pass.

        Parameters
        ----------
        hook : callable
            Takes the gradient; returns None, or a tensor of the same shape that takes the gradient's place.

        Returns
        -------
        HookHandle
            Its `remove` ends the calls.

        Raises
        ------
        GraphError
            If the tensor does not require grad.
        """
        if not self._requires_grad:
            raise GraphError(
                f"register_hook: expected a tensor that requires grad, got {self.shape} {self.dtype} that does not; "
                "set requires_grad=True before the forward pass."
            )
        source = self._source
        if source is None:
            self._hooks = hooks = [] if self._hooks is None else self._hooks
        else:
            node, slot = (source.node, source.slot) if isinstance(source, Output) else (source, 0)
            if node.hooks is None:
                node.hooks = {}
            hooks = node.hooks.setdefault(slot, [])
        hooks.append(hook)
        return HookHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this result of an operation in its ``grad``, as leaves do."""
        if self._retains or (self.is_leaf and self._requires_grad):
            return
        owner = weakref.ref(self)

        def keep(gradient: Tensor) -> None:
            tensor = owner()
            if tensor is not None:
                tensor._grad = gradient if tensor._grad is None else tensor._grad + gradient

        self.register_hook(keep)
        self._retains = True

    _apply = staticmethod(record)


def attach(array: Array, source: Source | None) -> Tensor:
    """Return a Tensor of `array` whose cotangent goes to `source`."""
    if isinstance(array, Tensor):
        return array
    tensor = _new(Tensor)
    tensor._array = array if array.__class__ is np.ndarray else np.asarray(array)
    tensor._memory, tensor._source, tensor._requires_grad = None, source, source is not None
    return tensor


def wrap(array: np.ndarray, requires_grad: bool = False) -> Tensor:
    """Return a leaf that takes over `array`, which nobody else may write to, as it is."""
    tensor = _new(Tensor)
    tensor._array, tensor._memory, tensor._source, tensor._requires_grad = array, None, None, False
    if requires_grad:
        tensor.requires_grad = True
    return tensor


def pull_back(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Array | None],
    *,
    only: Sequence[Tensor] | None = None,
    keep: bool = False,
    differentiable: bool = False,
    nodes: Sequence[Node] | None = None,
    connected: Collection[Source] | None = None,
) -> dict[Tensor, Tensor]:
    """Return the gradient of ``sum(output * cotangent)`` by leaf, or by each tensor of `only` that it reaches.

    The rest of the parameters are those of `tape.backpropagate`.
    """
    context = quiet()
    (_recorded if differentiable else _unrecorded).set_in(context)
    pairs = zip(outputs, cotangents, strict=True)
    roots = [(source_of(output), context.run(_seed, output, given, differentiable)) for output, given in pairs]
    arrived = context.run(
        backpropagate,
        roots,
        attach,
        keep=keep,
        differentiable=differentiable,
        only=None if only is None else list(map(source_of, only)),
        nodes=nodes,
        connected=connected,
    )
    if only is None:
        return {leaf: attach(gradient, None) for leaf, gradient in arrived.items()}
    return {tensor: attach(arrived[source_of(tensor)], None) for tensor in only if source_of(tensor) in arrived}


def _seed(output: Tensor, cotangent: Array | None, differentiable: bool) -> Array:
    """Return the checked cotangent of `output`, 1 for None: a Tensor if `differentiable`, or an ndarray."""
    if not output._requires_grad:
        raise GraphError(
            "backward: expected a tensor that requires grad, got one that does not depend on any; "
            "set requires_grad=True on a leaf, and do not compute under no_grad or through .detach()."
        )
    if cotangent is None:
        if output.size != 1:
            raise GraphError(
                f"backward: expected a scalar, got shape {output.shape}; reduce it with .sum() or .mean(), "
                "or pass gradient= of that shape."
            )
        cotangent = np.ones(output.shape, output.dtype)
    elif not isinstance(cotangent, Tensor):
        cotangent = np.array(cotangent, output.dtype)
    else:
        cotangent = cotangent if cotangent.dtype == output.dtype else astype(cotangent, output.dtype)
        cotangent = cotangent if differentiable else cotangent._frozen()
    if cotangent.shape != output.shape:
        raise ShapeError(
            f"backward: expected a gradient of shape {output.shape}, got {cotangent.shape}; "
            "pass one value per element of the output."
        )
    return attach(cotangent, None) if differentiable else cotangent


def source_of(tensor: Tensor) -> Source:
    """Return where the cotangent of `tensor` goes: to itself if it is a leaf."""
    return tensor if tensor._source is None else tensor._source


LEVELS[Tensor] = (1, record)
Tensor._leaf = staticmethod(wrap)
