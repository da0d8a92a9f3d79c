"""The type stubs of what the table of operations makes at run time: the public functions, the operators and methods.

``python -m tests.typing.stubs --write`` writes them; a test compares them with the table.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from tinygrad_seq.ops.operators import Operators
from tinygrad_seq.ops.public import PUBLIC, public_signature

PACKAGE = Path(__file__).resolve().parents[2] / "tinygrad_seq"
HEADER = '''\
"""Written by ``python -m tests.typing.stubs --write`` from the table of operations; do not edit."""

# ruff: noqa: E501, F401, N802, PYI021, RUF022, RUF100
# fmt: off

import builtins
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from {up}autograd.tensor import Tensor
from {up}ops.axes import Axis
from {up}ops.edges import Mode, Width
from {up}ops.searching import UniqueAll, UniqueCounts, UniqueInverse
from {up}ops.shape import Shape
from {up}ops.spelling import Extremes

'''
PRINTED = (bool, int, float, str, NoneType)  # defaults that their repr makes again
UNARY = {f"__{name}__" for name in ("neg", "abs", "invert", "pos")}


class Text(str):
    """An annotation that `inspect` prints as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


# PyTorch's names of parameters, in the order in which they come where all are by keyword.
THEIRS = {"axis": "dim", "axes": "dims", "keepdims": "keepdim", "indices": "index", "source": "src"}


def declaration(name: str, function: Any, method: bool, spread: bool = False, pairs: bool = False) -> str:
    """Return the stub of a function, with the summary of its docstring for editors.

    With `spread` the second argument may be several integers; with `pairs` PyTorch's meaning returns an `Extremes`.
    """
    found = public_signature(function)
    parameters = [stub_of(p, method and position == 0) for position, p in enumerate(found.parameters.values())]
    if spread:
        several = inspect.Parameter(parameters[1].name, inspect.Parameter.VAR_POSITIONAL, annotation=Text("Any"))
        named = inspect.Parameter("named", inspect.Parameter.VAR_KEYWORD, annotation=Text("Any"))
        parameters = [parameters[0], several, named]
    returned = annotation(found.return_annotation)
    first = stub(name, parameters, returned, function)
    if spread or not THEIRS.keys() & set(found.parameters) or "dim" in found.parameters:
        return first
    theirs = stub(name, by_pytorchs_names(parameters), Text("Extremes[Tensor]") if pairs else returned, function)
    return f"@overload\n{first}@overload\n{theirs}"


def stub(name: str, parameters: list[inspect.Parameter], returned: Text, function: Any) -> str:
    signature = inspect.Signature(parameters, return_annotation=returned)
    return f'def {name}{signature}:\n    """{summary(function)}"""\n'


def by_pytorchs_names(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Return parameters with PyTorch's names: from the first such name on by keyword, and that one is needed."""
    at = next(at for at, parameter in enumerate(parameters) if parameter.name in THEIRS)
    renamed = [p.replace(name=THEIRS.get(p.name, p.name), kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters[at:]]
    return [*parameters[:at], renamed[0].replace(default=inspect.Parameter.empty), *renamed[1:]]


def options_of(name: str) -> dict[str, bool]:
    operation = PUBLIC[name]
    meaning = operation.pytorch if operation.function.__name__ == name else None
    pairs = meaning is not None and "(values, indices)" in meaning.write
    return {"spread": operation.spread, "pairs": pairs}


def stub_of(parameter: inspect.Parameter, is_self: bool) -> inspect.Parameter:
    if is_self:
        return parameter.replace(name="self", annotation=inspect.Parameter.empty)
    given = parameter.default
    default = given if given is inspect.Parameter.empty or isinstance(given, PRINTED) else Text("...")
    return parameter.replace(annotation=annotation(parameter.annotation), default=default)


def annotation(text: str) -> Text:
    """Return an annotation by a name that no function or method hides."""
    return Text(re.sub(r"\bfloat\b", "builtins.float", text))


def summary(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def functions() -> str:
    """Return ``functional.pyi``."""
    lines = [HEADER.format(up=".")]
    first: dict[int, str] = {}
    for name, operation in PUBLIC.items():
        known = first.setdefault(id(operation), name)
        if known == name or operation.pytorch is not None:
            lines.append(declaration(name, operation.function, False, **options_of(name)))
        else:
            lines.append(f"{name} = {known}\n")
    return "".join([*lines, f"\n__all__ = {sorted(PUBLIC)!r}\n"])


def methods() -> str:
    """Return ``ops/operators.pyi``."""
    lines = ['class Operators:\n    """The operators and methods of arrays."""\n\n    shape: Any\n    ndim: Any\n\n']
    lines.append("    def __hash__(self) -> int: ...\n")
    first: dict[int, str] = {}
    for name, value in vars(Operators).items():
        if isinstance(value, property):
            lines += indented("@property\n" + declaration(name, value.fget, True))
        elif name == "__getitem__":
            lines.append("    def __getitem__(self, key: Any) -> Tensor: ...\n")
        elif name in UNARY:
            lines.append(f"    def {name}(self) -> Tensor: ...\n")
        elif callable(value) and name.startswith("__"):
            ignored = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
            lines.append(f"    def {name}(self, other: ArrayLike, /) -> Tensor: ...{ignored}\n")
        elif callable(value):
            known = first.setdefault(
                id(inspect.unwrap(value)) if name in PUBLIC and PUBLIC[name].pytorch is None else id(value), name
            )
            options = options_of(name) if name in PUBLIC else {}
            lines += indented(declaration(name, value, True, **options) if known == name else f"{name} = {known}\n")
    return HEADER.format(up="..") + "".join(lines)


def indented(text: str) -> Iterator[str]:
    return (f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))


STUBS = {PACKAGE / "functional.pyi": functions, PACKAGE / "ops" / "operators.pyi": methods}


def main() -> None:
    """Compare the stubs with the table, or write them."""
    parser = argparse.ArgumentParser(prog="python -m tests.typing.stubs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the stubs")
    write = parser.parse_args().write
    for path, make in STUBS.items():
        if write:
            path.write_text(make(), encoding="utf-8")
        elif path.read_text(encoding="utf-8") != make():
            raise SystemExit(f"{path.name} is out of date; run python -m tests.typing.stubs --write")


if __name__ == "__main__":
    main()
