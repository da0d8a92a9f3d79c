"""Many to many: words in, one tag per word out, which marks the names of cities.

    we   flew  to  New     York    with  Paris  Lopez         "Paris" may be a person
    O    O     O   B-CITY  I-CITY  O     O      O

The sentences are generated. Some names belong to both cities and people, and all cities in the test are unknown words,
so only the context decides. It often follows the name ("Paris has a harbour", "Paris has a cat"): a layer that reads
from left to right cannot know, one that reads in both directions can. Expect an F1 score for complete city names of
about 0.7 for the first and above 0.98 for the second. Takes half a minute:

    python examples/many_to_many.py
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import Vocabulary, pad_sequences, unpad_sequences
from tinygrad_seq.metrics import score_spans
from tinygrad_seq.nn import functional

SEEN = ["Toronto", "Detroit", "New York", "Los Angeles", "Cape Town", "Salt Lake City", "Paris", "Austin", "Sydney"]
UNSEEN = ["Lima", "Kyoto", "Buenos Aires", "Hong Kong", "Rio de Janeiro", "Cairo", "Osaka", "Addis Ababa", "Quito"]
PEOPLE = ["Paris", "Austin", "Sydney", "Florence", "Victoria", "Lincoln", "Maria", "Ada", "Alan", "Paris Lopez"]
ABOUT_CITIES = [
    "@ is full of people", "@ was founded long ago", "we flew from @ to @", "@ has a harbour", "# was born in @",
    "the trains to @ are late", "@ lies at the sea", "they moved to @ last year", "# moved from @ to @",
]  # fmt: skip
ABOUT_PEOPLE = [
    "# is full of joy", "# was tired", "# said that # slept", "we had tea with #", "# ate an apple", "they met #",
    "# has a cat", "# and # wrote a letter", "a letter to # is lost", "the cat which # liked was full",
]  # fmt: skip
TAGS = ["O", "B-CITY", "I-CITY"]


def sentence(cities: list[str], unknown: float, generator: np.random.Generator) -> tuple[list[str], list[int]]:
    """Return the words and tags of one to three clauses; with probability `unknown` a name is hidden."""
    clauses = generator.choice(ABOUT_CITIES + ABOUT_PEOPLE, generator.integers(1, 4))
    words: list[str] = []
    tags: list[int] = []
    for word in " while ".join(clauses).split():
        name = str(generator.choice({"@": cities, "#": PEOPLE}.get(word, [word]))).split()
        hide = word in "@#" and generator.random() < unknown
        words += ["<UNK>"] * len(name) if hide else name
        tags += [1, *[2] * (len(name) - 1)] if word == "@" else [0] * len(name)
    return words, tags


class Tagger(ts.nn.Module):
    """Embedding, LSTM and readout: the logits (T, N, 3) of the tags of each word."""

    def __init__(self, vocabulary_size: int, bidirectional: bool) -> None:
        self.embed = ts.nn.Embedding(vocabulary_size, 32)
        self.lstm = ts.nn.LSTM(32, 32, bidirectional=bidirectional)
        self.out = ts.nn.Linear(64 if bidirectional else 32, len(TAGS))

    def forward(self, words: np.ndarray, lengths: np.ndarray) -> ts.Tensor:
        ys, _ = self.lstm(self.embed(words), lengths=lengths)
        return self.out(ys)


def learn(bidirectional: bool, steps: int) -> tuple[float, str]:
    """Return the F1 score in new sentences with new cities, and one sentence with its predicted tags."""
    ts.manual_seed(0)
    generator = np.random.default_rng(0)  # draws the sentences: the same for both layers
    names = [word for name in SEEN + PEOPLE for word in name.split()]
    vocabulary = Vocabulary.build([names, *map(str.split, ABOUT_CITIES + ABOUT_PEOPLE), ["while"]], level="word")

    def batch(pairs: list[tuple[list[str], list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs, lengths = pad_sequences([vocabulary.encode(words) for words, _ in pairs])
        return inputs, pad_sequences([tags for _, tags in pairs])[0], lengths

    model = Tagger(len(vocabulary), bidirectional)
    adam = ts.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        words, tags, lengths = batch([sentence(SEEN, 0.3, generator) for _ in range(32)])
        adam.zero_grad()
        functional.sequence_cross_entropy(model(words, lengths), tags, lengths).backward()
        adam.step()

    test = [sentence(UNSEEN, 0.0, generator) for _ in range(500)]
    words, tags, lengths = batch(test)
    with ts.no_grad():
        found = model(words, lengths).argmax(axis=-1)
    named = [[[TAGS[tag] for tag in row] for row in unpad_sequences(each, lengths)] for each in (found, tags)]
    shown = [f"{word}/{tag}" if tag != "O" else word for word, tag in zip(test[0][0], named[0][0], strict=True)]
    return score_spans(*named).micro.f1, " ".join(shown)


def main(short: bool = False) -> dict[str, float]:
    """Return the F1 score of a layer that reads left to right, and of one that reads both ways."""
    results = {}
    for name, bidirectional in (("left to right", False), ("both ways", True)):
        results[name], shown = learn(bidirectional, 20 if short else 600)
        print(f"{name}: F1 {results[name]:.3f}   {shown}", flush=True)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
