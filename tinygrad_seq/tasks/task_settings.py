"""The settings of a task: everything that decides what is trained, as JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from .. import nn
from ..errors import ArgumentError
from ..nn.checks import check_probability, check_sizes, check_switches
from ..train.build import load_cell
from ..train.language_model import CELLS

TASKS = ("classify", "tag", "regress")
POOLINGS = ("last", "mean", "max")


@dataclass(frozen=True)
class TaskSettings:
    """The settings of a task.

    Attributes
    ----------
    task : {"classify", "tag", "regress"}
        One class per sequence, one tag per step, or one or more numbers per sequence.
    cell : str or type, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, the name of another cell of `nn` (``"MGUCell"``), ``"FILE.py:Class"``, or a
        subclass of `nn.Cell` that is constructed as ``cell(input_size, hidden_size)``.
    hidden_size : int, default 64
        Output size of each recurrent layer and direction.
    num_layers : int, default 1
        Number of recurrent layers.
    bidirectional : bool, default True
        Whether a second cell reads each sequence from its end to its beginning.
    dropout : float, default 0.0
        Dropout probability before, between and after the recurrent layers.
    embedding_size : int, default 32
        Size of the vectors of letters, words and categories.
    letters : bool, optional
        Whether the model reads the letters of words as well as their vectors, with a bidirectional recurrent layer;
        None for taggers only.
    letters_size : int, default 16
        Size of the vectors of letters, and of each direction of that layer.
    pooling : {"last", "mean", "max"}, default "last"
        What the outputs of all steps become for a single prediction: the last one of each direction, their mean, or
        their maximum. Taggers do without.
    crf : bool, default True
        Whether a tagger ends in a conditional random field, which learns which tags follow each other.
    max_words : int, default 20000
        Maximum number of words of a column; rarer ones are read as ``<UNK>``.
    batch_size : int, default 32
        Sequences per update; those of similar lengths are batched together.
    epochs : int, default 50
        Maximum number of passes over the training data.
    patience : int, default 5
        Stop after this many passes without a lower loss on the held-out data; 0 means never.
    lr : float, default 0.003
        Learning rate of Adam.
    weight_decay : float, default 0.0
        Decoupled weight decay (AdamW).
    clip_norm : float, default 5.0
        Maximum norm of the gradient.
    precision : str, default "float32"
        ``"bfloat16"`` to train inside `autocast`.
    seed : int, default 0
        The same seed gives the same model.

    Raises
    ------
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> from tinygrad_seq.tasks import TaskSettings
    >>> TaskSettings("tag", cell="lstm").crf
    True
    """

    task: str
    cell: str | Callable[[int, int], nn.Cell] = "gru"
    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = True
    dropout: float = 0.0
    embedding_size: int = 32
    letters: bool | None = None
    letters_size: int = 16
    pooling: str = "last"
    crf: bool = True
    max_words: int = 20_000
    batch_size: int = 32
    epochs: int = 50
    patience: int = 5
    lr: float = 3e-3
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("task", TASKS), ("pooling", POOLINGS), ("precision", ("float32", "bfloat16"))):
            if (given := getattr(self, name)) not in known:
                raise ArgumentError(
                    f"fit_task: expected {name} to be one of {', '.join(known)}, got {given!r}; correct it."
                )
        names = ("hidden_size", "num_layers", "embedding_size", "letters_size", "max_words", "batch_size", "epochs")
        check_sizes("fit_task", **{name: getattr(self, name) for name in names})
        check_probability("fit_task", dropout=self.dropout)
        check_switches("fit_task", bidirectional=self.bidirectional, crf=self.crf)
        if self.letters is not None:
            check_switches("fit_task", letters=self.letters)
        for name in ("patience", "seed"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ArgumentError(f"fit_task: expected {name} to be an integer >= 0, got {getattr(self, name)!r}.")
        for name in ("lr", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ArgumentError(f"fit_task: expected {name} > 0, got {getattr(self, name)!r}; pass e.g. 0.01.")
        if not self.weight_decay >= 0:
            raise ArgumentError(f"fit_task: expected weight_decay >= 0, got {self.weight_decay!r}; pass 0 for none.")

    @property
    def reads_letters(self) -> bool:
        """Whether the model reads the letters of words."""
        return self.task == "tag" if self.letters is None else self.letters

    @classmethod
    def of(cls, task: str, **settings: Any) -> Self:
        """Return settings.

        Parameters
        ----------
        task : str
            The task.
        **settings
            The other settings.

        Returns
        -------
        TaskSettings
            The settings.

        Raises
        ------
        ArgumentError
            If one is unknown, with the names that there are, or out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if unknown := [name for name in settings if name not in names]:
            raise ArgumentError(
                f"fit_task: expected settings among {', '.join(names[1:])}, got {', '.join(unknown)}; correct the name."
            )
        return cls(task, **settings)

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON values.

        Raises
        ------
        ArgumentError
            If the cell is a class that is not one of this package.
        """
        cell = self.cell
        if not isinstance(cell, str):
            name = getattr(cell, "__name__", "")
            if getattr(nn, name, None) is not cell:
                raise ArgumentError(
                    f"FittedTask.save: expected a cell that can be named, got the class {name!r} of a program; write "
                    "it to a file and pass cell='FILE.py:Class'."
                )
            cell = name
        return {**dataclasses.asdict(dataclasses.replace(self, cell="gru")), "cell": cell}


def cell_of(cell: str | Callable[[int, int], nn.Cell]) -> Callable[[int, int], nn.Cell]:
    """Return what constructs the cell that a setting names.

    Raises
    ------
    ArgumentError
        If there is no such cell.
    """
    if not isinstance(cell, str):
        if not callable(cell):
            raise ArgumentError(f"fit_task: expected cell to be a name or a subclass of nn.Cell, got {cell!r:.80}.")
        return cell
    if ":" in cell:
        return load_cell(cell)
    found = CELLS.get(cell) or getattr(nn, cell, None)
    if not (isinstance(found, type) and issubclass(found, nn.Cell)):
        raise ArgumentError(
            f"fit_task: expected cell to be one of {', '.join(CELLS)}, the name of a cell of nn such as MGUCell, or "
            f"FILE.py:Class, got {cell!r}; correct it."
        )
    return found
