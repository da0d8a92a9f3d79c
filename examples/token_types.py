"""Many to many: the token type of each character in a line of Python: name, keyword, number, string or comment.

The lines come from the standard library and the labels from `tokenize`. Lines within a multi-line string are left out,
because a single line does not show that it is inside a string. Read from left to right, `in` may still become `index`;
with a second direction the layer knows. Expect 99.1 % of the characters in new lines to be right in one direction, and
99.9 % in both; half of all characters belong to names. Takes one minute:

    python examples/token_types.py
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import keyword
import tokenize

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import Batches, Vocabulary, pad_sequences
from tinygrad_seq.metrics import accuracy

MODULES = ["argparse", "bisect", "calendar", "csv", "difflib", "fractions", "heapq", "random", "statistics", "textwrap"]
TYPES = ["space", "operator", "name", "keyword", "number", "string", "comment"]
OF_TOKEN = {tokenize.OP: 1, tokenize.NAME: 2, tokenize.NUMBER: 4, tokenize.STRING: 5, tokenize.COMMENT: 6}
LONGEST = 80
PADDING = -1


def labelled_lines(source: str) -> list[tuple[str, list[int]]]:
    """Return the lines of a program with the type of each character."""
    lines = source.splitlines()
    types = [[0] * len(line) for line in lines]
    apart = [bool(line.strip()) and len(line) <= LONGEST for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (last, end) = token.start, token.end
        if row != last:
            apart[row - 1 : last] = [False] * (last - row + 1)
        elif token.type in OF_TOKEN:
            kind = 3 if keyword.iskeyword(token.string) else OF_TOKEN[token.type]
            types[row - 1][start:end] = [kind] * (end - start)
    return [(line, found) for line, found, alone in zip(lines, types, apart, strict=True) if alone]


class Tagger(ts.nn.Module):
    """Embedding, GRU in one or two directions, and readout: the logits (T, N, V) of each character's type."""

    def __init__(self, vocabulary_size: int, both_ways: bool) -> None:
        self.embed = ts.nn.Embedding(vocabulary_size, 32)
        self.gru = ts.nn.GRU(32, 64, bidirectional=both_ways)
        self.out = ts.nn.Linear(64 * (1 + both_ways), len(TYPES))

    def forward(self, characters: np.ndarray, lengths: np.ndarray) -> ts.Tensor:
        ys, _ = self.gru(self.embed(characters), lengths=lengths)
        return self.out(ys)


def mean_loss(logits: ts.Tensor, types: np.ndarray) -> tuple[ts.Tensor, int]:
    """Return the mean loss of the characters of a batch, and their number."""
    return ts.cross_entropy(logits, types, ignore_index=PADDING), int((types != PADDING).sum())


def show(line: str, guesses: np.ndarray) -> None:
    """Print a line and, below each character, the first letter of its type."""
    print(f"    {line}")
    print("    " + "".join(" " if guess == 0 else TYPES[guess][0] for guess in guesses[: len(line)]))


def main(short: bool = False) -> dict[str, float]:
    """Return the accuracy on the characters of new lines, for one direction and for both."""
    generator = np.random.default_rng(0)
    pairs = [pair for name in MODULES for pair in labelled_lines(inspect.getsource(importlib.import_module(name)))]
    pairs = [pairs[i] for i in generator.permutation(len(pairs))]
    vocabulary = Vocabulary.build(line for line, _ in pairs)
    texts, types = [vocabulary.encode(line) for line, _ in pairs], [np.array(found) for _, found in pairs]
    held_out = 300
    inputs, lengths = pad_sequences(texts[:held_out])
    targets, _ = pad_sequences(types[:held_out])
    texts, types = texts[held_out:], types[held_out:]
    if short:
        texts, types = texts[:300], types[:300]

    results = {}
    for name in ("left to right", "both ways"):
        ts.manual_seed(0)
        model = Tagger(len(vocabulary), name == "both ways")
        ts.fit(
            model,
            Batches(texts, types, batch_size=32, target_value=PADDING),
            mean_loss,
            optimizer=ts.optim.Adam(model.parameters(), lr=5e-3),
            epochs=1 if short else 3,
        )
        with ts.no_grad():
            logits = model(inputs, lengths)
        results[name] = accuracy(logits, targets, lengths=lengths)
        print(f"{name}: {results[name]:.1%} of {lengths.sum()} characters right", flush=True)
        for n in np.flatnonzero(lengths > 50)[:2]:
            show(pairs[n][0], logits.numpy()[:, n].argmax(axis=-1))
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
