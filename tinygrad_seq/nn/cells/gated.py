"""What the cells in PyTorch's form share: two weights and two biases with all gates stacked on the first axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from ...creation import zeros
from ..cell import Cell
from ..checks import check_sizes
from ..init import uniform_
from ..parameter import Parameter


class GatedCell(Cell):
    """Base of the cells in PyTorch's form: `states` arrays of state, `gates` blocks of H rows in each parameter.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (gates * H, I) and (gates * H, H).
    bias_ih, bias_hh : Parameter or None
        (gates * H,).
    """

    states: ClassVar[int] = 1
    gates: ClassVar[int]
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, proj_size: int = 0) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        rows = self.gates * hidden_size
        self._adopt(
            {
                "weight_ih": Parameter(zeros((rows, input_size))),
                "weight_hh": Parameter(zeros((rows, proj_size or hidden_size))),
                "bias_ih": Parameter(zeros(rows)) if bias else None,
                "bias_hh": Parameter(zeros(rows)) if bias else None,
            }
            | ({"weight_hr": Parameter(zeros((proj_size, hidden_size)))} if proj_size else {})
        )
        self.reset_parameters()

    def _adopt(self, parameters: Mapping[str, Parameter | None]) -> None:
        vars(self).update(parameters)
        self.input_size, self.output_size = self.weight_ih.shape[1], self.weight_hh.shape[1]
        self.hidden_size = self.weight_ih.shape[0] // self.gates
        sizes = ((self.output_size,), (self.hidden_size,))
        self.state_shape = sizes[0] if self.states == 1 else sizes

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter | None], **options: Any) -> Self:
        """Return a cell that uses these parameters themselves, not copies."""
        cell = object.__new__(cls)
        cell._adopt(parameters)
        vars(cell).update(options)
        return cell

    @property
    def dtype(self) -> np.dtype:
        return self.weight_ih.dtype

    def reset_parameters(self) -> None:
        """Draw every parameter anew, uniform in ±1/sqrt(H)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)
