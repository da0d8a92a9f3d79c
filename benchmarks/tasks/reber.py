"""The embedded Reber grammar: predict the next symbol of a string (Cleeremans et al., 1989).

    B ─ T ─ [Reber string] ─ T ─ E             Reber string: B, then a walk
    B ─ P ─ [Reber string] ─ P ─ E             from node 1 of `WAYS` to E

The last but one symbol repeats the second, so the model must remember it over the whole inner string. As in Hochreiter
and Schmidhuber, 1997, there are 256 training and 256 test strings; here the two sets do not overlap. A string counts as
right if at every step the symbols that may follow have the highest outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._task import SKIP, Batch, Task, remember

SYMBOLS = "BTPSXVE"
WAYS = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)
N, STRINGS = 4, 256


def inner(rng: np.random.Generator) -> str:
    """Return a Reber string."""
    text, node = "", 0
    while node < len(WAYS):
        symbol = list(WAYS[node])[rng.integers(len(WAYS[node]))]
        text, node = text + symbol, WAYS[node][symbol]
    return text


def embedded(rng: np.random.Generator) -> str:
    frame = "TP"[rng.integers(2)]
    return f"B{frame}{inner(rng)}{frame}E"


def followers(text: str) -> list[set[str]]:
    """Return the symbols that may follow each symbol of an embedded string, except the last."""
    legal, node = [{"T", "P"}, {"B"}], 0
    for symbol in text[2:-2]:
        node = WAYS[node][symbol]
        legal.append(set(WAYS[node]) if node < len(WAYS) else {text[1]})
    return [*legal, {"E"}]


def batch_of(texts: list[str]) -> Batch:
    """Return strings as one-hot inputs, and the symbols that may follow as targets; both are padded with 0."""
    inputs = np.zeros((max(map(len, texts)) - 1, len(texts), len(SYMBOLS)), np.float32)
    targets = np.full(inputs.shape[:2], SKIP)
    for n, text in enumerate(texts):
        symbols = [SYMBOLS.index(symbol) for symbol in text]
        inputs[np.arange(len(text) - 1), n, symbols[:-1]] = 1
        targets[: len(text) - 1, n] = symbols[1:]
    return Batch(inputs, targets)


def data(_: Path | None) -> tuple[list[str], dict[str, list[Batch]]]:
    rng = np.random.default_rng(100)
    train = [embedded(rng) for _ in range(STRINGS)]
    held_out: list[str] = []
    while len(held_out) < 2 * STRINGS:
        text = embedded(rng)
        held_out += [text] if text not in train else []
    return train, {"valid": [batch_of(held_out[:STRINGS])], "test": [batch_of(held_out[STRINGS:])]}


def batches(texts: list[str], rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield batch_of(rng.choice(texts, N).tolist())


def strings_right(outputs: np.ndarray, batch: Batch) -> tuple[float, int]:
    """Return the number of strings that are right at every step, and the number of strings.

    Parameters
    ----------
    outputs
        (T, N, 7).
    """
    right = 0
    for n in range(outputs.shape[1]):
        steps = int((batch.targets[:, n] != SKIP).sum())
        given = batch.inputs[:steps, n].argmax(-1)
        text = "".join(SYMBOLS[k] for k in (*given, batch.targets[steps - 1, n]))
        legal = np.array([[symbol in each for symbol in SYMBOLS] for each in followers(text)])
        found = outputs[:steps, n]
        right += bool(np.all(np.where(legal, found, np.inf).min(-1) > np.where(legal, -np.inf, found).max(-1)))
    return float(right), outputs.shape[1]


SOURCE = "Hochreiter and Schmidhuber, 1997"
COMMON: dict[str, Any] = {
    "what": "embedded Reber grammar",
    "metric": "strings right",
    "inputs": len(SYMBOLS),
    "outputs": len(SYMBOLS),
    "loss": "classes",
    "last": False,
    "data": data,
    "batches": batches,
    "score": strings_right,
    "higher": True,
    "steps": 2500,
    "evaluate_every": 50,
    "rate": 2e-2,
    "budget": {"N": N},
}
TASKS = (
    Task(
        name="LSTM",
        layer="LSTM",
        hidden=12,
        initialise=remember(),
        published=(
            {
                "figure": "all right in 97 to 100 % of trials",
                "model": "LSTM of 3 or 4 blocks, after 8,440 to 39,740 strings",
                "source": SOURCE,
            },
        ),
        **COMMON,
    ),
    Task(
        name="RNN",
        layer="RNN",
        hidden=15,
        published=(
            {
                "figure": "all right in no trial",
                "model": "Elman's network of 15 units, trained without backpropagation through time, 200,000 strings",
                "source": SOURCE,
            },
        ),
        **COMMON,
    ),
)
