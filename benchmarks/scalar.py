"""Elementwise functions, including the call: nanoseconds per element here, in NumPy and in PyTorch, one thread.

Run: python -m benchmarks.scalar   (BENCH_TORCH_PYTHON names another interpreter for PyTorch)
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._harness import environment, machine_facts, pin_to_one_core, save

NAMES = ["tanh", "sigmoid", "softplus", "log_sigmoid", "silu", "gelu", "gelu_tanh", "erf", "erfc", "logaddexp"]
SHAPES = {"128": (8, 16), "4096": (4096,), "1000000": (1000, 1000)}
DTYPES = ["float32", "float64"]
CASES = [(name, size, dtype) for name in NAMES for size in SHAPES for dtype in DTYPES]
CONTESTANTS = ["ours", "numpy", "torch"]
ROUNDS = 5


def operands(name: str, size: str, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(3 * rng.normal(size=SHAPES[size])).astype(dtype) for _ in range(2 if name == "logaddexp" else 1)]


def of_ours() -> tuple[dict[str, Callable[..., Any]], Callable[[np.ndarray], Any]]:
    from tinygrad_seq.ops.primitive import TABLE

    return {name: TABLE[name].forward for name in NAMES}, np.asarray


def of_numpy() -> tuple[dict[str, Callable[..., Any]], Callable[[np.ndarray], Any]]:
    """Return the shortest accurate NumPy forms, without the error function, which NumPy does not have."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        y = np.exp(np.negative(x))
        y += 1
        return np.reciprocal(y)

    def gelu_tanh(x: np.ndarray) -> np.ndarray:
        t = x * x
        t *= -0.07135481627260025
        t -= 1.5957691216057308
        t = np.exp(t * x)
        t += 1
        return x / t

    return {
        "tanh": np.tanh,
        "sigmoid": sigmoid,
        "softplus": lambda x: np.log1p(np.exp(np.negative(np.absolute(x)))) + np.maximum(x, 0),
        "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(np.negative(np.absolute(x)))),
        "silu": lambda x: x / (np.exp(np.negative(x)) + 1),
        "gelu_tanh": gelu_tanh,
        "logaddexp": np.logaddexp,
    }, np.asarray


def of_torch() -> tuple[dict[str, Callable[..., Any]], Callable[[np.ndarray], Any]]:
    import torch

    torch.set_num_threads(1)
    functional = torch.nn.functional
    return {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": functional.softplus,
        "log_sigmoid": functional.logsigmoid,
        "silu": functional.silu,
        "gelu": functional.gelu,
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "erf": torch.erf,
        "erfc": torch.erfc,
        "logaddexp": torch.logaddexp,
    }, torch.from_numpy


def work(contestant: str) -> None:
    """Print the median nanoseconds per element of every case; None if the library does not have the function."""
    pin_to_one_core()
    functions, convert = {"ours": of_ours, "numpy": of_numpy, "torch": of_torch}[contestant]()
    results: list[float | None] = []
    for name, size, dtype in CASES:
        if name not in functions:
            results.append(None)
            continue
        function, arrays = functions[name], [convert(array) for array in operands(name, size, dtype)]
        seconds = []
        calls = max(1, 2000 // int(size))
        for _ in range(220 if int(size) < 10**5 else 25):
            start = time.perf_counter()
            for _ in range(calls):
                function(*arrays)
            seconds.append((time.perf_counter() - start) / calls)
        results.append(1e9 * statistics.median(seconds[5:]) / int(size))
    print(json.dumps(results))


def main() -> None:
    """Run the contestants in turn in fresh processes; write medians over the rounds and their ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", choices=CONTESTANTS)
    parser.add_argument("--quick", action="store_true", help="one round")
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    torch_python = os.environ.get("BENCH_TORCH_PYTHON")
    present = [name for name in CONTESTANTS if name != "torch" or torch_python or importlib.util.find_spec("torch")]
    print("not installed:", ", ".join(set(CONTESTANTS) - set(present)) or "none")
    rounds: dict[str, list[list[float | None]]] = {name: [] for name in present}
    for _ in range(1 if options.quick else ROUNDS):
        for contestant in present:
            python = (torch_python if contestant == "torch" else None) or sys.executable
            command = [python, __file__, "--worker", contestant]
            done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
            rounds[contestant].append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for position, (name, size, dtype) in enumerate(CASES):
        medians: dict[str, float] = {}
        for contestant in present:
            values = [value for each in rounds[contestant] if (value := each[position]) is not None]
            if values:
                medians[contestant] = statistics.median(values)
        row = {"function": name, "elements": int(size), "dtype": dtype}
        row |= {f"{contestant}_ns_per_element": round(value, 3) for contestant, value in medians.items()}
        row |= {f"{peer}_over_ours": round(medians[peer] / medians["ours"], 2) for peer in medians if peer != "ours"}
        rows.append(row)
        print(*row.values())
    result = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba"]), "results": rows}
    print("wrote", save("scalar", result, options.quick).name)


if __name__ == "__main__":
    main()
