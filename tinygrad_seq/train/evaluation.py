"""What an evaluation measures: the loss on a part of the text, and a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data import Vocabulary
from ..distributed import world
from ..errors import AnomalyError
from .config import TrainingConfig
from .language_model import LanguageModel
from .loop import evaluate
from .metrics import Row, measures
from .text import Text, Writer

Poll = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Evaluation:
    """Evaluates a model; nothing changes, so an exception of `poll`, which is called in between, does no harm.

    Parameters
    ----------
    model : LanguageModel
        The model.
    vocabulary : Vocabulary
        Its vocabulary.
    text : Text
        The parts of the text.
    config : TrainingConfig
        How much to read and to sample.
    """

    model: LanguageModel
    vocabulary: Vocabulary
    text: Text
    config: TrainingConfig

    def measure(self, part: str, limit: int, poll: Poll) -> Row:
        """Return the loss on a part of the text in its units, and the number of tokens that were read.

        Parameters
        ----------
        part : str
            ``"validation"`` or ``"test"``, which also begins the names of the metrics.
        limit : int
            The maximum number of tokens to read; 0 for all.
        poll : callable
            ``poll("evaluating", done, total)`` is called before every window.

        Returns
        -------
        dict
            ``"validation_loss"`` and so on.

        Raises
        ------
        AnomalyError
            If the loss is not finite.
        """
        read = 0

        def progress(done: int, total: int) -> None:
            nonlocal read
            read = done
            poll("evaluating", done, total)

        size = {"batch_size": self.config.batch_size, "window": self.config.window}
        loss = evaluate(self.model, getattr(self.text, part), limit=limit, progress=progress, **size)
        if not math.isfinite(loss):
            raise AnomalyError(
                f"Session.rows: expected a finite loss on the {part} part, got {loss}; resume from an earlier "
                "checkpoint (--checkpoint NAME) with a smaller lr, or start again with it."
            )
        values = measures(loss, self.text.characters_per_token(part))
        return {f"{part}_{name}": value for name, value in values.items()} | {f"{part}_tokens": read}

    def sample(self, step: int, poll: Poll) -> str:
        """Return the text that the model writes after `step` steps; ``poll("sampling", ...)`` precedes every token.

        Of several ranks, only rank 0 samples.
        """
        if not world().is_writer:
            return ""
        length, written = self.config.sample_length, []
        writer = Writer(self.vocabulary, self.config.unit)
        tokens = self.model.sample(
            [self.vocabulary.eos],
            temperature=0.8,
            generator=np.random.default_rng([self.config.seed, step]),
            exclude=writer.hidden,
        )
        for number in range(length):
            poll("sampling", number, length)
            written.append(writer.write(next(tokens)))
        return "".join(written)
