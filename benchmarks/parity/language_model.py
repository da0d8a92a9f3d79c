"""Same weights, data and optimiser as PyTorch: the loss curves of an LSTM language model over 200 steps, float64.

Embedding -> two-layer LSTM -> linear, cross entropy, state carried from window to window and detached, gradients
clipped by norm, Adam. Run: python -m benchmarks.parity.language_model      (needs the bench extra)
"""

from __future__ import annotations

import numpy as np
import torch

import tinygrad_seq as ts
from benchmarks._harness import machine_facts, save

V, E, H, LAYERS, T, N, STEPS = 40, 24, 32, 2, 16, 8, 200


class Theirs(torch.nn.Module):
    """The model in PyTorch."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(V, E)
        self.recurrent = torch.nn.LSTM(E, H, LAYERS)
        self.output = torch.nn.Linear(H, V)


class Ours(ts.nn.Module):
    """The model in this package, with the same names."""

    def __init__(self):
        super().__init__()
        self.embedding = ts.nn.Embedding(V, E)
        self.recurrent = ts.nn.LSTM(E, H, LAYERS)
        self.output = ts.nn.Linear(H, V)


def main() -> None:
    torch.manual_seed(0)
    theirs = Theirs().double()
    ours = Ours().double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, V, (N, T * STEPS + 1))
    tokens[:, 1::2] = (tokens[:, :-1:2] * 7 + 3) % V  # half of the tokens are predictable
    theirs_optimiser = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    ours_optimiser = ts.optim.Adam(ours.parameters(), lr=3e-3)
    their_state = our_state = None
    curves: list[tuple[float, float]] = []
    for step in range(STEPS):
        window = tokens[:, step * T : (step + 1) * T + 1].T
        inputs, targets = window[:-1].copy(), window[1:].copy()

        hidden, their_state = theirs.recurrent(theirs.embedding(torch.from_numpy(inputs)), their_state)
        logits = theirs.output(hidden)
        their_loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), torch.from_numpy(targets).reshape(-1))
        theirs_optimiser.zero_grad()
        their_loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        theirs_optimiser.step()
        their_state = tuple(s.detach() for s in their_state)

        hidden, our_state = ours.recurrent(ours.embedding(inputs), our_state)
        our_loss = ts.cross_entropy(ours.output(hidden), targets)
        ours_optimiser.zero_grad()
        our_loss.backward()
        ts.optim.clip_grad_norm_(ours.parameters(), 0.5)
        ours_optimiser.step()
        our_state = tuple(s.detach() for s in our_state)
        curves.append((their_loss.item(), our_loss.item()))

    difference = max(abs(a - b) for a, b in curves)
    print(f"loss {curves[0][1]:.6f} -> {curves[-1][1]:.6f} over {STEPS} steps; largest difference {difference:.3e}")
    result = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba", "torch"])}
    result |= {"steps": STEPS, "first_loss": curves[0][1], "last_loss": curves[-1][1], "largest_difference": difference}
    print("wrote", save("parity_language_model", result).name)
    if difference > 1e-5:
        raise SystemExit("the curves differ by more than 1e-5")


if __name__ == "__main__":
    main()
