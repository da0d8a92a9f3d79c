"""Random cells: straight-line source drawn from the table of primitives, in which every value stays within ±BOUND.

A statement applies one template to values drawn before: inputs, parts of the carry, other results. All are
of shape (N, H) and stay within the bound because a template scales what its operation can make of operands within it,
so that no domain is left, nothing overflows and gradients neither die nor explode.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygrad_seq as ts
from tests.ops.elementwise_rows import LOGIC, ROWS, Row
from tests.scan.case import Problem
from tinygrad_seq.primitive import TABLE

BOUND = 2.0
T, N, H, V = 3, 3, 6, 7


def row_template(row: Row) -> str:
    """Return the call of an elementwise row on operands moved into their domains: ``p.log(1.6 + 0.7 * {})``."""
    rng = np.random.default_rng(0)
    operands = []
    for low, high in row.domains:
        middle, half = (low + high) / 2, (high - low) / 2 / BOUND
        operands.append("{}" if (middle, half) == (0, 1.5) else f"({middle:.3g} + {half:.3g} * {{}})")
    drawn = row.operands(rng, *[(4000,)] * len(row.domains))
    largest = float(np.abs(row.reference(*drawn)).max())
    call = f"p.{row.name}({', '.join(operands)})"
    return call if largest <= BOUND else f"{BOUND / largest:.3g} * {call}"


ELEMENTWISE = [row_template(row) for row in ROWS]

COMPARISONS = [
    *(f"p.{name}({', '.join(['{}'] * TABLE[name].forward.nin)}) * {{}}" for name in LOGIC),
    "ts.logical_and({} > 0.1, ts.logical_not({} > 0.5)) * {}",
    "ts.where({} > {}, {}, {})",
    "ts.where(({} > 0) & ~({} > 0.5) | ({} < -1), {}, {})",
    "ts.where(mask, {}, {})",
    "{} * mask",
    "({} >= {}).astype(row.dtype)",
    "ts.clip({}, -0.7, 0.9)",
]

PRODUCTS = [
    "{} @ w",
    "{} @ w.T",
    "0.5 * ts.linear({}, w, row)",
    "ts.concat([{}, {}], axis=-1) @ tall",
    "ts.split({} @ wide, 2, axis=-1)[1]",
    "ts.einsum('nh,hk->nk', {}, w)",
    "0.5 * ts.einsum('nh,nk,hk->nk', {}, {}, w)",
    "(({}[:, :, None] * {}[:, None, :]) @ {}[:, :, None])[:, :, 0] / (4 * H)",
    "0.5 * ({} * {}).sum(axis=-1, keepdims=True) / H * {}",
]

SHAPES = [
    "ts.split(ts.concat([{}, {}], axis=-1), [2, H + 2], axis=-1)[1]",
    "ts.concat([{}[:, 2:], {}[:, :2]], axis=-1)",
    "{}[:, ::-1]",
    "0.5 * {}[:, 1:2] * {}",
    "ts.flip({}, axis=-1)",
    "ts.roll({}, 2, axis=-1)",
    "ts.stack([{}, {}, {}], axis=1).mean(axis=1)",
    "ts.stack([{}, {}], axis=-1).reshape(-1, 2 * H)[:, 3 : H + 3]",
    "0.5 * ({}.reshape(-1, 2, H // 2) * {}.reshape(-1, 2, H // 2)[:, ::-1]).reshape(-1, H)",
    "{}.reshape(-1, 2, H // 2).swapaxes(1, 2).reshape(-1, H)",
]

REDUCTIONS = [
    "0.5 * ({} - {}.mean(axis=-1, keepdims=True))",
    "0.5 * ({} - {}.max(axis=-1, keepdims=True))",
    "0.5 * ({} + {}.min(axis=-1, keepdims=True))",
    "0.25 * {} * {}.var(axis=-1, keepdims=True)",
    "0.5 * {} * ({}.var(axis=-1, keepdims=True) + 0.1).sqrt()",
    "0.25 * {} * ts.logsumexp({}, axis=-1, keepdims=True)",
    "0.08 * {} * ts.norm(3 + {}, axis=-1, keepdims=True)",
    "0.08 * {} * ts.prod(1 + 0.25 * {}, axis=-1, keepdims=True)",
    "ts.softmax({})",
    "ts.log_softmax({}) / 3",
    "ts.softmax({}.reshape(-1, 2, 3), axis=1).reshape(-1, H)",
    "0.4 * ts.layer_norm({}, H, row, row, eps=0.1)",
    "0.7 * ts.rms_norm({}, H, row, eps=0.1)",
    "0.4 * ts.layer_norm({}.reshape(-1, 3, 2), (3, 2), eps=0.1).reshape(-1, H)",
]

CONSTANTS = [
    "{} * row",
    "0.5 * ({} + column)",
    "0.5 * (full - {})",
    "{} * one",
    "{} * x['k']",
    "0.5 * {} + table[x['token']]",
    "0.5 * {} + 0.1 * x['token'].astype(row.dtype)[:, None]",
    "{} ** 2 / 2",
    "{} ** 3 / 4",
    "0.5 * {} + 0.25 * {}.detach()",
    "0.5 * {} + 1",
]

TEMPLATES = [ELEMENTWISE, COMPARISONS, PRODUCTS, SHAPES, REDUCTIONS, CONSTANTS]

# How the arrays of the carry are read, and how they are put together again.
STRUCTURES = {
    1: [(["carry"], "{}"), (["carry['h']"], "{{'h': {}}}")],
    2: [(["carry[0]", "carry[1]"], "({}, {})"), (["carry['b'][0]", "carry['a']"], "{{'b': [{}], 'a': {}}}")],
    3: [(["carry[0]", "carry[1][0]", "carry[1][1]"], "({}, ({}, {}))")],
}
OUTPUTS = ["None", "{}", "({}, {})", "{{'a': {}, 'b': [{}, {}]}}"]


class Cell(NamedTuple):
    """A drawn cell; its representation is the source that a failing test shows."""

    source: str
    arrays: int
    init: str

    def __repr__(self) -> str:
        return f"\n{self.source}\n"

    def problem(self, dtype: str, **options: Any) -> Problem:
        """Return the scan of this cell with random arrays."""
        rng = np.random.default_rng(0)

        def floats(*shape: int, largest: float = 1.5) -> ts.Tensor:
            return ts.tensor(rng.uniform(-largest, largest, shape).astype(dtype), requires_grad=True)

        weights = {
            "w": floats(H, H, largest=1 / H),
            "wide": floats(H, 2 * H, largest=1 / H),
            "tall": floats(2 * H, H, largest=0.5 / H),
            "row": floats(H, largest=1),
            "column": floats(N, 1),
            "full": floats(N, H),
            "one": floats(largest=1),
            "table": floats(V, H, largest=1),
        }
        init = eval(self.init, {}, {f"c{i}": floats(N, H) for i in range(self.arrays)})  # noqa: S307 (our own text)
        xs = {
            "x": floats(T, N, H),
            "k": floats(T, N, 1, largest=1),
            "mask": ts.tensor(rng.integers(0, 2, (T, N, H)).astype(bool)),
            "token": ts.tensor(rng.integers(0, V, (T, N))),
        }
        scope: dict[str, Any] = {"ts": ts, "p": SimpleNamespace(**TABLE), "H": H, **weights}
        exec(compile(self.source, "<random cell>", "exec"), scope)
        return Problem(scope["step"], init, xs, weights, options)


def write(statements: Sequence[str], carry: Sequence[str], outputs: str, structure: tuple[list[str], str]) -> Cell:
    """Return the cell of these statements; value i is named v<i>, part i of the carry c<i>."""
    paths, pattern = structure
    body = [f"c{i} = {path}" for i, path in enumerate(paths)]
    body += [f"v{i} = {statement}" for i, statement in enumerate(statements)]
    body.append(f"return {pattern.format(*carry)}, {outputs}")
    init = pattern.format(*(f"c{i}" for i in range(len(paths))))
    return Cell("\n    ".join(["def step(carry, x):", "mask = x['mask']", *body]), len(paths), init)


@st.composite
def cells(draw: Any, largest: int = 14) -> Cell:
    """Return the strategy of cells of up to `largest` statements with one to three arrays in the carry."""
    structure = draw(st.sampled_from(STRUCTURES[draw(st.integers(1, 3))]))
    values = ["x['x']", *(f"c{i}" for i in range(len(structure[0])))]

    def fill(template: str, choices: Sequence[str]) -> str:
        return template.format(*[draw(st.sampled_from(choices)) for _ in range(template.count("{}"))])

    statements: list[str] = []
    for i in range(draw(st.integers(3, largest))):
        statements.append(fill(draw(st.sampled_from(draw(st.sampled_from(TEMPLATES)))), values))
        values.append(f"v{i}")
    carry = [draw(st.sampled_from(values[-6:])) for _ in structure[0]]
    outputs = fill(draw(st.sampled_from(OUTPUTS)), values)
    read = " ".join([*statements, *carry, outputs])
    unread = [value for value in values if not re.search(rf"{re.escape(value)}\b", read)]
    return write(statements, carry, f"({outputs}, {' + '.join(unread) or None})", structure)  # nothing is there in vain


def cell_of(templates: Sequence[str]) -> Cell:
    """Return a cell that applies each template once, to values that depend on the carry and on the input."""
    operands = ["c0", "x['x']", "(c0 * row)", "c1"]
    statements = [template.format(*operands, *operands) for template in templates]
    names = [f"v{i}" for i in range(len(statements))]
    mixed = f"({' + '.join(names)}) / {len(names)}"
    carry = [f"v{len(names)}", "0.5 * (c1 + c0)"]
    return write([*statements, mixed], carry, f"[{', '.join(names)}]", STRUCTURES[2][0])
