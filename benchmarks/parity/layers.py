"""Compare layers with PyTorch: same weights, same data; the largest difference of outputs and gradients in float64.

    python -m benchmarks.parity.layers

Needs torch (the extra ``bench``). Exits with 1 if a difference is above the tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import tinygrad_seq as ts
from benchmarks._harness import machine_facts, save
from benchmarks._workload import gradient_of
from tinygrad_seq import nn

TOLERANCE = 1e-12
T, N, I, H = 11, 4, 5, 7


def cases() -> Iterator[tuple[str, nn.Module, torch.nn.Module, tuple[int, ...], int]]:
    """Yield a name, our module, theirs, the shape of x and the number of state arrays."""
    for layers in (1, 3):
        for bias in (True, False):
            for batch_first in (True, False):
                options: dict[str, Any] = {"num_layers": layers, "bias": bias, "batch_first": batch_first}
                name = f"layers={layers} bias={bias:d} batch_first={batch_first:d}"
                shape = (N, T, I) if batch_first else (T, N, I)
                for kind in ("RNN", "GRU", "LSTM"):
                    pair = getattr(nn, kind)(I, H, **options), getattr(torch.nn, kind)(I, H, **options)
                    yield f"{kind:4} {name}", *pair, shape, 1 + (kind == "LSTM")
                relu = nn.RNN(I, H, nonlinearity="relu", **options)
                yield f"RNN  {name} relu", relu, torch.nn.RNN(I, H, nonlinearity="relu", **options), shape, 1
    for kind in ("RNN", "GRU", "LSTM"):
        pair = getattr(nn, kind)(I, H, num_layers=2), getattr(torch.nn, kind)(I, H, num_layers=2)
        yield f"{kind:4} unbatched", *pair, (T, I), 1 + (kind == "LSTM")
    yield "Linear", nn.Linear(I, H), torch.nn.Linear(I, H), (T, N, I), 0
    yield "LayerNorm", nn.LayerNorm(I), torch.nn.LayerNorm(I), (T, N, I), 0
    yield "RMSNorm", nn.RMSNorm(I), torch.nn.RMSNorm(I), (T, N, I), 0
    for kind in ("Tanh", "Sigmoid", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Softsign"):
        yield kind, getattr(nn, kind)(), getattr(torch.nn, kind)(), (T, N, I), 0


def difference(ours: nn.Module, theirs: torch.nn.Module, shape: tuple[int, ...], states: int) -> tuple[float, float]:
    """Return the largest difference of outputs and of gradients (parameters, x, initial state)."""
    rng = np.random.default_rng(0)
    ours.double()
    theirs.double()
    for parameter in theirs.parameters():
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape)) * 0.4))
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal(shape)
    layers = getattr(ours, "num_layers", 1)
    parts = [rng.standard_normal((layers, N, H) if len(shape) == 3 else (layers, H)) for _ in range(states)]
    inputs = [ts.tensor(array, requires_grad=True) for array in (x, *parts)]
    torch_inputs = [torch.tensor(array, requires_grad=True) for array in (x, *parts)]
    outputs = flat(ours(*arguments(inputs)))
    torch_outputs = flat(theirs(*arguments(torch_inputs)))
    cotangents = [rng.standard_normal(tuple(y.shape)) for y in outputs]
    sum((y * g).sum() for y, g in zip(outputs, cotangents, strict=True)).backward()
    sum((y * torch.from_numpy(g)).sum() for y, g in zip(torch_outputs, cotangents, strict=True)).backward()
    leaves = [*inputs, *ours.parameters()]
    torch_leaves = [*torch_inputs, *theirs.parameters()]
    return (
        max(gap(a.numpy(), b.detach().numpy()) for a, b in zip(outputs, torch_outputs, strict=True)),
        max(gap(gradient_of(a), gradient_of(b)) for a, b in zip(leaves, torch_leaves, strict=True)),
    )


def arguments(inputs: list) -> list:
    """Return (x,), (x, h) or (x, (h, c))."""
    return inputs if len(inputs) < 3 else [inputs[0], tuple(inputs[1:])]


def flat(result) -> list:
    """Return the arrays of (y, (h, c)), (y, h) or y."""
    if not isinstance(result, tuple):
        return [result]
    return [array for part in result for array in flat(part)]


def gap(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a - b).max())


def main() -> int:
    print(f"{'':42} outputs    gradients   (largest difference to torch {torch.__version__}, float64)")
    worst, count = 0.0, 0
    for name, ours, theirs, shape, states in cases():
        gaps = difference(ours, theirs, shape, states)
        worst, count = max(worst, *gaps), count + 1
        print(f"{name:42} {gaps[0]:.1e}    {gaps[1]:.1e}")
    print(f"{'worst':42} {worst:.1e}    (tolerance {TOLERANCE})")
    result = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba", "torch"]), "cases": count}
    print("wrote", save("parity_layers", {**result, "largest_difference": worst, "tolerance": TOLERANCE}).name)
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
