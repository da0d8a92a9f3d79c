"""Faults of the scan compiler: its passes, its memory, its loops."""

from __future__ import annotations

from .mutant import Mutant

COMPILED = ("tests/scan/test_compiled.py::test_trap", "tests/scan/test_batch_axis.py")
OPTIONS = (
    "tests/scan/test_compiled.py::test_window_cuts_the_gradient_and_nothing_else",
    "tests/scan/test_compiled.py::test_gradient_of_the_last_carry_or_of_the_outputs_alone",
)
WANTED = ("tests/scan/test_compiled.py::test_gradient_of_some_inputs", *COMPILED)
REMEMBER = ("tests/scan/test_remember.py",)

MUTANTS = [
    Mutant(
        "a broadcast of values without a batch axis is taken to have one",
        "scan/codegen/batch_axis.py",
        "return first is None and result.shape[:1] == (N,)",
        "return result.shape[:1] == (N,)",
        ("tests/scan/test_compiled.py::test_trap[column_that_is_a_matrix_too]",),
    ),
    Mutant(
        "a sum over the batch is taken to keep its elements apart",
        "scan/codegen/batch_axis.py",
        '_require(0 not in params["axes"], mine)',
        "pass",
        COMPILED,
    ),
    Mutant(
        "a transpose is taken to keep batch elements apart",
        "scan/codegen/batch_axis.py",
        "_require(first == (0, 1) and result.shape[0] == N and 0 not in moved, batched)",
        "_require(result.shape[0] == N, batched)",
        COMPILED,
    ),
    Mutant(
        "values without a batch axis stay in a loop with one",
        "scan/codegen/batch_axis.py",
        " or not all(found[1].issuperset(eqn.results) for eqn in computed):",
        ":",
        ("tests/scan/test_batch_axis.py",),
    ),
    Mutant(
        "a carry cut at a window shares memory with what is stacked",
        "scan/codegen/arrange.py",
        "    if cuts_carry:",
        "    if False:",
        ("tests/scan/test_flow.py", *COMPILED),
    ),
    Mutant(
        "the gradient crosses the first edge of a window",
        "scan/codegen/emit.py",
        '"if window != 0 and place != 0 and place % window == 0:"',
        '"if window != 0 and place > window and place % window == 0:"',
        OPTIONS,
    ),
    Mutant(
        "results overwrite operands that are read later",
        "scan/codegen/buffers.py",
        "                and last[piece] is nests.get(var)\n",
        "",
        COMPILED,
    ),
    Mutant(
        "the parts of a concat are all written at its beginning",
        "scan/codegen/layout.py",
        "        start += loop.features(part)[axis]",
        "        start += 0",
        COMPILED,
    ),
    Mutant(
        "a carry whose history is read is kept in two slabs",
        "scan/codegen/buffers.py",
        "buffers = _of_inputs(loop, time_varying, history | saved)",
        "buffers = _of_inputs(loop, time_varying, saved)",
        COMPILED,
    ),
    Mutant(
        "products before the loop are overwritten though others read them",
        "scan/codegen/loop_source.py",
        "for var in products if var not in others]",
        "for var in products]",
        COMPILED,
    ),
    Mutant(
        "memory is taken to be disjoint where it overlaps",
        "scan/codegen/loop_nests.py",
        "disjoint = all(a[1] < b[0] for a, b in pairwise(ordered))",
        "disjoint = True",
        ("tests/scan/test_disjoint_memory.py",),
    ),
    Mutant(
        "one contribution to a constant is lost",
        "scan/passes/differentiate.py",
        "sums = tuple([var for parts in contributions.values() for var in parts])",
        "sums = tuple([parts[0] for parts in contributions.values() for _ in parts])",
        COMPILED,
    ),
    Mutant(
        "a broadcast is not undone in the backward step",
        "scan/passes/differentiate.py",
        "append(unbroadcast(part, *operand.aval))",
        "append(unbroadcast(part, part.shape, operand.dtype))",
        COMPILED,
    ),
    Mutant(
        "gradient stops where only the carry leads on",
        "scan/passes/differentiate.py",
        "        if carried <= sources:",
        "        if True:",
        WANTED,
    ),
    Mutant(
        "what the next carry needs is done after the loop",
        "scan/passes/partition.py",
        "        if not _any(eqn.results, feeding) and expensive:",
        "        if expensive:",
        COMPILED,
    ),
    Mutant(
        "a sum over time is taken of the first block only",
        "scan/run/time_sums.py",
        "multiply(a[rows].T, b[rows], self._value[at], self._begun, self._plan.precision)",
        "multiply(a[rows].T, b[rows], self._value[at], False, self._plan.precision)",
        REMEMBER,
    ),
    Mutant(
        "a repeated trace forgets the precision that it was made in",
        "scan/repeated.py",
        "mode.recording, mode.precision, default_dtype()",
        "mode.recording, default_dtype()",
        ("tests/test_autocast.py",),
    ),
    Mutant(
        "packed weights of one precision serve another",
        "scan/run/panels.py",
        "        self.key = (K, N), weight.dtype, packing[1:]\n",
        "        self.key = (K, N), weight.dtype, packing[1:4]\n",
        ("tests/nn/test_quantize.py", "tests/test_autocast.py"),
    ),
    Mutant(
        "segments add their blocks from the other end",
        "scan/run/time_sums.py",
        "        if self._backwards:\n            parts = [part[::-1] for part in parts]",
        "        if not self._backwards:\n            parts = [part[::-1] for part in parts]",
        REMEMBER,
    ),
    Mutant(
        "rows that wait for others to fill a block are left out",
        "scan/run/time_sums.py",
        "if len(block[0]) < self._block and not last:",
        "if len(block[0]) < self._block:",
        REMEMBER,
    ),
    Mutant(
        "a segment begins with the carry of the one before",
        "scan/program.py",
        "self._rematerialise(env, [x[number] for x in saved], part)",
        "self._rematerialise(env, [x[max(number - 1, 0)] for x in saved], part)",
        REMEMBER,
    ),
    Mutant(
        "joined operands are all multiplied by the first rows of the matrix",
        "scan/passes/lower.py",
        "            start, end = end, end + part.shape[-1]",
        "            start, end = 0, part.shape[-1]",
        COMPILED,
    ),
    Mutant(
        "a softmax in the loop is not shifted by its maximum",
        "ops/normalisation.py",
        "    e = exp(_exponents(x, axis))",
        "    e = exp(x)",
        ("tests/scan/test_special_values.py", *COMPILED),
    ),
    Mutant(
        "a variance in the loop divides by n",
        "ops/reduction.py",
        "    return _total(deviation * deviation, axes) / _freedom(x, axes, correction)",
        "    return _total(deviation * deviation, axes) / _freedom(x, axes, 0)",
        COMPILED,
    ),
    Mutant(
        "slices that overlap become one split",
        "scan/passes/slices.py",
        "if len(found) < 2 or any(a[1] > b[0] for a, b in pairwise(bounds)):",
        "if len(found) < 2:",
        COMPILED,
    ),
    Mutant(
        "an index outside a table is not noticed",
        "scan/codegen/lookup.py",
        "    if not status[0]:",
        "    if True:",
        ("tests/scan/test_lookups.py",),
    ),
    Mutant(
        "requires_grad does not follow the carry",
        "scan/requires_grad.py",
        '        sources |= {var: 1 << at for at, var in enumerate(step.carry) if var.dtype.kind == "f"}\n',
        "",
        ("tests/scan/test_flow.py",),
    ),
    Mutant(
        "a lifted concat does not repeat what is the same at every time",
        "ops/joining.py",
        "full = [x if over else np.broadcast_to(x, (T, *x.shape)) for x, over in zip(xs, lifted, strict=True)]",
        "full = [x if over else np.zeros((T, *x.shape), x.dtype) for x, over in zip(xs, lifted, strict=True)]",
        COMPILED,
    ),
    Mutant(
        "no gradient reaches what is computed before the loop",
        "scan/pipeline.py",
        "dependents(invariants, wanted).intersection(normal.inputs)",
        "set(wanted).intersection(normal.inputs)",
        COMPILED,
    ),
]
