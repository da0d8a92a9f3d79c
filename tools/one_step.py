"""Train an LSTM for two steps and print, as JSON, which functions of the package ran in the second.

A function is its first and its last line, by file. The first step compiles, or finds the kernels on disk: what runs in
it differs from machine to machine. Compiled kernels leave no trace, the functions that call them do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import CodeType, FrameType

import tinygrad_seq as ts

PACKAGE = Path(ts.__file__).parent


def main() -> None:
    layer = ts.nn.LSTM(8, 16)
    adam = ts.optim.Adam(layer.parameters())
    xs, targets = ts.randn(10, 4, 8), ts.randn(10, 4, 16)

    def step() -> None:
        ys, _ = layer(xs)
        loss = ts.nn.functional.mse_loss(ys, targets)
        adam.zero_grad()
        loss.backward()
        adam.step()

    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    step()
    sys.setprofile(note)
    step()
    sys.setprofile(None)
    functions: dict[str, list[tuple[int, int]]] = {}
    for code in codes:
        path = Path(code.co_filename)
        if path.is_relative_to(PACKAGE):
            last = max(end for _, end, _, _ in code.co_positions() if end)
            functions.setdefault(path.relative_to(PACKAGE).as_posix(), []).append((code.co_firstlineno, last))
    print(json.dumps(functions))


if __name__ == "__main__":
    main()
