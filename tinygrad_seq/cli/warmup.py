"""``tinygrad-seq warmup``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from .. import nn
from ..autograd.creation import zeros
from ..base.modes import no_grad
from ..functional import cross_entropy
from ..kernels.compile.generated import compilations
from ..optim import Adam, clip_grad_norm_
from ..scan.codegen.fusion import FEW_ROWS
from ..train.language_model import CELLS, LanguageModel
from .arguments import examples

BATCHES = (2, FEW_ROWS)
"""Loops over few and over many batch elements have a code each."""
EXAMPLES = examples("warmup", "cache")

Layer = nn.RNN | nn.GRU | nn.LSTM | nn.Recurrent

LAYERS: dict[str, Callable[[], Layer]] = {
    "RNN": lambda: nn.RNN(2, 3),
    "RNN, relu": lambda: nn.RNN(2, 3, nonlinearity="relu"),
    "GRU": lambda: nn.GRU(2, 3),
    "LSTM": lambda: nn.LSTM(2, 3),
    "notes RNN": lambda: nn.Recurrent(nn.NotesRNNCell(2, 3)),
    "notes simplified GRU": lambda: nn.Recurrent(nn.NotesSimplifiedGRUCell(2, 3)),
    "notes GRU": lambda: nn.Recurrent(nn.NotesGRUCell(2, 3)),
    "notes LSTM": lambda: nn.Recurrent(nn.NotesLSTMCell(2, 3)),
}


def warmup() -> None:
    """Compile the built-in cells in float32 for training, inference, streams and sampling, and store them on disk.

    The compiled code serves all sizes. Other code, such as your own cells, is compiled on first use.
    """
    runs = {name: partial(_run_layer, make()) for name, make in LAYERS.items()}
    runs |= {f"language model, {cell}": partial(_run_model, LanguageModel(5, 2, 3, cell=cell)) for cell in CELLS}
    before, start = compilations(), time.perf_counter()
    for name, run in runs.items():
        _report(name, run)
    _write(_outcome("total", before, start))


def _report(name: str, run: Callable[[], None]) -> None:
    """Run, then print the number of compiled kernels and the time."""
    before, start = compilations(), time.perf_counter()
    if sys.stdout.isatty():
        _write(f"{name} ...\r")
    run()
    _write(_outcome(name, before, start))


def _outcome(name: str, before: int, start: float) -> str:
    made = compilations() - before
    what = f"{made} compiled" if made else "already there"
    return f"{name:<25} {what:<14} {time.perf_counter() - start:6.1f} s\n"


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _run_layer(layer: Layer) -> None:
    for T, N in [(1, 1), *((5, N) for N in BATCHES)]:  # one step of one row has a kernel of its own
        xs = zeros((T, N, 2))  # shorter runs without gradients are those of streams
        xs.requires_grad = True
        ys, _ = layer(xs)
        ys.sum().backward()
        with no_grad():
            layer(xs)
    layer.stream(batch_size=2)


def _run_model(model: LanguageModel) -> None:
    for N in BATCHES:
        tokens = np.zeros((6, N), dtype=np.int64)
        logits, _ = model(tokens)
        cross_entropy(logits, tokens, axis=-1).backward()
    clip_grad_norm_(model.parameters(), 1.0)
    Adam(model.parameters()).step()
    model.log_probability(tokens[:, 0])
    next(iter(model.sample(tokens[:1, 0], generator=np.random.default_rng(0))))
