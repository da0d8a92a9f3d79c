"""Running a step on `Tracer`s, which compute nothing and write down every operation: the first pass of the compiler."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partialmethod
from types import EllipsisType
from typing import Any, NoReturn

import numpy as np

from ...autograd.array_protocol import ArrayProtocol
from ...autograd.creation import as_tensor
from ...autograd.promotion import WIDER, as_floats, float_of
from ...autograd.python_protocol import first_axis
from ...autograd.pytorch_protocol import PyTorchProtocol
from ...autograd.recording import check_operand, explain
from ...autograd.sharing import refuse_lost_write, viewed_by_view_of
from ...autograd.tensor import Tensor, wrap
from ...base.memo import Memo
from ...base.modes import ieee, user_line
from ...base.switches import Modes, Switch, current
from ...errors import CompileError, TinygradSeqError
from ...ops import arithmetic
from ...ops.operators import Operators
from ...ops.primitive import LEVELS, TRACED, Array, Primitive
from .step import Atom, Aval, Eqn, Var

# What makes an operation equal to another: the primitive, its operands and its frozen options.
Key = tuple[Primitive, tuple[Any, ...], Any]


class Builder:
    """Collects the equations of a step; the same operation on the same operands is written down once.

    Attributes
    ----------
    constants
        By variable: the Tensors and ndarrays met on the way.
    invariant
        The constants and all that is computed from them alone.
    producer
        By variable: the equation that defines it.
    """

    def __init__(self, invariant: Iterable[Var] = ()) -> None:
        self.eqns: list[Eqn] = []
        self.constants: dict[Var, Array] = {}
        self.invariant: set[Var] = set(invariant)
        self.producer: dict[Var, Eqn] = {}
        self._of_object: dict[int, Var] = {}
        self._known: dict[Key, tuple[Var, ...]] = {}

    def tracer(self, atom: Atom) -> Any:
        """Return a variable as a Tracer; a Python scalar as it is."""
        return Tracer(self, atom) if atom.__class__ is Var else atom

    def constant(self, array: Array) -> Var:
        """Return the variable of a Tensor or ndarray that is the same at every time."""
        var = self._of_object.get(id(array))
        if var is None:
            var = self._of_object[id(array)] = Var(Aval(array.shape, array.dtype))
            self.constants[var] = array
            self.invariant.add(var)
        return var

    def atom(self, primitive: Primitive, operand: Any) -> Atom:
        """Return an operand of any kind as a variable or Python scalar."""
        if operand.__class__ is Tracer:
            if operand._builder is not self:
                raise CompileError(
                    f"scan: expected {primitive.name!r} to read values of this step, got one of another step "
                    f"(at {user_line()}); pass it through the carry, the inputs or the outputs."
                )
            return operand._var
        if isinstance(operand, Tensor):
            return self.constant(operand)
        operand = check_operand(primitive, operand)
        if operand.__class__ in (float, int, bool):
            return operand
        array = np.asarray(operand)
        if array.dtype.char == "e":
            raise CompileError(
                f"scan: expected arrays of a dtype that a Tensor may have, got float16 for {primitive.name!r} "
                f"(at {user_line()}); make a Tensor of it, or pass compile=False."
            )
        return self.constant(array)

    def apply(self, primitive: Primitive, operands: Iterable[Any], params: dict[str, Any]) -> Any:
        """Write down one operation and return its results as Tracers."""
        atoms = tuple(
            [
                operand._var
                if operand.__class__ is Tracer and operand._builder is self
                else self.atom(primitive, operand)
                for operand in operands
            ]
        )
        results = self._find(primitive, atoms, params, freeze(params) if params else ())
        if not primitive.multiple and results[0].aval.dtype.char in WIDER:
            dtype = float_of(primitive, atoms, params, results[0].aval.dtype)
            if dtype is not None:
                return self.apply(primitive, as_floats(primitive, tuple(map(self.tracer, atoms)), dtype), params)
        return tuple([Tracer(self, result) for result in results]) if primitive.multiple else Tracer(self, results[0])

    def _find(
        self, primitive: Primitive, atoms: tuple[Atom, ...], params: dict[str, Any], options: Any
    ) -> tuple[Var, ...]:
        """Return the results of an operation, written down if it is a new one; `options` are the frozen `params`."""
        key = (primitive, tuple([atom if atom.__class__ is Var else identity(atom) for atom in atoms]), options)
        results = self._known.get(key)
        if results is None:
            results = self._known[key] = tuple([Var(aval) for aval in infer(primitive, atoms, params, options)])
            eqn = Eqn(primitive, atoms, params, results)
            self.eqns.append(eqn)
            for result in results:
                self.producer[result] = eqn
            if self.invariant.issuperset(eqn.reads):
                self.invariant.update(results)
        return results


class Tracer(PyTorchProtocol, ArrayProtocol, Operators):
    """Stands for an array while a step is traced: it has a shape and a dtype, and no values."""

    __slots__ = ("__weakref__", "_builder", "_var", "_viewed")
    _viewed: tuple[weakref.ref[Any], ...]
    _leaf = staticmethod(wrap)
    requires_grad = True
    _requires_grad = False

    def __init__(self, builder: Builder, var: Var) -> None:
        self._builder, self._var, self._viewed = builder, var, ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._var.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self._var.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self._var.aval.shape)

    def __len__(self) -> int:
        return first_axis("len", self.shape)

    def __iter__(self) -> Any:
        first_axis("iter", self.shape)
        return iter(self.unstack())

    def detach(self) -> Tracer:
        """Return the same values; no gradient flows through."""
        return self._apply(detached, (self,), {})  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<value of a scan step, {self.shape} {self.dtype}>"

    @staticmethod
    def _apply(primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        for operand in operands:
            if operand.__class__ is Tracer:
                break
        builder = operand._builder
        result = builder.apply(primitive, operands, params)
        if primitive.aliases:
            for part in result if primitive.multiple else (result,):
                part._viewed = viewed_by_view_of(operand)
        modes = current()
        if modes.traced and not modes.recording:  # `no_grad` inside the step
            parts = [builder.apply(detached, (part,), {}) for part in (result if primitive.multiple else (result,))]
            return tuple(parts) if primitive.multiple else parts[0]
        return result

    def _update(self, primitive: Primitive, other: Any) -> Any:
        """Return ``x op= other``, which binds the name anew."""
        refuse_lost_write(self)
        return self._apply(primitive, (self, other), {})

    __iadd__ = partialmethod(_update, arithmetic.add)
    __isub__ = partialmethod(_update, arithmetic.subtract)
    __imul__ = partialmethod(_update, arithmetic.multiply)
    __itruediv__ = partialmethod(_update, arithmetic.divide)

    def _read(self, *_args: object, **_options: object) -> NoReturn:
        raise CompileError(
            f"scan: expected a step without Python control flow on values, but it reads one at {user_line()}; "
            "use ts.where or arithmetic with a mask, or pass compile=False."
        )

    def _index(self, *_args: object, **_options: object) -> NoReturn:
        raise CompileError(
            "scan: expected a step that needs no value in Python, but it takes one for an index, a size or an ndarray "
            f"at {user_line()}; look rows up with table[i] or ts.take(table, i) in a Tensor, or pass compile=False."
        )

    __bool__ = __float__ = __int__ = __complex__ = __setitem__ = __contains__ = _read
    item = tolist = backward = __format__ = _read
    __index__ = numpy = _index
    data = grad = property(_read)


LEVELS[Tracer] = (TRACED, Tracer._apply)

# The same values, through which no gradient flows.
detached = Primitive("detach", lambda x: x, (None,), formula=lambda x: x)


def identity(atom: Atom) -> Any:
    """Return what makes an atom equal to another: 1, 1.0 and True are not."""
    return atom if atom.__class__ is Var else (atom.__class__, repr(atom))


_PLAIN = frozenset({int, bool, str, type(None)})


def freeze(value: Any) -> Any:
    """Return parameters of a primitive as something that can be hashed."""
    if value.__class__ in _PLAIN:
        return (value.__class__, value)
    if isinstance(value, float):
        return (value.__class__, repr(value))  # -0.0 is not 0.0
    if isinstance(value, dict):
        return tuple([(key, freeze(part)) for key, part in value.items()])
    if isinstance(value, tuple | list):
        return tuple([freeze(part) for part in value])
    if isinstance(value, slice):
        return (slice, value.start, value.stop, value.step)
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, int | str | np.dtype | np.generic | np.ufunc | EllipsisType | type):
        return (value.__class__, value)
    raise CompileError(f"scan: expected options of operations to be plain values, got {value!r}; pass compile=False.")


_inferred: Memo[Any, tuple[Aval, ...]] = Memo(4096)


def infer(primitive: Primitive, operands: tuple[Atom, ...], params: dict[str, Any], options: Any) -> tuple[Aval, ...]:
    """Return the shapes and dtypes of the results, found once by running the forward on zeros.

    `options` are the frozen `params`.
    """
    avals = tuple([operand.aval if operand.__class__ is Var else identity(operand) for operand in operands])
    key = (primitive, avals, options)
    found = _inferred.get(key)
    if found is None:
        found = _inferred.put(key, _run_on_zeros(primitive, operands, params))
    return found


@ieee
def _run_on_zeros(primitive: Primitive, operands: tuple[Atom, ...], params: dict[str, Any]) -> tuple[Aval, ...]:
    arrays = [np.zeros(*o.aval) if o.__class__ is Var else float(o) if isinstance(o, float) else o for o in operands]
    try:
        result = primitive.forward(*arrays, **params)
    except (
        TinygradSeqError
    ):  # of the operation; or of a value of the step among the options, such as the end of a slice
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise explain(primitive, arrays, error) from error
    results = result if primitive.multiple else (result,)
    return tuple([Aval(array.shape, array.dtype) for array in map(np.asarray, results)])


class Trace(Switch):
    """The context in which a step is traced: no random numbers can be drawn."""

    __slots__ = ()

    def _changes_in(self, outer: Modes) -> dict[str, Any]:
        return {"traced": outer.recording if outer.traced is None else outer.traced}


_LONGEST_INNER = 16


def check_inner(T: int) -> None:
    """Raise if a scan inside a traced step is too long to unroll."""
    if T > _LONGEST_INNER:
        raise CompileError(
            f"scan: expected a step with inner scans of at most {_LONGEST_INNER} steps, got {T} (at {user_line()}); "
            "pass compile=False to the outer scan: the inner one is compiled then."
        )


def as_leaf(value: Any, caller: str = "asarray") -> Any:
    """Return what a step returned as a Tracer or Tensor; `caller` is named by errors."""
    return value if value.__class__ is Tracer else as_tensor(caller, value)
