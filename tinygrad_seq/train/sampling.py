"""Sample one token from the logits of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..base import settings
from ..errors import AnomalyError
from ..functional import categorical
from ..ops.choice import check_drawing


def choose_token(
    logits: ArrayLike,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: np.random.Generator | None = None,
    *,
    exclude: Sequence[int] = (),
) -> int:
    """Sample a token with probability ``softmax(logits / temperature)``.

    Parameters
    ----------
    logits : array_like, shape (V,)
        One logit per token.
    temperature : float, default 1.0
        Divides the logits; 0 returns the first most probable token and draws no random number.
    top_k : int, optional
        Sample from the k most probable tokens only; None allows all.
    generator : numpy.random.Generator, optional
        Source of the random number; by default the process-wide generator.
    exclude : sequence of int, default ()
        Tokens that are never sampled.

    Returns
    -------
    int
        The index of the token.

    Raises
    ------
    ArgumentError
        If `temperature` or `top_k` is out of range.
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
    check_drawing("choose_token", temperature, top_k)
    scores = np.array(logits, dtype=np.float64)
    scores[list(exclude)] = -np.inf
    if not scores.size:
        raise AnomalyError("choose_token: expected finite logits, got none; pass one per token.")
    uniform = settings.generator(generator).random() if temperature else 0.0
    return int(categorical(scores, uniform, temperature, top_k).item())
