"""A recurrent cell of your own, written as its forward pass: train it with a loop, or as a language model.

This script trains it to count the ones it has seen. Expect a mean squared error below 0.05 after a few seconds:

    python examples/custom_cell.py

This command trains it as a language model on Python's documentation:

    tinygrad-seq train --corpus pydoc --cell examples/custom_cell.py:MinimalGatedUnit --out runs/mgu
"""

from __future__ import annotations

import argparse

import tinygrad_seq as ts


class MinimalGatedUnit(ts.nn.Cell):
    """Minimal gated unit (Zhou et al., 2016): one gate both forgets and resets.

    ::

        f  = sigmoid(Wf [x; h] + bf)
        h~ = tanh(Wc [x; f * h] + bc)
        h' = (1 - f) * h + f * h~
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.state_shape = input_size, (hidden_size,)
        self.gate, self.candidate = (ts.nn.Linear(input_size + hidden_size, hidden_size) for _ in range(2))

    def forward(self, x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        """Return the output and the next state, both (N, H), from x (N, I) and h (N, H): here they are the same."""
        f = self.gate(ts.concat([x, h], axis=-1)).sigmoid()
        h = (1 - f) * h + f * self.candidate(ts.concat([x, f * h], axis=-1)).tanh()
        return h, h


def count_ones(steps: int) -> float:
    """Train the cell and a linear readout to count the ones up to each time step; return the last loss."""
    ts.manual_seed(0)
    counter = ts.nn.Recurrent(MinimalGatedUnit(1, 16))
    readout = ts.nn.Linear(16, 1)
    adam = ts.optim.Adam([*counter.parameters(), *readout.parameters()], lr=1e-2)
    loss = ts.tensor(0.0)
    for step in range(1, steps + 1):
        bits = ts.randint(0, 2, (12, 32, 1)).astype("float32")  # 12 time steps, 32 sequences, 1 feature
        states, _ = counter(bits)
        loss = ts.nn.functional.mse_loss(readout(states), bits.cumsum(axis=0))
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step % 100 == 0 or step == steps:
            print(f"step {step}: mean squared error {loss.item():.3f}")
    return float(loss)


def main(short: bool = False) -> float:
    """Return the last loss."""
    return count_ones(150 if short else 300)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
