"""One to many: a key goes in, a melody comes out note by note, and a WAV file is written.

The training melodies follow rules: eight bars of four notes over the chords of Pachelbel's Canon. The first note of a
bar is the root of its chord. The others lie in the octave above, without a leap larger than a third, and the last note
is the tonic. The network does not know the rules. It gets the key once, as its initial state, and then only its own
last note. Expect at least 98 % of its notes to be in the key, of its roots to be right, and of its melodies to end on
the tonic. Takes half a minute:

    python examples/one_to_many.py --out melody.wav
"""

from __future__ import annotations

import argparse
import tempfile
import wave
from pathlib import Path

import numpy as np

import tinygrad_seq as ts

MAJOR, MINOR = [0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10]  # semitones above the tonic
KEYS = [(tonic, scale) for tonic in range(12) for scale in (MAJOR, MINOR)]
ROOTS = [0, 4, 5, 2, 3, 0, 3, 4]  # the chord of each bar: degrees of the scale
BEATS, START, NOTES, RATE = 4, 0, 40, 22_050  # note 0 is "start", the others are semitones from C3 up


def compose(key: int, generator: np.random.Generator) -> list[int]:
    """Return a melody (32,) that follows the rules."""
    tonic, scale = KEYS[key]
    degrees, upper = [], int(generator.integers(7, 14))
    for root in ROOTS:
        degrees.append(root)
        for step in generator.choice([-2, -1, 1, 2], BEATS - 1):
            upper = min(max(upper + int(step), 7), 13)
            degrees.append(upper)
    degrees[-1] = 7
    return [1 + tonic + scale[degree % 7] + 12 * (degree // 7) for degree in degrees]


def check(key: int, melody: np.ndarray) -> list[float]:
    """Return the shares of notes in the key and of right roots, and whether the melody ends on the tonic."""
    tonic, scale = KEYS[key]
    above = melody - 1 - tonic
    roots = [scale[root] for root in ROOTS]
    return [np.isin(above % 12, scale).mean(), (above[::BEATS] == roots).mean(), above[-1] == 12]


class Composer(ts.nn.Module):
    """A GRU with the key as its initial state, which reads each note and predicts the next one."""

    def __init__(self) -> None:
        self.key, self.note = ts.nn.Embedding(len(KEYS), 128), ts.nn.Embedding(NOTES, 32)
        self.gru, self.out = ts.nn.GRU(32, 128), ts.nn.Linear(128, NOTES)

    def forward(self, notes: np.ndarray, state: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        ys, state = self.gru(self.note(notes), state)
        return self.out(ys), state

    def play(self, keys: np.ndarray) -> np.ndarray:
        """Return one melody per key, (32, N), sampled at temperature 0.7."""
        notes, state, melody = np.full((1, len(keys)), START), self.key(keys)[None], []
        for _ in range(BEATS * len(ROOTS)):
            logits, state = self(notes, state)
            notes = ts.categorical(logits, ts.rand(1, len(keys)), temperature=0.7).numpy()
            melody.append(notes[0])
        return np.stack(melody)


def save(melody: np.ndarray, path: Path) -> None:
    """Write notes (T,) as a WAV file: a quarter of a second each, with two overtones, fading out."""
    time = np.arange(RATE // 4) / RATE
    pitch = 130.81 * 2 ** ((melody[:, None] - 1) / 12)
    sound = sum(np.sin(2 * np.pi * k * pitch * time) / k**2 for k in (1, 2, 3)) * np.exp(-6 * time)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound.ravel() * 20_000).astype("<i2").tobytes())


def main(short: bool = False, out: Path | None = None) -> list[float]:
    """Return the mean of `check` over 480 generated melodies; write the first one to `out`."""
    generator = ts.manual_seed(0)
    model = Composer()
    adam = ts.optim.Adam(model.parameters(), lr=5e-3)
    steps = 20 if short else 2000
    schedule = ts.optim.CosineAnnealingLR(adam, steps)
    for step in range(1, steps + 1):
        keys = generator.integers(len(KEYS), size=32)
        melodies = np.array([[START, *compose(key, generator)] for key in keys]).T
        logits, _ = model(melodies[:-1], model.key(keys)[None])
        loss = ts.cross_entropy(logits, melodies[1:])
        adam.zero_grad()
        loss.backward()
        ts.optim.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f} per note", flush=True)

    keys = np.arange(480) % len(KEYS)
    with ts.no_grad():
        played = model.play(keys)
    shares = np.mean([check(int(key), melody) for key, melody in zip(keys, played.T, strict=True)], axis=0).tolist()
    print("notes in the key {:.1%}, right roots {:.1%}, tonic at the end {:.1%}".format(*shares))
    out = out or Path(tempfile.mkdtemp()) / "melody.wav"
    save(played[:, 0], out)
    print(f"a melody in C major: {out}")
    return shares


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    parser.add_argument("--out", type=Path, help="the WAV file; default: in a temporary folder")
    arguments = parser.parse_args()
    main(arguments.short, arguments.out)
