"""Operations that move elements without changing them: each function generates one equation, as in `operations`."""

from __future__ import annotations

import math

from .drawing import Drawing, Sketch, divisors
from .random_program import Value


def _kind(d: Drawing) -> str:
    return d.rng.choice("fffffib")


def _with_axes(d: Drawing, count: int = 1) -> Value:
    return d.need(_kind(d), lambda x: len(d.axes(x)) >= count)


def reshape(d: Drawing) -> Sketch:
    """Reshape: flatten, split an axis, merge two axes; the batch axis stays."""
    x = d.need(_kind(d))
    lead, own = x.shape[: int(x.rows)], x.shape[int(x.rows) :]
    options: list[tuple[int, ...]] = [(math.prod(own),)]
    if own:
        axis = d.rng.randrange(len(own))
        part = d.rng.choice(divisors(own[axis]))
        options += [(*own[:axis], part, own[axis] // part, *own[axis + 1 :])] * 2
        options += [(*own[:axis], 1, *own[axis:])]
    if len(own) > 1:
        axis = d.rng.randrange(len(own) - 1)
        options += [(*own[:axis], own[axis] * own[axis + 1], *own[axis + 2 :])] * 2
    shape = (*lead, *d.rng.choice(options))
    form = d.rng.choice(["ts.reshape({0}, @)", "{0}.reshape(@)"])
    if shape and not x.rows and d.chance(0.3):
        shape = (-1, *shape[1:])
    return Sketch(form.replace("@", str(shape)), [x])


def permute(d: Drawing) -> Sketch:
    """Permute axes."""
    x = _with_axes(d, 2)
    order = d.axes(x)
    d.rng.shuffle(order)
    a, b = order[0], order[-1]
    return Sketch(d.rng.choice([
        f"ts.permute_dims({{0}}, {(*range(int(x.rows)), *order)})", f"ts.swapaxes({{0}}, {a}, {b - x.ndim})",
        f"ts.moveaxis({{0}}, {a}, {b})", f"{{0}}.swapaxes({a}, {b})",
    ]), [x])  # fmt: skip


def one_more(d: Drawing) -> Sketch:
    """Add an axis of size 1 or by broadcasting."""
    x = d.need(_kind(d), lambda x: x.ndim < 4)
    at = d.rng.randint(int(x.rows), x.ndim)
    size = d.rng.choice(d.sizes)
    grown = (*x.shape[:at], size, *x.shape[at:])
    forms = [f"ts.expand_dims({{0}}, {at})", f"ts.broadcast_to(ts.expand_dims({{0}}, {at}), {grown})",
             f"{{0}}[{', '.join([*[':'] * at, 'None'])}]"]  # fmt: skip
    if not x.rows:
        forms.append(f"ts.broadcast_to({{0}}, {(size, *x.shape)})")
    if 1 in x.shape[int(x.rows) :]:
        wide = tuple([d.rng.choice(d.sizes) if n == 1 and i >= int(x.rows) else n for i, n in enumerate(x.shape)])
        forms += [f"ts.broadcast_to({{0}}, {wide})"] * 2
    return Sketch(d.rng.choice(forms), [x])


def one_less(d: Drawing) -> Sketch:
    """Remove an axis of size 1, or take one element along an axis."""
    x = _with_axes(d)
    single = [axis for axis in d.axes(x) if x.shape[axis] == 1]
    if single and d.chance(0.5):
        return Sketch(f"ts.squeeze({{0}}, {d.rng.choice([single[0], single[0] - x.ndim])})", [x])
    axis = d.rng.choice(d.axes(x))
    at = d.rng.randrange(-x.shape[axis], x.shape[axis])
    forms = [f"{{0}}[{', '.join([*[':'] * axis, str(at)])}]", f"ts.unstack({{0}}, axis={axis})[{at}]"]
    if axis == x.ndim - 1:
        forms.append(f"{{0}}[..., {at}]")
    return Sketch(d.rng.choice(forms), [x])


def cut(d: Drawing) -> Sketch:
    """Take a slice or a part of a `split`."""
    x = _with_axes(d)
    axis = d.rng.choice(d.axes(x))
    size = x.shape[axis]
    start = d.rng.randrange(size)
    stop, step = d.rng.randint(start + 1, size), d.rng.choice([1, 1, 1, 2])
    key = [":"] * x.ndim
    key[axis] = f"{start}:{stop}" if step == 1 else f"{start}:{stop}:{step}"
    forms = [f"{{0}}[{', '.join(key)}]"]
    key[axis] = d.rng.choice(["::-1", f"{start}:", f"{start - size}:", f"{stop - 1}::-1"])
    forms.append(f"{{0}}[{', '.join(key)}]")
    if size > 1:
        at = d.rng.randrange(1, size)
        forms += [f"ts.split({{0}}, [{at}], axis={axis})[{d.rng.randrange(2)}]",
                  f"ts.concat(ts.split({{0}}, [{at}], axis={axis})[::-1], axis={axis})"]  # fmt: skip
    return Sketch(d.rng.choice(forms), [x])


def rearrange(d: Drawing) -> Sketch:
    """Change the order or the number of elements along an axis."""
    x = _with_axes(d)
    axis = d.rng.choice(d.axes(x))
    forms = [f"ts.flip({{0}}, axis={axis})", f"ts.roll({{0}}, {d.rng.randint(-3, 3)}, axis={axis})"]
    if x.kind == "f":
        width = [(0, 0)] * x.ndim
        width[axis] = (d.rng.randint(0, 2), d.rng.randint(0, 2))
        forms += [f"ts.pad({{0}}, {tuple(width)})", f"ts.repeat({{0}}, 2, axis={axis})"]
        if x.shape[axis] > 1:
            forms.append(f"ts.diff({{0}}, axis={axis}) / 2")
        if len(d.axes(x)) >= 2:
            k = d.rng.randint(-1, 1)
            forms += [f"ts.tril({{0}}, {k})", f"ts.triu({{0}}, {k})",
                      f"ts.diagonal({{0}}, axis1={x.ndim - 2}, axis2={x.ndim - 1})"]  # fmt: skip
    return Sketch(d.rng.choice(forms), [x])


def join(d: Drawing) -> Sketch:
    """Join values with ``concat`` or ``stack``."""
    x = d.need(_kind(d))
    if d.axes(x) and d.chance(0.6):
        axis = d.rng.choice(d.axes(x))

        def fits(v: Value) -> bool:
            return v.ndim == x.ndim and all(
                v.shape[i] == x.shape[i] or (i == axis and v.rows == x.rows) for i in range(x.ndim)
            )  # fmt: skip

        others = [d.pick(x.kind, lambda v: fits(v) and (v.rows <= x.rows)) or x for _ in range(d.rng.choice([1, 1, 2]))]
        form = "ts.concat"
    else:
        axis = d.rng.randint(int(x.rows), x.ndim)
        others = [d.pick(x.kind, lambda v: v.shape == x.shape and v.rows <= x.rows) or x
                  for _ in range(d.rng.choice([1, 1, 2]))]  # fmt: skip
        form = "ts.stack"
    operands = [x, *others]
    d.rng.shuffle(operands)
    places = ", ".join(f"{{{i}}}" for i in range(len(operands)))
    return Sketch(f"{form}([{places}], axis={axis})", operands)
