"""One token from the logits of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .. import config
from ..errors import AnomalyError, ArgumentError
from ..functional import categorical


def check_sampling(temperature: float, top_k: int | None) -> None:
    """Raise ArgumentError unless `temperature` is >= 0 and `top_k` None or >= 1."""
    if not 0 <= temperature < np.inf:
        raise ArgumentError(
            f"sample: expected a finite temperature >= 0, got {temperature!r}; 1 samples from the model as it is, "
            "0 takes the likeliest token."
        )
    if top_k is not None and top_k < 1:
        raise ArgumentError(f"sample: expected top_k >= 1, got {top_k!r}; leave it out to allow every token.")


def choose_token(
    logits: ArrayLike,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: np.random.Generator | None = None,
    *,
    exclude: Sequence[int] = (),
) -> int:
    """Return a token drawn with probability ``softmax(logits / temperature)``.

    Parameters
    ----------
    logits
        Shape (V,).
    temperature
        0 gives the likeliest token and draws nothing (the first of several).
    top_k
        How many of the likeliest tokens may come; None allows all.
    generator
        What draws (the process-wide generator if not given).
    exclude
        Tokens that may not come.

    Raises
    ------
    AnomalyError
        If a logit is NaN or +infinity, or none is finite.

    Examples
    --------
    >>> import numpy as np
    >>> choose_token([0.0, 3.0, 1.0], temperature=0)
    1
    >>> choose_token([0.0, 3.0, 1.0], top_k=2, exclude=[1], generator=np.random.default_rng(0)) in (0, 2)
    True
    """
    check_sampling(temperature, top_k)
    scores = np.array(logits, dtype=np.float64)
    scores[list(exclude)] = -np.inf
    if not scores.size:
        raise AnomalyError("choose_token: expected finite logits, got none; pass one for each token.")
    uniform = config.generator(generator).random() if temperature else 0.0
    return int(categorical(scores, uniform, temperature, top_k).item())
