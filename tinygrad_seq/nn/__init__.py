"""Modules: layers, recurrent cells and the layers that run them, losses, initial values."""

from . import functional, init
from .activations import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from .attention.additive_attention import AdditiveAttention
from .attention.attention_cell import AttentionCell
from .attention.decoder import AttentionDecoder
from .attention.dot_attention import DotAttention
from .attention.mechanism import Attention
from .attention.multihead import MultiHeadAttention, MultiheadAttention
from .cell import Cell, detach_state
from .cells.additive import ATRCell, CFNCell, FastGRNNCell, LeakyRNNCell, RANCell, STARCell
from .cells.diagonal import HGRNCell, IndRNNCell, MinGRUCell, MinLSTMCell, QRNNCell, SRUCell
from .cells.elman import ElmanCell, RNNCell
from .cells.exponential_gates import MLSTMCell, RWKV4Cell, SLSTMCell
from .cells.gru import GRUCell
from .cells.gru_variants import LiGRUCell, MGUCell, MinimalRNNCell, MUT1Cell, ResetAfterMGUCell, UGRNNCell
from .cells.lstm import LSTMCell
from .cells.lstm_variants import (
    CoupledLSTMCell,
    FullPeepholeLSTMCell,
    JANETCell,
    MultiplicativeLSTMCell,
    OriginalLSTMCell,
    PeepholeLSTMCell,
    PhasedLSTMCell,
)
from .cells.matrix_memory import DeltaNetCell, GatedDeltaNetCell, GLACell, LinearAttentionCell, RetNetCell
from .cells.norm_lstm import LayerNormLSTMCell
from .cells.notes import NotesGRUCell, NotesLSTMCell, NotesRNNCell, NotesSimplifiedGRUCell
from .cells.state_space import LRUCell, MambaCell, S4DCell
from .layers import Dropout, Embedding, Flatten, LayerNorm, Linear, RMSNorm, Sequential
from .losses.crf import CRF
from .losses.ctc import CTCLoss
from .losses.modules import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SequenceCrossEntropyLoss,
    SmoothL1Loss,
)
from .masks import sequence_mask
from .module.module import Module, evaluating
from .module.parameter import Buffer, Parameter
from .recurrence.inspection import Inspection, PassInspection
from .recurrence.options import Options
from .recurrence.recurrent import Recurrent
from .recurrence.stream import Stream
from .recurrence.torch_layers import GRU, LSTM, RNN
from .recurrence.trace_cache import register_library
from .seq2seq.beam import beam_search
from .seq2seq.decoding import greedy_search, sample_sequences
from .seq2seq.model import Seq2Seq
from .seq2seq.stacked import StackedCell

__all__ = [
    "CRF",
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "ATRCell",
    "AdditiveAttention",
    "Attention",
    "AttentionCell",
    "AttentionDecoder",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Buffer",
    "CFNCell",
    "CTCLoss",
    "Cell",
    "CoupledLSTMCell",
    "CrossEntropyLoss",
    "DeltaNetCell",
    "DotAttention",
    "Dropout",
    "ElmanCell",
    "Embedding",
    "FastGRNNCell",
    "Flatten",
    "FullPeepholeLSTMCell",
    "GLACell",
    "GRUCell",
    "GatedDeltaNetCell",
    "HGRNCell",
    "HuberLoss",
    "Identity",
    "IndRNNCell",
    "Inspection",
    "JANETCell",
    "KLDivLoss",
    "L1Loss",
    "LRUCell",
    "LSTMCell",
    "LayerNorm",
    "LayerNormLSTMCell",
    "LeakyRNNCell",
    "LeakyReLU",
    "LiGRUCell",
    "Linear",
    "LinearAttentionCell",
    "LogSoftmax",
    "MGUCell",
    "MLSTMCell",
    "MSELoss",
    "MUT1Cell",
    "MambaCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MinimalRNNCell",
    "Module",
    "MultiHeadAttention",
    "MultiheadAttention",
    "MultiplicativeLSTMCell",
    "NLLLoss",
    "NotesGRUCell",
    "NotesLSTMCell",
    "NotesRNNCell",
    "NotesSimplifiedGRUCell",
    "Options",
    "OriginalLSTMCell",
    "Parameter",
    "PassInspection",
    "PeepholeLSTMCell",
    "PhasedLSTMCell",
    "QRNNCell",
    "RANCell",
    "RMSNorm",
    "RNNCell",
    "RWKV4Cell",
    "ReLU",
    "Recurrent",
    "ResetAfterMGUCell",
    "RetNetCell",
    "S4DCell",
    "SLSTMCell",
    "SRUCell",
    "STARCell",
    "Seq2Seq",
    "SequenceCrossEntropyLoss",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "StackedCell",
    "Stream",
    "Tanh",
    "UGRNNCell",
    "beam_search",
    "detach_state",
    "evaluating",
    "functional",
    "greedy_search",
    "init",
    "sample_sequences",
    "sequence_mask",
]

# Each public module of this package may reuse cached traces; a class that is exported here is recognised by itself.
register_library(value for value in [*vars().values()] if isinstance(value, type) and issubclass(value, Module))


def __dir__() -> list[str]:
    return __all__
