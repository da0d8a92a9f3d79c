"""Vanishing gradients in one plot: the gates, states and gradients of RNN, GRU and LSTM that learn to remember a bit.

The first step of a sequence shows a bit and all other steps show noise; the layer must output the bit after the last
step. It can learn this only if the gradient of the loss reaches the first step. A bias opens GRU's update gate and
LSTM's forget gate at the start, so theirs does; the simple RNN has no such gate. Expect GRU and LSTM to learn within
100 updates while the RNN guesses (loss 0.69). For the RNN, the norm of dL/dh_t 50 steps back is about 1e-10 of that at
the last step. For GRU it stays. For LSTM it falls in the first steps back, because c acts through o * tanh(c), and then
stays. The plot shows every gate and state of one sequence and, below, that norm. It takes a few seconds; with another
seed the numbers differ, but not the result.

    python examples/time_xray.py --png docs/time_xray.png
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.report import gradient_reach, time_xray

HIDDEN, BATCH = 16, 64
OPEN = 4.0  # sigmoid(4) = 0.98: the share of the state that a gate keeps at each step
Layer = ts.nn.RNN | ts.nn.GRU | ts.nn.LSTM


def make_layers() -> dict[str, Layer]:
    """Return the three layers; the gates that keep the state are open."""
    ts.manual_seed(0)
    layers: dict[str, Layer] = {"RNN": ts.nn.RNN(2, HIDDEN), "GRU": ts.nn.GRU(2, HIDDEN), "LSTM": ts.nn.LSTM(2, HIDDEN)}
    with ts.no_grad():
        for name in ("GRU", "LSTM"):  # the second block: z of (r, z, n), f of (i, f, g, o)
            layers[name].bias_hh_l0[HIDDEN : 2 * HIDDEN] = OPEN
    return layers


def draw_batch(rng: np.random.Generator, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences (T, N, 2) of noise and, at t = 0, a bit as -1 or 1; and the bits (N,)."""
    bits = rng.integers(0, 2, BATCH)
    xs = np.zeros((time, BATCH, 2), np.float32)
    xs[:, :, 0] = 0.5 * rng.standard_normal((time, BATCH))
    xs[0, :, 1] = 2 * bits - 1
    return xs, bits.astype(np.float32)


def learn(layer: Layer, time: int, updates: int) -> tuple[ts.nn.Inspection, int, float]:
    """Train until the loss is small, `updates` at most; return an inspection with gradients, updates and loss."""
    rng = np.random.default_rng(0)
    readout = ts.nn.Linear(HIDDEN, 1)
    adam = ts.optim.Adam([*layer.parameters(), *readout.parameters()], lr=1e-2)

    def loss_of(ys: ts.Tensor, bits: np.ndarray) -> ts.Tensor:
        return ts.nn.functional.binary_cross_entropy_with_logits(readout(ys[-1])[:, 0], bits)

    update, loss = 0, np.inf
    while update < updates and loss > 0.2:
        xs, bits = draw_batch(rng, time)
        error = loss_of(layer(xs)[0], bits)
        adam.zero_grad()
        error.backward()
        ts.optim.clip_grad_norm_(layer.parameters(), 1.0)
        adam.step()
        update, loss = update + 1, error.item()
    xs, bits = draw_batch(rng, time)
    inspection = layer.inspect(xs)
    loss_of(inspection.ys, bits).backward()
    return inspection, update, loss


def main(short: bool = False, png: str | None = None) -> dict[str, np.ndarray]:
    """Print and plot how far each layer's gradient reaches back; return the norms by distance in time."""
    time, updates = (24, 2) if short else (60, 300)
    found, reach = {}, {}
    for name, layer in make_layers().items():
        found[name], update, loss = learn(layer, time, updates)
        norms = gradient_reach(found[name])
        reach[name] = norms / norms[0]
        shown = ", ".join(f"{back} back {reach[name][back]:.0e}" for back in (1, 10, 50) if back < time)
        print(f"{name:4}  loss {loss:.2f} after {update:3} updates   |dL/dh_t| relative to the last step: {shown}")
    if png is not None:
        time_xray(found, png, title="One bit to remember: what happens inside, and how far back the loss is felt")
        print(f"plot written to {png}")
    return reach


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    parser.add_argument("--png", help="write the plot to this file")
    given = parser.parse_args()
    main(given.short, given.png)
