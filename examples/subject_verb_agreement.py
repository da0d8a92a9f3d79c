"""The cat, which already ate, was full; the cats, which already ate, were full: layers that remember the subject.

An experiment on vanishing gradients. The script generates sentences such as

    the cat , which saw the dogs near the birds , ->  was

with longer and longer clauses, whose nouns distract from the subject. Each layer reads up to the verb and chooses
between "was" and "were". Expect all layers to be right if there is no clause. With a clause, the simple RNN guesses
(0.5), while GRU and LSTM are right (1.0), also for clauses longer than those in training. Takes half a minute:

    python examples/subject_verb_agreement.py
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.metrics import accuracy

NOUNS = ["cat", "dog", "bird", "child", "teacher", "king", "horse", "fish"]
PLURALS = [noun + "s" for noun in NOUNS]
VERBS, PREPOSITIONS = ["ate", "saw", "chased", "liked"], ["near", "behind", "with"]
WORDS = ["the", ",", "which", *NOUNS, *PLURALS, *VERBS, *PREPOSITIONS]
HIDDEN, SHORTEST, LONGEST = 32, 2, 20


def sentences(size: int, nouns_between: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the words before the verb (T, N), and the verb (N,): 0 for "was", 1 for "were"."""

    def draw(*choice: str) -> np.ndarray:
        return generator.choice([WORDS.index(word) for word in choice], size)

    words = [draw("the"), draw(*NOUNS, *PLURALS)]
    if nouns_between:
        words += [draw(","), draw("which"), draw(*VERBS), draw("the"), draw(*NOUNS, *PLURALS)]
        for _ in range(nouns_between - 1):
            words += [draw(*PREPOSITIONS), draw("the"), draw(*NOUNS, *PLURALS)]
        words += [draw(",")]
    return np.stack(words), (words[1] >= WORDS.index(PLURALS[0])).astype(int)


class Reader(ts.nn.Module):
    """Embedding, recurrent layer and readout: the logits (N, 2) of the two verbs after the last word."""

    def __init__(self, layer: ts.nn.RNN | ts.nn.GRU | ts.nn.LSTM) -> None:
        self.embed, self.layer, self.out = ts.nn.Embedding(len(WORDS), 16), layer, ts.nn.Linear(HIDDEN, 2)

    def forward(self, words: np.ndarray) -> ts.Tensor:
        ys, _ = self.layer(self.embed(words))
        return self.out(ys[-1])


def learn(model: Reader, steps: int, generator: np.random.Generator) -> None:
    """Train on sentences without a clause and with clauses of `SHORTEST` to `LONGEST` nouns."""
    adam = ts.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        nouns_between = int(generator.integers(SHORTEST - 1, LONGEST + 1))
        words, verbs = sentences(64, nouns_between if nouns_between >= SHORTEST else 0, generator)
        adam.zero_grad()
        ts.cross_entropy(model(words), verbs).backward()
        ts.optim.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()


def main(short: bool = False) -> dict[str, dict[int, float]]:
    """Return the accuracy of each layer by the number of words between subject and verb."""
    results: dict[str, dict[int, float]] = {}
    for name, kind in {"RNN": ts.nn.RNN, "GRU": ts.nn.GRU, "LSTM": ts.nn.LSTM}.items():
        generator = ts.manual_seed(0)
        model = Reader(kind(16, HIDDEN))
        if name == "LSTM":
            with ts.no_grad():
                model.layer.bias_hh_l0[HIDDEN : 2 * HIDDEN] = 1.0  # the forget gate starts open
        learn(model, 100 if short else 1500, generator)
        results[name] = {}
        with ts.no_grad():
            for nouns_between in (0, 2, 4, 8, 12, 20, 30):
                words, verbs = sentences(500, nouns_between, generator)
                results[name][len(words) - 2] = accuracy(model(words), verbs)
        if name == "RNN":
            print("words between" + "".join(f"{distance:7d}" for distance in results[name]))
        print(f"{name:13s}" + "".join(f"{share:7.2f}" for share in results[name].values()), flush=True)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
