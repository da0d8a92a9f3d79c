"""The cells of torchrecurrent, with gradients by PyTorch, and the same cells here: outputs, states, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Arrays, Case, check, draw, gradient, ids, load

CASES = [*load("torchrecurrent.json").values()]

Blocks = tuple[int | None, ...]

# Each parameter here is a sum of parameters of torchrecurrent, whose blocks of H rows are taken in this order; None is
# a block of zeros.
SAME_GATES: dict[str, dict[str, Blocks]] = {
    "weight_ih": {"weight_ih": (0, 1)},
    "weight_hh": {"weight_hh": (0, 1)},
    "bias": {"bias_ih": (0, 1), "bias_hh": (0, 1)},
}
PARAMETERS: dict[str, dict[str, dict[str, Blocks]]] = {
    "ATRCell": {"weight_ih": {"weight_ih": (0,)}, "weight_hh": {"weight_hh": (0,)}, "bias": {"bias_ih": (0,)}},
    "CFNCell": {
        "weight_ih": {"weight_ih": (0, 1, 2)},
        "weight_hh": {"weight_hh": (0, 1)},
        "bias": {"bias_ih": (0, 1, 2), "bias_hh": (0, 1, None)},
    },
    "FastGRNNCell": {
        "weight_ih": {"weight_ih": (0,)},
        "weight_hh": {"weight_hh": (0,)},
        "bias": {"bias_ih": (0, 1), "bias_hh": (0, 1)},
        "zeta": {"zeta": (0,)},
        "nu": {"nu": (0,)},
    },
    "IndRNNCell": {
        "weight_ih": {"weight_ih": (0,)},
        "weight_hh": {"vector_u": (0,)},
        "bias": {"bias_ih": (0,), "bias_hh": (0,)},
    },
    "JANETCell": SAME_GATES,
    "LiGRUCell": SAME_GATES,
    "MGUCell": {
        "weight_ih": {"weight_ih": (0, 1)},
        "weight_fh": {"weight_hh": (0,)},
        "weight_nh": {"weight_hh": (1,)},
        "bias": {"bias_ih": (0, 1), "bias_hh": (0, 1)},
    },
    "MUT1Cell": {
        "weight_ih": {"weight_ih": (0, 1, 2)},
        "weight_rh": {"weight_hh": (0,)},
        "weight_nh": {"weight_hh": (1,)},
        "bias": {"bias_ih": (0, 1, 2), "bias_hh": (None, 0, None)},
        "bias_nh": {"bias_hh": (1,)},
    },
    "MinimalRNNCell": {
        "weight_ih": {"weight_ih": (0,)},
        "weight_zh": {"weight_mm": (0,)},
        "weight_hh": {"weight_hh": (0,)},
        "bias": {"bias_ih": (0, None), "bias_hh": (None, 0)},
    },
    "MultiplicativeLSTMCell": {
        "weight_mx": {"weight_ih": (0,)},
        "weight_mh": {"weight_hh": (0,)},
        "weight_ih": {"weight_ih": (1, 2, 3, 4)},
        "weight_hh": {"weight_mh": (0, 1, 2, 3)},
        "bias": {"bias_mh": (0, 1, 2, 3)},
    },
    "OriginalLSTMCell": {
        "weight_ih": {"weight_ih": (0, 1, 2)},
        "weight_hh": {"weight_hh": (0, 1, 2)},
        "bias": {"bias_ih": (0, 1, 2), "bias_hh": (0, 1, 2)},
    },
    "PeepholeLSTMCell": {
        "weight_ih": {"weight_ih": (0, 1, 2, 3)},
        "weight_hh": {"weight_hh": (0, 1, 2, 3)},
        "bias": {"bias_ih": (0, 1, 2, 3), "bias_hh": (0, 1, 2, 3)},
        "peephole": {"weight_ph": (0, 1, 2)},
    },
    "RANCell": {
        "weight_ih": {"weight_ih": (1, 2, 0)},
        "weight_hh": {"weight_hh": (0, 1)},
        "bias": {"bias_ih": (0, 1), "bias_hh": (0, 1)},
    },
    "STARCell": {
        "weight_ih": {"weight_ih": (0, 1)},
        "weight_hh": {"weight_hh": (0,)},
        "bias": {"bias_ih": (0, 1), "bias_hh": (None, 0)},
    },
    "UGRNNCell": {
        "weight_ih": {"weight_ih": (1, 0)},
        "weight_hh": {"weight_hh": (1, 0)},
        "bias": {"bias_ih": (1, 0), "bias_hh": (1, 0)},
    },
}


def split(array: np.ndarray, hidden: int) -> list[np.ndarray]:
    """Return views of the blocks of H rows; a single number is one block."""
    return np.split(array, max(1, len(array) // hidden))


def ours(name: str, theirs: Arrays, hidden: int) -> Arrays:
    """Return the parameters of the package's cell."""
    found: Arrays = {}
    for parameter, sources in PARAMETERS[name].items():
        terms = []
        for source, order in sources.items():
            blocks = split(theirs[source], hidden)
            terms.append(np.concatenate([np.zeros_like(blocks[0]) if k is None else blocks[k] for k in order]))
        found[parameter] = np.sum(terms, axis=0)
    return found


def gradients(cell: ts.nn.Cell, name: str, theirs: Arrays, hidden: int) -> Arrays:
    """Return the gradients of torchrecurrent's parameters from those of the package: the map above, transposed."""
    sources = {source for each in PARAMETERS[name].values() for source in each}
    found = {source: np.zeros_like(theirs[source]) for source in sources}
    for parameter, orders in PARAMETERS[name].items():
        for source, order in orders.items():
            blocks = split(found[source], hidden)
            for k, block in zip(order, np.split(gradient(getattr(cell, parameter)), len(order)), strict=True):
                if k is not None:
                    blocks[k] += block
    return {f"d {source}": values for source, values in found.items()}


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_outputs_states_and_gradients(case: Case) -> None:
    name, arrays = case["id"], draw(case)
    hidden, features = arrays["h"].shape[1], arrays["x"].shape[2]
    cell: Any = getattr(ts.nn, name)(features, hidden).double()
    cell.load_state_dict(ours(name, arrays, hidden))
    x = ts.tensor(arrays["x"], requires_grad=True)
    state = [ts.tensor(arrays[part], requires_grad=True) for part in ("h", "c") if part in arrays]
    ys, last = ts.nn.Recurrent(cell)(x, tuple(state) if len(state) == 2 else state[0])
    ts.sum(ys * arrays["dy"]).backward()
    values = {"y": ys.numpy(), "d x": gradient(x), **gradients(cell, name, arrays, hidden)}
    values |= {f"d {part}": gradient(each) for part, each in zip("hc", state, strict=False)}
    if len(state) == 2:
        values["last c"] = last[1].numpy()
    check(case, values)


def test_every_parameter_is_compared() -> None:
    for case in CASES:
        drawn = {f"d {name}" for name, _ in case["draw"]} - {"d dy"}
        assert drawn == {key for key in case["expect"] if key.startswith("d ")}, case["id"]
