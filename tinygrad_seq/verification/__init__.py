"""`verify`: the certificate of a cell, a layer, a step or a module."""

from .certificate import Certificate, Check
from .runner import verify

__all__ = ["Certificate", "Check", "verify"]


def __dir__() -> list[str]:
    return __all__
