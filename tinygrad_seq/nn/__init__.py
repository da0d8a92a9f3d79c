"""Modules: layers, recurrent cells and the layers that run them, losses, initial values."""

from . import activations, batch_norm, containers, conv, functional, init, layers, utils
from .activations import *  # noqa: F403
from .attention.additive_attention import AdditiveAttention
from .attention.attention_cell import AttentionCell
from .attention.decoder import AttentionDecoder
from .attention.dot_attention import DotAttention
from .attention.mechanism import Attention
from .attention.multihead import MultiHeadAttention, MultiheadAttention
from .attention.transformer import PositionalEncoding, TransformerEncoder, TransformerEncoderLayer
from .batch_norm import *  # noqa: F403
from .cell import Cell, detach_state
from .cells import (
    additive,
    diagonal,
    elman,
    exponential_gates,
    gru,
    gru_variants,
    lstm,
    lstm_variants,
    matrix_memory,
    norm_lstm,
    notes,
    state_space,
)
from .cells.additive import *  # noqa: F403
from .cells.diagonal import *  # noqa: F403
from .cells.elman import *  # noqa: F403
from .cells.exponential_gates import *  # noqa: F403
from .cells.gru import *  # noqa: F403
from .cells.gru_variants import *  # noqa: F403
from .cells.lstm import *  # noqa: F403
from .cells.lstm_variants import *  # noqa: F403
from .cells.matrix_memory import *  # noqa: F403
from .cells.norm_lstm import *  # noqa: F403
from .cells.notes import *  # noqa: F403
from .cells.state_space import *  # noqa: F403
from .containers import *  # noqa: F403
from .conv import *  # noqa: F403
from .layers import *  # noqa: F403
from .losses import modules as losses_as_modules
from .losses.crf import CRF
from .losses.ctc import CTCLoss
from .losses.modules import *  # noqa: F403
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
from .seq2seq.ctc_search import ctc_beam_search, ctc_greedy_search
from .seq2seq.decoding import greedy_search, sample_sequences
from .seq2seq.model import Seq2Seq
from .seq2seq.stacked import StackedCell

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "Attention",
    "AttentionCell",
    "AttentionDecoder",
    "Buffer",
    "CTCLoss",
    "Cell",
    "DotAttention",
    "Inspection",
    "Module",
    "MultiHeadAttention",
    "MultiheadAttention",
    "Options",
    "Parameter",
    "PassInspection",
    "PositionalEncoding",
    "Recurrent",
    "Seq2Seq",
    "StackedCell",
    "Stream",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "beam_search",
    "ctc_beam_search",
    "ctc_greedy_search",
    "detach_state",
    "evaluating",
    "functional",
    "greedy_search",
    "init",
    "sample_sequences",
    "sequence_mask",
    "utils",
]
__all__ += activations.__all__
__all__ += additive.__all__
__all__ += batch_norm.__all__
__all__ += containers.__all__
__all__ += conv.__all__
__all__ += diagonal.__all__
__all__ += elman.__all__
__all__ += exponential_gates.__all__
__all__ += gru.__all__
__all__ += gru_variants.__all__
__all__ += lstm.__all__
__all__ += lstm_variants.__all__
__all__ += matrix_memory.__all__
__all__ += norm_lstm.__all__
__all__ += notes.__all__
__all__ += state_space.__all__
__all__ += layers.__all__
__all__ += losses_as_modules.__all__

# Each public module of this package may reuse cached traces; a class that is exported here is recognised by itself.
register_library(value for value in [*vars().values()] if isinstance(value, type) and issubclass(value, Module))


def __dir__() -> list[str]:
    return __all__
