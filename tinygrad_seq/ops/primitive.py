"""One primitive, one row: forward on ndarrays, one gradient rule per operand, scalar source for elementwise ones.

Eager execution, gradients of any order and the compiled scan all read the same row. A rule is written with the
shared operators and the functions of `ops`, so it computes on ndarrays, records on Tensors and traces on Tracers:

    tanh = elementwise("tanh", np.tanh, vjp=(lambda g, y, _x: g - g * (y * y),), code="math.tanh({0})")

A rule's signature is ``(g, y, *operands, **params)`` and its parameter names say what it reads, so that the tape
saves no more than that:

    ``x``        the operand's value is saved
    ``x_like``   only its shape and dtype are (a `Like`)
    ``_x``       nothing is: the rule receives None

Broadcasting is undone by the driver (`shape.unbroadcast`), never by a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from inspect import Signature
from types import MethodType
from typing import Any, Final

import numpy as np

from ..errors import ArgumentError
from .public import Public, operand_names, signature_of
from .views import Elements

# An ndarray, a Tensor or a Tracer: what every operation and rule is generic over.
Array = Any
Rule = Callable[..., Array]

# How much of an array the rules read.
NOTHING: Final = 0
LIKE: Final = 1
VALUE: Final = 2

# Which operands receive a gradient (a bit set), and how much of the output and of each operand to save; None if no
# operand is saved.
Plan = tuple[int, int, tuple[int, ...] | None]


class Like:
    """The shape and dtype of an array whose values were not saved."""

    __slots__ = ("dtype", "shape")

    def __init__(self, array: Array) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype = array.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class OpKind(Enum):
    """How the elements of the results depend on those of the operands: what a compiler must know of a primitive."""

    ELEMENTWISE = auto()  # on those in the same place, with NumPy broadcasting
    CAST = auto()  # the same elements, as another array or of another dtype
    VIEW = auto()  # the same elements, found in another way
    JOIN = auto()  # those of all operands, one operand after the other along an axis
    REDUCTION = auto()  # on all along the axes in the parameter `axes`
    PRODUCT = auto()  # sums of products of two operands, with or without a third to be added
    LOOKUP = auto()  # slices of the first operand at the indices in the second, along the first axis or that in `axis`
    DRAW = auto()  # an index, drawn from the scores along the last axis by given random numbers
    OTHER = auto()

    __hash__ = object.__hash__  # that of Enum is a call in Python


def _reads(name: str) -> int:
    if name.startswith("_"):
        return NOTHING
    return LIKE if name.endswith("_like") else VALUE


class Primitive:
    """A row of the table of operations; calling it dispatches on the kind of its operands (see `bind`).

    Attributes
    ----------
    name
        Unique name, as in error messages and the printed form of a scan step.
    forward
        ``forward(*arrays, **params)`` on ndarrays and Python scalars, returning an ndarray (a tuple of them when
        `multiple`). It may return a view of an operand and never writes to one.
    rules
        One vjp rule per operand, None where no gradient flows. A `variadic` primitive (``concat``) has one rule,
        which returns the cotangents of all its operands at once.
    add_into
        ``add_into(total, g, *others, **params)`` adds the cotangent of the first operand to the ndarray `total`, for
        operands of which each use reads a small part (``x[t]``, a row of an embedding): a rule would make an array of
        the whole operand's size each time.
    code
        Scalar Python expression of an elementwise primitive, operands as ``{0}``, ``{1}``, ...; None otherwise.
    opaque
        Whether its rules may read Tensors that are not among its operands.
    seconds
        ``seconds(**params)`` returns roughly how long its rule runs without the GIL on ndarrays, where that is long: it
        may then run on any thread. None otherwise.
    kind
        How the elements of the results depend on those of the operands.
    cheap
        Whether it costs a few instructions per element, so that computing it again is better than storing it.
    linear
        Whether it is the same before a sum over time and after it.
    symbol
        The infix operator of two operands, as in the printed form; between two numbers it is the `code` too, and a
        comparison if the result is a boolean.
    integer_code
        The `code` for integers where it is another.
    static
        The positions of operands whose values decide what is compiled, where they are Python numbers.
    vectorised
        Whether `kernels.scalar` has a function of this name, which compiled loops call in place of the `code`.
    formula
        ``formula(*operands, **params)`` returns the results by other operations: what a compiled scan does in place of
        the forward.
    structure
        The same for what only moves elements, or is a product: it is replaced before differentiation already, so that
        gradients are those of the other operations. The compiler adds its own (see `scan.passes.lower`).
    axes
        The name of the parameter that holds an axis of the only operand, or a tuple of them; ``"axes"`` of a reduction.
    batched
        ``batched(T, lifted, *operands, **params)`` returns the results for all times at once, given which operands have
        a time axis in front. Without it elementwise operations broadcast, those with `axes` count from the axis after
        that of time, and the rest runs time by time.
    fold
        Of a reduction: the value it starts with, None for the first element, and the statement that adds ``{value}`` to
        ``{total}``.
    view
        Of a view: ``view(shape, **params)`` returns `Elements` of each result.
    aliases
        Whether the result is the memory of the first operand, seen in another way: by default that of a view.
    from_end
        Whether a lookup counts negative indices from the end.
    summed
        Of a product: the axis of the second operand along which it is summed, None if its parameters say so.
    """

    opaque = False
    seconds: Callable[..., float] | None = None
    __slots__ = (
        "__dict__", "_count", "_plans", "add_into", "aliases", "axes", "batched", "cheap", "code", "fold", "formula",
        "forward", "from_end", "integer_code", "kind", "linear", "multiple", "name", "rules", "static", "structure",
        "summed", "symbol", "variadic", "vectorised", "view",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        vjp: tuple[Rule | None, ...] | Rule = (),
        *,
        kind: OpKind = OpKind.OTHER,
        code: str | None = None,
        symbol: str | None = None,
        integer_code: str | None = None,
        cheap: bool = False,
        linear: bool = False,
        static: tuple[int, ...] = (),
        vectorised: bool = False,
        formula: Rule | None = None,
        structure: Rule | None = None,
        batched: Rule | None = None,
        axes: str | None = None,
        fold: tuple[float | None, str] | None = None,
        view: Callable[..., tuple[Elements, ...]] | None = None,
        aliases: bool | None = None,
        from_end: bool = False,
        summed: int | None = None,
        multiple: bool = False,
        add_into: Callable[..., None] | None = None,
        doc: str | None = None,
        public: Public | None = None,
    ) -> None:
        needed = {OpKind.VIEW: ("view", view), OpKind.REDUCTION: ("fold", fold)}.get(kind)
        if needed is not None and needed[1] is None and formula is None and structure is None:
            raise ArgumentError(
                f"Primitive: expected {needed[0]}=, formula= or structure= of a {kind.name.lower()}, got none for "
                f"{name!r}; say in its row how it is compiled."
            )
        self.name = name
        self.__name__ = name
        self.__doc__ = doc
        self.forward: Any = forward
        self.variadic = callable(vjp)
        self.rules: tuple[Rule | None, ...] = (vjp,) if callable(vjp) else vjp
        # The number of operands of a row that is called as it is; one that a function calls has options.
        self._count = len(self.rules) if code is not None or public is not None else 0
        self.kind = kind
        self.code, self.symbol, self.integer_code = code, symbol, integer_code
        self.cheap, self.linear, self.static, self.vectorised = cheap, linear, static, vectorised
        self.formula, self.structure, self.batched = formula, structure, batched
        self.axes = "axes" if kind is OpKind.REDUCTION else axes
        self.fold, self.view, self.from_end, self.summed = fold, view, from_end, summed
        self.multiple = multiple
        self.aliases = kind is OpKind.VIEW if aliases is None else aliases
        self.add_into = add_into
        self._plans: dict[int | tuple[int, int], Plan] = {}
        TABLE[name] = self
        if public is not None:
            public(self)

    def __call__(self, *operands: Array, **params: Any) -> Any:
        if self._count and (params or len(operands) != self._count):
            raise ArgumentError(
                f"{self.name}: expected {self._count} operand(s) and no options, got {len(operands)}"
                f"{''.join(f' and {key}=' for key in params)}; call {self.name}"
                f"({', '.join(operand_names(self.rules))})."
            )
        return bind(self, operands, params)

    def __get__(self, array: Array | None, owner: type | None = None) -> Any:
        """Make a primitive in a class body a method."""
        return self if array is None else MethodType(self, array)

    @property
    def __signature__(self) -> Signature:
        return signature_of(self.rules)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def plan(self, wanted: int, count: int) -> Plan:
        """Return what to save of the output and of each of `count` operands, for the rules in the bit set `wanted`."""
        key = (wanted, count) if self.variadic else wanted
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) > 1000:  # only those of `variadic` ones can be so many
                self._plans.clear()
            found = self._plans[key] = self._make_plan(wanted, count)
        return found

    def _make_plan(self, wanted: int, count: int) -> Plan:
        if self.variadic:  # (g, y, *xs, ...)
            rule: Any = self.rules[0]
            code = rule.__code__
            names = code.co_varnames
            each = _reads(names[code.co_argcount + code.co_kwonlyargcount])
            return wanted, _reads(names[1]), (each,) * count if each else None
        flowing, output, operands = 0, NOTHING, [NOTHING] * count
        for position, rule in enumerate(self.rules[:count]):
            if rule is None or not wanted >> position & 1:
                continue
            flowing |= 1 << position
            names = rule.__code__.co_varnames
            output = max(output, _reads(names[1]))
            operands = [max(kept, _reads(name)) for kept, name in zip(operands, names[2 : 2 + count], strict=True)]
        return flowing, output, tuple(operands) if any(operands) else None


# Every primitive by name.
TABLE: dict[str, Primitive] = {}

# How to apply a primitive when an operand of this class is among its operands: (rank, function). The first operand that
# is in a row decides, and the function of Tensors hands over to that of a Tracer behind it; ndarrays and Python scalars
# are in no row and simply compute.
Handler = Callable[[Primitive, tuple[Array, ...], dict[str, Any]], Any]
LEVELS: dict[type, tuple[int, Handler]] = {}
TRACED: Final = 2  # the rank of Tracers, whose values are not known yet


def is_traced(array: Array) -> bool:
    """Return whether `array` stands for a value of a scan step that is being traced, so that it cannot be read."""
    level = LEVELS.get(array.__class__)
    return level is not None and level[0] == TRACED


def bind(primitive: Primitive, operands: tuple[Array, ...], params: dict[str, Any]) -> Any:
    """Apply `primitive` at the level of its operands; see `LEVELS`."""
    for operand in operands:
        level = LEVELS.get(operand.__class__)
        if level is not None:
            return level[1](primitive, operands, params)
    return primitive.forward(*operands, **params)


def elementwise(
    name: str,
    forward: Callable[..., Any],
    *,
    vjp: tuple[Rule | None, ...] = (),
    code: str | None = None,
    symbol: str | None = None,
    **traits: Any,
) -> Primitive:
    """Declare a primitive that works element by element, with NumPy broadcasting, and has a scalar source text."""
    code = f"{{0}} {symbol} {{1}}" if code is None and symbol is not None else code
    return Primitive(name, forward, vjp, kind=OpKind.ELEMENTWISE, code=code, symbol=symbol, **traits)
