"""Training in bfloat16 on real text: ``python -m tests.soak.precision`` compares 600 steps with those in float32.

Both runs see the same windows from the same weights. It prints the mean loss of the last 50 steps, and the cross
entropy on held-out text of both models and of the quantised copies of the float32 one; what differs from float32 by
more than 1e-3 nats is an error.
"""

from __future__ import annotations

import itertools

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import load_corpus
from tinygrad_seq.train import LanguageModel, TrainingSteps, evaluate

STEPS, LAST = 600, 50
MOST = 1e-3
"""How far a loss may be from that of float32."""


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
    models, losses = {}, {}
    for precision in ("float32", "bfloat16"):
        models[precision], losses[precision] = train(tokens[:cut], len(index), precision)
        print(f"trained in {precision}: loss of the last {LAST} steps {losses[precision]:.5f}")  # noqa: T201
    full = models["float32"]
    models |= {f"quantised to {precision}": ts.quantize(full, precision) for precision in ("int8", "bfloat16")}
    models["calibrated int8"] = ts.quantize(full, "int8", [tokens[:3200].reshape(32, 100).T])
    entropies = {name: evaluate(model, tokens[cut:], limit=50_000) for name, model in models.items()}
    for name, entropy in entropies.items():
        print(f"{name}: cross entropy {entropy:.5f}")  # noqa: T201
    far = [
        name for found in (losses, entropies) for name, value in found.items() if abs(value - found["float32"]) > MOST
    ]
    if far:
        raise SystemExit(f"expected at most {MOST} nats from float32, got more: {'; '.join(far)}.")


if __name__ == "__main__":
    main()
