"""What happened, drawn: loss curves in the terminal and as PNG."""

from .curve import draw_curves, save_curves

__all__ = ["draw_curves", "save_curves"]
