"""What is said in several places about a version is the same in all of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import tinygrad_seq as ts

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = CONFIGURATION["project"]


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


def test_links_of_the_package_page_are_absolute() -> None:
    """The page of a package index is README.md, in which links and pictures become those of the repository."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    link = re.compile(r"\]\(([^)\s]+)\)")
    relative = [target for target in link.findall(text) if not target.startswith(("http", "#"))]
    assert len(relative) > 10
    assert [target for target in relative if not (ROOT / target.partition("#")[0]).exists()] == []
    for substitution in CONFIGURATION["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    assert all(target.startswith("http") for target in link.findall(text))
    assert text.count(f"{PROJECT['urls']['Repository']}/blob/v") + text.count("/raw/v") == len(relative)
    assert f"({PROJECT['urls']['Repository']}/raw/v$HFPR_VERSION/docs/session.svg)" in text


def test_notebooks_are_committed_without_outputs() -> None:
    notebooks = sorted((ROOT / "docs").rglob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        faults = [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")]
        assert faults == [], path.name


def test_every_page_is_a_notebook_or_a_doctest() -> None:
    """Python code of a page is executed, by the build of the site or by pytest; what other libraries run is neither."""
    for path in (ROOT / "docs").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        notebook = text.startswith("---") and "file_format: mystnb" in text
        assert ("{code-cell}" in text) == notebook, path.name
        assert not (notebook and ">>> " in text), path.name


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
