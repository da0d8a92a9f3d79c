"""Models of other libraries in and out: Keras, PyTorch, ONNX, and the folders of a model hub."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
