"""The operations of programs: each function generates one equation, or None if no value fits."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from .. import functional
from .drawing import BOUND, Drawing, Sketch, fit_together, number, picking
from .elementwise import ROWS, Row
from .random_program import SYMBOLS, Value

# --------------------------------------------------------------------------------------------------------- elementwise

_JUMPS = ("floor", "ceil", "round", "trunc", "sign")
_ROWS = [row for row in ROWS if row.name not in ("where", "floor_divide")]


@functools.cache
def _largest(row: str) -> float:
    """Return the maximum magnitude of an elementwise function on its domains."""
    found = next(candidate for candidate in ROWS if candidate.name == row)
    operands = found.operands(np.random.default_rng(0), *[(4000,)] * len(found.domains))
    corners = np.meshgrid(*found.domains)
    return 1.05 * max(float(np.abs(found.reference(*drawn)).max()) for drawn in (operands, corners))


@picking(lambda d: d.pick())
def elementwise(d: Drawing, x: Value) -> Sketch | None:
    """Call a function of the table of elementwise operations."""
    row = d.rng.choice(_ROWS)
    operands: list[Value | str] = [x]
    for low, high in row.domains[1:]:
        if d.chance(0.2):
            operands.append(number(d.rng, low, high))
            continue
        other = d.partner(x)
        arrays = [operand for operand in operands if isinstance(operand, Value)]
        operands.append(other if fit_together([*arrays, other]) else x)
    return call(row, operands)


def call(row: Row, operands: Sequence[Value | str]) -> Sketch:
    """Return the call of an elementwise function on numbers and on arrays, which are mapped into its domains."""
    arrays: list[Value] = []
    texts: list[str] = []
    for operand, (low, high) in zip(operands, row.domains, strict=True):
        if isinstance(operand, str):
            texts.append(operand)
            continue
        middle, half = (low + high) / 2, (high - low) / 2 / BOUND
        at = f"{{{len(arrays)}}}"
        texts.append(at if (middle, half) == (0, 1.5) else f"({middle:.3g} + {half:.3g} * {at})")
        arrays.append(operand)
    function = f"ts.{row.name}" if hasattr(functional, row.name) else f"TABLE['{row.name}']"
    return Sketch(f"{function}({', '.join(texts)})", arrays, _largest(row.name))


@picking(lambda d: d.pick())
def arithmetic(d: Drawing, x: Value) -> Sketch | None:
    """Apply an operator."""
    forms: list[tuple[str, float]] = [
        ("{0} + {1}", 2 * BOUND), ("{0} - {1}", 2 * BOUND), ("{0} * {1}", BOUND * BOUND),
        ("{1} * {0}", BOUND * BOUND), ("{0} / (2.5 + {1})", 2 * BOUND), ("{1} - {0}", 2 * BOUND),
        ("ts.sigmoid({0}) * {1}", BOUND), ("ts.tanh({0}) + {1}", BOUND + 1),
        ("-{0}", BOUND), ("{0} ** 2", BOUND**2), ("{0} ** 3", BOUND**3), ("0.7 * {0} + 1", 2.5), ("1.3 - {0}", 3.5),
        ("{0} * 0.5", 1), ("ts.square({0})", BOUND**2), ("ts.clone({0})", BOUND), ("ts.add({0}, {0})", 2 * BOUND),
        ("{0} * {0} * {0}", BOUND**3), ("1 / (3 + {0})", 1),
    ]  # fmt: skip
    template, bound = d.rng.choice(forms)
    if "{1}" not in template:
        return Sketch(template, [x], bound)
    return Sketch(template, [x, d.partner(x)], bound)


@picking(lambda d: d.pick())
def jump(d: Drawing, x: Value) -> Sketch | None:
    """Apply a function with jumps and zero gradient."""
    return Sketch(f"ts.{d.rng.choice(_JUMPS)}(2.1 * {{0}} + 0.137)", [x], 6)


@picking(lambda d: d.pick())
def clip(d: Drawing, x: Value) -> Sketch | None:
    """Clip, or take the distance from an odd number."""
    return Sketch(d.rng.choice(["ts.clip({0}, -0.713, 0.913)", "ts.clip({0}, min=-0.313)", "abs({0} - 0.137)"]), [x], 3)


@picking(lambda d: d.pick())
def compare(d: Drawing, x: Value) -> Sketch | None:
    """Create a mask; the operands differ by an odd number, so that rounding does not change the result."""
    if d.chance(0.25):
        return Sketch(d.rng.choice(["ts.isfinite({0})", "ts.isnan({0})", "~ts.isinf({0})", "{0} != 0.137"]), [x])
    sign = d.rng.choice([">", "<", ">=", "<="])
    if d.chance(0.5):
        return Sketch(f"{{0}} {sign} {number(d.rng, -1, 1)}37", [x])
    return Sketch(f"{{0}} {sign} {{1}} + 0.137", [x, d.partner(x)])


@picking(lambda d: d.pick("b"))
def logic(d: Drawing, mask: Value) -> Sketch | None:
    """Combine masks."""
    if d.chance(0.3):
        return Sketch(d.rng.choice(["~{0}", "ts.logical_not({0})"]), [mask])
    forms = ["{0} & {1}", "{0} | {1}", "{0} ^ {1}", "ts.logical_xor({0}, {1})", "ts.logical_or({0}, {1})"]
    other = d.pick("b", lambda other: fit_together([mask, other]))
    return Sketch(d.rng.choice(forms), [mask, other or mask])


@picking(lambda d: d.pick())
def choose(d: Drawing, x: Value) -> Sketch | None:
    """Select by a mask, multiply by one, or convert one to numbers."""
    mask = d.pick("b", lambda mask: fit_together([mask, x]))
    if mask is None:
        return compare(d)
    form = d.rng.choice(
        ["ts.where({0}, {1}, {2})"] * 3
        + ["{0} * {1}", "ts.where({0}, {1}, 0.37)", "ts.masked_fill({1}, {0}, 0.5)", f"{{0}}.astype('{d.dtype}')"]
    )
    if "{2}" in form:
        other = d.partner(x)
        return Sketch(form, [mask, x, other]) if fit_together([mask, x, other]) else None
    if "masked_fill" in form and np.broadcast_shapes(mask.shape, x.shape) != x.shape:
        return None
    return Sketch(form, [mask, x] if "{1}" in form else [mask])


@picking(lambda d: d.pick("i"))
def integers(d: Drawing, i: Value) -> Sketch | None:
    """Count, compare integers, or convert them to floating point."""
    forms = ["({0} + 1) % 5", "(2 * {0} + 1) % 5", "{0} // 2", "4 - {0}", "{0} == 2", "{0} > 1", "{0} != 0",
             f"{{0}}.astype('{d.dtype}') / 4", "ts.minimum({0}, 3)", "ts.clip({0}, 1, 3)"]  # fmt: skip
    pairs = ["({0} + {1}) % 5", "({0} * {1}) % 5", "ts.maximum({0}, {1})", "{0} == {1}", "{0} < {1}", "abs({0} - {1})"]
    if d.chance(0.4):
        other = d.pick("i", lambda other: fit_together([i, other])) or i
        return Sketch(d.rng.choice(pairs), [i, other])
    if d.chance(0.3):
        mask = d.pick("b", lambda mask: fit_together([i, mask]))
        if mask is not None:
            return Sketch(d.rng.choice(["ts.where({1}, {0}, 0)", "({0} + {1}) % 5", "{0} * {1}"]), [i, mask])
    if d.chance(0.3):
        cast = f"{{0}}.astype('{d.dtype}')"
        x = d.pick("f", lambda x: fit_together([i, x]))
        if x is not None:
            return Sketch(
                d.rng.choice([f"{cast} * {{1}}", f"{{1}} / (1 + {cast})", f"{cast} + {{1}}"]), [i, x], SYMBOLS * BOUND
            )
    return Sketch(d.rng.choice(forms), [i], 1)


# ---------------------------------------------------------------------------------------------------------- reductions


@picking(lambda d: d.pick("f", lambda x: bool(d.axes(x))))
def reduce(d: Drawing, x: Value) -> Sketch | None:
    """Reduce any axes; some results are combined with the reduced array."""
    axes = d.some(d.axes(x))
    count = math.prod(x.shape[axis] for axis in axes)
    everything = not x.rows and len(axes) == x.ndim and d.chance(0.5)
    negative = d.chance(0.3)
    named = [axis - x.ndim if negative else axis for axis in axes]
    keep = d.chance(0.4)
    where = "" if everything else f", axis={named[0] if len(named) == 1 else tuple(named)}"
    where += ", keepdims=True" if keep else ""
    forms = [
        ("ts.sum({0}@)", count * BOUND), ("ts.sum({0}@)", count * BOUND), ("ts.mean({0}@)", BOUND),
        ("ts.mean({0}@)", BOUND), ("ts.max({0}@)", BOUND), ("ts.min({0}@)", BOUND),
        ("ts.var({0}, correction=0@)", BOUND**2),
        ("ts.sqrt(ts.var({0}, correction=0@) + 0.1)", BOUND + 1), ("ts.logsumexp({0}@)", BOUND + math.log(count)),
        ("ts.norm(3 + {0}@)", 5 * math.sqrt(count)), ("ts.norm(3 + {0}, 1@)", 5 * count),
        ("ts.norm(3 + {0}, 3@)", 5 * count),
    ]  # fmt: skip
    if count <= 12:
        forms.append(("ts.prod(1 + 0.25 * {0}@)", 1.5**count))
    if count > 1:
        forms.append(("ts.var({0}, correction=1@)", 2 * BOUND**2))
    template, bound = d.rng.choice(forms)
    template = template.replace("@", where)
    if keep and d.chance(0.5):
        return Sketch(f"{{0}} {d.rng.choice('+-*')} {min(1.0, BOUND / bound):.3g} * {template}", [x], 2 * BOUND)
    return Sketch(template, [x], bound)


@picking(lambda d: d.pick(d.rng.choice("bi"), lambda x: bool(d.axes(x))))
def reduce_others(d: Drawing, x: Value) -> Sketch | None:
    """Reduce a mask or integers."""
    axes = d.some(d.axes(x))
    where = f"axis={axes[0] if len(axes) == 1 else axes}, keepdims={d.chance(0.4)}"
    if x.kind == "b":
        return Sketch(d.rng.choice([f"ts.any({{0}}, {where})", f"ts.all({{0}}, {where})",
                                    f"ts.count_nonzero({{0}}, {where}) % 5"]), [x])  # fmt: skip
    return Sketch(d.rng.choice([f"ts.sum({{0}}, {where}) % 5", f"ts.max({{0}}, {where})"]), [x])


@picking(lambda d: d.pick("f", lambda x: bool(d.axes(x))))
def normalise(d: Drawing, x: Value) -> Sketch | None:
    """Apply a softmax or a normalisation."""
    axis = d.rng.choice(d.axes(x))
    last = x.shape[-1]
    forms = [
        (f"ts.softmax({{0}}, axis={axis})", 1.0), (f"ts.softmax(2 * {{0}}, axis={axis - x.ndim})", 1.0),
        (f"ts.log_softmax({{0}}, axis={axis})", 2 * BOUND + math.log(x.shape[axis])),
        (f"ts.layer_norm({{0}}, {last}, eps=0.1)", math.sqrt(last)), (f"ts.rms_norm({{0}}, {last}, eps=0.1)", BOUND),
        (f"ts.layer_norm({{0}}, {last}, {{1}}, {{1}}, eps=0.1)", BOUND * math.sqrt(last) + BOUND),
        (f"ts.rms_norm({{0}}, {last}, {{1}}, eps=0.1)", BOUND * math.sqrt(last)),
    ]  # fmt: skip
    if len(d.axes(x)) > 1:
        shape = x.shape[-2:]
        forms.append((f"ts.layer_norm({{0}}, {shape}, eps=0.1)", math.sqrt(math.prod(shape))))
    template, bound = d.rng.choice(forms)
    return Sketch(template, [x, d.weight((last,))] if "{1}" in template else [x], bound)
