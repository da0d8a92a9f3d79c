"""The folder of a training run.

::

    runs/demo/  config.json   metrics.jsonl
                checkpoints/step-000900.safetensors   step-001000.safetensors   best.safetensors

All writing happens under the lock of the folder (`lock_run`); reading needs no lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..base.files import read_regular, write_atomically
from ..errors import CheckpointError, DataError
from ..nn import Module
from . import manifest, run_files
from .binding import Binding, recorded, step_of
from .checkpoint import load_checkpoint, save_checkpoint
from .lock import lock_run
from .metrics import Row, append_row, keep_rows, read_rows

_NUMBERED = re.compile(r"step-([0-9]{6,15})")
_ATTEMPTS = 10
# How a run is continued, replaced, and put elsewhere, by the function that the user called.
_ADVICE = {"Run.create": ("--resume", "--force", "--out"), "fit": ("resume=True", "force=True", "folder")}
# What a run is of, and what reads it.
_KINDS = {
    manifest.LANGUAGE_MODEL: ("a language model", "tinygrad-seq sample, score or report, or Run.open"),
    "task": ("a task", "tinygrad-seq predict or evaluate, or FittedTask.open"),
    "forecast": ("a forecast", "tinygrad-seq predict or evaluate, or Forecaster.open"),
    "fit": ("a program with ts.fit", "that program, or RunFolder.open"),
}
R = TypeVar("R")
_VERSIONS = ("tinygrad-seq", "numpy", "numba")


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """What all run folders have: `RunFolder` describes any run with JSON values, `Run` is that of a language model.

    Attributes
    ----------
    folder : Path
        The path of the folder.
    facts : dict
        Further facts, as JSON values.
    id : str or None
        The identity of the run, a random number in hexadecimal; None for a run that 0.1.0 created.
    """

    folder: Path
    facts: dict[str, Any]
    id: str | None = None

    keeps_checkpoints: ClassVar[bool] = True
    # In messages: the class, how a checkpoint is chosen, and how training starts again.
    _caller: ClassVar[str] = "RunFolder"
    _naming: ClassVar[str] = "the checkpoint"
    _again: ClassVar[str] = "train again with force=True"

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def metrics(self) -> Path:
        """The path of the metrics file."""
        return run_files.locate(self.folder, "metrics.jsonl")

    def rows(self) -> list[Row]:
        """Return the metrics of the run so far."""
        return read_rows(self.metrics)

    def checkpoints(self) -> list[Path]:
        """Return the paths of the numbered checkpoints, newest first.

        Returns
        -------
        list of Path
            Empty if there is none yet.

        Raises
        ------
        CheckpointError
            If their folder cannot be listed.
        """
        folder = run_files.locate(self.folder, "checkpoints")
        try:
            with os.scandir(folder) as entries:
                found = [folder / entry.name for entry in entries if entry.is_file()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"{self._caller}.checkpoints: expected to list '{folder}', got: {error.strerror}; check its "
                "permissions."
            ) from error
        numbered = [path for path in found if path.name == _name(_number(path))]
        return sorted(numbered, key=_number, reverse=True)

    @property
    def best(self) -> Path:
        """The path of the checkpoint of the best evaluation."""
        return run_files.locate(self.folder, "checkpoints") / "best.safetensors"

    @property
    def has_best(self) -> bool:
        """Whether there is a best checkpoint."""
        return self.best.exists()

    def load(self, name: str | None = None) -> dict[str, Any]:
        """Load a checkpoint.

        Parameters
        ----------
        name : str, optional
            E.g. ``"best"`` or ``"step-001000"``; by default the newest.

        Returns
        -------
        dict
            The content of the checkpoint.

        Raises
        ------
        CheckpointError
            If there is no such checkpoint, it is damaged, or it belongs to another run, vocabulary or settings; the
            message names an intact one.
        """
        for attempt in range(_ATTEMPTS):
            path = self._path_of(name)
            try:
                return self._load(path)
            except CheckpointError as error:
                if name is None and attempt < _ATTEMPTS - 1 and not path.exists():
                    continue  # the process that trains has just deleted it, and written a newer one
                whole = self._whole_checkpoint(other_than=path)
                hint = f"{self._naming} {whole.stem} can be used" if whole else "no other checkpoint can be used"
                raise CheckpointError(f"{str(error).rstrip('.')}; {hint}.") from error
        raise AssertionError

    def load_weights(self, model: Module, name: str | None = None) -> int:
        """Load the weights of a checkpoint into a model.

        Parameters
        ----------
        model : Module
            A model of the same structure as the one that was trained.
        name : str, optional
            E.g. ``"best"`` or ``"step-001000"``; by default the best if there is one, else the newest.

        Returns
        -------
        int
            The step of the checkpoint.

        Raises
        ------
        CheckpointError
            As `load`, or if the weights do not fit the model.
        """
        content = self.load(name or ("best" if self.has_best else None))
        step = step_of(content)
        weights = content["steps"].get("model") if step is not None else None
        if step is None or not isinstance(weights, dict):
            raise CheckpointError(
                f"{self._caller}.load_weights: expected the checkpoints of a training run in '{self.folder}', got "
                "other content; restore them."
            )
        model.load_state_dict(weights)
        return step

    def _numbered(self, step: int) -> Path:
        return run_files.locate(self.folder, "checkpoints") / _name(step)

    def _path_of(self, name: str | None) -> Path:
        if name is None:
            if not (numbered := self.checkpoints()):
                raise CheckpointError(
                    f"{self._caller}.load: expected a checkpoint in '{self.folder}', got none; {self._again}."
                )
            return numbered[0]
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise CheckpointError(
                f"{self._caller}.load: expected the name of a checkpoint in '{self.folder}', got {name!r}; pass "
                "e.g. best."
            )
        return run_files.locate(self.folder, "checkpoints") / f"{name.removesuffix('.safetensors')}.safetensors"

    def _load(self, path: Path) -> dict[str, Any]:
        """Return the content of a checkpoint, which must belong to this run."""
        return self._binding().checked(load_checkpoint(path), path)

    def _binding(self) -> Binding:
        return Binding(self.folder, self.id, self._caller)

    def _whole_checkpoint(self, other_than: Path) -> Path | None:
        candidates = (path for path in (*self.checkpoints(), self.best) if path != other_than)
        return next((path for path in candidates if self._intact(path) is not None), None)

    def _intact(self, path: Path) -> dict[str, Any] | None:
        """Return the content of a checkpoint of this run; None if it is missing or damaged."""
        if path.exists():
            with contextlib.suppress(CheckpointError):
                return self._load(path)
        return None

    # ------------------------------------------------------------------------------------------------ writing

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which no other process can write to the run; see `lock_run`."""
        return lock_run(self.folder)

    def save(self, step: int, content: dict[str, Any], *, best: bool = False) -> Path:
        """Write a checkpoint, then delete all earlier ones but the newest that is intact.

        Parameters
        ----------
        step : int
            The step of the checkpoint.
        content : dict
            What `save_checkpoint` accepts.
        best : bool, default False
            Whether to write it as the best checkpoint too.

        Returns
        -------
        Path
            The path of the checkpoint.

        Raises
        ------
        CheckpointError
            If it cannot be written, or another process is training in the folder. Earlier checkpoints are unchanged in
            that case.
        """
        with self.lock():
            content = {**content, "run": self._binding().to_json()}
            path = self._numbered(step)
            if best:  # first: after a kill the run continues before this step, and comes to the same best
                save_checkpoint(content, self.best)
            save_checkpoint(content, path)
            earlier = [other for other in self.checkpoints() if _number(other) < step]
            kept = next((other for other in earlier if self._intact(other) is not None), None)
            for other in earlier:
                if other != kept:
                    _unlink(other)
            return path

    def append(self, row: Row) -> None:
        """Append a row to the metrics file.

        Parameters
        ----------
        row : dict
            Numbers, texts and None by name; ``"step"`` is an integer.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        append_row(self.metrics, row)

    def cut(self, step: int, *, last_row: int | None = None, last_test: int | None = None) -> None:
        """Go back to a step: delete the checkpoints and rows after it.

        The checkpoint of this step stays, as a numbered one. The best checkpoint stays if it is not from a later step.
        A kill at any moment leaves the run either as it was or cut.

        Parameters
        ----------
        step : int
            The step to continue from.
        last_row : int, default step
            The last step whose row in the metrics stays.
        last_test : int, optional
            The last step whose row of the test part stays; by default as for the other rows.

        Raises
        ------
        CheckpointError
            If there is no intact checkpoint of this step, a file cannot be written or deleted, or another process is
            training in the folder.
        """
        with self.lock():
            later = [path for path in self.checkpoints() if _number(path) > step]
            point = self._numbered(step)
            content = self._intact(point)
            if content is None and (later or self.best.exists()):
                for source in sorted(point.parent.glob("*.safetensors")):
                    if step_of(content := self._intact(source)) == step:
                        write_atomically(point, read_regular(source, f"{self._caller}.cut"), f"{self._caller}.cut")
                        break
                else:
                    raise CheckpointError(
                        f"{self._caller}.cut: expected an intact checkpoint of step {step} in '{point.parent}', got "
                        "none; resume from another checkpoint."
                    )
            for path in reversed(later):  # with the last, the newest, the run is cut
                _unlink(path)
            if (step_of(self._intact(self.best)) or 0) > step:
                _unlink(self.best)
            best = recorded(content, "stopping", "best_step")
            if best is not None and not self.best.exists():
                source = self._numbered(best)
                if recorded(self._intact(source), "stopping", "best_step") == best:
                    write_atomically(self.best, read_regular(source, f"{self._caller}.cut"), f"{self._caller}.cut")
            keep_rows(self.metrics, step if last_row is None else last_row, last_test)

    def _write_config(self, config: dict[str, Any], **entries: Any) -> None:
        caller = f"{self._caller}.update_config"
        with self.lock():
            file = self.folder / "config.json"
            content = manifest.read(file, caller)
            content["config"] |= config  # keeps the settings of other versions
            write_atomically(file, manifest.to_bytes({**content, **entries}), caller)


@dataclass(frozen=True, kw_only=True)
class RunFolder(StoredRun):
    """An existing run folder of any kind; `create` makes a new one and `open` opens one.

    Attributes
    ----------
    folder : Path
        The path of the folder.
    kind : str
        What was trained: ``"language_model"``, ``"fit"``, or what the caller of `create` chose.
    config : dict
        What describes the run, as JSON values.
    facts : dict
        Further facts, as JSON values: versions and what the caller of `create` gave.
    id : str or None
        The identity of the run, a random number in hexadecimal; None for a run that 0.1.0 created.

    Examples
    --------
    >>> import tempfile
    >>> from tinygrad_seq.train import RunFolder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = RunFolder.create(f"{folder}/demo", "classifier", {"classes": ["no", "yes"]})
    ...     RunFolder.open(f"{folder}/demo").config["classes"]
    ['no', 'yes']
    """

    kind: str
    config: dict[str, Any]

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        kind: str,
        config: dict[str, Any],
        facts: dict[str, Any] | None = None,
        *,
        force: bool = False,
    ) -> RunFolder:
        """Create a run folder, atomically.

        Parameters
        ----------
        folder : str or path-like
            The path of the new folder.
        kind : str
            What is trained, e.g. ``"classifier"``.
        config : dict
            What describes the run, as JSON values, e.g. the sizes of the model and the names of its classes.
            Checkpoints are bound to it.
        facts : dict, optional
            Further facts, as JSON values; versions are added.
        force : bool, default False
            Whether to replace an existing run. Files in the folder that are not of a run stay.

        Returns
        -------
        RunFolder
            The new run.

        Raises
        ------
        CheckpointError
            If there already is a run without `force`, another process is training in it, the path holds something else,
            or the folder cannot be written.
        DtypeError
            If a value is none of JSON.
        """
        content = {"kind": kind, "config": config, "facts": facts or {}}
        with lock_run(folder):
            create_run(Path(folder), content, force=force, caller="RunFolder.create")
            return cls.open(folder, kind)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], kind: str | None = None) -> RunFolder:
        """Open a run folder of any kind.

        Parameters
        ----------
        folder : str or path-like
            The path of the folder.
        kind : str, optional
            The kind that it must be of; by default any.

        Returns
        -------
        RunFolder
            The run.

        Raises
        ------
        CheckpointError
            If it is not a run folder, it is of another kind, or its files cannot be read or do not belong together.
        """
        return opened(lambda: cls._described(Path(folder), kind))

    @classmethod
    def _described(cls, root: Path, kind: str | None) -> RunFolder:
        content = read_config(root, kind, cls._caller)
        return cls(
            folder=root,
            kind=content["kind"],
            config=content["config"],
            facts=manifest.with_defaults(content),
            id=content.get("id"),
        )

    def update_config(self, config: dict[str, Any]) -> RunFolder:
        """Replace the config of the run and write it to the folder.

        Parameters
        ----------
        config : dict
            What describes the run, as JSON values.

        Returns
        -------
        RunFolder
            The run with the new config.

        Raises
        ------
        CheckpointError
            If the file cannot be written, or another process is training in the folder.
        """
        self._write_config(config)
        return dataclasses.replace(self, config=config)


def _name(step: int) -> str:
    return f"step-{step:06d}.safetensors"


def _number(path: Path) -> int:
    """Return the step in the name of a numbered checkpoint, or -1."""
    match = _NUMBERED.fullmatch(path.stem)
    return int(match[1]) if match else -1


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"Run.save: expected to delete '{path}', got: {error.strerror}; check the permissions of the folder."
        ) from error


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def create_run(
    folder: Path,
    content: dict[str, Any],
    *,
    force: bool,
    caller: str,
    fill: Callable[[Path], dict[str, Any]] = lambda _: {},
) -> None:
    """Create a run folder, atomically.

    Parameters
    ----------
    folder : Path
        The path of the new folder.
    content : dict
        The content of config.json: ``"kind"``, ``"config"``, ``"facts"``; an id and versions are added.
    force : bool
        Whether to replace an existing run.
    caller : str
        The name of the function that the user called.
    fill : callable, optional
        Writes further files to the folder it receives, and returns further entries of config.json.
    """
    facts = {**content["facts"], "versions": {name: _version(name) for name in _VERSIONS}}
    with lock_run(folder):
        check_free(folder, force=force, caller=caller)
        prepared = folder / f".new-{secrets.token_hex(8)}"
        content = {"id": secrets.token_hex(16), **content, "facts": facts}
        try:
            (prepared / "checkpoints").mkdir(parents=True)
            data = manifest.to_bytes({**content, **fill(prepared)})
            write_atomically(prepared / "metrics.jsonl", b"", caller)
            write_atomically(prepared / "config.json", data, caller)
            if run_files.is_run(folder):
                write_atomically(prepared / run_files.REPLACES, b"", caller)
            run_files.replace(folder, prepared)
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{caller}: expected to create the run folder '{folder}', got: {error.strerror or error}; choose "
                "another folder (--out)."
            ) from error
        finally:
            shutil.rmtree(prepared, ignore_errors=True)


def opened(read: Callable[[], R]) -> R:
    """Return what `read` returns; try again if it fails, because another process may be replacing the run."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(CheckpointError, DataError):
            return read()
    return read()


def read_config(root: Path, kind: str | None, caller: str) -> dict[str, Any]:
    """Return the content of config.json of the run in `root`, which must be of the kind.

    Raises
    ------
    CheckpointError
        If it is not a run folder, it is of another kind, or the file cannot be read.
    """
    file = run_files.locate(root, "config.json")
    if not os.path.lexists(file):
        raise CheckpointError(
            f"{caller}.open: expected a run folder, got {str(root)!r} without config.json; pass the --out of train "
            "or fit, or the run of ts.fit."
        )
    content = manifest.read(file, f"{caller}.open")
    if kind is not None and content["kind"] != kind:
        wanted, found = (_KINDS.get(each, (f"kind {each!r}", "RunFolder.open")) for each in (kind, content["kind"]))
        raise CheckpointError(
            f"{caller}.open: expected the run of {wanted[0]} in '{root}', got that of {found[0]}; use {found[1]}."
        )
    return content


def check_free(folder: Path, *, force: bool = False, caller: str = "Run.create") -> None:
    """Raise a CheckpointError unless `folder` is missing or empty, or, with `force`, an existing run."""
    is_run = run_files.is_run(folder)
    with contextlib.suppress(OSError):  # not a folder
        if (is_run and force) or not os.path.lexists(folder) or run_files.is_empty(folder):
            return
    what = "an existing run" if is_run else "which is not a run"
    resume, replace, other = _ADVICE.get(caller, _ADVICE["fit"])
    advice = f"continue it with {resume}, replace it with {replace}, or choose" if is_run else "choose"
    raise CheckpointError(
        f"{caller}: expected an empty or new folder, got '{folder}', {what}; {advice} another {other}."
    )
