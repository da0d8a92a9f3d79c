"""Sequence to sequence: an encoder and a decoder as one model, and searches that generate with it."""
