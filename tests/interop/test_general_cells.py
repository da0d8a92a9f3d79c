"""The cells in the generality of ONNX and Keras: compiled as step by step, and with gradients."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.interop.general_cells import KINDS, make_layer

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("GRU", {"reset_after": False, "clip": 2.0}),
    ("LSTM", {"input_forget": True, "activations": (("hard_sigmoid", 0.2, 0.5), ("softsign",), ("elu", 1.0))}),
    ("RNN", {"activations": (("scaled_tanh", 1.5, 0.5),)}),
]


def parts(kind: str, peephole: bool = False) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(0), KINDS[kind].general.gates * 4
    shapes = {"weight_ih": (rows, 3), "weight_hh": (rows, 4), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {
        name: rng.normal(size=shape) for name, shape in (shapes | ({"peephole": (12,)} if peephole else {})).items()
    }


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=[kind for kind, _ in SETTINGS])
def test_compiled_and_step_by_step(kind: str, settings: dict[str, Any]) -> None:
    layer = make_layer(kind, [parts(kind, kind == "LSTM")], [settings])
    x, results = np.random.default_rng(1).normal(size=(4, 2, 3)), []
    for compiled in (True, False):
        layer.zero_grad()
        inputs = ts.tensor(x, requires_grad=True)
        with nullcontext() if compiled else ts.disable_compile():
            ys, _ = layer(inputs)[:2]
            (ys * ys).sum().backward()
        results.append([ys.numpy(), inputs.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())])  # type: ignore[union-attr]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    with ts.disable_compile():
        for kind, settings in SETTINGS:
            layer = make_layer(kind, [parts(kind, kind == "LSTM")], [settings])
            x = ts.tensor(np.random.default_rng(1).normal(size=(2, 1, 3)), requires_grad=True)
            assert ts.gradcheck(lambda x, layer=layer: layer(x)[0], [x])


@pytest.mark.parametrize("kind", KINDS)
def test_a_standard_layer_is_one_of_torch(kind: str) -> None:
    one = make_layer(kind, [parts(kind)], [{}])
    both = make_layer(kind, [parts(kind)] * 2, [{}, {}], batch_first=True)
    assert type(one) is type(both) is KINDS[kind].layer
    assert both.bidirectional
    assert np.array_equal(one.state_dict()["weight_ih_l0"], both.state_dict()["weight_ih_l0_reverse"])
