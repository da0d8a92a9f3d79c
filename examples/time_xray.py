"""Look inside RNN, GRU and LSTM while they learn to remember: the notes' vanishing gradients as one picture.

The first step of a sequence shows a bit, all others noise, and the label is asked for after the last. A layer can learn
this only if the first step still feels the loss. GRU's update gate and LSTM's forget gate are opened by a bias in the
beginning, so there it does; the simple RNN has no such way. Expect GRU and LSTM to learn within 100 updates while the
RNN guesses (loss 0.69), and the norm of dL/dh_t to be, 50 steps back, 1e-10 of that at the end for the RNN. For GRU it
stays; LSTM's falls in the first steps, where c is hidden behind o * tanh(c), and then stays. The picture shows every
gate and state of one sequence and, below, that norm. It takes a few seconds; with another seed the numbers differ, not
what they say.

    python examples/time_xray.py --png docs/time_xray.png
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.report import gradient_reach, time_xray

HIDDEN, BATCH = 16, 64
OPEN = 4.0  # sigmoid(4) = 0.98: what a gate lets through of the state at each step
Layer = ts.nn.RNN | ts.nn.GRU | ts.nn.LSTM


def make_layers() -> dict[str, Layer]:
    """Return the three layers, the gates that carry the state on being open."""
    ts.manual_seed(0)
    layers: dict[str, Layer] = {"RNN": ts.nn.RNN(2, HIDDEN), "GRU": ts.nn.GRU(2, HIDDEN), "LSTM": ts.nn.LSTM(2, HIDDEN)}
    with ts.no_grad():
        for name in ("GRU", "LSTM"):  # the second block of each: z of r, z, n; f of i, f, g, o
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
    """Train until the loss is small or `updates` are made; return a look inside, with gradients, and how that went."""
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
    """Print how far each layer's gradient reaches, draw it, and return the norms by distance in time."""
    time, updates = (24, 2) if short else (60, 300)
    found, reach = {}, {}
    for name, layer in make_layers().items():
        found[name], update, loss = learn(layer, time, updates)
        norms = gradient_reach(found[name])
        reach[name] = norms / norms[0]
        told = ", ".join(f"{back} back {reach[name][back]:.0e}" for back in (1, 10, 50) if back < time)
        print(f"{name:4}  loss {loss:.2f} after {update:3} updates   |dL/dh_t| relative to the last step: {told}")
    if png is not None:
        time_xray(found, png, title="One bit to remember: what happens inside, and how far back the loss is felt")
        print(f"drawn to {png}")
    return reach


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for some seconds only, to see that it runs")
    parser.add_argument("--png", help="draw to this file")
    given = parser.parse_args()
    main(given.short, given.png)
