"""Training on several processes that mpirun started: each computes its share of a batch, gradients are averaged.

Loaded on demand as ``ts.distributed``. mpi4py is imported only in a process that mpirun started.
"""

from .start import world
from .world import World

__all__ = ["World", "world"]
