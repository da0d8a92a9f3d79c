"""Compute `vectors.json` with PyTorch: ``python -m tests.torch_vectors``. Tests only read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import cases


def listed(x: Any) -> Any:
    if isinstance(x, list):
        return [listed(part) for part in x]
    if isinstance(x, dict):
        return {str(name): listed(part) for name, part in x.items()}
    x = x.detach().numpy().tolist() if isinstance(x, torch.Tensor) else x
    return float(f"{x:.13g}") if isinstance(x, float) else listed(x) if isinstance(x, list) else x


def arguments(call: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.tensor(x) if isinstance(x, np.ndarray) else x for name, x in call.items()}


def of_module(build: Any, shapes: Any, call: dict[str, Any]) -> dict[str, Any]:
    module = build(torch.nn).double()
    sizes = {name: tuple(x.shape) for name, x in module.state_dict().items() if x.dtype.is_floating_point}
    module.load_state_dict({name: torch.tensor(x) for name, x in cases.draw(sizes, 1).items()}, strict=False)
    xs = [torch.tensor(x, requires_grad=True) for x in cases.draw(shapes)]
    ys = cases.leaves(
        module(*xs, **{name: torch.tensor(x) if isinstance(x, np.ndarray) else x for name, x in call.items()})
    )
    sum((y * y).sum() for y in ys).backward()
    return {
        "names": [name for name, _ in module.named_parameters()],
        "state": {name: list(x.shape) for name, x in module.state_dict().items()},
        "ys": listed(ys),
        "buffers": listed([*module.buffers()]),
        "gradients": listed([x.grad for x in (*xs, *module.parameters())]),
    }


def of_dot(shapes: Any, call: dict[str, Any]) -> list[Any]:
    xs = [torch.tensor(x, requires_grad=True) for x in cases.draw(shapes)]
    y = torch.nn.functional.scaled_dot_product_attention(*xs, **arguments(call))
    (y * y).sum().backward()
    found: list[Any] = listed([y, *(x.grad for x in xs)])
    return found


def of_optimiser(name: str, options: dict[str, Any]) -> dict[str, Any]:
    params = [torch.tensor(x, requires_grad=True) for x in cases.draw(cases.SHAPES)]
    optimizer = getattr(torch.optim, name)(params, **options)
    for step in range(cases.STEPS):
        for param in params:
            param.grad = torch.tensor(cases.gradient(param.detach().numpy(), step))
        optimizer.step()
    return {"params": listed(params), "state_dict": listed(optimizer.state_dict())}


def of_search(options: dict[str, Any]) -> list[Any]:
    w, v = (torch.tensor(x, requires_grad=True) for x in cases.draw([(4,), (2, 2)]))
    optimizer = torch.optim.LBFGS([w, v], **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = cases.valley(w, v)
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(4)]
    return [losses, *listed([w, v])]


def of_schedule(build: Any, optimiser: str) -> list[Any]:
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.3}]
    optimizer = getattr(torch.optim, optimiser)(groups, lr=0.7, **({"momentum": 0.9} if optimiser == "SGD" else {}))
    scheduler, found = build(torch.optim.lr_scheduler, optimizer), []
    for _ in range(15):
        names = ("lr", "momentum") if optimiser == "SGD" else ("lr", "betas")
        found.append(listed([group[name] for group in optimizer.param_groups for name in names]))
        optimizer.step()
        scheduler.step()
    return found


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    content = {
        "source": f"torch {torch.__version__.partition('+')[0]}, float64, CPU",
        "modules": {name: of_module(*case) for name, case in cases.MODULES.items()},
        "dots": {name: of_dot(*case) for name, case in cases.DOTS.items()},
        "optimisers": [of_optimiser(*case) for case in cases.OPTIMISERS],
        "searches": [of_search(options) for options in cases.SEARCHES],
        "schedules": {name: [of_schedule(case, o) for o in ("SGD", "Adam")] for name, case in cases.SCHEDULES.items()},
    }
    text = json.dumps(content, separators=(",", ":"))
    (Path(__file__).parent / "vectors.json").write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
