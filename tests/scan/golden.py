"""What the compiler makes of three cells, word for word, in the files of the folder ``golden``.

They show at once what a change of the compiler changes. To write them anew, and read the difference::

    python -m tests.scan.golden --write
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.scan.cells import CELLS
from tinygrad_seq.scan import program_of

FOLDER = Path(__file__).parent / "golden"
NAMES = ("lstm", "layer_norm_lstm", "min_gru")


def text_of(name: str) -> str:
    """Return what `explain` says of a cell in float32."""
    problem = CELLS[name].build("float32")
    return program_of(problem.step, problem.init, problem.xs).explain()


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.txt"


def main() -> None:
    for name in NAMES:
        if "--write" in sys.argv[1:]:
            FOLDER.mkdir(exist_ok=True)
            path_of(name).write_text(text_of(name), encoding="utf-8")
        elif path_of(name).read_text(encoding="utf-8") != text_of(name):
            sys.exit(f"{name}: the text has changed; python -m tests.scan.golden --write, and read the difference")


if __name__ == "__main__":
    main()
