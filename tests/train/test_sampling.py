from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.errors import AnomalyError, ArgumentError
from tinygrad_seq.train import choose_token

LOGITS = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=12)


@given(LOGITS, st.sampled_from([1e-300, 1e-3, 1.0, 1e3, 1e300]), st.integers(0, 2**32))
def test_any_finite_logits_give_a_token_without_warnings(logits, temperature: float, seed: int) -> None:
    token = choose_token(np.float32(logits), temperature, generator=np.random.default_rng(seed))
    assert 0 <= token < len(logits)


def test_frequencies_are_the_softmax(rng: np.random.Generator) -> None:
    logits = np.log([0.1, 0.2, 0.7])
    draws = np.bincount([choose_token(logits, generator=rng) for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(draws, [0.1, 0.2, 0.7], atol=0.03)
    draws = np.bincount([choose_token(logits, 0.5, generator=rng) for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(draws, np.square([0.1, 0.2, 0.7]) / 0.54, atol=0.03)


def test_top_k_and_exclude(rng: np.random.Generator) -> None:
    logits = [3.0, 3.0, 3.0, 2.9, -50.0]
    assert {choose_token(logits, top_k=2, generator=rng) for _ in range(100)} == {0, 1}
    assert {choose_token(logits, top_k=2, generator=rng, exclude=[0]) for _ in range(100)} == {1, 2}
    assert {choose_token(logits, top_k=99, generator=rng) for _ in range(100)} == {0, 1, 2, 3}


def test_temperature_zero_draws_nothing() -> None:
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    assert choose_token([1.0, 5.0, 5.0], 0, generator=generator) == 1
    assert generator.bit_generator.state == before


def test_impossible_tokens_never_come(rng: np.random.Generator) -> None:
    assert {choose_token([-np.inf, 0.0, -np.inf], 1e6, generator=rng) for _ in range(50)} == {1}


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf], []])
def test_damaged_logits_are_an_error(logits) -> None:
    with pytest.raises(AnomalyError, match="finite logits"):
        choose_token(logits)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"temperature": np.nan}, {"top_k": 0}])
def test_bad_options_are_refused(options) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        choose_token([1.0], **options)
