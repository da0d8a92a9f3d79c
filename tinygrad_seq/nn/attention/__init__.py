"""Attention over a memory, for single queries or at every step of a decoder."""
