"""Estimators of sequences with the conventions of scikit-learn; README.md in this folder shows how."""

from ..errors import ArgumentError

try:
    import sklearn as _  # noqa: F401
except ImportError as error:
    raise ArgumentError(
        "tinygrad_seq.sklearn: expected scikit-learn 1.6 or later to be installed, got none; run "
        "pip install 'tinygrad-seq[sklearn]'."
    ) from error

from .classifier import SequenceClassifier
from .regressor import SequenceRegressor
from .tagger import SequenceTagger

__all__ = ["SequenceClassifier", "SequenceRegressor", "SequenceTagger"]


def __dir__() -> list[str]:
    return __all__
