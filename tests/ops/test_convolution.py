from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.ops.agreement import check_close
from tests.ops.checks import check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, ShapeError
from tinygrad_seq.ops.convolution import conv1d


def loop(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """One output element at a time, from the definition."""
    outputs, channels, size = weight.shape
    reach = dilation * (size - 1)
    before, after = {"same": (reach // 2, reach - reach // 2), "valid": (0, 0)}.get(padding, (padding, padding))
    x = np.concatenate([np.zeros((*x.shape[:2], before)), x, np.zeros((*x.shape[:2], after))], axis=2)
    count = (x.shape[2] - reach - 1) // stride + 1
    y = np.zeros((x.shape[0], outputs, count))
    for n, o, t in itertools.product(*map(range, y.shape)):
        first = o // (outputs // groups) * channels
        for c, k in itertools.product(range(channels), range(size)):
            y[n, o, t] += weight[o, c, k] * x[n, first + c, t * stride + k * dilation]
    return y if bias is None else y + bias[:, None]


CASES: list[dict[str, Any]] = [
    {},
    {"padding": 2},
    {"padding": "same"},
    {"padding": "valid"},
    {"stride": 2},
    {"stride": 3, "padding": 1},
    {"dilation": 2},
    {"dilation": 2, "padding": "same"},
    {"groups": 2},
    {"groups": 2, "stride": 2, "padding": 3, "dilation": 2},
]


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_agrees_with_the_definition(options, size):
    x, weight, bias = values(2, 4, 7), values(6, 4 // options.get("groups", 1), size), values(6)
    check_close(lambda *xs: conv1d(*xs, **options), lambda *xs: loop(*xs, **options), x, weight, bias)
    check_close(lambda *xs: conv1d(*xs, **options), lambda *xs: loop(*xs, **options), x, weight)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_gradients(options):
    x, weight, bias = values(2, 4, 7), values(4, 4 // options.get("groups", 1), 3), values(4)
    check_gradients(lambda *xs: conv1d(*xs, **options), x, weight, bias)


def test_depthwise():
    x, weight = values(2, 3, 5), values(3, 1, 2)
    check_close(lambda x, w: conv1d(x, w, groups=3), lambda x, w: loop(x, w, groups=3), x, weight)


def test_one_row_without_a_batch_axis():
    x, weight, bias = values(3, 5), values(4, 3, 2), values(4)
    np.testing.assert_allclose(conv1d(x, weight, bias), loop(x[None], weight, bias)[0], rtol=1e-12)
    check_gradients(conv1d, x, weight, bias)


def test_empty_batch():
    assert conv1d(Tensor(np.zeros((0, 3, 5))), Tensor(np.zeros((4, 3, 2)))).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(2, 3, 5), (4, 2, 2)], {}),
        ([(3,), (4, 3, 2)], {}),
        ([(2, 3, 5), (4, 3)], {}),
        ([(2, 3, 5), (4, 3, 2), (3,)], {}),
        ([(2, 3, 5), (4, 3, 6)], {}),
        ([(2, 3, 5), (4, 3, 3)], {"dilation": 3}),
        ([(2, 4, 5), (3, 2, 2)], {"groups": 2}),
        ([(2, 3, 5), (4, 3, 0)], {}),
    ],
)
def test_refuses_shapes(shapes, options):
    x, weight, *bias = [Tensor(np.ones(shape)) for shape in shapes]
    with pytest.raises(ShapeError, match=r"conv1d: expected .*got .*;"):
        conv1d(x, weight, bias[0] if bias else None, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 0},
        {"stride": 1.0},
        {"dilation": -1},
        {"groups": True},
        {"padding": -1},
        {"padding": "full"},
        {"padding": "same", "stride": 2},
    ],
)
def test_refuses_options(options):
    with pytest.raises(ArgumentError, match=r"conv1d: expected .*got .*; pass"):
        conv1d(Tensor(np.ones((2, 3, 5))), Tensor(np.ones((4, 3, 2))), **options)
