"""Handwritten digits of 8 x 8 pixels, read pixel by pixel: 64 steps of one number, then a class (Le et al., 2015).

The images come with scikit-learn (`load_digits`, 1,797 images).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ._task import Batch, Task, accuracy, remember

N, TRAIN, VALID = 50, 1200, 297


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return the images (1797, 64), with values from 0 to 16, and their classes."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def batch_of(images: np.ndarray, classes: np.ndarray) -> Batch:
    return Batch((images.T[:, :, None] / 16).astype(np.float32), classes.astype(np.int64))


def data(_: Path | None) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, list[Batch]]]:
    images, classes = load()
    mixed = np.random.default_rng(100).permutation(len(images))
    train, valid, test = np.split(mixed, [TRAIN, TRAIN + VALID])
    held_out = {name: [batch_of(images[rows], classes[rows])] for name, rows in {"valid": valid, "test": test}.items()}
    return (images[train], classes[train]), held_out


def batches(train: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> Iterator[Batch]:
    images, classes = train
    while True:
        for rows in np.split(rng.permutation(len(images)), range(N, len(images), N)):
            yield batch_of(images[rows], classes[rows])


TASKS = (
    Task(
        name="LSTM",
        what="digits pixel by pixel, T=64",
        metric="accuracy",
        layer="LSTM",
        inputs=1,
        hidden=64,
        outputs=10,
        loss="classes",
        last=True,
        data=data,
        batches=batches,
        score=accuracy,
        higher=True,
        steps=1500,
        evaluate_every=50,
        rate=5e-3,
        seeds=(0, 1),
        initialise=remember(),
        baseline=("chance", 0.1),
        budget={"T": 64, "N": N},
    ),
)
