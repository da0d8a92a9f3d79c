"""The model of a task: columns, recurrent layers, pooling, and a linear layer; a tagger ends in a CRF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import nn
from ..autograd.tensor import Tensor
from ..base import settings as package
from ..data import Vocabulary
from ..functional import concat, sum, where
from ..ops.indexing import take
from .columns import Column, NumberColumn, TextColumn
from .task_settings import TaskSettings, cell_of


class Tokens(nn.Module):
    """The vectors of tokens. In training, half of the tokens that were seen only once are read as ``<UNK>``."""

    def __init__(self, column: TextColumn, size: int) -> None:
        self.embedding = nn.Embedding(len(column.vocabulary), size)
        self.frequent = column.frequent
        self.output_size = size

    def forward(self, tokens: np.ndarray[Any, Any]) -> Tensor:
        if self.training and self.frequent < self.embedding.num_embeddings:
            hidden = package.generator().random(tokens.shape) < 0.5
            tokens = np.where((tokens >= self.frequent) & hidden, Vocabulary.unk, tokens)
        return self.embedding(tokens)


class SpelledWords(nn.Module):
    """The vectors of words, joined with what a recurrent layer makes of their letters."""

    def __init__(self, column: TextColumn, size: int, letters_size: int, cell: Callable[[int, int], nn.Cell]) -> None:
        assert column.letters is not None
        self.words = Tokens(column, size)
        self.letters = nn.Embedding(len(column.letters), letters_size)
        self.recurrent = nn.Recurrent(cell(letters_size, letters_size), bidirectional=True)
        self.output_size = size + 2 * letters_size

    def forward(self, inputs: Sequence[np.ndarray[Any, Any]]) -> Tensor:
        words, letters, sizes, places = inputs
        outputs, _ = self.recurrent(self.letters(letters), lengths=sizes)
        spelled = pool("last", outputs, sizes, bidirectional=True)
        return concat([self.words(words), take(spelled, places, axis=0)], axis=-1)


class Numbers(nn.Module):
    """Standardised numbers, as they are."""

    def __init__(self, size: int) -> None:
        self.output_size = size

    def forward(self, values: Tensor) -> Tensor:
        return values


def pool(kind: str, outputs: Tensor, lengths: np.ndarray[Any, Any], *, bidirectional: bool) -> Tensor:
    """Return one vector (N, H) per sequence from its valid outputs (T, N, H), which are 0 on padding.

    With two directions, the last output of the backward one is that of the first step.
    """
    if kind == "mean":
        return sum(outputs, axis=0) / lengths[:, None].astype(outputs.dtype)
    if kind == "max":
        valid = nn.sequence_mask(lengths, len(outputs))[:, :, None]
        return where(valid, outputs, -np.inf).max(axis=0)
    last = outputs[lengths - 1, np.arange(len(lengths))]
    if not bidirectional:
        return last
    half = outputs.shape[-1] // 2
    return concat([last[:, :half], outputs[0, :, half:]], axis=-1)


class SequenceModel(nn.Module):
    """Columns of sequences to logits or numbers.

    Parameters
    ----------
    columns : sequence of Column
        What the model reads, side by side at each step.
    outputs : int
        K: the number of classes, tags or numbers.
    settings : TaskSettings
        The sizes and options.
    allowed : tuple of three array_like of bool, optional
        What `nn.CRF` allows, for a tagger with a CRF.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        outputs: int,
        settings: TaskSettings,
        allowed: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    ) -> None:
        cell = cell_of(settings.cell)
        self.inputs = [_input(column, settings, cell) for column in columns]
        width = int(np.sum([each.output_size for each in self.inputs]))
        joined = settings.hidden_size * (1 + settings.bidirectional)
        sizes = [width, *[joined] * (settings.num_layers - 1)]
        self.recurrent = nn.Recurrent(
            [cell(size, settings.hidden_size) for size in sizes],
            bidirectional=settings.bidirectional,
            dropout=settings.dropout if settings.num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.pooling = None if settings.task == "tag" else settings.pooling
        self.head = nn.Linear(joined, outputs)
        if settings.task == "tag" and settings.crf:
            self.crf = nn.CRF(outputs, allowed=allowed)

    def forward(self, columns: Sequence[Any], lengths: np.ndarray[Any, Any]) -> Tensor:
        """Return the outputs of a padded batch.

        Parameters
        ----------
        columns : sequence
            What each column holds at each step, with leading axes (T, N).
        lengths : ndarray of int, shape (N,)
            The number of steps of each sequence, at least 1.

        Returns
        -------
        Tensor
            (N, K), or (T, N, K) for a tagger.
        """
        read = [module(column) for module, column in zip(self.inputs, columns, strict=True)]
        steps = read[0] if len(read) == 1 else concat(read, axis=-1)
        outputs, _ = self.recurrent(self.dropout(steps), lengths=lengths)
        if self.pooling is not None:
            outputs = pool(self.pooling, outputs, lengths, bidirectional=self.recurrent.bidirectional)
        return self.head(self.dropout(outputs))


def _input(column: Column, settings: TaskSettings, cell: Callable[[int, int], nn.Cell]) -> Any:
    if isinstance(column, NumberColumn):
        return Numbers(len(column.mean))
    assert isinstance(column, TextColumn)
    if column.letters is None:
        return Tokens(column, settings.embedding_size)
    return SpelledWords(column, settings.embedding_size, settings.letters_size, cell)
