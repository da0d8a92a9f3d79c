"""Compare RNN, GRU and LSTM with PyTorch over all combinations of arguments: outputs, states and gradients.

    python -m benchmarks.parity.recurrent

Needs torch (the extra ``bench``). Weights and data are the same; gradients are those of all parameters, the inputs and
the initial states. Sequences of different lengths are packed in PyTorch and passed with ``lengths=`` here. Exits with 1
if a difference is above the tolerance.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import tinygrad_seq as ts
from benchmarks._harness import machine_facts, save
from benchmarks._workload import gradient_of
from tinygrad_seq import nn
from tinygrad_seq.nn.recurrence import shrinking

TOLERANCE = {"float64": 1e-12, "float32": 5e-5}
T, N, I, H = 30, 5, 3, 6
LENGTHS = np.array([17, 28, 1, 9, 13])  # this package cuts time into four segments here
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN tanh": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "LSTM proj_size=4": ("LSTM", {"proj_size": 4}),
}
SEQUENCES = ("one", "batch", "lengths")


@dataclass(frozen=True)
class Case:
    """One combination of arguments."""

    kind: str
    num_layers: int
    bias: bool
    batch_first: bool
    bidirectional: bool
    sequences: str
    initial: bool
    dtype: str

    def modules(self) -> tuple[nn.Module, torch.nn.Module]:
        """Return our layer and theirs, with the same weights."""
        name, own = KINDS[self.kind]
        options = own | {
            "num_layers": self.num_layers,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "bidirectional": self.bidirectional,
        }
        theirs = getattr(torch.nn, name)(I, H, **options, dtype=getattr(torch, self.dtype))
        ours = getattr(nn, name)(I, H, **options, dtype=self.dtype)
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs

    def data(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the inputs and the arrays of the initial state, none if no state is passed."""
        rng, batch = np.random.default_rng(0), () if self.sequences == "one" else (N,)
        xs = rng.standard_normal((N, T, I) if batch and self.batch_first else (T, *batch, I))
        name, own = KINDS[self.kind]
        sizes = [own.get("proj_size", H), H][: 1 + (name == "LSTM")] if self.initial else []
        rows = self.num_layers * (1 + self.bidirectional)
        states = [rng.standard_normal((rows, *batch, size)).astype(self.dtype) for size in sizes]
        return xs.astype(self.dtype), states


def cases() -> Iterator[Case]:
    """Yield every combination."""
    yes_no = (False, True)
    for row in itertools.product(KINDS, (1, 2, 3), yes_no, yes_no, yes_no, SEQUENCES, yes_no, TOLERANCE):
        yield Case(*row)


def difference(case: Case) -> tuple[float, float]:
    """Return the largest difference of outputs and states, and of gradients (parameters, inputs, initial state)."""
    ours, theirs = case.modules()
    xs, states = case.data()
    inputs = [ts.tensor(array, requires_grad=True) for array in (xs, *states)]
    torch_inputs = [torch.tensor(array, requires_grad=True) for array in (xs, *states)]
    packed = case.sequences == "lengths"
    outputs = flat(ours(*arguments(inputs), **({"lengths": LENGTHS} if packed else {})))
    torch_outputs = flat(run_packed(theirs, case, torch_inputs) if packed else theirs(*arguments(torch_inputs)))
    rng = np.random.default_rng(1)
    cotangents = [rng.standard_normal(tuple(y.shape)).astype(case.dtype) for y in outputs]
    sum((y * g).sum() for y, g in zip(outputs, cotangents, strict=True)).backward()
    sum((y * torch.from_numpy(g)).sum() for y, g in zip(torch_outputs, cotangents, strict=True)).backward()
    leaves = [*inputs, *[dict(ours.named_parameters())[name] for name, _ in theirs.named_parameters()]]
    torch_leaves = [*torch_inputs, *theirs.parameters()]
    return (
        max(gap(a.numpy(), b.detach().numpy()) for a, b in zip(outputs, torch_outputs, strict=True)),
        max(gap(gradient_of(a), gradient_of(b)) for a, b in zip(leaves, torch_leaves, strict=True)),
    )


def run_packed(theirs: torch.nn.Module, case: Case, inputs: list) -> tuple:
    """Return the outputs of PyTorch's layer for packed sequences, padded again."""
    xs, *state = arguments(inputs)
    packed = pack_padded_sequence(xs, torch.from_numpy(LENGTHS), case.batch_first, enforce_sorted=False)
    ys, final = theirs(packed, *state)
    return pad_packed_sequence(ys, case.batch_first, total_length=T)[0], final


def arguments(inputs: list) -> list:
    """Return (x,), (x, h) or (x, (h, c))."""
    return inputs if len(inputs) < 3 else [inputs[0], tuple(inputs[1:])]


def flat(result: Any) -> list:
    """Return the arrays of (y, (h, c)) or (y, h)."""
    return [array for part in result for array in flat(part)] if isinstance(result, tuple) else [result]


def gap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference, divided by the largest value if that is above 1."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    return float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max())))


def main() -> int:
    shrinking.SEGMENT = 0  # otherwise time would not be cut for layers as small as these
    found: dict[str, dict[str, list[float]]] = {}
    counts = dict.fromkeys(TOLERANCE, 0)
    for case in cases():
        worst = found.setdefault(case.kind, {}).setdefault(f"{case.sequences} {case.dtype}", [0.0, 0.0])
        gaps = difference(case)
        if max(gaps) > TOLERANCE[case.dtype]:
            print("differs:", case, *(f"{g:.1e}" for g in gaps), flush=True)
        worst[:] = map(max, worst, gaps)
        counts[case.dtype] += 1
    print(f"{sum(counts.values())} cases; largest differences to torch {torch.__version__}: outputs, gradients")
    for kind, rows in found.items():
        for name, (outputs, gradients) in rows.items():
            print(f"{kind:18} {name:16} {outputs:.1e}  {gradients:.1e}")
    worst_of = {
        dtype: max(max(gaps) for rows in found.values() for name, gaps in rows.items() if name.endswith(dtype))
        for dtype in TOLERANCE
    }
    print("worst:", ", ".join(f"{dtype} {gap:.1e} (tolerance {TOLERANCE[dtype]})" for dtype, gap in worst_of.items()))
    result = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba", "torch"]), "cases": counts}
    result |= {"largest_difference": worst_of, "tolerance": TOLERANCE, "outputs_and_gradients": found}
    print("wrote", save("parity_recurrent", result).name)
    return int(any(not gap <= TOLERANCE[dtype] for dtype, gap in worst_of.items()))


if __name__ == "__main__":
    sys.exit(main())
