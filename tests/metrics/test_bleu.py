from __future__ import annotations

import math
import sys

import pytest

from tinygrad_seq.errors import ArgumentError, DataError, ShapeError
from tinygrad_seq.metrics import bleu

FOUND = "the cat sat on the mat today"
EXPECTED = "the cat sat on a mat today"


def test_by_hand() -> None:
    """Of 7, 6, 5, 4 n-grams, 6, 4, 2, 1 are right; the lengths are equal."""
    expected = 100 * math.exp(sum(map(math.log, (6 / 7, 4 / 6, 2 / 5, 1 / 4))) / 4)
    assert bleu([FOUND], [EXPECTED]) == pytest.approx(expected)


def test_a_text_too_short_is_penalised() -> None:
    assert bleu(["the cat sat on"], ["the cat sat on the mat"]) == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_the_best_of_several_references_counts_and_their_number_may_differ() -> None:
    assert bleu([FOUND, EXPECTED], [[EXPECTED, FOUND], EXPECTED]) == pytest.approx(100)


def test_options_reach_sacrebleu() -> None:
    assert bleu([FOUND.upper()], [FOUND]) < 1
    assert bleu([FOUND.upper()], [FOUND], lowercase=True) == pytest.approx(100)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((FOUND, [EXPECTED]), {}, ShapeError, "pass a single text in a list"),
        (([FOUND], [EXPECTED, EXPECTED]), {}, ShapeError, "got 1 and 2"),
        (([], []), {}, ShapeError, "got 0 and 0"),
        (([FOUND.split()], [EXPECTED]), {}, DataError, "join tokens"),
        (([FOUND], [[]]), {}, DataError, "at least one reference per text"),
        (([FOUND], [EXPECTED]), {"tokenise": "13a"}, ArgumentError, "tokenise"),
        (([FOUND], [EXPECTED]), {"tokenize": "none of them"}, ArgumentError, "options of sacrebleu"),
        (([FOUND], [EXPECTED]), {"smooth_method": "rough"}, ArgumentError, "options of sacrebleu"),
    ],
)
def test_bad_input_is_refused(arguments, options, error, message) -> None:
    with pytest.raises(error, match=message):
        bleu(*arguments, **options)


def test_without_sacrebleu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(ArgumentError, match=r"pip install 'tinygrad-seq\[metrics\]'"):
        bleu([FOUND], [EXPECTED])
