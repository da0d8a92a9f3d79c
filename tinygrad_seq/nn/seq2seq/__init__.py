"""Sequence to sequence: an encoder and a decoder as one model, and searches that generate with it."""

from .beam import Hypotheses, beam_search
from .decoding import Decoded, greedy_search, sample_sequences
from .model import Seq2Seq
from .stacked import StackedCell

__all__ = [
    "Decoded",
    "Hypotheses",
    "Seq2Seq",
    "StackedCell",
    "beam_search",
    "greedy_search",
    "sample_sequences",
]
