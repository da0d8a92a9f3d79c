"""Hessians of CTC and CRF losses against sums over all ways, at the points where rules are easily wrong.

The logarithm of a sum over ways of e^score, with scores that are linear in the inputs, has as its gradient the mean
over the ways of what they count, and as its Hessian the covariance. Both are exact, also where ways are impossible.
"""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq import nn

inf = np.inf
both_paths = pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])


def path_of(eager: bool):
    return ts.disable_compile() if eager else contextlib.nullcontext()


def moments(scores: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return ln sum e^scores, the mean of `counts` (ways, features) under e^scores, and their covariance."""
    if not len(scores) or np.max(scores) == -inf:
        return -inf, np.zeros(counts.shape[1]), np.zeros((counts.shape[1],) * 2)
    top = np.max(scores)
    shares = np.exp(scores - top)
    total = shares.sum()
    shares = shares / total
    mean = shares @ counts
    return top + np.log(total), mean, (counts * shares[:, None]).T @ counts - np.outer(mean, mean)


def hessian(loss, x: np.ndarray) -> np.ndarray:
    columns = [ts.hvp(loss, (ts.tensor(x),), (ts.tensor(row.reshape(x.shape)),))[0] for row in np.eye(x.size)]
    return np.stack([column.numpy().ravel() for column in columns], axis=1)


# ------------------------------------------------------------------------------------------------------------- CTC

UNEVEN = np.log(np.random.default_rng(3).dirichlet(np.ones(3), 4))
IMPOSSIBLE = UNEVEN.copy()
IMPOSSIBLE[1, 2] = IMPOSSIBLE[2, 0] = -inf


def ctc_moments(log_probs: np.ndarray, target: tuple[int, ...], length: int):
    T, C = log_probs.shape
    ways = [
        way
        for way in itertools.product(range(C), repeat=length)
        if tuple(label for label, _ in itertools.groupby(way) if label) == target
    ]
    counts = np.zeros((len(ways), T, C))
    for row, way in zip(counts, ways, strict=True):
        row[np.arange(length), list(way)] = 1
    scores = np.array([sum(log_probs[t, label] for t, label in enumerate(way)) for way in ways])
    return moments(scores, counts.reshape(len(ways), T * C))


@both_paths
@pytest.mark.parametrize("log_probs", [np.zeros((4, 3)), np.full((4, 3), -np.log(3)), UNEVEN, IMPOSSIBLE], ids=[
    "zero", "even", "uneven", "impossible"])  # fmt: skip
@pytest.mark.parametrize(
    ("target", "length"),
    [((1, 2), 4), ((1, 1), 4), ((1, 1), 3), ((1,), 1), ((), 4), ((), 1), ((), 0), ((1,), 0), ((1, 1), 2), ((2, 1), 2)],
)
def test_ctc(log_probs, target, length, eager) -> None:
    value, mean, covariance = ctc_moments(log_probs, target, length)
    padded = np.array([[*target, *[0] * (3 - len(target))]])

    def loss(x):
        return ts.nn.functional.ctc_loss(x[:, None], padded, [length], [len(target)], reduction="sum")

    with path_of(eager):
        found = loss(ts.tensor(log_probs)).item()
        gradient = ts.grad(loss)(ts.tensor(log_probs)).numpy().ravel()
        second = hessian(loss, log_probs)
    np.testing.assert_allclose(found, -value, atol=1e-12)
    np.testing.assert_allclose(gradient, -mean, atol=1e-12)
    np.testing.assert_allclose(second, -covariance, atol=1e-12)


def test_ctc_of_zero_logits_through_log_softmax() -> None:
    """Finite differences of the exact sum over ways, as a function of logits."""
    target, T, C, step = (1, 2), 4, 3, 1e-3

    def exact(x: np.ndarray) -> float:
        x = x.reshape(T, C)
        return -ctc_moments(x - np.log(np.exp(x).sum(axis=1, keepdims=True)), target, T)[0]

    def loss(x):
        return ts.nn.functional.ctc_loss(ts.log_softmax(x)[:, None], [[1, 2]], reduction="sum")

    eye = np.eye(T * C) * step
    expected = [
        [(exact(a + b) - exact(a - b) - exact(b - a) + exact(-a - b)) / (4 * step * step) for b in eye] for a in eye
    ]
    with ts.disable_compile():
        np.testing.assert_allclose(hessian(loss, np.zeros((T, C))), expected, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- CRF

T, K = 3, 2


def crf_moments(parts: list[np.ndarray], length: int):
    """Moments of start (K,), transitions (K, K), end (K,) and emissions (T, K), counted together."""
    sizes = np.cumsum([0, *[part.size for part in parts]])
    flat = np.concatenate([part.ravel() for part in parts])
    ways = list(itertools.product(range(K), repeat=length))
    counts = np.zeros((len(ways), flat.size))
    for row, way in zip(counts, ways, strict=True):
        row[sizes[0] + way[0]] += 1
        row[sizes[2] + way[-1]] += 1
        for t, tag in enumerate(way):
            row[sizes[3] + t * K + tag] += 1
        for one, other in itertools.pairwise(way):
            row[sizes[1] + one * K + other] += 1
    scores = np.array([sum(flat[at] * n for at, n in enumerate(row) if n) for row in counts])
    return ways, scores, counts, moments(scores, counts)


def drawn(rng) -> list[np.ndarray]:
    return [rng.standard_normal(shape) for shape in ((K,), (K, K), (K,), (T, K))]


def forbidden(rng) -> list[np.ndarray]:
    start, transitions, end, emissions = drawn(rng)
    transitions[0, 1] = emissions[1, 1] = -inf
    return [start, transitions, end, emissions]


POINTS = {
    "zero": lambda rng: [np.zeros(shape) for shape in ((K,), (K, K), (K,), (T, K))],
    "drawn": drawn,
    "forbidden": forbidden,
    "large": lambda rng: [1e6 * np.ones_like(part) for part in drawn(rng)],
}


@both_paths
@pytest.mark.parametrize("length", [3, 1])
@pytest.mark.parametrize("point", POINTS)
def test_crf(point, length, eager, rng) -> None:
    parts = POINTS[point](rng)
    ways, scores, counts, (value, mean, covariance) = crf_moments(parts, length)
    likeliest = int(np.argmax(scores))
    tags = np.zeros((T, 1), int)
    tags[:length, 0] = ways[likeliest]
    layer = nn.CRF(K).double()
    parameters = (layer.start_transitions, layer.transitions, layer.end_transitions)
    for parameter, part in zip(parameters, parts, strict=False):
        parameter.data[:] = part
    mask = np.arange(T)[:, None] < np.array([length])
    leaves = [*parameters, ts.tensor(parts[3], requires_grad=True)]
    with path_of(eager):
        loss = layer(leaves[3][:, None], tags, mask=mask)
        loss.backward(create_graph=True)
        first = [grad_of(leaf) for leaf in leaves]
        rows = []
        for position in (at for gradient in first for at in gradient.ravel()):
            for leaf in leaves:
                leaf.grad = None
            position.backward(retain_graph=True)
            rows.append(flat(leaf.grad for leaf in leaves))
    np.testing.assert_allclose(loss.item(), scores[likeliest] - value, atol=1e-9)
    np.testing.assert_allclose(flat(first), counts[likeliest] - mean, atol=1e-9)
    np.testing.assert_allclose(np.stack(rows), -covariance, atol=1e-9)


def flat(arrays) -> np.ndarray:
    return np.concatenate([array.numpy().ravel() for array in arrays])


@both_paths
def test_rows_of_no_step(eager, rng) -> None:
    """They have likelihood 1, and neither value nor derivatives of other rows change."""
    layer, mask = nn.CRF(K).double(), np.array([[True, False, True], [True, False, False]])
    emissions, tags = rng.standard_normal((2, 3, K)), np.ones((2, 3), int)
    emissions[:, 1] = np.nan
    x = ts.tensor(emissions, requires_grad=True)
    with path_of(eager):
        found = layer(x, tags, mask=mask, reduction="none")
        found.sum().backward()
        rest = layer(emissions[:, [0, 2]], tags[:, [0, 2]], mask=mask[:, [0, 2]], reduction="none")
        marginals = layer.marginals(emissions, mask=mask).numpy()
    np.testing.assert_allclose(found.numpy(), [rest.numpy()[0], 0, rest.numpy()[1]])
    assert not grad_of(x).numpy()[:, 1].any()
    assert np.isfinite(grad_of(x).numpy()).all()
    assert not marginals[:, 1].any()
    assert layer.decode(emissions, mask=mask)[1] == []
    nothing = layer(emissions, tags, mask=np.zeros_like(mask), reduction="token_mean")
    assert nothing.item() == 0
