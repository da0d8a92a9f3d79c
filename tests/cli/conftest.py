from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import LINES, arguments
from tinygrad_seq.cli import main


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "corpus.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    assert main(arguments(folder / "corpus.txt", folder / "run", "--lr", "0.02", steps=60)) == 0
    return folder / "run"
