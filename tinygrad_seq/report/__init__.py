"""What happened, drawn: loss curves in the terminal and as PNG, the inside of recurrent layers as PNG."""

from .curve import draw_curves, save_curves
from .time_xray import gradient_reach, time_xray

__all__ = ["draw_curves", "gradient_reach", "save_curves", "time_xray"]


def __dir__() -> list[str]:
    return __all__
