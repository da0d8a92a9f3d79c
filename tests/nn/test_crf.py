"""A conditional random field against all ways, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import AnomalyError, ArgumentError, DtypeError, IndexRangeError, ShapeError

T, N, K = 4, 3, 3
LENGTHS = [4, 1, 3]


@pytest.fixture
def crf(rng) -> nn.CRF:
    layer = nn.CRF(K).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 1.0, rng)
    return layer


def data(rng):
    return rng.standard_normal((T, N, K)), rng.integers(0, K, (T, N))


def ways(crf, emissions: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the score of every way through emissions (T, K)."""
    start, end, moves = (p.numpy() for p in (crf.start_transitions, crf.end_transitions, crf.transitions))
    return {
        way: start[way[0]]
        + end[way[-1]]
        + sum(emissions[t, tag] for t, tag in enumerate(way))
        + sum(moves[pair] for pair in itertools.pairwise(way))
        for way in itertools.product(range(K), repeat=len(emissions))
    }


def log_total(scores: dict[tuple[int, ...], float]) -> np.ndarray:
    return np.logaddexp.reduce(list(scores.values()))


@pytest.mark.filterwarnings("error::tinygrad_seq.CompileWarning")
def test_is_the_likelihood_among_all_ways(crf, rng) -> None:
    emissions, tags = data(rng)
    x = ts.tensor(emissions, requires_grad=True)
    likelihoods = crf(x, tags, lengths=LENGTHS, reduction="none")
    for n, length in enumerate(LENGTHS):
        scores = ways(crf, emissions[:length, n])
        assert_close(f"row {n}", likelihoods.numpy()[n], scores[tuple(tags[:length, n])] - log_total(scores))
    likelihoods.sum().backward()
    compiled = [leaf.grad.numpy() for leaf in (x, *crf.parameters())]
    crf.zero_grad()
    x.grad = None
    with ts.disable_compile():
        crf(x, tags, lengths=LENGTHS).backward()
    for found, leaf in zip(compiled, (x, *crf.parameters()), strict=True):
        assert_close("gradient", found, leaf.grad.numpy())
    assert not compiled[0][~nn.sequence_mask(LENGTHS, T)].any()


def test_gradients(crf, rng) -> None:
    emissions, tags = data(rng)
    x = ts.tensor(emissions, requires_grad=True)
    with ts.disable_compile():
        ts.gradcheck(lambda x, *_: crf(x, tags, lengths=LENGTHS, reduction="none"), [x, *crf.parameters()])


def test_likelihoods_of_all_ways_sum_to_one(crf, rng) -> None:
    every = np.array(list(itertools.product(range(K), repeat=T))).T
    emissions = np.repeat(rng.standard_normal((T, 1, K)), every.shape[1], axis=1)
    with ts.disable_compile():
        likelihoods = crf(emissions, every, reduction="none").numpy()
    assert_close("total", np.exp(likelihoods).sum(), np.float64(1))


def test_decode_is_the_best_of_all_ways(crf, rng) -> None:
    emissions, _ = data(rng)
    found = crf.decode(emissions, lengths=LENGTHS)
    for n, length in enumerate(LENGTHS):
        scores = ways(crf, emissions[:length, n])
        assert tuple(found[n]) == max(scores, key=scores.__getitem__)


def test_marginals_are_sums_over_ways(crf, rng) -> None:
    emissions, _ = data(rng)
    with ts.disable_compile():
        found = crf.marginals(emissions, lengths=LENGTHS).numpy()
    for n, length in enumerate(LENGTHS):
        scores = ways(crf, emissions[:length, n])
        total = log_total(scores)
        for t, k in np.ndindex(T, K):
            expected = sum(np.exp(score - total) for way, score in scores.items() if t < length and way[t] == k)
            assert_close("marginal", found[t, n, k], np.float64(expected))


def test_forms_of_masks_and_axes_and_reductions(crf, rng) -> None:
    emissions, tags = data(rng)
    mask = nn.sequence_mask(LENGTHS, T)
    with ts.disable_compile():
        rows = crf(emissions, tags, lengths=LENGTHS, reduction="none").numpy()
        np.testing.assert_array_equal(crf(emissions, tags, mask, reduction="none").numpy(), rows)
        for reduction, expected in {"sum": rows.sum(), "mean": rows.mean(), "token_mean": rows.sum() / 8}.items():
            assert_close(reduction, crf(emissions, tags, mask, reduction=reduction).numpy(), expected)
        dirty = np.where(mask[:, :, None], emissions, np.nan), np.where(mask, tags, -1)
        np.testing.assert_array_equal(crf(*dirty, lengths=LENGTHS, reduction="none").numpy(), rows)
        assert crf.decode(dirty[0], lengths=LENGTHS) == crf.decode(emissions, mask)
        for n, length in enumerate(LENGTHS):
            alone = crf(emissions[:length, n : n + 1], tags[:length, n : n + 1], reduction="none").numpy()
            assert_close(f"row {n}", alone, rows[n : n + 1])
        decoded, marginals = crf.decode(emissions, mask), crf.marginals(emissions, mask).numpy()
        crf.batch_first = True
        swapped = emissions.swapaxes(0, 1), tags.T, mask.T
        np.testing.assert_array_equal(crf(*swapped, reduction="none").numpy(), rows)
        assert crf.decode(swapped[0], swapped[2]) == decoded
        np.testing.assert_array_equal(crf.marginals(swapped[0], swapped[2]).numpy().swapaxes(0, 1), marginals)


def test_forbidden_transitions_never_happen_and_leave_no_nan(crf, rng) -> None:
    emissions, _ = data(rng)
    crf.transitions.data[0, 1] = crf.start_transitions.data[2] = -np.inf
    x = ts.tensor(emissions, requires_grad=True)
    with ts.disable_compile():
        likelihood = crf(x, np.zeros((T, N), int), reduction="none")
        likelihood.sum().backward()
    for n in range(N):
        scores = ways(crf, emissions[:, n])
        assert_close(f"row {n}", likelihood.numpy()[n], scores[(0,) * T] - log_total(scores))
    for leaf in (x, *crf.parameters()):
        assert np.isfinite(leaf.grad.numpy()).all()
    assert crf.transitions.grad.numpy()[0, 1] == crf.start_transitions.grad.numpy()[2] == 0
    for tags in crf.decode(emissions * 3):
        assert tags[0] != 2
        assert (0, 1) not in itertools.pairwise(tags)


@pytest.mark.parametrize("given", ["lengths", "mask"])
@pytest.mark.parametrize("lengths", [[2, 0, T], [0, 0, 0]])
def test_a_row_without_steps_has_one_way_and_no_gradient(lengths, given, crf, rng) -> None:
    emissions = ts.tensor(rng.standard_normal((T, N, K)), requires_grad=True)
    call = {given: lengths if given == "lengths" else nn.sequence_mask(lengths, T)}
    tags = np.zeros((T, N), int)
    rows = crf(emissions, tags, **call, reduction="none")
    rows.sum().backward()
    none = np.array(lengths) == 0
    assert not rows.numpy()[none].any()
    assert not grad_of(emissions).numpy()[:, none].any()
    assert crf(emissions, tags, **call, reduction="token_mean").item() == rows.sum().item() / max(sum(lengths), 1)
    assert [len(found) for found in crf.decode(emissions, **call)] == lengths
    assert not crf.marginals(emissions, **call).numpy()[:, none].any()
    if not any(lengths):
        assert not any(parameter.grad.numpy().any() for parameter in crf.parameters())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"emissions": np.zeros((T, N, K + 1))}, ShapeError, "emissions .T, N, 3."),
        ({"emissions": np.zeros((0, N, K))}, ShapeError, "one step or more"),
        ({"emissions": np.zeros((T, N, K), np.float32)}, DtypeError, "cast them to float64"),
        ({"tags": np.zeros((N, T), int)}, ShapeError, "integer tags of shape .4, 3."),
        ({"tags": [[0], [0, 1]]}, ShapeError, "nested lists of equal lengths"),
        ({"tags": np.zeros((T, N))}, ShapeError, "integer tags"),
        ({"tags": np.full((T, N), K)}, IndexRangeError, "tags from 0 to 2, got 3"),
        ({"lengths": [4, 5, 1]}, ArgumentError, "to 4, got 5"),
        ({"lengths": [4, -1, 1]}, ArgumentError, "from 0 to 4"),
        ({"mask": np.arange(T)[:, None] != np.ones(N)}, ArgumentError, "holes"),
        ({"mask": np.ones((T, N), bool), "lengths": [1, 1, 1]}, ArgumentError, "lengths or mask"),
        ({"reduction": "max"}, ArgumentError, "token_mean"),
    ],
)
def test_refusals(crf, change, error, text: str) -> None:
    call = {"emissions": np.zeros((T, N, K)), "tags": np.zeros((T, N), int)}
    with pytest.raises(error, match=text):
        crf(**{**call, **change})


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_nothing_is_decoded_from_scores_without_a_best(crf, fault: float) -> None:
    emissions = np.zeros((T, N, K))
    emissions[2, 1] = fault
    assert crf.decode(emissions, lengths=[T, 2, T])  # what does not count is not read
    with pytest.raises(AnomalyError, match=f"got {fault} for sequence 1"):
        crf.decode(emissions)


@pytest.mark.parametrize("name", ["decode", "marginals"])
def test_errors_name_the_method(crf, name: str) -> None:
    with pytest.raises(ShapeError, match=rf"^CRF.{name}: expected floating-point emissions"):
        getattr(crf, name)(np.zeros((T, N, K + 1)))
    with pytest.raises(ArgumentError, match=rf"^CRF.{name}: expected a mask that is True at the first steps"):
        getattr(crf, name)(np.zeros((T, N, K)), mask=np.arange(T)[:, None] > np.zeros(N))
