"""The training loop: truncated backpropagation through time, one update per window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..autograd.tensor import Tensor
from ..base import settings
from ..base.modes import no_grad
from ..data import Windows
from ..data.windows import Window
from ..distributed import world
from ..errors import ArgumentError
from ..functional import cross_entropy
from ..nn import Module, evaluating
from ..optim import Optimizer, Scheduler
from .updates import Updates


class TrainingSteps(Updates):
    """Train a language model: an endless iterator that makes one update per window of text and yields one `Step`.

    The state of the network is carried from window to window, detached from its history, and starts over with each pass
    over the text. Iterating again continues where the previous loop stopped, also after ``break``.

    Parameters
    ----------
    model : Module
        ``model(tokens (T, N), state) -> (logits (T, N, V), state)``; `state` is None at the start.
    windows : Windows
        The text.
    optimizer : Optimizer
        An optimiser of the parameters of `model`.
    scheduler : Scheduler or sequence of Scheduler, optional
        Stepped after each update, except a `ReduceLROnPlateau`, which the caller steps with the held-out loss.
    clip_norm : float, default inf
        Maximum norm of the gradient.
    begins : int, optional
        The token at which a unit of the text starts, e.g. ``<EOS>``.
    restart : float, default 0.0
        Probability that the state is reset at the token `begins`. A model that is to start texts has to be trained from
        the initial state. If it is positive, `model` must accept ``reset``, flags of shape (T, N).
    precision : str, default "float32"
        ``"bfloat16"`` to train inside `autocast`.
    loss : callable, optional
        ``loss(tokens (T, N), targets (T, N), state) -> (mean loss, state)``, such as `LanguageModel.loss`, which keeps
        no logits in memory. By default the cross entropy of what `model` returns.

    Raises
    ------
    ArgumentError
        If `restart` is not in [0, 1], or `precision` is another one.
    AnomalyError
        While iterating, if a loss or gradient is not finite; the parameters keep their values in that case.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from tinygrad_seq.train import LanguageModel, TrainingSteps
    >>> _ = ts.manual_seed(0)
    >>> model = LanguageModel(5, embedding_size=4, hidden_size=8, cell="gru")
    >>> windows = ts.data.Windows([0, 1, 2, 3, 4] * 20, batch_size=2, window=10)
    >>> steps = TrainingSteps(model, windows, ts.optim.Adam(model.parameters(), lr=0.05), clip_norm=1.0)
    >>> for step in steps:
    ...     if step.number == 60:
    ...         break
    >>> step.loss < 0.5
    True
    """

    def __init__(
        self,
        model: Module,
        windows: Windows,
        optimizer: Optimizer,
        *,
        scheduler: Scheduler | Sequence[Scheduler] | None = None,
        clip_norm: float = math.inf,
        begins: int | None = None,
        restart: float = 0.0,
        precision: str = "float32",
        loss: Callable[..., tuple[Tensor, Any]] | None = None,
    ) -> None:
        if not 0 <= restart <= 1:
            raise ArgumentError(f"TrainingSteps: expected restart to be from 0 to 1, got {restart!r}; pass e.g. 0.1.")
        super().__init__(model, optimizer, scheduler=scheduler, clip_norm=clip_norm, precision=precision)
        self.windows = windows
        self.begins, self.restart = begins, restart
        self._loss = self._loss_of_logits if loss is None else loss
        self._pass: Iterator[Window] | None = None

    def _next_batch(self) -> tuple[tuple[np.ndarray[Any, Any], dict[str, Any]], np.ndarray[Any, Any]] | None:
        if self._pass is None:
            self._pass = iter(self.windows)
        window = next(self._pass, None)
        if window is None:
            self._pass = None
            return None
        inputs, targets = window
        mine = slice(None), self._world.rows(inputs.shape[1])
        options = {}
        if self.begins is not None and self.restart:
            chosen = settings.generator().random(inputs.shape) < self.restart
            options["reset"] = ((inputs == self.begins) & chosen)[mine]
        return (inputs[mine], options), targets[mine]

    def _loss_of(
        self, inputs: tuple[np.ndarray[Any, Any], dict[str, Any]], targets: np.ndarray[Any, Any]
    ) -> tuple[Tensor, float, Any]:
        tokens, options = inputs
        loss, state = self._loss(tokens, targets, self.state, **options)
        return loss, targets.size, state

    def _loss_of_logits(self, tokens: ArrayLike, targets: ArrayLike, state: Any, **options: Any) -> tuple[Tensor, Any]:
        logits, state = self.model(tokens, state, **options)
        return cross_entropy(logits, targets, axis=-1), state

    def _position(self) -> dict[str, Any]:
        return {"windows": self.windows.state_dict()}

    def _load_position(self, state: dict[str, Any]) -> None:
        self.windows.load_state_dict(state["windows"])


def evaluate(
    model: Module,
    tokens: ArrayLike,
    *,
    batch_size: int = 32,
    window: int = 64,
    limit: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> float:
    """Return the mean loss of a language model on a text, without training it.

    The text is read as in training: in at most `batch_size` parallel streams, with the state carried from window to
    window. A `limit` reads the first part of each stream, so what is read is spread over the whole text. In a program
    that mpirun started, all ranks call this function, and share the streams.

    Parameters
    ----------
    model : Module
        ``model(tokens (T, N), state) -> (logits (T, N, V), state)``.
    tokens : array_like of int, shape (tokens,)
        The text, at least two tokens.
    batch_size : int, default 32
        Maximum number of streams.
    window : int, default 64
        Maximum number of tokens per window.
    limit : int, default 0
        Maximum number of tokens to read, but at least one per stream; 0 means all.
    progress : callable, optional
        ``progress(done, total)`` is called before each window and at the end, with numbers of tokens. An exception
        that it raises ends the evaluation and passes through.

    Returns
    -------
    float
        Mean loss in nats per token.

    Raises
    ------
    DataError
        If there are fewer than two tokens.

    Examples
    --------
    >>> from tinygrad_seq.train import LanguageModel, evaluate
    >>> model = LanguageModel(5, embedding_size=4, hidden_size=8)
    >>> 1.2 < evaluate(model, [0, 1, 2, 3, 4] * 10) < 2.2  # untrained: about ln 5 = 1.61
    True
    """
    row = np.asarray(tokens)
    streams = max(1, min(batch_size, (len(row) - 1) // window))
    length = max(1, (len(row) - 1) // streams)
    windows = Windows(row, streams, min(window, length))
    length = min(length, max(1, limit // streams)) if limit else length
    ranks = world()
    mine = ranks.rows(streams) if streams >= ranks.size else slice(0, streams if ranks.is_writer else 0)
    with evaluating(model), no_grad():
        state, total, count = None, 0.0, 0
        for inputs, targets in windows:
            if progress is not None:
                progress(count, length * streams)
            left = length - count // streams
            if mine.start < mine.stop:
                logits, state = model(inputs[:left, mine], state)
                total += cross_entropy(logits, targets[:left, mine], axis=-1, reduction="sum").item()
            count += targets[:left].size
            if left <= window:
                break
    if progress is not None:
        progress(count, count)
    return ranks.sum([total])[0] / count
