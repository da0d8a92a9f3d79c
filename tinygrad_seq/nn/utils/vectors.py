"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...errors import ArgumentError, ShapeError
from ...ops.joining import concat
from ...ops.shape import reshape


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all parameters as one vector, whose gradient flows into them.

    Parameters
    ----------
    parameters : iterable of Tensor
        The parameters, e.g. ``model.parameters()``.

    Returns
    -------
    Tensor
        (number of values,).

    Raises
    ------
    ArgumentError
        If there are none.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.utils.parameters_to_vector(ts.nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    parts = [reshape(parameter, (-1,)) for parameter in parameters]
    if not parts:
        raise ArgumentError("parameters_to_vector: expected parameters, got none; pass e.g. model.parameters().")
    return concat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the values of one vector into the parameters.

    Parameters
    ----------
    vec : Tensor
        (number of values,).
    parameters : iterable of Tensor
        The parameters, e.g. ``model.parameters()``.

    Raises
    ------
    ShapeError
        If the vector has another number of values; nothing is changed then.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> layer = ts.nn.Linear(3, 2)
    >>> ts.nn.utils.vector_to_parameters(ts.zeros(8), layer.parameters())
    >>> float(layer.weight.sum())
    0.0
    """
    found = list(parameters)
    total = sum(parameter.size for parameter in found)
    if vec.shape != (total,):
        raise ShapeError(
            f"vector_to_parameters: expected a vector ({total},), got {vec.shape} {vec.dtype}; pass one value for each "
            "of the parameters."
        )
    end = 0
    with no_grad():
        for parameter in found:
            parameter.copy_(vec[end : end + parameter.size].reshape(parameter.shape))
            end += parameter.size
