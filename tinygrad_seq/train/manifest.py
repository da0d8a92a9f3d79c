"""The file config.json of a run: the settings and facts, and what binds the other files to it.

Version 2 holds the random ``id`` of the run, the digests of the vocabulary and of ``cell.py``, and a digest of its own
content. Version 1, which 0.1.0 wrote, holds the settings and facts alone. Files of both versions are read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..base.files import read_json
from ..errors import CheckpointError

_FORMAT = "tinygrad_seq.run"
_VERSION = 2
LANGUAGE_MODEL = "language_model"


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _holds_only(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(item, kind) for item in value.values())


# The facts that the package reads: the value if it is missing, and the check.
_FACTS: dict[str, tuple[Any, Callable[[Any], bool]]] = {
    **dict.fromkeys(("corpus", "description", "sha256"), ("", lambda value: isinstance(value, str))),
    **dict.fromkeys(("characters", "training_tokens", "validation_tokens"), (0, _is_count)),
    "characters_per_token": (1.0, lambda value: type(value) in (int, float) and 0 < value < math.inf),
    "versions": ({}, _holds_only(str)),
    "parts": ({}, _holds_only(dict)),
    "origin": ({}, lambda value: isinstance(value, dict)),
}


def to_bytes(content: dict[str, Any]) -> bytes:
    """Return the content of config.json with its format, version and digest."""
    content = {**content, "format": _FORMAT, "version": _VERSION}
    return (json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n").encode()


def read(path: Path, caller: str = "Run.open") -> dict[str, Any]:
    """Return the content of config.json: ``"kind"``, ``"config"``, ``"facts"`` and, of version 2, ``"id"``, ...

    A file without a kind is of a language model. `caller` is the name of the function that the user called.

    Raises
    ------
    CheckpointError
        If it is no config.json of a run, was changed since it was written, or is of a newer version of the package.
    """
    content = read_json(path, caller)
    version = content.get("version")
    if content.get("format") != _FORMAT or type(version) is not int:
        raise CheckpointError(
            f"{caller}: expected '{path}' to describe a run, got JSON of another kind; pass the folder that was given "
            "to train as --out."
        )
    if not 1 <= version <= _VERSION:
        raise CheckpointError(
            f"{caller}: expected version 1 to {_VERSION} of '{path}', got {version}; update tinygrad_seq."
        )
    try:
        digest = _digest(content)
    except RecursionError as error:
        raise CheckpointError(
            f"{caller}: expected JSON in '{path}', got values nested too deeply; restore the file."
        ) from error
    if content.get("sha256") != digest and (version > 1 or "id" in content):
        raise CheckpointError(
            f"{caller}: expected '{path}' as train wrote it, got another content; restore it. Settings are changed by "
            "train --resume with new options."
        )
    kind, facts = content.setdefault("kind", LANGUAGE_MODEL), content.get("facts")
    if not isinstance(kind, str) or not isinstance(content.get("config"), dict):
        raise CheckpointError(f"{caller}: expected 'kind' and 'config' of a run in '{path}', got others; restore it.")
    if not isinstance(facts, dict):
        raise CheckpointError(f"{caller}: expected 'facts', a JSON object, in '{path}', got {facts!r:.50}; restore it.")
    for name, (_, accepts) in _FACTS.items():
        if kind == LANGUAGE_MODEL and name in facts and not accepts(facts[name]):
            raise CheckpointError(
                f"{caller}: '{path}': expected another kind of value for the fact {name!r}, got {facts[name]!r:.50}; "
                "restore it."
            )
    return content


def with_defaults(content: dict[str, Any]) -> dict[str, Any]:
    """Return the facts in `content`; of a language model with the values of missing ones that every run has."""
    facts: dict[str, Any] = content["facts"]
    if content["kind"] != LANGUAGE_MODEL:
        return facts
    return {name: default for name, (default, _) in _FACTS.items() if name not in ("parts", "origin")} | facts


def _digest(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, indent=1, sort_keys=True).encode()).hexdigest()
