"""From the names in a `TrainingConfig` to the model, the optimiser and the schedule."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .. import nn, optim
from ..base import settings
from ..errors import ArgumentError
from .config import OPTIMIZERS, TrainingConfig
from .language_model import LanguageModel


def build_model(config: TrainingConfig, vocabulary_size: int) -> LanguageModel:
    """Return the model of `config` with fresh weights; one with a cell of the user's has taken a step on trial.

    Raises
    ------
    ArgumentError
        If the cell cannot be loaded (see `load_cell`), made or run; the message names the line of the user's file.
    """
    sizes = vocabulary_size, config.embedding_size, config.hidden_size, config.num_layers, config.dropout
    if ":" not in config.cell:
        return LanguageModel(*sizes, config.cell)
    cell = load_cell(config.cell)
    file, _, name = config.cell.rpartition(":")
    with code_of(file, f"{name}, made as {name}(input_size, hidden_size), to take a step and give hidden_size values"):
        model = LanguageModel(*sizes, cell)
        generator = settings.generator().bit_generator
        state = generator.state
        logits, _ = model([[0, 0], [0, 0]])
        logits.sum().backward()
        model.zero_grad()
        generator.state = state
    return model


def build_optimizer(config: TrainingConfig, model: nn.Module) -> optim.Optimizer:
    """Return the optimiser of `config` over the parameters of `model`; SGD has a momentum of 0.9."""
    return OPTIMIZERS[config.optimizer](model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def build_scheduler(config: TrainingConfig, optimizer: optim.Optimizer) -> optim.Scheduler:
    """Return the schedule of `config`."""
    if config.schedule == "cosine":
        return optim.WarmupCosine(optimizer, config.warmup, config.steps, eta_min=config.lr / 100)
    if config.schedule == "plateau":
        return optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    return optim.LinearWarmup(optimizer, max(1, config.warmup))


def load_cell(name: str) -> Callable[[int, int], nn.Cell]:
    """Return the class that `name`, ``"FILE.py:Class"``, names; the code of the file is run.

    Raises
    ------
    ArgumentError
        If the file cannot be found or run, or has no such subclass of `nn.Cell`; the message lists those it has.
    """
    file, _, attribute = name.rpartition(":")
    module = run_file(Path(file))
    cells = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Cell)]
    own = [key for key in cells if vars(module)[key].__module__ == module.__name__]
    if attribute not in cells:
        raise ArgumentError(
            f"cell: expected a subclass of nn.Cell named {attribute!r} in '{file}', got "
            f"{'these: ' + ', '.join(own) if own else 'none at all'}; correct the name after the colon."
        )
    cell: Callable[[int, int], nn.Cell] = vars(module)[attribute]
    return cell


def run_file(path: Path, caller: str = "cell") -> Any:
    """Return the module of a file, run anew; `caller` begins the message of an `ArgumentError`."""
    name = f"tinygrad_seq_cell_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ArgumentError(f"{caller}: expected a Python file, got '{path}', which is not there; correct the path.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with code_of(str(path), "it to run", caller):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def code_of(file: str, expected: str, caller: str = "cell") -> Iterator[None]:
    """Return a context in which any error becomes an ArgumentError with the line of the user's `file` it arose in."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == Path(file).resolve()]
        place = f" in line {lines[-1]}" if lines else ""
        got = f"{type(error).__name__}: {str(error).rstrip('.')}"
        raise ArgumentError(
            f"{caller}: '{file}': expected {expected}, got{place}: {got}; correct it (--debug shows the traceback)."
        ) from error
