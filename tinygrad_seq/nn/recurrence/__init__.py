"""Layers that run a cell over time, with the options that any cell may have."""
