"""What a process does when something happens to it: it starts a run, replaces one, continues one, or goes back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.soak.trial import Trial, check
from tinygrad_seq.train import Run


class Situation(NamedTuple):
    """How a situation is prepared, and the options of the process in it."""

    prepare: Callable[[Trial, str], None]
    options: Callable[[Trial, str], list[str]]


def _nothing(trial: Trial, profile: str) -> None:
    pass


def _finished(trial: Trial, profile: str) -> None:
    shutil.copytree(trial.straight(profile), trial.run)


def _half(trial: Trial, profile: str) -> None:
    """Copy a run that was killed in the middle."""
    half = trial.references / f"{profile}-half"
    if not (half / "run").exists():
        other = Trial(half, trial.references, 0)
        listed = operations(other, "start", profile)
        first = next(number for number, operation in enumerate(listed, 1) if "/step-" in operation)
        number = max(first + 1, len(listed) * 2 // 3)
        other.train(*other.settings(profile), at=("kill", number))
    shutil.copytree(half / "run", trial.run)


def _older(trial: Trial) -> str:
    return Run.open(trial.run).checkpoints()[1].stem


SITUATIONS = {
    "start": Situation(_nothing, lambda trial, profile: trial.settings(profile)),
    "force": Situation(_finished, lambda trial, profile: trial.settings(profile, "--seed", "1", "--force")),
    "resume": Situation(_half, lambda trial, profile: ["--resume"]),
    "back": Situation(_finished, lambda trial, profile: ["--resume", "--checkpoint", _older(trial)]),
}


def prepare(trial: Trial, situation: str, profile: str) -> list[str]:
    """Prepare the folder of a trial and return the options of ``train``."""
    SITUATIONS[situation].prepare(trial, profile)
    return SITUATIONS[situation].options(trial, profile)


def operations(trial: Trial, situation: str, profile: str) -> list[str]:
    """Return the operations on files of a process in a situation; they are listed once per folder of references."""
    log = trial.references / f"{situation}-{profile}.operations"
    if not log.exists():
        other = Trial(trial.references / f"{situation}-{profile}-listed", trial.references, 0)
        options = prepare(other, situation, profile)
        log.write_text("\n".join(other.operations("train", "--out", str(other.run), *options)), encoding="utf-8")
        shutil.rmtree(other.folder)
    return log.read_text(encoding="utf-8").splitlines()


def draw_operation(trial: Trial, situation: str, profile: str) -> tuple[int, str]:
    """Draw a kind of operation, then one of that kind: its number and its words."""
    listed = operations(trial, situation, profile)
    kinds: dict[str, list[int]] = {}
    for number, operation in enumerate(listed, 1):
        kinds.setdefault(re.sub(r"\d+", "0", operation), []).append(number)
    number = trial.rng.choice(kinds[trial.rng.choice(sorted(kinds))])
    return number, listed[number - 1]


def complete(trial: Trial, situation: str, profile: str) -> str:
    """Continue after an end at any moment, and raise a SoakError unless the run ends as an uninterrupted one."""
    settings = trial.settings(profile)
    straight = trial.straight(profile)
    if situation == "force":
        check(trial.run.exists(), f"the old run is gone: {sorted(path.name for path in trial.folder.iterdir())}")
        shown = trial.command("info", str(trial.run))
        check(shown.code == 0, f"neither the old nor the new run can be read: {shown}")
        if Run.open(trial.run).config.seed == 0:
            trial.check_equal(straight, temporary=True)
            return "the old run is intact"
        settings, straight = trial.settings(profile, "--seed", "1"), trial.straight(profile, "--seed", "1")
    how = trial.finish(settings)
    trial.check_equal(straight, temporary=how == "had finished")
    return how


def kept(path: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return sorted(each.relative_to(path).as_posix() for each in path.rglob("*"))
