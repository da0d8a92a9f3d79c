"""Prepare text and sequences for training; README.md in this folder shows how."""

from .batches import Batch, bucket_batches, pad_sequences, unpad_sequences
from .corpus import Corpus, load_corpus, split
from .epoch_batches import Batches
from .labels import Labels
from .skip_grams import negative_samples, skip_gram_pairs
from .table_files import Table, read_table
from .vocabulary import Vocabulary
from .windows import Windows
from .word_vectors import WordVectors
from .words import join_words, tokenize_words

__all__ = [
    "Batch",
    "Batches",
    "Corpus",
    "Labels",
    "Table",
    "Vocabulary",
    "Windows",
    "WordVectors",
    "bucket_batches",
    "join_words",
    "load_corpus",
    "negative_samples",
    "pad_sequences",
    "read_table",
    "skip_gram_pairs",
    "split",
    "tokenize_words",
    "unpad_sequences",
]


def __dir__() -> list[str]:
    return __all__
