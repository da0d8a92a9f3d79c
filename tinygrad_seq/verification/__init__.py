"""`verify` checks the values and gradients of a cell, layer, step or module and returns a certificate."""

from .certificate import Certificate, Check
from .runner import verify

__all__ = ["Certificate", "Check", "verify"]


def __dir__() -> list[str]:
    return __all__
