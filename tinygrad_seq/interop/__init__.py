"""Models of other libraries in and out: Keras, PyTorch, ONNX, and the folders of a model hub."""

from .hub import from_hub, to_hub
from .keras_models import from_keras, to_keras
from .onnx_export.to_onnx import to_onnx
from .onnx_import import from_onnx
from .torch_weights import from_pytorch, to_pytorch

__all__ = [
    "from_hub",
    "from_keras",
    "from_onnx",
    "from_pytorch",
    "to_hub",
    "to_keras",
    "to_onnx",
    "to_pytorch",
]


def __dir__() -> list[str]:
    return __all__
