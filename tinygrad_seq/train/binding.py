"""What binds a checkpoint to its run: the identity of the run, the vocabulary and the settings that may not change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Vocabulary
from ..errors import CheckpointError
from .config import CHANGEABLE, TrainingConfig


@dataclass(frozen=True)
class Binding:
    """The run in `folder`, as its checkpoints must record it.

    Checkpoints of version 0.1.0 record nothing; they are accepted in a run that 0.1.0 created, whose `id` is None.
    """

    folder: Path
    id: str | None
    caller: str

    def to_json(self) -> dict[str, Any]:
        """Return what the checkpoints of the run record under ``"run"``."""
        return {"id": self.id}

    def checked(self, content: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return the content of the checkpoint `path` without its record of the run, which is verified.

        Raises
        ------
        CheckpointError
            If it belongs to another run, vocabulary or settings, or its weights do not fit the settings.
        """
        found = content.pop("run", None)
        if found is not None or self.id is not None:
            self._check_record(found if isinstance(found, dict) else {}, path)
        return content

    def _check_record(self, found: dict[str, Any], path: Path) -> None:
        """Raise unless what a checkpoint records is that of this run."""
        own = self.to_json()
        for key, place in (("id", "run"), ("vocabulary", "vocabulary")):
            if found.get(key) != own.get(key, found.get(key)):
                raise CheckpointError(
                    f"{self.caller}.load: expected '{path}' to belong to the {place} in '{self.folder}', got one of "
                    f"another {place}; restore the files of the run."
                )


@dataclass(frozen=True)
class TextBinding(Binding):
    """The run of a language model: its vocabulary, and the settings that may not change, are bound too."""

    vocabulary: Vocabulary
    config: TrainingConfig

    def to_json(self) -> dict[str, Any]:
        """Return what the checkpoints of the run record under ``"run"``."""
        cell = self.config.cell.rpartition(":")[2]  # wherever the run folder is
        fixed = {
            name: value
            for name, value in {**self.config.to_json(), "cell": cell}.items()
            if name not in (*CHANGEABLE, "corpus")
        }
        return {"id": self.id, "vocabulary": self.vocabulary.digest, "settings": fixed}

    def checked(self, content: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return the content as `Binding.checked`, after a look at its weights."""
        if "steps" in content:
            self._check_weights(content, path)
        return super().checked(content, path)

    def _check_record(self, found: dict[str, Any], path: Path) -> None:
        super()._check_record(found, path)
        settings = found.get("settings")
        for name, value in self.to_json()["settings"].items():
            trained = settings.get(name, value) if isinstance(settings, dict) else None
            if trained != value:
                raise CheckpointError(
                    f"Run.load: expected {name}={trained!r} in '{self.folder / 'config.json'}', with which '{path}' "
                    f"was trained, got {value!r}; restore config.json."
                )

    def _check_weights(self, content: dict[str, Any], path: Path) -> None:
        """Raise unless the weights fit the settings: a model of the sizes in a tampered file would fill the memory."""
        weights = content["steps"].get("model") if step_of(content) is not None else None
        weights = weights if isinstance(weights, dict) else {}
        sizes = {"embedding.weight": self.config.embedding_size, "decoder.weight": self.config.hidden_size}
        expected = {name: (len(self.vocabulary), size) for name, size in sizes.items()}
        got = {name: getattr(weights.get(name), "shape", None) for name in sizes}
        arrays = all(isinstance(weight, np.ndarray) for weight in weights.values())
        if got != expected or not arrays or len(weights) < self.config.num_layers:
            raise CheckpointError(
                f"Run.load: expected a step, weights of the shapes {expected} and {self.config.num_layers} layers in "
                f"'{path}', as '{self.folder}' says, got {got} and others; restore the files of the run."
            )


def step_of(content: dict[str, Any] | None) -> int | None:
    """Return the step that the content of a checkpoint records."""
    return recorded(content, "steps", "number")


def recorded(content: dict[str, Any] | None, part: str, name: str) -> int | None:
    """Return an integer that the content of a checkpoint records; None if there is none."""
    values = (content or {}).get(part)
    value = values.get(name) if isinstance(values, dict) else None
    return value if type(value) is int else None
