"""The folder of a training run.

::

    runs/demo/  config.json   vocabulary.json   metrics.jsonl   [cell.py]   [tokens/]
                checkpoints/step-000900.safetensors   step-001000.safetensors   best.safetensors

All writing happens under the lock of the folder (`lock_run`); reading needs no lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import itertools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..base.files import read_regular, write_atomically
from ..data import Vocabulary
from ..errors import ArgumentError, CheckpointError, DataError
from ..nn.quantization import quantize
from . import manifest, run_files
from . import trust as consent
from .binding import Binding, recorded, step_of
from .build import build_model
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .language_model import LanguageModel
from .lock import lock_run
from .metrics import Row, keep_rows, read_rows
from .text import Writer

_NUMBERED = re.compile(r"step-([0-9]{6,15})")
_ATTEMPTS = 10
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
    id : str or None
        The identity of the run, a random number in hexadecimal; None for a run that 0.1.0 created.

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
    id: str | None = None

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
        tokens: str | os.PathLike[str] | None = None,
    ) -> Run:
        """Create a run folder, atomically. The file of a user's cell is copied into it, as it was when it was run.

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
            Whether to replace an existing run. Files in the folder that are not of a run stay.
        tokens : str or path-like, optional
            A folder of files of tokens, which becomes ``tokens`` in the run folder.

        Returns
        -------
        Run
            The new run.

        Raises
        ------
        CheckpointError
            If there already is a run without `force`, another process is training in it, the path holds something else,
            or the folder cannot be written.
        """
        target = Path(folder)
        facts = {**facts, "versions": {name: _version(name) for name in _VERSIONS}}
        with lock_run(target):
            check_free(target, force=force)
            prepared = target / f".new-{secrets.token_hex(8)}"
            content = {
                "id": secrets.token_hex(16),
                "vocabulary": vocabulary.digest,
                "config": _in_folder(config).to_json(),
                "facts": facts,
            }
            try:
                (prepared / "checkpoints").mkdir(parents=True)
                if ":" in config.cell:
                    code = consent.code_that_ran(config.cell.rpartition(":")[0])
                    consent.record(code)
                    content["code"] = hashlib.sha256(code).hexdigest()
                    write_atomically(prepared / "cell.py", code, "Run.create")
                if tokens is not None:
                    shutil.move(tokens, prepared / "tokens")
                vocabulary.save(prepared / "vocabulary.json")
                write_atomically(prepared / "metrics.jsonl", b"", "Run.create")
                write_atomically(prepared / "config.json", manifest.to_bytes(content), "Run.create")
                if run_files.is_run(target):
                    write_atomically(prepared / run_files.REPLACES, b"", "Run.create")
                run_files.replace(target, prepared)
            except OSError as error:
                if isinstance(error, CheckpointError):
                    raise
                raise CheckpointError(
                    f"Run.create: expected to create the run folder '{target}', got: {error.strerror or error}; "
                    "choose another folder (--out)."
                ) from error
            finally:
                shutil.rmtree(prepared, ignore_errors=True)
            return cls.open(target, trust=True)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, trust: bool = False) -> Run:
        """Open a run folder.

        Parameters
        ----------
        folder : str or path-like
            The path of the folder.
        trust : bool, default False
            Whether the code of a user's cell, ``cell.py``, may be run even if this user has not trained with it.
            Without consent the run is opened, but its model cannot be built.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        CheckpointError
            If it is not a run folder, or its files cannot be read or do not belong together.
        DataError
            If its vocabulary is malformed.
        """
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(CheckpointError, DataError):  # another process may be replacing the run
                return cls._read(Path(folder), trust)
        return cls._read(Path(folder), trust)

    @classmethod
    def _read(cls, root: Path, trust: bool) -> Run:
        file = run_files.locate(root, "config.json")
        if not os.path.lexists(file):
            raise CheckpointError(
                f"Run.open: expected a run folder, got {str(root)!r} without config.json; pass the "
                "folder that was given to train as --out."
            )
        content = manifest.read(file)
        config = TrainingConfig.from_json(content.get("config"), f"'{file}'")
        names = run_files.locate(root, "vocabulary.json")
        vocabulary = Vocabulary.load(names)
        if content["version"] > 1 and content.get("vocabulary") != vocabulary.digest:
            raise CheckpointError(
                f"Run.open: expected the vocabulary of the run in '{names}', got another; restore the file."
            )
        if ":" in config.cell:
            path = run_files.locate(root, "cell.py")
            code = consent.admit(path, trust=trust)
            if content["version"] > 1 and content.get("code") not in (None, hashlib.sha256(code).hexdigest()):
                raise CheckpointError(
                    f"Run.open: expected the cell that was trained in '{path}', got other code; restore the file."
                )
            config = dataclasses.replace(config, cell=f"{path}:{config.cell.rpartition(':')[2]}")
        return cls(root, config, vocabulary, manifest.with_defaults(content["facts"]), content.get("id"))

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
                f"Run.checkpoints: expected to list '{folder}', got: {error.strerror}; check its permissions."
            ) from error
        numbered = [path for path in found if path.name == _name(_number(path))]
        return sorted(numbered, key=_number, reverse=True)

    @property
    def best(self) -> Path:
        """The path of the checkpoint with the lowest held-out loss."""
        return run_files.locate(self.folder, "checkpoints") / "best.safetensors"

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
                hint = f"--checkpoint {whole.stem} can be used" if whole else "no other checkpoint can be used"
                raise CheckpointError(f"{str(error).rstrip('.')}; {hint}.") from error
        raise AssertionError

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
            As `load`, or if the weights do not fit the settings.
        ArgumentError
            If the cell of the run cannot be loaded or run, or its code is not trusted (see `open`).
        """
        content = self.load(name or ("best" if self.best.exists() else None))
        if "steps" not in content:
            raise CheckpointError(
                f"Run.load_model: expected the checkpoints of a training run in '{self.folder}', got other content; "
                "restore them."
            )
        model = build_model(self.config, len(self.vocabulary))
        model.load_state_dict(content["steps"]["model"])
        return model.eval(), content["steps"]["number"]

    @functools.cached_property
    def model(self) -> LanguageModel:
        """The model of the best checkpoint, or of the newest if there is no best; it is loaded once."""
        return self.load_model()[0]

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        seed: int | None = None,
        checkpoint: str | None = None,
        precision: str = "float32",
    ) -> Iterator[str]:
        """Return the pieces of the text that `sample` returns, one per token, as they are generated.

        Parameters
        ----------
        prompt, length, temperature, top_k, seed, checkpoint, precision
            As for `sample`.

        Returns
        -------
        iterator of str
            The prompt and the text that each token adds. Arguments are checked before the first piece is requested.

        Raises
        ------
        ArgumentError, DataError, CheckpointError
            As `sample`.

        Examples
        --------
        >>> import sys
        >>> def show(run):
        ...     for piece in run.stream("The ", length=300):
        ...         sys.stdout.write(piece)
        """
        seeded = seed is None or (type(seed) is int and seed >= 0)
        if not (seeded and type(length) is int and 1 <= length < 1 << 63):
            raise ArgumentError(
                f"Run.sample: expected length >= 1, below 2**63, and seed >= 0, got {length!r}, {seed!r}; correct them."
            )
        context = np.concatenate([[self.vocabulary.eos], self.vocabulary.encode(prompt, strict=True)])
        writer = Writer(self.vocabulary, self.config.unit)
        tokens = self._model_of(checkpoint, precision).sample(
            context,
            temperature=temperature,
            top_k=top_k,
            generator=np.random.default_rng(seed),
            exclude=writer.hidden,
        )
        return map(writer.write, itertools.chain(context[1:].tolist(), itertools.islice(tokens, length)))

    def sample(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        seed: int | None = None,
        checkpoint: str | None = None,
        precision: str = "float32",
    ) -> str:
        """Generate text with a model of the run.

        Parameters
        ----------
        prompt : str, default ""
            The text to continue, from the start of a unit.
        length : int, default 500
            The number of tokens to generate.
        temperature : float, default 0.8
            1 samples from the model's own probabilities, less is more predictable; 0 takes the most probable token.
        top_k : int, optional
            Sample from the k most probable tokens only; None allows all.
        seed : int, optional
            The same seed gives the same text; None gives another text each time.
        checkpoint : str, optional
            The name of a checkpoint; by default the best if there is one, else the newest.
        precision : str, default "float32"
            ``"int8"`` or ``"bfloat16"`` for a quantised model (see `quantize`).

        Returns
        -------
        str
            The prompt and its continuation.

        Raises
        ------
        ArgumentError
            If an argument is out of range, or the code of the run's cell is not trusted.
        DataError
            If the prompt has tokens that the vocabulary does not know.
        CheckpointError
            If the model cannot be loaded.

        Examples
        --------
        >>> import tempfile
        >>> from tinygrad_seq.train import Run, Session, TrainingConfig
        >>> sizes = dict(embedding_size=4, hidden_size=8, batch_size=2, window=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open(f"{folder}/text.txt", "w") as file:
        ...         _ = file.write("to be or not to be " * 20)
        ...     config = TrainingConfig(f"{folder}/text.txt", steps=10, warmup=2, sample_length=5, **sizes)
        ...     session = Session(config)
        ...     run = Run.create(f"{folder}/run", config, session.vocabulary, session.facts)
        ...     _ = list(session.rows(run))
        ...     text = run.sample("to be", length=10, seed=0)
        ...     text.startswith("to be"), len(text) >= 15, run.score("to be or not") < 0
        (True, True, True)
        """
        pieces = self.stream(
            prompt,
            length=length,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            checkpoint=checkpoint,
            precision=precision,
        )
        return "".join(pieces)

    def score(self, sentence: str, *, checkpoint: str | None = None, precision: str = "float32") -> float:
        """Return the natural logarithm of the probability that a unit of the text is `sentence`.

        Parameters
        ----------
        sentence : str
            A paragraph, line or document, as the model was trained (``config.unit``), without the line break that ends
            it.
        checkpoint : str, optional
            The name of a checkpoint; by default the best if there is one, else the newest.
        precision : str, default "float32"
            ``"int8"`` or ``"bfloat16"`` for a quantised model (see `quantize`).

        Returns
        -------
        float
            log P in nats: ``log P(t1 | <EOS>) + ... + log P(<EOS> | <EOS> t1 ... tn)``.

        Raises
        ------
        DataError
            If the sentence has tokens that the vocabulary does not know.
        ArgumentError, CheckpointError
            As `load_model`.

        Examples
        --------
        >>> def more_probable(run, a, b):
        ...     return a if run.score(a) > run.score(b) else b
        """
        return float(self._model_of(checkpoint, precision).log_probability(self.encode(sentence)).sum())

    def encode(self, sentence: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the tokens of a sentence between two ``<EOS>``, which `LanguageModel.log_probability` takes.

        Parameters
        ----------
        sentence : str
            The sentence.

        Returns
        -------
        ndarray, shape (T,), int64
            The tokens.

        Raises
        ------
        DataError
            If the sentence has tokens that the vocabulary does not know.
        """
        return np.concatenate([[self.vocabulary.eos], self.vocabulary.encode(sentence, eos=True, strict=True)])

    def _model_of(self, checkpoint: str | None, precision: str) -> LanguageModel:
        model = self.model if checkpoint is None and precision == "float32" else self.load_model(checkpoint)[0]
        return model if precision == "float32" else quantize(model, precision)

    def _numbered(self, step: int) -> Path:
        return run_files.locate(self.folder, "checkpoints") / _name(step)

    def _path_of(self, name: str | None) -> Path:
        if name is None:
            if not (numbered := self.checkpoints()):
                raise CheckpointError(
                    f"Run.load: expected a checkpoint in '{self.folder}', got none; train again with --force."
                )
            return numbered[0]
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise CheckpointError(
                f"Run.load: expected the name of a checkpoint in '{self.folder}', got {name!r}; pass e.g. best."
            )
        return run_files.locate(self.folder, "checkpoints") / f"{name.removesuffix('.safetensors')}.safetensors"

    def _load(self, path: Path) -> dict[str, Any]:
        """Return the content of a checkpoint, which must belong to this run."""
        return self._binding().checked(load_checkpoint(path), path)

    def _binding(self) -> Binding:
        return Binding(self.folder, self.id, self.vocabulary, self.config)

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
                        write_atomically(point, read_regular(source, "Run.cut"), "Run.cut")
                        break
                else:
                    raise CheckpointError(
                        f"Run.cut: expected an intact checkpoint of step {step} in '{point.parent}', got none; resume "
                        "from another (--checkpoint NAME)."
                    )
            for path in reversed(later):  # with the last, the newest, the run is cut
                _unlink(path)
            if (step_of(self._intact(self.best)) or 0) > step:
                _unlink(self.best)
            best = recorded(content, "stopping", "best_step")
            if best is not None and not self.best.exists():
                source = self._numbered(best)
                if recorded(self._intact(source), "stopping", "best_step") == best:
                    write_atomically(self.best, read_regular(source, "Run.cut"), "Run.cut")
            keep_rows(self.metrics, step if last_row is None else last_row, last_test)

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

        Raises
        ------
        CheckpointError
            If the file cannot be written, or another process is training in the folder.
        """
        with self.lock():
            file = self.folder / "config.json"
            content = manifest.read(file)
            content["config"] |= _in_folder(config).to_json()  # keeps the settings of other versions
            content["vocabulary"] = self.vocabulary.digest
            write_atomically(file, manifest.to_bytes(content), "Run.update_config")
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


def _in_folder(config: TrainingConfig) -> TrainingConfig:
    """Return `config` with the path of a user's cell as it is in a run folder."""
    _, colon, name = config.cell.rpartition(":")
    return dataclasses.replace(config, cell=f"cell.py:{name}") if colon else config


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def check_free(folder: Path, *, force: bool = False) -> None:
    """Raise a CheckpointError unless `folder` is missing or empty, or, with `force`, an existing run."""
    is_run = run_files.is_run(folder)
    with contextlib.suppress(OSError):  # not a folder
        if (is_run and force) or not os.path.lexists(folder) or run_files.is_empty(folder):
            return
    what = "an existing run" if is_run else "which is not a run"
    advice = "continue it with --resume, replace it with --force, or choose" if is_run else "choose"
    raise CheckpointError(
        f"Run.create: expected an empty or new folder, got '{folder}', {what}; {advice} another --out."
    )
