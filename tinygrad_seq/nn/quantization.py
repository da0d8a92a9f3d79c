"""`quantize`: a copy of a trained model whose products are computed in low precision, for inference."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from ..autograd.creation import zeros
from ..base.modes import PRECISIONS, no_grad
from ..base.tree import flatten
from ..errors import ArgumentError, CompileError, DtypeError
from ..ops.linear import accepts_precision
from ..ops.primitive import OpKind
from ..scan.ir.step import Aval, Step, dependents
from .cell import Cell, step_of_one
from .layers import Embedding
from .module.module import Module

M = TypeVar("M", bound=Module)
_LOW = PRECISIONS[1:]


def quantize(model: M, precision: str) -> M:
    """Return a copy of a trained model for inference, whose products with matrices are computed in low precision.

    In the `forward` of the copy and of all modules in it, products ``x @ w`` and ``linear(x, weight)`` with a matrix of
    weights are computed in `precision`, compiled or not: those of `nn.Linear`, of recurrent layers with any cell, of
    output layers, of a model's own parameters. States, gates and all other operations stay float32.

    * ``"int8"``: integers from -127 to 127 with one scale per output of a matrix, which is constant, and one per row of
      activations, which is taken from the row; sums are exact.
    * ``"bfloat16"``: both operands are rounded to bfloat16, products are added up in float32.

    Tables of `nn.Embedding` are rounded in the same way, with one scale per row. All other parameters of the copy are
    those of the model, in float32: `state_dict` and checkpoints hold float32 in any case. The copy is in evaluation
    mode and its parameters are frozen. A gradient through it, or a forward pass in training mode that records
    gradients, is an error. In a cell, a ``with ts.autocast("float32")`` block keeps its products in float32.

    Parameters
    ----------
    model : Module
        A model with float32 parameters; it is not changed.
    precision : str
        ``"int8"`` or ``"bfloat16"``.

    Returns
    -------
    Module
        A quantised copy, of the same class.

    Raises
    ------
    ArgumentError
        If `model` is not a Module, `precision` another one, or a cell multiplies by weights in a way that cannot be
        quantised; the message says which cell and why.
    DtypeError
        If a parameter is float64.

    Examples
    --------
    >>> import numpy as np, tinygrad_seq as ts
    >>> lstm, xs = ts.nn.LSTM(8, 32), ts.randn(20, 4, 8)
    >>> small = ts.quantize(lstm, "int8")
    >>> np.allclose(small(xs)[0], lstm(xs)[0].detach(), atol=0.02)
    True
    """
    _check(model, precision)
    small = copy.deepcopy(model).eval().requires_grad_(False)
    small.zero_grad()
    for module in small.modules():
        module._precision = precision
    for module in small.modules():
        if isinstance(module, Embedding):
            module.weight.copy_(_rounded(module.weight.numpy(), precision))
        if isinstance(module, Cell):
            _check_products(module)
    return small


def _check(model: Module, precision: str) -> None:
    if not isinstance(model, Module):
        raise ArgumentError(f"quantize: expected a Module, got {type(model).__name__}; pass the model itself.")
    if precision not in _LOW:
        raise ArgumentError(
            f"quantize: expected precision 'int8' or 'bfloat16', got {precision!r}; for float32 use the model as it is."
        )
    for name, parameter in model.named_parameters():
        if parameter.dtype == np.float64:
            raise DtypeError(
                f"quantize: expected float32 parameters, got {name!r} of shape {parameter.shape} float64; call "
                ".float() on a copy of the model first."
            )


def _rounded(table: np.ndarray, precision: str) -> np.ndarray:
    """Return a table (V, H) of float32 rounded row by row."""
    from ..kernels.gemm.operands import dequantise, quantise, round_bfloat16  # imports Numba

    return round_bfloat16(table) if precision == "bfloat16" else dequantise(*quantise(table, 1))


def _check_products(cell: Cell) -> None:
    """Raise if the step of a cell of known input size multiplies by weights that cannot be quantised."""
    if cell.input_size is None:
        return
    from ..scan.compiled import trace_step  # the compiler is imported when first used

    try:
        with no_grad():
            x = zeros((2, cell.input_size))
            traced = trace_step(step_of_one(cell), cell.initial_state(2), flatten(x)[1], [Aval(x.shape, x.dtype)])
    except CompileError:  # it runs operation by operation
        return
    for what in _other_products(traced.template):
        raise ArgumentError(
            f"quantize: expected a {type(cell).__name__} whose products with weights are x @ w with a matrix w (K, N), "
            f"or linear(x, weight), got {what}; write it in one of these forms, or quantize the other parts of the "
            "model one by one."
        )


def _other_products(step: Step) -> Iterator[str]:
    """Yield the products of a traced step with constant arrays that are not matrices on the right."""
    varying = dependents(step.eqns, (*step.carry, *step.xs))
    for eqn in step.eqns:
        constant = [var for var in eqn.reads if var not in varying and var.ndim > 1]
        if eqn.primitive.kind is OpKind.PRODUCT and constant and not varying.isdisjoint(eqn.results):
            right = eqn.operands[1]
            if not accepts_precision(eqn.primitive) or right in varying or right.ndim != 2:
                shapes = " and ".join([str(var.shape) for var in eqn.reads])
                yield f"{eqn.primitive.name!r} of {shapes}, of which {constant[0].shape} is constant"
