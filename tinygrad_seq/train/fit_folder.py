"""The run folder of `fit`: a new one, one that is continued, or none; and the signals that stop the run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..distributed import world
from ..errors import ArgumentError, CheckpointError
from . import manifest, run_files
from .driver import Folder, NoFolder, with_one_writer
from .fit_run import Fit
from .lock import lock_run
from .run_folder import RunFolder, check_free
from .stopping import StopRequest, graceful_stop

KIND = "fit"


def check_folder(run: Any, *, resume: Any, force: Any) -> None:
    """Raise unless `resume` and `force` fit `run`."""
    if run is not None and not isinstance(run, str | os.PathLike | RunFolder):
        raise ArgumentError(
            f"fit: expected run to be the path of a folder or a RunFolder, got a {type(run).__name__}; correct it."
        )
    if not isinstance(resume, bool | str):
        raise ArgumentError(
            f"fit: expected resume to be a bool, 'auto' or the name of a checkpoint, got {resume!r}; correct it."
        )
    if run is None and (resume or force):
        raise ArgumentError("fit: expected run, the folder, with resume or force, got none; pass run='runs/NAME'.")
    if resume and force:
        raise ArgumentError("fit: expected resume or force, got both; leave one out.")
    if force and isinstance(run, RunFolder):
        raise ArgumentError("fit: expected a path with force, got a RunFolder; pass force to RunFolder.create.")


@contextlib.contextmanager
def open_folder(
    fit: Fit, run: Any, config: dict[str, Any], *, resume: bool | str, force: bool
) -> Iterator[tuple[Folder, Callable[[], bool]]]:
    """Return a context with what the run is written to, locked, and a function that says whether to stop.

    A signal that arrived has its usual effect when the context ends.
    """
    if run is None:
        yield with_one_writer(NoFolder()), lambda: False
        return
    path = run.folder if isinstance(run, RunFolder) else Path(run)
    request = StopRequest()
    try:
        with contextlib.ExitStack() as stack:
            if world().is_writer:
                stack.enter_context(lock_run(path))
            if threading.current_thread() is threading.main_thread():
                request = stack.enter_context(graceful_stop())
            folder, is_new = _opened(run, config, resume=resume, force=force)
            fit.history.folder = folder.folder
            if resume and (folder.checkpoints() or resume != "auto"):
                fit._resume(folder, resume if isinstance(resume, str) and resume != "auto" else None)
                if folder.kind == KIND and world().is_writer and json.loads(json.dumps(config)) != folder.config:
                    folder = folder.update_config(config)
            try:
                yield with_one_writer(folder), request
            except BaseException:
                if is_new and fit.step == 0 and world().is_writer:
                    run_files.discard(folder.folder)  # as if nothing had happened
                raise
    except KeyboardInterrupt:
        if request.signal in (0, signal.SIGINT):
            raise
    if request.signal:
        signal.raise_signal(request.signal)


def _opened(run: Any, config: dict[str, Any], *, resume: bool | str, force: bool) -> tuple[RunFolder, bool]:
    """Return the folder, and whether there is nothing in it to lose."""
    if isinstance(run, RunFolder):
        if not resume and run.checkpoints():
            raise CheckpointError(
                f"fit: expected a new run in '{run.folder}', got one with checkpoints; pass resume=True to continue it."
            )
        return run, not run.checkpoints()
    is_new = not resume or (resume == "auto" and not run_files.is_run(Path(run)))
    if is_new and world().is_writer:
        replaces = run_files.is_run(Path(run))
        check_free(Path(run), force=force, caller="fit")
        RunFolder.create(run, KIND, config, force=force)
        is_new = not replaces
    world().broadcast(None)  # the folder is there
    folder = RunFolder.open(run)
    if folder.kind == manifest.LANGUAGE_MODEL:
        raise CheckpointError(
            f"fit: expected the run of a fit in '{run}', got that of a language model; continue it with tinygrad-seq "
            "train --resume."
        )
    return folder, is_new
