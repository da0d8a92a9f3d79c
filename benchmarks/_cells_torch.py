"""The custom cells in PyTorch, run by a Python loop: eager, with TorchScript or with torch.compile.

Each is split into `project`, which does not depend on the state, and `step`. In the usual form the loop does both. In
the hoisted form the loop does only the step, and all inputs are projected at once before it.
"""

import os
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks._cells import CustomCell
from benchmarks._workload import Workload


class Custom(nn.Module):
    """Base class: parameters from outside, one state of H values."""

    def __init__(self, parameters, hidden_size: int):
        super().__init__()
        self.size = hidden_size
        for name, value in parameters.items():
            setattr(self, name, nn.Parameter(torch.from_numpy(value)))


class LayerNormLSTM(Custom):
    def initial(self, xs: Tensor) -> tuple[Tensor, Tensor]:
        return xs.new_zeros(xs.size(1), self.size), xs.new_zeros(xs.size(1), self.size)

    def project(self, x: Tensor) -> Tensor:
        return functional.layer_norm(functional.linear(x, self.W), [4 * self.size], self.gain_x, self.shift_x)

    def step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        gates = x + functional.layer_norm(functional.linear(h, self.U), [4 * self.size], self.gain_h, self.shift_h)
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(functional.layer_norm(c, [self.size], self.gain_c, self.shift_c))
        return h, (h, c)


class ConcatGRU(Custom):
    def initial(self, xs: Tensor) -> Tensor:
        return xs.new_zeros(xs.size(1), self.size)

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        gates = torch.sigmoid(functional.linear(torch.cat([h, x], -1), self.W, self.b))
        update, reset = gates.chunk(2, -1)
        n = torch.tanh(functional.linear(torch.cat([reset * h, x], -1), self.V, self.d))
        h = update * n + (1 - update) * h
        return h, h


class MinGRU(Custom):
    def initial(self, xs: Tensor) -> Tensor:
        return xs.new_zeros(xs.size(1), self.size)

    def project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.W, self.b)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, n = x.chunk(2, -1)
        z = torch.sigmoid(z)
        h = (1 - z) * h + z * n
        return h, h


class PeepholeLSTM(Custom):
    def initial(self, xs: Tensor) -> tuple[Tensor, Tensor]:
        return xs.new_zeros(xs.size(1), self.size), xs.new_zeros(xs.size(1), self.size)

    def project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.W, self.b)

    def step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        i, f, g, o = (x + functional.linear(h, self.U)).chunk(4, -1)
        c = torch.sigmoid(f + self.see_f * c) * c + torch.sigmoid(i + self.see_i * c) * torch.tanh(g)
        h = torch.sigmoid(o + self.see_o * c) * torch.tanh(c)
        return h, (h, c)


class IndRNN(Custom):
    def initial(self, xs: Tensor) -> Tensor:
        return xs.new_zeros(xs.size(1), self.size)

    def project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.W, self.b)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(x + self.u * h)
        return h, h


CLASSES = {
    "layer-norm LSTM": LayerNormLSTM,
    "concat GRU": ConcatGRU,
    "minGRU": MinGRU,
    "peephole LSTM": PeepholeLSTM,
    "IndRNN": IndRNN,
}


class Loop(nn.Module):
    """A cell applied over time."""

    hoisted: Final[bool]

    def __init__(self, cell: Custom, hoisted: bool):
        super().__init__()
        self.cell, self.hoisted = cell, hoisted

    def forward(self, xs: Tensor) -> Tensor:
        state = self.cell.initial(xs)
        if self.hoisted:
            xs = self.cell.project(xs)
        ys: list[Tensor] = []
        for x in xs.unbind(0):
            y, state = self.cell.step(x if self.hoisted else self.cell.project(x), state)
            ys.append(y)
        return torch.stack(ys)


def with_torch(custom: CustomCell, how: str = "eager", hoisted: bool = False) -> Workload:
    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # so that the first call includes compiling
    parameters, inputs, cotangent = custom.data()
    loop = Loop(CLASSES[custom.cell](parameters, custom.H), hoisted)
    named = dict(loop.cell.named_parameters())
    model = {"eager": lambda module: module, "script": torch.jit.script, "compile": torch.compile}[how](loop)
    xs, g = torch.tensor(inputs, requires_grad=True), torch.from_numpy(cotangent)
    without_gradient = (
        torch.no_grad if how == "script" else torch.inference_mode
    )  # TorchScript does not support the latter

    def train():
        loop.zero_grad()
        xs.grad = None
        ys = model(xs)
        ys.backward(g)
        return ys

    def infer():
        with without_gradient():
            return model(xs)

    def arrays():
        for _ in range(3):  # TorchScript optimises during the first calls
            ys = train().detach()
        return {"ys": ys.numpy(), "xs": xs.grad.numpy(), **{name: p.grad.numpy() for name, p in named.items()}}

    return Workload(train, infer, arrays)
