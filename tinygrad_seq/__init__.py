"""A deep-learning engine for sequence models on CPUs: write a cell's forward step, the gradients come by themselves."""

import importlib
from typing import TYPE_CHECKING, Any

from numpy import (
    bool_,
    e,
    finfo,
    float32,
    float64,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
)

# PyTorch's names of dtypes; not in __all__, so that a star import leaves Python's names as they are.
from numpy import bool_ as bool  # noqa: F401
from numpy import float32 as float  # noqa: F401
from numpy import float64 as double  # noqa: F401
from numpy import int16 as short  # noqa: F401
from numpy import int32 as int  # noqa: F401
from numpy import int64 as long  # noqa: F401

from . import data, errors, functional, metrics, nn, optim
from .autograd.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .autograd.creation import asarray as as_tensor
from .autograd.creation import asarray as from_numpy
from .autograd.draw_tape import draw
from .autograd.gradcheck import gradcheck
from .autograd.pytorch_protocol import explain_missing as _explain_missing
from .autograd.random import bernoulli, multinomial, rand, rand_like, randint, randn, randn_like, randperm
from .autograd.serialization import load, save
from .autograd.tagging import tag
from .autograd.tensor import Tensor
from .autograd.transforms.checkpointing import checkpoint
from .autograd.transforms.custom_gradient import custom_gradient
from .autograd.transforms.forward_mode import hvp, jvp
from .autograd.transforms.gradients import grad, value_and_grad, vjp
from .autograd.transforms.jacobians import hessian, jacobian
from .base.modes import (
    autocast,
    detect_anomaly,
    disable_compile,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .base.settings import default_dtype, get_num_threads, manual_seed, set_default_dtype, set_num_threads
from .errors import (
    AnomalyError,
    ArgumentError,
    CheckpointError,
    CompileError,
    CompileWarning,
    DataError,
    DtypeError,
    GradientError,
    GraphError,
    IndexRangeError,
    MissingAttributeError,
    ShapeError,
    TinygradSeqError,
    VerificationError,
)
from .functional import *  # noqa: F403
from .nn.quantization import quantize
from .rtrl import RTRL, grad_rtrl
from .scan import scan
from .verification import verify

if TYPE_CHECKING:
    from . import distributed as distributed
    from . import interop as interop
    from . import report as report
    from . import sklearn as sklearn
    from . import tasks as tasks
    from . import testing as testing
    from . import train as train
    from .train import fit as fit
else:

    def __getattr__(name: str) -> Any:
        """Import packages not loaded with this one (`testing` needs hypothesis); explain names of PyTorch's."""
        if name == "__array_namespace_info__":
            return importlib.import_module(".array_api", __name__).__array_namespace_info__
        if name in ("array_api", "distributed", "interop", "report", "sklearn", "tasks", "testing", "train"):
            return importlib.import_module(f".{name}", __name__)
        if name == "fit":
            return importlib.import_module(".train", __name__).fit
        raise _explain_missing(name) or AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"

__all__ = [
    "RTRL",
    "AnomalyError",
    "ArgumentError",
    "CheckpointError",
    "CompileError",
    "CompileWarning",
    "DataError",
    "DtypeError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "MissingAttributeError",
    "ShapeError",
    "Tensor",
    "TinygradSeqError",
    "VerificationError",
    "__version__",
    "arange",
    "as_tensor",
    "asarray",
    "autocast",
    "bernoulli",
    "bool_",
    "checkpoint",
    "custom_gradient",
    "data",
    "default_dtype",
    "detect_anomaly",
    "disable_compile",
    "draw",
    "e",
    "empty",
    "empty_like",
    "enable_grad",
    "errors",
    "eye",
    "finfo",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "get_num_threads",
    "grad",
    "grad_rtrl",
    "gradcheck",
    "hessian",
    "hvp",
    "iinfo",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "linspace",
    "load",
    "manual_seed",
    "metrics",
    "multinomial",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "pi",
    "quantize",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "save",
    "scan",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "tag",
    "tensor",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "value_and_grad",
    "verify",
    "vjp",
    "zeros",
    "zeros_like",
]
__all__ += functional.__all__


def __dir__() -> list[str]:
    return sorted([*__all__, "distributed", "fit", "interop", "report", "sklearn", "tasks", "train"])
