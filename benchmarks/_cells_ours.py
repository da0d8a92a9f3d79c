"""The custom cells in this package: each is only its forward step."""

from __future__ import annotations

import tinygrad_seq as ts
from benchmarks._cells import CustomCell
from benchmarks._workload import Workload, gradient_of


class Custom(ts.nn.Cell):
    """Base class: parameters from outside, one state of H values."""

    W: ts.nn.Parameter
    U: ts.nn.Parameter
    V: ts.nn.Parameter
    b: ts.nn.Parameter
    d: ts.nn.Parameter
    u: ts.nn.Parameter
    gain_x: ts.nn.Parameter
    gain_h: ts.nn.Parameter
    gain_c: ts.nn.Parameter
    shift_x: ts.nn.Parameter
    shift_h: ts.nn.Parameter
    shift_c: ts.nn.Parameter
    see_i: ts.nn.Parameter
    see_f: ts.nn.Parameter
    see_o: ts.nn.Parameter

    def __init__(self, parameters, hidden_size):
        self.state_shape, self.size = (hidden_size,), hidden_size
        for name, value in parameters.items():
            setattr(self, name, ts.nn.Parameter(value))


class LayerNormLSTM(Custom):
    def __init__(self, parameters, hidden_size):
        super().__init__(parameters, hidden_size)
        self.state_shape = (hidden_size,), (hidden_size,)

    def forward(self, x, state):
        h, c = state
        gates = ts.layer_norm(ts.linear(x, self.W), 4 * self.size, self.gain_x, self.shift_x)
        gates = gates + ts.layer_norm(ts.linear(h, self.U), 4 * self.size, self.gain_h, self.shift_h)
        i, f, g, o = ts.split(gates, 4, axis=-1)
        c = ts.sigmoid(f) * c + ts.sigmoid(i) * ts.tanh(g)
        h = ts.sigmoid(o) * ts.tanh(ts.layer_norm(c, self.size, self.gain_c, self.shift_c))
        return h, (h, c)


class ConcatGRU(Custom):
    def forward(self, x, h):
        gates = ts.sigmoid(ts.linear(ts.concat([h, x], axis=-1), self.W, self.b))
        update, reset = ts.split(gates, 2, axis=-1)
        n = ts.tanh(ts.linear(ts.concat([reset * h, x], axis=-1), self.V, self.d))
        h = update * n + (1 - update) * h
        return h, h


class MinGRU(Custom):
    def forward(self, x, h):
        z, n = ts.split(ts.linear(x, self.W, self.b), 2, axis=-1)
        z = ts.sigmoid(z)
        h = (1 - z) * h + z * n
        return h, h


class PeepholeLSTM(Custom):
    def __init__(self, parameters, hidden_size):
        super().__init__(parameters, hidden_size)
        self.state_shape = (hidden_size,), (hidden_size,)

    def forward(self, x, state):
        h, c = state
        i, f, g, o = ts.split(ts.linear(x, self.W, self.b) + ts.linear(h, self.U), 4, axis=-1)
        c = ts.sigmoid(f + self.see_f * c) * c + ts.sigmoid(i + self.see_i * c) * ts.tanh(g)
        h = ts.sigmoid(o + self.see_o * c) * ts.tanh(c)
        return h, (h, c)


class IndRNN(Custom):
    def forward(self, x, h):
        h = ts.relu(ts.linear(x, self.W, self.b) + self.u * h)
        return h, h


CLASSES = {
    "layer-norm LSTM": LayerNormLSTM,
    "concat GRU": ConcatGRU,
    "minGRU": MinGRU,
    "peephole LSTM": PeepholeLSTM,
    "IndRNN": IndRNN,
}


def ours(custom: CustomCell) -> Workload:
    parameters, inputs, cotangent = custom.data()
    cell = CLASSES[custom.cell](parameters, custom.H)
    model = ts.nn.Recurrent(cell)
    xs, g = ts.tensor(inputs, requires_grad=True), ts.tensor(cotangent)

    def train():
        model.zero_grad()
        xs.grad = None
        ys, _ = model(xs)
        ys.backward(g)
        return ys

    def infer():
        with ts.no_grad():
            return model(xs)[0]

    def arrays():
        ys = train()
        return {"ys": ys.numpy(), "xs": gradient_of(xs), **{k: gradient_of(p) for k, p in cell.named_parameters()}}

    return Workload(train, infer, arrays)
