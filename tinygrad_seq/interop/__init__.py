"""Models of other libraries in and out: Keras, PyTorch, ONNX, and the folders of a model hub."""

from .onnx_import import from_onnx

__all__ = ["from_onnx"]


def __dir__() -> list[str]:
    return __all__
