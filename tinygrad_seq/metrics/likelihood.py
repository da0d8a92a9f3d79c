"""Convert a loss in nats to bits per character and perplexity."""

from __future__ import annotations

import math

from ..errors import ArgumentError


def bits_per_character(loss: float, characters_per_token: float = 1.0) -> float:
    """Convert a loss to bits per character.

    Parameters
    ----------
    loss : float
        Nats per token.
    characters_per_token : float, default 1.0
        The number of characters of the text divided by its number of tokens.

    Returns
    -------
    float
        Bits per character.

    Raises
    ------
    ArgumentError
        If `characters_per_token` is not positive.

    Examples
    --------
    >>> from tinygrad_seq.metrics import bits_per_character
    >>> bits_per_character(0.6931471805599453)  # ln 2: a fair coin at every character
    1.0
    """
    if not characters_per_token > 0:
        raise ArgumentError(
            f"bits_per_character: expected characters_per_token > 0, got {characters_per_token}; pass the number of "
            "characters of the text divided by its number of tokens."
        )
    return float(loss) / math.log(2) / characters_per_token


def perplexity(loss: float) -> float:
    """Convert a loss to perplexity: the number of equally likely tokens that would give the same loss.

    Parameters
    ----------
    loss : float
        Nats per token.

    Returns
    -------
    float
        ``exp(loss)``, at most ``exp(700)``, so that it is finite.

    Examples
    --------
    >>> from tinygrad_seq.metrics import perplexity
    >>> perplexity(0.6931471805599453)
    2.0
    """
    return math.exp(min(float(loss), 700.0))
