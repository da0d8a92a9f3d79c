"""The settings of a training run: their defaults, what each may be, and their form as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from .. import optim
from ..data.vocabulary import Level
from ..errors import ArgumentError, CheckpointError
from .language_model import CELLS

LEVELS = get_args(Level)
UNITS = ("paragraph", "line", "document")
SCHEDULES = ("cosine", "constant", "plateau")
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": lambda params, **options: optim.SGD(params, momentum=0.9, **options),
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
}

Check = tuple[Callable[[Any], bool], str]


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a run. Sizes are in elements, `window` and `batch_size` in tokens; `steps` are updates.

    Parameters
    ----------
    corpus : str, default "pydoc"
        ``"pydoc"``, ``"stdlib"`` or the path of a UTF-8 file or folder.
    level : {"char", "word"}, default "char"
        ``"char"`` or ``"word"``.
    unit : str, default "paragraph"
        What ``<EOS>`` stands after: each paragraph, line or document. P(text) is the probability of one unit.
    max_vocabulary : int, default 10000
        How many words to keep at most.
    validation : float, default 0.1
        The part at the end of the text that is held out.
    cell : str, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, or ``"FILE.py:Class"``, a subclass of `tinygrad_seq.nn.Cell`.
    embedding_size : int, default 64
        Of the vector of a token.
    hidden_size : int, default 256
        H of the recurrent layers.
    num_layers : int, default 1
        How many recurrent layers there are.
    dropout : float, default 0.0
        Between layers, from 0 to 1.
    optimizer : str, default "adam"
        ``"adam"``, ``"adamw"``, ``"sgd"``, ``"rmsprop"`` or ``"adagrad"``.
    lr : float, default 0.004
        The learning rate.
    weight_decay : float, default 0.0
        Of the optimiser.
    schedule : str, default "cosine"
        Of the learning rate: ``"cosine"`` falls to a hundredth over `steps`, ``"constant"`` stays, ``"plateau"`` halves
        when the held-out loss has not improved twice; the first two rise along a line over `warmup` steps.
    warmup : int, default 20
        How many steps the rate rises.
    clip_norm : float, default 1.0
        The greatest norm of the gradient; 0 never clips.
    batch_size : int, default 32
        How many streams of text are read at once.
    window : int, default 64
        T, how many tokens a step of training reads of each stream.
    restart : float, default 0.1
        How often, in training, a unit begins from the initial state, as a text does that is sampled or scored; else the
        state goes on from the unit before.
    steps : int, default 1200
        How many updates are made.
    minutes : float, default 0.0
        When to stop before `steps`; 0 for no limit.
    evaluate_every : int, default 100
        After how many steps the held-out loss is computed.
    patience : int, default 0
        After how many evaluations without improvement to stop; 0 never does.
    sample_length : int, default 200
        How many tokens are sampled at each evaluation, to look at.
    seed : int, default 0
        Of everything random.

    Raises
    ------
    ArgumentError
        If a setting is not what it may be.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.train.TrainingConfig(cell="lstm", hidden_size=64).corpus
    'pydoc'
    """

    corpus: str = "pydoc"
    level: Level = "char"
    unit: str = "paragraph"
    max_vocabulary: int = 10_000
    validation: float = 0.1
    cell: str = "gru"
    embedding_size: int = 64
    hidden_size: int = 256
    num_layers: int = 1
    dropout: float = 0.0
    optimizer: str = "adam"
    lr: float = 4e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: int = 20
    clip_norm: float = 1.0
    batch_size: int = 32
    window: int = 64
    restart: float = 0.1
    steps: int = 1200
    minutes: float = 0.0
    evaluate_every: int = 100
    patience: int = 0
    sample_length: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (accepts, expected) in _CHECKS.items():
            value = getattr(self, name)
            if not accepts(value):
                raise ArgumentError(f"train: expected {name} to be {expected}, got {value!r}; correct it.")
        if self.warmup >= self.steps and self.schedule == "cosine":
            raise ArgumentError(
                f"train: expected warmup below steps, got warmup={self.warmup} and steps={self.steps}; "
                "make warmup smaller (0 is none)."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> TrainingConfig:
        """Return the config of `settings`.

        Parameters
        ----------
        settings : dict
            What `to_json` returned.

        Returns
        -------
        TrainingConfig
            The config.

        Raises
        ------
        CheckpointError
            If the settings are not those of a config.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if settings.keys() != names:
            raise CheckpointError(
                f"TrainingConfig: expected the settings {', '.join(sorted(names))}, got differences in "
                f"{', '.join(sorted(settings.keys() ^ names))}; was this run written by another version?"
            )
        return cls(**settings)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _integer(least: int) -> Check:
    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return accepts, f"an integer >= {least}"


def _one_of(names: tuple[str, ...]) -> Check:
    return (lambda value: value in names), f"one of {', '.join(names)}"


def _is_cell(value: Any) -> bool:
    if value in CELLS:
        return True
    file, separator, name = str(value).rpartition(":")
    return bool(separator) and file.endswith(".py") and name.isidentifier()


_AT_LEAST_ZERO: Check = (lambda value: _is_number(value) and value >= 0), "a finite number >= 0"
_CHECKS: dict[str, Check] = {
    "corpus": ((lambda value: isinstance(value, str) and bool(value)), "a name or path"),
    "level": _one_of(LEVELS),
    "unit": _one_of(UNITS),
    "max_vocabulary": _integer(1),
    "validation": ((lambda value: _is_number(value) and 0 < value < 1), "a number between 0 and 1"),
    "cell": (_is_cell, f"one of {', '.join(CELLS)}, or FILE.py:Class"),
    "embedding_size": _integer(1),
    "hidden_size": _integer(1),
    "num_layers": _integer(1),
    "dropout": ((lambda value: _is_number(value) and 0 <= value < 1), "a number from 0 to below 1"),
    "optimizer": _one_of(tuple(OPTIMIZERS)),
    "lr": ((lambda value: _is_number(value) and value > 0), "a finite number > 0"),
    "weight_decay": _AT_LEAST_ZERO,
    "schedule": _one_of(SCHEDULES),
    "warmup": _integer(0),
    "clip_norm": _AT_LEAST_ZERO,
    "batch_size": _integer(1),
    "window": _integer(1),
    "restart": ((lambda value: _is_number(value) and 0 <= value <= 1), "a number from 0 to 1"),
    "steps": _integer(1),
    "minutes": _AT_LEAST_ZERO,
    "evaluate_every": _integer(1),
    "patience": _integer(0),
    "sample_length": _integer(0),
    "seed": _integer(0),
}
