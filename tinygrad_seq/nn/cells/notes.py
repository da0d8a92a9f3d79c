"""The cells of the sequence-models course notes: one weight per gate, stacked over [state; x].

Weights and biases have the course's shapes, (n_a, n_a + n_x) and (n_a, 1), so its arrays load unchanged. The course
stores examples as columns; here they are rows, (N, n_x), and each row computes z = W [a; x] + b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...autograd.tagging import tag
from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops.exponential import sigmoid
from ...ops.joining import concat
from ...ops.linear import linear
from ...ops.shape import reshape
from ...ops.trigonometric import tanh
from ..init import uniform_, zeros_
from ..module.parameter import Parameter
from .declared import DeclaredCell, declare
from .elman import NONLINEARITIES

__all__ = ["NotesGRUCell", "NotesLSTMCell", "NotesRNNCell", "NotesSimplifiedGRUCell"]

State = tuple[Tensor, Tensor]

_SYMBOLS = {
    "update_gate": "Γ_u",
    "relevance_gate": "Γ_r",
    "forget_gate": "Γ_f",
    "output_gate": "Γ_o",
    "candidate": "c̃",
}


def _uniform(weight: Parameter) -> None:
    bound = 1 / math.sqrt(len(weight))
    uniform_(weight, -bound, bound)


def _affine(weight: Tensor, bias: Tensor, stacked: Tensor) -> Tensor:
    """Return W [a; x] + b for rows [a, x]."""
    return linear(stacked, weight, reshape(bias, (-1,)))


class NotesRNNCell(DeclaredCell):
    """The basic recurrent unit of the notes.

    ::

        a' = g(Wa [a; x] + ba)                       g = tanh or relu

    Source: course notes, "Recurrent Neural Network model". The course's assignment stores Wa in two parts:
    ``Wa = np.hstack([Waa, Wax])``.

    Shapes: input x (N, n_x); state a and output a' (N, n_a).

    Parameters
    ----------
    input_size, hidden_size : int
        n_x and n_a.
    nonlinearity : {"tanh", "relu"} or callable, default "tanh"
        The activation function g.

    Attributes
    ----------
    Wa : Parameter
        (n_a, n_a + n_x), uniform in ±1/sqrt(n_a).
    ba : Parameter
        (n_a, 1), zeros.

    Raises
    ------
    ArgumentError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> {name: p.shape for name, p in ts.nn.NotesRNNCell(3, 5).named_parameters()}
    {'Wa': (5, 8), 'ba': (5, 1)}
    """

    Wa: Parameter = declare("H H+I", _uniform)
    ba: Parameter = declare("H 1", zeros_)

    def __init__(
        self, input_size: int, hidden_size: int, nonlinearity: str | Callable[[Tensor], Tensor] = "tanh"
    ) -> None:
        if not callable(nonlinearity) and not (isinstance(nonlinearity, str) and nonlinearity in NONLINEARITIES):
            raise ArgumentError(
                f"{type(self).__name__}: expected nonlinearity 'tanh', 'relu' or a function, got {nonlinearity!r}; "
                "pass one of them."
            )
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size)

    def forward(self, x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        g: Any = self.nonlinearity if callable(self.nonlinearity) else NONLINEARITIES[self.nonlinearity]
        a = g(_affine(self.Wa, self.ba, concat([a, x], axis=-1)))
        return a, a


class NotesSimplifiedGRUCell(DeclaredCell):
    """The simplified gated recurrent unit of the notes, which has no relevance gate.

    ::

        c~ = tanh(Wc [c; x] + bc)                    candidate
        Γu = sigmoid(Wu [c; x] + bu)                 update gate
        c' = Γu * c~ + (1 - Γu) * c                  a' = c'

    Source: course notes, "Vanishing gradients & the Gated Recurrent Unit".

    Shapes: input x (N, n_x); state c and output c' (N, n_a).

    Parameters
    ----------
    input_size, hidden_size : int
        n_x and n_a.

    Attributes
    ----------
    Wc, Wu : Parameter
        (n_a, n_a + n_x), uniform in ±1/sqrt(n_a).
    bc, bu : Parameter
        (n_a, 1), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> {name: p.shape for name, p in ts.nn.NotesSimplifiedGRUCell(3, 5).named_parameters()}
    {'Wc': (5, 8), 'bc': (5, 1), 'Wu': (5, 8), 'bu': (5, 1)}
    """

    tag_symbols = _SYMBOLS
    Wc: Parameter = declare("H H+I", _uniform)
    bc: Parameter = declare("H 1", zeros_)
    Wu: Parameter = declare("H H+I", _uniform)
    bu: Parameter = declare("H 1", zeros_)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        stacked = concat([c, x], axis=-1)
        candidate = tag(tanh(_affine(self.Wc, self.bc, stacked)), "candidate")
        update = tag(sigmoid(_affine(self.Wu, self.bu, stacked)), "update_gate")
        c = update * candidate + (1 - update) * c
        return c, c


class NotesGRUCell(DeclaredCell):
    """The full gated recurrent unit of the course, which resets before the product.

    ::

        Γu = sigmoid(Wu [c; x] + bu)                 update gate
        Γr = sigmoid(Wr [c; x] + br)                 relevance gate
        c~ = tanh(Wc [Γr * c; x] + bc)               candidate
        c' = Γu * c~ + (1 - Γu) * c                  a' = c'

    Source: the "modified full GRU" that the course notes refer to; Cho et al., 2014, v3. Γu is one minus the update
    gate of PyTorch.

    Shapes: input x (N, n_x); state c and output c' (N, n_a).

    Parameters
    ----------
    input_size, hidden_size : int
        n_x and n_a.

    Attributes
    ----------
    Wc, Wu, Wr : Parameter
        (n_a, n_a + n_x), uniform in ±1/sqrt(n_a).
    bc, bu, br : Parameter
        (n_a, 1), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> list(ts.nn.NotesGRUCell(3, 5).state_dict())
    ['Wc', 'bc', 'Wu', 'bu', 'Wr', 'br']
    """

    tag_symbols = _SYMBOLS
    Wc: Parameter = declare("H H+I", _uniform)
    bc: Parameter = declare("H 1", zeros_)
    Wu: Parameter = declare("H H+I", _uniform)
    bu: Parameter = declare("H 1", zeros_)
    Wr: Parameter = declare("H H+I", _uniform)
    br: Parameter = declare("H 1", zeros_)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        stacked = concat([c, x], axis=-1)
        update = tag(sigmoid(_affine(self.Wu, self.bu, stacked)), "update_gate")
        relevance = tag(sigmoid(_affine(self.Wr, self.br, stacked)), "relevance_gate")
        candidate = tag(tanh(_affine(self.Wc, self.bc, concat([relevance * c, x], axis=-1))), "candidate")
        c = update * candidate + (1 - update) * c
        return c, c


class NotesLSTMCell(DeclaredCell):
    """Long short-term memory of the notes.

    ::

        c~ = tanh(Wc [a; x] + bc)                    candidate
        Γu = sigmoid(Wu [a; x] + bu)                 update gate
        Γf = sigmoid(Wf [a; x] + bf)                 forget gate
        Γo = sigmoid(Wo [a; x] + bo)                 output gate
        c' = Γu * c~ + Γf * c
        a' = Γo * tanh(c')

    Source: course notes, "Long Short Term Memory" (which print bf for bo). The course's assignment calls Wu and bu Wi
    and bi.

    Shapes: input x (N, n_x); state (a, c), (N, n_a) each; output a' (N, n_a).

    Parameters
    ----------
    input_size, hidden_size : int
        n_x and n_a.

    Attributes
    ----------
    Wc, Wu, Wf, Wo : Parameter
        (n_a, n_a + n_x), uniform in ±1/sqrt(n_a).
    bc, bu, bf, bo : Parameter
        (n_a, 1), zeros.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, (a, c) = ts.nn.NotesLSTMCell(3, 5)(ts.randn(2, 3))
    >>> a.shape, c.shape
    ((2, 5), (2, 5))
    """

    tag_symbols = _SYMBOLS
    state = ("H", "H")
    state_names = ("a", "c")
    Wc: Parameter = declare("H H+I", _uniform)
    bc: Parameter = declare("H 1", zeros_)
    Wu: Parameter = declare("H H+I", _uniform)
    bu: Parameter = declare("H 1", zeros_)
    Wf: Parameter = declare("H H+I", _uniform)
    bf: Parameter = declare("H 1", zeros_)
    Wo: Parameter = declare("H H+I", _uniform)
    bo: Parameter = declare("H 1", zeros_)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        a, c = state
        stacked = concat([a, x], axis=-1)
        candidate = tag(tanh(_affine(self.Wc, self.bc, stacked)), "candidate")
        update = tag(sigmoid(_affine(self.Wu, self.bu, stacked)), "update_gate")
        forget = tag(sigmoid(_affine(self.Wf, self.bf, stacked)), "forget_gate")
        output = tag(sigmoid(_affine(self.Wo, self.bo, stacked)), "output_gate")
        c = update * candidate + forget * c
        a = output * tanh(c)
        return a, (a, c)
