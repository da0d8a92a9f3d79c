"""Many to many with different lengths: an encoder reads a date as people write it, a decoder writes it in ISO format.

    Saturday May 9 2015  ->  2015-05-09        10.9.70  ->  1970-09-10        23 FEBRUARY 09  ->  2009-02-23

The dates come from strftime. Without attention, the decoder knows only the last state of the encoder. With attention it
looks at the source at every step; the script prints the character that it looks at most. After the same number of
steps, expect more than 95 % of the dates to be right with attention, and less than 20 % without. Takes half a minute:

    python examples/encoder_decoder.py
"""

from __future__ import annotations

import argparse
from datetime import date

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import Vocabulary, pad_sequences
from tinygrad_seq.metrics import character_error_rate

FORMATS = [
    "%d %B %Y",
    "%d %b %Y",
    "%B %d, %Y",
    "%A %B %d %Y",
    "%a, %d %b %Y",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d.%m.%y",
    "%d %B %y",
]
FIRST, LAST = date(1970, 1, 1).toordinal(), date(2068, 12, 31).toordinal()  # two digits determine the year
VOCABULARY = Vocabulary(sorted({*"0123456789-., /", *"ADFJMNOSTW", *"abcdefghijklmnopqrstuvwxyz"}))
EOS, EMBEDDING, HIDDEN = VOCABULARY.eos, 32, 128


def dates(count: int, generator: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return dates as people write them, and in ISO format."""
    days = [date.fromordinal(int(day)) for day in generator.integers(FIRST, LAST + 1, count)]
    written = [day.strftime(str(generator.choice(FORMATS))) for day in days]
    return [text.lower() if generator.random() < 0.2 else text for text in written], [day.isoformat() for day in days]


def encode(texts: list[str], eos: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return characters (T, N) and lengths (N,)."""
    return pad_sequences([VOCABULARY.encode(text, eos=eos, strict=True) for text in texts])


def build(attention: bool) -> ts.nn.Seq2Seq:
    """Return a model with a GRU that reads and a GRU that writes."""
    nn = ts.nn
    if attention:
        reads = nn.AdditiveAttention(query_size=HIDDEN, memory_size=HIDDEN)
        encoder, size = nn.GRU(EMBEDDING, HIDDEN // 2, bidirectional=True), 2 * HIDDEN
        cell: nn.Cell = nn.AttentionCell(nn.GRUCell(EMBEDDING + HIDDEN, HIDDEN), reads)
    else:
        encoder, cell, size = nn.GRU(EMBEDDING, HIDDEN), nn.GRUCell(EMBEDDING, HIDDEN), HIDDEN
    return nn.Seq2Seq(
        encoder,
        cell,
        target_embedding=nn.Embedding(len(VOCABULARY), EMBEDDING),
        readout=nn.Linear(size, len(VOCABULARY)),
        source_embedding=nn.Embedding(len(VOCABULARY), EMBEDDING),
        bridge=lambda state: None if attention else state[0],
    )


def learn(model: ts.nn.Seq2Seq, steps: int, generator: np.random.Generator) -> None:
    """Train with teacher forcing: the decoder reads the correct characters and predicts the next one."""
    adam = ts.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        texts, isos = dates(64, generator)
        (source, lengths), (target, _) = encode(texts), encode(isos, eos=True)
        target = np.concatenate([np.full((1, 64), EOS), target])  # starts with <EOS>
        adam.zero_grad()
        ts.cross_entropy(model(source, target[:-1], lengths), target[1:]).backward()
        ts.optim.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()


def gaze(model: ts.nn.Seq2Seq, text: str, written: str) -> str:
    """Return, for each character written, the source character with the highest attention weight."""
    state, memory = model.begin(*encode([text]))
    assert isinstance(model.cell, ts.nn.AttentionCell)
    assert memory is not None
    read = np.array([[EOS, *VOCABULARY.encode(written)]]).T
    with ts.disable_compile():  # runs once: not worth compiling
        inspection = ts.nn.Recurrent(model.cell.over(memory)).inspect(model.target_embedding(read), state)
    return "".join(text[position] for position in inspection["attention_weights"][: len(written), 0].argmax(axis=-1))


def main(short: bool = False) -> dict[str, float]:
    """Return the character error rate without and with attention."""
    wrong = {}
    for name in ("without attention", "with attention"):
        ts.manual_seed(0)
        generator = np.random.default_rng(0)  # draws the dates: the same for both models
        model = build(name == "with attention")
        learn(model, 40 if short else 350, generator)
        texts, isos = dates(300, generator)
        with ts.no_grad():
            state = model.begin(*encode(texts))
            found = ts.nn.greedy_search(model.step, state, start=EOS, max_length=12, eos=EOS).tokens
        written = [VOCABULARY.decode(row, skip_special=True) for row in found]
        right = np.mean([one == other for one, other in zip(written, isos, strict=True)])
        wrong[name] = character_error_rate(written, isos)
        print(f"{name}: {right:.1%} of the dates right, {wrong[name]:.1%} of the characters wrong")
        for text, one in list(zip(texts, written, strict=True))[:4]:
            looks = f"   {gaze(model, text, one)}" if name == "with attention" else ""
            print(f"    {text:>30}  ->  {one}{looks}", flush=True)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    main(parser.parse_args().short)
