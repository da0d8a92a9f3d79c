"""Modules: layers, recurrent cells and the layers that run them, losses, first values."""

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
from .attention import (
    AdditiveAttention,
    Attention,
    AttentionCell,
    AttentionDecoder,
    DotAttention,
    MultiHeadAttention,
)
from .attention import MultiHeadAttention as MultiheadAttention
from .cell import Cell, detach_state
from .cells import (
    ElmanCell,
    GRUCell,
    LSTMCell,
    NotesGRUCell,
    NotesLSTMCell,
    NotesRNNCell,
    NotesSimplifiedGRUCell,
)
from .cells import ElmanCell as RNNCell
from .crf import CRF
from .ctc import CTCLoss
from .layers import Dropout, Embedding, Flatten, LayerNorm, Linear, RMSNorm, Sequential
from .loss import (
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
from .module import Module
from .parameter import Buffer, Parameter
from .recurrent import Recurrent
from .rnn import GRU, LSTM, RNN
from .seq2seq import Seq2Seq, StackedCell, beam_search, greedy_search, sample_sequences
from .stream import Stream

__all__ = [
    "CRF",
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "Attention",
    "AttentionCell",
    "AttentionDecoder",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Buffer",
    "CTCLoss",
    "Cell",
    "CrossEntropyLoss",
    "DotAttention",
    "Dropout",
    "ElmanCell",
    "Embedding",
    "Flatten",
    "GRUCell",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "MultiHeadAttention",
    "MultiheadAttention",
    "NLLLoss",
    "NotesGRUCell",
    "NotesLSTMCell",
    "NotesRNNCell",
    "NotesSimplifiedGRUCell",
    "Parameter",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "Recurrent",
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
    "beam_search",
    "detach_state",
    "functional",
    "greedy_search",
    "init",
    "sample_sequences",
    "sequence_mask",
]
