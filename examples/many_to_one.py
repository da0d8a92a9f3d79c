"""Many to one: reads the name of a Unicode character, letter by letter, and predicts its script.

The names come with Python: "GREEK SMALL LETTER OMEGA WITH DASIA", "YI SYLLABLE NBYX". The first word, the script, is
the class; the layer reads the rest. Names of different lengths are padded to a batch. `lengths` tells the layer where
each one ends, and the layer returns the state at that step. Expect about 90 % of new names to be right; always
answering with the same script would give 10 %. Some names, such as "SYLLABLE TA", exist in several scripts. Takes half
a minute:

    python examples/many_to_one.py
"""

from __future__ import annotations

import argparse
import sys
import unicodedata

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import Batches, Vocabulary
from tinygrad_seq.metrics import accuracy

SCRIPTS = [
    "ARABIC",
    "CANADIAN",
    "CUNEIFORM",
    "CYRILLIC",
    "ETHIOPIC",
    "GREEK",
    "HANGUL",
    "LATIN",
    "TIBETAN",
    "VAI",
    "YI",
]
MOST = 400  # the highest number of names per script


def names(generator: np.random.Generator) -> list[tuple[str, int]]:
    """Return shuffled pairs of a name without its first word and the number of the script."""
    found: dict[str, set[str]] = {script: set() for script in SCRIPTS}
    for code in range(sys.maxunicode + 1):
        script, _, rest = unicodedata.name(chr(code), "").partition(" ")
        if script in found and rest:
            found[script].add(rest)
    pairs = []
    for number, script in enumerate(SCRIPTS):
        pairs += [(name, number) for name in generator.permutation(sorted(found[script]))[:MOST]]
    return [pairs[i] for i in generator.permutation(len(pairs))]


class Reader(ts.nn.Module):
    """Embedding, GRU and readout: the logits (N, V) of the scripts after the last character."""

    def __init__(self, vocabulary_size: int) -> None:
        self.embed, self.gru = ts.nn.Embedding(vocabulary_size, 32), ts.nn.GRU(32, 128)
        self.out = ts.nn.Linear(128, len(SCRIPTS))

    def forward(self, characters: np.ndarray, lengths: np.ndarray) -> ts.Tensor:
        _, h = self.gru(self.embed(characters), lengths=lengths)
        return self.out(h[-1])


def main(short: bool = False) -> float:
    """Return the accuracy on held-out names."""
    generator = ts.manual_seed(0)
    pairs = names(generator)
    vocabulary = Vocabulary.build(name for name, _ in pairs)
    texts, scripts = [vocabulary.encode(name) for name, _ in pairs], np.array([script for _, script in pairs])
    held_out = len(texts) // 5
    test, test_scripts = texts[:held_out], scripts[:held_out]
    texts, scripts = texts[held_out:], scripts[held_out:]
    if short:
        texts = texts[:300]

    model = Reader(len(vocabulary))
    new_names = Batches(test, test_scripts, len(test), shuffle=False, max_padding=0.99)  # one batch
    history = ts.fit(
        model,
        Batches(texts, scripts[: len(texts)], batch_size=32),
        ts.cross_entropy,
        optimizer=ts.optim.Adam(model.parameters(), lr=3e-3),
        epochs=2 if short else 12,
        clip_norm=1.0,
        validation=new_names,
        metrics={"accuracy": accuracy},
        restore_best=False,
    )
    share: float = history["validation_accuracy"][-1]
    print(f"right on {share:.1%} of {held_out} new names")

    [((inputs, lengths), answers)] = new_names
    with ts.no_grad():
        guesses = model(inputs, lengths).numpy().argmax(axis=-1)
    for n in np.flatnonzero(guesses != answers)[:5]:
        name = vocabulary.decode(inputs[: lengths[n], n])
        print(f"  {name}: predicted {SCRIPTS[guesses[n]]}, correct is {SCRIPTS[answers[n]]}")
    return share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
