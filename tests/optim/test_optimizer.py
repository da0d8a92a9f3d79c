"""Groups, skipping, saved state, and the refusal of everything unfit before anything is changed."""

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DtypeError

ALL = [ts.optim.SGD, ts.optim.Adam, ts.optim.AdamW, ts.optim.RMSprop, ts.optim.Adagrad]


def weight(*values, dtype="float64"):
    return ts.tensor(np.array(values), dtype=dtype, requires_grad=True)


def with_gradient(*values):
    w = weight(*values)
    w.grad = ts.tensor(np.ones(len(values)))
    return w


# ------------------------------------------------------------------------------------------------ what it does


def test_each_group_has_its_own_options():
    a, b = with_gradient(1.0), with_gradient(1.0)
    optimizer = ts.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    optimizer.step()
    assert (a.item(), b.item()) == (0.75, 0.5)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert (a.item(), b.item()) == (0.75, 0.0)


def test_a_group_can_be_added_later():
    a, b = with_gradient(1.0), with_gradient(1.0)
    optimizer = ts.optim.SGD([a], lr=0.25, momentum=0.9)
    optimizer.step()
    optimizer.add_param_group({"params": b, "lr": 0.5})
    optimizer.step()
    assert b.item() == 0.5
    assert [group["params"] for group in optimizer.state_dict()["param_groups"]] == [[0], [1]]


@pytest.mark.parametrize("kind", ALL)
def test_parameters_without_gradient_stay_and_have_no_state(kind):
    a, b = with_gradient(1.0, 2.0), weight(3.0)
    optimizer = kind(iter([b, a]))
    optimizer.step()
    assert b.item() == 3.0
    assert (a.numpy() != [1.0, 2.0]).all()
    assert list(optimizer.state_dict()["state"]) == [1]


def test_zero_grad_drops_every_gradient():
    a, b = with_gradient(1.0), weight(1.0)
    ts.optim.SGD([a, b]).zero_grad()
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize("kind", ALL)
def test_transposed_reversed_and_empty_arrays_are_updated_right(kind):
    values, grads = np.arange(6.0).reshape(2, 3), np.linspace(-1, 1, 6).reshape(2, 3)
    plain, strided = ts.tensor(values, requires_grad=True), ts.tensor(values.T.copy().T, requires_grad=True)
    empty = ts.tensor(np.zeros((0, 3)), requires_grad=True)
    plain.grad, strided.grad, empty.grad = ts.tensor(grads), ts.tensor(np.flip(np.flip(grads).copy())), ts.tensor(empty)
    kind([plain, strided, empty], lr=0.1).step()
    np.testing.assert_array_equal(plain.numpy(), strided.numpy())
    assert (plain.numpy() != values).all()


def test_an_array_the_user_holds_and_a_live_graph_keep_the_old_values():
    mine = np.array([1.0, 2.0])
    w = ts.tensor(mine, requires_grad=True)
    loss = (w * w).sum()
    w.grad = ts.tensor(np.ones(2))
    ts.optim.SGD([w], lr=1.0).step()
    np.testing.assert_array_equal(w.numpy(), [0.0, 1.0])
    np.testing.assert_array_equal(mine, [1.0, 2.0])
    w.grad = None
    loss.backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy(), [2.0, 4.0])


def test_a_detached_copy_and_a_gradient_that_shares_memory_are_left_alone():
    w = weight(1.0, 2.0)
    kept = w.detach()
    w.grad = w.detach()
    ts.optim.SGD([w], lr=0.5).step()
    np.testing.assert_array_equal(w.numpy(), [0.5, 1.0])
    np.testing.assert_array_equal(kept.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(w.grad.numpy(), [1.0, 2.0])


def test_an_option_switched_on_later_starts_from_zero_and_can_be_switched_off():
    w = with_gradient(1.0)
    optimizer = ts.optim.SGD([w], lr=0.125)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    assert w.item() == 1.0 - 0.125 * (1 + 1 + 1.5)
    optimizer.param_groups[0]["momentum"] = 0.0
    ts.optim.SGD([w]).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("save_at", [None, 1, 2, 3, 4, 5])
def test_momentum_switched_on_later_begins_with_the_gradient_in_spite_of_dampening(save_at):
    """As in PyTorch: the first buffer is the gradient, whenever it is first used; a buffer is kept while it is off."""
    w = with_gradient(0.0)
    optimizer = ts.optim.SGD([w], lr=1.0, dampening=0.75)
    buffers = []
    for step, momentum in enumerate([0.0, 0.0, 0.5, 0.5, 0.0, 0.5]):
        if step == save_at:
            saved = optimizer.state_dict()
            optimizer = ts.optim.SGD([w], lr=9.0)
            optimizer.load_state_dict(saved)
        optimizer.param_groups[0]["momentum"] = momentum
        before = w.item()
        optimizer.step()
        buffers.append(before - w.item())
    assert buffers == [1, 1, 1, 0.5 + 0.25, 1, 0.75 * 0.5 + 0.25]


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (ts.optim.SGD, "momentum", 0.5),
        (ts.optim.Adam, "amsgrad", True),
        (ts.optim.RMSprop, "momentum", 0.5),
        (ts.optim.RMSprop, "centered", True),
    ],
)
@pytest.mark.parametrize("switched", ["before saving", "after loading"])
def test_an_option_switched_on_around_a_checkpoint_goes_on_exactly(kind, option, value, switched):
    straight, resumed = with_gradient(1.0, 2.0), with_gradient(1.0, 2.0)
    first, second = kind([straight]), kind([resumed])
    first.step()
    second.step()
    if switched == "before saving":
        second.param_groups[0][option] = value
    third = kind([resumed])
    third.load_state_dict(second.state_dict())
    third.param_groups[0][option] = first.param_groups[0][option] = value
    for t in range(1, 4):
        straight.grad, resumed.grad = ts.tensor(np.array([t, -1.0])), ts.tensor(np.array([t, -1.0]))
        first.step()
        third.step()
    np.testing.assert_array_equal(straight.numpy(), resumed.numpy())


def test_an_option_switched_on_just_before_saving_can_be_loaded():
    w = with_gradient(1.0)
    optimizer = ts.optim.Adam([w])
    optimizer.step()
    optimizer.param_groups[0]["amsgrad"] = True
    ts.optim.Adam([w]).load_state_dict(optimizer.state_dict())


# ------------------------------------------------------------------------------------------------ saved state


def test_state_is_copied_out_and_in():
    w = with_gradient(1.0)
    optimizer = ts.optim.Adam([w])
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg"][:] = 99
    assert optimizer.state_dict()["state"][0]["exp_avg"] == pytest.approx(0.1)
    optimizer.load_state_dict(saved)
    saved["state"][0]["exp_avg"][:] = -1
    assert optimizer.state_dict()["state"][0]["exp_avg"] == 99


def test_options_survive_json_with_their_exact_values():
    w = with_gradient(1.0)
    optimizer = ts.optim.AdamW([w], lr=np.float64(0.1) / 3, betas=(0.9, 1 - 1e-9), amsgrad=True)
    optimizer.step()
    saved = optimizer.state_dict()
    arrays = {str(number): state for number, state in saved["state"].items()}
    text = json.dumps(saved["param_groups"])
    other = ts.optim.AdamW([weight(1.0)])
    other.load_state_dict({"state": arrays, "param_groups": json.loads(text)})
    options = {**other.param_groups[0], "params": [0]}
    assert {**options, "betas": tuple(options["betas"])} == saved["param_groups"][0]
    assert other.state_dict()["state"][0]["exp_avg"] == saved["state"][0]["exp_avg"]


def foreign_states():
    two = ts.optim.Adam([with_gradient(1.0), with_gradient(1.0, 2.0)], amsgrad=True)
    two.step()
    good = two.state_dict

    def changed(**entries):
        saved = good()
        saved["state"][1].update(entries)
        return saved

    sgd = ts.optim.SGD([weight(1.0), weight(1.0, 2.0)]).state_dict()
    swapped = good()
    swapped["state"] = {0: swapped["state"][1], 1: swapped["state"][0]}
    extra = good()
    extra["state"][2] = extra["state"][0]
    lacking = good()
    del lacking["state"][1]["exp_avg"]
    negative = good()
    negative["param_groups"][0]["lr"] = -1.0
    return {
        "no dict": [1, 2],
        "empty state": {**good(), "state": {0: {}}},
        "a dict of weights": {"weight": np.ones(3)},
        "another optimiser": sgd,
        "another number of groups": {**good(), "param_groups": good()["param_groups"] * 2},
        "another number of parameters": ts.optim.Adam([weight(1.0)]).state_dict(),
        "shapes of another model": swapped,
        "more state than parameters": extra,
        "two states for one parameter": {**good(), "state": {**good()["state"], "1": good()["state"][1]}},
        "a running average lacking": lacking,
        "an option out of range": negative,
        "a step that is no count": changed(step=-1),
        "another dtype": changed(exp_avg=np.zeros(2, np.float32)),
        "no array": changed(exp_avg=[0.0, 0.0]),
    }


@pytest.mark.parametrize("case", foreign_states())
def test_foreign_state_is_refused_and_changes_nothing(case):
    optimizer = ts.optim.Adam([with_gradient(1.0), with_gradient(1.0, 2.0)], lr=0.25, amsgrad=True)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(ArgumentError, match=r"Adam: expected .*, got .*; .*\."):
        optimizer.load_state_dict(foreign_states()[case])
    np.testing.assert_equal(optimizer.state_dict(), before)


# ------------------------------------------------------------------------------------------------ what it refuses

BAD_OPTIONS = [
    (ts.optim.SGD, {"lr": -0.1}),
    (ts.optim.SGD, {"lr": float("nan")}),
    (ts.optim.SGD, {"lr": "0.1"}),
    (ts.optim.SGD, {"momentum": -0.5}),
    (ts.optim.SGD, {"dampening": float("inf")}),
    (ts.optim.SGD, {"nesterov": True}),
    (ts.optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    (ts.optim.SGD, {"nesterov": "yes"}),
    (ts.optim.Adam, {"betas": (0.9, 1.0)}),
    (ts.optim.Adam, {"betas": (-0.1, 0.999)}),
    (ts.optim.Adam, {"betas": 0.9}),
    (ts.optim.Adam, {"betas": (0.9, 0.99, 0.999)}),
    (ts.optim.Adam, {"eps": -1e-8}),
    (ts.optim.AdamW, {"weight_decay": -0.1}),
    (ts.optim.AdamW, {"lr": float("inf")}),
    (ts.optim.RMSprop, {"alpha": 1.5}),
    (ts.optim.RMSprop, {"momentum": -1}),
    (ts.optim.Adagrad, {"lr_decay": -1}),
    (ts.optim.Adagrad, {"initial_accumulator_value": -1}),
]


@pytest.mark.parametrize(("kind", "options"), BAD_OPTIONS)
def test_options_out_of_range_are_refused_by_name(kind, options):
    name = next(iter(options))
    with pytest.raises(ArgumentError, match=rf"{kind.__name__}: expected .*{name}.*, got .*; pass e\.g\. "):
        kind([weight(1.0)], **options)


LATER = ("ASGD", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop")


@pytest.mark.parametrize("kind", [*ALL, *(getattr(ts.optim, name) for name in LATER)])
def test_the_ways_of_pytorch_to_update_are_none_or_false(kind):
    kind([weight(1.0)], foreach=None, capturable=False)
    with pytest.raises(
        ArgumentError, match=rf"{kind.__name__}: expected foreach=None or False, got True; leave it out"
    ):
        kind([weight(1.0)], foreach=True)
    with pytest.raises(TypeError, match="learning_rate"):
        kind([weight(1.0)], learning_rate=0.1)


def test_the_state_is_found_by_parameter():
    used, unused = with_gradient(1.0), weight(1.0)
    optimizer = ts.optim.Adam([unused, used])
    assert optimizer.state == {}
    optimizer.step()
    assert list(optimizer.state) == [used]
    optimizer.state[used]["exp_avg"][:] = 7.0
    assert optimizer.state_dict()["state"][1]["exp_avg"] == 7.0


def one():
    return weight(1.0)


BAD_PARAMS: dict[str, tuple[Any, str]] = {
    "empty": (list, "at least one parameter"),
    "empty iterator": (lambda: iter(()), "at least one parameter"),
    "groups of one iterator": (
        lambda: [{"params": it} for it in [iter([one()])] * 2],
        "an iterator that has none left",
    ),
    "a module": (lambda: ts.nn.Linear(2, 2), r"got a Linear; pass e.g. model.parameters\(\)"),
    "a set": (lambda: {one()}, "a list of tensors or of groups, got a set"),
    "a group of a set": (lambda: [{"params": {one()}}], "a list of tensors, got an unordered set"),
    "a tensor": (one, "put it in a list"),
    "a group": (lambda: {"params": [one()]}, "put it in a list"),
    "an array": (lambda: [np.ones(3)], "expected tensors, got a ndarray"),
    "names": (lambda: [("w", one())], "expected tensors, got a tuple"),
    "a tensor twice": (lambda: [one()] * 2, r"one of shape \(1,\) twice"),
    "a tensor in two groups": (lambda: [{"params": p} for p in [[one()]] * 2], "twice"),
    "the result of an operation": (lambda: [one() * 2], "leaf"),
    "a group without params": (lambda: [{"lr": 0.1}], "'params'"),
    "a group and a tensor": (lambda: [{"params": [one()]}, one()], "tensors or groups, not both"),
    "an option misspelt": (lambda: [{"params": [one()], "learning_rate": 0.1}], "learning_rate"),
    "a bad option in a group": (lambda: [{"params": [one()], "lr": -1}], "lr to be"),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_bad_parameters_are_refused(case):
    make, message = BAD_PARAMS[case]
    with pytest.raises(ArgumentError, match=message):
        ts.optim.SGD(make())


def test_integer_parameters_are_refused():
    with pytest.raises(DtypeError, match=r"SGD: expected float32 or float64 parameters, got \(2,\) int64"):
        ts.optim.SGD([ts.tensor(np.array([1, 2]))])


def test_an_option_set_wrong_later_is_refused_before_any_parameter_is_touched():
    first, second = with_gradient(1.0), with_gradient(1.0)
    optimizer = ts.optim.SGD([{"params": [first]}, {"params": [second]}])
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(ArgumentError, match="lr to be"):
        optimizer.step()
    assert first.item() == 1.0
