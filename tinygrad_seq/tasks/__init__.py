"""Classify, tag, regress and forecast sequences: models of texts and numbers from Python lists; README.md shows how."""

from .columns import guess_kind
from .fitted import FittedTask, fit_task
from .forecasting import Forecaster, ForecastScore, ForecastSettings, fit_forecast
from .scores import Evaluation
from .task_settings import TaskSettings

__all__ = [
    "Evaluation",
    "FittedTask",
    "ForecastScore",
    "ForecastSettings",
    "Forecaster",
    "TaskSettings",
    "fit_forecast",
    "fit_task",
    "guess_kind",
]


def __dir__() -> list[str]:
    return __all__
