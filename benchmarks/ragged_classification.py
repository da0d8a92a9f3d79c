"""Time until a recurrent classifier of ragged texts has a held-out accuracy of 0.95, against skorch on PyTorch.

Run: python -m benchmarks.ragged_classification

Texts of 10 to 80 letters from Markov chains, a chain per class. Both train an embedding, an LSTM in two directions, its
last states and a linear layer with Adam on batches of 32, and score the held-out texts after each pass over the data.
skorch pads each batch and packs it for the LSTM. ``epoch`` is one pass with its score. One pass of another model, which
compiles and warms up, is not measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks._goal import until
from benchmarks._subject import OURS, Contestant, Subject

GOAL, BATCH, RATE, CLIP = 0.95, 32, 5e-3, 5.0
LETTERS = "abcdefghijklmnopqrstuvwxyz "


class Texts(NamedTuple):
    """A data set, and the size of the model."""

    classes: int
    texts: int
    longest: int
    embedding: int
    hidden: int

    def data(self) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
        """Return texts and classes to train on, and held-out ones."""
        draw = np.random.default_rng(5)
        sharpness = np.full(len(LETTERS), 0.3)
        chains = [np.cumsum(draw.dirichlet(sharpness, len(LETTERS)), axis=1) for _ in range(self.classes)]
        y = draw.integers(0, self.classes, self.texts)
        lengths = draw.integers(10, self.longest + 1, self.texts)
        X = [_text(chains[k], length, draw) for k, length in zip(y, lengths, strict=True)]
        kept = self.texts * 4 // 5
        return X[:kept], y[:kept], X[kept:], y[kept:]


def _text(chain: np.ndarray, length: int, draw: np.random.Generator) -> str:
    letters = [int(draw.integers(len(LETTERS)))]
    for uniform in draw.random(length - 1):
        letters.append(min(int(np.searchsorted(chain[letters[-1]], uniform)), len(LETTERS) - 1))
    return "".join(LETTERS[letter] for letter in letters)


CASES = {"4 classes, 1500 texts of 10 to 80, H 64": Texts(4, 1500, 80, 32, 64)}


def ours(case: Texts, budget: float) -> dict[str, Any]:  # noqa: ARG001
    import tinygrad_seq as ts

    X, y, unseen, expected = case.data()
    sizes: dict[str, Any] = {"embedding_size": case.embedding, "hidden_size": case.hidden}

    def model(seed: int) -> Any:
        return ts.sklearn.SequenceClassifier(
            "lstm",
            kind="letters",
            batch_size=BATCH,
            learning_rate_init=RATE,
            clip_norm=CLIP,
            random_state=seed,
            **sizes,
        )

    model(0).partial_fit(X, y).score(unseen, expected)
    one = model(1)
    return until(GOAL, lambda: one.partial_fit(X, y), lambda: one.score(unseen, expected))


def with_skorch(case: Texts, budget: float) -> dict[str, Any]:  # noqa: ARG001
    import torch
    from skorch import NeuralNetClassifier
    from skorch.callbacks import GradientNormClipping
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

    torch.set_num_threads(1)
    X, y, unseen, expected = case.data()

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(LETTERS), case.embedding)
            self.recurrent = nn.LSTM(case.embedding, case.hidden, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * case.hidden, case.classes)

        def forward(self, tokens: Any, lengths: Any) -> Any:
            packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
            _, (h, _) = self.recurrent(packed)
            return self.head(torch.cat([h[0], h[1]], dim=-1))

    class Rows(torch.utils.data.Dataset):
        def __init__(self, X: Any, y: Any) -> None:
            self.X = [torch.tensor([LETTERS.index(letter) for letter in text]) for text in X]
            self.y = torch.tensor(y)

        def __len__(self) -> int:
            return len(self.X)

        def __getitem__(self, n: int) -> Any:
            return self.X[n], self.y[n]

    def collate(pairs: Any) -> Any:
        texts, classes = zip(*pairs, strict=True)
        lengths = torch.tensor([len(text) for text in texts])
        return {"tokens": pad_sequence(texts, batch_first=True), "lengths": lengths}, torch.stack(classes)

    data, held_out = Rows(X, y), Rows(unseen, expected)

    def model(seed: int) -> Any:
        torch.manual_seed(seed)
        return NeuralNetClassifier(
            Classifier,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=RATE,
            batch_size=BATCH,
            iterator_train__shuffle=True,
            iterator_train__collate_fn=collate,
            iterator_valid__collate_fn=collate,
            train_split=None,
            callbacks=[GradientNormClipping(CLIP)],
            verbose=0,
        ).initialize()

    model(0).partial_fit(data, epochs=1).score(held_out, expected)
    one = model(1)
    return until(GOAL, lambda: one.partial_fit(data, epochs=1), lambda: one.score(held_out, expected))


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases=CASES,
    contestants={OURS: Contestant(ours), "skorch": Contestant(with_skorch, "skorch", needs=("torch",))},
    quick=tuple(CASES),
    units={"goal": "s", "epoch": "s", "epochs": "passes"},
    rounds=3,
)

if __name__ == "__main__":
    SUBJECT.main()
