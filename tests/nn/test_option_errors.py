"""Bad options, flags and states: a clear error before any work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

T, N, I, H = 6, 5, 3, 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"merge": "add"}, r"expected merge to be one of \('concat', 'sum', 'mean', 'mul', None\), got 'add'"),
        ({"merge": np.array(["sum", "mean"])}, "expected merge to be one of"),
        ({"bidirectional": 2}, "expected bidirectional to be True or False, got 2"),
        ({"batch_first": "no"}, "expected batch_first to be True or False, got 'no'"),
        ({"residual": "no"}, "expected residual to be True or False, got 'no'"),
        ({"stateful": None}, "expected stateful to be True or False, got None"),
        ({"masked_output": "last"}, "expected masked_output to be one of"),
        ({"zoneout": 1.5}, r"expected zoneout to be a probability in \[0, 1\], got 1.5"),
        ({"zoneout": None}, r"expected zoneout to be a probability in \[0, 1\], got None"),
        ({"zoneout": ((0.1,), 0.2)}, r"expected zoneout to be a probability, or one for each array of the state"),
        ({"zoneout": (0.1, 0.2, 0.3)}, r"expected zoneout to be a probability, or one for each array of the state"),
        ({"recurrent_dropout": -0.1}, "expected recurrent_dropout to be a probability"),
        ({"drop_connect": "half"}, "expected drop_connect to be a probability"),
        ({"variational_dropout": 2}, "expected variational_dropout to be a probability"),
        ({"window": 0}, "expected window to be an integer >= 1, got 0"),
        ({"stride": 2}, "expected stride to divide window, got stride=2 and window=None"),
        ({"stride": 2, "window": 5}, "expected stride to divide window, got stride=2 and window=5"),
        ({"remember": "none"}, "expected remember"),
        ({"bidirectional": True, "stateful": True}, "expected bidirectional or stateful, got both"),
        ({"bidirectional": True, "go_backwards": True}, "expected bidirectional or go_backwards, got both"),
        ({"zone_out": 0.1}, "expected options of merge, .* got 'zone_out'"),
    ],
)
@pytest.mark.parametrize("make", [lambda **o: nn.LSTM(I, H, **o), lambda **o: nn.Recurrent(nn.LSTMCell(I, H), **o)])
def test_bad_options(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        ({"lengths": [6, -1, 1, 1, 1]}, ArgumentError, "expected lengths from 0 to 6, got -1 for sequence 1"),
        ({"lengths": [6, 1, 7, 1, 1]}, ArgumentError, "expected lengths from 0 to 6, got 7 for sequence 2"),
        ({"lengths": [6, 1]}, ShapeError, r"expected lengths of shape \(5,\), integers, got \(2,\)"),
        ({"lengths": [6.0] * N}, DtypeError, r"expected lengths of shape \(5,\), integers, got \(5,\) float32"),
        ({"lengths": [[1], [1, 2], 1, 1, 1]}, ShapeError, "lengths: expected nested lists of equal lengths"),
        ({"mask": [[True], [True, False]]}, ShapeError, "mask: expected nested lists of equal lengths"),
        ({"mask": np.ones((N, T), bool)}, ShapeError, r"expected mask of shape \(T, N\) = \(6, 5\) bool, got \(5, 6\)"),
        ({"mask": np.ones((T, N))}, DtypeError, r"expected mask of shape \(T, N\) = \(6, 5\) bool, got .* float64"),
        ({"reset": np.ones(T, bool)}, ShapeError, r"expected reset of shape \(T, N\)"),
        ({"lengths": [1] * N, "mask": np.ones((T, N), bool)}, ArgumentError, "expected lengths or mask, got both"),
        ({"state": {"h": np.zeros((N, H))}}, ArgumentError, "expected a state"),
    ],
)
@pytest.mark.parametrize("layer", [nn.LSTM(I, H), nn.Recurrent(nn.LSTMCell(I, H))])
def test_bad_flags(layer: nn.Module, call: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        layer(ts.zeros((T, N, I)), **call)


def test_no_steps_cannot_be_explained() -> None:
    with pytest.raises(ShapeError, match=r"explain: .* of at least one step, got"):
        nn.GRU(I, H).explain(ts.zeros((0, N, I)))


def test_what_goes_backwards_cannot_stream() -> None:
    for layer in (nn.GRU(I, H, bidirectional=True), nn.GRU(I, H, go_backwards=True)):
        with pytest.raises(ArgumentError, match="expected a layer that goes forwards only"):
            layer.stream(2)


def test_one_sequence_has_no_flags() -> None:
    with pytest.raises(ArgumentError, match=r"expected a batch .* with lengths, mask or reset, got one sequence"):
        nn.GRU(I, H)(ts.zeros((T, I)), lengths=[3])


class Unsized(nn.Cell):
    """A cell that does not tell what it puts out."""

    def __init__(self, size: int) -> None:
        self.state_shape = (size,)

    def forward(self, x: Any, h: Any) -> Any:
        return h, h


def test_residual_layers_have_outputs_like_inputs() -> None:
    message = "expected a residual layer whose output is like its input, got"
    for make in (
        lambda: nn.GRU(I, H, residual=True),
        lambda: nn.LSTM(I, I, bidirectional=True, residual=True),
        lambda: nn.Recurrent(nn.GRUCell(I, I), proj_size=2, residual=True),
        lambda: nn.Recurrent([nn.GRUCell(I, H), nn.GRUCell(H, I)], residual=True),
        lambda: nn.Recurrent([Unsized(H), Unsized(H), nn.GRUCell(H, I)], residual=True),
    ):
        with pytest.raises(ShapeError, match=message):
            make()
    untold = nn.Recurrent([Unsized(I), Unsized(H)], residual=True)
    with pytest.raises(ShapeError, match=message):
        untold(ts.zeros((T, N, I)))
    ys, _ = nn.GRU(I, H, num_layers=2, residual=True)(ts.zeros((T, N, I)))
    assert ys.shape == (T, N, H)


def test_cells_for_two_directions() -> None:
    cell = nn.GRUCell(I, H)
    with pytest.raises(ArgumentError, match="expected a Cell at position 0, got 2 in a tuple"):
        nn.Recurrent([(cell, cell)])
    with pytest.raises(ArgumentError, match="reads its own output, got input_size 3 and an output of 8"):
        nn.Recurrent(cell, num_layers=2, bidirectional=True)

    class Nameless(nn.Cell):
        state_shape = (H,)

    with pytest.raises(ArgumentError, match="expected a Nameless with an attribute output_size, which proj_size=2"):
        nn.Recurrent(Nameless(), proj_size=2)


@pytest.mark.parametrize("call", [{}, {"lengths": [6, 2, 5, 1, 4]}, {"mask": np.ones((T, N), bool)}])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_inputs_of_different_length(call: dict[str, Any], steps: int) -> None:
    class Two(nn.Cell):
        state_shape = (I,)

        def forward(self, x: Any, state: Any) -> Any:
            h = x[0] + x[1] + state
            return h, h

    with pytest.raises(ShapeError, match="Recurrent: expected one length T, got"):
        nn.Recurrent(Two())((np.ones((T, N, I), np.float32), np.ones((steps, N, I), np.float32)), **call)


@pytest.mark.parametrize("layer", [2, -1, True, None])
def test_explain_wants_a_layer_that_is_there(layer: Any) -> None:
    with pytest.raises(ArgumentError, match="expected layer to be one of 2, counted from 0"):
        nn.GRU(I, H, num_layers=2).explain(ts.zeros((T, N, I)), layer=layer)
