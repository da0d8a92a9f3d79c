"""Every public name is documented and typed: the signature, the numpydoc sections and the annotations agree."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import Any

import pytest

from tinygrad_seq.ops.primitive import Primitive
from tinygrad_seq.ops.public import PUBLIC as OPERATIONS

PACKAGE = "tinygrad_seq"
_NAMES = (
    "errors nn nn.init nn.functional nn.utils nn.utils.rnn optim data metrics train report verification testing "
    "interop distributed tasks sklearn"
)
PUBLIC = ("", *_NAMES.split())  # "" is the package itself

HEADING = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
# What says in its summary line what it returns, and takes nothing, has no more to say in a section.
SAYS_IT = re.compile(r"(?:Return|Yield)s?\b|Whether\b")


@dataclass(frozen=True)
class Entry:
    """A public callable or property: `overrides` what a public base class documents, or nothing."""

    package: str
    name: str
    value: Any
    overrides: Any = None

    def __str__(self) -> str:
        return f"{self.package or 'ts'}: {self.name}"


def sections_of(text: str) -> dict[str, str]:
    """Return the sections of a numpydoc docstring by heading; the text before the first one is ``""``."""
    parts = HEADING.split(text)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def names_in(section: str) -> list[str]:
    """Return the parameters that a section describes: ``a, *b : type`` is two."""
    heads = [line.split(" :")[0] for line in section.splitlines() if line and not line[0].isspace()]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def raises(function: Any) -> bool:
    """Return whether the body of `function` itself raises one of the package's errors."""
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # made at run time, or a lambda in the middle of an expression
        return False
    found = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return any(isinstance(error.func, ast.Name) and error.func.id in vars(errors()) for error in found)


@functools.cache
def errors() -> types.ModuleType:
    return importlib.import_module(f"{PACKAGE}.errors")


def is_property(value: Any) -> bool:
    return isinstance(value, property | functools.cached_property)


def faults_of(entry: Entry) -> list[str]:
    """Return what is missing in the documentation or the types of a public name."""
    value = entry.value
    text = inspect.getdoc(value) or ""
    own = bool(getattr(value, "__doc__", None))
    if not own and entry.overrides is not None:
        text = inspect.getdoc(entry.overrides) or ""
    if not text:
        return ["no docstring"]
    headings = HEADING.findall(text)
    if len(set(headings)) < len(headings):
        return [f"a section twice: {headings}"]
    if isinstance(value, type):
        return class_faults(value, text)
    if is_property(value):
        getter: Any = value.fget if isinstance(value, property) else value.func
        return (
            ["no return annotation"] if inspect.signature(getter).return_annotation is inspect.Signature.empty else []
        )
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError) as error:
        return [f"no signature: {error}"]
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    found = annotation_faults(parameters)
    found += return_faults(signature)
    sections = sections_of(text)
    if entry.overrides is not None and not (own and "Parameters" in sections):
        return found  # the base describes them
    found += parameter_faults(parameters, sections, ("Parameters",))
    returned = signature.return_annotation
    silent = returned in (None, "None", "Self") or (not parameters and SAYS_IT.match(text))
    if not silent and not {"Returns", "Yields"} & set(sections):
        found.append("no Returns section")
    if raises(value) and "Raises" not in sections:
        found.append("no Raises section")
    if "." not in entry.name and "Examples" not in sections:
        found.append("no Examples section")
    return found


def class_faults(kind: type, text: str) -> list[str]:
    if issubclass(kind, BaseException):
        return []  # what raises it shows it
    sections = sections_of(text)
    made_by = next((base for base in kind.__mro__ if "__init__" in vars(base) or "_fields" in vars(base)), object)
    found = []
    if made_by.__module__.startswith(PACKAGE):
        parameters = [*inspect.signature(kind).parameters.values()]
        found += annotation_faults(parameters)
        record = is_dataclass(kind) or hasattr(kind, "_fields")
        found += parameter_faults(parameters, sections, ("Parameters", "Attributes") if record else ("Parameters",))
        if raises(vars(made_by).get("__init__")) and "Raises" not in sections:
            found.append("no Raises section")
    if "Examples" not in sections:
        found.append("no Examples section")
    return found


def annotation_faults(parameters: list[inspect.Parameter]) -> list[str]:
    return [f"{p.name}: no annotation" for p in parameters if p.annotation is inspect.Parameter.empty]


def return_faults(signature: inspect.Signature) -> list[str]:
    return ["no return annotation"] if signature.return_annotation is inspect.Signature.empty else []


def parameter_faults(
    parameters: list[inspect.Parameter], sections: dict[str, str], allowed: tuple[str, ...]
) -> list[str]:
    described = next((names_in(sections[name]) for name in allowed if name in sections), [])
    names = [p.name for p in parameters if not p.name.startswith("_")]
    shown = {name for name in described if not name.startswith("_")}
    return [] if shown == set(names) else [f"Parameters section: expected {names}, got {described}"]


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith(PACKAGE)


def entries_of(package: str, seen: set[int]) -> Iterator[Entry]:
    """Yield the public callables of a package, and the public methods and properties of its classes.

    Those in `seen` (by id) belong to a package before.
    """
    module = importlib.import_module(f"{PACKAGE}.{package}" if package else PACKAGE)
    for name in sorted(module.__all__):
        value = getattr(module, name)
        if not callable(value) or not is_ours(value) or id(value) in seen:
            continue
        seen.add(id(value))
        yield Entry(package, name, value)
        if isinstance(value, type) and not issubclass(value, BaseException):
            yield from methods_of(package, value, seen)


def methods_of(package: str, kind: type, seen: set[int]) -> Iterator[Entry]:
    """Yield the public methods and properties of a class that this package defines, under the class that has them."""
    for owner in kind.__mro__:
        if not is_ours(owner):
            continue
        for name, raw in vars(owner).items():
            value = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
            method = isinstance(value, types.FunctionType | functools.partialmethod) or is_property(value)
            if name.startswith("_") or not (method or (callable(value) and not isinstance(value, type))):
                continue
            if id(value) in seen or not (is_property(value) or is_ours(value)):
                continue
            seen.add(id(value))
            bases = owner.__mro__[1:]
            overrides = next((vars(base)[name] for base in bases if is_ours(base) and name in vars(base)), None)
            yield Entry(package, f"{owner.__name__}.{name}", value, overrides)


SEEN: set[int] = set()
ENTRIES = [entry for package in PUBLIC for entry in entries_of(package, SEEN)]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_public_name_is_documented_and_typed(entry: Entry) -> None:
    assert faults_of(entry) == []


# The examples of rows of the table, which pytest does not find by itself.
__test__ = {name: one.function.__doc__ for name, one in OPERATIONS.items() if isinstance(one.function, Primitive)}


# ------------------------------------------------------------------------------------ a rule that cannot fail is none


def good(x: float, *rest: int, scale: float = 1.0) -> float:
    """Return `x` scaled.

    Parameters
    ----------
    x
        Any number.
    *rest
        Not read.
    scale : float, default 1.0
        The factor.

    Returns
    -------
    float
        Their product.

    Examples
    --------
    >>> 2
    2
    """
    return x * scale


GOOD = inspect.getdoc(good) or ""
PLANTED: list[tuple[str, str, str]] = [
    ("scale : float", "factor : float", "Parameters section"),
    ("Parameters\n----------", "Arguments\n----------", "Parameters section"),
    ("Returns\n-------", "Result\n-------", "no Returns section"),
    ("Examples\n--------", "Try\n---", "no Examples section"),
]


def made(text: str, like: Callable[..., Any] = good) -> Callable[..., Any]:
    function = types.FunctionType(like.__code__, globals(), "made", like.__defaults__)
    function.__kwdefaults__, function.__annotations__, function.__doc__ = (
        like.__kwdefaults__,
        like.__annotations__,
        text,
    )
    return function


@pytest.mark.parametrize(("old", "new", "fault"), PLANTED)
def test_planted_fault_in_a_docstring_is_found(old: str, new: str, fault: str) -> None:
    assert faults_of(Entry("", "good", good)) == []
    assert old in GOOD
    (found,) = faults_of(Entry("", "good", made(GOOD.replace(old, new))))
    assert fault in found


def test_planted_fault_in_the_annotations_is_found() -> None:
    function = made(GOOD)
    function.__annotations__ = {"x": float, "rest": int}
    assert faults_of(Entry("", "good", function)) == ["scale: no annotation", "no return annotation"]
