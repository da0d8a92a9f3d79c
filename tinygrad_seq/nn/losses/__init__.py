"""Losses as modules, losses of padded sequences, CTC and conditional random fields."""
