"""Read the cases: inputs drawn as in their source, and expected numbers by NumPy index."""

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
    """Return the cases of a file in this folder by id."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return {case["id"]: case for case in json.loads(text)}


def draw(case: Case) -> Arrays:
    """Return the arrays that the source drew: ``np.random.seed(seed)``, then one ``np.random.randn`` per array."""
    generator = np.random.RandomState(case["seed"])
    return {name: generator.randn(*shape) for name, shape in case["draw"]}


def linspace(rows: Mapping[str, Any]) -> Arrays:
    """Return evenly spaced arrays from ``{name: [first, last, shape]}``."""
    return {name: np.linspace(a, b, int(np.prod(shape))).reshape(shape) for name, (a, b, shape) in rows.items()}


def gradient(x: Any) -> np.ndarray:
    """Return the gradient in ``x.grad`` as an ndarray."""
    return np.asarray(x.grad)


def check(case: Case, values: Mapping[str, Any]) -> None:
    """Compare `values` with every expected number of the case, within its tolerance."""
    for key, expected in case["expect"].items():
        name, _, subscripts = key.partition("[")
        found = np.asarray(values[name])
        for subscript in re.findall(r"[^\[\]]+", subscripts):
            found = found[_index(subscript)]
        found = found.reshape(np.shape(expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=case["atol"], err_msg=f"{case['id']}: {key}")


def _index(subscript: str) -> tuple[int | slice, ...]:
    """Return the index that ``"2,1,4:6"`` means inside brackets."""
    parts = [part.split(":") for part in subscript.split(",")]
    return tuple(int(*part) if len(part) == 1 else slice(*map(int, part)) for part in parts)


def ids(cases: Iterable[Case]) -> list[str]:
    return [case["id"] for case in cases]
