"""Traces of one model at several sizes as one, whose sizes are polynomials: see `dynamic_sizes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...scan.ir.step import Eqn, Step, Var, live
from .dynamic_sizes import Differs, Samples, Size, refuse
from .record import LOOP, Recorder


class Trace(NamedTuple):
    """A model written down at one size: its recorder, its inputs, and its results with their names."""

    recorder: Recorder
    inputs: Sequence[Var]
    outputs: Sequence[Var]
    names: Sequence[str]


class Merged(NamedTuple):
    """A model for all sizes, in the variables of its first trace.

    Attributes
    ----------
    eqns
        The equations, whose options have `Size` where they depend on a size.
    shapes
        By variable: its shape.
    constants
        By variable: its value.
    uses
        How often each variable is read.
    """

    eqns: tuple[Eqn, ...]
    inputs: Sequence[Var]
    outputs: Sequence[Var]
    shapes: dict[Var, tuple[Any, ...]]
    constants: dict[Var, Any]
    uses: Counter[Var]


def merge(traces: Sequence[Trace], samples: Samples) -> Merged:
    """Return traces at the points of `samples` as one.

    Raises
    ------
    ArgumentError
        If they do not do the same.
    """
    return _Merge(traces, samples).run()


class _Merge:
    def __init__(self, traces: Sequence[Trace], samples: Samples) -> None:
        self._traces, self._samples = traces, samples
        self._same: list[dict[Var, Var]] = [{} for _ in traces]
        self._shapes: dict[Var, tuple[Any, ...]] = {}
        self._constants: dict[Var, Any] = {}
        self._uses: Counter[Var] = Counter()
        self._lines = traces[0].recorder.lines

    def run(self) -> Merged:
        """Return the merged model."""
        traces = self._traces
        first = traces[0].inputs[0] if traces[0].inputs else None
        self._define([trace.inputs for trace in traces], self._line(first))
        rows = [live(trace.recorder.eqns, trace.outputs) for trace in traces]
        eqns = tuple(self._equations(rows))
        for column in zip(*[trace.outputs for trace in traces], strict=True):
            self._read(column, self._line(column[0]))
        self._uses.update(traces[0].outputs)
        for (var, axis), text in traces[0].recorder.beyond.items():
            if var in self._shapes and isinstance(self._shapes[var][axis], Size):
                raise refuse("a slice that cuts an axis of dynamic size from some size on", text)
        return Merged(eqns, traces[0].inputs, traces[0].outputs, self._shapes, self._constants, self._uses)

    def _line(self, var: Var | None) -> str:
        return self._lines.get(var, "its inputs") if var is not None else "its inputs"

    def _define(self, rows: Sequence[Sequence[Var]], line: str) -> None:
        for column in zip(*rows, strict=True):
            for same, var in zip(self._same, column, strict=True):
                same[var] = column[0]
            if len({var.dtype for var in column}) > 1:
                raise refuse(f"{column[0].dtype} for some and {column[-1].dtype} for others", line)
            self._shapes[column[0]] = self._merged([var.shape for var in column], line)

    def _merged(self, values: Sequence[Any], line: str) -> Any:
        try:
            return self._samples.merge(values)
        except Differs as error:
            raise refuse(str(error), line) from None

    def _equations(self, rows: Sequence[Sequence[Eqn]]) -> Iterator[Eqn]:
        counts = {len(row) for row in rows}
        for column in zip(*rows, strict=False):
            first, line = column[0], self._line(column[0].results[0])
            if any(eqn.primitive is not first.primitive or len(eqn.operands) != len(first.operands) for eqn in column):
                names = sorted({eqn.primitive.name for eqn in column})
                raise refuse(f"{' for some and '.join(map(repr, names))} for others", line)
            operands = tuple([self._read(atoms, line) for atoms in zip(*[eqn.operands for eqn in column], strict=True)])
            self._uses.update([operand for operand in operands if operand.__class__ is Var])
            if first.primitive is LOOP:
                params = first.params | {"body": self._body([eqn.params["body"] for eqn in column], line)}
            else:
                params = self._merged([eqn.params for eqn in column], line)
            self._define([eqn.results for eqn in column], line)
            yield replace(first, operands=operands, params=params)
        if len(counts) > 1:
            row = min(rows, key=len)
            line = "its first operation" if not row else self._line(rows[0][: len(row)][-1].results[0])
            raise refuse("more operations for some sizes than for others", f"an operation after {line}")

    def _body(self, steps: Sequence[Step], line: str) -> Step:
        first = steps[0]
        if len({(len(step.consts), len(step.carry), len(step.xs), len(step.ys)) for step in steps}) > 1:
            raise refuse("another step of a scan for some", line)
        self._define([(*step.carry, *step.xs) for step in steps], line)
        eqns = tuple(self._equations([step.eqns for step in steps]))
        for column in zip(*[step.outputs for step in steps], strict=True):
            self._read(column, line)
        self._uses.update(first.outputs)
        return replace(first, eqns=eqns)

    def _read(self, column: Sequence[Any], line: str) -> Any:
        first = column[0]
        if first.__class__ is not Var:
            return self._merged(column, line)
        if any(var.__class__ is not Var for var in column):
            raise refuse("a number for some and an array for others", line)
        if first not in self._same[0]:
            self._constant(column)
        if any(same.get(var) is not self._same[0][first] for same, var in zip(self._same, column, strict=True)):
            raise refuse("other operands for some", line)
        return first

    def _constant(self, column: Sequence[Var]) -> None:
        arrays = []
        for var, trace in zip(column, self._traces, strict=True):
            value = trace.recorder.constants.get(var)
            if value is None:
                raise refuse("other operands for some", self._line(column[0]))
            arrays.append(value if isinstance(value, np.ndarray) else value._array)
        try:
            merged = self._samples.merge_arrays(arrays)
        except Differs as error:
            raise refuse(str(error), self._line(column[0])) from None
        self._constants[column[0]] = merged
        self._shapes[column[0]] = merged.shape
        for same, var in zip(self._same, column, strict=True):
            same[var] = column[0]
