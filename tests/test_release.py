"""What is said in several places about a version is the same in all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import tinygrad_seq as ts

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_version_and_date_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    cited = re.search(r"^version: (.+)\ndate-released: \"(.+)\"$", citation, re.MULTILINE)
    released = re.search(r"^## \[(\d.*)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert cited is not None
    assert released is not None
    assert cited.groups() == released.groups()
    assert PROJECT["version"] == ts.__version__ == cited[1]


def test_workflow_runs_the_versions_of_python_that_are_named() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    named = [c.rpartition(" :: ")[2] for c in PROJECT["classifiers"] if re.search(r":: Python :: 3\.\d+$", c)]
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix is not None
    assert re.findall(r"3\.\d+", matrix[1]) == named
    assert PROJECT["requires-python"] == f">={named[0]},<3.{int(named[-1].removeprefix('3.')) + 1}"
