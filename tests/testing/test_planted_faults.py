"""The net catches: faults are planted, and some of the examples that CI runs must fail.

A scan's programs are made anew for each fault. Where the fault is not in the machine code, the loop runs on NumPy.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numba import config

from tinygrad_seq.base.memo import Memo
from tinygrad_seq.kernels import pool
from tinygrad_seq.nn.recurrence import passes
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.scan import api, compiled, pipeline, variants
from tinygrad_seq.scan.codegen import batch_axis, buffers, loop_source
from tinygrad_seq.scan.run import batched, launch, segments
from tinygrad_seq.testing.soak import outcome_of, program_of

EXAMPLES = range(50)


@pytest.fixture
def plant(monkeypatch) -> Callable[..., None]:
    """Return a function that puts something wrong in the place of an attribute, or of an item."""
    monkeypatch.setattr(variants, "_known", Memo(1000))

    def put(owner, name: str, wrong) -> None:
        if isinstance(owner, dict):
            monkeypatch.setitem(owner, name, wrong)
        else:
            monkeypatch.setattr(owner, name, wrong)

    return put


def first_found(kind: str, check: str, examples: range = EXAMPLES) -> int | None:
    """Return the first example in which `check` fails."""
    for seed in examples:
        if any(check in fault.check for fault in outcome_of(kind, program_of(kind, seed)).faults):
            return seed
    return None


@pytest.mark.parametrize("name", ["tanh", "multiply", "sum", "matmul", "index", "max", "broadcast_to", "softmax"])
def test_a_wrong_rule_is_found(plant, name: str) -> None:
    row = TABLE[name]
    rule: Any = row.rules[-1]
    names = inspect.signature(rule).parameters
    forms: dict[Any, str] = {inspect.Parameter.KEYWORD_ONLY: "{0}={0}", inspect.Parameter.VAR_KEYWORD: "**{0}"}
    given = ", ".join(forms.get(value.kind, "{0}").format(key) for key, value in names.items())
    scope = {"right": row.rules[-1]}
    taken = [str(value.replace(annotation=value.empty)) for value in names.values()]
    exec(f"def wrong({', '.join(taken)}): return 1.5 * right({given})", scope)  # a rule's names say what it reads
    plant(row, "rules", (*row.rules[:-1], scope["wrong"]))
    assert first_found("graph", "finite differences") is not None


def scaled(function: Callable | None) -> Callable:
    assert function is not None
    return lambda *args, **options: 1.5 * function(*args, **options)


def without(**changed) -> Callable[..., segments.Run]:
    """Return a `run_of` that forgets an option."""
    return lambda *options: segments.run_of(*options)._replace(**changed)


def second_without_window(operands, program, run):
    return RIGHT_UNROLL(operands, program, run._replace(window=None))


RIGHT_UNROLL = compiled._unroll
SCAN_FAULTS = {
    "a formula": ("values", TABLE["mean"], "formula", scaled(TABLE["mean"].formula)),
    "a formula of a gradient": (
        "gradients",
        TABLE["softmax_adjoint"],
        "formula",
        scaled(TABLE["softmax_adjoint"].formula),
    ),
    "a product for all times": ("values", batched, "_matmul", scaled(batched._matmul)),
    "a concat for all times": ("values", TABLE["concat"], "batched", scaled(TABLE["concat"].batched)),
    "no window": ("gradients", api, "run_of", without(window=None)),
    "no window in second derivatives": ("second derivatives", compiled, "_unroll", second_without_window),
    "no reverse": ("values", api, "run_of", without(reverse=False)),
    "segments out of place": ("gradients", segments.Part, "times", property(lambda part: slice(0, part.run.T))),
}


@pytest.mark.parametrize("fault", SCAN_FAULTS)
def test_a_fault_of_the_compiled_scan_is_found(plant, fault: str) -> None:
    check, *planted = SCAN_FAULTS[fault]
    plant(config, "DISABLE_JIT", 1)
    plant(*planted)
    assert first_found("step", check, range(400)) is not None  # nothing is compiled, so there is time for more


LAYER_FAULTS = {
    "padding is computed with": (passes, "fill_padding", lambda tree, valid, **options: tree),
    "no reset": (passes, "find_restarts", lambda reset, valid, backwards: np.zeros_like(reset)),
    "the state moves on": (passes, "hold", lambda step: step),
}


@pytest.mark.parametrize("fault", LAYER_FAULTS)
def test_a_fault_of_a_layer_is_found(plant, fault: str) -> None:
    plant(config, "DISABLE_JIT", 1)
    plant(*LAYER_FAULTS[fault])
    assert first_found("cell", "layer") is not None


def mistaken(replace: str, by: str) -> Callable:
    """Return an `emit` whose source has a mistake in what it computes, not in where it reads and writes."""

    def emit(*args):
        source = right(*args)
        lines = source.text.splitlines(keepends=True)
        wrong = [line.replace(replace, by) if re.match(r" *v\d+ = ", line) else line for line in lines]
        return source._replace(text="".join(wrong))

    right: Any = vars(loop_source)["emit"]
    return emit


MACHINE_FAULTS = {
    "an operator": ("step", "values", loop_source, "emit", mistaken(") * (", ") + (")),
    "rows left out by threads": ("step", "threads", launch, "split", lambda count, parts: pool.split(count - 1, parts)),
}


@pytest.mark.parametrize("fault", MACHINE_FAULTS)
def test_a_fault_of_the_machine_code_is_found(plant, fault: str) -> None:
    kind, check, *planted = MACHINE_FAULTS[fault]
    plant(*planted)
    assert first_found(kind, check) is not None


def test_a_value_without_batch_elements_in_memory_that_each_of_them_reads_is_found(plant) -> None:
    """The two guards are taken away: such a value stays in a loop over the batch, and overwrites what it reads."""

    def with_batch_axis(loop):
        found = batch_axis._batch_axis(loop.eqns, loop.carry, loop.carry_out, loop.time_sums, loop.time_sums_out)
        N, batched = found or (1, frozenset())
        return replace(loop, batch_size=N, batched=batched)

    plant(pipeline, "hoist_unbatched", lambda stages: stages)
    plant(loop_source, "with_batch_axis", with_batch_axis)
    source = inspect.getsource(buffers._find_reuse)
    assert "(piece in loop.batched) == (var in loop.batched)" in source
    scope = dict(buffers.__dict__)
    exec(source.replace("(piece in loop.batched) == (var in loop.batched)", "True"), scope)
    plant(buffers, "_find_reuse", scope["_find_reuse"])
    assert first_found("step", "values", range(200)) is not None
