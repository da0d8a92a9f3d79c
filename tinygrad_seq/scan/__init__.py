"""Differentiable loops over time: `scan`; the program compiled from a step: `program_of`."""

from .api import program_of, scan
from .run.segments import Remember, check_remember

__all__ = ["Remember", "check_remember", "program_of", "scan"]


def __dir__() -> list[str]:
    return __all__
