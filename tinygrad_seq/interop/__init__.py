"""Models of other libraries in and out: Keras, PyTorch, ONNX, and the folders of a model hub."""

from .keras_models import from_keras, to_keras
from .onnx_export.to_onnx import to_onnx
from .onnx_import import from_onnx

__all__ = ["from_keras", "from_onnx", "to_keras", "to_onnx"]


def __dir__() -> list[str]:
    return __all__
