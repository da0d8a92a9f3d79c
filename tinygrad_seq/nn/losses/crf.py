"""A linear-chain conditional random field, for tags that depend on their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from ...ops.reduction import logsumexp, mean, sum
from ...ops.shape import expand_dims, reshape, swapaxes
from ...scan import scan
from ..checks import check_sizes, check_switches
from ..init import uniform_
from ..masks import check_flags, sequence_mask
from ..module.module import Module
from ..module.parameter import Buffer, Parameter

Floats = NDArray[np.floating]


class CRF(Module):
    """A linear-chain conditional random field over K tags (Lafferty et al., 2001; Lample et al., 2016).

    ::

        score(tags) = start[y_1] + sum_t emissions_t[y_t] + sum_t transitions[y_(t-1), y_t] + end[y_T]
        ln P(tags)  = score(tags) - ln(sum over all tag sequences of e^score)

    The sum over all tag sequences is a compiled scan in logarithms.

    Parameters
    ----------
    num_tags : int
        K.
    batch_first : bool, default False
        Whether arrays are (N, T, ...) instead of (T, N, ...).
    allowed : tuple of three array_like of bool, optional
        Which tags may come first (K,), which may follow which (K, K), and which may come last (K,). The score of
        anything else is -inf. By default every sequence of tags is allowed.

    Attributes
    ----------
    start_transitions, end_transitions : Parameter
        (K,), uniform in ±0.1.
    transitions : Parameter
        (K, K), ``transitions[i, j]`` is the score of tag j after tag i; uniform in ±0.1.

    Raises
    ------
    ArgumentError, ShapeError
        If a size or switch is wrong, or `allowed` is not three arrays of bool of these shapes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> crf, emissions = ts.nn.CRF(3), ts.randn(5, 2, 3)
    >>> loss = -crf(emissions, ts.zeros((5, 2), dtype="int64"), lengths=[5, 2])
    >>> [len(tags) for tags in crf.decode(emissions, lengths=[5, 2])]
    [5, 2]

    A tag that stays as it is:

    >>> crf = ts.nn.CRF(3, allowed=([True] * 3, np.eye(3, dtype=bool), [True] * 3))
    >>> [len(set(tags)) for tags in crf.decode(ts.randn(5, 2, 3))]
    [1, 1]
    """

    def __init__(
        self,
        num_tags: int,
        batch_first: bool = False,
        allowed: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    ) -> None:
        check_sizes("CRF", num_tags=num_tags)
        check_switches("CRF", batch_first=batch_first)
        self.num_tags, self.batch_first = num_tags, batch_first
        self.start_transitions, self.end_transitions = (Parameter(zeros(num_tags)) for _ in range(2))
        self.transitions = Parameter(zeros((num_tags, num_tags)))
        self.allowed = None if allowed is None else _checked_allowed(allowed, num_tags)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values."""
        for parameter in self.parameters():
            uniform_(parameter, -0.1, 0.1)

    def forward(
        self,
        emissions: ArrayLike,
        tags: ArrayLike,
        mask: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        reduction: str = "sum",
    ) -> Tensor:
        """Return the log-likelihood ``ln P(tags)``. Its negative is a loss.

        Parameters
        ----------
        emissions : array_like
            (T, N, K), a score per tag and step, of the dtype of the parameters.
        tags : array_like of int
            (T, N), from 0 to K - 1, with any value on padding.
        mask : array_like of bool, optional
            (T, N), True at the valid steps, which must be the first of each sequence.
        lengths : array_like of int, optional
            (N,), from 0 to T, the number of valid steps. Pass lengths or a mask, not both.
            The log-likelihood of a sequence without valid steps is 0.
        reduction : {"sum", "mean", "token_mean", "none"}, default "sum"
            ``"mean"`` over sequences; ``"token_mean"`` is the sum divided by the number of valid steps.

        Returns
        -------
        Tensor
            A scalar; (N,) if the reduction is ``"none"``.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError, IndexRangeError
            If an argument has another shape or dtype, a tag is not below K, or the mask has holes.
        """
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ArgumentError(
                f"CRF: expected reduction none, sum, mean or token_mean, got {reduction!r}; pass one of them."
            )
        emissions, ends = self._checked("CRF", emissions, mask, lengths)
        path = self._checked_tags(tags, ends, emissions.shape[:2])
        likelihoods = where(ends > 0, self._score(emissions, path, ends) - self._log_sum(emissions, ends), 0)
        if reduction == "none":
            return likelihoods
        if reduction == "mean":
            return mean(likelihoods)
        return sum(likelihoods) / (max(int(ends.sum()), 1) if reduction == "token_mean" else 1)

    def marginals(
        self, emissions: ArrayLike, mask: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> Tensor:
        """Return the probability of each tag at each step, ``P(y_t = k)``.

        This is the gradient, with respect to the emissions, of the logarithm of the sum over all tag sequences.

        Parameters
        ----------
        emissions : array_like
            (T, N, K), a score per tag and step, of the dtype of the parameters.
        mask : array_like of bool, optional
            (T, N), True at the valid steps, which must be the first of each sequence.
        lengths : array_like of int, optional
            (N,), from 0 to T, the number of valid steps. Pass lengths or a mask, not both.

        Returns
        -------
        Tensor
            (T, N, K), 0 on padding; detached from the graph.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument has another shape or dtype, or the mask has holes.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> ts.nn.CRF(3).marginals(ts.zeros((4, 2, 3))).sum(axis=-1)[0]
        tensor([1., 1.])
        """
        rows, ends = self._checked("CRF.marginals", emissions, mask, lengths)
        found: Tensor = grad(lambda x: sum(where(ends > 0, self._log_sum(x, ends), 0)), create_graph=False)(
            rows.detach()
        )
        return swapaxes(found, 0, 1) if self.batch_first else found

    def decode(
        self, emissions: ArrayLike, mask: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> list[list[int]]:
        """Return the likeliest tags of each sequence (Viterbi's algorithm). Ties go to the smallest last tags.

        Parameters
        ----------
        emissions : array_like
            (T, N, K), a score per tag and step, of the dtype of the parameters.
        mask : array_like of bool, optional
            (T, N), True at the valid steps, which must be the first of each sequence.
        lengths : array_like of int, optional
            (N,), from 0 to T, the number of valid steps. Pass lengths or a mask, not both.

        Returns
        -------
        list of list of int
            The tags of the valid steps of each of the N sequences.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument has another shape or dtype, or the mask has holes.
        AnomalyError
            If no tags of a sequence have a finite score: an emission or a parameter is NaN, or every transition is
            forbidden.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> crf = ts.nn.CRF(2)
        >>> crf.transitions.data[:] = [[0, -9], [-9, 0]]  # tags rarely change
        >>> crf.decode(ts.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[2.0, 0.0]]]))
        [[0, 0, 0]]
        """
        with no_grad():
            rows, ends = self._checked("CRF.decode", emissions, mask, lengths)
            scores, counts = rows.numpy(), sequence_mask(ends, rows.shape[0])[:, :, None]
            first, moves, last = (part.numpy() for part in self._transitions())
        best = first + scores[0]
        best, came = _best_paths(best, scores, moves, last, counts)
        wrong = np.flatnonzero((ends > 0) & ~np.isfinite(best.max(axis=1)))
        if len(wrong):
            raise AnomalyError(
                "CRF.decode: expected emissions and transitions with a finite score for some tags, got "
                f"{best[wrong[0]].max()} for sequence {wrong[0]}; look for NaN in the model that computed them."
            )
        tags = best.argmax(axis=1)
        return [_follow(came, n, int(tag), int(end)) for n, (tag, end) in enumerate(zip(tags, ends, strict=True))]

    def _transitions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of first tags (K,), transitions (K, K) and last tags (K,), -inf for what is not allowed."""
        scores = self.start_transitions, self.transitions, self.end_transitions
        if self.allowed is None:
            return scores
        first, moves, last = (where(flags, score, -np.inf) for flags, score in zip(self.allowed, scores, strict=True))
        return first, moves, last

    def _log_sum(self, emissions: Tensor, ends: NDArray[np.int64]) -> Tensor:
        """Return the logarithm (N,) of the sum over all tag sequences of e^score."""
        counts = sequence_mask(ends, emissions.shape[0])[:, :, None]
        first, moves, last = self._transitions()

        def step(alpha: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tree]:
            emission, on = x
            moved = logsumexp(expand_dims(alpha, 2) + moves, axis=1) + emission
            return where(on, moved, alpha), None

        alpha, _ = scan(step, first + emissions[0], (emissions[1:], counts[1:]))
        return logsumexp(alpha + last, axis=1)

    def _score(self, emissions: Tensor, path: NDArray[np.int64], ends: NDArray[np.int64]) -> Tensor:
        """Return the score (N,) of the tags in `path`."""
        counts = sequence_mask(ends, len(path))
        first, moves, last = self._transitions()
        emitted = take_along_axis(emissions, path[:, :, None], axis=2)[:, :, 0]
        moved = take(reshape(moves, (-1,)), path[:-1] * self.num_tags + path[1:], axis=0)
        final = path[ends - 1, np.arange(len(ends))]
        return (
            take(first, path[0], axis=0)
            + sum(where(counts, emitted, 0), axis=0)
            + sum(where(counts[1:], moved, 0), axis=0)
            + take(last, final, axis=0)
        )

    def _checked(self, caller: str, emissions: Any, mask: Any, lengths: Any) -> tuple[Tensor, NDArray[np.int64]]:
        """Return emissions (T, N, K), 0 on padding, and the number of valid steps (N,)."""
        emissions = asarray(emissions)
        axes = f"{'(N, T, ' if self.batch_first else '(T, N, '}{self.num_tags})"
        facts = f"{caller}: expected floating-point emissions {axes}, got {emissions.shape} {emissions.dtype}; "
        if emissions.ndim != 3 or emissions.shape[2] != self.num_tags or not emissions.size:
            raise ShapeError(f"{facts}pass a score per tag and step, for one step or more.")
        if emissions.dtype != self.transitions.dtype:
            raise DtypeError(f"{facts}cast them to {self.transitions.dtype}, the dtype of the layer.")
        rows = swapaxes(emissions, 0, 1) if self.batch_first else emissions
        T, N = rows.shape[:2]
        flags = check_flags(caller, T, N, self.batch_first, lengths, mask)
        ends = np.full(N, T) if flags.lengths is None else flags.lengths
        if flags.mask is not None:
            ends = flags.mask.sum(axis=0)
            if (flags.mask != sequence_mask(ends, T)).any():
                raise ArgumentError(
                    f"{caller}: expected a mask that is True at the first steps of each sequence and False after them, "
                    f"got one of {ends.tolist()} steps with holes; move the valid steps to the front."
                )
        return where(sequence_mask(ends, T)[:, :, None], rows, 0), ends

    def _checked_tags(self, tags: Any, ends: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
        path = to_array("CRF.tags", tags)
        expected = shape[::-1] if self.batch_first else shape
        if path.shape != expected or path.dtype.kind not in "iu":
            raise ShapeError(
                f"CRF: expected integer tags of shape {expected}, got {path.shape} {path.dtype}; "
                "pass one per step of each sequence."
            )
        path = np.where(sequence_mask(ends, shape[0]), path.T if self.batch_first else path, 0).astype(np.int64)
        wrong = path[(path < 0) | (path >= self.num_tags)]
        if wrong.size:
            raise IndexRangeError(
                f"CRF: expected tags from 0 to {self.num_tags - 1}, got {wrong[0]}; pass lengths if they are padded."
            )
        return path


def _checked_allowed(allowed: Any, num_tags: int) -> list[Buffer]:
    """Return the flags of first tags, transitions and last tags; they follow from the tags: no state dict has them."""
    shapes = [(num_tags,), (num_tags, num_tags), (num_tags,)]
    if not isinstance(allowed, tuple | list) or len(allowed) != 3:
        raise ArgumentError(
            f"CRF: expected allowed to be (first tags, transitions, last tags), got {allowed!r:.80}; pass three arrays."
        )
    flags = [to_array("CRF.allowed", part) for part in allowed]
    if [part.shape for part in flags] != shapes or any(part.dtype != bool for part in flags):
        raise ShapeError(
            f"CRF: expected allowed of shapes {shapes} bool, got {[(part.shape, str(part.dtype)) for part in flags]}; "
            "pass a flag per tag and per pair of tags."
        )
    return [Buffer(part, persistent=False) for part in flags]


@ieee  # inf - inf is detected at the end
def _best_paths(
    best: Floats, scores: Floats, moves: Floats, last: Floats, counts: NDArray[np.bool_]
) -> tuple[Floats, list[NDArray[np.int64]]]:
    """Return the best score (N, K) of a path that ends in each tag, and the tag before it at each step."""
    came = []
    for t in range(1, len(scores)):
        paths = best[:, :, None] + moves
        came.append(paths.argmax(axis=1))
        best = np.where(counts[t], paths.max(axis=1) + scores[t], best)
    return best + last, came


def _follow(came: list[NDArray[np.int64]], n: int, tag: int, end: int) -> list[int]:
    """Return the path that ends in `tag` at the last of `end` steps."""
    if not end:
        return []
    tags = [tag]
    for step in reversed(came[: end - 1]):
        tags.append(int(step[n, tags[-1]]))
    return tags[::-1]
