"""Training of any model with `fit`, and of language models; README.md in this folder shows the parts."""

from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .fit_run import Callback
from .fitting import fit
from .history import History, print_row
from .language_model import LanguageModel
from .loop import TrainingSteps, evaluate
from .measuring import measure
from .run import Run
from .run_folder import RunFolder
from .sampling import choose_token
from .session import Session
from .stopping import EarlyStopping, graceful_stop
from .updates import Step

__all__ = [
    "Callback",
    "EarlyStopping",
    "History",
    "LanguageModel",
    "Run",
    "RunFolder",
    "Session",
    "Step",
    "TrainingConfig",
    "TrainingSteps",
    "choose_token",
    "evaluate",
    "fit",
    "graceful_stop",
    "load_checkpoint",
    "measure",
    "print_row",
    "save_checkpoint",
]


def __dir__() -> list[str]:
    return __all__
