"""The error of each public name of nn begins with that name, also where it is an alias or calls something else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import TinygradSeqError

# Names whose constructor takes anything: nothing to build, any structure of arrays, or a record of results.
TAKE_ANYTHING = {
    *("Cell", "Identity", "Module", "ReLU", "Sigmoid", "SiLU", "Softsign", "Softplus", "Tanh"),
    *("LogSoftmax", "Softmax", "Attention", "ParameterList", "Sequential"),
    *("Inspection", "Options", "PassInspection", "detach_state"),
}
# Modules that are a function of `nn.functional`, which checks everything in the call and names itself.
FUNCTIONS = {
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CTCLoss": "ctc_loss",
    "CrossEntropyLoss": "cross_entropy",
    "GaussianNLLLoss": "gaussian_nll_loss",
    "HuberLoss": "huber_loss",
    "KLDivLoss": "kl_div",
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "NLLLoss": "nll_loss",
    "PinballLoss": "pinball_loss",
    "SequenceCrossEntropyLoss": "sequence_cross_entropy",
    "SmoothL1Loss": "smooth_l1_loss",
}
STARTS = {"Stream": "LSTM.stream: "} | {name: f"{called}: " for name, called in FUNCTIONS.items()}
# What is called in place of the name with None for each required argument.
CALLS: dict[str, Callable[[], Any]] = {
    "ELU": lambda: nn.ELU("no"),  # type: ignore[arg-type]
    "LeakyReLU": lambda: nn.LeakyReLU("no"),  # type: ignore[arg-type]
    "Dropout": lambda: nn.Dropout(2),
    "Flatten": lambda: nn.Flatten("no"),  # type: ignore[arg-type]
    "GELU": lambda: nn.GELU("no"),  # type: ignore[arg-type]
    "GLU": lambda: nn.GLU()(3),  # type: ignore[arg-type]
    "PReLU": lambda: nn.PReLU(0),
    "ModuleDict": lambda: nn.ModuleDict({"a": 3}),  # type: ignore[arg-type]
    "ModuleList": lambda: nn.ModuleList([3]),  # type: ignore[list-item]
    "ParameterDict": lambda: nn.ParameterDict({"keys": 3.0})["keys"],
    "beam_search": lambda: nn.beam_search(lambda *a: a, (), [1], max_length=0),
    "greedy_search": lambda: nn.greedy_search(lambda *a: a, (), [1], max_length=0),
    "sample_sequences": lambda: nn.sample_sequences(lambda *a: a, (), [1], max_length=0),
    "evaluating": lambda: nn.evaluating(None).__enter__(),  # type: ignore[arg-type]
    "Stream": lambda: nn.LSTM(3, 5).stream(0),
}
NAMES = [name for name in nn.__all__ if callable(getattr(nn, name)) and name not in TAKE_ANYTHING]


def message(call: Callable[[], Any]) -> str:
    with pytest.raises(TinygradSeqError) as caught:
        call()
    return str(caught.value)


def required(function: Any) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind in kinds for p in parameters)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_begins_with_the_name_that_was_called(name: str) -> None:
    function = getattr(nn, name)
    if name in FUNCTIONS:
        arguments = [ts.ones((2, 3))] * (required(function.forward) - 1)
        found = message(lambda: function(reduction="no")(*arguments))
    else:
        found = message(CALLS.get(name) or (lambda: function(*[None] * required(function))))
    assert found.startswith(STARTS.get(name, name + ": ")), found


SIZES = [name for name in NAMES if name.endswith("Cell") and not {"AttentionCell", "StackedCell"} & {name}]


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM", *SIZES])
def test_a_bad_size_a_bad_option_and_a_bad_input(name: str) -> None:
    kind = getattr(nn, name)
    assert message(lambda: kind(10, 0)).startswith(f"{name}: expected hidden_size")
    made = kind(4, 4)
    assert message(lambda: made(ts.ones((2, 3, 5)))).startswith(f"{name}: ")
    assert message(lambda: made("text")).startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(
    "options",
    [
        {"zoneout": 2},
        {"window": 0},
        {"dropout": 0.5},
        {"residual": True},
        {"merge": "no"},
        {"device": "cuda"},
        {"remember": 0},
        {"bidirectional": 1},
        {"no": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_of_a_layer(name: str, options: dict[str, Any]) -> None:
    assert message(lambda: getattr(nn, name)(3, 5, **options)).startswith(f"{name}: ")


def test_names_of_subclasses_and_of_pytorch() -> None:
    class Own(nn.LSTM):
        pass

    assert message(lambda: Own(3, 0)).startswith("Own: ")
    assert message(lambda: nn.RNN(3, 5, nonlinearity="no")).startswith("RNN: expected nonlinearity")  # type: ignore[arg-type]
    assert message(lambda: nn.RNNCell(3, 5, nonlinearity="no")).startswith("RNNCell: ")  # type: ignore[arg-type]
    assert message(lambda: nn.LSTM(3, 5, proj_size=7)).startswith("LSTM: ")
    assert message(lambda: nn.LSTMCell(3, 5, proj_size=7)).startswith("LSTMCell: ")
    x = ts.ones((3, 2, 8))
    for kind in (nn.MultiHeadAttention, nn.MultiheadAttention):
        attention = kind(8, 2)
        assert message(functools.partial(attention, x, x, x, attn_mask=np.ones((1, 1)))).startswith(
            f"{kind.__name__}: "
        )


@pytest.mark.parametrize("name", ["ctc_loss", "sequence_cross_entropy", "sequence_loss"])
def test_functions_of_losses(name: str) -> None:
    function = getattr(nn.functional, name)
    assert message(lambda: function(*["text"] * required(function))).startswith(f"{name}: ")
