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


def test_files_and_functions_that_the_guides_for_contributors_name_exist() -> None:
    quoted = re.findall(r"`([^`\n]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    quoted += re.findall(r"(?:`|  )([\w/]+/[\w.]*)", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    paths = [text for text in quoted if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", text)]
    names = [text.partition("(")[0] for text in quoted if re.fullmatch(r"\w+\(\.\.\.\)|_(?!_)\w+|run_\w+", text)]
    assert len(paths) > 10
    assert names
    assert [path for path in paths if not ((ROOT / path).exists() or any((ROOT / "tinygrad_seq").rglob(path)))] == []
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tinygrad_seq").rglob("*.py"))
    assert [name for name in names if f"def {name}(" not in source] == []
