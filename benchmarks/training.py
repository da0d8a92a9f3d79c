"""Language-model training, a whole step with Adam: vocabulary 100, embedding 64, N=32, T=64, H=256, against PyTorch.

A step consists of embedding, recurrent layer, projection, cross entropy, backward, clip_grad_norm_ and Adam. The state
is detached and carried to the next window. Tokens per second are T * N divided by the median step time.
Run: python -m benchmarks.training
"""

from __future__ import annotations

import numpy as np

from benchmarks._harness import time_for
from benchmarks._layers import GATES
from benchmarks._subject import OURS, Contestant, Subject

V, E, T, N, H, WINDOWS = 100, 64, 64, 32, 256, 8


def weights(cell: str) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(0), GATES[cell] * H
    shapes = {
        "recurrent.weight_ih_l0": (rows, E),
        "recurrent.weight_hh_l0": (rows, H),
        "recurrent.bias_ih_l0": (rows,),
        "recurrent.bias_hh_l0": (rows,),
        "output.weight": (V, H),
        "output.bias": (V,),
    }
    drawn = {name: (rng.uniform(-1, 1, shape) / H**0.5).astype(np.float32) for name, shape in shapes.items()}
    return {"embedding.weight": rng.standard_normal((V, E)).astype(np.float32), **drawn}


def windows() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return inputs and targets (T, N) of a few windows of one stream; half of its tokens are predictable."""
    tokens = np.random.default_rng(1).integers(0, V, (T * WINDOWS + 1, N))
    tokens[1::2] = (tokens[:-1:2] * 7 + 3) % V
    return [(tokens[t : t + T].copy(), tokens[t + 1 : t + T + 1].copy()) for t in range(0, T * WINDOWS, T)]


def measure(step, budget: float) -> dict:
    """Return the losses of the first windows, and the seconds of the steps on later windows."""
    state, losses = None, []
    data = windows()
    for inputs, targets in data[:4]:
        loss, state = step(inputs, targets, state)
        losses.append(loss.item())
    position = 0

    def go_on():
        nonlocal state, position
        _, state = step(*data[position], state)
        position = (position + 1) % WINDOWS

    return {"check": {"losses": np.array(losses)}, "training": time_for(go_on, 2 * budget)}


def ours(cell: str, budget: float) -> dict:
    import tinygrad_seq as ts

    class Model(ts.nn.Module):
        def __init__(self):
            self.embedding = ts.nn.Embedding(V, E)
            self.recurrent = getattr(ts.nn, cell)(E, H)
            self.output = ts.nn.Linear(H, V)

    model = Model()
    model.load_state_dict(weights(cell))
    parameters = list(model.parameters())
    adam = ts.optim.Adam(parameters, lr=1e-3)

    def step(inputs, targets, state):
        hidden, state = model.recurrent(model.embedding(inputs), state)
        loss = ts.cross_entropy(model.output(hidden), targets)
        adam.zero_grad()
        loss.backward()
        ts.optim.clip_grad_norm_(parameters, 1.0)
        adam.step()
        return loss, ts.nn.detach_state(state)

    return measure(step, budget)


def with_torch(cell: str, budget: float) -> dict:
    import torch

    torch.set_num_threads(1)
    model = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(V, E),
            "recurrent": getattr(torch.nn, cell)(E, H),
            "output": torch.nn.Linear(H, V),
        }
    )
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights(cell).items()})
    parameters = list(model.parameters())
    adam = torch.optim.Adam(parameters, lr=1e-3)

    def step(inputs, targets, state):
        hidden, state = model["recurrent"](model["embedding"](torch.from_numpy(inputs)), state)
        logits = model["output"](hidden).reshape(-1, V)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets).reshape(-1))
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        return loss, tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()

    return measure(step, budget)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={cell: cell for cell in GATES},
    contestants={OURS: Contestant(ours), "torch": Contestant(with_torch, "torch")},
    quick=tuple(GATES),
    units={"training": "s"},
    facts={"tokens_per_step": T * N},
)

if __name__ == "__main__":
    SUBJECT.main()
