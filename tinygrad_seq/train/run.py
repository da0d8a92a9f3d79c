"""The run folder of a language model.

::

    runs/demo/  config.json   vocabulary.json   metrics.jsonl   [cell.py]   [tokens/]
                checkpoints/step-000900.safetensors   step-001000.safetensors   best.safetensors
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..base.files import write_atomically
from ..data import Vocabulary
from ..errors import ArgumentError, CheckpointError
from ..nn.quantization import quantize
from . import manifest, run_files
from . import trust as consent
from .binding import TextBinding
from .build import build_model
from .config import TrainingConfig
from .language_model import LanguageModel
from .lock import lock_run
from .run_folder import StoredRun, create_run, opened, read_config
from .text import Writer


@dataclass(frozen=True, kw_only=True)
class Run(StoredRun):
    """An existing run folder of a language model; `create` makes a new one and `open` opens one.

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

    config: TrainingConfig
    vocabulary: Vocabulary

    _caller: ClassVar[str] = "Run"
    _naming: ClassVar[str] = "--checkpoint"
    _again: ClassVar[str] = "train again with --force"

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

        def fill(prepared: Path) -> dict[str, Any]:
            entries = {"vocabulary": vocabulary.digest}
            if ":" in config.cell:
                code = consent.code_that_ran(config.cell.rpartition(":")[0])
                consent.record(code)
                entries["code"] = hashlib.sha256(code).hexdigest()
                write_atomically(prepared / "cell.py", code, "Run.create")
            if tokens is not None:
                shutil.move(tokens, prepared / "tokens")
            vocabulary.save(prepared / "vocabulary.json")
            return entries

        content = {"kind": manifest.LANGUAGE_MODEL, "config": _in_folder(config).to_json(), "facts": facts}
        with lock_run(target):
            create_run(target, content, force=force, caller="Run.create", fill=fill)
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
        return opened(lambda: cls._read(Path(folder), trust))

    @classmethod
    def _read(cls, root: Path, trust: bool) -> Run:
        content = read_config(root, manifest.LANGUAGE_MODEL, "Run")
        file = run_files.locate(root, "config.json")
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
        facts = manifest.with_defaults(content)
        return cls(folder=root, config=config, vocabulary=vocabulary, facts=facts, id=content.get("id"))

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

    def _binding(self) -> TextBinding:
        return TextBinding(self.folder, self.id, self._caller, self.vocabulary, self.config)

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
        self._write_config(_in_folder(config).to_json(), vocabulary=self.vocabulary.digest)
        return dataclasses.replace(self, config=config)


def _in_folder(config: TrainingConfig) -> TrainingConfig:
    """Return `config` with the path of a user's cell as it is in a run folder."""
    _, colon, name = config.cell.rpartition(":")
    return dataclasses.replace(config, cell=f"cell.py:{name}") if colon else config
