"""What the compiler is told to be apart in memory is apart."""

from __future__ import annotations

import operator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numba import config

from tests.scan.test_rows import kernels
from tests.scan.traps import TRAPS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.scan import variants
from tinygrad_seq.scan.codegen import emit
from tinygrad_seq.scan.codegen.buffers import as_int
from tinygrad_seq.scan.codegen.schedule import features
from tinygrad_seq.scan.ir.step import Var


def elements(emitter: Any, var: Var) -> set[int]:
    """Return where in its buffer the elements of a row of a variable are."""
    place, shape = emitter.homes.places[var], features(var, emitter.rows)
    start, strides = sum(map(as_int, place.offsets)), list(map(as_int, place.strides))
    return {start + sum(map(operator.mul, strides, index)) for index in np.ndindex(shape)}


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="no kernel is laid out then")
def test_what_shares_memory_is_not_said_to_be_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM may exchange a write and a read that are said to be apart."""
    asked, shared = emit._Emitter.places_apart, list[bool]()

    def places_apart(self: Any, variables: list[Var]) -> dict[Var, int]:
        numbers = asked(self, variables)
        for one, other in combinations(variables, 2):
            buffers = {self.buffer(self.homes.places[var].buffer) for var in (one, other)}
            if len(buffers) == 1 and elements(self, one) & elements(self, other):
                shared.append(elements(self, one) != elements(self, other))
                assert numbers[one] == numbers[other]
        return numbers

    monkeypatch.setattr(variants, "_known", Memo(1000))
    monkeypatch.setattr(emit._Emitter, "places_apart", places_apart)
    for name in ("slices", "slices_that_overlap", "transposed_state"):
        kernels(TRAPS[name])
    assert any(shared)
