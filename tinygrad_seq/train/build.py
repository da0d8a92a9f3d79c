"""Build the model and the optimiser of a `TrainingConfig`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
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
from .trust import code_to_run


def build_model(config: TrainingConfig, vocabulary_size: int) -> LanguageModel:
    """Return the model of `config` with initial weights; a model with a user's cell has run one trial step.

    Raises
    ------
    ArgumentError
        If the cell cannot be loaded (see `load_cell`), constructed or run; the message names the line in the user's
        file.
    """
    sizes = vocabulary_size, config.embedding_size, config.hidden_size, config.num_layers, config.dropout
    if ":" not in config.cell:
        return LanguageModel(*sizes, config.cell)
    cell = load_cell(config.cell)
    file, _, name = config.cell.rpartition(":")
    expected = (
        f"{name}(input_size, hidden_size) to be a cell that runs and returns hidden_size values per batch element"
    )
    with code_of(file, expected):
        model = LanguageModel(*sizes, cell)
        generator = settings.generator().bit_generator
        state = generator.state
        logits, _ = model([[0, 0], [0, 0]])
        logits.sum().backward()
        model.zero_grad()
        generator.state = state
    return model


def build_optimizer(config: TrainingConfig, model: nn.Module) -> optim.Optimizer:
    """Return the optimiser of `config` for the parameters of `model`; SGD has momentum 0.9."""
    return OPTIMIZERS[config.optimizer](model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def load_cell(name: str) -> Callable[[int, int], nn.Cell]:
    """Run a file and return one of its classes; `name` is ``"FILE.py:Class"``.

    Raises
    ------
    ArgumentError
        If the file cannot be found or run, or does not define that subclass of `nn.Cell`; the message lists those that
        it defines.
    """
    file, _, attribute = name.rpartition(":")
    module = run_file(Path(file))
    cells = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Cell)]
    own = [key for key in cells if vars(module)[key].__module__ == module.__name__]
    if attribute not in cells:
        raise ArgumentError(
            f"TrainingConfig.cell: expected a subclass of nn.Cell named {attribute!r} in '{file}', got "
            f"{', '.join(own) or 'no cells'}; correct the name after the colon."
        )
    cell: Callable[[int, int], nn.Cell] = vars(module)[attribute]
    return cell


def run_file(path: Path, caller: str = "TrainingConfig.cell") -> Any:
    """Run a file and return it as a module; `caller` prefixes the message of an `ArgumentError`.

    Python's cache of compiled files (``__pycache__``) is neither read nor written: the bytes of the file are executed.
    """
    name = f"tinygrad_seq_cell_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not os.path.isfile(path):
        raise ArgumentError(f"{caller}: expected a Python file, got '{path}', which does not exist; correct the path.")
    code = code_to_run(path, caller)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with code_of(str(path), "it to run", caller):
        exec(compile(code, path, "exec", dont_inherit=True), vars(module))
    return module


@contextlib.contextmanager
def code_of(file: str, expected: str, caller: str = "TrainingConfig.cell") -> Iterator[None]:
    """Return a context that turns any error into an ArgumentError, which names the line in the user's `file`."""
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
