"""Products, lookups, and operations that compiled loops do not support: each function generates one equation."""

from __future__ import annotations

import math

from .drawing import BOUND, Drawing, NothingFitsError, Sketch, fit_together, letters
from .random_program import SYMBOLS, Value


def multiply(d: Drawing) -> Sketch:
    """Multiply matrices, stacks of matrices or vectors by a weight or another value."""
    x = d.need("f", lambda x: bool(d.axes(x)))
    K, M = x.shape[-1], d.rng.choice(d.sizes)
    forms: list[tuple[str, tuple[int, ...] | None]] = [("{0} @ {1}", (K, M))] * 2
    forms += [("{0} @ {1}.T", (M, K)), ("ts.linear({0}, {1})", (M, K)), ("ts.matmul({0}, {1})", (K,))]
    if len(d.axes(x)) >= 2:
        forms += [("{1} @ {0}", (M, x.shape[-2])), ("ts.matmul({1}, {0})", (x.shape[-2],))]
    if x.ndim == 3:
        forms += [("{0} @ {1}", (1 if d.strict else x.shape[0], K, M)), ("{0} @ {1}", (1, K, M))]
    if x.ndim == 3 or (x.ndim == 2 and not x.rows):
        forms += [("{0} @ ts.swapaxes({0}, -1, -2)", None), ("{0} @ ts.swapaxes({1}, -1, -2)", None)]
    template, shape = d.rng.choice(forms)
    if shape is not None:
        shared = K if template.startswith(("{0}", "ts.linear", "ts.matmul({0}")) else x.shape[-2]
        other = d.weight(shape)
        if d.chance(0.3):
            other = d.pick("f", lambda v: v.shape == shape and (not v.rows or x.rows) and v.ndim == 3) or other
        if template.startswith("ts.linear") and d.chance(0.6):
            return Sketch("ts.linear({0}, {1}, {2})", [x, other, d.weight((M,))], (shared * BOUND + 1) * BOUND)
        return Sketch(template, [x, other], shared * BOUND**2)
    if "{1}" not in template:
        return Sketch(template, [x], K * BOUND**2)
    other = d.pick("f", lambda v: v.ndim == x.ndim and v.shape[-1] == K and v.shape[:-2] == x.shape[:-2]) or x
    return Sketch(template, [x, other], K * BOUND**2)


def gate(d: Drawing) -> Sketch:
    """Compute one gate or several gates at once: a function of a sum of products, as in most cells."""
    x = d.need("f", lambda x: bool(d.axes(x)))
    count, H = d.rng.choice([1, 1, 1, 2, 3]), d.rng.choice(d.sizes)
    operands, terms = [x, d.weight((x.shape[-1], count * H))], ["{0} @ {1}"]

    def fits(other: Value) -> bool:
        shapes = [value._replace(shape=(*value.shape[:-1], H)) for value in (x, other)]
        return bool(d.axes(other)) and fit_together(shapes)

    h = d.pick("f", fits)
    if h is not None and d.chance(0.6):
        operands += [h, d.weight((h.shape[-1], count * H))]
        terms.append(f"{{{len(operands) - 2}}} @ {{{len(operands) - 1}}}")
    if d.chance(0.6):
        operands.append(d.weight((count * H,)))
        terms.append(f"{{{len(operands) - 1}}}")
    total = " + ".join(terms)
    if count > 1:
        total = f"ts.split({total}, {count}, axis=-1)[{d.rng.randrange(count)}]"
    return Sketch(f"ts.{d.rng.choice(['tanh', 'sigmoid', 'tanh', 'softsign'])}({total})", operands, 1)


def contract(d: Drawing) -> Sketch:
    """Apply ``einsum`` to one to three operands."""
    x = d.need("f", lambda x: x.ndim >= 1)
    own = letters(x.ndim)
    shared = own[int(x.rows and d.strict) :]
    size = dict(zip(own, x.shape, strict=True))
    operands, terms = [x], [own]
    for _ in range(d.rng.choice([0, 1, 1, 1, 2])):
        term = "".join(letter for letter in shared if d.chance(0.6))
        if d.chance(0.5):
            new = "xyz"[len(terms)]
            size[new] = d.rng.choice(d.sizes)
            term += new
        term = term or own[-1]
        if term == "a" and x.rows and d.strict:
            raise NothingFitsError
        operands.append(d.weight(tuple([size[letter] for letter in term])))
        terms.append(term)
    kept = [letter for letter in sorted(set("".join(terms))) if d.chance(0.6)]
    d.rng.shuffle(kept)
    if x.rows:
        kept = ["a", *[letter for letter in kept if letter != "a"]]
    count = math.prod(size[letter] for letter in set("".join(terms)) - set(kept))
    bound = count * BOUND ** len(operands)
    places = ", ".join(f"{{{i}}}" for i in range(len(operands)))
    return Sketch(f"ts.einsum('{','.join(terms)}->{''.join(kept)}', {places})", operands, bound)


def pair_up(d: Drawing) -> Sketch:
    """Multiply two values along one axis, or compute their outer product."""
    x = d.need("f", lambda x: bool(d.axes(x)))
    other = d.pick("f", lambda v: v.shape == x.shape) or x
    axis = d.rng.choice(d.axes(x))
    if x.ndim == 1 and not x.rows and d.chance(0.5):
        return Sketch("ts.outer({0}, {1})", [x, other], BOUND**2)
    return Sketch(f"ts.vecdot({{0}}, {{1}}, axis={axis})", [x, other], x.shape[axis] * BOUND**2)


# ------------------------------------------------------------------------------------------------------------- lookups


def look_up(d: Drawing) -> Sketch:
    """Look up entries of a table by integer index."""
    i = d.need("i", lambda i: i.ndim <= 2)
    if d.chance(0.25):
        return Sketch(f"ts.one_hot({{0}}, 5, '{d.dtype}')", [i], 1)
    table = d.weight((SYMBOLS, *[d.rng.choice(d.sizes) for _ in range(d.rng.choice([0, 1, 1, 2]))]))
    return Sketch(
        d.rng.choice(["{1}[{0}]", "ts.take({1}, {0}, axis=0)", *["ts.embedding({1}, {0})"] * (table.ndim == 2)]),
        [i, table],
    )


# ------------------------------------------------------------------------------- not supported inside compiled loops


def outside(d: Drawing) -> Sketch:
    """Apply an operation that a compiled scan supports only outside the loop, to values independent of the carry."""
    x = d.need("f", lambda x: bool(d.axes(x)) and (not x.carried or d.smooth or d.chance(0.03)))
    axis = d.rng.choice(d.axes(x))
    size = x.shape[axis]
    forms = [
        (f"ts.cumsum({{0}}, axis={axis})", size * BOUND), (f"ts.cumprod(1 + 0.25 * {{0}}, axis={axis})", 1.5**size),
        (f"ts.cummax({{0}}, axis={axis})", BOUND), (f"ts.sort({{0}}, axis={axis})", BOUND),
        (f"ts.topk({{0}}, {d.rng.randint(1, size)}, axis={axis})[0]", BOUND),
        (f"ts.cummin({{0}}, axis={axis})", BOUND),
        (f"ts.take({{0}}, np.array({[d.rng.randrange(size) for _ in range(3)]}), axis={axis})", BOUND),
        (f"ts.take_along_axis({{0}}, ts.argsort({{0}}, axis={axis}), axis={axis})", BOUND),
    ]  # fmt: skip
    if not d.smooth:
        forms.append((f"ts.argmax({{0}}, axis={axis}) % 5", 1))
    template, bound = d.rng.choice(forms)
    return Sketch(template, [x], bound)


def gather(d: Drawing) -> Sketch:
    """Gather or add at integer positions; eager only."""
    x = d.need("f", lambda x: x.ndim >= 1 and not x.rows)
    axis = d.rng.randrange(x.ndim)
    size = x.shape[axis]
    flat = f"np.array({[d.rng.randrange(size) for _ in range(3)]})"
    chosen = f"np.array({[d.rng.randrange(size) for _ in range(x.size)]}).reshape({x.shape})"
    places = (*x.shape[:axis], 3, *x.shape[axis + 1 :])
    forms = [
        (f"ts.gather({{0}}, {axis}, {chosen})", [x], BOUND),
        (f"ts.scatter_add({{0}}, {axis}, {chosen}, {{1}})", [x, d.weight(x.shape)], BOUND * (x.size + 1)),
        (f"{{0}}[{', '.join([*[':'] * axis, flat])}]", [x], BOUND),
        (f"ts.index_add({{0}}, {axis}, {flat}, {{1}})", [x, d.weight(places)], 4 * BOUND),
    ]
    if x.ndim == 2:
        rows = f"np.array({[d.rng.randrange(x.shape[0]) for _ in range(3)]})"
        columns = f"np.array({[d.rng.randrange(x.shape[1]) for _ in range(3)]})"
        forms.append((f"{{0}}[{rows}, {columns}]", [x], BOUND))
        target = f"np.array({[d.rng.randrange(x.shape[1]) for _ in range(x.shape[0])]})"
        forms.append((f"ts.cross_entropy({{0}}, {target})", [x], 2 * BOUND + math.log(x.shape[1])))
    return Sketch(*d.rng.choice(forms))


def tensors(d: Drawing) -> Sketch:
    """Apply an operation of linear algebra or a convolution; eager only."""
    x = d.need("f", lambda x: x.ndim >= 1 and not x.rows)
    M, last = d.rng.choice(d.sizes), x.shape[-1]
    forms: list[tuple[str, list[Value], float]] = [
        ("ts.tensordot({0}, {1}, 1)", [x, d.weight((last, M))], last * BOUND**2),
        ("ts.kron({0}, {1})", [x, d.weight((2,) * x.ndim)], BOUND**2),
    ]
    if last > 1:
        spread = [x, d.weight((last,))]
        forms.append(("ts.std({0} + np.arange(@), axis=-1)".replace("@", str(last)), [x], BOUND + last))
        forms.append(("ts.inner({0}, {1})", spread, last * BOUND**2))
    if x.ndim == 2:
        forms.append(("ts.trace({0})", [x], min(x.shape) * BOUND))
    if x.ndim == 3:
        width = d.rng.randint(1, last)
        weight = d.weight((M, x.shape[1], width))
        forms.append(("ts.conv1d({0}, {1})", [x, weight], x.shape[1] * width * BOUND**2))
    return Sketch(*d.rng.choice(forms))


def inner_scan(d: Drawing) -> Sketch:
    """Run a short scan inside the step."""
    x = d.need("f", lambda x: not x.rows and x.ndim >= 1 and x.shape[0] <= 4)
    return Sketch("ts.scan(lambda c, r: (0.5 * c + 0.5 * r, c * r), {0}[0], {0})[1]", [x], BOUND**2)


def detach(d: Drawing) -> Sketch:
    """Stop the gradient of a value that depends on the carry, which is always a Tensor."""
    return Sketch("{0}.detach()", [d.need("f", lambda x: x.carried)])
