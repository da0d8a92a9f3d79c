"""Loops over time that are differentiable: `scan`."""

from .api import scan

__all__ = ["scan"]
