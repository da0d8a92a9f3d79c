"""Training loops that call a layer once per token, as char-rnn and seq2seq programs are often written, against PyTorch.

One sequence at a time: embedding, one call of the layer or cell, projection and cross entropy per token; then backward
and Adam. The programs are the same for both libraries, which take the same weights.
Run: python -m benchmarks.per_token
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks._harness import time_for
from benchmarks._subject import OURS, Contestant, Subject

V = 100


@dataclass(frozen=True)
class Program:
    """A model with its layer, such as "GRU" or "GRUCell", and the sizes of one sequence."""

    model: str
    layer: str
    T: int
    H: int

    @property
    def name(self) -> str:
        return f"{self.model} {self.layer} T={self.T} H={self.H}"


PROGRAMS = [
    Program("char-rnn", "GRU", 50, 128),
    Program("char-rnn", "LSTM", 50, 256),
    Program("char-rnn", "LSTMCell", 50, 256),
    Program("seq2seq", "GRU", 20, 256),
]


def parts_of(library: Any, program: Program, names: tuple[str, ...]) -> dict[str, Any]:
    """Return an embedding and a layer under each of `names`, and a readout, with the same weights in both libraries."""
    nn, H = library.nn, program.H
    parts = {name: (nn.Embedding(V, H), getattr(nn, program.layer)(H, H)) for name in names}
    readout, rng = nn.Linear(H, V), np.random.default_rng(0)
    for module in (*(part for pair in parts.values() for part in pair), readout):
        module.load_state_dict(
            {
                name: library.tensor(rng.uniform(-1, 1, tuple(old.shape)).astype(np.float32) / np.float32(H**0.5))
                for name, old in module.state_dict().items()
            }
        )
    return {**parts, "readout": readout}


def step_of(library: Any, part: Any, token: Any, state: Any, cell: str) -> tuple[Any, Any]:
    """Return the output (1, H) and the state after one token; PyTorch's cells return the state alone."""
    embedding, layer = part
    x = embedding(token)
    if not cell.endswith("Cell"):
        ys, state = layer(x[None], state)
        return ys[0], state
    found = layer(x, state)
    return found if library.__name__ == OURS else (found[0], found)


def char_rnn(library: Any, program: Program) -> tuple[Callable[[], Any], list[Any]]:
    """Return a function that computes the loss of one sequence, and the parameters."""
    parts = parts_of(library, program, ("encoder",))
    tokens = [library.tensor([token]) for token in np.random.default_rng(1).integers(0, V, program.T + 1).tolist()]

    def loss():
        total, state = 0, None
        for token, following in pairwise(tokens):
            y, state = step_of(library, parts["encoder"], token, state, program.layer)
            total = total + library.nn.functional.cross_entropy(parts["readout"](y), following)
        return total / program.T

    return loss, [p for module in (*parts["encoder"], parts["readout"]) for p in module.parameters()]


def seq2seq(library: Any, program: Program) -> tuple[Callable[[], Any], list[Any]]:
    """Return a function that computes the loss of one pair of sequences, each decoder step fed with its true token."""
    parts = parts_of(library, program, ("encoder", "decoder"))
    draw = np.random.default_rng(1).integers
    source, target = ([library.tensor([t]) for t in draw(0, V, program.T).tolist()] for _ in range(2))
    first = library.tensor([0])

    def loss():
        total, state = 0, None
        for token in source:
            _, state = step_of(library, parts["encoder"], token, state, program.layer)
        for token, following in zip([first, *target], target, strict=False):
            y, state = step_of(library, parts["decoder"], token, state, program.layer)
            total = total + library.nn.functional.cross_entropy(parts["readout"](y), following)
        return total / program.T

    return loss, [p for m in (*parts["encoder"], *parts["decoder"], parts["readout"]) for p in m.parameters()]


def measure(library: Any, program: Program, budget: float) -> dict:
    loss_of, parameters = {"char-rnn": char_rnn, "seq2seq": seq2seq}[program.model](library, program)
    loss = loss_of()
    loss.backward()
    check = {"loss": loss.detach().numpy(), **{str(k): p.grad.numpy() for k, p in enumerate(parameters)}}
    adam = library.optim.Adam(parameters, lr=1e-3)

    def step():
        adam.zero_grad()
        loss_of().backward()
        adam.step()

    return {"check": check, "training": time_for(step, budget)}


def ours(program: Program, budget: float) -> dict:
    import tinygrad_seq as ts

    return measure(ts, program, budget)


def with_torch(program: Program, budget: float) -> dict:
    import torch

    torch.set_num_threads(1)
    return measure(torch, program, budget)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={program.name: program for program in PROGRAMS},
    contestants={OURS: Contestant(ours), "torch": Contestant(with_torch, "torch")},
    quick=(PROGRAMS[0].name, PROGRAMS[-1].name),
    units={"training": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
