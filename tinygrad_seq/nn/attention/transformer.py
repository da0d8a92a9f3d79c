"""The encoder of a Transformer, and sinusoidal positions, with PyTorch's arguments and parameter names."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ...autograd.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import activation as activations
from ..checks import check_features, check_sizes, check_switches
from ..containers import ModuleList
from ..layers import Dropout, LayerNorm, Linear
from ..module.module import Module
from .multihead import MultiheadAttention

_ACTIVATIONS: dict[Any, Callable[[Tensor], Any]] = {"relu": activations.relu, "gelu": activations.gelu}


class TransformerEncoderLayer(Module):
    """Self-attention and a network of two layers, each with a residual and a norm (Vaswani et al., 2017).

    As `torch.nn.TransformerEncoderLayer`: ``x = norm1(x + attention(x))``, ``x = norm2(x + linear2(act(linear1(x))))``,
    with dropout after each part; with `norm_first` ``x = x + attention(norm1(x))`` and so on.

    Parameters
    ----------
    d_model : int
        E, the number of features.
    nhead : int
        The number of heads, a divisor of E.
    dim_feedforward : int, default 2048
        The size between the two linear layers.
    dropout : float, default 0.1
        The probability of dropping an element, in training.
    activation : {"relu", "gelu"} or callable, default "relu"
        The function between the two linear layers.
    layer_norm_eps : float, default 1e-5
        Added to the variances.
    batch_first : bool, default False
        Whether arrays are (N, T, E) instead of (T, N, E).
    norm_first : bool, default False
        Whether each part reads the normalised input, and the sum is not normalised.
    bias : bool, default True
        Whether linear layers and norms have a bias.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    self_attn : MultiheadAttention
    linear1, linear2 : Linear
    norm1, norm2 : LayerNorm

    Raises
    ------
    ArgumentError, DtypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> layer = ts.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
    >>> layer(ts.randn(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        check_switches(name, norm_first=norm_first)
        if not callable(activation) and activation not in _ACTIVATIONS:
            raise ArgumentError(
                f"{name}: expected activation 'relu', 'gelu' or a function, got {activation!r}; pass one of them."
            )
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = activation

    def forward(
        self,
        src: Tensor,
        src_mask: ArrayLike | None = None,
        src_key_padding_mask: ArrayLike | None = None,
        is_causal: bool = False,
        *,
        lengths: ArrayLike | None = None,
    ) -> Tensor:
        """Return the encoded sequences.

        Parameters
        ----------
        src : Tensor
            (T, N, E), (N, T, E) with `batch_first`, or (T, E).
        src_mask, src_key_padding_mask, is_causal, lengths : optional
            `attn_mask`, `key_padding_mask`, `is_causal` and `lengths` of `MultiheadAttention`.

        Returns
        -------
        Tensor
            Like `src`.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an array or a mask has another shape or dtype.
        """
        check_features(type(self).__name__, src, self.linear1.in_features, self.linear1.weight.dtype)

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, True, is_causal, lengths)
            return self.dropout1(y)

        def feed(x: Tensor) -> Tensor:
            function: Any = self.activation if callable(self.activation) else _ACTIVATIONS[self.activation]
            return self.dropout2(self.linear2(self.dropout(function(self.linear1(x)))))

        if self.norm_first:
            src = src + attend(self.norm1(src))
            return src + feed(self.norm2(src))
        src = self.norm1(src + attend(src))
        return self.norm2(src + feed(src))


class TransformerEncoder(Module):
    """A stack of encoder layers, as `torch.nn.TransformerEncoder`.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        The layer that is copied, with its values.
    num_layers : int
        The number of copies.
    norm : Module, optional
        Applied to the output of the last layer.
    enable_nested_tensor, mask_check : bool
        Not read: they choose how PyTorch computes.

    Raises
    ------
    ArgumentError
        If `encoder_layer` is not a module, or `num_layers` not an integer >= 1.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> encoder = ts.nn.TransformerEncoder(ts.nn.TransformerEncoderLayer(8, 2, 16), num_layers=2)
    >>> encoder(ts.randn(5, 3, 8), lengths=[5, 4, 2]).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        if not isinstance(encoder_layer, Module):
            raise ArgumentError(
                f"TransformerEncoder: expected a TransformerEncoderLayer, got {type(encoder_layer).__name__}; pass one."
            )
        check_sizes("TransformerEncoder", num_layers=num_layers)
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Tensor,
        mask: ArrayLike | None = None,
        src_key_padding_mask: ArrayLike | None = None,
        is_causal: bool | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> Tensor:
        """Return the encoded sequences.

        Parameters
        ----------
        src : Tensor
            As in `TransformerEncoderLayer.forward`.
        mask, src_key_padding_mask, is_causal, lengths : optional
            The same for each layer; `mask` is its `src_mask`.

        Returns
        -------
        Tensor
            Like `src`.
        """
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal), lengths=lengths)
        return src if self.norm is None else self.norm(src)


class PositionalEncoding(Module):
    """Add sines and cosines of the position to the features, then drop out (Vaswani et al., 2017).

    Feature 2i of step t gets ``sin(t / 10000^(2i / E))``, feature 2i + 1 the cosine.

    Parameters
    ----------
    d_model : int
        E, the number of features.
    dropout : float, default 0.1
        The probability of dropping an element of the sum, in training.
    max_len : int, default 5000
        The largest number of steps.
    batch_first : bool, default False
        Whether arrays are (N, T, E) instead of (T, N, E).

    Attributes
    ----------
    pe : Buffer
        (max_len, 1, E).

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `dropout` not a probability.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.PositionalEncoding(4, dropout=0.0)(ts.zeros((2, 1, 4)))[1].numpy().round(3)
    array([[0.841, 0.54 , 0.01 , 1.   ]], dtype=float32)
    """

    def __init__(self, d_model: int, dropout: float = 0.1, max_len: int = 5000, batch_first: bool = False) -> None:
        check_sizes("PositionalEncoding", d_model=d_model, max_len=max_len)
        check_switches("PositionalEncoding", batch_first=batch_first)
        self.dropout, self.batch_first = Dropout(dropout), batch_first
        angles = np.arange(max_len)[:, None] * np.exp(np.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        table = np.empty((max_len, 1, d_model))
        table[:, 0, 0::2], table[:, 0, 1::2] = np.sin(angles), np.cos(angles)[:, : d_model // 2]
        self.register_buffer("pe", table)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with the positions added.

        Parameters
        ----------
        x : Tensor
            (T, N, E), or (N, T, E) with `batch_first`.

        Returns
        -------
        Tensor
            Like x.

        Raises
        ------
        ShapeError, DtypeError
            If x has another shape or dtype, or more steps than `max_len`.
        """
        pe = self.get_buffer("pe")
        check_features("PositionalEncoding", x, pe.shape[2], pe.dtype)
        T = x.shape[1 if self.batch_first else 0] if x.ndim == 3 else -1
        if not 0 <= T <= len(pe):
            axes = "(N, T, E)" if self.batch_first else "(T, N, E)"
            raise ShapeError(
                f"PositionalEncoding: expected x {axes} of at most {len(pe)} steps, got {x.shape} {x.dtype}; reshape "
                "it, or raise max_len."
            )
        return self.dropout(x + (pe[:T, 0] if self.batch_first else pe[:T]))
