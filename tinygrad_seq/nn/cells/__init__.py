"""Recurrent cells, one file per family, each written as its forward pass."""

from .elman import ElmanCell
from .gru import GRUCell
from .lstm import LSTMCell
from .notes import NotesGRUCell, NotesLSTMCell, NotesRNNCell, NotesSimplifiedGRUCell

__all__ = [
    "ElmanCell",
    "GRUCell",
    "LSTMCell",
    "NotesGRUCell",
    "NotesLSTMCell",
    "NotesRNNCell",
    "NotesSimplifiedGRUCell",
]
