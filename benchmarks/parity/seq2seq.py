"""Compare attention and CTC with PyTorch: same weights, same data; the largest difference of values and gradients.

    python -m benchmarks.parity.seq2seq

All in float64: multi-head attention over its arguments, masks and shapes; CTC over its arguments, after a log_softmax;
and a compiled decoder with additive or dot attention, beside the same loop written with PyTorch's cells. Needs torch
(the extra ``bench``). Exits with 1 if a difference is above the tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

import tinygrad_seq as ts
from benchmarks._harness import machine_facts, save
from tinygrad_seq import nn

TOLERANCE = 1e-12
L, S, N, E, HEADS = 6, 5, 4, 8, 2
T, C, I, H = 12, 7, 3, 6
LENGTHS = np.array([5, 3, 1, 4])
PADDING = np.arange(S) >= LENGTHS[:, None]

Run = Callable[[Any, list], Any]
Case = tuple[str, Any, Any, list[np.ndarray], Run, Run]
"""Name, our module, theirs (or None), inputs, and what each computes of its module and inputs."""


def attend(mask: dict[str, Any], module: Any, xs: list[Any]) -> Any:
    """Return what an attention makes of its three inputs under a mask."""
    return module(*xs, **mask)


def attention_cases(rng: np.random.Generator) -> Iterator[Case]:
    scores = rng.standard_normal((N * HEADS, L, S))
    masks = {
        "": {},
        "key_padding_mask": {"key_padding_mask": PADDING},
        "key_padding_mask added": {"key_padding_mask": np.where(PADDING, -np.inf, 0.5)},
        "attn_mask": {"attn_mask": rng.random((L, S)) < 0.3},
        "attn_mask added": {"attn_mask": scores[0]},
        "attn_mask of each head": {"attn_mask": scores},
        "both": {"attn_mask": scores, "key_padding_mask": np.where(PADDING, -np.inf, 0.0)},
        "weights of each head": {"average_attn_weights": False},
        "no weights": {"need_weights": False},
    }
    masks["attn_mask"]["attn_mask"][:, 0] = False  # PyTorch returns NaN where everything is masked
    for options in ({}, {"bias": False}, {"kdim": 3, "vdim": 5}, {"batch_first": True}):
        ours, theirs = nn.MultiHeadAttention(E, HEADS, **options), torch.nn.MultiheadAttention(E, HEADS, **options)
        shapes = [(L, N, E), (S, N, options.get("kdim", E)), (S, N, options.get("vdim", E))]
        if options.get("batch_first"):
            shapes = [(n, length, size) for length, n, size in shapes]
        for name, mask in masks.items():
            yield (
                f"attention {options or ''} {name}",
                ours,
                theirs,
                [rng.standard_normal(shape) for shape in shapes],
                partial(attend, mask),
                partial(attend, {k: as_torch(v) for k, v in mask.items()}),
            )
    one = [rng.standard_normal(shape) for shape in ((L, E), (S, E), (S, E))]
    call: Run = lambda module, xs: module(*xs)  # noqa: E731
    yield (
        "attention without a batch",
        nn.MultiHeadAttention(E, HEADS),
        torch.nn.MultiheadAttention(E, HEADS),
        one,
        call,
        call,
    )


def ctc_cases(rng: np.random.Generator) -> Iterator[Case]:
    targets = rng.integers(1, C, (N, 4))
    targets[0] = 2  # repeated labels
    inputs, counts = np.array([12, 5, 9, 8]), np.array([4, 3, 0, 2])
    joined = np.concatenate([row[:count] for row, count in zip(targets, counts, strict=True)])
    common = {"input_lengths": inputs, "target_lengths": counts}
    cases: dict[str, dict[str, Any]] = {
        **{reduction: {"targets": targets, "reduction": reduction, **common} for reduction in ("none", "sum", "mean")},
        "targets in one row": {"targets": joined, **common},
        "blank": {"targets": targets - 1, "blank": C - 1, **common},
        "zero_infinity": {
            "targets": targets,
            "zero_infinity": True,
            "reduction": "none",
            **common,
            "input_lengths": [12, 2, 9, 8],
        },
    }
    for name, options in cases.items():
        yield ctc_case(f"ctc {name}", rng.standard_normal((T, N, C)), options)
    alone = {"targets": targets[1, :3], "input_lengths": np.array(12), "target_lengths": np.array(3)}
    yield ctc_case("ctc without a batch", rng.standard_normal((T, C)), alone)
    long = {"targets": rng.integers(1, C, (N, 80)), "input_lengths": [400] * N, "target_lengths": [80] * N}
    yield ctc_case("ctc of 400 steps", rng.standard_normal((400, N, C)), {**long, "reduction": "sum"})


def ctc_case(name: str, logits: np.ndarray, options: dict) -> Case:
    theirs = {k: as_torch(v) for k, v in options.items()}
    return (
        name,
        None,
        None,
        [logits],
        lambda _, xs: nn.functional.ctc_loss(ts.log_softmax(xs[0]), **options),
        lambda _, xs: torch.nn.functional.ctc_loss(torch.log_softmax(xs[0], -1), **theirs),
    )


class TorchDecoder(torch.nn.Module):
    """The loop of `nn.AttentionDecoder` with PyTorch's modules."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell, self.kind = torch.nn.GRUCell(I + E, H), kind
        self.query = torch.nn.Linear(H, E, bias=kind == "additive")
        self.key = torch.nn.Linear(E, E, bias=False)
        if kind == "additive":
            self.weight = torch.nn.Parameter(torch.zeros(E))

    def forward(self, xs: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h, context, ys = torch.zeros(N, H).double(), torch.zeros(N, E).double(), []
        memory = memory.swapaxes(0, 1)
        keys = self.key(memory)
        for x in xs:
            h = self.cell(torch.cat([x, context], -1), h)
            query = self.query(h)[:, None]
            if self.kind == "additive":
                scores = torch.tanh(query + keys) @ self.weight
            else:
                scores = (query * keys).sum(-1) / E**0.5
            weights = torch.softmax(scores.masked_fill(torch.from_numpy(PADDING), -torch.inf), -1)
            context = (weights[:, None] @ memory)[:, 0]
            ys.append(torch.cat([h, context], -1))
        return torch.stack(ys), h, context


def decoder_cases(rng: np.random.Generator) -> Iterator[Case]:
    for kind, attention in (("additive", nn.AdditiveAttention), ("dot", nn.DotAttention)):
        yield (
            f"decoder, {kind} attention",
            nn.AttentionDecoder(nn.GRUCell(I + E, H), attention(H, E, E)),
            TorchDecoder(kind),
            [rng.standard_normal((T, N, I)), rng.standard_normal((S, N, E))],
            lambda module, xs: module(*xs, memory_lengths=LENGTHS),
            lambda module, xs: module(*xs),
        )


def difference(case: Case, rng: np.random.Generator) -> tuple[float, float]:
    """Return the largest difference of outputs and of gradients (inputs and parameters)."""
    _, ours, theirs, arrays, run, torch_run = case
    leaves, torch_leaves = [], []
    if ours is not None:
        ours.double()
        theirs.double()
        names = {name.split("cells.0.")[-1].removeprefix("attention."): p for name, p in ours.named_parameters()}
        for name, parameter in theirs.named_parameters():
            values = rng.standard_normal(tuple(parameter.shape)) * 0.4
            with torch.no_grad(), ts.no_grad():
                parameter.copy_(torch.from_numpy(values))
                names[name].copy_(values)
            parameter.grad = names[name].grad = None
            leaves.append(names[name])
            torch_leaves.append(parameter)
        assert len(leaves) == len(names)
    inputs = [ts.tensor(array, requires_grad=True) for array in arrays]
    torch_inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    outputs, torch_outputs = flat(run(ours, inputs)), flat(torch_run(theirs, torch_inputs))
    cotangents = [rng.standard_normal(tuple(y.shape)) for y in outputs]
    sum((y * g).sum() for y, g in zip(outputs, cotangents, strict=True)).backward()
    sum((y * torch.from_numpy(np.asarray(g))).sum() for y, g in zip(torch_outputs, cotangents, strict=True)).backward()
    leaves, torch_leaves = [*inputs, *leaves], [*torch_inputs, *torch_leaves]
    return (
        max(gap(a.numpy(), b.detach().numpy()) for a, b in zip(outputs, torch_outputs, strict=True)),
        max(gap(a.grad.numpy(), b.grad.numpy()) for a, b in zip(leaves, torch_leaves, strict=True)),
    )


def flat(result: Any) -> list:
    """Return the arrays of nested tuples."""
    if isinstance(result, tuple):
        return [array for part in result for array in flat(part)]
    return [] if result is None else [result]


def as_torch(value: Any) -> Any:
    """Return arrays and lists as tensors, anything else as it is."""
    return torch.as_tensor(value) if isinstance(value, np.ndarray | list) else value


def gap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference, relative for numbers above 1."""
    assert a.shape == b.shape
    return float((np.abs(a - b) / np.maximum(np.abs(b), 1)).max())


def main() -> int:
    print(f"{'':58} outputs    gradients   (largest difference to torch {torch.__version__}, float64)")
    rng = np.random.default_rng(0)
    worst, count = 0.0, 0
    for case in (*attention_cases(rng), *ctc_cases(rng), *decoder_cases(rng)):
        gaps = difference(case, rng)
        worst, count = max(worst, *gaps), count + 1
        print(f"{case[0]:58} {gaps[0]:.1e}    {gaps[1]:.1e}")
    print(f"{'worst':58} {worst:.1e}    (tolerance {TOLERANCE})")
    result = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba", "torch"]), "cases": count}
    print("wrote", save("parity_seq2seq", {**result, "largest_difference": worst, "tolerance": TOLERANCE}).name)
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
