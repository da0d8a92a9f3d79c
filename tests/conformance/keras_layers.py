"""Cells with the constant weights of Keras's tests, and their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_seq as ts

KERNEL, RECURRENT_KERNEL, BIAS = 0.01, 0.02, 0.03
TOLERANCE = 2e-7  # the numbers were printed from float32


def gru(features: int, units: int, bias: bool = True) -> ts.nn.Cell:
    """Return a GRU that resets after the product: the equations of Keras, with two biases."""
    return constant(ts.nn.GRUCell(features, units, bias), input_bias=BIAS, state_bias=BIAS)


def gru_reset_before(features: int, units: int) -> ts.nn.Cell:
    """Return a GRU that resets before the product; the signs differ: its update gate is one minus that of Keras."""
    cell = ts.nn.NotesGRUCell(features, units).double()
    weight = np.full((units, units + features), KERNEL)
    weight[:, :units] = RECURRENT_KERNEL
    bias = np.full((units, 1), BIAS)
    cell.load_state_dict({"Wc": weight, "bc": bias, "Wu": -weight, "bu": -bias, "Wr": weight, "br": bias})
    return cell


def lstm(features: int, units: int, bias: bool = True, forget_bias: float = 1.0) -> ts.nn.Cell:
    """Return an LSTM with the single bias of Keras, by default 1 in the block of the forget gate."""
    cell = constant(ts.nn.LSTMCell(features, units, bias), input_bias=BIAS, state_bias=0)
    if bias:
        cell.bias_ih.data[units : 2 * units] = forget_bias
    return cell


def simple_rnn(features: int, units: int) -> ts.nn.Cell:
    return constant(ts.nn.ElmanCell(features, units), input_bias=BIAS, state_bias=0)


def constant(cell: Any, input_bias: float, state_bias: float) -> Any:
    values = {"weight_ih": KERNEL, "weight_hh": RECURRENT_KERNEL, "bias_ih": input_bias, "bias_hh": state_bias}
    for name, parameter in cell.double().named_parameters():
        ts.nn.init.constant_(parameter, values[name])
    return cell


LAYERS: dict[str, Callable[[int, int], ts.nn.Cell]] = {
    "GRU": gru,
    "GRU reset_after=False": gru_reset_before,
    "GRU use_bias=False": lambda features, units: gru(features, units, bias=False),
    "LSTM": lstm,
    "LSTM unit_forget_bias=False": lambda features, units: lstm(features, units, forget_bias=BIAS),
    "LSTM use_bias=False": lambda features, units: lstm(features, units, bias=False),
    "SimpleRNN": simple_rnn,
}


def ramp(*shape: int) -> ts.Tensor:
    return ts.arange(math.prod(shape), dtype=np.float64).reshape(shape)
