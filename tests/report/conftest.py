from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import LINES, arguments
from tinygrad_seq.cli import main


@pytest.fixture(scope="session")
def live_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained with a live report and TensorBoard events; the folder above it holds the corpus."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "corpus.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    logs = ["--live", "--tensorboard", str(folder / "events"), "--test", "0.1"]
    assert main(arguments(folder / "corpus.txt", folder / "run", *logs, steps=30)) == 0
    return folder / "run"
