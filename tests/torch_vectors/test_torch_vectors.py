"""Modules, optimisers and schedules against numbers that PyTorch computed (`vectors.json`), without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.torch_vectors import cases
from tinygrad_seq import nn, optim

EXPECTED: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))


def close(got: Any, expected: Any) -> None:
    got = got.numpy() if isinstance(got, ts.Tensor) else got
    np.testing.assert_allclose(got, np.asarray(expected, np.float64), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", cases.MODULES)
def test_modules(name: str, tmp_path: Path) -> None:
    build, shapes, call = cases.MODULES[name]
    expected, module = EXPECTED["modules"][name], build(nn).double()
    assert [key for key, _ in module.named_parameters()] == expected["names"]
    state = module.state_dict()
    assert {key: list(x.shape) for key, x in state.items()} == expected["state"]
    sizes = {key: x.shape for key, x in state.items() if x.dtype.kind == "f"}
    module.load_state_dict({**state, **cases.draw(sizes, 1)})
    xs = [ts.tensor(x, requires_grad=True) for x in cases.draw(shapes)]
    ys = cases.leaves(module(*xs, **call))
    for got, want in zip(ys, expected["ys"], strict=True):
        close(got, want)
    sum((y * y).sum() for y in ys).backward()
    for got, want in zip(module.buffers(), expected["buffers"], strict=True):
        close(got, want)
    for got, want in zip((*xs, *module.parameters()), expected["gradients"], strict=True):
        close(got.grad, want)
    ts.save(module.state_dict(), tmp_path / "module.safetensors")
    other = build(nn).double()
    other.load_state_dict(ts.load(tmp_path / "module.safetensors"))
    for got, want in zip(
        cases.leaves(other.eval()(*xs, **call)), cases.leaves(module.eval()(*xs, **call)), strict=True
    ):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("name", [name for name in cases.MODULES if name != "softplus"])  # it jumps at the threshold
def test_gradients_of_modules(name: str) -> None:
    build, shapes, call = cases.MODULES[name]
    module = build(nn).double()
    assert ts.gradcheck(
        lambda *xs: sum((y * y).sum() for y in cases.leaves(module(*xs, **call))),
        [ts.tensor(x, requires_grad=True) for x in cases.draw(shapes)],
    )


@pytest.mark.parametrize("name", cases.DOTS)
def test_scaled_dot_product_attention(name: str) -> None:
    shapes, call = cases.DOTS[name]
    xs = [ts.tensor(x, requires_grad=True) for x in cases.draw(shapes)]
    query, key, value = xs
    y = nn.functional.scaled_dot_product_attention(query, key, value, **call)
    (y * y).sum().backward()
    for got, want in zip((y, *(x.grad for x in xs)), EXPECTED["dots"][name], strict=True):
        close(got, want)


def descend(optimizer: Any, params: list[Any], steps: range) -> None:
    for step in steps:
        for param in params:
            param.grad = ts.tensor(cases.gradient(param.numpy(), step))
        optimizer.step()


@pytest.mark.parametrize("number", range(len(cases.OPTIMISERS)))
def test_optimisers_and_their_state(number: int) -> None:
    name, options = cases.OPTIMISERS[number]
    expected, kind = EXPECTED["optimisers"][number], getattr(optim, name)
    params = [ts.tensor(x, requires_grad=True) for x in cases.draw(cases.SHAPES)]
    optimizer = kind(params, **options)
    descend(optimizer, params, range(cases.STEPS))
    for got, want in zip(params, expected["params"], strict=True):
        close(got, want)
    theirs, other = expected["state_dict"], kind(params, lr=0.3)
    for state, param in zip(theirs["state"].values(), params, strict=True):
        for key, value in state.items():
            if value is not None and key not in ("step", *optimizer._counters):
                state[key] = np.reshape(np.asarray(value, np.float64), param.shape)
    other.load_state_dict(theirs)
    for mine, loaded in ((optimizer.state_dict(), other.state_dict()),):
        assert mine["param_groups"] == [
            {key: tuple(x) if isinstance(x, list) and key != "params" else x for key, x in group.items()}
            for group in loaded["param_groups"]
        ]
        for left, right in zip(mine["state"].values(), loaded["state"].values(), strict=True):
            assert left.keys() == right.keys()
            for key, value in left.items():
                if key != "step" or optimizer._counts_steps:
                    close(right[key], value)


@pytest.mark.parametrize("number", range(len(cases.SEARCHES)))
def test_lbfgs(number: int) -> None:
    options, (losses, *values) = cases.SEARCHES[number], EXPECTED["searches"][number]
    w, v = params = [ts.tensor(x, requires_grad=True) for x in cases.draw([(4,), (2, 2)])]
    optimizer = optim.LBFGS(params, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = cases.valley(w, v)
        loss.backward()
        return loss

    found = []
    for step in range(4):
        found.append(float(optimizer.step(closure)))
        if step == 1:  # the state is all that it remembers
            state, optimizer = optimizer.state_dict(), optim.LBFGS(params, **options)
            optimizer.load_state_dict(state)
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    for got, want in zip(params, values, strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("optimiser", ["SGD", "Adam"])
@pytest.mark.parametrize("name", cases.SCHEDULES)
def test_schedules(name: str, optimiser: str) -> None:
    groups = [{"params": [ts.zeros(1)]}, {"params": [ts.zeros(1)], "lr": 0.3}]
    optimizer = getattr(optim, optimiser)(groups, lr=0.7, **({"momentum": 0.9} if optimiser == "SGD" else {}))
    scheduler = cases.SCHEDULES[name](optim.lr_scheduler, optimizer)
    for expected in EXPECTED["schedules"][name][optimiser == "Adam"]:
        option = "momentum" if optimiser == "SGD" else "betas"
        found = [x for group in optimizer.param_groups for x in (group["lr"], group[option])]
        for got, want in zip(found, expected, strict=True):
            close(got, want)
        scheduler.step()
