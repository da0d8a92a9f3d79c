"""Prepare text and sequences for training; README.md in this folder shows how."""

from .batches import Batch, bucket_batches, pad_sequences, unpad_sequences
from .corpus import Corpus, load_corpus, split
from .epoch_batches import Batches
from .labels import Labels
from .vocabulary import Vocabulary
from .windows import Windows
from .words import join_words, tokenize_words

__all__ = [
    "Batch",
    "Batches",
    "Corpus",
    "Labels",
    "Vocabulary",
    "Windows",
    "bucket_batches",
    "join_words",
    "load_corpus",
    "pad_sequences",
    "split",
    "tokenize_words",
    "unpad_sequences",
]


def __dir__() -> list[str]:
    return __all__
