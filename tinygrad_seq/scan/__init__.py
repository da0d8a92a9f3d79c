"""Differentiable loops over time: `scan`, or several side by side; the program compiled from a step: `program_of`."""

from .api import begin_scan, program_of, run_scans, scan
from .run.segments import Remember, check_remember

__all__ = ["Remember", "begin_scan", "check_remember", "program_of", "run_scans", "scan"]


def __dir__() -> list[str]:
    return __all__
