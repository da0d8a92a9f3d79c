"""Write `docs/cells.md`: every cell of `nn.cells` with its equations, source, number of parameters and measured speed.

The text comes from the docstrings and the figures from ``results/cells.json``; nothing is typed by hand.
Run: python -m benchmarks.cells_page             after a docstring has changed
     python -m benchmarks.cells_page --measure   to run cells.py first
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks._harness import RESULTS, ROOT
from benchmarks.cells import CELLS

MEASURED, PAGE = RESULTS / "cells.json", ROOT / "docs" / "cells.md"

I, H, HEADS = 64, 128, 4
FAMILIES = (
    "elman",
    "gru",
    "lstm",
    "notes",
    "lstm_variants",
    "norm_lstm",
    "gru_variants",
    "additive",
    "diagonal",
    "state_space",
    "matrix_memory",
    "exponential_gates",
)
INTRODUCTION = """\
# Cells

Each cell is a class of `ts.nn`, written as its forward step in [`tinygrad_seq/nn/cells`](../tinygrad_seq/nn/cells).
`ts.nn.Recurrent(ts.nn.MGUCell(64, 128))` runs it over a sequence, compiled forward and backward, with any option of
the recurrent layers. In the equations x is the input, a prime marks a new value, and `*` multiplies elementwise.

> **A cell's `forward` returns `(output, state)`; a scan step returns `(carry, y)`.**

`python -m benchmarks.cells_page` writes this page from the docstrings and from `benchmarks/results/cells.json`.
"""


def page(results: dict[str, Any]) -> str:
    """Return the page with the figures of `results`, the file that ``cells.py`` writes."""
    families = [(family, list(cells_of(family))) for family in FAMILIES]
    tokens = results["tokens_per_step"]
    speed = {name: tokens / row["tinygrad_seq"]["median"] for name, row in results["results"]["all"].items()}
    lines = [INTRODUCTION, conditions(results), ""]
    lines += ["| cell | file | parameters | tokens/s | relative to `LSTMCell` |", "| --- | --- | --: | --: | --: |"]
    for family, kinds in families:
        lines += [row_of(kind, family, speed) for kind in kinds]
    for family, kinds in families:
        lines += ["", f"## {title(family)}"]
        for kind in kinds:
            lines += ["", f"### {kind.__name__}", "", *description(kind)]
    return "\n".join(lines) + "\n"


def cells_of(family: str) -> Iterator[type]:
    """Yield the cells that a file of `nn.cells` defines, in the order of definition."""
    module = importlib.import_module(f"tinygrad_seq.nn.cells.{family}")
    for name, kind in vars(module).items():
        if name in CELLS and kind.__module__ == module.__name__:
            yield kind


def title(family: str) -> str:
    """Return the first line of a file's docstring, without the full stop."""
    module = importlib.import_module(f"tinygrad_seq.nn.cells.{family}")
    return (module.__doc__ or "").splitlines()[0].rstrip(".")


def conditions(results: dict[str, Any]) -> str:
    """Return the sizes and the machine of the figures."""
    sizes = ", ".join(f"{name}={value}" for name, value in results["sizes"].items() if name != "heads")
    return (
        f"Parameters are counted at I={I} and H={H}; cells with a matrix state have {HEADS} heads. Tokens per second\n"
        f"are those of training, forward and backward, at {sizes}, on one thread. They come from\n"
        f"the median processor time of a step; the cells run in turn in one process. {results['processor']}, "
        f"{results['cores']} cores,\nload {results['load_before']} before the run, {results['date']}."
    )


def row_of(kind: type, family: str, speed: dict[str, float]) -> str:
    options = {"num_heads": HEADS} if "num_heads" in inspect.signature(kind).parameters else {}
    name, count = kind.__name__, kind(I, H, **options).count_parameters()
    figures = (f"{speed[name]:,.0f}", f"{speed[name] / speed['LSTMCell']:.2f}") if name in speed else ("–", "–")
    return f"| [`{name}`](#{name.lower()}) | `{family}.py` | {count:,} | {' | '.join(figures)} |"


def description(kind: type) -> list[str]:
    """Return the docstring of a cell up to its parameters, with the equations as a block of code."""
    before, after = (inspect.getdoc(kind) or "").split("\nParameters\n")[0].split("\n::\n")
    return [before.strip(), "", after.strip("\n")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure first; takes some minutes")
    if parser.parse_args().measure:
        subprocess.run([sys.executable, "-m", "benchmarks.cells"], cwd=ROOT, check=True)
    PAGE.write_text(page(json.loads(MEASURED.read_text(encoding="utf-8"))), encoding="utf-8")
    print("wrote", PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
