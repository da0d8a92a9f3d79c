"""Options of recurrent layers, each a function from a step to a step, for any cell: see README.md."""

from .hold import hold
from .inputs import Arrays, Inputs, InputStep, Leaves, Outputs, per_row
from .observe import observe
from .recurrent_dropout import draw_drop_connect, draw_recurrent, drop_in_products
from .reset import find_restarts, restart
from .zoneout import check_zoneout, draw_zoneout, zoneout

__all__ = [
    "Arrays",
    "InputStep",
    "Inputs",
    "Leaves",
    "Outputs",
    "check_zoneout",
    "draw_drop_connect",
    "draw_recurrent",
    "draw_zoneout",
    "drop_in_products",
    "find_restarts",
    "hold",
    "observe",
    "per_row",
    "restart",
    "zoneout",
]
