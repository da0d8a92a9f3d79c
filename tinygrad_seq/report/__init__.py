"""Plots of training runs and recurrent layers: loss curves in the terminal or as PNG, states over time as PNG."""

from .curve import draw_curves, save_curves
from .time_xray import gradient_reach, time_xray

__all__ = ["draw_curves", "gradient_reach", "save_curves", "time_xray"]


def __dir__() -> list[str]:
    return __all__
