"""Standard metrics of sequence models; README.md in this folder explains each."""

from .accuracy import accuracy
from .bleu import bleu
from .classification import classification_report, confusion_matrix
from .edit import character_error_rate, edit_distance, edit_distances, word_error_rate
from .forecast_error import mase, seasonal_naive
from .likelihood import bits_per_character, perplexity
from .spans import Score, Scores, Span, find_spans, score_spans

__all__ = [
    "Score",
    "Scores",
    "Span",
    "accuracy",
    "bits_per_character",
    "bleu",
    "character_error_rate",
    "classification_report",
    "confusion_matrix",
    "edit_distance",
    "edit_distances",
    "find_spans",
    "mase",
    "perplexity",
    "score_spans",
    "seasonal_naive",
    "word_error_rate",
]


def __dir__() -> list[str]:
    return __all__
