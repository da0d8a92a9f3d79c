"""Python numbers of a step that may change from call to call, such as a rate or a temperature.

Steps that differ in such numbers only do the same otherwise, so they share a trace and a program. The first numbers are
literals in the program. Where a later call brings others, those become *runtime arguments*: constants of shape (), of
the dtype that the literal takes from the arrays it meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...ops.primitive import OpKind, Primitive
from .check import check
from .step import Atom, Eqn, Step, Var

_LARGEST = 1e38


def changeable(primitive: Primitive, atoms: Sequence[Atom]) -> tuple[int, ...]:
    """Return the positions of the operands that are numbers which may change.

    They are finite floats, but not 0 and 1, among the operands of an elementwise operation on arrays of one real dtype.
    """
    if primitive.kind is not OpKind.ELEMENTWISE:
        return ()
    dtypes = {atom.aval.dtype for atom in atoms if atom.__class__ is Var and atom.aval.dtype.kind != "b"}
    if len(dtypes) != 1 or dtypes.pop().kind != "f":
        return ()
    return tuple(
        [
            position
            for position, atom in enumerate(atoms)
            if atom.__class__ is float
            and abs(atom) < _LARGEST
            and atom not in (0, 1)
            and position not in primitive.static
        ]
    )


def dtypes_of_numbers(step: Step) -> list[np.dtype]:
    """Return the dtype that each number of `step` which may change takes from the arrays it meets."""
    return [
        next(var.dtype for var in eqn.reads if var.dtype.kind == "f")
        for eqn in step.eqns
        for _ in changeable(eqn.primitive, eqn.operands)
    ]


def with_numbers(step: Step, atoms: Sequence[Atom]) -> Step:
    """Return `step` with other numbers, in the order of the equations, where they may change.

    Variables among them become runtime arguments: they follow the step's other `consts`.
    """
    rest = iter(atoms)
    eqns: list[Eqn] = []
    for eqn in step.eqns:
        places = changeable(eqn.primitive, eqn.operands)
        if places:
            operands = [next(rest) if at in places else operand for at, operand in enumerate(eqn.operands)]
            eqn = replace(eqn, operands=tuple(operands))
        eqns.append(eqn)
    arguments = tuple(dict.fromkeys([atom for atom in atoms if atom.__class__ is Var]))
    return check(replace(step, consts=(*step.consts, *arguments), eqns=tuple(eqns), arguments=arguments))
