"""Polyphonic music, JSB chorales and Nottingham tunes: the next frame of 88 keys (Boulanger-Lewandowski et al., 2012).

The score is the negative log-likelihood per frame in nats, a sum of 88 logistic losses, averaged over all frames but
the first of each piece. The data is not part of the project. `jsb_chorales.npz` and `nottingham.npz` hold, for each of
train, valid and test, ``<split>_bits`` (frames, 11) uint8, the 88 keys packed into bits, and ``<split>_len``, the
number of frames per piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._task import Batch, Task, remember

KEYS, HIDDEN, N, DROPOUT = 88, 128, 8, 0.3


def pieces(archive: Any, split: str) -> list[np.ndarray]:
    """Return the pieces of a split, (frames, 88) float32 each."""
    frames = np.unpackbits(archive[f"{split}_bits"], axis=1)[:, :KEYS].astype(np.float32)
    return np.split(frames, np.cumsum(archive[f"{split}_len"])[:-1])


def batch_of(chosen: list[np.ndarray], rng: np.random.Generator | None = None) -> Batch:
    """Return pieces as one batch, padded with silence; with a generator, also the dropout mask of the hidden states."""
    steps = max(map(len, chosen)) - 1
    inputs, targets = np.zeros((2, steps, len(chosen), KEYS), np.float32)
    weights = np.zeros((steps, len(chosen), 1), np.float32)
    for n, piece in enumerate(chosen):
        inputs[: len(piece) - 1, n], targets[: len(piece) - 1, n] = piece[:-1], piece[1:]
        weights[: len(piece) - 1, n] = 1
    dropout = None
    if rng is not None:
        kept = rng.random((steps, len(chosen), HIDDEN), np.float32) >= DROPOUT
        dropout = kept / np.float32(1 - DROPOUT)
    return Batch(inputs, targets, weights / weights.sum(), dropout)


def reader(name: str, window: int) -> Callable[[Path | None], tuple[list[np.ndarray], dict[str, list[Batch]]]]:
    """Return the reader of a file: training pieces in parts of at most `window` frames, test pieces whole."""

    def data(folder: Path | None) -> tuple[list[np.ndarray], dict[str, list[Batch]]]:
        if folder is None:
            raise SystemExit(f"expected the folder with {name}.npz: pass --data FOLDER or set TGS_DATA.")
        with np.load(folder / f"{name}.npz") as archive:
            train, *others = (pieces(archive, split) for split in ("train", "valid", "test"))
        parts = [piece[t : t + window + 1] for piece in train for t in range(0, len(piece) - 1, window)]
        held_out = {}
        for split, whole in zip(("valid", "test"), others, strict=True):
            whole = sorted(whole, key=len)
            held_out[split] = [batch_of(whole[k : k + 2 * N]) for k in range(0, len(whole), 2 * N)]
        return parts, held_out

    return data


def batches(parts: list[np.ndarray], rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        order = rng.permutation(len(parts))
        for rows in np.split(order, range(N, len(order), N)):
            yield batch_of([parts[row] for row in rows], rng)


def nats(outputs: np.ndarray, batch: Batch) -> tuple[float, int]:
    """Return the sum of the logistic losses over keys and frames, and the number of frames."""
    losses = np.logaddexp(0, outputs) - outputs * batch.targets
    assert batch.weights is not None
    counted = batch.weights > 0
    return float((losses * counted).sum()), int(counted.sum())


BAI, CHUNG = "Bai et al., 2018", "Chung et al., 2014"
COMMON: dict[str, Any] = {
    "metric": "nats per frame",
    "layer": "LSTM",
    "inputs": KEYS,
    "hidden": HIDDEN,
    "outputs": KEYS,
    "loss": "keys",
    "last": False,
    "batches": batches,
    "score": nats,
    "higher": False,
    "rate": 5e-3,
    "initialise": remember(),
}
TASKS = (
    Task(
        name="JSB",
        what="next frame of keys",
        data=reader("jsb_chorales", 200),
        steps=3000,
        evaluate_every=100,
        seeds=(0, 1),
        published=(
            {"figure": "8.45", "value": 8.45, "model": "LSTM", "source": BAI},
            {"figure": "8.67", "value": 8.67, "model": "LSTM", "source": CHUNG},
        ),
        budget={"N": N, "dropout": DROPOUT},
        **COMMON,
    ),
    Task(
        name="Nottingham",
        what="next frame of keys",
        data=reader("nottingham", 200),
        steps=1000,
        evaluate_every=125,
        seeds=(0,),
        note="The budget is 7 passes over the data: neither library has converged.",
        published=(
            {"figure": "3.29", "value": 3.29, "model": "LSTM", "source": BAI},
            {"figure": "3.20", "value": 3.20, "model": "LSTM", "source": CHUNG},
        ),
        budget={"N": N, "dropout": DROPOUT, "window": 200},
        **COMMON,
    ),
)
