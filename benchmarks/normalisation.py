"""Cross entropy, softmax and normalisation, forward and backward, against plain NumPy and PyTorch.

Also the other parts of a language model's training step outside its recurrent layer: embedding, clipping, Adam.
Run: python -m benchmarks.normalisation   (BENCH_TORCH_PYTHON names another interpreter for PyTorch)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks._harness import environment, machine_facts, pin_to_one_core, save

Calls = Iterator[tuple[str, Callable[[], Any]]]

ROWS = [(32, 16), (2048, 100), (2048, 1000), (256, 30_000)]
FEATURES = [(32, 128), (2048, 256)]
TABLES = [(2048, 100, 256), (2048, 30_000, 256)]  # tokens, vocabulary, width
MODELS: dict[str, list[tuple[int, ...]]] = {
    "3 small tensors": [(64,), (16, 16), (8, 8)],
    "3 x (256, 1024)": [(256, 1024)] * 3,
}
DTYPES = ("float32", "float64")
SECONDS = 0.15


def draw(*shapes: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def classes(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, size, count)


def of_tensors(library: Any, functional: Any, tensor: Callable[[np.ndarray, bool], Any], dtype: str) -> Calls:
    """Yield each task, forward and backward, written once for PyTorch and this package."""

    def pull(function: Callable[..., Any], g: Any, *leaves: Any) -> Callable[[], None]:
        def run() -> None:
            for leaf in leaves:
                leaf.grad = None
            y = function(*leaves)
            y.backward(g) if g is not None else y.backward()

        return run

    for shape in ROWS:
        x, g = draw(shape, shape, dtype=dtype)
        logits, cotangent, target = tensor(x, True), tensor(g, False), tensor(classes(*shape), False)
        yield f"cross_entropy {shape}", pull(lambda x, t=target: functional.cross_entropy(x, t), None, logits)
        yield f"softmax {shape}", pull(lambda x: functional.softmax(x, -1), cotangent, logits)
        yield f"log_softmax {shape}", pull(lambda x: functional.log_softmax(x, -1), cotangent, logits)
    for shape in FEATURES:
        x, g, w, b = draw(shape, shape, shape[1:], shape[1:], dtype=dtype)
        leaves, cotangent = [tensor(array, True) for array in (x, w, b)], tensor(g, False)
        width = shape[1:]
        yield (
            f"layer_norm {shape}",
            pull(lambda x, w, b, n=width: functional.layer_norm(x, n, w, b), cotangent, *leaves),
        )
        yield f"rms_norm {shape}", pull(lambda x, w, n=width: functional.rms_norm(x, n, w), cotangent, *leaves[:2])
    for tokens, vocabulary, size in TABLES:
        w, g = draw((vocabulary, size), (tokens, size), dtype=dtype)
        weight, indices = tensor(w, True), tensor(classes(tokens, vocabulary), False)
        ours = library.__name__ == "tinygrad_seq"
        look = (
            (lambda w, i=indices: functional.embedding(w, i))
            if ours
            else (lambda w, i=indices: functional.embedding(i, w))
        )
        yield f"embedding {tokens, vocabulary, size}", pull(look, tensor(g, False), weight)
    clip = (
        library.optim.clip_grad_norm_ if hasattr(library.optim, "clip_grad_norm_") else library.nn.utils.clip_grad_norm_
    )
    for name, shapes in MODELS.items():
        parameters = [tensor(array, True) for array in draw(*shapes, dtype=dtype)]
        for parameter, g in zip(parameters, draw(*shapes, dtype=dtype), strict=True):
            parameter.grad = tensor(g, False)
        yield f"clip_grad_norm_ {name}", partial(clip, parameters, 1.0)
        yield f"Adam {name}", library.optim.Adam(parameters, lr=1e-3).step


def of_numpy(dtype: str) -> Calls:
    """Yield the same tasks in as few NumPy passes as possible, without a tape."""

    def softmax(x: np.ndarray) -> np.ndarray:
        y = x - x.max(-1, keepdims=True)
        np.exp(y, out=y)
        y /= y.sum(-1, keepdims=True)
        return y

    def cross_entropy(x: np.ndarray, target: np.ndarray) -> None:
        y = x - x.max(-1, keepdims=True)
        rows = np.arange(len(target))
        picked = y[rows, target]
        np.exp(y, out=y)
        total = y.sum(-1, keepdims=True)
        (np.log(total[:, 0]) - picked).mean()
        y /= total * len(target)
        y[rows, target] -= 1 / len(target)

    def softmax_both(x: np.ndarray, g: np.ndarray) -> None:
        y = softmax(x)
        weighted = g * y
        weighted -= y * weighted.sum(-1, keepdims=True)

    def log_softmax_both(x: np.ndarray, g: np.ndarray) -> None:
        y = x - x.max(-1, keepdims=True)
        y -= np.log(np.exp(y).sum(-1, keepdims=True))
        out = np.exp(y)
        out *= g.sum(-1, keepdims=True)
        np.subtract(g, out, out=out)

    def norm(x: np.ndarray, g: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> None:
        y = x - x.mean(-1, keepdims=True) if b is not None else x
        scale = 1 / np.sqrt((y * y).mean(-1, keepdims=True) + 1e-5)
        y = y * scale
        out = y * w
        if b is not None:
            out += b
            g.sum(0)
        h = g * y
        h.sum(0)
        h *= w
        slope = h.mean(-1, keepdims=True)
        h = g * w
        if b is not None:
            h -= h.mean(-1, keepdims=True)
        h -= y * slope
        h *= scale

    for shape in ROWS:
        (x, g), target = draw(shape, shape, dtype=dtype), classes(*shape)
        yield f"cross_entropy {shape}", partial(cross_entropy, x, target)
        yield f"softmax {shape}", partial(softmax_both, x, g)
        yield f"log_softmax {shape}", partial(log_softmax_both, x, g)
    for shape in FEATURES:
        x, g, w, b = draw(shape, shape, shape[1:], shape[1:], dtype=dtype)
        yield f"layer_norm {shape}", partial(norm, x, g, w, b)
        yield f"rms_norm {shape}", partial(norm, x, g, w, None)


def calls_of(contestant: str, dtype: str) -> Calls:
    if contestant == "numpy":
        return of_numpy(dtype)
    if contestant == "ours":
        import tinygrad_seq as ts

        return of_tensors(ts, ts, lambda x, grad: ts.tensor(x, requires_grad=grad), dtype)
    import torch

    torch.set_num_threads(1)
    return of_tensors(torch, torch.nn.functional, lambda x, grad: torch.tensor(x, requires_grad=grad), dtype)


def work(contestant: str) -> dict[str, float]:
    """Return the median time of each task in microseconds."""
    pin_to_one_core()
    results = {}
    for dtype in DTYPES:
        for name, call in calls_of(contestant, dtype):
            call()
            start = time.perf_counter()
            call()
            repeats = int(np.clip(SECONDS / (time.perf_counter() - start), 5, 300))
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
            results[f"{dtype} {name}"] = 1e6 * statistics.median(seconds)
    return results


def main() -> None:
    """Run the contestants in turn in fresh processes; write medians over the rounds and their ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker)))
        return
    pythons = {"ours": sys.executable, "numpy": sys.executable}
    pythons["torch"] = os.environ.get("BENCH_TORCH_PYTHON", sys.executable)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for _ in range(options.rounds):
        for name, python in pythons.items():
            command = [python, __file__, "--worker", name]
            done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
            rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
    results = {}
    for case in rounds["ours"][0]:
        row = {
            f"{name}_us": round(statistics.median([each[case] for each in runs]), 1)
            for name, runs in rounds.items()
            if case in runs[0]
        }
        row |= {
            f"{peer}_over_ours": round(row[f"{peer}_us"] / row["ours_us"], 2)
            for peer in ("numpy", "torch")
            if f"{peer}_us" in row
        }
        results[case] = row
        print(f"{case:42s}", row)
    facts = {"what": __doc__.splitlines()[0], "threads": 1, **machine_facts(["numpy", "numba"])}
    print("wrote", save("normalisation", {**facts, "results": results}).name)


if __name__ == "__main__":
    main()
