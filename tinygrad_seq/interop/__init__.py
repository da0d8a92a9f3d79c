"""Models of other libraries in, and out: Keras, PyTorch, ONNX, and the folder of a model hub. None of them is needed."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
