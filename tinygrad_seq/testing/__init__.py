"""Random programs: hypothesis strategies for arrays, graphs, scan steps and cells, and the checks that they must pass.

Needs hypothesis (``pip install tinygrad-seq[testing]``). ``python -m tinygrad_seq.testing soak`` runs a soak test.
"""

from .properties import Fault, Outcome, check_graph, check_step
from .random_cells import DrawnCell, check_cell
from .random_program import Graph, Step
from .shrink import shrink
from .strategies import arrays, cells, graphs, shapes, steps

__all__ = [
    "DrawnCell",
    "Fault",
    "Graph",
    "Outcome",
    "Step",
    "arrays",
    "cells",
    "check_cell",
    "check_graph",
    "check_step",
    "graphs",
    "shapes",
    "shrink",
    "steps",
]


def __dir__() -> list[str]:
    return __all__
