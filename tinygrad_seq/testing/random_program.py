"""Programs as plain data: equations over named arrays, and the Python text they stand for.

A program is drawn from a `random.Random`, printed as a script, and run by executing that same text, so that what fails
is what is printed. Equations are templates such as ``ts.tanh({0})`` with the names of their operands.
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
"""How a result of a scan enters the loss: cotangents of all kinds of memory, and one that depends on the result."""

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
    """What is known of an array of a program.

    Attributes
    ----------
    name, shape, dtype
        As in the program's text.
    bound
        No element is larger in magnitude.
    rows
        Whether the first axis is the batch, which no equation may mix or move.
    carried
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
        """``f``, ``i`` or ``b``."""
        return np.dtype(self.dtype).kind

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Leaf(NamedTuple):
    """An array that a program is given: a part of the carry, an input, a weight.

    Attributes
    ----------
    value, seed
        What it is, and what its numbers are drawn from.
    grad
        Whether it requires grad.
    tensor
        False for an ndarray.
    layout
        A template by which the scan is given it, of the same values in other memory; or ``F`` for Fortran's order.
    """

    value: Value
    seed: int
    grad: bool = False
    tensor: bool = True
    layout: str = "{0}"

    def text(self, lead: tuple[int, ...] = ()) -> str:
        """Return the line that makes it, with `lead` before its axes."""
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
    """Return a template with the names of its operands in place of ``{0}``, ``{1}``, ..."""
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
    """Return the equations that `wanted` depends on, and all names that they and `wanted` read."""
    names, found = set(wanted), []
    for equation in reversed(list(equations)):
        if equation.value.name in names:
            found.append(equation)
            names.update(equation.operands)
    return tuple(reversed(found)), names


@dataclass(frozen=True)
class Graph:
    """A function of arrays, drawn at random: its leaves are its arguments.

    Attributes
    ----------
    leaves
        The arrays it is given.
    equations
        What it computes, in order.
    outputs
        The names of the arrays it returns.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from hypothesis import find
    >>> graph = find(ts.testing.graphs(), lambda graph: True)
    >>> graph.arguments() in graph.definitions()
    True
    """

    leaves: tuple[Leaf, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[str, ...]

    def definitions(self, wrap: str = "") -> str:
        """Return the text that defines the leaves and the function ``f``; `wrap` is called on each result.

        Parameters
        ----------
        wrap : str, default ""
            The name of a function that the text calls on each result.

        Returns
        -------
        str
            Python source.
        """
        given = [leaf.text() for leaf in self.leaves]
        names = ", ".join(leaf.value.name for leaf in self.leaves)
        return "\n".join([HEADER, "", *given, "", "", f"def f({names}):", *_body(self.equations, wrap, self.outputs)])

    def script(self) -> str:
        """Return a script that shows the fault."""
        names = ", ".join(leaf.value.name for leaf in self.leaves if leaf.tensor)
        return f"{self.definitions()}\n\n\nprint(ts.gradcheck(lambda *_: f({self.arguments()}), [{names}], order=2))\n"

    def arguments(self) -> str:
        """Return the names of the leaves, as the arguments of a call."""
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
    """A scan, drawn at random: a step, its arrays and the options of the call.

    Attributes
    ----------
    leaves
        The parts of the carry, the inputs of one step, weights and constants.
    equations
        The body of the step.
    carry, xs, ys
        Trees of names: what enters as carry and input, and what leaves as output.
    carry_out
        For each leaf of the carry the name of what leaves in its place.
    T
        The number of steps.
    options
        ``reverse``, ``window``, ``remember``.
    read
        Which of the results, leaves of ``(carry, ys)``, the loss reads.
    layer
        For a step that is run by `nn.Recurrent`: ``lengths``, ``mask``, ``reset`` and ``go_backwards``.
    form
        How a result enters the loss: a key of `FORMS`.
    runs
        How often the scan runs, each time from the carry of the time before.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from hypothesis import find
    >>> step = find(ts.testing.steps(), lambda step: True)
    >>> "def step(" in step.definitions()
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
            The name of a function that the text calls on each result.

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
        """Return a script that prints what each way of running the scan gives."""
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
    print("compiled" if compile else "step by step, which is right")
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
    """Return a tree of names with some exchanged."""
    return map_leaves(lambda name: names.get(name, name), tree)
