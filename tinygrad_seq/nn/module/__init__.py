"""`Module` and what belongs to it: parameters, buffers, summary, re-initialisation."""

from .module import Module
from .parameter import Buffer, Parameter

__all__ = ["Buffer", "Module", "Parameter"]
