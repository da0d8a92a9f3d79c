"""Many to many without an alignment: hears letters as tones and writes them, trained by CTC.

Each letter is a tone of any length in noise, sometimes with a pause after it. The script makes the sounds, and their
spectrograms with NumPy's FFT. A transcript such as "cab" does not say when a letter was heard, so the loss sums over
all alignments of the letters with the frames (connectionist temporal classification; Graves et al., 2006). The network
predicts a letter or a blank for each frame. Expect less than 1 % wrong letters, and fewer by prefix beam search than
by greedy search. Takes half a minute:

    python examples/ctc.py
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import pad_sequences
from tinygrad_seq.metrics import character_error_rate

RATE, FRAME, HOP, FEATURES = 4000, 128, 64, 48  # frames of 32 ms, every 16 ms; frequencies up to 1,500 Hz
LETTERS = "_abcdefgh"  # class 0 is the blank
PITCHES = dict(zip(LETTERS[1:], 220 * 2 ** (np.arange(8) / 4), strict=True))  # three semitones from one to the next
NOISE = 0.4


def tone(pitch: float, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """Return a tone that fades in and out, a little out of tune and not always equally loud."""
    time = np.arange(int(RATE * seconds)) / RATE
    wave = np.sin(2 * np.pi * pitch * generator.uniform(0.98, 1.02) * time)
    return generator.uniform(0.5, 1.0) * wave * np.hanning(len(time))


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """Return the logarithm of the strength of each frequency in each frame, (T, FEATURES)."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP] * np.hanning(FRAME)
    return np.log(np.abs(np.fft.rfft(frames)) + 0.1)[:, :FEATURES].astype(np.float32)


def say(text: str, generator: np.random.Generator) -> np.ndarray:
    """Return the spectrogram of a text."""
    parts = []
    for letter in text:
        parts.append(tone(PITCHES[letter], generator.uniform(0.08, 0.2), generator))
        parts.append(np.zeros(int(RATE * generator.uniform(0, 0.06))))
    sound = np.concatenate(parts)
    return spectrogram(sound + NOISE * generator.normal(size=len(sound)))


def draw(count: int, generator: np.random.Generator) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts of two to eight letters, their spectrograms (T, N, FEATURES) and numbers of frames (N,)."""
    texts = ["".join(generator.choice(list(PITCHES), generator.integers(2, 9))) for _ in range(count)]
    sounds, frames = pad_sequences([say(text, generator) for text in texts])
    return texts, sounds, frames


class Listener(ts.nn.Module):
    """A GRU in both directions that predicts a letter or a blank for each frame: log-probabilities (T, N, C)."""

    def __init__(self) -> None:
        self.gru, self.out = ts.nn.GRU(FEATURES, 48, bidirectional=True), ts.nn.Linear(2 * 48, len(LETTERS))

    def forward(self, sounds: np.ndarray, frames: np.ndarray) -> ts.Tensor:
        ys, _ = self.gru(sounds, lengths=frames)
        return ts.log_softmax(self.out(ys))


def main(short: bool = False) -> dict[str, float]:
    """Return the share of wrong letters of both searches."""
    generator = ts.manual_seed(0)
    model = Listener()
    adam = ts.optim.Adam(model.parameters(), lr=1e-2)
    ctc_loss = ts.nn.CTCLoss(blank=0)
    for step in range(1, (80 if short else 400) + 1):
        texts, sounds, frames = draw(16, generator)
        targets, counts = pad_sequences([np.array([LETTERS.index(letter) for letter in text]) for text in texts])
        loss = ctc_loss(model(sounds, frames), targets.T, frames, counts)
        adam.zero_grad()
        loss.backward()
        adam.step(max_norm=1.0)
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f} per letter", flush=True)

    texts, sounds, frames = draw(300, generator)
    with ts.no_grad():
        log_probs = model(sounds, frames)
    greedy = ts.nn.ctc_greedy_search(log_probs, frames)
    beam = ts.nn.ctc_beam_search(log_probs, frames, beam_size=8)
    wrong = {}
    for name, tokens, lengths in [
        ("greedy", greedy.tokens, greedy.lengths),
        ("beam", beam.tokens[:, 0], beam.lengths[:, 0]),
    ]:
        written = ["".join(LETTERS[token] for token in row[:n]) for row, n in zip(tokens, lengths, strict=True)]
        wrong[name] = character_error_rate(written, texts)
        print(f"{name} search: {wrong[name]:.2%} of the letters wrong")
        for text, one in list(zip(texts, written, strict=True))[:3]:
            print(f"    said {text}, written {one}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
