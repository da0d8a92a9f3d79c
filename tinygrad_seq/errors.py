"""Every error that this package raises on purpose.

Each class also inherits from the built-in exception that a Python or NumPy user would expect, so ``except ValueError``
keeps working. A message has four parts: what was called, what was expected, what was received (with shape and dtype),
and what to do.
"""

from __future__ import annotations

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "CheckpointError",
    "CompileError",
    "CompileWarning",
    "DataError",
    "DtypeError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "MissingAttributeError",
    "ShapeError",
    "TinygradSeqError",
    "VerificationError",
]


class TinygradSeqError(Exception):
    """Base of every error raised on purpose; the command line prints these as one line."""


class ShapeError(TinygradSeqError, ValueError):
    """Operands whose shapes do not fit each other or the operation."""


class DtypeError(TinygradSeqError, TypeError):
    """An array whose dtype the operation does not accept."""


class ArgumentError(TinygradSeqError, ValueError):
    """An option or argument outside what the function accepts."""


class CompileError(ArgumentError):
    """A scan step cannot be compiled; the message names the line and the reason."""


class CompileWarning(UserWarning):
    """A scan step cannot be compiled and runs eagerly."""


class IndexRangeError(TinygradSeqError, IndexError):
    """An index outside the array, table or vocabulary it points into."""


class MissingAttributeError(TinygradSeqError, AttributeError):
    """An attribute or method that tensors do not have; the message says what to write."""


class GraphError(TinygradSeqError, RuntimeError):
    """A backward pass that cannot run: no graph, a freed graph, or an output that is not a scalar."""


class GradientError(TinygradSeqError, AssertionError):
    """`gradcheck` found an analytic gradient that differs from finite differences."""


class VerificationError(TinygradSeqError, AssertionError):
    """A check of `verify` failed; the message names it and the smallest case in which it fails."""


class AnomalyError(TinygradSeqError, ArithmeticError):
    """`detect_anomaly` saw the first NaN or infinity; the message names the operation and the user's line.

    Attributes
    ----------
    place
        The position in a recurrent model, such as ``LSTMCell, layer 1, step 17, row 3``; empty outside one.
    text
        The message without the place.
    """

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(f"{place}: {text}" if place else text)
        self.text, self.place = text, place


class DataError(TinygradSeqError, ValueError):
    """A corpus, vocabulary or batch that cannot be used as requested."""


class CheckpointError(TinygradSeqError, OSError):
    """A file or run folder that cannot be read or written."""
