"""Module: what it finds, saves, casts, shows and refuses."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError


class Branch(nn.Module):
    def __init__(self) -> None:
        self.scale = nn.Parameter([1.0, 2.0])
        self.mean = nn.Buffer([0.5])
        self.note = "not a parameter"
        self.constant = ts.ones(3)


class Tree(nn.Module):
    """Parameters in every kind of container, one of them shared, and a module that holds its parent."""

    def __init__(self) -> None:
        self.first = Branch()
        self.branches: list[Any] = [Branch(), (Branch(), None)]
        self.by_name = {"left": Branch(), 3: nn.Parameter([7.0])}
        self.tied = self.first.scale
        self.again = self.first
        self.branches[0].parent = self

    def forward(self, x):
        return x * self.tied


PARAMETERS = ["tied", "branches.0.scale", "branches.1.0.scale", "by_name.left.scale", "by_name.3"]


def test_walking() -> None:
    tree = Tree()
    assert [name for name, _ in tree.named_parameters()] == PARAMETERS
    assert [name for name, _ in tree.named_buffers()] == [
        "first.mean", "branches.0.mean", "branches.1.0.mean", "by_name.left.mean",
    ]  # fmt: skip
    assert [name for name, _ in tree.named_modules()] == [
        "", "first", "branches.0", "branches.1.0", "by_name.left",
    ]  # fmt: skip
    assert len([*tree.parameters()]) == 5
    assert len([*tree.buffers()]) == 4
    assert len([*tree.modules()]) == 5
    assert tree.count_parameters() == 9
    tree.first.scale.requires_grad = False
    assert tree.count_parameters(trainable=True) == 7


def test_state_dict_holds_every_name_and_copies() -> None:
    tree = Tree()
    state = tree.state_dict()
    assert {"tied", "again.scale", "again.mean", "first.scale"} < state.keys()
    assert len(state) == 12
    state["first.scale"][:] = 9
    assert tree.first.scale.tolist() == [1, 2]


def test_round_trip() -> None:
    source, target = Tree(), Tree()
    for parameter in [*source.parameters(), *source.buffers()]:
        nn.init.normal_(parameter)
    assert target.load_state_dict(source.state_dict()) == ([], [])
    for name, values in target.state_dict().items():
        np.testing.assert_array_equal(values, source.state_dict()[name])
    assert target.tied is target.first.scale
    assert target.first.scale.requires_grad
    tensors = {name: ts.tensor(values) for name, values in source.state_dict().items()}
    assert Tree().load_state_dict(tensors) == ([], [])


def test_mismatched_state_changes_nothing() -> None:
    layer: Any = nn.Linear(3, 2)
    before = layer.state_dict()
    bad = {"weight": np.zeros((2, 3)), "bias": np.zeros(3, np.float32), "extra": np.zeros(1)}
    with pytest.raises(ArgumentError) as error:
        layer.load_state_dict(bad)
    message = str(error.value)
    assert "Linear.load_state_dict: expected the names, shapes and dtypes of state_dict()" in message
    assert "unexpected ['extra']" in message
    assert "'weight' expected (2, 3) float32, got (2, 3) float64" in message
    assert "'bias' expected (2,) float32, got (3,) float32" in message
    with pytest.raises(ArgumentError, match=r"missing \['bias'\]"):
        layer.load_state_dict({"weight": np.ones((2, 3), np.float32)})
    with pytest.raises(ArgumentError, match="'bias' expected"):  # shapes count in any case
        layer.load_state_dict(bad | {"weight": np.ones((2, 3), np.float32)}, strict=False)
    with pytest.raises(ArgumentError, match=r"expected arrays by name, got str; pass a state_dict\(\)"):
        layer.load_state_dict("weights.safetensors")
    for name, values in layer.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("name", ["first.scale", "again.scale", "again.mean"])
@pytest.mark.parametrize("strict", [True, False])
def test_two_values_for_one_array_are_refused_before_anything_is_written(name: str, strict: bool) -> None:
    tree = Tree()
    state = {key: values + 1 for key, values in tree.state_dict().items()}
    before = tree.state_dict()
    state[name] = state[name] * 2
    first = "first.mean" if name == "again.mean" else "tied"
    with pytest.raises(ArgumentError, match=f"'{first}' and '{name}' with different values, which are one array here"):
        tree.load_state_dict(state, strict=strict)
    np.testing.assert_equal(tree.state_dict(), before)
    state[name] = state[first] = np.full_like(state[first], np.nan)  # as a diverged model saves them
    for other in ("first.scale", "again.scale"):
        if first == "tied":
            state[other] = state[first]
    tree.load_state_dict(state, strict=strict)
    np.testing.assert_equal(tree.state_dict(), state)


def test_one_name_of_a_shared_array_is_enough() -> None:
    tree = Tree()
    tree.load_state_dict({"tied": np.array([5, 6], np.float32)}, strict=False)
    assert tree.first.scale.tolist() == [5, 6]


def test_loading_what_fits() -> None:
    layer: Any = nn.Linear(3, 2)
    bias = layer.bias.tolist()
    ones = np.ones((2, 3), np.float32)
    assert layer.load_state_dict({"weight": ones, "other": ones}, strict=False) == (["bias"], ["other"])
    assert layer.weight.tolist() == ones.tolist()
    assert layer.bias.tolist() == bias


def test_loaded_values_are_copies_and_old_graphs_stay_right() -> None:
    layer: Any = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 3.0)
    x: Any = ts.tensor([[2.0]], requires_grad=True)
    y = layer(x)
    values = np.full((1, 1), 5.0, np.float32)
    layer.load_state_dict({"weight": values})
    values[:] = 7
    y.backward()
    assert x.grad.item() == 3
    assert layer(x).item() == 10


def test_train_eval_apply_and_freezing() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout()))
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())
    seen: list[str] = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Linear", "Dropout", "Sequential", "Sequential"]
    visited: list[Any] = []
    tree = Tree()  # with a part that holds it, and one that is shared
    tree.apply(visited.append)
    assert visited == [*list(tree.modules())[1:], tree]
    model.requires_grad_(False)
    assert not model(ts.ones((1, 2))).requires_grad
    model.requires_grad_()
    model(ts.ones((1, 2))).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


class Counting(nn.Module):
    """Counts the calls of its `train`; holds other modules."""

    def __init__(self, *parts: Any) -> None:
        self.parts, self.calls = parts, 0

    def train(self, mode: bool = True) -> Any:
        self.calls += 1
        return super().train(mode)


class Frozen(Counting):
    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        return super().train(False)  # twice, of which the second decides


def test_train_calls_every_override_once() -> None:
    shared = Counting(nn.Dropout())
    frozen = Frozen({"inner": Counting(nn.Dropout())})
    inner = frozen.parts[0]["inner"]
    model: Any = Counting(Counting([shared, None, "text"]), (frozen, {"key": Counting(shared)}), shared)
    shared.parent = model
    assert model.train() is model
    assert [part.calls for part in (model, shared, model.parts[0], model.parts[1][1]["key"])] == [1, 1, 1, 1]
    assert (shared.training, shared.parts[0].training) == (True, True)
    assert not any(part.training for part in (frozen, inner, inner.parts[0]))
    inner.train()  # a part may be switched by itself
    assert (frozen.training, inner.training, inner.parts[0].training) == (False, True, True)
    model.eval()
    assert not any(part.training for part in model.modules())
    assert shared.calls == 2


def test_an_attribute_may_be_called_children() -> None:
    class Node(nn.Module):
        def __init__(self, *children: Any) -> None:
            self.children = children  # type: ignore[assignment]

    leaf = nn.Dropout()
    Node(Node(leaf)).eval()
    assert not leaf.training


def test_a_train_may_switch_other_modules() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            self.drop, self.norm = nn.Dropout(), nn.Sequential(nn.Dropout())

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.norm.eval()
            return self

    model = nn.Sequential(Picky())
    model.train()
    picky: Any = model[0]
    assert [part.training for part in (picky, picky.drop, picky.norm, picky.norm[0])] == [True, True, False, False]


@pytest.mark.parametrize("fails", [False, True])
def test_evaluating_gives_every_part_its_own_mode_back(fails: bool) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Dropout().eval()).eval(), Frozen(nn.Dropout()))
    inner: Any = model[1]
    inner[0].train()
    model[2].eval()
    before = [part.training for part in model.modules()]
    assert before == [True, True, False, True, False, False, False]
    try:
        with nn.evaluating(model):
            assert not any(part.training for part in model.modules())
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert [part.training for part in model.modules()] == before
    with nn.evaluating(model.eval()):
        pass
    assert not any(part.training for part in model.modules())


def test_evaluating_gives_a_shared_part_its_own_mode_back() -> None:
    """It is in evaluation, and the last module that holds it is not."""
    shared = nn.Dropout(0.5)
    model = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared)).eval()
    model[1].train()
    shared.eval()
    before = [part.training for part in model.modules()]
    with nn.evaluating(model):
        assert not any(part.training for part in model.modules())
    assert [part.training for part in model.modules()] == before == [False, False, False, True]


def test_evaluating_calls_overrides_on_the_way_back() -> None:
    class Fast(nn.Module):
        fast = False

        def train(self, mode: bool = True) -> Any:
            self.fast = not mode
            return super().train(mode)

    parts = Fast(), Fast().eval()
    with nn.evaluating(nn.Sequential(*parts)):
        assert [part.fast for part in parts] == [True, True]
    assert [part.fast for part in parts] == [False, True]


def test_casting_keeps_identity_ties_and_gradients() -> None:
    tree: Any = Tree()
    tree.counter = nn.Buffer(np.arange(3))
    scale = tree.first.scale
    tree(ts.ones(2)).sum().backward()
    old = tree(ts.ones(2)).sum()
    assert tree.double() is tree
    assert tree.first.scale is tree.tied is scale
    assert {parameter.dtype for parameter in tree.parameters()} == {np.dtype(np.float64)}
    assert tree.first.mean.dtype == np.float64
    assert tree.counter.dtype == np.int64
    assert scale.grad.dtype == np.float64
    old.backward()
    assert scale.grad.tolist() == [2, 2]
    assert tree.float().first.scale.dtype == np.float32
    assert tree.to("float64").first.scale.dtype == np.float64
    with pytest.raises(DtypeError, match=r"Module\.to: expected float32 or float64, got int64"):
        tree.to(np.int64)


def test_copies() -> None:
    for duplicate in (copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))):
        tree = Tree()
        other = duplicate(tree)
        assert other.tied is other.first.scale
        assert other.first.scale is not tree.first.scale
        assert type(other.first.scale) is nn.Parameter
        assert type(other.first.mean) is nn.Buffer
        assert [name for name, _ in other.named_parameters()] == PARAMETERS
        nn.init.zeros_(other.first.scale)
        assert tree.first.scale.tolist() == [1, 2]


def test_assigning_a_plain_tensor_over_a_parameter_is_refused() -> None:
    branch: Any = Branch()
    for name, kind in (("scale", "Parameter"), ("mean", "Buffer")):
        with pytest.raises(ArgumentError, match=f"Branch.{name}: expected a {kind}, got a Tensor of shape"):
            setattr(branch, name, getattr(branch, name) * 2)
    branch.scale = nn.Parameter([3.0])
    branch.mean.copy_([4.0])
    assert (branch.scale.tolist(), branch.mean.tolist()) == ([3], [4])
    with ts.no_grad():
        branch.scale *= 2
    assert branch.scale.tolist() == [6]
    branch.scale = None
    assert [*branch.parameters()] == []


def test_parameters() -> None:
    values = np.ones((2, 2))
    parameter = nn.Parameter(values)
    values[:] = 7
    assert parameter.tolist() == [[1, 1], [1, 1]]
    assert parameter.dtype == np.float32
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert nn.Parameter(ts.ones(2, "float64")).dtype == np.float64
    assert nn.Parameter([1.0], dtype="float64").dtype == np.float64
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert nn.Buffer([1, 2]).dtype == np.int64
    assert nn.Buffer([[True]]).dtype == np.bool_
    assert type(parameter + 1) is ts.Tensor
    with pytest.raises(DtypeError, match="floating-point"):
        nn.Parameter([1, 2])


def test_missing_forward() -> None:
    with pytest.raises(NotImplementedError, match="Branch: expected a method forward, got none"):
        Branch()(1)


def test_repr_is_a_table() -> None:
    tree = Tree()
    tree.first.scale.requires_grad = False
    rows = [line.split() for line in repr(tree).splitlines()]
    assert rows[0] == ["layer", "shape", "parameters"]
    assert rows[2:8] == [
        ["Tree"],
        ["tied", "(2,)", "2"],
        ["first", "Branch"],
        ["scale", "(2,)", "shared"],
        ["mean", "(1,)", "buffer"],
        ["branches.0", "Branch"],
    ]
    assert ["scale", "(2,)", "2"] in rows
    assert ["again", "Branch", "(shared)"] in rows
    assert rows[-1] == ["total", "(2", "frozen)", "9"]
    assert "\x1b" not in repr(tree)
    assert repr(nn.Linear(1000, 2000)).splitlines()[-1].split() == ["total", "2,002,000"]
    assert tree.__rich__().row_count == len(rows) - 4
