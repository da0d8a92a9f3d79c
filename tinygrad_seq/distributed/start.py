"""Find out whether mpirun started this process, and with how many others."""

from __future__ import annotations

import faulthandler
import functools
import os
import sys

from ..errors import ArgumentError
from .world import World

_JOINING = 60.0  # seconds
# What the launchers of MPICH (and Intel MPI), Open MPI and MVAPICH tell the processes that they start.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@functools.cache
def world() -> World:
    """Return the processes that mpirun started with this one, or this process alone.

    The first call on several ranks sets the number of threads to 1, unless ``TGS_THREADS`` is set, and starts a thread
    that watches the other ranks: if one was killed or stopped, or ends early, all end. So does an exception that no
    rank catches. Ranks that have not all joined within a minute end, too, with a traceback.

    Returns
    -------
    World
        The same object at each call.

    Raises
    ------
    ArgumentError
        If mpirun started several processes, but mpi4py is missing or belongs to another MPI.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.distributed.world().size  # started without mpirun
    1
    """
    started = max(int(os.environ.get(name, "1")) for name in _SIZES)
    if started == 1 and "mpi4py.MPI" not in sys.modules:
        return World()
    # Until all have joined nobody watches them, and MPI does not let other threads run: a stopped rank would block all.
    faulthandler.dump_traceback_later(_JOINING, exit=True, file=2)
    try:
        return _wait_until_all_ranks_have_joined(started)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _wait_until_all_ranks_have_joined(started: int) -> World:  # the name is in the traceback of the one that waited
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ArgumentError(
            f"distributed.world: expected mpi4py, since mpirun started {started} processes, got: {error}; install it "
            "with: pip install 'tinygrad-seq[mpi]'."
        ) from error
    size = MPI.COMM_WORLD.Get_size()
    if size == 1 < started:
        raise ArgumentError(
            f"distributed.world: expected the MPI of mpi4py to see the {started} processes that mpirun started, got 1; "
            "use the mpirun of the same installation (the extra mpi installs one next to python)."
        )
    if size == 1:
        return World()
    from .ranks import Ranks

    return Ranks()
