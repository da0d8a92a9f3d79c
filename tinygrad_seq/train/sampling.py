"""One token from the logits of a model."""

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
    """Return a token drawn with probability ``softmax(logits / temperature)``.

    Parameters
    ----------
    logits : array_like
        Shape (V,).
    temperature : float, default 1.0
        0 gives the likeliest token and draws nothing (the first of several).
    top_k : int, default None
        How many of the likeliest tokens may come; None allows all.
    generator : numpy.random.Generator, default None
        What draws (the process-wide generator if not given).
    exclude : sequence of int, default ()
        Tokens that may not come.

    Returns
    -------
    int
        The index of the token.

    Raises
    ------
    ArgumentError
        If the temperature or `top_k` is out of range.
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
        raise AnomalyError("choose_token: expected finite logits, got none; pass one for each token.")
    uniform = settings.generator(generator).random() if temperature else 0.0
    return int(categorical(scores, uniform, temperature, top_k).item())
