"""Generated source and the modules that it imports fit each other, so that a move or a new name cannot break it."""

from __future__ import annotations

import ast
import builtins
from types import ModuleType
from typing import Any

import pytest
from numba import config

from tests.scan import test_lookups
from tests.scan.case import Problem
from tests.scan.cells import CELLS
from tests.scan.traps import TRAPS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.kernels import scalar
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.scan import program_of, variants
from tinygrad_seq.scan.codegen.emit import HEADER


def imported() -> dict[str, Any]:
    """Return what the header imports, by name; an import that does not exist raises."""
    found: dict[str, Any] = {}
    exec(HEADER, found)
    return {name: value for name, value in found.items() if not name.startswith("__")}


def unknown_names(text: str) -> set[str]:
    """Return the names that a source uses and neither defines nor imports; attributes of modules with their module."""
    nodes = list(ast.walk(ast.parse(text)))
    known = imported()
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    defined = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    attributes = {
        (node.value.id, node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    modules = {name: value for name, value in known.items() if isinstance(value, ModuleType)}
    return names - defined - known.keys() - set(dir(builtins)) | {
        f"{name}.{attribute}"
        for name, attribute in attributes
        if name in modules and not hasattr(modules[name], attribute)
    }


@pytest.fixture
def _with_source(monkeypatch) -> None:
    """Let programs have a source, which is not compiled, also where there is no compiler."""
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(variants, "_known", Memo(1000))


def sources(problem: Problem) -> list[str]:
    program = program_of(problem.step, problem.init, problem.xs, length=problem.options.get("length"))
    directions = [one for one in (program.forward, program.backward) if one is not None]
    kernels = [direction.kernel for direction in directions]
    return [kernel.source.text for kernel in kernels if kernel is not None]


def test_the_check_finds_what_is_missing() -> None:
    text = HEADER + "def run(sizes):\n    a = sizes[0]\n    return missing(scalar.tanh(a), scalar.tahn(f4(b)))\n"
    assert unknown_names(text) == {"missing", "b", "scalar.tahn"}


@pytest.mark.usefixtures("_with_source")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*CELLS, *TRAPS])
def test_every_name_in_generated_source_is_imported_or_defined(name: str, dtype: str) -> None:
    texts = sources((CELLS | TRAPS)[name].build(dtype))
    assert texts
    assert [unknown_names(text) for text in texts] == [set() for _ in texts]


@pytest.mark.usefixtures("_with_source")
@pytest.mark.parametrize("bounds_check", [None, 1])
def test_so_is_every_name_of_lookups_and_draws(bounds_check: int | None, rng, monkeypatch) -> None:
    monkeypatch.setattr(config, "BOUNDSCHECK", bounds_check)
    steps = [test_lookups.walk, test_lookups.negative, test_lookups.writing(0.5, 3)]
    given = [None, None, rng.random((6, test_lookups.N))]
    texts = [
        text for step, xs in zip(steps, given, strict=True) for text in sources(test_lookups.problem(step, rng, xs=xs))
    ]
    assert len(texts) > len(steps)
    assert [unknown_names(text) for text in texts] == [set() for _ in texts]


def test_every_vectorised_function_exists() -> None:
    names = {name for name, primitive in TABLE.items() if primitive.vectorised}
    assert "tanh" in names
    assert {name for name in names if not hasattr(scalar, name)} == set()
