"""Modules, functions, optimisers and schedules that PyTorch has under the same names, with the same arguments.

Each case is written once, for `torch.nn` and for this package's `nn` alike. Parameters and inputs are drawn from a seed
in the order of the state dict, so only results are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

T, N, E = 4, 3, 6
CAUSAL = np.triu(np.ones((T, T), bool), 1)
PADDING = np.arange(T) >= np.array([[4], [2], [3]])
ENCODER: dict[str, Any] = {"dim_feedforward": 5, "dropout": 0.0}

# Name: how to build it, the shapes of its inputs, further arguments of its call.
MODULES: dict[str, tuple[Callable[[Any], Any], list[tuple[int, ...]], dict[str, Any]]] = {
    "conv": (lambda nn: nn.Conv1d(2, 3, 3, 2, 1, 2), [(2, 2, 9)], {}),
    "conv, groups": (lambda nn: nn.Conv1d(4, 2, 2, padding="same", groups=2, bias=False), [(4, 5)], {}),
    "conv, reflect": (lambda nn: nn.Conv1d(1, 2, 4, padding="same", padding_mode="reflect"), [(1, 1, 6)], {}),
    "batch norm": (lambda nn: nn.BatchNorm1d(3), [(4, 3)], {}),
    "batch norm, in time": (lambda nn: nn.BatchNorm1d(2, momentum=None, affine=False), [(3, 2, 4)], {}),
    "batch norm, evaluation": (lambda nn: nn.BatchNorm1d(3, eps=0.1).eval(), [(4, 3, 2)], {}),
    "batch norm of the batch": (lambda nn: nn.BatchNorm1d(3, track_running_stats=False).eval(), [(4, 3)], {}),
    "glu": (lambda nn: nn.GLU(dim=0), [(4, 3)], {}),
    "prelu": (lambda nn: nn.PReLU(3), [(2, 3, 2)], {}),
    "softplus": (lambda nn: nn.Softplus(beta=2.0, threshold=1.0), [(3, 4)], {}),
    "softmax": (lambda nn: nn.Softmax(dim=1), [(2, 3, 2)], {}),
    "flatten": (lambda nn: nn.Flatten(1, 2), [(2, 2, 3, 2)], {}),
    "sequential": (lambda nn: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))[1:], [(2, 4)], {}),
    "encoder layer": (lambda nn: nn.TransformerEncoderLayer(E, 2, **ENCODER), [(T, N, E)], {"src_mask": CAUSAL}),
    "encoder": (
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(E, 3, activation="gelu", batch_first=True, norm_first=True, **ENCODER),
            2,
            nn.LayerNorm(E),
            enable_nested_tensor=False,
        ),
        [(N, T, E)],
        {"src_key_padding_mask": PADDING},
    ),
    "attention": (
        lambda nn: nn.MultiheadAttention(E, 2, kdim=3, vdim=4),
        [(2, N, E), (T, N, 3), (T, N, 4)],
        {"key_padding_mask": PADDING, "average_attn_weights": False},
    ),
}
# Arguments of scaled_dot_product_attention beside query, key and value, whose shapes come first.
DOTS: dict[str, tuple[list[tuple[int, ...]], dict[str, Any]]] = {
    "plain": ([(2, 3, 4), (2, 5, 4), (2, 5, 3)], {"scale": 0.5}),
    "causal": ([(2, 3, 4), (2, 5, 4), (2, 5, 3)], {"is_causal": True}),
    "bool": ([(1, 2, 2, 4), (1, 2, 3, 4), (1, 2, 3, 3)], {"attn_mask": np.array([[True, False, True], [False] * 3])}),
    "numbers": ([(2, 2, 4), (2, 2, 4), (2, 2, 3)], {"attn_mask": np.array([[0.5, -np.inf], [-1.0, 2.0]])}),
    "grouped": ([(4, 2, 3), (2, 2, 3), (2, 2, 3)], {"enable_gqa": True}),
}
OPTIMISERS: list[tuple[str, dict[str, Any]]] = [
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.7), "weight_decay": 0.1, "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.6, "t0": 2.0, "weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.7), "weight_decay": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.8), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (0.05, 0.2), "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1}),
]
STEPS = 8
SHAPES = [(2, 3), ()]

SEARCHES: list[dict[str, Any]] = [
    {"lr": 1e-3, "max_iter": 6, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "max_iter": 7},
    {"line_search_fn": "strong_wolfe", "lr": 0.5, "max_iter": 3, "max_eval": 5},
]

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "LinearLR": lambda m, o: m.LinearLR(o, 0.2, 0.9, 7),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.2, 4),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 9, 2.0),
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, [lambda t: 0.9, lambda t: 1 / (t + 1)]),
    "CosineAnnealingWarmRestarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "CyclicLR": lambda m, o: m.CyclicLR(o, 0.1, [0.5, 0.9], 4, 7),
    "CyclicLR, halved": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 4, mode="triangular2"),
    "CyclicLR, decaying": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 4, mode="exp_range", gamma=0.95),
    "CyclicLR, own": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 3, scale_fn=lambda t: 1 / (t + 1), scale_mode="iterations"),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 0.8, total_steps=15),
    "OneCycleLR, three phases": lambda m, o: m.OneCycleLR(
        o, [0.8, 0.2], epochs=4, steps_per_epoch=5, anneal_strategy="linear", three_phase=True, pct_start=0.25
    ),
    "SequentialLR": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 3), m.CosineAnnealingLR(o, 9)], [3]),
    "ChainedScheduler": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9)]),
}


def draw(shapes: dict[str, tuple[int, ...]] | list[tuple[int, ...]], seed: int = 0) -> Any:
    """Return arrays of these shapes; variances are positive."""
    rng = np.random.RandomState(seed)
    if isinstance(shapes, dict):
        return {name: rng.randn(*shape) ** 2 if "var" in name else rng.randn(*shape) for name, shape in shapes.items()}
    return [np.asarray(rng.randn(*shape)) for shape in shapes]


def gradient(param: np.ndarray, step: int) -> np.ndarray:
    """Return a gradient that depends on where the parameter is."""
    return np.asarray(0.5 * param + np.random.RandomState(step).randn(*param.shape))


def leaves(result: Any) -> list[Any]:
    """Return the arrays of a result."""
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, tuple) else [result]


def valley(w: Any, v: Any) -> Any:
    """Return a loss with a bent valley."""
    return ((1 - w[:-1]) ** 2 + 100 * (w[1:] - w[:-1] ** 2) ** 2).sum() + (v**4).sum()
