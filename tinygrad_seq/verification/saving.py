"""Checks of saving, loading and pickling."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..autograd.serialization import load, save
from ..nn.module.module import Module
from .compare import NONE, Evaluation, Finding, compare
from .problem import Problem
from .subject import MODULE, LayerSubject, ModuleSubject, Subject, subject_of
from .table import SkipError, check


@check("saved and loaded gives the same numbers", MODULE)
def saved(problem: Problem) -> Iterator[Finding]:
    """Load the saved state into other parameters and compare; check that every leaf of the graph is a parameter."""
    module = problem.subject.module
    assert module is not None
    before = problem.evaluate(compile=False)
    yield from _unsaved(problem)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save(module.state_dict(), path)
        other = _another(problem, module)
        other.load_state_dict(load(path))
    yield from compare(_with(problem, other), before, NONE)


def _another(problem: Problem, module: Module) -> Module:
    """Return a module without the values of the first one: a new one from `make`, or else a copy filled with zeros."""
    if problem.make is not None:
        made = subject_of(problem.make(), None, None, None, problem.subject.row_axis).module
        assert made is not None
        return made.double()
    other = copy.deepcopy(module)
    for tensor in (*other.parameters(), *other.buffers()):
        tensor._array = np.zeros_like(tensor._array)
    return other


def _unsaved(problem: Problem) -> Iterator[Finding]:
    known = [*problem.leaves.values()]
    for leaf in problem.pull(problem.outputs(compile=False), every=True):
        if all(leaf is not other for other in known):
            yield Finding(
                f"a Tensor {leaf.shape} that is not a parameter",
                np.inf,
                NONE,
                "it requires grad but is not in state_dict(): neither trained nor saved; make it an nn.Parameter",
            )


@check("pickled gives the same numbers", MODULE)
def pickled(problem: Problem) -> Iterator[Finding]:
    """Compare the module with its pickled copy."""
    module = problem.subject.module
    assert module is not None
    try:
        other = pickle.loads(pickle.dumps(module))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SkipError(f"it cannot be pickled: {error}") from error
    yield from compare(_with(problem, other), problem.evaluate(compile=False), NONE)


def _with(problem: Problem, module: Module) -> Evaluation:
    """Evaluate the problem with another module."""
    subject = copy.copy(problem.subject)
    other = problem.with_xs(lambda x: x)
    other.subject = _replaced(subject, module)
    return other.evaluate(compile=False)


def _replaced(subject: Subject, module: Module) -> Subject:
    if isinstance(subject, LayerSubject):
        cell = None if subject.cell is None else module.cells[0]  # type: ignore[attr-defined]
        return LayerSubject(module, cell)  # type: ignore[arg-type]
    assert isinstance(subject, ModuleSubject)
    return ModuleSubject(module, subject.row_axis)
