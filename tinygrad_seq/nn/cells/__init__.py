"""Recurrent cells, one file per family, each written as its forward pass."""

from .additive import ATRCell, CFNCell, FastGRNNCell, LeakyRNNCell, RANCell, STARCell
from .diagonal import HGRNCell, IndRNNCell, MinGRUCell, MinLSTMCell, QRNNCell, SRUCell
from .elman import ElmanCell
from .exponential_gates import MLSTMCell, RWKV4Cell, SLSTMCell
from .gru import GRUCell
from .gru_variants import LiGRUCell, MGUCell, MinimalRNNCell, MUT1Cell, ResetAfterMGUCell, UGRNNCell
from .lstm import LSTMCell
from .lstm_variants import (
    CoupledLSTMCell,
    FullPeepholeLSTMCell,
    JANETCell,
    MultiplicativeLSTMCell,
    OriginalLSTMCell,
    PeepholeLSTMCell,
    PhasedLSTMCell,
)
from .matrix_memory import DeltaNetCell, GatedDeltaNetCell, GLACell, LinearAttentionCell, RetNetCell
from .norm_lstm import LayerNormLSTMCell
from .notes import NotesGRUCell, NotesLSTMCell, NotesRNNCell, NotesSimplifiedGRUCell
from .state_space import LRUCell, MambaCell, S4DCell

__all__ = [
    "ATRCell",
    "CFNCell",
    "CoupledLSTMCell",
    "DeltaNetCell",
    "ElmanCell",
    "FastGRNNCell",
    "FullPeepholeLSTMCell",
    "GLACell",
    "GRUCell",
    "GatedDeltaNetCell",
    "HGRNCell",
    "IndRNNCell",
    "JANETCell",
    "LRUCell",
    "LSTMCell",
    "LayerNormLSTMCell",
    "LeakyRNNCell",
    "LiGRUCell",
    "LinearAttentionCell",
    "MGUCell",
    "MLSTMCell",
    "MUT1Cell",
    "MambaCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MinimalRNNCell",
    "MultiplicativeLSTMCell",
    "NotesGRUCell",
    "NotesLSTMCell",
    "NotesRNNCell",
    "NotesSimplifiedGRUCell",
    "OriginalLSTMCell",
    "PeepholeLSTMCell",
    "PhasedLSTMCell",
    "QRNNCell",
    "RANCell",
    "RWKV4Cell",
    "ResetAfterMGUCell",
    "RetNetCell",
    "S4DCell",
    "SLSTMCell",
    "SRUCell",
    "STARCell",
    "UGRNNCell",
]
