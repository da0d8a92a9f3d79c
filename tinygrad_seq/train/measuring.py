"""What a model and a loss make of a batch, in training and in evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..autograd.tensor import Tensor
from ..base import settings
from ..base.modes import no_grad
from ..distributed import world
from ..errors import ArgumentError, DtypeError, ShapeError
from ..nn import Module, evaluating
from .epochs import Resumable, Source, checked_source, one_epoch, size_of

Loss = Callable[..., Any]


@runtime_checkable
class WholeMetric(Protocol):
    """A metric that is no mean over batches, such as the F1 score of a whole set."""

    def reset(self) -> None:
        """Forget all batches."""

    def update(self, outputs: Any, /, *targets: Any) -> object:
        """Count a batch."""

    def compute(self) -> float:
        """Return the value for all batches since `reset`."""


class Task(NamedTuple):
    """How the loss of a batch is computed.

    Attributes
    ----------
    model : Module
        ``model(*inputs) -> outputs``.
    loss : callable
        ``loss(outputs, *targets) -> mean`` or ``(mean, weight)``.
    stateful : bool
        Whether it is ``model(*inputs, state) -> (outputs, state)``.
    caller : str
        The name of the function that the user called.
    """

    model: Module
    loss: Loss
    stateful: bool
    caller: str

    def pair(self, batch: Any) -> tuple[Any, Any]:
        """Return the inputs and the targets of a batch, or raise an ArgumentError."""
        if isinstance(batch, tuple | list) and len(batch) == 2:
            return batch[0], batch[1]
        count = f" of {len(batch)} entries" if hasattr(batch, "__len__") else ""
        raise ArgumentError(
            f"{self.caller}: expected each batch to be a pair (inputs, targets), got a {type(batch).__name__}{count}; "
            "several inputs or targets form a tuple: ((x, lengths), y)."
        )

    def outputs(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Return the outputs of the model and the state after them, None unless it is stateful."""
        arguments, named = _arguments(inputs)
        if not self.stateful:
            return self.model(*arguments, **named), None
        given = self.model(*arguments, state=state, **named) if named else self.model(*arguments, state)
        if not (isinstance(given, tuple) and len(given) == 2):
            raise ArgumentError(
                f"{self.caller}: expected a stateful model to return (outputs, state), got a {type(given).__name__}; "
                "return both, or leave out stateful=True."
            )
        return given

    def loss_of(self, outputs: Any, targets: Any) -> tuple[Tensor, float]:
        """Return the mean loss and its weight, or raise unless they are a scalar tensor and a number."""
        arguments, named = _arguments(targets)
        loss = self.loss(outputs, *arguments, **named)
        loss, weight = loss if type(loss) is tuple and len(loss) == 2 else (loss, None)
        if not isinstance(loss, Tensor):
            raise DtypeError(
                f"{self.caller}: expected the loss to return a Tensor, or (Tensor, weight), got a "
                f"{type(loss).__name__}; compute it with operations of tinygrad_seq."
            )
        if loss.shape != ():
            raise ShapeError(
                f"{self.caller}: expected the loss to return a scalar, got shape {loss.shape}; take its mean."
            )
        return loss, _weight_of(arguments, named) if weight is None else self._checked(weight)

    def _checked(self, weight: Any) -> float:
        weight = weight.item() if hasattr(weight, "item") else weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise ArgumentError(
                f"{self.caller}: expected the weight of the loss to be a finite number > 0, got {weight!r}; return "
                "what the mean was taken over, e.g. the number of tokens."
            )
        return weight


def measure(
    model: Module,
    batches: Source,
    loss: Loss,
    *,
    metrics: Mapping[str, Any] | None = None,
    stateful: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, float]:
    """Return the mean loss and the metrics of a model on batches, without training it.

    The means are exact also if batches differ in size: they are weighted as `fit` describes. The model is in evaluation
    mode meanwhile, and neither gradients nor random numbers are used up.

    Parameters
    ----------
    model : Module
        ``model(*inputs) -> outputs``.
    batches : iterable, or function that returns one
        Pairs ``(inputs, targets)``, as for `fit`.
    loss : callable
        ``loss(outputs, *targets)``, as for `fit`.
    metrics : mapping of str to callable, optional
        As for `fit`.
    stateful : bool, default False
        As for `fit`.
    progress : callable, optional
        ``progress(done, total)`` is called before each batch and at the end, with numbers of batches; the total is 0 if
        it is not known.

    Returns
    -------
    dict
        ``"loss"``, ``"weight"`` (what the mean loss was taken over), and the metrics by name.

    Raises
    ------
    ArgumentError
        If an argument or a batch is not as described.
    DataError
        If there are no batches.
    ShapeError, DtypeError
        If the loss is no scalar tensor.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> model = ts.nn.Linear(2, 1)
    >>> batches = [(ts.zeros(3, 2), ts.ones(3, 1)), (ts.zeros(1, 2), ts.ones(1, 1))]
    >>> sorted(ts.train.measure(model, batches, ts.mse_loss))
    ['loss', 'weight']
    """
    check_metrics("measure", metrics)
    if not isinstance(model, Module):
        raise ArgumentError(f"measure: expected model to be an nn.Module, got a {type(model).__name__}; pass it first.")
    checked_source("measure", "the batches", batches, epochs=1)
    return measured(Task(model, loss, stateful, "measure"), batches, metrics or {}, progress or (lambda *_: None))


def check_metrics(caller: str, metrics: Any) -> None:
    """Raise an ArgumentError unless `metrics` maps names to metrics."""
    if metrics is None:
        return
    if not isinstance(metrics, Mapping):
        raise ArgumentError(
            f"{caller}: expected metrics to be a dict of functions by name, got a {type(metrics).__name__}; pass e.g. "
            "{'accuracy': accuracy}."
        )
    for name, metric in metrics.items():
        if not isinstance(name, str) or name in ("loss", "weight", "step"):
            raise ArgumentError(f"{caller}: expected another name of a metric, got {name!r}; rename it.")
        if not (callable(metric) or isinstance(metric, WholeMetric)):
            raise ArgumentError(
                f"{caller}: expected the metric {name!r} to be a function of (outputs, *targets), or an object with "
                f"reset, update and compute, got a {type(metric).__name__}; correct it."
            )


def measured(
    task: Task, batches: Source, metrics: Mapping[str, Any], progress: Callable[[int, int], object]
) -> dict[str, float]:
    """Return what `measure` returns; the arguments have been checked."""
    whole = {name: metric for name, metric in metrics.items() if isinstance(metric, WholeMetric)}
    means = {name: metric for name, metric in metrics.items() if name not in whole}
    for metric in whole.values():
        metric.reset()
    sums = dict.fromkeys(("loss", *means), (0.0, 0.0))
    total = size_of(batches) or 0
    done, state = 0, None
    ranks = world()
    is_shared = not whole and not task.stateful  # else each rank measures all batches

    def add(name: str, value: float, weight: float) -> None:
        before, weights = sums[name]
        sums[name] = before + value * weight, weights + weight

    generator = settings.generator().bit_generator.state
    with evaluating(task.model), no_grad():
        for batch in _kept_in_place(batches):
            progress(done, total)
            done += 1
            if is_shared and done % ranks.size != ranks.rank:
                continue
            inputs, targets = task.pair(batch)
            outputs, state = task.outputs(inputs, state)
            loss, weight = task.loss_of(outputs, targets)
            add("loss", loss.item(), weight)
            arguments, named = _arguments(targets)
            for name, metric in means.items():
                value = metric(outputs, *arguments, **named)
                value, own = value if type(value) is tuple and len(value) == 2 else (value, weight)
                add(name, _number(task.caller, name, value), _number(task.caller, name, own))
            for metric in whole.values():
                metric.update(outputs, *arguments, **named)
    settings.generator().bit_generator.state = generator
    progress(done, done)
    if not done:
        checked_source(task.caller, "the held-out batches", [])
    weights, found = {}, {}
    for name, pair in sums.items():
        value, weights[name] = ranks.sum(pair) if is_shared else pair
        if not weights[name]:
            raise ArgumentError(f"{task.caller}: expected weights of {name} that are not all 0, got 0; correct them.")
        found[name] = value / weights[name]
    found |= {name: _number(task.caller, name, metric.compute()) for name, metric in whole.items()}
    return ranks.broadcast({"loss": found.pop("loss"), "weight": weights["loss"], **found})  # type: ignore[no-any-return]


def _kept_in_place(batches: Source) -> Iterator[Any]:
    """Yield the batches of one epoch; batches that save their position start from it again."""
    if not isinstance(batches, Resumable):
        yield from one_epoch(batches)
        return
    state = batches.state_dict()
    try:
        yield from batches
    finally:
        batches.load_state_dict(state)


def _arguments(value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return inputs or targets as positional and keyword arguments."""
    if type(value) is dict:
        return (), value
    return (value if type(value) is tuple else (value,)), {}


def _weight_of(arguments: tuple[Any, ...], named: dict[str, Any]) -> float:
    """Return the number of values in the first target, 1 if there is none."""
    for target in (*arguments, *named.values()):
        return max(1, math.prod(target.shape) if hasattr(target, "shape") else np.size(target))
    return 1


def _number(caller: str, name: str, value: Any) -> float:
    value = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentError(
            f"{caller}: expected the metric {name!r} to be a number, or (mean, weight), got a {type(value).__name__}; "
            "return a number."
        )
    return float(value)
