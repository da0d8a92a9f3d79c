"""A recurrent language model, which predicts the probability of each next token."""

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
from ..functional import cross_entropy, linear_cross_entropy
from ..nn.checks import check_sizes
from ..nn.module.module import in_precision
from ..ops.choice import check_drawing
from .generation import MOST_LOGITS, generate

CELLS: dict[str, Callable[[int, int], nn.Cell]] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.ElmanCell}


class LanguageModel(nn.Module):
    """A language model: an embedding, recurrent layers of any cell, and a linear layer that returns logits.

    ``h_t, state_t = cell(E[token_t], state_(t-1))``, ``logits_t = W_o h_t + b_o``, and
    ``P(token_(t+1) | tokens up to t) = softmax(logits_t)``.

    Parameters
    ----------
    vocabulary_size : int
        V, the number of tokens.
    embedding_size : int, default 64
        Size of the embedding vectors.
    hidden_size : int, default 256
        Output size of each recurrent layer.
    num_layers : int, default 1
        Number of recurrent layers.
    dropout : float, default 0.0
        Dropout probability before each layer and before the logits.
    cell : str or callable, default "lstm"
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
        check_sizes("LanguageModel", vocabulary_size=vocabulary_size, num_layers=num_layers)
        if isinstance(cell, str) and cell not in CELLS:
            raise ArgumentError(
                f"LanguageModel: expected cell to be one of {', '.join(CELLS)}, got {cell!r}; correct it, or pass a "
                "subclass of nn.Cell."
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
        """Return the logits of the next token after each token, and the final state.

        Parameters
        ----------
        tokens : array_like of int, shape (T, N)
            N sequences of T token indices.
        state : pytree, optional
            The state returned by an earlier call; None starts a text.
        reset : array_like of bool, shape (T, N), optional
            Steps that start from the initial state.

        Returns
        -------
        logits : Tensor, shape (T, N, V)
            The logits of the token after each step.
        state : pytree
            The state after the last step.
        """
        ys, state = self._outputs(tokens, state, reset)
        return self.decoder(ys), state

    def loss(
        self, tokens: ArrayLike, targets: ArrayLike, state: Tree = None, *, reset: Any = None
    ) -> tuple[Tensor, Tree]:
        """Return the mean loss per token in nats, and the final state: `forward` without logits in memory.

        Parameters
        ----------
        tokens : array_like of int, shape (T, N)
            N sequences of T token indices.
        targets : array_like of int, shape (T, N)
            The token after each step.
        state : pytree, optional
            The state returned by an earlier call; None starts a text.
        reset : array_like of bool, shape (T, N), optional
            Steps that start from the initial state.

        Returns
        -------
        loss : Tensor, shape ()
            The mean of ``-log P(targets)``.
        state : pytree
            The state after the last step.
        """
        ys, state = self._outputs(tokens, state, reset)
        decoder = self.decoder
        return in_precision(decoder, linear_cross_entropy, ys, decoder.weight, decoder.bias, targets), state

    def _outputs(self, tokens: ArrayLike, state: Tree, reset: Any) -> tuple[Tensor, Tree]:
        ys, state = self.recurrent(self.dropout(self.embedding(tokens)), state, reset=reset)
        return self.dropout(ys), state

    def log_probability(self, tokens: ArrayLike) -> NDArray[np.float64]:
        """Return ``log P(tokens[t + 1] | tokens[: t + 1])`` in nats for each token except the first; dropout is off.

        Long texts are read in windows, so the logits need a bounded amount of memory.

        Parameters
        ----------
        tokens : array_like of int, shape (T,)
            At least two tokens. The first is only a condition, usually ``<EOS>``.

        Returns
        -------
        ndarray, shape (T - 1,), float64
            One log probability per token; their sum is that of the text.

        Raises
        ------
        DataError
            If there are fewer than two tokens.
        """
        row = np.asarray(tokens)
        if row.ndim != 1 or len(row) < 2:
            raise DataError(
                f"LanguageModel.log_probability: expected at least 2 tokens of shape (T,), got shape {row.shape}; "
                "put <EOS> before and after the text."
            )
        values, state = np.empty(len(row) - 1), None
        window = max(1, MOST_LOGITS // self.vocabulary_size)
        with nn.evaluating(self), no_grad():
            for start in range(0, len(values), window):
                targets = row[start + 1 : start + 1 + window, None]
                logits, state = self(row[start : start + len(targets), None], state)
                losses = cross_entropy(logits.astype(np.float64), targets, axis=-1, reduction="none")
                values[start : start + window] = -losses.numpy()[:, 0]
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
        """Sample tokens that continue `prompt`, without end.

        A compiled loop computes up to 64 tokens ahead with the random numbers that the generator will return: taking k
        tokens draws k numbers, or none at temperature 0. The model's weights are read at the first token. Dropout is
        off.

        Parameters
        ----------
        prompt : array_like of int, shape (T,)
            At least one token, e.g. only ``<EOS>``.
        temperature : float, default 1.0
            Divides the logits; 0 returns the most probable token.
        top_k : int, optional
            Sample from the k most probable tokens only; None allows all.
        generator : numpy.random.Generator, optional
            Source of the random numbers; by default the process-wide generator.
        exclude : sequence of int, default ()
            Tokens that are never sampled.

        Returns
        -------
        iterator of int
            Tokens, one at a time, without end.

        Raises
        ------
        ArgumentError
            If `temperature` or `top_k` is out of range.
        DataError
            If the prompt is empty.
        """
        check_drawing("LanguageModel.sample", temperature, top_k)
        row = np.asarray(prompt)
        if row.ndim != 1 or not len(row):
            raise DataError(
                f"LanguageModel.sample: expected a prompt of shape (T,) with T >= 1, got shape {row.shape}; start with "
                "<EOS>."
            )
        return generate(self, row, temperature, top_k, generator, exclude)
