"""Time until a BiLSTM-CRF tagger has a held-out span F1 of 0.8, against PyTorch with pytorch-crf.

Run: python -m benchmarks.tagging_crf

Sentences of 4 to 40 words with names of four kinds, which their neighbours announce. Both train word vectors, an LSTM
in two directions and a CRF with Adam on batches of 32 sentences of similar lengths, and score the held-out sentences
after each pass over the data. PyTorch packs each batch for the LSTM. ``epoch`` is one pass with its score. One pass of
another model, which compiles and warms up, is not measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks._goal import until
from benchmarks._subject import OURS, Contestant, Subject

GOAL, BATCH, RATE, CLIP = 0.8, 32, 3e-3, 5.0
KINDS = ("PER", "LOC", "ORG", "DAY")

Sentences = list[list[str]]


class Corpus(NamedTuple):
    """A corpus, and the size of the model."""

    sentences: int
    longest: int
    embedding: int
    hidden: int

    def data(self) -> tuple[Sentences, Sentences, Sentences, Sentences]:
        """Return sentences and tags to train on, and held-out ones."""
        draw = np.random.default_rng(5)
        pairs = [_sentence(int(length), draw) for length in draw.integers(4, self.longest + 1, self.sentences)]
        X, y = ([pair[side] for pair in pairs] for side in (0, 1))
        kept = self.sentences * 4 // 5
        return X[:kept], y[:kept], X[kept:], y[kept:]


def _sentence(length: int, draw: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return words and tags. A name is one to three words that all kinds share; the word before or after it tells."""
    words: list[str] = []
    tags: list[str] = []
    while len(words) < length:
        if draw.random() < 0.7:
            words.append(f"word{int(draw.zipf(1.3)) % 2000}")
            tags.append("O")
            continue
        kind, before = KINDS[draw.integers(4)], draw.random() < 0.5
        size = int(draw.integers(1, 4))
        cue = f"{kind}{'before' if before else 'after'}{draw.integers(40)}"
        name = [f"name{draw.integers(500)}" for _ in range(size)]
        marks = [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
        words += [cue, *name] if before else [*name, cue]
        tags += ["O", *marks] if before else [*marks, "O"]
    return words, tags


CASES = {"1500 sentences of 4 to 40, H 64": Corpus(1500, 40, 64, 64)}


def ours(case: Corpus, budget: float) -> dict[str, Any]:  # noqa: ARG001
    import tinygrad_seq as ts

    X, y, unseen, expected = case.data()

    def model(seed: int) -> Any:
        return ts.sklearn.SequenceTagger(
            "lstm",
            hidden_size=case.hidden,
            embedding_size=case.embedding,
            letters=False,
            batch_size=BATCH,
            learning_rate_init=RATE,
            clip_norm=CLIP,
            random_state=seed,
        )

    model(0).partial_fit(X, y).score(unseen, expected)
    one = model(1)
    return until(GOAL, lambda: one.partial_fit(X, y), lambda: one.score(unseen, expected))


def with_torch(case: Corpus, budget: float) -> dict[str, Any]:  # noqa: ARG001
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
    from torchcrf import CRF

    from tinygrad_seq.metrics import score_spans

    torch.set_num_threads(1)
    X, y, unseen, expected = case.data()
    words = {word: n for n, word in enumerate(sorted({word for words in X for word in words}), 1)}
    names = sorted({tag for tags in y for tag in tags})

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(words) + 1, case.embedding)
            self.recurrent = nn.LSTM(case.embedding, case.hidden, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * case.hidden, len(names))
            self.crf = CRF(len(names), batch_first=True)

        def emissions(self, tokens: Any, lengths: Any) -> Any:
            packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
            outputs, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
            return self.head(outputs)

    def encoded(sentences: Sentences) -> list[Any]:
        return [torch.tensor([words.get(word, 0) for word in sentence]) for sentence in sentences]

    inputs, held_out = encoded(X), encoded(unseen)
    targets = [torch.tensor([names.index(tag) for tag in tags]) for tags in y]
    draw = np.random.default_rng(0)

    def batch(rows: Any, source: list[Any]) -> tuple[Any, Any]:
        chosen = [source[row] for row in rows]
        return pad_sequence(chosen, batch_first=True), torch.tensor([len(one) for one in chosen])

    def epoch(model: Any, optimizer: Any) -> None:
        lengths = np.array([len(one) for one in inputs]) * draw.uniform(0.9, 1.1, len(inputs))
        order = np.argsort(lengths)
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        for n in draw.permutation(len(batches)):
            tokens, sizes = batch(batches[n], inputs)
            tags, _ = batch(batches[n], targets)
            mask = torch.arange(tokens.shape[1])[None] < sizes[:, None]
            optimizer.zero_grad()
            loss = -model.crf(model.emissions(tokens, sizes), tags, mask, reduction="token_mean")
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()

    def score(model: Any) -> float:
        found: list[list[str]] = [[] for _ in held_out]
        order = np.argsort([-len(one) for one in held_out])
        with torch.no_grad():
            for start in range(0, len(order), 128):
                rows = order[start : start + 128]
                tokens, sizes = batch(rows, held_out)
                mask = torch.arange(tokens.shape[1])[None] < sizes[:, None]
                for row, tags in zip(rows, model.crf.decode(model.emissions(tokens, sizes), mask), strict=True):
                    found[row] = [names[tag] for tag in tags]
        return score_spans(found, expected).micro.f1

    def model(seed: int) -> tuple[Any, Any]:
        torch.manual_seed(seed)
        one = Tagger()
        return one, torch.optim.Adam(one.parameters(), lr=RATE)

    warm = model(0)
    epoch(*warm)
    score(warm[0])
    one, optimizer = model(1)
    return until(GOAL, lambda: epoch(one, optimizer), lambda: score(one))


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases=CASES,
    contestants={OURS: Contestant(ours), "torch": Contestant(with_torch, "torch", needs=("torchcrf",))},
    quick=tuple(CASES),
    units={"goal": "s", "epoch": "s", "epochs": "passes"},
    rounds=3,
)

if __name__ == "__main__":
    SUBJECT.main()
