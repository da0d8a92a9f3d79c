"""Compiled equals eager on random cells, and on every row of the table.

What limits the number of examples is compiling: each new cell takes seconds the first time. Two ways to more of them:

    HYPOTHESIS_PROFILE=thorough     twenty times as many
    NUMBA_DISABLE_JIT=1             the compiled path runs on NumPy, compiles nothing, and takes sixteen times as many
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from numba import config

from tests.scan.case import assert_agree
from tests.scan.random_cells import (
    COMPARISONS,
    CONSTANTS,
    ELEMENTWISE,
    PRODUCTS,
    REDUCTIONS,
    SHAPES,
    Cell,
    cell_of,
    cells,
)

# Shrinking a failing cell takes hundreds of others: that is for NumPy, where all but faults of the emitter fail too.
EXAMPLES = settings.default.max_examples * 4 if config.DISABLE_JIT else settings.default.max_examples // 4
PHASES = tuple(Phase) if config.DISABLE_JIT else (Phase.explicit, Phase.generate)


def check(cell: Cell, dtype: str, **options) -> None:
    problem = cell.problem(dtype, **options)
    assert_agree(problem.run(True), problem.run(False), dtype)


@settings(max_examples=EXAMPLES, phases=PHASES, derandomize=True, database=None)
@given(cells(), st.sampled_from(["float64", "float64", "float32"]), st.booleans())
def test_random_cell(cell: Cell, dtype: str, reverse: bool) -> None:
    note(cell.source)
    check(cell, dtype, reverse=reverse)


TABLES = (ELEMENTWISE, COMPARISONS, PRODUCTS + CONSTANTS, SHAPES + REDUCTIONS)
GROUPS = [table[start : start + 12] for table in TABLES for start in range(0, len(table), 12)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].split("(")[0])
def test_every_operation(group: list[str], dtype: str) -> None:
    check(cell_of(group), dtype)
