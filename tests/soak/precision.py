"""Training in bfloat16 on real text: ``python -m tests.soak.precision`` compares 600 steps with those in float32.

Both runs see the same windows from the same weights. It prints the mean loss of the last 50 steps, and the cross
entropy on held-out text of both models and of the quantised copies of the float32 one.
"""

from __future__ import annotations

import itertools

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import load_corpus
from tinygrad_seq.train import LanguageModel, TrainingSteps, evaluate

STEPS, LAST = 600, 50


def train(tokens: np.ndarray, size: int, precision: str) -> tuple[LanguageModel, float]:
    """Return the model, and the mean loss of the last steps."""
    ts.manual_seed(0)
    model = LanguageModel(size, embedding_size=64, hidden_size=128, cell="lstm")
    adam = ts.optim.Adam(model.parameters(), lr=3e-3)
    windows = ts.data.Windows(tokens, batch_size=32, window=50)
    steps = TrainingSteps(model, windows, adam, clip_norm=5.0, precision=precision)
    losses = [step.loss for step in itertools.islice(iter(steps), STEPS)]
    return model, float(np.mean(losses[-LAST:]))


def main() -> None:
    """Run the comparison."""
    text = load_corpus("pydoc").read()
    index = {letter: number for number, letter in enumerate(sorted(set(text)))}
    tokens = np.array([index[letter] for letter in text])
    cut = len(tokens) * 9 // 10
    models = {}
    for precision in ("float32", "bfloat16"):
        models[precision], loss = train(tokens[:cut], len(index), precision)
        print(f"trained in {precision}: loss of the last {LAST} steps {loss:.4f}")  # noqa: T201
    models |= {f"quantised to {p}": ts.quantize(models["float32"], p) for p in ("int8", "bfloat16")}
    for name, model in models.items():
        print(f"{name}: cross entropy {evaluate(model, tokens[cut:], limit=50_000):.5f}")  # noqa: T201


if __name__ == "__main__":
    main()
