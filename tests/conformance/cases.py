"""Reading the cases: inputs drawn as their source drew them, numbers looked up by their NumPy indexing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Case = dict[str, Any]
Arrays = dict[str, np.ndarray]


def load(name: str) -> dict[str, Case]:
    """Return the cases of a file of this folder by their id."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return {case["id"]: case for case in json.loads(text)}


def draw(case: Case) -> Arrays:
    """Return the arrays that ``np.random.seed(seed)`` and one ``np.random.randn`` each gave the source."""
    generator = np.random.RandomState(case["seed"])
    return {name: generator.randn(*shape) for name, shape in case["draw"]}


def linspace(rows: Mapping[str, Any]) -> Arrays:
    """Return arrays that count evenly from the first to the last number: ``{name: [first, last, shape]}``."""
    return {name: np.linspace(a, b, int(np.prod(shape))).reshape(shape) for name, (a, b, shape) in rows.items()}


def gradient(x: Any) -> np.ndarray:
    """Return what backward has left in ``x.grad``."""
    return np.asarray(x.grad)


def check(case: Case, values: Mapping[str, Any]) -> None:
    """Compare `values` with every number that the case expects, within its tolerance."""
    for key, expected in case["expect"].items():
        name, _, subscripts = key.partition("[")
        found = np.asarray(values[name])
        for subscript in re.findall(r"[^\[\]]+", subscripts):
            found = found[_index(subscript)]
        found = found.reshape(np.shape(expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=case["atol"], err_msg=f"{case['id']}: {key}")


def _index(subscript: str) -> tuple[int | slice, ...]:
    """Return what ``"2,1,4:6"`` means between brackets."""
    parts = [part.split(":") for part in subscript.split(",")]
    return tuple(int(*part) if len(part) == 1 else slice(*map(int, part)) for part in parts)


def ids(cases: Iterable[Case]) -> list[str]:
    return [case["id"] for case in cases]
