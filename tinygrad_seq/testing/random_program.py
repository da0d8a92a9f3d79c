"""Programs as plain data: equations over named arrays, and their Python text.

A program is generated from a `random.Random`, printed as a script, and run by executing the same text, so the printed
program is exactly the one that failed. Equations are templates such as ``ts.tanh({0})`` with names of operands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..base.tree import Tree, flatten, map_leaves

SYMBOLS = 5
"""Integers of a program are 0 to 4: counters, and indices into tables of five rows."""

FORMS = {
    "weighted": "(part * random(part.shape, part.dtype, seed)).sum()",
    "plain": "part.sum()",
    "bent": "(ts.sin(part) * random(part.shape, part.dtype, seed)).sum()",
    "in part": "(part.reshape(-1)[-2:] * 0.7).sum()",
    "turned": "(part * random(part.shape[::-1], part.dtype, seed).T).sum()",
}
"""How a result of a scan enters the loss: cotangents with several memory layouts; one depends on the result."""

HEADER = """\
import contextlib

import numpy as np
import tinygrad_seq as ts
from tinygrad_seq.ops.primitive import TABLE


def random(shape, dtype, seed, bound=1.0):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    numbers = rng.uniform(-bound, bound, shape) if kind == "f" else rng.integers(0, 2 if kind == "b" else 5, shape)
    return np.asarray(numbers, dtype)
"""


class Value(NamedTuple):
    """An array of a program.

    Attributes
    ----------
    name, shape, dtype
        Name, shape and dtype in the text of the program.
    bound : float
        The maximum magnitude of its elements.
    rows : bool
        Whether the first axis is the batch axis, which no equation may mix or move.
    carried : bool
        Whether it depends on the carry of a step.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bound: float
    rows: bool = False
    carried: bool = False

    @property
    def kind(self) -> str:
        """The kind of the dtype: ``f``, ``i`` or ``b``."""
        return np.dtype(self.dtype).kind

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Leaf(NamedTuple):
    """An input array of a program: a part of the carry, an input of the step, a weight.

    Attributes
    ----------
    value : Value
        Name, shape and dtype.
    seed : int
        The seed of its numbers.
    grad : bool
        Whether it requires grad.
    tensor : bool
        False for an ndarray.
    layout : str
        A template that copies it to another memory layout before it is passed to the scan; or ``F`` for Fortran order.
    """

    value: Value
    seed: int
    grad: bool = False
    tensor: bool = True
    layout: str = "{0}"

    def text(self, lead: tuple[int, ...] = ()) -> str:
        """Return the line that creates it, with the axes `lead` in front."""
        name, shape, dtype, bound, *_ = self.value
        made = f"random({(*lead, *shape)}, {dtype!r}, {self.seed}{f', {bound:.3g}' if self.value.kind == 'f' else ''})"
        if self.layout == "F":
            made = f"np.asfortranarray({made})"
        if self.tensor:
            made = f"ts.tensor({made}{', requires_grad=True' if self.grad else ''})"
        return f"{name} = {made}"


class Equation(NamedTuple):
    """``value = template`` of the operands."""

    value: Value
    template: str
    operands: tuple[str, ...]

    def text(self) -> str:
        return f"{self.value.name} = {fill(self.template, self.operands)}"

    def renamed(self, names: dict[str, str]) -> Equation:
        return self._replace(operands=tuple([names.get(name, name) for name in self.operands]))


def fill(template: str, operands: Iterable[str]) -> str:
    """Replace ``{0}``, ``{1}``, ... of a template by the names of its operands."""
    names = list(operands)
    return re.sub(r"\{(\d+)\}", lambda found: names[int(found[1])], template)


def leaves_of(tree: Tree) -> list[str]:
    """Return the names in a tree of names, in the order of the package's trees."""
    return flatten(tree)[0]


def text_of(tree: Tree) -> str:
    """Return a tree of names as an expression."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {text_of(part)}" for key, part in tree.items()) + "}"
    if isinstance(tree, tuple):
        return "(" + "".join(f"{text_of(part)}, " for part in tree).rstrip() + ")" if tree else "()"
    if isinstance(tree, list):
        return "[" + ", ".join(map(text_of, tree)) + "]"
    return str(tree)


def paths(tree: Tree, root: str) -> Iterator[tuple[str, str]]:
    """Yield ``(name, "root['a'][0]")`` for each leaf of a tree of names, in the order of the package's trees."""
    if isinstance(tree, dict):
        for key in sorted(tree, key=str):
            yield from paths(tree[key], f"{root}[{key!r}]")
    elif isinstance(tree, tuple | list):
        for position, part in enumerate(tree):
            yield from paths(part, f"{root}[{position}]")
    elif tree is not None:
        yield tree, root


def needed(equations: Iterable[Equation], wanted: Iterable[str]) -> tuple[tuple[Equation, ...], set[str]]:
    """Return the equations that `wanted` depends on, and all names that they read, including `wanted`."""
    names, found = set(wanted), []
    for equation in reversed(list(equations)):
        if equation.value.name in names:
            found.append(equation)
            names.update(equation.operands)
    return tuple(reversed(found)), names


@dataclass(frozen=True)
class Graph:
    """A random function of arrays; its leaves are its arguments.

    Attributes
    ----------
    leaves : tuple of Leaf
        The arguments.
    equations : tuple of Equation
        The operations, in order.
    outputs : tuple of str
        The names of the returned arrays.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing.generate import draw_graph
    >>> graph = draw_graph(Random(3), depth=2)
    >>> graph.arguments() == ", ".join(leaf.value.name for leaf in graph.leaves)
    True
    """

    leaves: tuple[Leaf, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[str, ...]

    def definitions(self, wrap: str = "") -> str:
        """Return the text that defines the leaves and the function ``f``.

        Parameters
        ----------
        wrap : str, default ""
            The name of a function to apply to each result.

        Returns
        -------
        str
            Python source.
        """
        given = [leaf.text() for leaf in self.leaves]
        names = ", ".join(leaf.value.name for leaf in self.leaves)
        return "\n".join([HEADER, "", *given, "", "", f"def f({names}):", *_body(self.equations, wrap, self.outputs)])

    def script(self) -> str:
        """Return a script that reproduces the fault."""
        names = ", ".join(leaf.value.name for leaf in self.leaves if leaf.tensor)
        return f"{self.definitions()}\n\n\nprint(ts.gradcheck(lambda *_: f({self.arguments()}), [{names}], order=2))\n"

    def arguments(self) -> str:
        """Return the names of the leaves, separated by commas."""
        return ", ".join(leaf.value.name for leaf in self.leaves)

    def __repr__(self) -> str:
        return f"\n{self.definitions()}\n"


def _body(equations: Iterable[Equation], wrap: str, outputs: Tree) -> list[str]:
    lines = []
    for equation in equations:
        lines.append(f"    {equation.text()}")
        if wrap:
            lines.append(f"    {equation.value.name} = {wrap}({equation.value.name})")
    return [*lines, f"    return {text_of(outputs)}"]


_CELL = """\
from tinygrad_seq.base.tree import first_leaf, map_leaves


class Cell(ts.nn.Cell):
    state_shape = map_leaves(lambda leaf: leaf.shape[1:], init)
    dtype = first_leaf(init).dtype

    def forward(self, x, state):
        return step(state, x)[::-1]


flags = {flags}
layer = ts.nn.Recurrent(Cell(), **{options})
"""
_RUN_LAYER = """\
    with contextlib.nullcontext() if compile else ts.disable_compile():
        ys, carry = layer(xs, init, **flags)"""


@dataclass(frozen=True)
class Step:
    """A random scan: a step, its arrays and the options of the call.

    Attributes
    ----------
    leaves : tuple of Leaf
        The parts of the carry, the inputs of one step, weights and constants.
    equations : tuple of Equation
        The body of the step.
    carry, xs, ys : pytree of str
        The names of the carry, the inputs and the outputs of the step.
    carry_out : tuple of str
        The name of the new value per leaf of the carry.
    T : int
        The number of steps.
    options : tuple of (str, Any)
        ``reverse``, ``window``, ``remember``.
    read : tuple of int or None
        The results, leaves of ``(carry, ys)``, that the loss reads; None for all.
    layer : tuple of (str, Any) or None
        For a step that `nn.Recurrent` runs: ``lengths``, ``mask``, ``reset`` and ``go_backwards``.
    form : str
        How a result enters the loss: a key of `FORMS`.
    runs : int
        How often the scan runs, each time from the final carry of the previous run.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing.generate import draw_step
    >>> "def step(carry, x):" in draw_step(Random(5), largest=3).definitions()
    True
    """

    leaves: tuple[Leaf, ...]
    equations: tuple[Equation, ...]
    carry: Tree
    xs: Tree
    carry_out: tuple[str, ...]
    ys: Tree
    T: int
    options: tuple[tuple[str, Any], ...] = ()
    read: tuple[int, ...] | None = None
    layer: tuple[tuple[str, Any], ...] | None = None
    form: str = "weighted"
    runs: int = 1

    def definitions(self, wrap: str = "") -> str:
        """Return the text that defines the arrays, ``init``, ``xs``, ``step``, ``options`` and ``loss``.

        Parameters
        ----------
        wrap : str, default ""
            The name of a function to apply to each result.

        Returns
        -------
        str
            Python source.
        """
        time = set(leaves_of(self.xs))
        given = [leaf.text((self.T,) if leaf.value.name in time else ()) for leaf in self.leaves]
        entered = [f"    {name} = {path}" for name, path in [*paths(self.carry, "carry"), *paths(self.xs, "x")]]
        left = flatten(self.carry)[1](self.carry_out)
        options = dict(self.options) | ({} if time else {"length": self.T})
        kept = [path for _, path in [*paths(self.carry, "carry"), *paths(self.ys, "ys")]]
        parts = [kept[i] for i in self.read] if self.read is not None else kept
        placed = {leaf.value.name: fill(leaf.layout, [leaf.value.name]) for leaf in self.leaves if leaf.layout != "F"}
        lines = [
            HEADER, "", *given, f"init = {text_of(self.carry)}", f"xs = {text_of(self.xs)}", f"options = {options}",
            "", "", "def step(carry, x):", *entered, *_body(self.equations, wrap, (left, self.ys)),
            "", "", "def loss(carry, ys):", f"    parts = [{', '.join(parts)}]",
            "    parts = [part for part in parts if np.dtype(part.dtype).kind == \"f\"]",
            f"    return sum({FORMS[self.form]} for seed, part in enumerate(parts))",
            "", "", "def run(scan, **more):", f"    carry = {text_of(rename(self.carry, placed))}",
            f"    inputs = {text_of(rename(self.xs, placed))}",
            *["    carry, ys = scan(step, carry, inputs, **options, **more)"] * self.runs,
            "    return carry, ys",
            "", "", "def directional(leaves):",
            "    grads = [(i, leaf.grad) for i, leaf in enumerate(leaves) if leaf.grad is not None]",
            "    return sum((grad * random(grad.shape, grad.dtype, i)).sum() for i, grad in grads)",
        ]  # fmt: skip
        return "\n".join(lines)

    def script(self) -> str:
        """Return a script that prints the results of the compiled and the step-by-step run."""
        leaves = ", ".join(leaf.value.name for leaf in self.leaves if leaf.grad)
        call = "    carry, ys = run(ts.scan, compile=compile)"
        cell = ""
        if self.layer is not None:
            flags, call = dict(self.layer), _RUN_LAYER
            options = {"go_backwards": flags.pop("go_backwards", False)}
            cell = _CELL.format(flags=flags, options=options)
        return f"""{self.definitions()}


{cell}for compile in (True, False):
{call}
    print("compiled" if compile else "step by step (the reference)")
    print("  carry", carry)
    print("  ys", ys)
    leaves = [{leaves}]
    for what in ("gradients", "gradients of these, randomly weighted"):
        total = loss(carry, ys) if what == "gradients" else directional(leaves)
        for leaf in leaves:
            leaf.grad = None
        if getattr(total, "requires_grad", False):
            total.backward(create_graph=what == "gradients")
        print(" ", what, [leaf.grad for leaf in leaves])
"""

    def __repr__(self) -> str:
        return f"\n{self.definitions()}\n"


def rename(tree: Tree, names: dict[str, str]) -> Tree:
    """Return a tree of names with some of them replaced."""
    return map_leaves(lambda name: names.get(name, name), tree)
