"""Checks of what is kept: saved, loaded, pickled, copied."""

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
    """Load what was saved into other parameters and compare; see that every gradient goes to a parameter."""
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
    """Return a module that has nothing of the first one's values: made anew, or else a copy whose values are zeros."""
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
                f"a Tensor {leaf.shape} that is no parameter",
                np.inf,
                NONE,
                "it requires grad but is not in state_dict(): neither trained nor saved; make it an nn.Parameter",
            )


@check("pickled gives the same numbers", MODULE)
def pickled(problem: Problem) -> Iterator[Finding]:
    """Pickle and compare."""
    module = problem.subject.module
    assert module is not None
    try:
        other = pickle.loads(pickle.dumps(module))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SkipError(f"pickle refuses it: {error}") from error
    yield from compare(_with(problem, other), problem.evaluate(compile=False), NONE)


def _with(problem: Problem, module: Module) -> Evaluation:
    """Return the evaluation of the problem with another module in the place of the subject's."""
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
