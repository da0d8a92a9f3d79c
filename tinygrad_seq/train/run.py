"""The folder of a training run; this module alone defines its file names.

::

    runs/demo/  config.json   vocabulary.json   metrics.jsonl   [cell.py]
                checkpoints/step-000900.safetensors   step-001000.safetensors   best.safetensors
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.files import write_atomically
from ..data import Vocabulary
from ..errors import CheckpointError
from .build import build_model
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .language_model import LanguageModel
from .metrics import Row, read_rows

_FORMAT = "tinygrad_seq.run"
_KEPT = 2
_VERSIONS = ("tinygrad-seq", "numpy", "numba")


@dataclass(frozen=True)
class Run:
    """An existing run folder; `create` makes a new one and `open` opens one.

    Attributes
    ----------
    folder : Path
        The path of the folder.
    config : TrainingConfig
        The settings of the run.
    vocabulary : Vocabulary
        The vocabulary of the model.
    facts : dict
        Further facts: the corpus, its hash, characters per token, versions.

    Examples
    --------
    >>> import tempfile
    >>> from tinygrad_seq.data import Vocabulary
    >>> from tinygrad_seq.train import Run, TrainingConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Run.create(f"{folder}/demo", TrainingConfig(steps=50), Vocabulary("abc"), facts={})
    ...     Run.open(f"{folder}/demo").config.steps
    50
    """

    folder: Path
    config: TrainingConfig
    vocabulary: Vocabulary
    facts: dict[str, Any]

    # ------------------------------------------------------------------------------------------------- making

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        config: TrainingConfig,
        vocabulary: Vocabulary,
        facts: dict[str, Any],
        *,
        force: bool = False, tokens=None,
    ) -> Run:
        """Create a run folder, atomically. The file of a user's cell is copied into it.

        Parameters
        ----------
        folder : str or path-like
            The path of the new folder.
        config : TrainingConfig
            The settings of the run.
        vocabulary : Vocabulary
            The vocabulary of the model.
        facts : dict
            Further facts, as JSON values; versions are added.
        force : bool, default False
            Whether to replace an existing run.

        Returns
        -------
        Run
            The new run.

        Raises
        ------
        CheckpointError
            If there already is a run without `force`, the path holds something else, or the folder cannot be written.
        """
        target = Path(folder)
        check_free(target, force=force)
        facts = {**facts, "versions": {name: _version(name) for name in _VERSIONS}}
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                (temporary / "checkpoints").mkdir(parents=True)
                if ":" in config.cell:
                    file, _, name = config.cell.rpartition(":")
                    shutil.copyfile(file, temporary / "cell.py")
                    config = dataclasses.replace(config, cell=f"cell.py:{name}")
                content = {"format": _FORMAT, "version": 1, "config": config.to_json(), "facts": facts}
                (temporary / "config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
                (temporary / "metrics.jsonl").touch()
                vocabulary.save(temporary / "vocabulary.json")
                _put_in_place(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except CheckpointError:
            raise
        except OSError as error:
            raise CheckpointError(
                f"Run.create: expected to create the run folder '{target}', got: {error.strerror or error}; "
                "choose another folder (--out)."
            ) from error
        return cls.open(target)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], trust=False) -> Run:
        """Open a run folder.

        Parameters
        ----------
        folder : str or path-like
            The path of the folder.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        CheckpointError
            If it is not a run folder, or its files cannot be read.
        """
        root = Path(folder)
        try:
            content = json.loads((root / "config.json").read_bytes())
        except OSError as error:
            raise CheckpointError(
                f"Run.open: expected a run folder, got '{root}' without a readable config.json ({error.strerror}); "
                "pass the folder that was given to train as --out."
            ) from error
        except ValueError as error:
            raise CheckpointError(
                f"Run.open: expected JSON in '{root / 'config.json'}', got {error}; restore it."
            ) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("version") != 1:
            raise CheckpointError(
                f"Run.open: expected '{root / 'config.json'}' to describe a run of this version, got JSON of another "
                "kind; pass the folder that was given to train as --out."
            )
        config = TrainingConfig.from_json(content["config"])
        if ":" in config.cell:
            config = dataclasses.replace(config, cell=f"{root / 'cell.py'}:{config.cell.rpartition(':')[2]}")
        return cls(root, config, Vocabulary.load(root / "vocabulary.json"), content["facts"])

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def metrics(self) -> Path:
        """The path of the metrics file."""
        return self.folder / "metrics.jsonl"

    def rows(self) -> list[Row]:
        """Return the metrics of the run so far."""
        return read_rows(self.metrics)

    def checkpoints(self) -> list[Path]:
        """Return the paths of the numbered checkpoints, newest first."""
        return sorted((self.folder / "checkpoints").glob("step-*.safetensors"), reverse=True)

    @property
    def best(self) -> Path:
        """The path of the checkpoint with the lowest held-out loss."""
        return self.folder / "checkpoints" / "best.safetensors"

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
            If there is no such checkpoint or it is damaged; the message names an intact one.
        """
        if name is None:
            if not self.checkpoints():
                raise CheckpointError(
                    f"Run.load: expected a checkpoint in '{self.folder}', got none; train again with --force."
                )
            path = self.checkpoints()[0]
        else:
            path = self.folder / "checkpoints" / f"{name}.safetensors"
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            whole = self._whole_checkpoint(other_than=path)
            hint = f"--checkpoint {whole.stem} can be used" if whole else "no other checkpoint can be used"
            raise CheckpointError(f"{str(error).rstrip('.')}; {hint}.") from error

    def load_model(self, name: str | None = None) -> tuple[LanguageModel, int]:
        """Load the model of a checkpoint.

        Parameters
        ----------
        name : str, optional
            E.g. ``"best"`` or ``"step-001000"``; by default the best if there is one, else the newest.

        Returns
        -------
        model : LanguageModel
            The model, in evaluation mode.
        step : int
            The step of the checkpoint.

        Raises
        ------
        CheckpointError
            As `load`.
        ArgumentError
            If the cell of the run cannot be loaded or run.
        """
        content = self.load(name or ("best" if self.best.exists() else None))
        model = build_model(self.config, len(self.vocabulary))
        model.load_state_dict(content["steps"]["model"])
        return model.eval(), content["steps"]["number"]

    def _whole_checkpoint(self, other_than: Path) -> Path | None:
        for path in (*self.checkpoints(), self.best):
            if path == other_than or not path.exists():
                continue
            try:
                load_checkpoint(path)
            except CheckpointError:
                continue
            return path
        return None

    # ------------------------------------------------------------------------------------------------ writing

    def save(self, step: int, content: dict[str, Any], *, best: bool = False) -> Path:
        """Write a checkpoint, then delete all but the two newest.

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
            If it cannot be written. Earlier checkpoints are unchanged in that case.
        """
        path = self.folder / "checkpoints" / f"step-{step:06d}.safetensors"
        save_checkpoint(content, path)
        if best:
            save_checkpoint(content, self.best)
        left_by_a_kill = path.parent.glob(".*.tmp")
        for old in (*self.checkpoints()[_KEPT:], *left_by_a_kill):
            old.unlink(missing_ok=True)
        return path

    def update_config(self, config: TrainingConfig) -> Run:
        """Replace the config of the run and write it to the folder.

        Parameters
        ----------
        config : TrainingConfig
            The new settings.

        Returns
        -------
        Run
            The run with the new settings.
        """
        file = self.folder / "config.json"
        content = json.loads(file.read_bytes())
        name = config.cell.rpartition(":")[2]
        stored = dataclasses.replace(config, cell=f"cell.py:{name}") if ":" in config.cell else config
        write_atomically(file, (json.dumps({**content, "config": stored.to_json()}, indent=1) + "\n").encode())
        return dataclasses.replace(self, config=config)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def check_free(folder: Path, *, force: bool = False) -> None:
    """Raise a CheckpointError unless `folder` is missing or empty, or, with `force`, an existing run."""
    if not folder.exists() or (folder.is_dir() and not any(p for p in folder.iterdir() if p.name[0]!='.')):
        return
    is_run = (folder / "config.json").is_file() and (folder / "checkpoints").is_dir()
    if is_run and force:
        return
    what = "an existing run" if is_run else "which is not a run"
    advice = "continue it with --resume, replace it with --force, or choose" if is_run else "choose"
    raise CheckpointError(
        f"Run.create: expected an empty or new folder, got '{folder}', {what}; {advice} another --out."
    )


def _put_in_place(temporary: Path, target: Path) -> None:
    """Move the folder `temporary` to `target`; an existing folder is deleted only after it has been replaced."""
    if not target.exists() or not any(p for p in target.iterdir() if p.name[0]!='.'):
        if target.exists(): shutil.rmtree(target)
        temporary.rename(target)
        return
    old = target.with_name(f".{target.name}.{secrets.token_hex(8)}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
