"""Train the model of a task with `fit`, in a run folder or without one."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from .. import optim
from ..autograd.tensor import Tensor
from ..base.files import write_atomically
from ..distributed import world
from ..errors import CheckpointError
from ..train import History, RunFolder, fit, run_files
from ..train import trust as consent
from ..train.lock import lock_run
from ..train.run_folder import create_run
from .columns import Ints
from .dataset import Batches, Dataset
from .sequence_model import SequenceModel
from .task_settings import TaskSettings
from .task_targets import Loss, Targets

KIND = "task"
EVALUATED_AT_ONCE = 128
# Settings that may change when a run is resumed.
_CHANGEABLE = ("epochs", "patience")


class Trainable(Protocol):
    """What is trained and stored: a `FittedTask`."""

    @property
    def settings(self) -> TaskSettings: ...
    @property
    def targets(self) -> Targets: ...
    @property
    def model(self) -> SequenceModel: ...
    @property
    def history(self) -> History | None: ...
    @property
    def facts(self) -> dict[str, Any]: ...

    def content(self) -> dict[str, Any]:
        """Return the settings, columns and targets as JSON values."""

    def loss(self, outputs: Tensor, targets: Any, weights: Any, lengths: Ints, /) -> Loss:
        """Return the mean loss of a batch, and its weight."""


def make_optimizer(task: Trainable) -> optim.AdamW:
    """Return the optimiser of a task."""
    return optim.AdamW(task.model.parameters(), lr=task.settings.lr, weight_decay=task.settings.weight_decay)


def train(task: Trainable, data: Dataset, optimizer: optim.Optimizer, **options: Any) -> History:
    """Train the model of a task on encoded data; `options` are those of `fit`, with data sets for batches."""
    held_out: dict[str, Any] = {
        name: Batches(options.pop(name), EVALUATED_AT_ONCE, shuffle=False)
        for name in ("validation", "test")
        if options.get(name) is not None
    }
    return fit(
        task.model,
        Batches(data, task.settings.batch_size),
        task.loss,
        optimizer=optimizer,
        metrics=task.targets.metrics(task.model) if held_out else None,
        clip_norm=task.settings.clip_norm,
        precision=task.settings.precision,
        **held_out,
        **options,
    )


# ----------------------------------------------------------------------------------------------- the run folder


def open_run(
    task: Trainable,
    folder: str | os.PathLike[str] | None,
    facts: Mapping[str, Any],
    *,
    resume: bool | str,
    force: bool,
) -> RunFolder | None:
    """Return a new run folder of a task, or the one to continue.

    Raises
    ------
    CheckpointError
        If the folder cannot be created or read, or holds a run of another task, other data or other settings.
    """
    if folder is None:
        return None
    if resume and (resume != "auto" or run_files.is_run(Path(folder))):
        run = RunFolder.open(folder, KIND)
        found, here = (_fixed(config) for config in (run.config, _stored(task)))
        if different := [name for name in found if found[name] != here.get(name)]:
            raise CheckpointError(
                f"fit_task: expected the data and settings that '{folder}' was started with, got others "
                f"({', '.join(different)}); pass the same, or start a new run."
            )
        return run
    if world().is_writer:
        _create(task, Path(folder), facts, force=force)
    world().broadcast(None)
    return RunFolder.open(folder, KIND)


def save_run(task: Trainable, folder: str | os.PathLike[str], *, force: bool) -> None:
    """Write a fitted task as a run folder."""
    _create(task, Path(folder), task.facts, force=force)
    run = RunFolder.open(folder, KIND)
    for row in task.history or ():
        run.append(row)
    steps = task.history.steps if task.history is not None else 0
    run.save(steps, {"steps": {"number": steps, "model": dict(task.model.state_dict())}}, best=True)


def read_run(folder: str | os.PathLike[str], *, trust: bool) -> RunFolder:
    """Open the run folder of a task; the cell in its config is a file of the folder, if it is that of a user."""
    run = RunFolder.open(folder, KIND)
    cell = run.config["settings"]["cell"]
    if ":" not in cell:
        return run
    path = run_files.locate(run.folder, "cell.py")
    code = consent.admit(path, trust=trust)
    if run.config["code"] != hashlib.sha256(code).hexdigest():
        raise CheckpointError(
            f"FittedTask.open: expected the cell that was trained in '{path}', got other code; restore the file."
        )
    settings = {**run.config["settings"], "cell": f"{path}:{cell.rpartition(':')[2]}"}
    return dataclasses.replace(run, config={**run.config, "settings": settings})


def _stored(task: Trainable) -> dict[str, Any]:
    """Return the description of a task as its run folder holds it: a user's cell is its file ``cell.py``."""
    content = task.content()
    cell = content["settings"]["cell"]
    if ":" in cell:
        file, _, name = cell.rpartition(":")
        content["settings"]["cell"] = f"cell.py:{name}"
        content["code"] = hashlib.sha256(consent.code_that_ran(file)).hexdigest()
    return content


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may not change when a run is resumed."""
    settings = {name: value for name, value in config["settings"].items() if name not in _CHANGEABLE}
    parts = {name: value for name, value in config.items() if name != "settings"}
    return parts | settings


def _create(task: Trainable, folder: Path, facts: Mapping[str, Any], *, force: bool) -> None:
    cell = task.settings.content()["cell"]

    def fill(prepared: Path) -> dict[str, Any]:
        if ":" in cell:
            code = consent.code_that_ran(cell.rpartition(":")[0])
            consent.record(code)
            write_atomically(prepared / "cell.py", code, "fit_task")
        return {}

    content = {"kind": KIND, "config": _stored(task), "facts": dict(facts)}
    with lock_run(folder):
        create_run(folder, content, force=force, caller="fit_task", fill=fill)
