"""The command warmup, and the option --no-compile."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.cli.commands import arguments
from tinygrad_seq import nn, randn
from tinygrad_seq.base.modes import mode, no_grad
from tinygrad_seq.cli import main, warmup
from tinygrad_seq.kernels.compile.generated import compilations


def test_a_second_warmup_finds_everything(monkeypatch, capsys) -> None:
    monkeypatch.setattr(warmup, "LAYERS", {"GRU": lambda: nn.GRU(2, 3)})
    monkeypatch.setattr(warmup, "CELLS", {})
    assert main(["warmup"]) == 0
    assert capsys.readouterr().out.startswith("GRU ")
    before = compilations()
    assert main(["warmup"]) == 0
    assert compilations() == before
    layer, in_all = capsys.readouterr().out.splitlines()
    assert layer.startswith("GRU ")
    assert in_all.startswith("total ")
    assert all("already there" in line for line in (layer, in_all))


def test_after_a_warmup_a_layer_compiles_nothing_at_any_size(monkeypatch) -> None:
    monkeypatch.setattr(warmup, "LAYERS", {"GRU": lambda: nn.GRU(2, 3)})
    monkeypatch.setattr(warmup, "CELLS", {})
    assert main(["warmup"]) == 0
    before = compilations()
    for T, N, I, H, layers in ((1, 1, 1, 1, 1), (7, 5, 4, 9, 2), (7, 20, 4, 9, 1)):
        layer = nn.GRU(I, H, layers)
        layer(randn(T, N, I))[0].sum().backward()
        with no_grad():
            layer(randn(T, N, I))
    nn.GRU(4, 9).stream(batch_size=1)(randn(1, 4))
    assert compilations() == before


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


def test_commands_with_no_compile_never_ask_the_compiler(trained: Path, corpus: Path, monkeypatch, capsys) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a step was traced")

    for module in ("compiled", "stepper"):  # by name: the package has a function that is called scan
        monkeypatch.setattr(importlib.import_module(f"tinygrad_seq.scan.{module}"), "trace_step", refuse)
    assert main([*arguments(corpus, corpus.parent / "run", steps=5), "--no-compile"]) == 0
    assert main(["--no-compile", "sample", str(trained), "--length", "5"]) == 0
    assert main(["score", str(trained), "the cat", "--no-compile"]) == 0
    with pytest.raises(AssertionError, match="traced"):
        main(["score", str(trained), "the cat"])
