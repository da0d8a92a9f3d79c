"""The node tests of ONNX for RNN, GRU and LSTM, and further cases computed by onnxruntime.

ONNX orders the gates i, o, f, c and z, r, h; biases are (8H,) or (6H,), those of W first; peepholes are i, o, f.
Outputs Y are (T, directions, N, H), with ``layout=1`` (N, T, directions, H).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Arrays, Case, ids, load

CASES = [*load("onnx.json").values()]
TOLERANCE = 1e-6  # the numbers were computed in float32
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def decode(value: Any) -> np.ndarray:
    """Return an array that is written out, or ``{"fill": number, "shape": [...]}`` if all elements are equal."""
    return np.full(value["shape"], value["fill"]) if isinstance(value, dict) else np.array(value)


def decode_all(arrays: dict[str, Any]) -> Arrays:
    return {name: decode(value) for name, value in arrays.items()}


def blocks(case: Case, inputs: Arrays, direction: int) -> list[Arrays]:
    """Return the weights of each gate, in the order of ONNX."""
    gates, hidden = GATES[case["op"]], case["hidden"]
    bias = inputs["B"][direction] if "B" in inputs else np.zeros(2 * gates * hidden)
    parts = {
        "weight_ih": inputs["W"][direction],
        "weight_hh": inputs["R"][direction],
        "bias_ih": bias[: gates * hidden],
        "bias_hh": bias[gates * hidden :],
    }
    split = {name: np.split(part, gates) for name, part in parts.items()}
    return [{name: part[gate] for name, part in split.items()} for gate in range(gates)]


def stacked(*gates: Arrays) -> Arrays:
    return {name: np.concatenate([gate[name] for gate in gates]) for name in gates[0]}


def of_pytorch(case: Case, inputs: Arrays, direction: int) -> Arrays:
    """Return the weights by the names and in the order of `ElmanCell`, `GRUCell` and `LSTMCell`."""
    gates = blocks(case, inputs, direction)
    if case["op"] == "LSTM":
        i, o, f, c = gates
        gates = [i, f, c, o]
    elif case["op"] == "GRU":
        z, r, h = gates
        gates = [r, z, h]
    return stacked(*gates)


def with_one_bias(weights: Arrays) -> Arrays:
    bias = weights.pop("bias_ih") + weights.pop("bias_hh")
    return {**weights, "bias": bias}


def cell(case: Case, inputs: Arrays, direction: int) -> ts.nn.Cell:
    """Return the cell that does the same as an operator with these attributes."""
    sizes, attributes = (inputs["X"].shape[-1], case["hidden"]), case["attributes"]
    weights = of_pytorch(case, inputs, direction)
    made: ts.nn.Cell
    if case["op"] == "RNN":
        made = ts.nn.ElmanCell(*sizes, nonlinearity=nonlinearity(case))
    elif case["op"] == "GRU" and attributes.get("linear_before_reset"):
        made = ts.nn.GRUCell(*sizes)
    elif case["op"] == "GRU":
        made, weights = ts.nn.NotesGRUCell(*sizes), {}
        for gate, name, sign in zip(blocks(case, inputs, direction), "urc", (-1, 1, 1), strict=True):
            weights[f"W{name}"] = sign * np.hstack([gate["weight_hh"], gate["weight_ih"]])
            weights[f"b{name}"] = sign * (gate["bias_ih"] + gate["bias_hh"])[:, None]
    elif "P" in inputs:
        see_i, see_o, see_f = np.split(inputs["P"][direction], 3)
        made = ts.nn.PeepholeLSTMCell(*sizes)
        weights = {**with_one_bias(weights), "peephole": np.concatenate([see_i, see_f, see_o])}
    elif attributes.get("input_forget"):
        i, o, _, c = blocks(case, inputs, direction)
        f = {name: -part for name, part in i.items()}  # coupled gates: f = 1 - i
        made, weights = ts.nn.CoupledLSTMCell(*sizes), with_one_bias(stacked(f, c, o))
    else:
        made = ts.nn.LSTMCell(*sizes)
    made.double().load_state_dict(weights)
    return made


def nonlinearity(case: Case) -> Any:
    return case["attributes"].get("activations", ["tanh"])[0].lower()


def check(case: Case, ys: ts.Tensor, states: dict[str, np.ndarray]) -> None:
    """Compare outputs (T, N, directions * H) and states (directions, N, H), or batch first."""
    n, m = ys.shape[:2]
    found = {"Y": ys.numpy().reshape(n, m, -1, case["hidden"]), **states}
    if case["attributes"].get("layout"):
        found.update({name: np.swapaxes(state, 0, 1) for name, state in states.items()})
    else:
        found["Y"] = np.swapaxes(found["Y"], 1, 2)
    for name, expected in decode_all(case["expect"]).items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=TOLERANCE, err_msg=name)


def settings(case: Case, inputs: Arrays) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the layer, and the arguments of its call besides inputs and state."""
    attributes = case["attributes"]
    options = {
        "batch_first": bool(attributes.get("layout")),
        "bidirectional": attributes.get("direction") == "bidirectional",
        "go_backwards": attributes.get("direction") == "reverse",
    }
    return options, {"lengths": inputs["sequence_lens"]} if "sequence_lens" in inputs else {}


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_by_recurrent(case: Case) -> None:
    inputs = decode_all(case["inputs"])
    options, given = settings(case, inputs)
    directions = len(inputs["W"])
    cells = [cell(case, inputs, direction) for direction in range(directions)]
    layer = ts.nn.Recurrent([(cells[0], cells[1])] if directions == 2 else cells, **options)
    names = ("initial_h", "initial_c") if case["op"] == "LSTM" else ("initial_h",)
    state: Any = None
    if "initial_h" in inputs:
        parts = [tuple(ts.tensor(inputs[name][direction]) for name in names) for direction in range(directions)]
        state = [part if len(part) == 2 else part[0] for part in parts]
        state = tuple(state) if directions == 2 else state[0]
    ys, last = layer(ts.tensor(inputs["X"].astype(np.float64)), state, **given)
    lasts = [part if isinstance(part, tuple) else (part,) for part in (last if directions == 2 else [last])]
    states = {
        name: np.stack([part.numpy() for part in column])
        for name, column in zip(("Y_h", "Y_c"), zip(*lasts, strict=True), strict=False)
    }
    check(case, ys, states)


LAYERS: dict[str, Any] = {"RNN": ts.nn.RNN, "GRU": ts.nn.GRU, "LSTM": ts.nn.LSTM}
PLAIN = [
    case
    for case in CASES
    if "P" not in case["inputs"]
    and not case["attributes"].get("input_forget")
    and (case["op"] != "GRU" or case["attributes"].get("linear_before_reset"))
]


@pytest.mark.parametrize("case", PLAIN, ids=ids(PLAIN))
def test_by_layer(case: Case) -> None:
    inputs = decode_all(case["inputs"])
    options, given = settings(case, inputs)
    if case["op"] == "RNN":
        options["nonlinearity"] = nonlinearity(case)
    layer = LAYERS[case["op"]](inputs["X"].shape[-1], case["hidden"], **options).double()
    for direction in range(len(inputs["W"])):
        suffix = "_l0_reverse" if direction else "_l0"
        for name, values in of_pytorch(case, inputs, direction).items():
            getattr(layer, name + suffix).data[:] = values
    names = ("initial_h", "initial_c") if case["op"] == "LSTM" else ("initial_h",)
    state: Any = tuple(ts.tensor(inputs[name]) for name in names) if "initial_h" in inputs else None
    if state is not None and len(state) == 1:
        (state,) = state
    ys, last = layer(ts.tensor(inputs["X"].astype(np.float64)), state, **given)
    lasts = last if isinstance(last, tuple) else (last,)
    check(case, ys, dict(zip(("Y_h", "Y_c"), (part.numpy() for part in lasts), strict=False)))
