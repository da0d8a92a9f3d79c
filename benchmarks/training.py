"""Language-model training: a whole step with Adam and clipping, on one and two threads; time and memory.

A step consists of embedding, recurrent layers, projection, cross entropy, backward, clipping and Adam, for a small
vocabulary and for the models of the Penn Treebank's size: 10,000 words, one layer of 256, and two of 650 with dropout
0.5 (the medium LSTM of Zaremba et al., 2014). The state is detached and carried to the next window. Both libraries use
their own idioms: `linear_cross_entropy` and ``step(max_norm=...)`` here, fused Adam and clipping with ``foreach`` in
PyTorch; bf16 is `autocast` of both. Tokens per second are T * N divided by the median step time.
Run: python -m benchmarks.training
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks._harness import time_for
from benchmarks._layers import GATES
from benchmarks._subject import OURS, Contestant, Subject
from benchmarks.memory import peak_of

WINDOWS, CLIP = 8, 1.0
LOW = 0.02
"""How far losses in bfloat16 may be from those in float32."""


@dataclass(frozen=True)
class Model:
    """The sizes of a language model and of its batches: vocabulary V, embedding E, `layers` of H, windows (T, N)."""

    cell: str
    V: int = 100
    E: int = 64
    H: int = 256
    layers: int = 1
    T: int = 64
    N: int = 32
    dropout: float = 0.0


CASES = {
    **{cell: Model(cell) for cell in GATES},
    "LSTM 256, 10,000 words": Model("LSTM", 10_000, 256, 256, 1, 35, 20),
    "LSTM 2x650, 10,000 words": Model("LSTM", 10_000, 650, 650, 2, 35, 20, dropout=0.5),
}


def weights(model: Model) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(0), GATES[model.cell] * model.H
    shapes: dict[str, tuple[int, ...]] = {"output.weight": (model.V, model.H), "output.bias": (model.V,)}
    for layer in range(model.layers):
        size = model.H if layer else model.E
        shapes |= {f"recurrent.weight_ih_l{layer}": (rows, size), f"recurrent.weight_hh_l{layer}": (rows, model.H)}
        shapes |= {f"recurrent.bias_{kind}_l{layer}": (rows,) for kind in ("ih", "hh")}
    drawn = {name: (rng.uniform(-1, 1, shape) / model.H**0.5).astype(np.float32) for name, shape in shapes.items()}
    return {"embedding.weight": rng.standard_normal((model.V, model.E)).astype(np.float32), **drawn}


def windows(model: Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return inputs and targets (T, N) of a few windows of one stream; half of its tokens are predictable."""
    T = model.T
    tokens = np.random.default_rng(1).integers(0, model.V, (T * WINDOWS + 1, model.N))
    tokens[1::2] = (tokens[:-1:2] * 7 + 3) % model.V
    return [(tokens[t : t + T].copy(), tokens[t + 1 : t + T + 1].copy()) for t in range(0, T * WINDOWS, T)]


def measure(model: Model, network, step, budget: float) -> dict:
    """Return the losses of the first windows without dropout, the peak of memory, and the seconds of later steps."""
    state, losses = None, []
    data = windows(model)
    network.eval()
    for inputs, targets in data[:4]:
        loss, state = step(inputs, targets, state)
        losses.append(loss.item())
    network.train()
    position = 0

    def go_on():
        nonlocal state, position
        _, state = step(*data[position], state)
        position = (position + 1) % WINDOWS

    go_on()
    peak = peak_of(go_on)
    return {"check": {"losses": np.array(losses)}, "training": time_for(go_on, 2 * budget), "peak": [peak]}


def ours(model: Model, budget: float, precision: str = "float32") -> dict:
    import tinygrad_seq as ts

    class Network(ts.nn.Module):
        def __init__(self):
            self.embedding = ts.nn.Embedding(model.V, model.E)
            between = model.dropout if model.layers > 1 else 0.0
            self.recurrent = getattr(ts.nn, model.cell)(model.E, model.H, model.layers, dropout=between)
            self.output = ts.nn.Linear(model.H, model.V)
            self.dropout = ts.nn.Dropout(model.dropout)

    network = Network()
    network.load_state_dict(weights(model))
    adam = ts.optim.Adam(network.parameters(), lr=1e-3)

    def step(inputs, targets, state):
        adam.zero_grad()
        readout = network.output
        with ts.autocast(precision):
            hidden, state = network.recurrent(network.dropout(network.embedding(inputs)), state)
            loss = ts.linear_cross_entropy(network.dropout(hidden), readout.weight, readout.bias, targets)
        loss.backward()
        adam.step(max_norm=CLIP)
        return loss, ts.nn.detach_state(state)

    return measure(model, network, step, budget)


def with_torch(threads: int = 1, low: bool = False) -> Contestant:
    def run(model: Model, budget: float) -> dict:
        import torch

        torch.set_num_threads(threads)
        between = model.dropout if model.layers > 1 else 0.0
        network = torch.nn.ModuleDict(
            {
                "embedding": torch.nn.Embedding(model.V, model.E),
                "recurrent": getattr(torch.nn, model.cell)(model.E, model.H, model.layers, dropout=between),
                "output": torch.nn.Linear(model.H, model.V),
                "dropout": torch.nn.Dropout(model.dropout),
            }
        )
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights(model).items()})
        parameters = list(network.parameters())
        adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)

        def step(inputs, targets, state):
            adam.zero_grad()
            embedded = network["dropout"](network["embedding"](torch.from_numpy(inputs)))
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                hidden, state = network["recurrent"](embedded, state)
                logits = network["output"](network["dropout"](hidden)).reshape(-1, model.V)
                loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets).reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
            adam.step()
            return loss, tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()

        return measure(model, network, step, budget)

    return Contestant(run, "torch", threads, tolerance=LOW if low else None)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases=CASES,
    contestants={
        OURS: Contestant(ours),
        f"{OURS}, 2 threads": Contestant(ours, threads=2),
        f"{OURS} bf16": Contestant(partial(ours, precision="bfloat16"), tolerance=LOW),
        "torch": with_torch(),
        "torch, 2 threads": with_torch(threads=2),
        "torch bf16": with_torch(low=True),
    },
    quick=tuple(CASES),
    units={"training": "s", "peak": "bytes"},
    apart=True,  # a process keeps freed memory
    facts={"tokens_per_step": {name: model.T * model.N for name, model in CASES.items()}},
)

if __name__ == "__main__":
    SUBJECT.main()
