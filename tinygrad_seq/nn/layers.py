"""Layers without a recurrent state: Linear, Embedding, norms, Dropout, Flatten, Sequential, as in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..autograd.creation import ones, zeros
from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..ops.comparison import equal, where
from ..ops.indexing import embedding
from ..ops.linear import linear
from ..ops.normalisation import dropout, layer_norm, rms_norm
from ..ops.shape import expand_dims, reshape
from .checks import (
    check_features,
    check_numbers,
    check_probability,
    check_sizes,
    check_switches,
    check_tensor,
)
from .init import normal_, ones_, uniform_, zeros_
from .module.module import Module
from .module.parameter import Parameter
from .module.quantised import Int8Table

__all__ = ["Dropout", "Embedding", "Flatten", "LayerNorm", "Linear", "RMSNorm", "Sequential"]


class Linear(Module):
    """An affine map of the last axis: ``x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        I and O.
    bias : bool, default True
        Whether there is a bias.

    Attributes
    ----------
    weight : Parameter
        (O, I), uniform in ±1/sqrt(I).
    bias : Parameter or None
        (O,), uniform in ±1/sqrt(I).

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `bias` not a bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Linear(3, 4)(ts.ones((5, 2, 3))).shape
    (5, 2, 4)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        check_switches("Linear", bias=bias)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(zeros((out_features, in_features)))
        self.bias = Parameter(zeros(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight and bias to new initial values."""
        bound = 1 / math.sqrt(self.in_features)
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias``.

        Parameters
        ----------
        x : Tensor
            (..., I), of the dtype of the parameters.

        Returns
        -------
        Tensor
            (..., O).

        Raises
        ------
        ShapeError, DtypeError
            If x is not an array of this shape and of the dtype of the parameters.
        """
        check_features("Linear", x, self.in_features, self.weight.dtype)
        return linear(x, self.weight, self.bias)


class Embedding(Module):
    """A table of vectors, looked up by index.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and H.
    padding_idx : int, optional
        The index, from -V to V - 1, of a vector that starts as zeros and is not trained.

    Attributes
    ----------
    weight : Parameter
        (V, H), standard normal.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `padding_idx` not an index of the table.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Embedding(10, 4)(ts.tensor([[1, 2, 9]])).shape
    (1, 3, 4)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and padding_idx not in range(-num_embeddings, num_embeddings):
            raise ArgumentError(
                f"Embedding: expected padding_idx from {-num_embeddings} to {num_embeddings - 1}, got {padding_idx!r}; "
                "pass one of the indices of the vocabulary, or None."
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(zeros((num_embeddings, embedding_dim)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the table to new initial values, with zeros at `padding_idx`."""
        normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, indices: ArrayLike) -> Tensor:
        """Return the vectors at `indices`.

        Parameters
        ----------
        indices : array_like of int
            (...), from 0 to V - 1.

        Returns
        -------
        Tensor
            (..., H).

        Raises
        ------
        DtypeError, IndexRangeError
            If an index is not an integer from 0 to V - 1.
        """
        if isinstance(self.weight, Int8Table):
            return self.weight.look_up(indices)
        rows = embedding(self.weight, indices)
        if self.padding_idx is None:
            return rows
        padding = expand_dims(equal(indices, self.padding_idx), -1)
        return where(padding, self.weight.detach()[self.padding_idx], rows)


class LayerNorm(Module):
    """Normalisation over the last axes: ``(x - mean) / sqrt(var + eps) * weight + bias`` (Ba et al., 2016).

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of these axes.
    eps : float, default 1e-5
        Added to the variance.
    elementwise_affine : bool, default True
        Whether there are a weight and a bias.
    bias : bool, default True
        False leaves out the bias but not the weight.

    Attributes
    ----------
    weight, bias : Parameter or None
        Of shape `normalized_shape`, initially ones and zeros.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, `eps` not a number >= 0, or a switch not a bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LayerNorm(2)(ts.tensor([1.0, 3.0])).numpy()
    array([-1.,  1.], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        check_numbers("LayerNorm", 0, np.inf, eps=eps)
        check_switches("LayerNorm", elementwise_affine=elementwise_affine, bias=bias)
        self.normalized_shape, self.eps = _sizes("LayerNorm", normalized_shape), eps
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def reset_parameters(self) -> None:
        """Set the weight to ones and the bias to zeros."""
        if self.weight is not None:
            ones_(self.weight)
        if self.bias is not None:
            zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., *normalized_shape), of the dtype of the parameters, normalised over its last axes."""
        check_tensor("LayerNorm", x, None if self.weight is None else self.weight.dtype)
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """Normalisation over the last axes without centring: ``x / sqrt(mean(x**2) + eps) * weight``.

    Source: Zhang and Sennrich, 2019.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of these axes.
    eps : float, optional
        Added to the mean square; the machine epsilon of the dtype by default.
    elementwise_affine : bool, default True
        Whether there is a weight.

    Attributes
    ----------
    weight : Parameter or None
        Of shape `normalized_shape`, initially ones.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, `eps` not a number >= 0, or a switch not a bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.RMSNorm(2)(ts.tensor([3.0, -3.0])).numpy()
    array([ 1., -1.], dtype=float32)
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        if eps is not None:
            check_numbers("RMSNorm", 0, np.inf, eps=eps)
        check_switches("RMSNorm", elementwise_affine=elementwise_affine)
        self.normalized_shape, self.eps = _sizes("RMSNorm", normalized_shape), eps
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None

    def reset_parameters(self) -> None:
        """Set the weight to ones."""
        if self.weight is not None:
            ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., *normalized_shape), of the dtype of the parameters, normalised over its last axes."""
        check_tensor("RMSNorm", x, None if self.weight is None else self.weight.dtype)
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


class Dropout(Module):
    """Dropout: in training each element is 0 with probability p and ``x / (1 - p)`` otherwise; in evaluation it is x.

    Parameters
    ----------
    p : float, default 0.5
        The probability, in [0, 1].
    generator : numpy.random.Generator, optional
        Draws the masks; by default the generator that `manual_seed` seeds.

    Raises
    ------
    ArgumentError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Dropout(0.5).eval()(ts.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, generator: np.random.Generator | None = None) -> None:
        check_probability("Dropout", p=p)
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        """Return x, floating-point and of any shape, with dropout."""
        check_tensor("Dropout", x)
        return dropout(x, self.p, self.training, self.generator)


class Flatten(Module):
    """Merge all axes from `start_axis` on into one.

    Parameters
    ----------
    start_axis : int, default 1
        The first axis to merge.

    Raises
    ------
    ArgumentError
        If `start_axis` is not an integer.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Flatten()(ts.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_axis: int = 1) -> None:
        if isinstance(start_axis, bool) or not isinstance(start_axis, int | np.integer):
            raise ArgumentError(f"Flatten: expected start_axis to be an integer, got {start_axis!r}; pass e.g. 1.")
        self.start_axis = start_axis

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., A, B, C) as (..., A B C), where A is axis `start_axis`."""
        check_tensor("Flatten", x)
        kept = x.shape[: self.start_axis]
        return reshape(x, (*kept, math.prod(x.shape[len(kept) :])))


class Sequential(Module):
    """Apply layers one after the other. They are named "0", "1", ... as in PyTorch; ``model[0]`` returns the first.

    Parameters
    ----------
    *layers : Module or callable
        The layers; each gets the output of the one before.

    Raises
    ------
    ArgumentError
        If a layer is not callable.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> model = ts.nn.Sequential(ts.nn.Linear(3, 8), ts.nn.Tanh(), ts.nn.Linear(8, 2))
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *layers: Module) -> None:
        for position, layer in enumerate(layers):
            if not callable(layer):
                raise ArgumentError(
                    f"Sequential: expected layers, got {type(layer).__name__} at position {position}; "
                    "pass them one by one: Sequential(first, second)."
                )
            setattr(self, str(position), layer)

    def _layers(self) -> list[Module]:
        return [layer for name, layer in vars(self).items() if name.isdigit()]

    def __len__(self) -> int:
        return len(self._layers())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers())

    def __getitem__(self, position: int) -> Module:
        return self._layers()[position]

    def forward(self, x: Any) -> Any:
        """Return the output of the last layer for x, the input of the first."""
        for layer in self._layers():
            x = layer(x)
        return x


def _sizes(layer: str, shape: int | tuple[int, ...]) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    for size in sizes or (shape,):
        check_sizes(layer, normalized_shape=size)
    return sizes
