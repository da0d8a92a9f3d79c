"""Reports on training runs and recurrent layers: an HTML page, TensorBoard events, curves and heat maps."""

from .curve import draw_curves, save_curves
from .html_report import html
from .live import Live
from .tensorboard import TensorBoard
from .time_xray import gradient_reach, time_xray

__all__ = ["Live", "TensorBoard", "draw_curves", "gradient_reach", "html", "save_curves", "time_xray"]


def __dir__() -> list[str]:
    return __all__
