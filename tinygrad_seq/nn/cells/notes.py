"""The cells of the sequence-models course notes: one weight per gate, stacked over [state; x].

Weights and biases have the course's own shapes, (n_a, n_a + n_x) and (n_a, 1), so its arrays load as they are. Data
is (N, n_x) with examples as rows, where the course has them as columns: row by row, z = W [a; x] + b is the same.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ...autograd.creation import zeros
from ...autograd.tagging import tag
from ...ops.exponential import sigmoid
from ...ops.joining import concat
from ...ops.linear import linear
from ...ops.primitive import Array
from ...ops.shape import reshape
from ...ops.trigonometric import tanh
from ..cell import Cell
from ..checks import check_sizes
from ..init import uniform_, zeros_
from ..module.parameter import Parameter


class NotesCell(Cell):
    """Base of the notes' cells: parameters ``W<gate>`` and ``b<gate>`` for each letter of `gates`.

    Attributes
    ----------
    W<gate> : Parameter
        (n_a, n_a + n_x), the state's columns first, drawn uniform in ±1/sqrt(n_a).
    b<gate> : Parameter
        (n_a, 1), zeros.
    """

    states: ClassVar[int] = 1
    gates: ClassVar[str]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.state_shape = (hidden_size,) if self.states == 1 else ((hidden_size,),) * self.states
        for gate in self.gates:
            setattr(self, f"W{gate}", Parameter(zeros((hidden_size, hidden_size + input_size))))
            setattr(self, f"b{gate}", Parameter(zeros((hidden_size, 1))))
        self.reset_parameters()

    @property
    def dtype(self) -> np.dtype:
        return next(self.parameters()).dtype

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniform in ±1/sqrt(n_a), and set the biases to zero."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith("W"):
                uniform_(parameter, -bound, bound)
            else:
                zeros_(parameter)


def _affine(weight: Array, bias: Array, stacked: Array) -> Array:
    """Return W [a; x] + b for rows [a, x]."""
    return linear(stacked, weight, reshape(bias, (-1,)))


class NotesRNNCell(NotesCell):
    """The basic recurrent unit of the notes.

    ::

        a' = tanh(Wa [a; x] + ba)

    The output is a'. Source: course notes, "Recurrent Neural Network model". The course's assignment keeps the two
    halves apart: ``Wa = np.hstack([Waa, Wax])``.

    Parameters
    ----------
    input_size, hidden_size
        n_x and n_a.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> {name: p.shape for name, p in ts.nn.NotesRNNCell(3, 5).named_parameters()}
    {'Wa': (5, 8), 'ba': (5, 1)}
    """

    gates = "a"
    Wa: Parameter
    ba: Parameter

    def forward(self, x: Array, a: Array) -> tuple[Array, Array]:
        a = tanh(_affine(self.Wa, self.ba, concat([a, x], axis=-1)))
        return a, a


class NotesSimplifiedGRUCell(NotesCell):
    """The simplified gated recurrent unit of the notes, without a relevance gate.

    ::

        c~ = tanh(Wc [c; x] + bc)                    candidate
        Γu = sigmoid(Wu [c; x] + bu)                 update gate
        c' = Γu * c~ + (1 - Γu) * c                  a' = c'

    The output is a'. Source: course notes, "Vanishing gradients & the Gated Recurrent Unit".

    Parameters
    ----------
    input_size, hidden_size
        n_x and n_a.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> {name: p.shape for name, p in ts.nn.NotesSimplifiedGRUCell(3, 5).named_parameters()}
    {'Wc': (5, 8), 'bc': (5, 1), 'Wu': (5, 8), 'bu': (5, 1)}
    """

    gates = "cu"
    Wc: Parameter
    bc: Parameter
    Wu: Parameter
    bu: Parameter

    def forward(self, x: Array, c: Array) -> tuple[Array, Array]:
        stacked = concat([c, x], axis=-1)
        candidate = tag(tanh(_affine(self.Wc, self.bc, stacked)), "candidate")
        update = tag(sigmoid(_affine(self.Wu, self.bu, stacked)), "update_gate")
        c = update * candidate + (1 - update) * c
        return c, c


class NotesGRUCell(NotesCell):
    """The full gated recurrent unit of the course, which resets before the product.

    ::

        Γu = sigmoid(Wu [c; x] + bu)                 update gate
        Γr = sigmoid(Wr [c; x] + br)                 relevance gate
        c~ = tanh(Wc [Γr * c; x] + bc)               candidate
        c' = Γu * c~ + (1 - Γu) * c                  a' = c'

    The output is a'. Source: the "modified full GRU" that the course notes point to; Cho et al., 2014, v3. Γu is one
    minus the update gate of PyTorch.

    Parameters
    ----------
    input_size, hidden_size
        n_x and n_a.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> list(ts.nn.NotesGRUCell(3, 5).state_dict())
    ['Wc', 'bc', 'Wu', 'bu', 'Wr', 'br']
    """

    gates = "cur"
    Wc: Parameter
    bc: Parameter
    Wu: Parameter
    bu: Parameter
    Wr: Parameter
    br: Parameter

    def forward(self, x: Array, c: Array) -> tuple[Array, Array]:
        stacked = concat([c, x], axis=-1)
        update = tag(sigmoid(_affine(self.Wu, self.bu, stacked)), "update_gate")
        relevance = tag(sigmoid(_affine(self.Wr, self.br, stacked)), "relevance_gate")
        candidate = tag(tanh(_affine(self.Wc, self.bc, concat([relevance * c, x], axis=-1))), "candidate")
        c = update * candidate + (1 - update) * c
        return c, c


class NotesLSTMCell(NotesCell):
    """Long short-term memory of the notes.

    ::

        c~ = tanh(Wc [a; x] + bc)                    candidate
        Γu = sigmoid(Wu [a; x] + bu)                 update gate
        Γf = sigmoid(Wf [a; x] + bf)                 forget gate
        Γo = sigmoid(Wo [a; x] + bo)                 output gate
        c' = Γu * c~ + Γf * c
        a' = Γo * tanh(c')

    The state is the tuple (a, c), the output a'. Source: course notes, "Long Short Term Memory" (which print bf for
    bo). The course's assignment calls Wu, bu by the names Wi, bi.

    Parameters
    ----------
    input_size, hidden_size
        n_x and n_a.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (a, c) = ts.nn.NotesLSTMCell(3, 5)(ts.randn(2, 3))
    >>> a.shape, c.shape
    ((2, 5), (2, 5))
    """

    states = 2
    state_names = ("a", "c")
    gates = "cufo"
    Wc: Parameter
    bc: Parameter
    Wu: Parameter
    bu: Parameter
    Wf: Parameter
    bf: Parameter
    Wo: Parameter
    bo: Parameter

    def forward(self, x: Array, state: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        a, c = state
        stacked = concat([a, x], axis=-1)
        candidate = tag(tanh(_affine(self.Wc, self.bc, stacked)), "candidate")
        update = tag(sigmoid(_affine(self.Wu, self.bu, stacked)), "update_gate")
        forget = tag(sigmoid(_affine(self.Wf, self.bf, stacked)), "forget_gate")
        output = tag(sigmoid(_affine(self.Wo, self.bo, stacked)), "output_gate")
        c = update * candidate + forget * c
        a = output * tanh(c)
        return a, (a, c)
