"""The count of lines of code: what counts, in which folder, at which commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.lines import code_lines, count_folders, count_functions, extract, read_sources, run_one_step

SOURCE = '''\
"""A module
of two lines."""

import os  # counts


class A:
    """No."""

    text = """first

third"""  # two of three lines

    def method(self):
        # no
        "no"
        return os.path.join(
            "a",

            "b",
        )
'''
CODE = {4, 7, 10, 12, 14, 17, 18, 20, 21}


def test_lines_with_code() -> None:
    assert code_lines(SOURCE) == CODE


def test_folders_contain_those_below() -> None:
    sources = {"a.py": "1\n", "nn/b.py": "2\n3\n", "nn/cells/c.py": SOURCE, "nn/cells/d.py": '"""Only this."""\n'}
    assert count_folders(sources) == {".": (4, 12), "nn": (3, 11), "nn/cells": (2, 9)}


def test_functions_are_counted_once() -> None:
    assert count_functions({"a.py": SOURCE}, {"a.py": [(14, 21), (17, 18), (4, 4)]}) == 6


def test_another_commit(tmp_path: Path) -> None:
    checkout, other = tmp_path / "checkout", tmp_path / "other"
    file = checkout / "tinygrad_seq" / "nn" / "a.py"
    file.parent.mkdir(parents=True)
    file.write_text("1\n", encoding="utf-8")
    other.mkdir()
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    file.write_text("1\n2\n", encoding="utf-8")
    extract("HEAD", other, checkout)
    assert read_sources(other) == {"nn/a.py": "1\n"}
    assert read_sources(checkout) == {"nn/a.py": "1\n2\n"}


def test_a_training_step_goes_through_layer_tape_scan_and_optimiser() -> None:
    root = Path(__file__).resolve().parent.parent
    sources, functions = read_sources(root), run_one_step(root)
    assert {"tape.py", "tensor.py", "compiled.py", "kernel.py", "adam.py"} <= {path.rpartition("/")[2] for path in functions}
    assert 500 < count_functions(sources, functions) < 3000
