"""A language model's training step on two ranks that average gradients over MPI, against PyTorch's DDP on gloo.

Each rank has half of the global batch, one thread and one core. Both libraries start from the same weights;
DistributedDataParallel sends gradients in buckets that overlap with the backward pass. The same step in one process on
one core shows the efficiency: its ratio divided by 2. Two small vocabularies, and one of 10,000 words, whose 23 MB of
gradients two ranks on one machine exchange through memory.
Run: python -m benchmarks.data_parallel
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._harness import environment
from benchmarks._subject import OURS, Contestant, Subject
from benchmarks.training import CLIP, WINDOWS, Model, weights, windows

RANKS = 2
CASES = {
    "LSTM 256": Model("LSTM"),
    "LSTM 512, window 32": Model("LSTM", E=128, H=512, T=32),
    "LSTM 256, 10,000 words": Model("LSTM", 10_000, 256, 256, 1, 35, 20),
}


def on_ranks(model: Model, budget: float, *, program: str, ranks: int) -> dict:
    """Measure in processes that mpirun starts; each is pinned to a core of its own."""
    mpirun = Path(sys.executable).with_name("mpirun")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [str(mpirun if mpirun.exists() else "mpirun"), "-n", str(ranks), sys.executable, __file__, "--rank"]
    variables = environment() | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    done = subprocess.run(
        [*command, program, json.dumps(asdict(model)), str(budget)],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found_samples = json.loads(done.stdout)
    return found_samples | {"check": {"losses": np.array(found_samples["check"])}}


def measure(model: Model, rank: int, ranks: int, step, share, mean, budget: float) -> dict:
    """Return the losses of the first windows, and the seconds of later steps.

    `share` gives rank 0's number to all ranks, `mean` returns the mean of their losses.
    """
    each = model.N // ranks
    mine = slice(rank * each, (rank + 1) * each)
    data = [(np.ascontiguousarray(x[:, mine]), np.ascontiguousarray(y[:, mine])) for x, y in windows(model)]
    state, losses = None, []
    for inputs, targets in data[:4]:
        loss, state = step(inputs, targets, state)
        losses.append(mean(loss))
    seconds: list[float] = []

    def go_on(count: int) -> None:
        nonlocal state
        for number in range(count):
            begin = time.perf_counter()
            _, state = step(*data[number % WINDOWS], state)
            seconds.append(time.perf_counter() - begin)

    go_on(4)
    go_on(share(int(np.clip(2 * budget / min(seconds), 5, 1000))))
    return {"check": losses, "training": seconds[4:]}


def ours(model: Model, budget: float) -> dict:
    import tinygrad_seq as ts

    world = ts.distributed.world()
    embedding = ts.nn.Embedding(model.V, model.E)
    recurrent = ts.nn.LSTM(model.E, model.H, model.layers)
    output = ts.nn.Linear(model.H, model.V)
    network = ts.nn.ModuleDict({"embedding": embedding, "recurrent": recurrent, "output": output})
    network.load_state_dict(weights(model))
    parameters = list(network.parameters())
    adam = ts.optim.Adam(parameters, lr=1e-3)

    def step(inputs, targets, state):
        adam.zero_grad()
        hidden, state = recurrent(embedding(inputs), state)
        loss = ts.linear_cross_entropy(hidden, output.weight, output.bias, targets)
        loss.backward()
        mean, _ = world.average(parameters, loss.item(), targets.size)
        adam.step(max_norm=CLIP)
        return mean, ts.nn.detach_state(state)

    return measure(model, world.rank, world.size, step, world.broadcast, float, budget)


def torch_ddp(model: Model, budget: float) -> dict:
    import torch

    rank, ranks = int(os.environ["PMI_RANK"]), int(os.environ["PMI_SIZE"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(model.V, model.E)
            self.recurrent = torch.nn.LSTM(model.E, model.H, model.layers)
            self.output = torch.nn.Linear(model.H, model.V)

        def forward(self, inputs, targets, state):
            hidden, state = self.recurrent(self.embedding(inputs), state)
            logits = self.output(hidden).reshape(-1, model.V)
            return torch.nn.functional.cross_entropy(logits, targets.reshape(-1)), state

    network = Network()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights(model).items()})
    parallel = torch.nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True, static_graph=True)
    parameters = list(network.parameters())
    adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step(inputs, targets, state):
        adam.zero_grad()
        loss, state = parallel(torch.from_numpy(inputs), torch.from_numpy(targets), state)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
        adam.step()
        return loss.item(), tuple(part.detach() for part in state)

    def share(number):
        found = [number]
        torch.distributed.broadcast_object_list(found)
        return found[0]

    def mean(loss):
        total = torch.tensor(loss)
        torch.distributed.all_reduce(total)
        return total.item() / ranks

    return measure(model, rank, ranks, step, share, mean, budget)


PROGRAMS = {"ours": ours, "torch": torch_ddp}
SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases=CASES,
    contestants={
        f"{OURS}, {RANKS} ranks": Contestant(partial(on_ranks, program="ours", ranks=RANKS), threads=RANKS),
        f"{OURS}, one process": Contestant(partial(on_ranks, program="ours", ranks=1), threads=RANKS),
        f"torch DDP, {RANKS} ranks": Contestant(
            partial(on_ranks, program="torch", ranks=RANKS), "torch", threads=RANKS, needs=("mpi4py",)
        ),
    },
    quick=tuple(CASES),
    units={"training": "s"},
    budget=0.7,
    facts={"tokens_per_step": {name: model.T * model.N for name, model in CASES.items()}},
)


def main() -> None:
    if "--rank" not in sys.argv:
        SUBJECT.main()
        return
    program, model, budget = sys.argv[2:]
    cores = sorted(os.sched_getaffinity(0))
    rank = int(os.environ["PMI_RANK"])
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    samples = PROGRAMS[program](Model(**json.loads(model)), float(budget))
    if rank == 0:
        sys.stdout.write(json.dumps(samples))


if __name__ == "__main__":
    main()
