"""Vanishing gradients: how far back does a loss reach? The norm of dL/dx_t over time for RNN, GRU and LSTM.

The loss depends on the last output only, so if a cell forgets, the first inputs receive almost no gradient. A bias of 3
opens the LSTM's forget gate. Expect the gradient at the first step to be many orders of magnitude smaller than at the
last for the RNN, and only a few for the LSTM.

    python examples/inspect_gradients.py
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts

HIDDEN = 32


def reach(layer: ts.nn.Module, time: int) -> np.ndarray:
    """Return the norm of the gradient of the last output with respect to each of `time` inputs, shape (T,)."""
    xs = ts.randn(time, 8, 4, requires_grad=True)
    ys, _ = layer(xs)
    (ys[-1] ** 2).sum().backward()
    assert xs.grad is not None
    return xs.grad.norm(axis=(1, 2)).numpy()


def compare(time: int) -> dict[str, float]:
    """Print one bar per step (one character per power of ten); return first / last gradient norm by cell."""
    ts.manual_seed(0)
    lstm = ts.nn.LSTM(4, HIDDEN)
    with ts.no_grad():
        lstm.bias_hh_l0[HIDDEN : 2 * HIDDEN] = 3.0  # the gates are stacked as i, f, g, o
    ratios = {}
    layers: dict[str, ts.nn.Module] = {"RNN": ts.nn.RNN(4, HIDDEN), "GRU": ts.nn.GRU(4, HIDDEN), "LSTM": lstm}
    for name, layer in layers.items():
        norms = reach(layer, time)
        ratios[name] = float(norms[0] / norms[-1])
        print(f"{name}: |dL/dx| at the first step is {ratios[name]:.1e} of that at the last")
        for t in range(0, time, max(1, time // 8)):
            print(f"  t={t:3d} {'#' * max(0, round(12 + np.log10(norms[t] / norms[-1])))}")
    return ratios


def main(short: bool = False) -> dict[str, float]:
    """Return the gradient norm at the first step divided by that at the last, by cell."""
    return compare(32 if short else 48)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="use fewer steps")
    main(parser.parse_args().short)
