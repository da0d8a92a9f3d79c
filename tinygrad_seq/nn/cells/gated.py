"""Base of the cells in PyTorch's form: two weights and two biases, with all gates stacked on the first axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...base.tree import Tree, describe, flatten, map_leaves
from ...errors import ShapeError
from ...ops.shape import expand_dims, squeeze
from ..cell import Cell
from ..checks import check_features, check_sizes, check_switches
from ..init import uniform_
from ..module.parameter import Parameter
from ..module.placement import check_placement


class GatedCell(Cell):
    """Base of the cells in PyTorch's form: `states` arrays of state, `gates` blocks of H rows in each parameter.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, the number of features of an input and of an output.
    bias : bool, default True
        Whether there are biases.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter
        (gates * H, I) and (gates * H, H).
    bias_ih, bias_hh : Parameter or None
        (gates * H,).

    Raises
    ------
    ArgumentError, DtypeError
        If a size is not an integer >= 1, `bias` not a bool, or `device` or `dtype` not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LSTMCell(3, 5, dtype="float64").weight_ih.shape
    (20, 3)
    """

    states: ClassVar[int] = 1
    gates: ClassVar[int]
    _proj_size: int = 0
    input_size: int
    hidden_size: int
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size)
        check_switches(name, bias=bias)
        check_placement(name, device, dtype)
        rows = self.gates * hidden_size
        self._adopt(
            {
                "weight_ih": Parameter(zeros((rows, input_size), dtype)),
                "weight_hh": Parameter(zeros((rows, self._proj_size or hidden_size), dtype)),
                "bias_ih": Parameter(zeros(rows, dtype)) if bias else None,
                "bias_hh": Parameter(zeros(rows, dtype)) if bias else None,
            }
            | ({"weight_hr": Parameter(zeros((self._proj_size, hidden_size), dtype))} if self._proj_size else {})
        )
        self.reset_parameters()

    def __call__(self, x: Tensor, state: Tree = None) -> tuple[Tensor, Tree]:
        """Run one step, on a batch (N, I) or on one sequence (I,).

        Parameters
        ----------
        x : Tensor
            (N, I) or (I,), of the dtype of the parameters.
        state : Tensor or tuple of Tensor, optional
            (N, H) or (H,), as x; the tuple (h, c) of an `LSTMCell`. Zeros by default.

        Returns
        -------
        output : Tensor
            (N, H) or (H,).
        state : Tensor or tuple of Tensor
            The new state, with the shape of `state`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If x or the state has another shape, dtype or structure.
        """
        name = type(self).__name__
        if getattr(x, "ndim", 0) != 1:
            return super().__call__(x, state)
        check_features(name, x, self.input_size, self.dtype)
        if any(np.ndim(part) != 1 for part in flatten(state)[0]):
            expected = map_leaves(lambda part: part[0], self.initial_state(1))
            raise ShapeError(
                f"{name}: expected a state of one sequence, {describe(expected)}, as x is {x.shape} {x.dtype}, "
                f"got {describe(state)}; add a batch axis to x with x[None]."
            )
        y, state = super().__call__(expand_dims(x, 0), map_leaves(lambda part: expand_dims(part, 0), state))
        return squeeze(y, 0), map_leaves(lambda part: squeeze(part, 0), state)

    def _adopt(self, parameters: Mapping[str, Parameter | None]) -> None:
        vars(self).update(parameters)
        self.input_size, self.output_size = self.weight_ih.shape[1], self.weight_hh.shape[1]
        self.hidden_size = self.weight_ih.shape[0] // self.gates
        sizes = ((self.output_size,), (self.hidden_size,))
        self.state_shape = sizes[0] if self.states == 1 else sizes

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter | None], **options: Any) -> Self:
        """Return a cell that shares the given parameters.

        Parameters
        ----------
        parameters : mapping of str to Parameter
            By the names of the attributes: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``.
        **options
            Other attributes, such as ``nonlinearity="relu"``.

        Returns
        -------
        GatedCell
            The cell; training it trains the given parameters.
        """
        cell = object.__new__(cls)
        cell._adopt(parameters)
        vars(cell).update(options)
        return cell

    @property
    def dtype(self) -> np.dtype:
        return self.weight_ih.dtype

    def reset_parameters(self) -> None:
        """Set every parameter to new initial values, uniform in ±1/sqrt(H)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)
