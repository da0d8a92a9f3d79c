from __future__ import annotations

import math

import numpy as np
import pytest

from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.metrics import bits_per_character, perplexity


def test_a_uniform_guess() -> None:
    assert bits_per_character(math.log(32)) == pytest.approx(5)
    assert bits_per_character(math.log(32), characters_per_token=2.5) == pytest.approx(2)
    assert perplexity(math.log(32)) == pytest.approx(32)
    assert perplexity(np.float64(0)) == 1


def test_a_model_that_has_diverged_has_a_finite_perplexity() -> None:
    assert math.isfinite(perplexity(1e6))
    assert math.isnan(perplexity(math.nan))


@pytest.mark.parametrize("characters", [0, -1.0, math.nan])
def test_characters_per_token_are_positive(characters) -> None:
    with pytest.raises(ArgumentError, match="characters_per_token > 0"):
        bits_per_character(1.0, characters)
