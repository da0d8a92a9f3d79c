"""Modules that do what Keras's layers do: batch first, with masks that pass from layer to layer."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..autograd.creation import ones
from ..autograd.tensor import Tensor
from ..nn import BatchNorm1d, Conv1d, Dropout, Embedding, Flatten, Module
from ..nn.recurrence.layer import SequenceLayer
from ..ops.comparison import where
from ..ops.edges import pad
from ..ops.extrema import max
from ..ops.joining import concat, split
from ..ops.normalisation import dropout
from ..ops.reduction import mean, sum
from ..ops.shape import broadcast_to, expand_dims, flip, reshape, swapaxes
from .general_cells import Activation, activate

Mask = np.ndarray | None


class Masked(Module):
    """Base of modules that read or make a mask (N, T), true at valid steps."""

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """Return the output, and the mask of the next layer."""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """Return the output of the layer without a mask of earlier layers."""
        return self.run(x, None)[0]


class Chain(Masked):
    """Layers one after the other, with Keras's masks; it stands for a ``Sequential`` or for a functional model.

    Attributes
    ----------
    layers : dict of Module
        The layers by their names in Keras.
    """

    def __init__(self, layers: Mapping[str, Module]) -> None:
        self.layers = dict(layers)

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        for layer in self.layers.values():
            if isinstance(layer, Masked):
                x, mask = layer.run(x, mask)
            else:
                x = layer(x)
                mask = None if isinstance(layer, Flatten) else mask
        return x, mask

    def forward(self, x: Any) -> Any:
        """Return the output for x: indices (N, T), or features (N, T, I) or (N, I), cast to the dtype of the model."""
        x = x if hasattr(x, "dtype") else np.asarray(x)
        own = next((parameter.dtype for parameter in self.parameters()), x.dtype)
        if x.dtype != own and not isinstance(next(iter(self.layers.values()), None), KerasEmbedding):
            x = x.astype(own)
        return super().forward(x)


class KerasEmbedding(Masked):
    """An embedding, and a mask of the indices that are not 0 with `mask_zero`."""

    def __init__(self, embedding: Embedding, mask_zero: bool) -> None:
        self.embedding, self.mask_zero = embedding, mask_zero

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        ids = x if hasattr(x, "dtype") else np.asarray(x)
        ids = ids.astype(np.int64) if ids.dtype.kind == "f" else ids
        return self.embedding(ids), _known(ids) != 0 if self.mask_zero else None


class Masking(Masked):
    """A mask of the steps that have a feature other than `mask_value`; the other steps are set to 0."""

    def __init__(self, mask_value: float) -> None:
        self.mask_value = mask_value

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        found = (_known(x) != self.mask_value).any(axis=-1)
        return where(found[..., None], x, 0 * x), found


def _known(x: Any) -> np.ndarray:
    """Return the values of an input, which decide which steps are valid."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


class KerasRecurrent(Masked):
    """A recurrent layer with the outputs that Keras returns.

    Attributes
    ----------
    layer : SequenceLayer
        The layer, batch first, with one or two directions.
    return_sequences : bool
        Whether to return all outputs, in the order in which they were made, or the last one.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        How the outputs of two directions are combined.
    zero_output_for_mask : bool
        Whether the outputs at masked steps are 0; otherwise they are those of the step before.
    """

    def __init__(
        self,
        layer: SequenceLayer,
        return_sequences: bool = True,
        merge_mode: str | None = "concat",
        zero_output_for_mask: bool = False,
    ) -> None:
        self.layer, self.return_sequences, self.merge_mode = layer, return_sequences, merge_mode
        self.zero_output_for_mask = zero_output_for_mask

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        layer = self.layer
        ys, state = layer(x, mask=mask)[:2]
        if self.return_sequences:
            parts = split(ys, 2, axis=-1) if layer.bidirectional else (ys,)
            if layer.options["go_backwards"]:
                parts = (flip(ys, 1),)
        else:
            finals = layer._split(state, len(x))
            parts = tuple(final[0] if isinstance(final, tuple | list) else final for final in finals)
            if self.zero_output_for_mask and mask is not None and not layer.bidirectional:
                last = mask[:, 0 if layer.options["go_backwards"] else -1]
                parts = (where(last[:, None], parts[0], 0 * parts[0]),)
        return self._merge(parts), mask if self.return_sequences else None

    def _merge(self, parts: tuple[Any, ...]) -> Any:
        if len(parts) == 1:
            return parts[0]
        forward, backward = parts
        if self.merge_mode is None:
            return forward, backward
        if self.merge_mode == "concat":
            return concat(parts, axis=-1)
        if self.merge_mode == "mul":
            return forward * backward
        return (forward + backward) * (0.5 if self.merge_mode == "ave" else 1)


class Activate(Module):
    """An activation function as a module."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def forward(self, x: Tensor) -> Any:
        """Return the value of the function at x, of any shape."""
        return activate(self.activation, x)


class SpatialDropout(Dropout):
    """Dropout of whole features: one mask for all steps of a sequence."""

    def forward(self, x: Tensor) -> Any:
        """Return x (N, T, I) with dropout."""
        if not self.training or not self.p:
            return x
        return x * dropout(ones((x.shape[0], 1, x.shape[2]), x.dtype), self.p, True, self.generator)


class Repeat(Masked):
    """``RepeatVector``: (N, I) as `count` equal steps (N, T, I)."""

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        return broadcast_to(expand_dims(x, 1), (x.shape[0], self.count, x.shape[1])), None


class KerasConv(Masked):
    """``Conv1D``: a convolution over time of (N, T, I), with Keras's padding."""

    def __init__(self, conv: Conv1d, padding: str) -> None:
        self.conv, self.padding = conv, padding

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        size, stride, dilation = self.conv.kernel_size, self.conv.stride, self.conv.dilation
        span, T = (size - 1) * dilation + 1, x.shape[1]
        before = after = 0
        if self.padding == "causal":
            before = span - 1
        elif self.padding == "same":
            total = builtins.max((-(-T // stride) - 1) * stride + span - T, 0)
            before, after = total // 2, total - total // 2
        padded = pad(x, ((0, 0), (before, after), (0, 0))) if before or after else x
        return swapaxes(self.conv(swapaxes(padded, 1, 2)), 1, 2), None


class KerasBatchNorm(Masked):
    """``BatchNormalization`` of the last axis."""

    def __init__(self, norm: BatchNorm1d) -> None:
        self.norm = norm

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        y = self.norm(x) if x.ndim == 2 else swapaxes(self.norm(swapaxes(x, 1, 2)), 1, 2)
        return y, mask


class PoolSteps(Masked):
    """``MaxPooling1D`` and ``AveragePooling1D`` of `size` steps each; steps that are left over are dropped."""

    def __init__(self, how: str, size: int) -> None:
        self.how, self.size = how, size

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        N, T, I = x.shape
        count = T // self.size
        blocks = reshape(x[:, : count * self.size], (N, count, self.size, I))
        return (max if self.how == "max" else mean)(blocks, axis=2), None


class Pool(Masked):
    """The maximum over time, or the mean over the valid steps: ``GlobalMaxPooling1D``, ``GlobalAveragePooling1D``."""

    def __init__(self, how: str) -> None:
        self.how = how

    def run(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        if self.how == "max":
            return max(x, axis=1), None
        if mask is None:
            return mean(x, axis=1), None
        weights = mask[..., None].astype(x.dtype)
        return sum(x * weights, axis=1) / weights.sum(axis=1), None
