"""A run folder: all that is known of one training run, and the only place where its files are named.

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
    """A run folder, which exists; `create` makes one and `open` finds one.

    Parameters
    ----------
    folder : Path
        An existing run folder.
    config : TrainingConfig
        The settings of the run.
    vocabulary : Vocabulary
        The tokens of the model.
    facts : dict
        What else is known of the run: the corpus, its hash, characters per token, versions.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> import tempfile
    >>> vocabulary = ts.data.Vocabulary.build("a text")
    >>> folder = f"{tempfile.mkdtemp()}/run"
    >>> run = ts.train.Run.create(folder, ts.train.TrainingConfig(), vocabulary, {"corpus": "pydoc"})
    >>> ts.train.Run.open(folder).facts["corpus"]
    'pydoc'
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
        force: bool = False,
    ) -> Run:
        """Return a new run folder, which appears whole or not at all; with `force` it takes an old run's place.

        The file of a cell of the user's is copied into it.

        Parameters
        ----------
        folder : str or PathLike
            Where to make it.
        config : TrainingConfig
            The settings of the run.
        vocabulary : Vocabulary
            The tokens of the model.
        facts : dict
            What else to keep: the corpus, its hash, versions.
        force : bool, default False
            Whether to replace an old run in that place.

        Returns
        -------
        Run
            The new run.

        Raises
        ------
        CheckpointError
            As `check_free`, or if the folder cannot be written.
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
                f"train: expected to create the run folder '{target}', got: {error.strerror or error}; "
                "choose another place with --out."
            ) from error
        return cls.open(target)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Return the run in `folder`.

        Parameters
        ----------
        folder : str or PathLike
            A run folder.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        CheckpointError
            If there is none, or its files cannot be read.
        """
        root = Path(folder)
        try:
            content = json.loads((root / "config.json").read_bytes())
        except OSError as error:
            raise CheckpointError(
                f"run: expected a run folder, got '{root}' without a readable config.json ({error.strerror}); "
                "pass what --out named when it was trained."
            ) from error
        except ValueError as error:
            raise CheckpointError(
                f"run: expected JSON in '{root / 'config.json'}', got {error}; restore it."
            ) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("version") != 1:
            raise CheckpointError(
                f"run: expected '{root / 'config.json'}' to be of a run of this version, got JSON of another kind; "
                "pass what --out named when it was trained."
            )
        config = TrainingConfig.from_json(content["config"])
        if ":" in config.cell:
            config = dataclasses.replace(config, cell=f"{root / 'cell.py'}:{config.cell.rpartition(':')[2]}")
        return cls(root, config, Vocabulary.load(root / "vocabulary.json"), content["facts"])

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def metrics(self) -> Path:
        """The file of the metrics."""
        return self.folder / "metrics.jsonl"

    def rows(self) -> list[Row]:
        """Return what the run measured so far."""
        return read_rows(self.metrics)

    def checkpoints(self) -> list[Path]:
        """Return the numbered checkpoints, the newest first."""
        return sorted((self.folder / "checkpoints").glob("step-*.safetensors"), reverse=True)

    @property
    def best(self) -> Path:
        """The file of the checkpoint with the lowest held-out loss."""
        return self.folder / "checkpoints" / "best.safetensors"

    def load(self, name: str | None = None) -> dict[str, Any]:
        """Return the checkpoint `name`, e.g. ``"best"`` or ``"step-001000"``, or the newest.

        Parameters
        ----------
        name : str, default None
            Such as ``"best"`` or ``"step-001000"``; None for the newest.

        Returns
        -------
        dict
            The content of the checkpoint.

        Raises
        ------
        CheckpointError
            If there is none, or it is damaged; the message names one that is whole.
        """
        if name is None:
            if not self.checkpoints():
                raise CheckpointError(f"run: expected a checkpoint in '{self.folder}', got none; train with --force.")
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
        """Return the model of a checkpoint, by default the best, and the step it is of; errors as `load`.

        Parameters
        ----------
        name : str, default None
            As in `load`; None for the best.

        Returns
        -------
        tuple of LanguageModel and int
            The model, and the step it is of.

        Raises
        ------
        CheckpointError
            As `load`.
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
        """Write a checkpoint, also as the best if it is, then delete the oldest; return its path.

        Parameters
        ----------
        step : int
            The number of the step.
        content : dict
            What to write.
        best : bool, default False
            Whether it is the best so far.

        Returns
        -------
        Path
            Where the checkpoint is.

        Raises
        ------
        CheckpointError
            If it cannot be written. The earlier ones are untouched then.
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
        """Return the run with another config, which is also written.

        Parameters
        ----------
        config : TrainingConfig
            The new settings, which are also written.

        Returns
        -------
        Run
            The run with them.
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
    """Raise CheckpointError unless a run folder can be made here: nothing there, or with `force` an old run."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    is_run = (folder / "config.json").is_file() and (folder / "checkpoints").is_dir()
    if is_run and force:
        return
    what = "a run that is there already" if is_run else "something there that is no run"
    advice = "go on with it by --resume, replace it by --force, or choose" if is_run else "choose"
    raise CheckpointError(f"train: expected a free run folder, got '{folder}', {what}; {advice} another --out.")


def _put_in_place(temporary: Path, target: Path) -> None:
    """Move the folder `temporary` to `target`; an old folder there is deleted only after it has been replaced."""
    if not target.exists():
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
