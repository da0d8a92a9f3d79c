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
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from {up}autograd.tensor import Tensor
from {up}ops.axes import Axis
from {up}ops.edges import Mode, Width
from {up}ops.searching import UniqueAll, UniqueCounts, UniqueInverse
from {up}ops.shape import Shape

'''
PRINTED = (bool, int, float, str, NoneType)  # defaults that their repr makes again
UNARY = {f"__{name}__" for name in ("neg", "abs", "invert", "pos")}


class Text(str):
    """An annotation that `inspect` prints as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def declaration(name: str, function: Any, method: bool) -> str:
    """Return the stub of a function, with the summary of its docstring for editors."""
    found = public_signature(function)
    parameters = [stub_of(p, method and position == 0) for position, p in enumerate(found.parameters.values())]
    signature = inspect.Signature(parameters, return_annotation=annotation(found.return_annotation))
    return f'def {name}{signature}:\n    """{summary(function)}"""\n'


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
        lines.append(declaration(name, operation.function, False) if known == name else f"{name} = {known}\n")
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
            known = first.setdefault(id(value), name)
            lines += indented(declaration(name, value, True) if known == name else f"{name} = {known}\n")
    return HEADER.format(up="..") + "".join(lines)


def indented(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines(keepends=True))


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
