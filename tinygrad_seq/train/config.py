"""The settings of a training run: defaults, validation, and JSON."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from .. import optim
from ..data.text_stream import is_encoding
from ..data.vocabulary import Level
from ..errors import ArgumentError, CheckpointError
from .language_model import CELLS

LEVELS = get_args(Level)
UNITS = ("paragraph", "line", "document")
SCHEDULES = ("cosine", "constant", "plateau")
PRECISIONS = ("float32", "bfloat16")
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": lambda params, **options: optim.SGD(params, momentum=0.9, **options),
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
}

# The settings that may change when a run is resumed; so may the path of the corpus, if its text is the same.
CHANGEABLE = (
    *("steps", "minutes", "patience", "lr", "weight_decay", "clip_norm", "schedule", "warmup", "dropout", "restart"),
    *("precision", "evaluate_every", "eval_tokens", "sample_length"),
)

Check = tuple[Callable[[Any], bool], str]


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run; each is also an option of ``tinygrad-seq train``.

    Parameters
    ----------
    corpus : str, default "pydoc"
        ``"pydoc"``, ``"stdlib"``, ``"demo"`` or the path of a text file or folder.
    encoding : str, default "auto"
        The encoding of the files: ``"auto"`` (UTF-8, or UTF-16 or UTF-32 with a byte order mark), or the name of one
        that Python knows, e.g. ``"latin-1"``.
    include : tuple of str, default ()
        Read only the files of a folder that match one of these patterns, e.g. ``"*.txt"``; empty means all.
    exclude : tuple of str, default ()
        Leave out the files of a folder that match one of these patterns.
    level : str, default "char"
        What a token is: ``"char"``, ``"word"``, ``"whitespace"`` or ``"subword"``; see `Vocabulary.build`.
    lowercase : bool, default False
        Whether to convert the text to lower case.
    nfc : bool, default False
        Whether to compose characters and accents (Unicode normalisation form NFC).
    unit : str, default "paragraph"
        ``"paragraph"``, ``"line"`` or ``"document"``: each is followed by ``<EOS>``. P(text) is the probability of one
        unit.
    max_vocabulary : int, default 10000
        Maximum number of tokens in the vocabulary; rarer tokens become ``<UNK>``.
    validation : float, default 0.1
        Fraction of the text that is held out for evaluation during training; between 0 and 1. It is the end of the
        text, but lines (``unit="line"``) are drawn by `seed`.
    test : float, default 0.0
        Fraction of the text that is held out for one evaluation after training; from 0 to below 1 - `validation`.
    shuffle : bool, default False
        Whether to put the documents in an order drawn by `seed` before the text is split.
    cell : str, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, or ``"FILE.py:Class"``, a subclass of `tinygrad_seq.nn.Cell`.
    embedding_size : int, default 64
        Size of the embedding vectors.
    hidden_size : int, default 256
        Output size of each recurrent layer.
    num_layers : int, default 1
        Number of recurrent layers.
    dropout : float, default 0.0
        Dropout probability before each layer and before the logits; in [0, 1).
    optimizer : str, default "adam"
        ``"adam"``, ``"adamw"``, ``"sgd"`` (with momentum 0.9), ``"rmsprop"`` or ``"adagrad"``.
    lr : float, default 4e-3
        Learning rate, > 0.
    weight_decay : float, default 0.0
        Weight decay, >= 0.
    schedule : str, default "cosine"
        Learning-rate schedule: ``"cosine"`` falls to a hundredth over `steps`, ``"constant"`` stays, ``"plateau"``
        halves when the held-out loss has not improved in two evaluations. The first two start with `warmup`.
    warmup : int, default 20
        Steps during which the learning rate increases linearly.
    clip_norm : float, default 1.0
        Maximum norm of the gradient; 0 disables clipping.
    batch_size : int, default 32
        Number of text streams that are read in parallel.
    window : int, default 64
        Tokens per stream and update, the length of truncated backpropagation through time.
    restart : float, default 0.1
        Probability that a unit starts from the initial state during training, as in sampling and scoring. Otherwise it
        continues from the state after the previous unit.
    precision : str, default "float32"
        ``"float32"`` or ``"bfloat16"``: in which the products of training are computed (see `autocast`). Weights,
        checkpoints and evaluations are float32.
    steps : int, default 1200
        Number of updates.
    minutes : float, default 0.0
        Maximum training time in minutes; 0 means no limit.
    evaluate_every : int, default 100
        Steps between two evaluations, each with a sample and a checkpoint.
    eval_tokens : int, default 100000
        Maximum number of held-out tokens that an evaluation reads; 0 means all.
    patience : int, default 0
        Stop after this many evaluations without improvement; 0 means never.
    sample_length : int, default 200
        Number of tokens sampled at each evaluation.
    seed : int, default 0
        Seed of all random numbers of the run.

    Raises
    ------
    ArgumentError
        If a setting is outside its range.

    Examples
    --------
    >>> from tinygrad_seq.train import TrainingConfig
    >>> TrainingConfig(cell="lstm", steps=500).hidden_size
    256
    """

    corpus: str = "pydoc"
    encoding: str = "auto"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    level: Level = "char"
    unit: str = "paragraph"
    lowercase: bool = False
    nfc: bool = False
    max_vocabulary: int = 10_000
    validation: float = 0.1
    test: float = 0.0
    shuffle: bool = False
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
    precision: str = "float32"
    steps: int = 1200
    minutes: float = 0.0
    evaluate_every: int = 100
    eval_tokens: int = 100_000
    patience: int = 0
    sample_length: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (accepts, expected) in _CHECKS.items():
            value = getattr(self, name)
            if not accepts(value):
                raise ArgumentError(f"TrainingConfig: expected {name} to be {expected}, got {value!r}; correct it.")
        if self.validation + self.test >= 1:
            raise ArgumentError(
                f"TrainingConfig: expected validation + test below 1, got {self.validation} + {self.test}; reduce them."
            )
        if self.level == "subword" and self.max_vocabulary < 256:
            raise ArgumentError(
                f"TrainingConfig: expected max_vocabulary to be at least 256 at level subword, for the bytes, got "
                f"{self.max_vocabulary}; increase it."
            )
        if self.warmup >= self.steps and self.schedule == "cosine":
            raise ArgumentError(
                f"TrainingConfig: expected warmup below steps, got warmup={self.warmup} and steps={self.steps}; "
                "reduce warmup (0 disables it)."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a dict of JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, settings: Any, origin: str = "the settings") -> TrainingConfig:
        """Return the config with the given settings. It reads the settings of other versions too.

        Parameters
        ----------
        settings : dict
            What `to_json` returned. Unknown settings are ignored, and missing ones take their defaults.
        origin : str, default "the settings"
            Where they come from, e.g. the path of the file; for messages.

        Returns
        -------
        TrainingConfig
            The config.

        Raises
        ------
        CheckpointError
            If a setting has the wrong type or is outside its range; the message names it and `origin`.
        """
        if not isinstance(settings, dict):
            raise CheckpointError(
                f"TrainingConfig.from_json: expected a JSON object of settings in {origin}, got a "
                f"{type(settings).__name__}; restore the file."
            )
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in settings.items()
            if name in known
        }
        try:
            return cls(**values)
        except ArgumentError as error:
            problem = str(error).removeprefix("TrainingConfig: ").removesuffix("; correct it.")
            raise CheckpointError(f"TrainingConfig.from_json: {origin}: {problem}; restore the file.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _integer(least: int, most: int = 10**15) -> Check:
    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return accepts, f"an integer >= {least} and <= {most:,}"


def _one_of(names: tuple[str, ...]) -> Check:
    return (lambda value: value in names), f"one of {', '.join(names)}"


def _is_cell(value: Any) -> bool:
    if not isinstance(value, str) or value in CELLS:
        return isinstance(value, str)
    file, separator, name = value.rpartition(":")
    return bool(separator) and file.endswith(".py") and name.isidentifier()


def _are_patterns(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(pattern, str) and pattern for pattern in value)


_IS_BOOL: Check = (lambda value: isinstance(value, bool)), "true or false"
_PATTERNS: Check = _are_patterns, "a tuple of patterns such as '*.txt'"
_AT_LEAST_ZERO: Check = (lambda value: _is_number(value) and value >= 0), "a finite number >= 0"
_SIZES = ("max_vocabulary", "embedding_size", "hidden_size", "batch_size", "window")
_CHECKS: dict[str, Check] = {
    "corpus": ((lambda value: isinstance(value, str) and bool(value)), "a name or path"),
    "encoding": (is_encoding, "auto, or an encoding that Python knows, such as utf-16 or latin-1"),
    "include": _PATTERNS,
    "exclude": _PATTERNS,
    "level": _one_of(LEVELS),
    "unit": _one_of(UNITS),
    "cell": (_is_cell, f"one of {', '.join(CELLS)}, or FILE.py:Class"),
    "optimizer": _one_of(tuple(OPTIMIZERS)),
    "schedule": _one_of(SCHEDULES),
    "precision": _one_of(PRECISIONS),
    "validation": ((lambda value: _is_number(value) and 0 < value < 1), "a number between 0 and 1"),
    "test": ((lambda value: _is_number(value) and 0 <= value < 1), "a number from 0 to below 1"),
    "dropout": ((lambda value: _is_number(value) and 0 <= value < 1), "a number from 0 to below 1"),
    "restart": ((lambda value: _is_number(value) and 0 <= value <= 1), "a number from 0 to 1"),
    "lr": ((lambda value: _is_number(value) and value > 0), "a finite number > 0"),
    **dict.fromkeys(("weight_decay", "clip_norm", "minutes"), _AT_LEAST_ZERO),
    **dict.fromkeys(("lowercase", "nfc", "shuffle"), _IS_BOOL),
    **dict.fromkeys(("warmup", "eval_tokens", "patience", "sample_length", "seed"), _integer(0)),
    **dict.fromkeys(("steps", "evaluate_every"), _integer(1)),
    **dict.fromkeys(_SIZES, _integer(1, 10**8)),
    "num_layers": _integer(1, 1000),
}
