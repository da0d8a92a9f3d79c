"""The names of the package: what `dir` and the star bring, and what is loaded only when it is used."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import types

import pytest

import tinygrad_seq as ts

PACKAGES = ("nn", "optim", "data", "metrics", "train", "report", "verification", "testing", "interop")
MODULES = {"data", "distributed", "errors", "interop", "metrics", "nn", "optim", "report", "sklearn", "tasks", "train"}


def test_dir_shows_public_names_only() -> None:
    assert dir(ts) == sorted([*ts.__all__, "distributed", "fit", "interop", "report", "sklearn", "tasks", "train"])
    assert {name for name in dir(ts) if isinstance(getattr(ts, name), types.ModuleType)} == MODULES
    assert {name for name in dir(ts.nn) if isinstance(getattr(ts.nn, name), types.ModuleType)} == {
        "functional",
        "init",
        "utils",
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_dir_of_a_package_is_its_public_names(name: str) -> None:
    package = importlib.import_module(f"tinygrad_seq.{name}")
    assert dir(package) == sorted(package.__all__)
    assert all(hasattr(package, public) for public in package.__all__)


def test_star_brings_what_all_says() -> None:
    names: dict[str, object] = {}
    exec("from tinygrad_seq import *", names)
    assert set(names) - {"__builtins__"} == set(ts.__all__)
    assert len(ts.__all__) == len(set(ts.__all__))
    assert names["tanh"] is ts.tanh
    assert names["sum"] is ts.sum


def test_packages_are_loaded_when_they_are_used() -> None:
    script = (
        "import json, sys\n"
        "import tinygrad_seq as ts\n"
        "names = [f'tinygrad_seq.{name}' for name in ('train', 'report', 'testing', 'interop')]\n"
        "before = [name in sys.modules for name in names]\n"
        "dir(ts)\n"
        "asked = [name in sys.modules for name in names]\n"
        "used = [ts.train.Run.__name__, ts.report.draw_curves.__name__, ts.testing.shrink.__name__]\n"
        "used.append(ts.interop.__name__)\n"
        "print(json.dumps([before, asked, used]))\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        [False] * 4,
        [False] * 4,
        ["Run", "draw_curves", "shrink", "tinygrad_seq.interop"],
    ]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tinygrad_seq' has no attribute 'no_such_name'"):
        getattr(ts, "no_such_name")  # noqa: B009


def test_aliases_have_one_signature() -> None:
    assert inspect.signature(ts.clamp) == inspect.signature(ts.clip)
    assert inspect.signature(ts.cat) == inspect.signature(ts.concat)
    assert ts.Tensor.unsqueeze is ts.Tensor.expand_dims
