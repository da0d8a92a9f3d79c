"""The names of the cells of the library."""

from __future__ import annotations

from tinygrad_seq import nn

CELLS = [
    name
    for name in nn.__all__
    if getattr(getattr(nn, name), "__module__", "").startswith("tinygrad_seq.nn.cells.") and name != "RNNCell"
]
