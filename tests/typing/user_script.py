"""What a user with ``mypy --strict`` writes: every value has the type that the manual says. It is checked, not run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq import Tensor, nn
from tinygrad_seq.data import Batch, Vocabulary, bucket_batches


class MinimalCell(nn.Cell):
    """A minimal gated unit."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.state_shape = (hidden_size,)
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.new = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        f = self.gate(ts.concat([x, h], axis=-1)).sigmoid()
        assert_type(f, Tensor)
        h = (1 - f) * h + f * self.new(ts.concat([x, f * h], axis=-1)).tanh()
        return h, h


class Tagger(nn.Module):
    """A tag for each token."""

    def __init__(self, tokens: int, tags: int) -> None:
        self.embed = nn.Embedding(tokens, 16)
        self.layer = nn.Recurrent(MinimalCell(16, 32))
        self.out = nn.Linear(32, tags)

    def forward(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        ys, _ = self.layer(self.embed(tokens), lengths=lengths)
        return self.out(ys)


def train(tokens: Tensor, targets: Tensor, lengths: list[int]) -> float:
    """Train for one step."""
    ts.manual_seed(0)
    model = Tagger(10, 3)
    optimizer = ts.optim.Adam(model.parameters(), lr=1e-3)
    logits = model(tokens, lengths)
    assert_type(logits, Tensor)
    loss = ts.cross_entropy(logits.reshape(-1, 3), targets.reshape(-1))
    assert_type(loss, Tensor)
    optimizer.zero_grad()
    loss.backward()
    ts.optim.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    state = model.state_dict()
    ts.save(state, "model.safetensors")
    assert_type(model.out.weight.grad, Tensor | None)
    return float(loss.item())


def operators(x: Tensor, y: Tensor) -> None:
    """Operators and methods give Tensors."""
    assert_type(x * 2.0, Tensor)
    assert_type(2 * x, Tensor)
    assert_type(x @ y, Tensor)
    assert_type(x**2, Tensor)
    assert_type(-x, Tensor)
    assert_type(x == y, Tensor)
    assert_type(x < 1, Tensor)
    assert_type(x[0], Tensor)
    assert_type(x[:, 1:, None], Tensor)
    assert_type(x.sum(axis=-1), Tensor)
    assert_type(x.T, Tensor)
    assert_type(x.reshape(2, 3), Tensor)
    assert_type(x.split(2), tuple[Tensor, ...])
    _values, _indices = x.topk(2)
    assert_type(x.topk(2).values, Tensor)
    assert_type(x.shape, tuple[int, ...])
    assert_type(x.detach(), Tensor)
    for row in x:  # a tensor is a sequence of its rows
        assert_type(row, Tensor)
    x += 1
    assert_type(x, Tensor)
    array: np.ndarray[Any, Any] = x.detach().numpy()
    assert_type(ts.asarray(array), Tensor)


def functions(x: Tensor, y: Tensor) -> None:
    """Functions take Tensors, arrays and numbers, and give Tensors."""
    assert_type(ts.concat([x, y]), Tensor)
    assert_type(ts.stack(part for part in (x, y)), Tensor)
    assert_type(ts.sigmoid([1.0, 2.0]), Tensor)
    assert_type(ts.where(x > 0, x, 0.0), Tensor)
    assert_type(ts.maximum(x, np.zeros(3)), Tensor)
    assert_type(ts.einsum("i,i->", x, y), Tensor)
    assert_type(ts.zeros((2, 3)), Tensor)
    assert_type(ts.nn.functional.softmax(x, axis=-1), Tensor)


def transforms(x: Tensor) -> None:
    """Transforms of functions, and loops."""

    def loss(w: Tensor) -> Tensor:
        return (w * w).sum()

    gradient: Tensor = ts.grad(loss)(x)
    _, gradient = ts.value_and_grad(loss)(x)

    def step(state: tuple[Tensor, Tensor], x_t: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = state
        return (h + x_t, c * h), h

    (h, _), ys = ts.scan(step, (ts.zeros(3), ts.zeros(3)), gradient)
    assert_type(h, Tensor)
    assert_type(ys, Tensor)
    last, _ = ts.scan(lambda h, x_t: (h + x_t, h), ts.zeros(3), gradient, reverse=True)
    last.backward()
    ts.gradcheck(loss, [x])


def layers(x: Tensor) -> None:
    """Layers are called as their `forward` is declared."""
    ys, (h, _c) = nn.LSTM(8, 16)(x)
    assert_type(ys, Tensor)
    ys, h = nn.GRU(8, 16)(x)
    ys, _ = nn.RNN(8, 16)(ys, h)
    assert_type(ys, Tensor)
    assert_type(nn.Linear(8, 4)(x), Tensor)
    assert_type(nn.Embedding(10, 4)(x), Tensor)
    assert_type(nn.LayerNorm(8)(x), Tensor)
    assert_type(nn.Dropout(0.5)(x), Tensor)
    assert_type(nn.CrossEntropyLoss()(x, x), Tensor)
    assert_type(nn.init.uniform_(nn.Linear(8, 4).weight), nn.Parameter)


def data() -> None:
    """Data has types, too."""
    vocabulary = Vocabulary.build(["a b"])
    assert_type(vocabulary, Vocabulary)
    for batch in bucket_batches([[1, 2], [3]], 2):
        assert_type(batch, Batch)


def modules() -> None:
    """The packages that are loaded when they are first used."""
    assert_type(ts.train.TrainingConfig(corpus="pydoc").seed, int)
    ts.report.draw_curves({"loss": [(0, 1.0), (1, 0.5)]})
