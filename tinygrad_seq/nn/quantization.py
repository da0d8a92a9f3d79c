"""`quantize`: a copy of a trained model whose products are computed in low precision, for inference."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import numpy as np

from ..autograd.creation import zeros
from ..autograd.tensor import Tensor
from ..base.modes import PRECISIONS, disable_compile, no_grad
from ..base.switches import Switch
from ..base.tree import flatten
from ..errors import ArgumentError, CompileError, DtypeError
from ..ops.linear import accepts_precision
from ..ops.primitive import OpKind, Primitive
from ..scan.ir.step import Aval, Step, dependents
from .cell import Cell, step_of_one
from .layers import Embedding
from .module.module import Module, evaluating
from .module.parameter import Parameter
from .module.quantised import FixedScale, Int8Table

M = TypeVar("M", bound=Module)
_LOW = PRECISIONS[1:]
SMALLEST_RANGE: Final = 2.0**-100
"""Scales of smaller magnitudes stay dynamic: 127 / x must not overflow."""


def quantize(model: M, precision: str, calibration: Iterable[Any] | None = None) -> M:
    """Return a copy of a trained model for inference, whose products with matrices are computed in low precision.

    In the `forward` of the copy and of all modules in it, products ``x @ w`` and ``linear(x, weight)`` with a matrix of
    weights are computed in `precision`, compiled or not: those of `nn.Linear`, of recurrent layers with any cell, of
    output layers, of a model's own parameters. States, gates and all other operations stay float32.

    * ``"int8"``: integers from -127 to 127 with one scale per output of a matrix, which is constant, and one per row of
      activations, which is dynamic: taken from the row. With `calibration` it is fixed: the largest magnitude that the
      matrix multiplied in these runs of the model in float32, step by step, becomes 127, and larger ones become 127
      too. Sums are exact.
    * ``"bfloat16"``: both operands are rounded to bfloat16, products are added up in float32.

    Scales are fixed for products with a parameter itself; those with a part of one, or a matrix computed from some, and
    those that no input reaches, stay dynamic.

    Tables of `nn.Embedding` are rounded in the same way, with one scale per row, and held as int8, unless matrix
    products read them too, as with tied weights, or they are changed. All other parameters of the copy are those of the
    model, in float32: `state_dict` and checkpoints hold float32 in any case. The copy is in evaluation mode and its
    parameters are frozen. A gradient through it, or a forward pass in training mode that records gradients, is an
    error. In a cell, a ``with ts.autocast("float32")`` block keeps its products in float32.

    Parameters
    ----------
    model : Module
        A model with float32 parameters; it is not changed.
    precision : str
        ``"int8"`` or ``"bfloat16"``.
    calibration : iterable, optional
        Typical inputs of the model, for int8: what its forward takes, a tuple if it takes several arguments.

    Returns
    -------
    Module
        A quantised copy, of the same class.

    Raises
    ------
    ArgumentError
        If `model` is not a Module, `precision` another one, `calibration` no iterable of inputs with finite results, or
        a cell multiplies by weights in a way that cannot be quantised; the message says which cell and why.
    DtypeError
        If a parameter is float64.

    Examples
    --------
    >>> import numpy as np, tinygrad_seq as ts
    >>> lstm, xs = ts.nn.LSTM(8, 32), ts.randn(20, 4, 8)
    >>> small = ts.quantize(lstm, "int8")
    >>> bool(np.allclose(small(xs)[0], lstm(xs)[0].detach(), atol=0.02))
    True
    """
    _check(model, precision)
    largest = {} if calibration is None else _largest_inputs(model, precision, calibration)
    small = copy.deepcopy(model, _replacements(model, precision, largest)).eval().requires_grad_(False)
    small.zero_grad()
    for module in small.modules():
        module._precision = precision
        if isinstance(module, Cell):
            _check_products(module)
    return small


def _check(model: Any, precision: str) -> None:
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


def _largest_inputs(model: Module, precision: str, calibration: Any) -> dict[int, float]:
    """Return by the id of a parameter the largest magnitude that it multiplies."""
    if precision != "int8":
        raise ArgumentError(
            f"quantize: expected calibration for int8 only, got it for {precision!r}; leave it out, it has no scales."
        )
    if not isinstance(calibration, Iterable) or isinstance(calibration, Tensor | np.ndarray | str | dict):
        raise ArgumentError(
            "quantize: expected calibration to be an iterable of inputs of the model, got "
            f"{type(calibration).__name__}; pass a list, as in [xs]."
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    largest: dict[int, float] = {}

    def observe(primitive: Primitive, operands: tuple[Any, ...], arrays: list[np.ndarray]) -> None:
        if accepts_precision(primitive) and (key := id(operands[1])) in names and arrays[0].size:
            found = float(np.abs(arrays[0]).max())
            if not np.isfinite(found):
                raise ArgumentError(
                    f"quantize: expected calibration inputs with finite results, but {names[key]!r} multiplies "
                    f"{found}; leave such inputs out."
                )
            largest[key] = max(found, largest.get(key, 0.0))

    with evaluating(model), no_grad(), disable_compile(), Switch(observer=observe):
        for inputs in calibration:
            model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    if not largest:
        raise ArgumentError(
            "quantize: expected calibration inputs that reach products with parameters, got none; pass some inputs."
        )
    return largest


def _replacements(model: Module, precision: str, largest: dict[int, float]) -> dict[int, Any]:
    """Return by the id of a parameter what takes its place in a quantised copy, if that is no plain copy."""
    from ..kernels.gemm.operands import dequantise, quantise, round_bfloat16  # imports Numba

    found: dict[int, Any] = {}
    tables = {id(module.weight): module.weight for module in model.modules() if isinstance(module, Embedding)}
    others = [vars(module).values() for module in model.modules() if not isinstance(module, Embedding)]
    read = {*largest, *[id(value) for values in others for value in values]}
    for key, table in tables.items():
        if precision == "bfloat16":
            found[key] = Parameter(round_bfloat16(table.numpy()), requires_grad=False)
        elif key in read:
            found[key] = Parameter(dequantise(*quantise(table.numpy(), 1)), requires_grad=False)
        elif not isinstance(table, Int8Table):
            found[key] = Int8Table(table)
    for parameter in model.parameters():
        if (magnitude := largest.get(id(parameter), 0.0)) >= SMALLEST_RANGE:
            found[id(parameter)] = FixedScale(found.get(id(parameter), parameter), magnitude)
    return found


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
