"""Layers without a recurrent state: Linear, Embedding, norms, Dropout, Flatten, as in PyTorch."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..autograd.creation import ones, zeros
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.comparison import equal, where
from ..ops.indexing import embedding
from ..ops.linear import linear
from ..ops.normalisation import dropout, layer_norm, rms_norm
from ..ops.shape import expand_dims, flatten
from .checks import (
    IN_PLACE,
    check_features,
    check_numbers,
    check_probability,
    check_sizes,
    check_switches,
    check_tensor,
    refuse,
)
from .init import normal_, ones_, uniform_, zeros_
from .module.module import Module
from .module.parameter import Parameter
from .module.placement import check_placement
from .module.quantised import Int8Table

__all__ = ["Dropout", "Embedding", "Flatten", "LayerNorm", "Linear", "RMSNorm"]


class Linear(Module):
    """An affine map of the last axis: ``x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        I and O.
    bias : bool, default True
        Whether there is a bias.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight : Parameter
        (O, I), uniform in ±1/sqrt(I).
    bias : Parameter or None
        (O,), uniform in ±1/sqrt(I).

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, `bias` not a bool, or `device` another one.
    DtypeError
        If `dtype` is another one.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Linear(3, 4)(ts.ones((5, 2, 3))).shape
    (5, 2, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        check_switches("Linear", bias=bias)
        check_placement("Linear", device, dtype)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(zeros((out_features, in_features), dtype))
        self.bias = Parameter(zeros(out_features, dtype)) if bias else None
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
    max_norm : None
        Vectors are not renormalised in a look-up.
    norm_type : float, default 2.0
        Not read, without `max_norm`.
    scale_grad_by_freq : bool, default False
        False only: gradients are not divided by the number of look-ups.
    sparse : bool, default False
        False only: gradients are dense.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight : Parameter
        (V, H), standard normal.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, `padding_idx` not an index of the table, or an option of PyTorch is asked for
        that this layer does not have.
    DtypeError
        If `dtype` is another one.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Embedding(10, 4)(ts.tensor([[1, 2, 9]])).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and padding_idx not in range(-num_embeddings, num_embeddings):
            raise ArgumentError(
                f"Embedding: expected padding_idx from {-num_embeddings} to {num_embeddings - 1}, got {padding_idx!r}; "
                "pass one of the indices of the vocabulary, or None."
            )
        check_placement("Embedding", device, dtype)
        refuse("Embedding", "after optimizer.step() scale the rows of weight", max_norm=max_norm)
        refuse("Embedding", "leave it out", scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(zeros((num_embeddings, embedding_dim), dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: ArrayLike, freeze: bool = True, padding_idx: int | None = None) -> Self:
        """Return a layer with the given table.

        Parameters
        ----------
        embeddings : array_like
            (V, H), floating-point; copied.
        freeze : bool, default True
            Whether the table is not trained.
        padding_idx : int, optional
            The index of a vector that is not trained; its values stay as they are given.

        Returns
        -------
        Embedding
            The layer.

        Raises
        ------
        ShapeError
            If the table is not a matrix.
        """
        table = Parameter(embeddings, not freeze)
        if table.ndim != 2:
            raise ShapeError(
                f"Embedding.from_pretrained: expected a table (V, H), got {table.shape} {table.dtype}; reshape it."
            )
        layer = cls(len(table), table.shape[1], padding_idx, dtype=table.dtype)
        layer.weight = table
        return layer

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
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight, bias : Parameter or None
        Of shape `normalized_shape`, initially ones and zeros.

    Raises
    ------
    ArgumentError, DtypeError
        If a size is not an integer >= 1, `eps` not a number >= 0, a switch not a bool, or `device` or `dtype` another.

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
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        check_placement("LayerNorm", device, dtype)
        check_numbers("LayerNorm", 0, np.inf, eps=eps)
        check_switches("LayerNorm", elementwise_affine=elementwise_affine, bias=bias)
        self.normalized_shape, self.eps = _sizes("LayerNorm", normalized_shape), eps
        self.weight = Parameter(ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

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
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight : Parameter or None
        Of shape `normalized_shape`, initially ones.

    Raises
    ------
    ArgumentError, DtypeError
        If a size is not an integer >= 1, `eps` not a number >= 0, a switch not a bool, or `device` or `dtype` another.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.RMSNorm(2)(ts.tensor([3.0, -3.0])).numpy()
    array([ 1., -1.], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        check_placement("RMSNorm", device, dtype)
        if eps is not None:
            check_numbers("RMSNorm", 0, np.inf, eps=eps)
        check_switches("RMSNorm", elementwise_affine=elementwise_affine)
        self.normalized_shape, self.eps = _sizes("RMSNorm", normalized_shape), eps
        self.weight = Parameter(ones(self.normalized_shape, dtype)) if elementwise_affine else None

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
    inplace : bool, default False
        False only: x is not changed.
    generator : numpy.random.Generator, optional
        Draws the masks; by default the generator that `manual_seed` seeds.

    Raises
    ------
    ArgumentError
        If `p` is not in [0, 1], or `inplace` not False.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Dropout(0.5).eval()(ts.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, generator: np.random.Generator | None = None) -> None:
        check_probability("Dropout", p=p)
        refuse("Dropout", IN_PLACE, inplace=inplace)
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        """Return x, floating-point and of any shape, with dropout."""
        check_tensor("Dropout", x)
        return dropout(x, self.p, self.training, self.generator)


class Flatten(Module):
    """Merge the axes from `start_dim` to `end_dim`, both included, into one.

    Parameters
    ----------
    start_dim, end_dim : int, default 1 and -1
        The first and the last axis to merge.
    start_axis : int, optional
        Another name of `start_dim`.

    Raises
    ------
    ArgumentError
        If an axis is not an integer.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Flatten()(ts.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1, *, start_axis: int | None = None) -> None:
        self.start_dim, self.end_dim = start_dim if start_axis is None else start_axis, end_dim
        for name, axis in (("start_dim", self.start_dim), ("end_dim", end_dim)):
            if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
                raise ArgumentError(f"Flatten: expected {name} to be an integer, got {axis!r}; pass e.g. 1.")

    def forward(self, x: Tensor) -> Tensor:
        """Return x (A, B, C) as (A, B C), if these are the axes.

        Parameters
        ----------
        x : Tensor
            Of any dtype.

        Returns
        -------
        Tensor
            With one axis in place of those that are merged.

        Raises
        ------
        ArgumentError, IndexRangeError
            If x has no such axes.
        """
        check_tensor("Flatten", x)
        return flatten(x, self.start_dim, self.end_dim)


def _sizes(layer: str, shape: int | tuple[int, ...]) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    for size in sizes or (shape,):
        check_sizes(layer, normalized_shape=size)
    return sizes
