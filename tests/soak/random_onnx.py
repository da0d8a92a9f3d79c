"""Random cells as ONNX files, each compared with the cell: ``python -m tests.soak.random_onnx [COUNT] [SEED]``.

The cells hold arrays with one row per sequence, so the batch size is fixed; T is free.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten, map_leaves
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.testing import DrawnCell
from tinygrad_seq.testing.generate import draw_step

_HAS_NO_NODE = re.compile(r"to_onnx: expected operations that ONNX has, got '(\w+)'")


class _Layer(nn.Module):
    """A layer whose inputs are a tree, with one argument per leaf."""

    def __init__(self, cell: DrawnCell) -> None:
        self.layer, self._rebuild = nn.Recurrent(cell), flatten(cell.xs)[1]

    def forward(self, a=None, b=None, c=None, d=None, e=None, f=None, state=None) -> Any:
        return self.layer(self._rebuild([leaf for leaf in (a, b, c, d, e, f) if leaf is not None]), state)


def export(seed: int, path: Path) -> str:
    """Return what became of a random cell: "exported", or the operation that has no node."""
    cell = DrawnCell(draw_step(Random(seed), largest=10, cell=True))
    leaves, begin = flatten(cell.xs)[0], map_leaves(lambda leaf: ts.zeros(leaf.shape, leaf.dtype), cell.state)
    if not 0 < len(leaves) < 7:
        return "without inputs"
    inputs = {name: leaf.numpy() for name, leaf in zip("abcdef", leaves, strict=False)}
    axes = {name: ("T", *[None] * (array.ndim - 1)) for name, array in inputs.items()}
    try:
        ts.interop.to_onnx(_Layer(cell), path, inputs, axes=axes, state=lambda _n: begin)
    except ArgumentError as error:
        found = _HAS_NO_NODE.match(str(error))
        if found is None:
            raise
        return found[1]
    return "exported"


def main(count: int = 300, seed: int = 0) -> Counter[str]:
    """Export random cells and return the counts."""
    with tempfile.TemporaryDirectory() as folder:
        return Counter([export(seed + number, Path(folder) / "cell.onnx") for number in range(count)])


if __name__ == "__main__":
    sys.stdout.write(f"{dict(main(*map(int, sys.argv[1:])))}\n")
