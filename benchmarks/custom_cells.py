"""Custom cells, written as a step, at T=50 N=32 I=64 H=128: training step and inference against PyTorch and JAX.

PyTorch runs them in a Python loop: eager, with TorchScript and, given --with-torch-compile, with torch.compile. JAX
uses scan. "hoisted" means that the part of the cell that does not depend on the state was moved out of the loop by
hand. The measure "first" is the first training step, including compilation.
Run: python -m benchmarks.custom_cells
"""

from __future__ import annotations

import time

from benchmarks._cells import CELLS, CustomCell
from benchmarks._subject import OURS, Contestant, Subject


def timed_from_the_first(work, budget: float) -> dict:
    start = time.perf_counter()
    work.train()
    return {"first": [time.perf_counter() - start], **work.measure(budget)}


def ours(custom: CustomCell, budget: float) -> dict:
    from benchmarks._cells_ours import ours

    return timed_from_the_first(ours(custom), budget)


def with_torch(how: str, hoisted: bool):
    def run(custom: CustomCell, budget: float) -> dict:
        from benchmarks._cells_torch import with_torch

        return timed_from_the_first(with_torch(custom, how, hoisted), budget)

    return Contestant(run, "torch", slow=how == "compile")


def with_jax(hoisted: bool):
    def run(custom: CustomCell, budget: float) -> dict:
        from benchmarks._cells_jax import with_jax

        return timed_from_the_first(with_jax(custom, hoisted), budget)

    return Contestant(run, "jax")


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={cell: CustomCell(cell) for cell in CELLS},
    contestants={
        OURS: Contestant(ours),
        "torch": with_torch("eager", hoisted=False),
        "torch hoisted": with_torch("eager", hoisted=True),
        "torchscript": with_torch("script", hoisted=False),
        "torchscript hoisted": with_torch("script", hoisted=True),
        "torch.compile": with_torch("compile", hoisted=False),
        "jax": with_jax(hoisted=False),
        "jax hoisted": with_jax(hoisted=True),
    },
    quick=CELLS,
    units={"training": "s", "inference": "s", "first": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
