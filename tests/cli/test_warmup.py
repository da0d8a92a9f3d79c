"""The command warmup, and the option --no-compile."""

from __future__ import annotations

import pytest

from tinygrad_seq import nn
from tinygrad_seq.cli import main, warmup
from tinygrad_seq.kernels.generated import compilations
from tinygrad_seq.modes import mode


def test_a_second_warmup_finds_everything(monkeypatch, capsys) -> None:
    monkeypatch.setattr(warmup, "LAYERS", {"GRU": lambda: nn.GRU(2, 3)})
    monkeypatch.setattr(warmup, "CELLS", {})
    assert main(["warmup"]) == 0
    assert capsys.readouterr().out.startswith("GRU ")
    before = compilations()
    assert main(["warmup"]) == 0
    assert compilations() == before
    assert "already there" in capsys.readouterr().out


def test_every_layer_that_is_warmed_can_be_made() -> None:
    assert all(isinstance(make(), nn.Module) for make in warmup.LAYERS.values())


@pytest.mark.parametrize("arguments", [["--no-compile", "warmup"], ["warmup", "--no-compile"]])
def test_no_compile_may_stand_anywhere_and_compiles_nothing(arguments, monkeypatch) -> None:
    seen = []

    def run(layer) -> None:
        seen.append(mode.compiling)

    monkeypatch.setattr(warmup, "LAYERS", {"RNN": lambda: nn.RNN(2, 3)})
    monkeypatch.setattr(warmup, "CELLS", {})
    monkeypatch.setattr(warmup, "_run_layer", run)
    assert main(arguments) == 0
    assert seen == [False]
    assert mode.compiling
