"""What LLVM is told to be disjoint in memory is disjoint."""

from __future__ import annotations

import operator
from itertools import combinations

import numpy as np
import pytest
from numba import config

from tests.scan.test_batch_axis import kernels
from tests.scan.traps import TRAPS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.scan import variants
from tinygrad_seq.scan.codegen import loop_nests
from tinygrad_seq.scan.codegen.kernel_text import KernelText
from tinygrad_seq.scan.codegen.layout import as_int
from tinygrad_seq.scan.ir.step import Var


def elements(text: KernelText, var: Var) -> set[int]:
    """Return where in its buffer the elements of a variable are, of one batch element."""
    layout, shape = text.layouts[var], text.loop.features(var)
    strides = list(map(as_int, layout.strides))
    return {layout.offset + sum(map(operator.mul, strides, index)) for index in np.ndindex(shape)}


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="no kernel is laid out then")
def test_what_shares_memory_is_not_marked_as_disjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM may reorder a write and a read that are marked as disjoint."""
    asked, shared = loop_nests.disjoint_groups, list[bool]()

    def disjoint_groups(text: KernelText, variables: list[Var], slabs: bool) -> dict[Var, int]:
        numbers = asked(text, variables, slabs)
        for one, other in combinations(variables, 2):
            found = [text.layouts[var].buffer for var in (one, other)]
            buffers = {(text.buffer(buffer), slabs and buffer.kind in {"next", "leaving"}) for buffer in found}
            if len(buffers) == 1 and elements(text, one) & elements(text, other):
                shared.append(elements(text, one) != elements(text, other))
                assert numbers[one] == numbers[other]
        return numbers

    monkeypatch.setattr(variants, "_known", Memo(1000))
    monkeypatch.setattr(loop_nests, "disjoint_groups", disjoint_groups)
    for name in ("slices", "slices_that_overlap", "transposed_state"):
        kernels(TRAPS[name])
    assert any(shared)
