"""Training, sampling and scoring of language models; README.md in this folder shows the loop."""

from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .language_model import LanguageModel
from .loop import TrainingSteps, evaluate
from .run import Run
from .run_folder import RunFolder
from .sampling import choose_token
from .session import Session
from .stopping import EarlyStopping, graceful_stop
from .updates import Step

__all__ = [
    "EarlyStopping",
    "LanguageModel",
    "Run",
    "RunFolder",
    "Session",
    "Step",
    "TrainingConfig",
    "TrainingSteps",
    "choose_token",
    "evaluate",
    "graceful_stop",
    "load_checkpoint",
    "save_checkpoint",
]


def __dir__() -> list[str]:
    return __all__
