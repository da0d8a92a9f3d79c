"""A recurrent language model, which says how likely each token is to come next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import nn
from ..autograd.tensor import Tensor
from ..base.modes import no_grad
from ..base.tree import Tree
from ..errors import ArgumentError, DataError
from ..functional import cross_entropy
from ..ops.choice import check_drawing
from .generation import generate

CELLS: dict[str, Callable[[int, int], nn.Cell]] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.ElmanCell}


class LanguageModel(nn.Module):
    """Embedding, recurrent layers of any cell, and a linear layer that scores every token as the next one.

    ``logits_t = W_o h_t + b_o``, ``h_t, state_t = cell(E[token_t], state_(t-1))``: P(token_(t+1) | tokens up to t) is
    ``softmax(logits_t)``.

    Parameters
    ----------
    vocabulary_size
        V, the number of tokens.
    embedding_size, hidden_size
        The sizes of a token's vector and of the output of each recurrent layer.
    num_layers
        How many recurrent layers stand above each other.
    dropout
        The part of the values dropped before each layer and before the logits.
    cell
        ``"lstm"``, ``"gru"``, ``"rnn"``, or a subclass of `nn.Cell` that is constructed as
        ``cell(input_size, hidden_size)`` and whose output has `hidden_size` values.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1 or the cell is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.train import LanguageModel
    >>> model = LanguageModel(10, embedding_size=4, hidden_size=8, cell="gru")
    >>> logits, state = model(np.zeros((5, 2), dtype=int))
    >>> logits.shape
    (5, 2, 10)
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        cell: str | Callable[[int, int], nn.Cell] = "lstm",
    ) -> None:
        for name, size in (("vocabulary_size", vocabulary_size), ("num_layers", num_layers)):
            if not isinstance(size, int) or size < 1:
                raise ArgumentError(f"LanguageModel: expected {name} to be an integer >= 1, got {size!r}; correct it.")
        if isinstance(cell, str) and cell not in CELLS:
            raise ArgumentError(
                f"LanguageModel: expected a cell of {', '.join(CELLS)}, got {cell!r}; or pass a subclass of nn.Cell."
            )
        make = CELLS[cell] if isinstance(cell, str) else cell
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        sizes = [embedding_size, *[hidden_size] * (num_layers - 1)]
        self.recurrent = nn.Recurrent(
            [make(size, hidden_size) for size in sizes], dropout=dropout if num_layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(hidden_size, vocabulary_size)

    def forward(self, tokens: ArrayLike, state: Tree = None, *, reset: Any = None) -> tuple[Tensor, Tree]:
        """Return the logits (T, N, V) after each of `tokens`, integers (T, N), and the state to go on with.

        `state` is what an earlier call returned; None begins a text, as does a step with `reset`, (T, N) bool.
        """
        xs = self.dropout(self.embedding(tokens))
        ys, state = self.recurrent(xs, state, reset=reset)
        return self.decoder(self.dropout(ys)), state

    def log_probability(self, tokens: ArrayLike) -> NDArray[np.float64]:
        """Return ``log P(tokens[t + 1] | tokens[: t + 1])`` for each token but the first, in nats.

        Parameters
        ----------
        tokens
            Shape (T,), integers, T >= 2; the first is only given. Dropout is off.

        Returns
        -------
        ndarray
            Shape (T - 1,); its sum is the log probability of the text.

        Raises
        ------
        DataError
            If there are fewer than 2 tokens.
        """
        row = np.asarray(tokens)
        if row.ndim != 1 or len(row) < 2:
            raise DataError(
                f"log_probability: expected a row of at least 2 tokens, got shape {row.shape}; "
                "put <EOS> before the text and after it."
            )
        with nn.evaluating(self), no_grad():
            logits, _ = self(row[:-1, None])
            losses = cross_entropy(logits.astype(np.float64), row[1:, None], reduction="none")
        values: NDArray[np.float64] = -losses.numpy()[:, 0]
        return values

    def sample(
        self,
        prompt: ArrayLike,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: np.random.Generator | None = None,
        exclude: Sequence[int] = (),
    ) -> Iterator[int]:
        """Return an endless iterator over tokens that go on from `prompt`, drawn one by one as they are asked for.

        A compiled loop writes ahead, up to 64 tokens at a time, with the random numbers that are to come: taking k
        tokens draws k numbers, none at temperature 0. The weights are those at the first token. Dropout is off.

        Parameters
        ----------
        prompt : array_like
            Shape (T,), integers, T >= 1, e.g. only ``<EOS>``.
        temperature : float, default 1.0
            0 always takes the likeliest token.
        top_k : int, default None
            How many of the likeliest tokens may come; None allows all.
        generator : numpy.random.Generator, default None
            What draws; by default the process-wide generator.
        exclude : sequence of int, default ()
            Tokens that may not come.

        Returns
        -------
        iterator of int
            The tokens.

        Raises
        ------
        ArgumentError
            If the temperature or `top_k` is out of range.
        DataError
            If the prompt is empty.
        """
        check_drawing("sample", temperature, top_k)
        row = np.asarray(prompt)
        if row.ndim != 1 or not len(row):
            raise DataError(f"sample: expected a row of at least 1 token, got shape {row.shape}; begin with <EOS>.")
        return generate(self, row, temperature, top_k, generator, exclude)
