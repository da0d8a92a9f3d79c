"""How much longer the first training step takes than the second: cold, warm, and at new sizes; against JAX's jit.

The cold start has an empty cache folder (TGS_CACHE_DIR); the warm start, in another process, uses the folder that the
cold start filled. The package's own kernels, which are compiled once per machine, are compiled in advance.
Run: python -m benchmarks.compile_time
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from typing import Any

from benchmarks._cells import CustomCell
from benchmarks._layers import Layer
from benchmarks._subject import OURS, Contestant, Subject

CASES = {"LSTM": Layer("LSTM", 50, 32, 64, 128), "layer-norm LSTM": CustomCell("layer-norm LSTM")}
OTHER_SIZES = {"T": 37, "N": 5, "I": 24, "H": 40}


def seconds_of(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def first_above_second(train) -> float:
    first = seconds_of(train)
    return first - seconds_of(train)


def probe(case: str) -> dict[str, float]:
    """Return the extra time of the first step in this process, and of the first step at new sizes."""
    from numba.core import event

    from benchmarks import _cells_ours, _layers

    model: Any = CASES[case]
    ours: Any = _layers.ours if isinstance(model, Layer) else _cells_ours.ours
    first = first_above_second(ours(model).train)
    with event.install_recorder("numba:compile") as compiled:
        other = first_above_second(ours(replace(model, **OTHER_SIZES)).train)
    starts = sum(found.is_start for _, found in compiled.buffer)
    return {"first": first, "new sizes": other, "compilations at new sizes": starts}


def ours(case: str, _: float) -> dict:
    def process(folder: str) -> dict[str, float]:
        environment = {**os.environ, "TGS_CACHE_DIR": folder}
        command = [sys.executable, __file__, "--probe", case]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    with tempfile.TemporaryDirectory() as before, tempfile.TemporaryDirectory() as folder:
        process(before)
        cold, warm = process(folder), process(folder)
    names = ("new sizes", "compilations at new sizes")
    return {"cold": [cold["first"]], "warm": [warm["first"]], **{name: [warm[name]] for name in names}}


def with_jax(case: str, _: float) -> dict:
    from benchmarks import _cells_jax, _layers

    model: Any = CASES[case]
    make: Any = _layers.with_jax if isinstance(model, Layer) else _cells_jax.with_jax
    cold = first_above_second(make(model).train)
    return {"cold": [cold], "new sizes": [first_above_second(make(replace(model, **OTHER_SIZES)).train)]}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={case: case for case in CASES},
    contestants={OURS: Contestant(ours), "jax": Contestant(with_jax, "jax")},
    quick=tuple(CASES),
    units={"cold": "s", "warm": "s", "new sizes": "s", "compilations at new sizes": "1"},
    apart=True,
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--probe"]:
        print(json.dumps(probe(sys.argv[2])))
    else:
        SUBJECT.main()
