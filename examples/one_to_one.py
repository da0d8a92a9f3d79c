"""One to one: one input, one output. A feed-forward network is a recurrent network that runs for a single step.

`nn.RNN` classifies points on three spirals, as sequences of length T = 1. Its state starts at zero, so h = tanh(W x + b
+ U 0 + c) reduces to a feed-forward layer. Expect the same result as a linear map and `tanh` with these weights, and
more than 99 % of new points to be right. Takes a few seconds:

    python examples/one_to_one.py
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.metrics import accuracy

SPIRALS, HIDDEN = 3, 64


def points(count: int, generator: np.random.Generator) -> tuple[ts.Tensor, np.ndarray]:
    """Return points (1, N, 2) and the spirals (N,) that they lie on."""
    spiral = generator.integers(SPIRALS, size=count)
    radius = generator.uniform(0.1, 1, count)
    angle = 2 * np.pi * (radius + spiral / SPIRALS) + generator.normal(0, 0.12, count)
    at = radius * np.stack([np.cos(angle), np.sin(angle)])
    return ts.tensor(at.T[None], dtype="float32"), spiral


def main(short: bool = False) -> float:
    """Return the accuracy on new points."""
    generator = ts.manual_seed(0)
    layer, out = ts.nn.RNN(2, HIDDEN), ts.nn.Linear(HIDDEN, SPIRALS)
    adam = ts.optim.Adam([*layer.parameters(), *out.parameters()], lr=1e-2)
    xs, spiral = points(1000, generator)
    for step in range(1, (300 if short else 2000) + 1):
        _, h = layer(xs)
        loss = ts.cross_entropy(out(h[0]), spiral)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)

    xs, spiral = points(3000, generator)
    with ts.no_grad():
        _, h = layer(xs)
        feed_forward = ts.tanh(xs[0] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0)
        difference = float(abs(h[0] - feed_forward).max())
        share = accuracy(out(h[0]), spiral)
    print(f"a recurrent layer over one step and a feed-forward layer differ by {difference:.0e}")
    print(f"right on {share:.1%} of new points")
    assert difference < 1e-5
    return share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
