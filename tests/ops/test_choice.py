"""`categorical` draws what NumPy's cumulative sums say, whatever the temperature, ties and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tinygrad_seq.errors import AnomalyError, ArgumentError, DtypeError, ShapeError

SCORES = st.lists(st.sampled_from([-np.inf, -3.0, -1.0, 0.0, 0.5, 0.5000001, 2.0, 40.0]), min_size=1, max_size=20)


def expected(logits: np.ndarray, uniform: float, temperature: float, top_k: int | None) -> int:
    scores = logits.astype(np.float64)
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None:
        scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
    with np.errstate(over="ignore"):
        cumulative = np.cumsum(np.exp((scores - scores.max()) / temperature))
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


@given(
    SCORES,
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0.0, 1e-300, 0.3, 1.0, 1e300]),
    st.one_of(st.none(), st.integers(1, 22)),
)
def test_one_row(scores: list[float], uniform: float, temperature: float, top_k: int | None) -> None:
    logits = np.array([*scores, 1.0])
    token = ts.categorical(logits, uniform, temperature, top_k).item()
    assert token == expected(logits, uniform, temperature, top_k)


def test_many_rows_and_axes(rng) -> None:
    logits, uniforms = rng.standard_normal((3, 4, 9)).astype(np.float32), rng.random((3, 4)).astype(np.float32)
    drawn = ts.categorical(ts.tensor(logits, requires_grad=True).transpose(1, 0, 2), uniforms.T, 0.7, 4)
    assert drawn.dtype == np.int64
    assert not drawn.requires_grad
    for (i, j), token in np.ndenumerate(drawn.numpy().T):
        assert token == expected(logits[i, j], float(uniforms[i, j]), 0.7, 4)
    assert ts.categorical(np.zeros((0, 3)), np.zeros(0)).shape == (0,)


def test_every_k_of_a_large_row(rng) -> None:
    logits = np.round(rng.standard_normal(50), 1)
    for top_k in range(1, 52):
        allowed = set(np.argsort(-logits, kind="stable")[:top_k].tolist())
        drawn = ts.categorical(np.tile(logits, (200, 1)), (np.arange(200) + 0.5) / 200, 1e9, top_k)
        assert set(drawn.tolist()) == allowed


@pytest.mark.parametrize("row", [[np.nan, 1.0], [1.0, np.nan], [np.inf, 1.0], [-np.inf, -np.inf]])
def test_damaged_scores(row: list[float]) -> None:
    with pytest.raises(AnomalyError, match="finite logits"):
        ts.categorical(np.array([[0.0, 1.0], row]), np.zeros(2))


def test_bad_arguments() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\) float32 and \(3,\)"):
        ts.categorical(ts.ones((2, 3)), ts.ones(3))
    with pytest.raises(ShapeError, match=r"\(2, 0\)"):
        ts.categorical(ts.ones((2, 0)), ts.ones(2))
    with pytest.raises(DtypeError, match="int64"):
        ts.categorical(np.ones((2, 3), np.int64), ts.ones(2))
    for temperature in (-1, np.nan, np.inf, "0.5", None, True, [1.0], np.ones(1)):
        with pytest.raises(ArgumentError, match="categorical: expected temperature to be a finite number >= 0, got"):
            ts.categorical(ts.ones((2, 3)), ts.zeros(2), temperature)
    for top_k in (0, "2", 1.5, True):
        with pytest.raises(ArgumentError, match="categorical: expected top_k to be an integer >= 1 or None, got"):
            ts.categorical(ts.ones((2, 3)), ts.zeros(2), top_k=top_k)  # type: ignore[arg-type]
