"""Loops over time that are differentiable: `scan`; and what it makes of a step: `program_of`."""

from .api import program_of, scan

__all__ = ["program_of", "scan"]
