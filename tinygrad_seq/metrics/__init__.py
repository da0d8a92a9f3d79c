"""How good a sequence model is, in the measures of the field; the README beside this file shows each."""

from .accuracy import accuracy
from .bleu import bleu
from .edit import character_error_rate, edit_distance, edit_distances, word_error_rate
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
    "edit_distance",
    "edit_distances",
    "find_spans",
    "perplexity",
    "score_spans",
    "word_error_rate",
]


def __dir__() -> list[str]:
    return __all__
