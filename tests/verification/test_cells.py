"""Every cell of the library, and every option of the layers, has a certificate."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn.cell_names import CELLS
from tinygrad_seq import nn

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"

# Sizes that keep the state small.
SIZES: dict[str, dict[str, Any]] = {
    "MambaCell": {"state_size": 2, "dt_rank": 1},
    "S4DCell": {"state_size": 2},
    "LRUCell": {"state_size": 2},
    "GLACell": {"num_heads": 2, "rank": 1},
    **{
        name: {"num_heads": 2}
        for name in ("LinearAttentionCell", "RetNetCell", "DeltaNetCell", "GatedDeltaNetCell", "MLSTMCell")
    },
}

# A third is compiled where time is short, some of each family; the others are in tests/nn/test_cell_library.py.
COMPILED = {
    *("GRUCell", "NotesLSTMCell", "PeepholeLSTMCell", "JANETCell", "LayerNormLSTMCell", "MUT1Cell", "UGRNNCell"),
    *("CFNCell", "FastGRNNCell", "QRNNCell", "HGRNCell", "LRUCell", "RetNetCell", "SLSTMCell", "RWKV4Cell"),
}


def make(name: str) -> nn.Cell:
    cell: nn.Cell = getattr(nn, name)(4, 4, **SIZES.get(name, {}))
    return cell


@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str) -> None:
    certificate = ts.verify(make(name), level="short", compile=name in COMPILED, make=lambda: make(name))
    assert certificate.passed, str(certificate)
    skipped = {check.name for check in certificate.checks if check.status == "skipped"}
    assert skipped <= (set() if name in COMPILED else {"compiled == step by step", "remember gives the same bits"})


@pytest.mark.skipif(not THOROUGH, reason="compiles six kernels per cell: HYPOTHESIS_PROFILE=thorough")
@pytest.mark.parametrize("name", CELLS)
def test_cell_on_the_compiled_path_everywhere(name: str) -> None:
    certificate = ts.verify(make(name), make=lambda: make(name))
    assert certificate.passed, str(certificate)
    assert not [check for check in certificate.checks if check.status == "skipped"]


H = 4
EVERY: dict[str, Any] = {
    "num_layers": 2,
    "batch_first": True,
    "dropout": 0.3,
    "variational_dropout": 0.2,
    "recurrent_dropout": 0.2,
    "drop_connect": 0.2,
    "zoneout": 0.2,
    "residual": True,
    "learn_initial_state": True,
    "masked_output": "held",
    "return_all_states": True,
    "remember": 2,
}
LAYERS: dict[str, Any] = {
    "gru, stateful, stride": lambda: nn.GRU(H, H, **EVERY, window=4, stride=2, stateful=True),
    "lstm, backwards, window": lambda: nn.LSTM(H, H, **EVERY, window=2, go_backwards=True),
    "rnn, two directions": lambda: nn.RNN(H, H, **EVERY, bidirectional=True, merge="mean"),
    "lstm, projected, joined": lambda: nn.LSTM(3, H, proj_size=2, num_layers=2, bidirectional=True),
    "any cell, projected": lambda: nn.Recurrent(nn.NotesLSTMCell(H, H), **EVERY, proj_size=H, window=2),
    "two cells, evaluated": lambda: nn.Recurrent(
        [(nn.LSTMCell(3, 2), nn.LSTMCell(3, 2)), (nn.GRUCell(4, 2), nn.GRUCell(4, 2))],
        bidirectional=True,
        zoneout=0.1,
        residual=True,
    ).eval(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_with_every_option(name: str) -> None:
    """In the short form with T = 3: three steps see a window of two end, and a row that ends before."""
    full = {"level": "full"} if THOROUGH else {"level": "short", "compile": False, "T": 3}
    certificate = ts.verify(LAYERS[name](), **full)
    assert certificate.passed, str(certificate)
    skipped = {check.name for check in certificate.checks if check.status == "skipped"}
    expected = {"compiled == step by step", "remember gives the same bits"}
    if "directions" in name or "joined" in name or "evaluated" in name:
        expected |= {"whole == chunk by chunk == step by step", "stream == whole", "reset == begin anew"}
        expected |= {"real-time recurrent learning == backpropagation"}
    if "backwards" in name:
        expected |= {"real-time recurrent learning == backpropagation", "stream == whole"}
    assert skipped <= expected


def test_a_compiled_layer_with_masks(rng: np.random.Generator) -> None:
    certificate = ts.verify(nn.GRU(3, 3, zoneout=0.2, recurrent_dropout=0.3), level="short")
    assert certificate.passed, str(certificate)
    assert certificate["compiled == step by step"].status == "passed"
