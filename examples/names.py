"""Many to many: reads invented names of dinosaurs letter by letter, and then invents names of its own.

This is an exercise of the course, with the cells of its notes. The training names are made of parts: "ptero" + "mi" +
"titan". The networks see only the letters. Each letter is drawn from their probabilities and is their next input. The
gradient is clipped, number by number. Expect more than 90 % of the sampled names to be made of
the same parts for each cell, and a fifth to a third of them to be new. Takes half a minute:

    python examples/names.py
"""

from __future__ import annotations

import argparse
import re

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import Vocabulary, pad_sequences

FIRST = (
    "aero alti brachi cerato dracon eu galli giga hadro icthy kento lopho micro nano ovi ptero rapto stego tara veloci"
)
MIDDLE = "no ro lo ti to mi"
LAST = "saurus raptor don nyx mimus venator titan ops"
CELLS = {"RNN": ts.nn.NotesRNNCell, "GRU": ts.nn.NotesGRUCell, "LSTM": ts.nn.NotesLSTMCell}
HIDDEN, CLIP, LONGEST = 64, 0.05, 30
VALID = re.compile(f"({'|'.join(FIRST.split())})({'|'.join(MIDDLE.split())})?({'|'.join(LAST.split())})")


def make(generator: np.random.Generator) -> str:
    """Return a name."""
    return "".join(str(generator.choice(parts)) for parts in (FIRST.split(), ["", *MIDDLE.split()], LAST.split()))


class Inventor(ts.nn.Module):
    """A recurrent network that reads one-hot letters and predicts the next one."""

    def __init__(self, cell: type[ts.nn.Cell], letters: int) -> None:
        self.letters = letters
        self.recurrent = ts.nn.Recurrent(cell(letters, HIDDEN))  # type: ignore[call-arg]
        self.out = ts.nn.Linear(HIDDEN, letters)

    def forward(self, read: np.ndarray) -> ts.Tensor:
        """Return the logits (T, N, V) of the letters that follow those read (T, N)."""
        a, _ = self.recurrent(ts.one_hot(read, self.letters))
        return self.out(a)

    def step(self, read: ts.Tensor, state: object) -> tuple[ts.Tensor, object]:
        """Return the logits (N, V) after one more letter (N,), and the new state."""
        a, state = self.recurrent.cells[0](ts.one_hot(read, self.letters), state)
        return self.out(a), state


def learn(model: Inventor, texts: list[np.ndarray], start: int, steps: int, generator: np.random.Generator) -> float:
    """Train with clipped gradients; return the last loss per letter."""
    adam = ts.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        target, lengths = pad_sequences([texts[row] for row in generator.integers(0, len(texts), 32)])
        read = np.concatenate([np.full((1, 32), start), target[:-1]])
        loss = ts.nn.functional.sequence_cross_entropy(model(read), target, lengths=lengths)
        adam.zero_grad()
        loss.backward()
        ts.optim.clip_grad_value_(model.parameters(), CLIP)
        adam.step()
    return loss.item()


def main(short: bool = False) -> dict[str, float]:
    """Return the loss per letter of each cell."""
    generator = ts.manual_seed(0)
    names = sorted({make(generator) for _ in range(400)})
    vocabulary = Vocabulary.build(names)
    texts = [vocabulary.encode(name, eos=True) for name in names]
    losses = {}
    for kind, cell in CELLS.items():
        ts.manual_seed(1)
        model = Inventor(cell, len(vocabulary))
        losses[kind] = learn(model, texts, vocabulary.pad, 40 if short else 600, np.random.default_rng(0))
        state = model.recurrent.cells[0].initial_state(200)
        with ts.no_grad(), ts.disable_compile():  # single steps: not worth compiling
            found = ts.nn.sample_sequences(
                model.step, state, start=vocabulary.pad, eos=vocabulary.eos, max_length=LONGEST
            )
        invented = [vocabulary.decode(row, skip_special=True) for row in found.tokens]
        valid = [name for name in invented if VALID.fullmatch(name)]
        new = sorted({*valid} - {*names})
        print(
            f"{kind}: loss {losses[kind]:.2f} per letter, {len(valid) / 200:.0%} of 200 names are made of the right "
            f"parts, {len(new)} are new: {', '.join(new[:5])}",
            flush=True,
        )
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
