"""``tinygrad-seq verify``."""

from __future__ import annotations

import ast
import inspect
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..base.files import write_atomically
from ..errors import ArgumentError, TinygradSeqError
from ..nn.module.module import Module
from ..train.build import code_of, run_file
from ..verification import Certificate
from ..verification import verify as certify
from .arguments import examples

EXAMPLES = examples(
    "verify examples/custom_cell.py:MinimalGatedUnit",
    "verify cells.py:MyCell --args 'input_size=8 hidden_size=16' --level short",
    "verify steps.py:make_step --json certificate.json",
)
# Default values of required arguments with these names.
_DEFAULTS = {"input_size": 3, "hidden_size": 4}


def verify(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:NAME",
            help="A class of cells, layers or modules; an instance; or a function that returns an instance, the tuple "
            "(step, init, xs) of a scan, or (cell, None, xs).",
            show_default=False,
        ),
    ],
    args: Annotated[
        str, typer.Option("--args", metavar="TEXT", help="Arguments of the class: 'input_size=3 hidden_size=4'.")
    ] = "",
    level: Annotated[str, typer.Option(help="short: one or two seconds; full: all checks, compiled.")] = "full",
    steps: Annotated[int | None, typer.Option("--steps", help="T, the length of the sequences.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="N, the batch size.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the data and of random masks.")] = 0,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.", show_default=False)
    ] = None,
) -> None:
    """Verify your cell, layer, step or module: gradients, compiled code, streams, padding. Exit 1 if a check fails."""
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise ArgumentError(f"verify: expected FILE.py:NAME, got {target!r}; pass e.g. cells.py:MyCell.")
    found = _find(Path(file), name)
    given = _parse(args)
    options: dict[str, Any] = {"T": steps, "N": rows, "level": level, "seed": seed}
    make: Callable[..., Any] | None = None
    subject: tuple[Any, ...] = (found,)
    if not isinstance(found, Module):
        given = _with_defaults(found, name, given)
        make = partial(_make, found, file, name)
        made = make(given)
        subject = made if isinstance(made, tuple) else (made,)
        if isinstance(made, Module):
            options["make"] = partial(make, given)
    elif given:
        raise ArgumentError(f"verify: expected no --args for {name}, an instance, got {args!r}; leave it out.")
    certificate = certify(*subject, **options)
    _show(certificate)
    if json is not None:
        write_atomically(json, (certificate.to_json() + "\n").encode(), "verify")
    if not certificate.passed:
        if make is not None and isinstance(subject[0], Module):
            _show_smaller(certificate, make, given, options)
        raise typer.Exit(1)


def _find(path: Path, name: str) -> Any:
    module = run_file(path, "verify")
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    found = vars(module).get(name)
    if found is None or not (callable(found) or isinstance(found, Module)):
        raise ArgumentError(
            f"verify: expected a class, module or function named {name!r} in '{path}', got "
            f"{', '.join(own) or 'none'}; correct the name after the colon."
        )
    return found


def _parse(args: str) -> dict[str, Any]:
    """Return the arguments in ``"hidden_size=4 activation=relu"``; a value that is not a Python literal is a string."""
    given = {}
    for part in shlex.split(args):
        key, equals, text = part.partition("=")
        if not equals or not key.isidentifier():
            raise ArgumentError(
                f"verify: expected --args like 'hidden_size=4 bias=False', got {part!r}; write name=value."
            )
        try:
            given[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            given[key] = text
    return given


def _with_defaults(found: Any, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments, with `_DEFAULTS` for missing required ones."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [
        parameter.name
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in kinds
    ]
    missing = [key for key in required if key not in given and key not in _DEFAULTS]
    if missing:
        raise ArgumentError(
            f"verify: expected all arguments that {name} requires, got none for {', '.join(missing)}; pass "
            f"--args '{missing[0]}=...', or name a function that returns an instance."
        )
    return {**{key: _DEFAULTS[key] for key in required if key in _DEFAULTS}, **given}


def _make(found: Callable[..., Any], file: str, name: str, given: dict[str, Any]) -> Any:
    call = ", ".join(f"{key}={value!r}" for key, value in given.items())
    with code_of(file, f"{name}({call}) to run", "verify"):
        return found(**given)


def _show(certificate: Certificate) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write(f"{certificate}\n")
        return
    from rich.console import Console

    Console().print(certificate)


def _show_smaller(
    certificate: Certificate, make: Callable[..., Any], given: dict[str, Any], options: dict[str, Any]
) -> None:
    """Print the smallest sizes of the object for which the first failed check still fails."""
    name = certificate.failures[0].name
    sizes = [key for key, value in given.items() if type(value) is int and value > 1]
    for size in (1, 2):
        smaller = {**given, **{key: min(given[key], size) for key in sizes}}
        if smaller == given:
            return
        try:
            once = options | {"make": partial(make, smaller), "checks": [name]}
            found = certify(make(smaller), **once)[name]
        except TinygradSeqError:  # it cannot be constructed or run at this size
            continue
        if found.status == "failed":
            call = " ".join(f"{key}={value}" for key, value in smaller.items())
            sys.stdout.write(f"smallest sizes, --args '{call}': {found.smallest}\n")
            return
