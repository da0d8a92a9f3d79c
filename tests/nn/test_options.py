"""The options of recurrent layers, each on four cells: compiled as step by step, and as they are meant."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.scan.case import GRADIENT_TOLERANCE, assert_close
from tinygrad_seq import nn
from tinygrad_seq.tree import flatten

T, N, I, H = 6, 5, 3, 4
LENGTHS = np.array([6, 2, 5, 1, 4])
MASK = np.arange(T)[:, None] * 7 % 5 != np.arange(N)
RESET = (np.arange(T)[:, None] + np.arange(N)) % 4 == 3


class DictCell(nn.Cell):
    """A cell of a user: a state of two sizes in a dict, one product with [h; x], an output that is no state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.output_size = input_size, hidden_size
        self.state_shape = {"h": (hidden_size,), "m": (2, hidden_size)}
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)
        self.rate = nn.Parameter(np.full(hidden_size, 0.3, np.float32))

    def forward(self, x: Any, state: Any) -> Any:
        h = ts.tanh(self.mix(ts.concat([state["h"], x], axis=-1)))
        m = state["m"] * self.rate + h[:, None] * ts.tensor([[0.5], [-1.0]], dtype=h.dtype)
        return h * m[:, 1], {"h": h, "m": m}


CELLS = {"elman": nn.ElmanCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell, "dict": DictCell}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lengths": {"lengths": LENGTHS},
    "held": {"masked_output": "held", "mask": MASK},
    "reset": {"reset": RESET, "learn_initial_state": True},
    "zoneout": {"zoneout": 0.4},
    "recurrent": {"recurrent_dropout": 0.4, "drop_connect": 0.3, "variational_dropout": 0.2},
    "all": {
        "lengths": LENGTHS,
        "reset": RESET,
        "learn_initial_state": True,
        "zoneout": 0.4,
        "recurrent_dropout": 0.4,
        "drop_connect": 0.3,
        "variational_dropout": 0.2,
        "masked_output": "held",
        "residual": True,
        "proj_size": 3,
        "bidirectional": True,
        "merge": "sum",
        "return_all_states": True,
    },
}
FLAGS = ("lengths", "mask", "reset")


def layer_of(kind: str, rng: np.random.Generator, input_size: int = I, cells: int = 1, **options: Any) -> nn.Recurrent:
    """Return a float64 layer of a cell with random parameters; its layers have one size if there are several."""
    made = [CELLS[kind](input_size if k == 0 else H, H) for k in range(cells)]
    layer = nn.Recurrent(
        made[0] if not options.get("bidirectional") else [(c, CELLS[kind](I, H)) for c in made], **options
    )
    if cells > 1:
        layer = nn.Recurrent(made, **options)
    layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 0.6, rng)
    return layer


def data(rng: np.random.Generator, *shape: int) -> ts.Tensor:
    return ts.tensor(rng.standard_normal(shape or (T, N, I)), requires_grad=True)


def run(layer: nn.Module, xs: ts.Tensor, *, compiled: bool = True, seed: int = 0, **call: Any) -> list[np.ndarray]:
    """Return all outputs of a layer and the gradients of all that it has and is given, of a sum with fixed weights."""
    ts.manual_seed(seed)
    layer.zero_grad()
    xs.grad = None
    with nullcontext() if compiled else ts.disable_compile():
        outputs = flatten(layer(xs, **call))[0]
        weights = np.random.default_rng(7)
        total = sum((output * weights.standard_normal(output.shape)).sum() for output in outputs)
        total.backward()
    gradients = [np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in (xs, *layer.parameters())]
    return [*[output.detach().numpy() for output in outputs], *gradients]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_close(f"value or gradient {number}", a, b, GRADIENT_TOLERANCE)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", CELLS)
def test_compiled_is_as_step_by_step(kind: str, option: str, rng: np.random.Generator) -> None:
    options = dict(OPTIONS[option])
    call = {name: options.pop(name) for name in FLAGS if name in options}
    layer, xs = layer_of(kind, rng, **options), data(rng)
    assert_same(run(layer, xs, **call), run(layer, xs, compiled=False, **call))
