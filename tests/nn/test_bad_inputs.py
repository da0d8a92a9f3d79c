"""What no layer can do anything with is refused where it comes in, with an error of this package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError, TinygradSeqError

X = ts.ones((3, 2, 4))

SWITCHES: dict[str, Any] = {
    "Linear.bias": lambda value: nn.Linear(4, 4, bias=value),
    "GRUCell.bias": lambda value: nn.GRUCell(4, 4, bias=value),
    "LayerNorm.bias": lambda value: nn.LayerNorm(4, bias=value),
    "RMSNorm.elementwise_affine": lambda value: nn.RMSNorm(4, elementwise_affine=value),
    "CRF.batch_first": lambda value: nn.CRF(4, batch_first=value),
    "DotAttention.batch_first": lambda value: nn.DotAttention(4, 4, batch_first=value),
    "AdditiveAttention.batch_first": lambda value: nn.AdditiveAttention(4, 4, batch_first=value),
    "MultiHeadAttention.bias": lambda value: nn.MultiHeadAttention(4, 2, bias=value),
    "PhasedLSTMCell.timestamps": lambda value: nn.PhasedLSTMCell(4, 4, timestamps=value),
    "LayerNormLSTMCell.carry_normalised": lambda value: nn.LayerNormLSTMCell(4, 4, carry_normalised=value),
    "sequence_mask.batch_first": lambda value: nn.sequence_mask([1, 2], batch_first=value),
}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["no", None, 1, math.nan, [True]])
def test_switches_are_true_or_false(name: str, value: Any) -> None:
    layer, option = name.split(".")
    with pytest.raises(ArgumentError, match=f"{layer}: expected {option} to be True or False, got"):
        SWITCHES[name](value)


NUMBERS: dict[str, Any] = {
    "HGRNCell.lower_bound": lambda value: nn.HGRNCell(4, 4, lower_bound=value),
    "JANETCell.beta": lambda value: nn.JANETCell(4, 4, beta=value),
    "LRUCell.r_max": lambda value: nn.LRUCell(4, 4, r_max=value),
    "LRUCell.max_phase": lambda value: nn.LRUCell(4, 4, max_phase=value),
    "LayerNorm.eps": lambda value: nn.LayerNorm(4, eps=value),
    "LeakyRNNCell.leak": lambda value: nn.LeakyRNNCell(4, 4, leak=value),
    "S4DCell.dt_min": lambda value: nn.S4DCell(4, 4, dt_min=value),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["a", None, math.nan, -math.inf, [1.0], True])
def test_numbers_are_finite(name: str, value: Any) -> None:
    layer, option = name.split(".")
    with pytest.raises(ArgumentError, match=rf"{layer}: expected {option} to be a finite number.*, got"):
        NUMBERS[name](value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LRUCell(4, 4, r_min=0.9, r_max=0.4), r"expected r_min < r_max, got 0\.9 and 0\.4"),
        (lambda: nn.LRUCell(4, 4, r_max=1.5), "expected r_max to be a finite number >= 0 and <= 1, got 1.5"),
        (lambda: nn.S4DCell(4, 4, dt_min=0), "expected 0 < dt_min <= dt_max, got 0 and 0.1"),
        (lambda: nn.HGRNCell(4, 4, lower_bound=1), r"expected lower_bound in \[0, 1\), got 1"),
        (lambda: nn.LeakyRNNCell(4, 4, leak=0), r"expected leak in \(0, 1\], got 0"),
        (lambda: nn.Embedding(4, 4, padding_idx="a"), "expected padding_idx from -4 to 3, got 'a'"),  # type: ignore[arg-type]
        (lambda: nn.Embedding(4, 4, padding_idx=1.5), "expected padding_idx from -4 to 3, got 1.5"),  # type: ignore[arg-type]
        (lambda: nn.LayerNorm(None), "expected normalized_shape to be an integer >= 1, got None"),  # type: ignore[arg-type]
        (lambda: nn.RNNCell(4, 4, nonlinearity=["tanh"]), r"expected nonlinearity 'tanh' or 'relu', got \['tanh'\]"),  # type: ignore[arg-type]
        (lambda: nn.Flatten("a"), "expected start_dim to be an integer, got 'a'"),  # type: ignore[arg-type]
        (lambda: nn.Linear(4, 4).to(None), "expected float32 or float64, got None"),
        (lambda: nn.Linear(4, 4).to("half a"), "expected float32 or float64, got 'half a'"),
        (lambda: nn.GRU(4, 4).explain(3.0), r"expected xs \(T, N, ...\), of at least one step, got"),
        (lambda: nn.greedy_search(None, None, 0, max_length=2), r"expected a step \(tokens, state\) .*, got NoneType"),  # type: ignore[arg-type]
        (lambda: nn.beam_search(3, None, 0, max_length=2), r"expected a step \(tokens, state\) .*, got int"),  # type: ignore[arg-type]
        (lambda: nn.init.uniform_([1.0]), "expected a Parameter or a Tensor to fill, got list"),  # type: ignore[type-var]
        (lambda: nn.init.zeros_(np.ones(3)), "expected a Parameter or a Tensor to fill, got ndarray"),  # type: ignore[type-var]
        (lambda: nn.init.xavier_uniform_(3), "expected a Parameter or a Tensor to fill, got int"),  # type: ignore[type-var]
        (lambda: nn.init.normal_(ts.ones(3), std=-1), "expected std to be a finite number >= 0, got -1"),
        (lambda: nn.init.calculate_gain([]), r"expected one of linear, .* got \[\]"),  # type: ignore[arg-type]
        (
            lambda: nn.functional.ctc_loss(ts.zeros((3, 4)), [1], zero_infinity="no"),  # type: ignore[arg-type]
            "zero_infinity to be True or False",
        ),
    ],
)
def test_arguments(call: Any, message: str) -> None:
    with pytest.raises(TinygradSeqError, match=message):
        call()


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.LayerNorm(4), nn.RMSNorm(4), nn.Dropout(), nn.Flatten()])
@pytest.mark.parametrize("x", [None, 1.5, "a", [[1.0] * 4]])
def test_layers_take_tensors(layer: Any, x: Any) -> None:
    with pytest.raises(DtypeError, match=f"{type(layer).__name__}: expected a tensor, got {type(x).__name__}"):
        layer(x)


@pytest.mark.parametrize("layer", [nn.GRU(4, 4), nn.LSTM(4, 4), nn.Recurrent(nn.GRUCell(4, 4)), nn.GRUCell(4, 4)])
@pytest.mark.parametrize("x", [1.5, "a", [1.0, [2.0]], ts.zeros((0,)), ts.zeros((3, 2, 5)), ts.zeros((2, 3, 2, 4))])
def test_recurrent_layers_refuse_what_is_no_sequence(layer: Any, x: Any) -> None:
    with pytest.raises((ShapeError, DtypeError), match="expected"):
        layer(x)


@pytest.mark.parametrize("shape", [(3, 0, 4), (0, 2, 4)])
def test_multi_head_attention_over_nothing(shape: tuple[int, ...]) -> None:
    x = ts.zeros(shape)
    output, weights = nn.MultiHeadAttention(4, 2)(x, x, is_causal=True)
    assert weights is not None
    assert output.shape == shape
    assert weights.shape == (shape[1], shape[0], shape[0])
