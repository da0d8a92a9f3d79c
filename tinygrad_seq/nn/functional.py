"""Functions of networks, under PyTorch's names.

All but the sequence losses, `ctc_loss` and those of `pytorch_functions`, which have PyTorch's arguments, are in
`tinygrad_seq` too.
"""

from __future__ import annotations

from ..functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    conv1d,
    dropout,
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardtanh,
    huber_loss,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    linear_cross_entropy,
    logsigmoid,
    mse_loss,
    relu,
    relu6,
    rms_norm,
    sigmoid,
    silu,
    smooth_l1_loss,
    softsign,
    tanh,
)
from .losses.ctc import ctc_loss
from .losses.sequence_loss import sequence_cross_entropy, sequence_loss
from .pytorch_functions import (
    cosine_similarity,
    cross_entropy,
    embedding,
    log_softmax,
    nll_loss,
    normalize,
    one_hot,
    pad,
    softmax,
    softplus,
)
from .scaled_dot_product import scaled_dot_product_attention

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardtanh",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_cross_entropy",
    "log_softmax",
    "logsigmoid",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "sequence_cross_entropy",
    "sequence_loss",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]
