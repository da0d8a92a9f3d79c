"""What the processes of one training say to each other; here one process alone, for which nothing is to be done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ArgumentError


class World:
    """The processes that train together, the *ranks*; `world` returns it.

    Every rank runs the same program on its share of each batch and calls the methods in the same order. All ranks make
    the same updates, so their parameters stay equal. In a process that mpirun did not start there is one rank, and
    every method returns at once what it was given.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        The number of ranks.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> world = ts.distributed.world()
    >>> world.rank, world.size, world.is_writer, world.rows(32)
    (0, 1, True, slice(0, 32, None))
    """

    rank = 0
    size = 1

    @property
    def is_writer(self) -> bool:
        """Whether this is rank 0, the only one that writes files and prints."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return the batch elements of this rank; if they cannot be shared equally, the first ranks get one more.

        Parameters
        ----------
        batch_size : int
            The number of batch elements of all ranks.

        Returns
        -------
        slice
            At least one element.

        Raises
        ------
        ArgumentError
            If there are fewer batch elements than ranks.
        """
        if batch_size < self.size:
            raise ArgumentError(
                f"World.rows: expected a batch of at least {self.size} elements, one per rank, got {batch_size}; "
                "increase the batch size, or start fewer ranks (mpirun -n)."
            )
        each, more = divmod(batch_size, self.size)
        begin = self.rank * each + min(self.rank, more)
        return slice(begin, begin + each + (self.rank < more))

    def share(self, batch_size: int) -> slice:
        """Return the batch elements of this rank as `rows`; all of them if there are fewer than ranks.

        So all ranks compute the last batch of an epoch if it is that small; the mean over the ranks stays exact.

        Parameters
        ----------
        batch_size : int
            The number of batch elements of all ranks.

        Returns
        -------
        slice
            At least one element.
        """
        return self.rows(batch_size) if batch_size >= self.size else slice(0, batch_size)

    def check(self, caller: str, facts: Mapping[str, Any]) -> None:
        """Raise on all ranks unless all have the same facts and the same versions of the packages.

        Parameters
        ----------
        caller : str
            The name that a message starts with.
        facts : mapping
            What must be equal, as JSON values by name, e.g. settings and a digest of the data.

        Raises
        ------
        ArgumentError
            If a fact differs; the message names it, two ranks and their values.
        """

    def draws(self, step: int) -> contextlib.AbstractContextManager[None]:
        """Return a context in which this rank has its own random numbers, e.g. for the masks of dropout.

        They depend on the state of the process-wide generator, which does not advance, on `step` and on the rank. With
        one rank the context changes nothing.

        Parameters
        ----------
        step : int
            The number of the update, so that each has other numbers.

        Returns
        -------
        context manager
            The context for the forward pass.
        """
        return contextlib.nullcontext()

    def average(self, parameters: Iterable[Tensor], loss: float, weight: float = 1.0) -> tuple[float, float]:
        """Replace the gradient of each parameter by its mean over the ranks, weighted by `weight`.

        Parameters
        ----------
        parameters : iterable of Tensor
            The parameters, in the same order on all ranks. Where a rank has no gradient, it counts as 0.
        loss : float
            The mean loss of this rank.
        weight : float, default 1.0
            What the mean of this rank was taken over, e.g. its number of tokens; 0 if it has none.

        Returns
        -------
        loss : float
            The weighted mean of the losses. If that of a rank is NaN, it is NaN on all.
        weight : float
            The sum of the weights.

        Raises
        ------
        ArgumentError
            If `weight` is negative or not finite, all weights are 0, or another rank calls another method.
        """
        return loss, weight

    def agree(self, stop: bool, seconds: float = 0.0) -> tuple[bool, float]:
        """Return the same decision on all ranks; call it after each update.

        Parameters
        ----------
        stop : bool
            Whether this rank wants to stop, e.g. because it received a signal.
        seconds : float, default 0.0
            The time of this rank's clock.

        Returns
        -------
        stop : bool
            Whether any rank wants to stop.
        seconds : float
            The time of rank 0.

        Raises
        ------
        ArgumentError
            If another rank calls another method.
        """
        return stop, seconds

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums over the ranks of at most six numbers, e.g. of a loss and a number of tokens.

        Parameters
        ----------
        values : sequence of float
            The numbers of this rank.

        Returns
        -------
        list of float
            The sums, equal on all ranks.

        Raises
        ------
        ArgumentError
            If there are more than six, or another rank calls another method.
        """
        return list(values)

    def gather_rows(self, tree: Any) -> Any:
        """Return a tree of arrays of all ranks on rank 0, joined along the first axis, and None on the others.

        Parameters
        ----------
        tree : pytree of ndarray
            Arrays whose first axis has the batch elements that `rows` gave to this rank.

        Returns
        -------
        pytree of ndarray or None
            The arrays of the whole batch.

        Raises
        ------
        ArgumentError
            If another rank calls another method.
        """
        return tree

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0 on all ranks, e.g. the weights from which all start.

        Parameters
        ----------
        value : object
            Any object that can be pickled; only that of rank 0 counts.

        Returns
        -------
        object
            The value, or a copy of it.

        Raises
        ------
        ArgumentError
            If another rank calls another method.
        """
        return value

    def failing(self, code: int) -> contextlib.AbstractContextManager[None]:
        """Return a context in which this rank reports its error, and after which all ranks end.

        Rank 0 comes first, since the others may have the same error: they report theirs only if it does not end them.
        With one rank the context changes nothing.

        Parameters
        ----------
        code : int
            The exit code of the ranks.

        Returns
        -------
        context manager
            The context.
        """
        return contextlib.nullcontext()
