"""Generate whole programs from a `random.Random`: graphs and steps."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from random import Random
from typing import Any

from ..base.tree import Tree
from . import operations as op
from . import products as product
from . import reshaping as move
from .drawing import Drawing, NothingFitsError, Sketch, chance
from .operations import Operation
from .random_program import FORMS, Graph, Step, Value, leaves_of, needed

_SMOOTH: dict[Operation, int] = {
    op.elementwise: 6, op.arithmetic: 5, op.reduce: 4, op.normalise: 2, op.choose: 1, op.compare: 1, op.logic: 1,
    op.reduce_others: 1, product.multiply: 4, product.contract: 2, product.pair_up: 1, product.look_up: 2,
    move.reshape: 1, move.permute: 1, move.one_more: 2, move.one_less: 1, move.cut: 2, move.rearrange: 1, move.join: 2,
}  # fmt: skip
GRAPH = {**_SMOOTH, product.outside: 2, product.gather: 2, product.tensors: 2}
STEP = {
    **_SMOOTH, op.choose: 2, op.compare: 2, op.jump: 1, op.clip: 1, op.integers: 3, product.gate: 4, product.detach: 1,
    product.outside: 1, product.inner_scan: 1,
}  # fmt: skip


LONG = 258
"""The length of a long scan, whose sums over time are computed in two blocks."""


def _grow(d: Drawing, table: dict[Operation, int], count: int) -> None:
    """Add `count` equations."""
    operations, weights = list(table), list(table.values())
    for _ in range(4 * count):
        if len(d.equations) >= count:
            return
        with contextlib.suppress(NothingFitsError):
            d.add(d.rng.choices(operations, weights)[0](d))


def draw_graph(rng: Random, depth: int = 12) -> Graph:
    """Return a random graph of up to `depth` equations whose gradients finite differences can check."""
    sizes = rng.sample([1, 2, 3, 4, 5], 3)
    d = Drawing(rng, "float64", sizes, smooth=True)
    for _ in range(rng.randint(1, 3)):
        d.weight(tuple([rng.choice(sizes) for _ in range(rng.randint(0, 3))]))
    if chance(rng, 0.3):
        d.leaf("i0", (rng.choice(sizes),), "i")
    if chance(rng, 0.3):
        d.leaf("b0", (rng.choice(sizes),), "b")
    _grow(d, GRAPH, rng.randint(1, depth))
    floats = [value.name for value in d.unread.values() if value.kind == "f"] or [d.values[0].name]
    equations, names = needed(d.equations, floats)
    return Graph(tuple([leaf for name, leaf in d.leaves.items() if name in names]), equations, tuple(floats))


# ---------------------------------------------------------------------------------------------------------------- steps


def _shape(d: Drawing, N: int, batch: bool, longest: int = 3) -> tuple[int, ...]:
    """Return a random shape for a part of the carry or an input, with or without a batch axis."""
    own = [1 if d.chance(0.15) else d.rng.choice(d.sizes) for _ in range(d.rng.choice([0, 1, 1, 1, 2, 2, 3]))]
    if batch:
        return (N, *own[: longest - 1])
    if own and d.chance(0.15):
        own[0] = N
    return tuple(own)


def _nest(rng: Random, names: Sequence[str], alone: bool = True) -> Tree:
    """Return names as a random tree: alone, or in nested tuples, lists and dicts."""
    if len(names) == 1 and alone and chance(rng, 0.7):
        return names[0]
    parts: list[Any] = list(names)
    if len(parts) > 2 and chance(rng, 0.5):
        at = rng.randrange(len(parts) - 1)
        parts[at : at + 2] = [_nest(rng, parts[at : at + 2], alone=False)]
    elif parts and chance(rng, 0.15):
        parts[0] = (parts[0],)
    kind = rng.choice([tuple, list, dict])
    return dict(zip("hcabde", parts, strict=False)) if kind is dict else kind(parts)


def _fit(d: Drawing, target: Value) -> str:
    """Return the name of a value with the shape and dtype of `target`: an existing one or that of a new equation."""
    like = [v for v in d.values if (v.shape, v.dtype) == (target.shape, target.dtype) and v.rows <= target.rows]
    fresh = [v for v in like if v.name.startswith("v")]
    if fresh and d.chance(0.8):
        waiting = [v for v in fresh if v.name in d.unread]
        return _use(d, d.rng.choice(waiting or fresh[-4:]))
    if d.chance(0.1):
        return _use(d, d.rng.choice(like))
    forms: list[Sketch] = []
    for value in [v for v in d.values if v.kind == target.kind and v.name.startswith("v") and v.rows <= target.rows][
        -4:
    ]:
        if value.rows:
            axes = tuple(range(1, value.ndim))
            shape = (target.shape[0], *[1] * (target.ndim - 1))
        else:
            axes, shape = tuple(range(value.ndim)), ()
        if target.kind == "f":
            reduced = f"ts.mean({{1}}, axis={axes}).reshape({shape})" if axes or shape else "{1}"
            forms.append(Sketch(f"0.5 * {{0}} + 0.5 * {reduced}", [target, value]))
        else:
            reduced = f"ts.max({{1}}, axis={axes})" if axes else "{1}"
            if target.kind == "b":
                reduced = reduced.replace("ts.max", "ts.any")
            reduced += f".reshape({shape})" if shape else ""
            forms.append(
                Sketch(f"({{0}} + {reduced}) % 5" if target.kind == "i" else f"{{0}} ^ {reduced}", [target, value])
            )
    plain = {"f": "0.9 * {0}", "i": "({0} + 1) % 5", "b": "~{0}"}[target.kind]
    found = d.add(d.rng.choice(forms) if forms else Sketch(plain, [target]))
    return _use(d, found) if found is not None else target.name


def _use(d: Drawing, value: Value) -> str:
    d.unread.pop(value.name, None)
    return value.name


def draw_step(rng: Random, largest: int = 14, cell: bool = False) -> Step:
    """Return a random scan whose step has up to `largest` equations.

    With `cell`, `nn.Recurrent` can run the step: carry, inputs and outputs are floating-point with the batch axis
    first, and batch elements are independent.
    """
    N = rng.choice([4, 6, 9]) if cell else rng.choice([1, 2, 2, 3, 3, 4, 9, 18])
    sizes = [rng.choice([1, 2, 3, 4, 5, 8, 17, 33]), rng.choice([2, 3, 4]), rng.choice([1, 2, 3])]
    d = Drawing(rng, "float32" if chance(rng, 0.15) else "float64", [n for n in sizes if not cell or n != N], N, cell)
    apart = cell or d.chance(0.65)  # whether batch elements are independent, as in most cells
    carry = []
    for i in range(rng.choice([1, 1, 2, 2, 3])):
        kind = "f" if i == 0 or cell or d.chance(0.7) else rng.choice("iib")
        batch = cell or d.chance(0.85 if apart else 0.4)
        shape = _shape(d, N, batch)
        carry.append(
            d.leaf(f"c{i}", shape, kind, grad=kind == "f" and d.chance(0.85), rows=apart and batch, carried=True)
        )
    xs = []
    for i in range(rng.choice([1, 1, 2, 3]) if cell else rng.choice([0, 1, 1, 2, 2, 3, 4])):
        kind = "f" if cell or d.chance(0.75) else rng.choice("iib")
        batch = cell or d.chance(0.55)
        shape = _shape(d, N, batch) if kind == "f" else _shape(d, N, batch, 2)[:2]
        rows = cell or (apart and batch and d.chance(0.5))
        options: dict[str, Any] = _layout(d, len(shape) + 1, cell)
        if kind == "i" and d.chance(0.2):
            options["integer"] = "int32"
        xs.append(d.leaf(f"x{i}", shape, kind, grad=kind == "f" and d.chance(0.7), rows=rows, **options))
    _grow(d, STEP, rng.randint(2, largest))
    entering = _nest(rng, [part.name for part in carry])
    carry_out = [_fit(d, d.leaves[name].value) for name in leaves_of(entering)]
    ys = _outputs(d, cell)
    equations, names = needed(d.equations, [*carry_out, *leaves_of(ys)])
    entered = {value.name for value in (*carry, *xs)}
    leaves = tuple([leaf for name, leaf in d.leaves.items() if name in names or name in entered])
    T = rng.choice([1, 2, 3, 3, 4, 4, 5, 7])
    if not cell and d.chance(0.04):
        T = rng.choice([0, LONG])
    count = len(carry) + len(leaves_of(ys))
    read = None
    if d.chance(0.5):
        read = tuple(sorted(rng.sample(range(count), rng.randint(1, count))))
        read = tuple(range(len(carry))) if d.chance(0.3) else read
    return Step(
        leaves, equations, entering, _nest(rng, [v.name for v in xs]) if xs else None,
        tuple(carry_out), ys, T, () if cell else _options(rng, T), read, _flags(rng, T, N) if cell else None,
        rng.choice(["weighted", "weighted", *FORMS]), 1 if cell or not chance(rng, 0.2) else 2,
    )  # fmt: skip


def _layout(d: Drawing, rank: int, cell: bool) -> dict[str, str]:
    """Return a random memory layout for a part of the carry or an input; mostly none."""
    if cell or not d.chance(0.2):
        return {}
    forms = ["ts.clone({0})", "ts.flip(ts.flip({0}, axis=0), axis=0)"] if rank else ["ts.clone({0})"]
    if rank > 1:
        forms += ["ts.swapaxes(ts.clone(ts.swapaxes({0}, 0, -1)), 0, -1)", "ts.repeat({0}, 2, axis=-1)[..., ::2]"]
    return {"layout": d.rng.choice(forms)}


def _outputs(d: Drawing, cell: bool) -> Tree:
    """Return a tree of outputs: values that no equation reads, and other results, carries, inputs and weights."""
    choices = [value for value in d.values if not cell or (value.rows and value.kind == "f")]
    chosen = [value.name for value in d.unread.values() if value in choices]
    if not chosen or d.chance(0.5):
        chosen += [d.rng.choice(choices).name for _ in range(d.rng.choice([1, 1, 2]))]
    if not cell and d.chance(0.08):
        return None
    d.rng.shuffle(chosen)
    return _nest(d.rng, chosen[:4])


def _options(rng: Random, T: int) -> tuple[tuple[str, Any], ...]:
    options: dict[str, Any] = {}
    if chance(rng, 0.3):
        options["reverse"] = True
    if chance(rng, 0.25):
        options["window"] = rng.randint(1, max(T - 1, 1))
    if chance(rng, 0.25):
        options["remember"] = rng.choice(["sqrt", 1, 2, 3])
    return tuple(options.items())


def _flags(rng: Random, T: int, N: int) -> tuple[tuple[str, Any], ...]:
    """Return random arguments for the call of a layer."""
    flags: dict[str, Any] = {}
    if chance(rng, 0.3):
        flags["go_backwards"] = True
    kind = rng.choice(["", "lengths", "lengths", "mask"])
    if kind == "lengths":
        flags["lengths"] = [rng.randint(0, T) for _ in range(N)]
    elif kind == "mask":
        flags["mask"] = [[chance(rng, 0.6) for _ in range(N)] for _ in range(T)]
    if chance(rng, 0.3) and "go_backwards" not in flags:
        flags["reset"] = [[chance(rng, 0.3) for _ in range(N)] for _ in range(T)]
    return tuple(flags.items())
