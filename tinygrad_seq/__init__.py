"""A deep-learning engine for sequence models on CPUs: write a cell's forward step, the gradients come by themselves."""

from . import data, nn, optim
from .config import default_dtype, get_num_threads, manual_seed, set_default_dtype, set_num_threads
from .creation import (
    arange,
    asarray,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    tensor,
    zeros,
    zeros_like,
)
from .functional import *  # noqa: F403
from .gradcheck import gradcheck
from .gradients import grad, hvp, jvp, value_and_grad, vjp
from .modes import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .scan import scan
from .serialization import load, save
from .tensor import Tensor

__version__ = "0.1.0"

__all__ = [  # and the public functions, which the star brings in
    "Tensor",
    "__version__",
    "arange",
    "asarray",
    "data",
    "default_dtype",
    "detect_anomaly",
    "enable_grad",
    "eye",
    "full",
    "full_like",
    "get_num_threads",
    "grad",
    "gradcheck",
    "hvp",
    "is_grad_enabled",
    "jvp",
    "linspace",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "rand",
    "randint",
    "randn",
    "save",
    "scan",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "tensor",
    "value_and_grad",
    "vjp",
    "zeros",
    "zeros_like",
]
