"""Random steps and cells: compiled is step by step is a plain loop. `tinygrad_seq.testing` runs more of them for hours.

What limits their number is compiling: each new step takes seconds the first time. With NUMBA_DISABLE_JIT=1 the compiled
path runs on NumPy, compiles nothing, and takes eight times as many.
"""

from __future__ import annotations

from random import Random

import pytest
from numba import config

from tests.testing.net import assert_sound
from tinygrad_seq.testing import Step, check_step
from tinygrad_seq.testing.drawing import Drawing, Sketch
from tinygrad_seq.testing.elementwise import BITS, LOGIC, ROWS
from tinygrad_seq.testing.operations import call
from tinygrad_seq.testing.random_program import Value

EXAMPLES = 200 if config.DISABLE_JIT else 30


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_random_step(seed: int) -> None:
    assert_sound("step", seed)


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_random_cell_in_a_layer(seed: int) -> None:
    assert_sound("cell", seed)


# ------------------------------------------------------------------------------------------ every elementwise operation


def places(count: int) -> str:
    return ", ".join(f"{{{k}}}" for k in range(count))


def written(d: Drawing, sketch: Sketch) -> Value:
    """Return the value of an equation, which is small enough to be written down."""
    value = d.add(sketch)
    assert value is not None
    return value


def step_of(names: list[str], dtype: str) -> Step:
    """Return a step that applies each operation once, to values that depend on the carry and on the input."""
    d = Drawing(Random(0), dtype, [6], N=3)
    c = d.leaf("c0", (3, 6), grad=True, rows=True, carried=True)
    x = d.leaf("x0", (3, 6), grad=True, rows=True)
    i = d.leaf("x1", (3, 6), "i", rows=True)
    mixed = written(d, Sketch("{0} * {1} / 2", [c, x]))
    operands, results = [mixed, x, c], []
    for name in names:
        row = next((row for row in ROWS if row.name == name), None)
        if name in BITS:
            sketch = Sketch(f"ts.{name}({places(BITS[name].nin)})", [i, i])
        elif row is None:
            sketch = Sketch(f"ts.{name}({places(LOGIC[name].nin)})", [mixed, x])
        elif name == "where":
            sketch = Sketch("ts.where({0} > 0.1, {1}, {2})", operands)
        else:
            sketch = call(row, operands[: len(row.domains)])
        results.append(written(d, sketch))
    floats = [result for result in results if result.kind == "f"] or [mixed]
    total = written(d, Sketch(f"sum([{places(len(floats))}]) / {len(floats)}", floats))
    ys = [result.name for result in results]
    return Step(tuple(d.leaves.values()), tuple(d.equations), "c0", ("x0", "x1"), (total.name,), ys, 3)


NAMES = [*(row.name for row in ROWS), *LOGIC, *BITS]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", range(0, len(NAMES), 15), ids=lambda first: NAMES[first])
def test_every_elementwise_operation(first: int, dtype: str) -> None:
    step = step_of(NAMES[first : first + 15], dtype)
    outcome = check_step(step, second=False)
    assert not outcome.faults, (step, outcome.faults)
    assert not outcome.refused
    assert not outcome.unstable
