"""A linear-chain conditional random field: tags that depend on their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd.conversion import to_array
from ...autograd.creation import asarray, zeros
from ...autograd.tensor import Tensor
from ...autograd.transforms.gradients import grad
from ...base.modes import ieee, no_grad
from ...base.tree import Tree
from ...errors import AnomalyError, ArgumentError, DtypeError, IndexRangeError, ShapeError
from ...ops.comparison import where
from ...ops.gathering import take_along_axis
from ...ops.indexing import take
from ...ops.primitive import Array
from ...ops.reduction import logsumexp, mean, sum
from ...ops.shape import expand_dims, reshape, swapaxes
from ...scan import scan
from ..checks import check_sizes, check_switches
from ..init import uniform_
from ..masks import check_flags
from ..module.module import Module
from ..module.parameter import Parameter


class CRF(Module):
    """A linear-chain conditional random field over K tags (Lafferty et al., 2001; Lample et al., 2016).

    ::

        score(tags) = start[y_1] + sum_t emissions_t[y_t] + sum_t transitions[y_(t-1), y_t] + end[y_T]
        ln P(tags)  = score(tags) - ln(sum over all ways of e^score)

    The sum over all ways is a scan in logarithms, compiled, whose gradient comes by itself. A transition that must not
    be is a parameter of -inf.

    Parameters
    ----------
    num_tags
        K.
    batch_first
        Whether arrays are (N, T, ...) instead of (T, N, ...).

    Attributes
    ----------
    start_transitions, end_transitions : Parameter
        (K,), drawn uniform in ±0.1.
    transitions : Parameter
        (K, K), from the tag of a row to the tag of a column, drawn alike.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> crf, emissions = ts.nn.CRF(3), ts.randn(5, 2, 3)
    >>> loss = -crf(emissions, ts.zeros((5, 2), dtype="int64"), lengths=[5, 2])
    >>> [len(tags) for tags in crf.decode(emissions, lengths=[5, 2])]
    [5, 2]
    """

    def __init__(self, num_tags: int, batch_first: bool = False) -> None:
        check_sizes("CRF", num_tags=num_tags)
        check_switches("CRF", batch_first=batch_first)
        self.num_tags, self.batch_first = num_tags, batch_first
        self.start_transitions, self.end_transitions = (Parameter(zeros(num_tags)) for _ in range(2))
        self.transitions = Parameter(zeros((num_tags, num_tags)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew."""
        for parameter in self.parameters():
            uniform_(parameter, -0.1, 0.1)

    def forward(
        self, emissions: Array, tags: Any, mask: Any = None, lengths: Any = None, reduction: str = "sum"
    ) -> Array:
        """Return the log-likelihood ``ln P(tags)``; a loss is minus this.

        Parameters
        ----------
        emissions
            (T, N, K), a score for each tag at each step.
        tags
            (T, N), integers below K; those at steps that do not count are not read.
        mask
            (T, N), bool: True at the first steps of each row, which count. Of a row without any, the likelihood is 1:
            there is one way to tag nothing.
        lengths
            (N,), from 0 to T: how many steps of each row count. Instead of a mask.
        reduction
            ``"none"`` (N,), ``"sum"``, ``"mean"`` over rows, ``"token_mean"``: the sum divided by the number of steps.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError, IndexRangeError
            If an argument does not fit.
        """
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ArgumentError(
                f"CRF: expected reduction none, sum, mean or token_mean, got {reduction!r}; pass one of them."
            )
        emissions, ends = self._checked(emissions, mask, lengths)
        path = self._checked_tags(tags, ends, emissions.shape[:2])
        likelihoods = where(ends > 0, self._score(emissions, path, ends) - self._log_sum(emissions, ends), 0)
        if reduction == "none":
            return likelihoods
        if reduction == "mean":
            return mean(likelihoods)
        return sum(likelihoods) / (max(int(ends.sum()), 1) if reduction == "token_mean" else 1)

    def marginals(self, emissions: Array, mask: Any = None, lengths: Any = None) -> Tensor:
        """Return ``P(y_t = k)`` for each step and tag, (T, N, K); 0 at steps that do not count.

        It is the gradient of the log of the sum over all ways by the emissions.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> ts.nn.CRF(3).marginals(ts.zeros((4, 2, 3))).sum(axis=-1)[0]
        tensor([1., 1.])
        """
        rows, ends = self._checked(emissions, mask, lengths)
        found: Tensor = grad(lambda x: sum(where(ends > 0, self._log_sum(x, ends), 0)), create_graph=False)(
            rows.detach()
        )
        return swapaxes(found, 0, 1) if self.batch_first else found

    def decode(self, emissions: Array, mask: Any = None, lengths: Any = None) -> list[list[int]]:
        """Return the likeliest tags of each row (Viterbi's algorithm); of several, those with the smallest last tags.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument does not fit.
        AnomalyError
            If no tags of a row have a finite score: an emission or a parameter is NaN, or nothing is allowed. The
            log-likelihood is NaN or -inf then.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> crf = ts.nn.CRF(2)
        >>> crf.transitions.data[:] = [[0, -9], [-9, 0]]  # a tag stays
        >>> crf.decode(ts.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[2.0, 0.0]]]))
        [[0, 0, 0]]
        """
        with no_grad():
            rows, ends = self._checked(emissions, mask, lengths)
            scores, counts = rows.numpy(), _before(ends, rows.shape[0])[:, :, None]
            moves, last = self.transitions.numpy(), self.end_transitions.numpy()
        best = self.start_transitions.numpy() + scores[0]
        best, came = _best_ways(best, scores, moves, last, counts)
        wrong = np.flatnonzero((ends > 0) & ~np.isfinite(best.max(axis=1)))
        if len(wrong):
            raise AnomalyError(
                "CRF.decode: expected emissions and transitions with a finite score for some tags, got "
                f"{best[wrong[0]].max()} for those of row {wrong[0]}; look for NaN in the model that made them."
            )
        tags = best.argmax(axis=1)
        return [_followed(came, n, int(tag), int(end)) for n, (tag, end) in enumerate(zip(tags, ends, strict=True))]

    def _log_sum(self, emissions: Array, ends: NDArray[np.int64]) -> Array:
        """Return the logarithm (N,) of the sum over all ways of e^score."""
        counts = _before(ends, emissions.shape[0])[:, :, None]

        def step(alpha: Array, x: tuple[Array, Array]) -> tuple[Array, Tree]:
            emission, on = x
            moved = logsumexp(expand_dims(alpha, 2) + self.transitions, axis=1) + emission
            return where(on, moved, alpha), None

        alpha, _ = scan(step, self.start_transitions + emissions[0], (emissions[1:], counts[1:]))
        return logsumexp(alpha + self.end_transitions, axis=1)

    def _score(self, emissions: Array, path: NDArray[np.int64], ends: NDArray[np.int64]) -> Array:
        """Return the score (N,) of one way."""
        counts = _before(ends, len(path))
        emitted = take_along_axis(emissions, path[:, :, None], axis=2)[:, :, 0]
        moved = take(reshape(self.transitions, (-1,)), path[:-1] * self.num_tags + path[1:], axis=0)
        final = path[ends - 1, np.arange(len(ends))]
        return (
            take(self.start_transitions, path[0], axis=0)
            + sum(where(counts, emitted, 0), axis=0)
            + sum(where(counts[1:], moved, 0), axis=0)
            + take(self.end_transitions, final, axis=0)
        )

    def _checked(self, emissions: Any, mask: Any, lengths: Any) -> tuple[Tensor, NDArray[np.int64]]:
        """Return emissions (T, N, K) and how many steps of each row count."""
        emissions = asarray(emissions)
        axes = f"{'(N, T, ' if self.batch_first else '(T, N, '}{self.num_tags})"
        facts = f"CRF: expected floating-point emissions {axes}, got {emissions.shape} {emissions.dtype}; "
        if emissions.ndim != 3 or emissions.shape[2] != self.num_tags or not emissions.size:
            raise ShapeError(f"{facts}pass a score for each tag at each step, one step or more.")
        if emissions.dtype != self.transitions.dtype:
            raise DtypeError(f"{facts}cast them to {self.transitions.dtype}, that of the layer.")
        rows = swapaxes(emissions, 0, 1) if self.batch_first else emissions
        T, N = rows.shape[:2]
        flags = check_flags("CRF", T, N, self.batch_first, lengths, mask)
        ends = np.full(N, T) if flags.lengths is None else flags.lengths
        if flags.mask is not None:
            ends = flags.mask.sum(axis=0)
            if (flags.mask != _before(ends, T)).any():
                raise ArgumentError(
                    "CRF: expected a mask that is True at the first steps of each row and False at the others, got "
                    f"one of {ends.tolist()} steps with holes; close them."
                )
        return where(_before(ends, T)[:, :, None], rows, 0), ends

    def _checked_tags(self, tags: Any, ends: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
        path = to_array("CRF.tags", tags)
        expected = shape[::-1] if self.batch_first else shape
        if path.shape != expected or path.dtype.kind not in "iu":
            raise ShapeError(
                f"CRF: expected integer tags of shape {expected}, got {path.shape} {path.dtype}; "
                "pass one for each step of each row."
            )
        path = np.where(_before(ends, shape[0]), path.T if self.batch_first else path, 0).astype(np.int64)
        wrong = path[(path < 0) | (path >= self.num_tags)]
        if wrong.size:
            raise IndexRangeError(
                f"CRF: expected tags from 0 to {self.num_tags - 1}, got {wrong[0]}; give lengths if they are padded."
            )
        return path


@ieee  # infinities that cancel out are found at the end
def _best_ways(best: Array, scores: Array, moves: Array, last: Array, counts: Array) -> tuple[Array, list[Array]]:
    """Return the best score (N, K) of a way that ends in each tag, and where it came from, step by step."""
    came = []
    for t in range(1, len(scores)):
        ways = best[:, :, None] + moves
        came.append(ways.argmax(axis=1))
        best = np.where(counts[t], ways.max(axis=1) + scores[t], best)
    return best + last, came


def _before(ends: NDArray[np.int64], T: int) -> NDArray[np.bool_]:
    """Return the steps (T, N) that count."""
    return np.arange(T)[:, None] < ends


def _followed(came: list[NDArray[np.int64]], n: int, tag: int, end: int) -> list[int]:
    """Return the way that leads to `tag` at the last of `end` steps."""
    if not end:
        return []
    tags = [tag]
    for step in reversed(came[: end - 1]):
        tags.append(int(step[n, tags[-1]]))
    return tags[::-1]
