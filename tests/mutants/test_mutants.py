"""The mutants fit the code as it is, and the runner tells a killed one from a survivor."""

from __future__ import annotations

import ast
import json

import pytest

from tests.mutants.list_of_mutants import MUTANTS
from tests.mutants.mutant import ROOT, Mutant


def test_there_are_at_least_sixty() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fits(mutant: Mutant) -> None:
    """A fault in the text of the file as it is today, that Python can read, with tests that exist."""
    ast.parse(mutant.applied())
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).exists(), test


def test_text_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="found it 0 times"):
        Mutant("nothing", "errors.py", "no such text", "", ()).applied()


def test_the_score_is_that_of_these_mutants() -> None:
    """After a change to the list: ``python -m tests.mutants --only ... --json tests/mutants/score.json``."""
    folder = ROOT / "tests" / "mutants"
    score = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in score["rows"]] == [mutant.name for mutant in MUTANTS]
    assert score["killed"] >= 0.95 * score["mutants"]
    assert all(row["outcome"] == "killed" or row.get("explained") for row in score["rows"])
    page = (folder / "README.md").read_text(encoding="utf-8")
    for area, counts in score["areas"].items():
        assert f"| {area} | {counts['killed']} of {counts['mutants']} |" in page
    assert f"| all | {score['killed']} of {score['mutants']} |" in page
