"""The text of three cells, stages and source, is the one on file, whatever order sets have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

from tests.scan.golden import NAMES, path_of, text_of
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.scan import variants

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_text_is_the_one_on_file(name: str, monkeypatch) -> None:
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(config, "BOUNDSCHECK", None)
    monkeypatch.setattr(variants, "_known", Memo(100))
    assert text_of(name) == path_of(name).read_text(encoding="utf-8"), "python -m tests.scan.golden --write"


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_text_does_not_depend_on_hashes(hash_seed: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    subprocess.run(
        [sys.executable, "-m", "tests.scan.golden"],
        cwd=ROOT,
        env=environment | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        check=True,
    )
