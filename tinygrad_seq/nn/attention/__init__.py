"""Attention: a query reads a memory, alone or at every step of a decoder."""

from .additive import AdditiveAttention
from .base import Attention, Memory
from .cell import AttentionCell
from .decoder import AttentionDecoder
from .dot import DotAttention
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
