"""Models of other libraries in and out: Keras, PyTorch, ONNX, and the folders of a model hub."""

from .onnx_export.to_onnx import to_onnx
from .onnx_import import from_onnx

__all__ = ["from_onnx", "to_onnx"]


def __dir__() -> list[str]:
    return __all__
