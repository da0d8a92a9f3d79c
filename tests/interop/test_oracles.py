"""A few random models of each library that is installed; ``python -m tests.interop.oracles`` runs many."""

from __future__ import annotations

import importlib

import pytest

from tests.interop import oracles

NEEDS = {"keras": ("keras", "torch", "h5py"), "onnx": ("onnx", "onnxruntime"), "torch": ("torch",)}


@pytest.mark.parametrize("name", oracles.CHECKS)
def test_random_models(name: str) -> None:
    for package in NEEDS[name]:
        try:
            importlib.import_module(package)
        except ImportError:
            pytest.skip(f"{package} is not installed")
    worst, failed = oracles.run(name, 3, seed=1)
    assert failed == 0, worst
