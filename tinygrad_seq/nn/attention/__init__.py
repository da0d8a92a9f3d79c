"""Attention over a memory, for single queries or at every step of a decoder."""

from .additive_attention import AdditiveAttention
from .attention_cell import AttentionCell
from .decoder import AttentionDecoder
from .dot_attention import DotAttention
from .mechanism import Attention, Memory
from .multihead import MultiHeadAttention

__all__ = [
    "AdditiveAttention",
    "Attention",
    "AttentionCell",
    "AttentionDecoder",
    "DotAttention",
    "Memory",
    "MultiHeadAttention",
]
