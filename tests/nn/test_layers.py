"""Layers without a state: forward against NumPy, gradients against finite differences, PyTorch's distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

ROUNDING = 1e-13


def doubled(layer: nn.Module, rng) -> Any:
    layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.3, 0.7, rng)
    return layer


def norm(x, weight, bias, centre: bool = True, eps: float = 1e-5):
    x = x - x.mean(-1, keepdims=True) * centre
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight + bias


LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), lambda p, x: x @ p["weight"].T + p["bias"]),
    "linear without bias": (lambda: nn.Linear(4, 3, bias=False), lambda p, x: x @ p["weight"].T),
    "layer norm": (lambda: nn.LayerNorm(4), lambda p, x: norm(x, p["weight"], p["bias"])),
    "layer norm without bias": (lambda: nn.LayerNorm(4, bias=False), lambda p, x: norm(x, p["weight"], 0)),
    "layer norm alone": (
        lambda: nn.LayerNorm((4,), 0.1, elementwise_affine=False),
        lambda p, x: norm(x, 1, 0, eps=0.1),
    ),
    "rms norm": (lambda: nn.RMSNorm(4, eps=1e-3), lambda p, x: norm(x, p["weight"], 0, centre=False, eps=1e-3)),
    "tanh": (nn.Tanh, lambda p, x: np.tanh(x)),
    "sigmoid": (nn.Sigmoid, lambda p, x: 1 / (1 + np.exp(-x))),
    "relu": (nn.ReLU, lambda p, x: np.maximum(x, 0)),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), lambda p, x: np.where(x > 0, x, 0.2 * x)),
    "elu": (lambda: nn.ELU(0.5), lambda p, x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "gelu": (
        lambda: nn.GELU("tanh"),
        lambda p, x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "silu": (nn.SiLU, lambda p, x: x / (1 + np.exp(-x))),
    "softplus": (nn.Softplus, lambda p, x: np.log1p(np.exp(x))),
    "softsign": (nn.Softsign, lambda p, x: x / (1 + np.abs(x))),
    "softmax": (lambda: nn.Softmax(0), lambda p, x: np.exp(x) / np.exp(x).sum(0)),
    "log softmax": (lambda: nn.LogSoftmax(-1), lambda p, x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    "flatten": (nn.Flatten, lambda p, x: x.reshape(2, 20)),
    "identity": (nn.Identity, lambda p, x: x),
    "dropout in evaluation": (lambda: nn.Dropout(0.5).eval(), lambda p, x: x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_gradients(name: str, rng) -> None:
    layer, formula = doubled(LAYERS[name][0](), rng), LAYERS[name][1]
    x = ts.tensor(rng.standard_normal((2, 5, 4)), requires_grad=True)
    np.testing.assert_allclose(layer(x).numpy(), formula(layer.state_dict(), x.numpy()), rtol=0, atol=ROUNDING)
    ts.gradcheck(lambda *_: layer(x), [*layer.parameters(), x])


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name: str) -> None:
    assert LAYERS[name][0]()(ts.randn(2, 5, 4)).dtype == np.float32


def test_linear_is_drawn_as_in_pytorch() -> None:
    layer: Any = nn.Linear(100, 400)
    for parameter in layer.parameters():
        values = parameter.numpy() * 10
        assert 0.98 < values.max() <= 1
        assert -1 <= values.min() < -0.98
        assert values.var() == pytest.approx(1 / 3, rel=0.1)
    assert (layer.weight.shape, layer.bias.shape) == ((400, 100), (400,))


def test_embedding(rng) -> None:
    layer = doubled(nn.Embedding(6, 3), rng)
    indices = rng.integers(0, 6, (2, 4))
    np.testing.assert_array_equal(layer(ts.tensor(indices)).numpy(), layer.weight.numpy()[indices])
    ts.gradcheck(lambda _: layer(indices), [layer.weight])
    values = nn.Embedding(100, 100).weight.numpy()
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)
    with pytest.raises(IndexRangeError):
        layer([6])
    with pytest.raises(DtypeError):
        layer(ts.ones(2))


@pytest.mark.parametrize("padding", [2, -4])
def test_padding_row_starts_at_zero_and_is_not_trained(padding: int) -> None:
    layer: Any = nn.Embedding(6, 3, padding_idx=padding)
    assert layer.padding_idx == 2
    assert not layer.weight.numpy()[2].any()
    with ts.no_grad():
        layer.weight[2] = 7.0
    out = layer(ts.tensor([[2, 1, 1]]))
    np.testing.assert_array_equal(out.numpy()[0, 0], [7, 7, 7])
    out.sum().backward()
    assert layer.weight.grad.numpy().sum(1).tolist() == [0, 6, 0, 0, 0, 0]
    layer.reset_parameters()
    assert not layer.weight.numpy()[2].any()


def test_dropout_scales_and_follows_its_generator() -> None:
    layer = nn.Dropout(0.25)
    y = layer(ts.ones((100, 100))).numpy()
    assert set(np.unique(y).tolist()) == {0.0, np.float32(1 / 0.75).item()}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    one, two = (nn.Dropout(0.5, generator=np.random.default_rng(4))(ts.ones(50)).tolist() for _ in range(2))
    assert one == two
    assert not nn.Dropout(1)(ts.ones(5)).numpy().any()
    x = ts.ones(5)
    assert nn.Dropout(0.0)(x) is x


def test_norms_start_as_pure_norms() -> None:
    layers: list[Any] = [nn.LayerNorm((2, 3)), nn.RMSNorm(3)]
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        layer.reset_parameters()
        assert set(np.unique(layer.weight.numpy())) == {1.0}
        if hasattr(layer, "bias"):
            assert not layer.bias.numpy().any()
            assert layer.bias.shape == (2, 3)


def test_sequential() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    assert len(model) == 3
    assert [type(layer).__name__ for layer in model] == ["Linear", "Tanh", "Linear"]
    assert model[-1] is model[2]
    assert [*model.state_dict()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    x = ts.randn(4, 2)
    np.testing.assert_array_equal(model(x).numpy(), model[2](ts.tanh(model[0](x))).numpy())
    assert nn.Sequential()(x) is x


def test_bad_arguments_and_inputs() -> None:
    bad: list[tuple[Any, str]] = [
        (lambda: nn.Linear(0, 2), "Linear: expected in_features to be an integer >= 1, got 0"),
        (
            lambda: nn.Linear(2, 2.5),  # type: ignore[arg-type]
            "expected out_features",
        ),
        (lambda: nn.Embedding(-1, 2), "expected num_embeddings"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "Embedding: expected padding_idx from -3 to 2, got 3"),
        (lambda: nn.LayerNorm(()), "expected normalized_shape"),
        (lambda: nn.LayerNorm((2, 0)), "expected normalized_shape"),
        (lambda: nn.RMSNorm(-1), "expected normalized_shape"),
        (lambda: nn.Dropout(1.5), r"Dropout: expected p to be a probability in \[0, 1\], got 1.5"),
        (lambda: nn.Dropout(-0.1), "expected p to be"),
        (lambda: nn.Dropout(True), "expected p to be"),
        (
            lambda: nn.Sequential([nn.Tanh()]),
            "Sequential: expected layers, got list at position 0",
        ),
    ]
    for make, message in bad:
        with pytest.raises(ArgumentError, match=message):
            make()
    with pytest.raises(ShapeError, match=r"Linear: expected 2 features on the last axis, got shape \(4, 3\) float32"):
        nn.Linear(2, 5)(ts.ones((4, 3)))
    with pytest.raises(ShapeError, match="layer_norm"):
        nn.LayerNorm(2)(ts.ones((4, 3)))


# ----------------------------------------------------------------------------------------------- first values


def test_distributions(rng) -> None:
    def drawn(function, *args, **kwargs) -> np.ndarray:
        return function(ts.zeros((200, 300)), *args, generator=rng, **kwargs).numpy()

    for values, bound in [
        (drawn(nn.init.uniform_, -2.0, 2.0), 2.0),
        (drawn(nn.init.xavier_uniform_, 1.5), 1.5 * np.sqrt(6 / 500)),
        (drawn(nn.init.kaiming_uniform_, "relu"), np.sqrt(6 / 300)),
        (drawn(nn.init.kaiming_uniform_, slope=np.sqrt(5)), 1 / np.sqrt(300)),
    ]:
        assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
        assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    for values, mean, std in [
        (drawn(nn.init.normal_, 3.0, 0.5), 3.0, 0.5),
        (drawn(nn.init.xavier_normal_, 2.0), 0.0, 2 * np.sqrt(2 / 500)),
    ]:
        assert values.mean() == pytest.approx(mean, abs=0.02)
        assert values.std() == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 5)])
def test_orthogonal(shape, rng) -> None:
    x = nn.init.orthogonal_(ts.zeros(shape, "float64"), gain=2.0, generator=rng).numpy().reshape(shape[0], -1)
    product = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(product, 4 * np.eye(min(x.shape)), rtol=0, atol=ROUNDING)


def test_fans_of_more_axes_and_generators() -> None:
    x = nn.init.kaiming_uniform_(ts.zeros((50, 20, 15)), "linear")
    assert np.abs(x.numpy()).max() == pytest.approx(np.sqrt(3 / 300), rel=0.01)
    one, two = (nn.init.normal_(ts.zeros(4), generator=np.random.default_rng(2)).tolist() for _ in range(2))
    assert one == two
    assert nn.init.constant_(ts.zeros(2), 3.0).tolist() == [3, 3]
    assert nn.init.ones_(nn.Parameter([0.0])).tolist() == [1]
    assert nn.init.calculate_gain("leaky_relu", 0.0) == nn.init.calculate_gain("relu")
    with pytest.raises(ShapeError, match="xavier_uniform_: expected two or more axes"):
        nn.init.xavier_uniform_(ts.zeros(3))
    with pytest.raises(ArgumentError, match="expected one of linear, conv1d, sigmoid, tanh"):
        nn.init.calculate_gain("swish")


# ----------------------------------------------------------------------------------------------------- losses


def test_losses_are_their_functions(rng) -> None:
    logits, classes = ts.tensor(rng.standard_normal((4, 3))), ts.tensor([0, 2, 1, -100])
    target, p = ts.tensor(rng.random((4, 3))), ts.tensor(rng.random((4, 3)))
    weight = np.array([1.0, 2.0, 3.0])
    for got, want in [
        (
            nn.CrossEntropyLoss(weight, reduction="sum", label_smoothing=0.1)(logits, classes),
            ts.cross_entropy(logits, classes, weight, reduction="sum", label_smoothing=0.1),
        ),
        (nn.NLLLoss(ignore_index=2)(logits, [0, 2, 1, 1]), ts.nll_loss(logits, [0, 2, 1, 1], ignore_index=2)),
        (nn.BCELoss(reduction="none")(p, target), ts.binary_cross_entropy(p, target, reduction="none")),
        (
            nn.BCEWithLogitsLoss(pos_weight=weight)(logits, target),
            ts.binary_cross_entropy_with_logits(logits, target, pos_weight=weight),
        ),
        (nn.MSELoss()(logits, target), ts.mse_loss(logits, target)),
        (nn.L1Loss("sum")(logits, target), ts.l1_loss(logits, target, "sum")),
        (nn.SmoothL1Loss(beta=0.5)(logits, target), ts.smooth_l1_loss(logits, target, beta=0.5)),
        (nn.HuberLoss(delta=0.5)(logits, target), ts.huber_loss(logits, target, delta=0.5)),
        (nn.PinballLoss(0.9)(logits, target), ts.pinball_loss(logits, target, 0.9)),
        (nn.GaussianNLLLoss(full=True)(logits, target, p), ts.gaussian_nll_loss(logits, target, p, full=True)),
        (nn.KLDivLoss("batchmean")(logits, target), ts.kl_div(logits, target, "batchmean")),
    ]:
        assert isinstance(got, ts.Tensor)
        np.testing.assert_array_equal(got.numpy(), want.numpy())


X = np.ones((3, 2, 4))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("Linear", nn.Linear(4, 3)),
        ("LayerNorm", nn.LayerNorm(4)),
        ("RMSNorm", nn.RMSNorm(4)),
        ("MGUCell", lambda x: nn.MGUCell(4, 3)(x[0])),
        ("GRUCell", lambda x: nn.GRUCell(4, 3)(x[0, 0])),
        ("GRU", nn.GRU(4, 3)),
        ("Recurrent", nn.Recurrent([nn.GRUCell(4, 3)])),
        ("AdditiveAttention", lambda x: nn.AdditiveAttention(4, 4)(x, X.astype("float32"))),  # type: ignore[arg-type]
        ("AdditiveAttention", lambda x: nn.AdditiveAttention(4, 4)(X.astype("float32"), x)),  # type: ignore[arg-type]
        ("MultiHeadAttention", lambda x: nn.MultiHeadAttention(4, 2)(X.astype("float32"), x)),  # type: ignore[arg-type]
    ],
)
def test_inputs_of_another_precision_than_the_parameters_are_refused(name: str, call: Any) -> None:
    call(X.astype("float32"))
    with pytest.raises(DtypeError, match=rf"{name}: expected inputs as float32 like the parameters, got \(.*\) int64"):
        call(X.astype(int))
    with pytest.raises(DtypeError, match=r"expected .* as float32 like the .*, got \(.*\) float64; cast"):
        call(X)


@pytest.mark.parametrize("name", ["zeros_", "ones_", "uniform_", "normal_", "xavier_normal_", "orthogonal_"])
def test_errors_name_the_initialiser(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}: expected a Parameter or a Tensor to fill, got list; "):
        getattr(nn.init, name)([1.0])


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("uniform_", 3, {"low": "a"}, "low to be a finite number, got 'a'"),
        ("uniform_", 3, {"low": 2, "high": 1}, "high to be a finite number >= 2, got 1"),
        ("normal_", 3, {"mean": None}, "mean to be a finite number, got None"),
        ("constant_", 3, {"value": "a"}, "value to be a number, got 'a'"),
        ("xavier_uniform_", (3, 3), {"gain": -1}, "gain to be a finite number >= 0, got -1"),
        ("xavier_normal_", (3, 3), {"gain": "a"}, "gain to be a finite number >= 0, got 'a'"),
        ("orthogonal_", (3, 3), {"gain": "a"}, "gain to be a finite number, got 'a'"),
        ("kaiming_uniform_", (3, 3), {"nonlinearity": "swish"}, "one of linear, conv1d, .*, leaky_relu, got 'swish'"),
        ("kaiming_uniform_", (3, 3), {"slope": "a"}, "slope to be a finite number, got 'a'"),
    ],
)
def test_bad_numbers_of_initialisers(name: str, shape: Any, options: dict[str, Any], message: str) -> None:
    x = ts.ones(shape)
    with pytest.raises(ArgumentError, match=f"^{name}: expected {message}"):
        getattr(nn.init, name)(x, **options)
    assert (x.numpy() == 1).all()


ACTIVATIONS = [
    *("ELU", "GELU", "LeakyReLU", "LogSoftmax", "ReLU", "Sigmoid"),
    *("SiLU", "Softmax", "Softplus", "Softsign", "Tanh"),
]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("x", ["text", None, [1.0]], ids=lambda x: type(x).__name__)
def test_activations_refuse_what_is_no_array(name: str, x: Any) -> None:
    with pytest.raises(DtypeError, match=f"^{name}: expected a tensor, got {type(x).__name__}; "):
        getattr(nn, name)()(x)
