"""Schemes of tags, against a reader of single sequences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tinygrad_seq.tasks.tags import allowed_tags, scheme_of

BIO = ["B-A", "B-B", "I-A", "I-B", "O"]
BIOES = ["B-A", "E-A", "I-A", "O", "S-A"]


def obeys(tags, scheme: str) -> bool:
    """Return whether a sequence obeys a scheme: by a machine with the label of the open span as its state."""
    inside = ""
    for tag in tags:
        kind, _, label = tag.partition("-")
        if kind in "IE" and inside != label:
            return False
        if scheme == "BIOES" and inside and kind not in "IE":
            return False
        inside = label if kind in "BI" else ""
    return not (scheme == "BIOES" and inside)


@pytest.mark.parametrize(("names", "scheme"), [(BIO, "BIO"), (BIOES, "BIOES")])
def test_allowed_tags_are_those_of_the_scheme(names, scheme: str) -> None:
    first, moves, last = allowed_tags(names, scheme)
    for tags in itertools.product(range(len(names)), repeat=3):
        allowed = first[tags[0]] and last[tags[-1]] and all(moves[pair] for pair in itertools.pairwise(tags))
        assert allowed == obeys([names[tag] for tag in tags], scheme), tags


@pytest.mark.parametrize(
    ("sequences", "scheme"),
    [
        ([["B-A", "I-A", "O"], ["O"]], "BIO"),
        ([["B-A", "E-A", "S-B"]], "BIOES"),
        ([["I-A", "O"]], None),
        ([["B-A", "I-B"]], None),
        ([["B-A", "S-A"]], None),
        ([["O", "O"]], None),
        ([["NOUN", "VERB"]], None),
        ([[0, 1]], None),
        ([["B-"]], None),
    ],
)
def test_schemes_are_recognised(sequences, scheme) -> None:
    assert scheme_of(sequences) == scheme


def test_a_constrained_crf_is_the_distribution_over_allowed_tags(rng) -> None:
    crf = ts.nn.CRF(5, allowed=allowed_tags(BIO, "BIO")).double()
    emissions = rng.standard_normal((3, 2, 5))
    lengths = [3, 2]
    total = np.zeros(2)
    for tags in itertools.product(range(5), repeat=3):
        path = np.array([tags, tags]).T
        with ts.disable_compile():
            likelihoods = crf(emissions, path, lengths=lengths, reduction="none").numpy()
        for n, length in enumerate(lengths):
            if not obeys([BIO[tag] for tag in tags[:length]], "BIO"):
                assert likelihoods[n] == -np.inf
            elif not any(tags[length:]):  # count each sequence once
                total[n] += np.exp(likelihoods[n])
    assert_close("total", total, np.ones(2))
    assert obeys([BIO[tag] for tag in crf.decode(emissions * 9)[0]], "BIO")


def test_gradients_of_a_constrained_crf(rng) -> None:
    crf = ts.nn.CRF(5, allowed=allowed_tags(BIO, "BIO")).double()
    x = ts.tensor(rng.standard_normal((3, 2, 5)), requires_grad=True)
    tags = np.array([[0, 2, 4], [4, 1, 0]]).T
    with ts.disable_compile():
        ts.gradcheck(lambda x, *_: crf(x, tags, lengths=[3, 2], reduction="none"), [x, *crf.parameters()])
    crf(x, tags, lengths=[3, 2]).backward()
    assert not grad_of(crf.transitions).numpy()[~np.asarray(allowed_tags(BIO, "BIO")[1])].any()


@pytest.mark.parametrize(
    ("allowed", "error"),
    [
        (([True] * 2, [[True] * 2] * 2), ts.ArgumentError),
        (([True] * 3, [[True] * 2] * 2, [True] * 2), ts.ShapeError),
        (([1, 1], [[True] * 2] * 2, [True] * 2), ts.ShapeError),
    ],
)
def test_wrong_constraints_are_refused(allowed, error) -> None:
    with pytest.raises(error, match="CRF: expected allowed"):
        ts.nn.CRF(2, allowed=allowed)
