"""`kill -9` at any moment, then --resume."""

from __future__ import annotations

from tests.soak.situations import complete, draw_operation, prepare
from tests.soak.trial import Trial


def random_kill(trial: Trial) -> str:
    """Kill a run at a random moment, sometimes the one that continues it too."""
    profile = trial.draw_profile()
    trial.straight(profile)
    options = trial.settings(profile)
    for _ in range(trial.rng.choice((1, 1, 2))):
        process = trial.start("train", "--out", str(trial.run), *options)
        trial.wait_at_random(process, profile)
        process.kill()
        trial.wait(process)
        if not [*trial.run.glob("checkpoints/step-*")]:
            break
        options = ["--resume"]
    return f"{profile}: {complete(trial, 'start', profile)}"


def aimed_kill(trial: Trial) -> str:
    """Kill a run just before one of its operations on files."""
    profile = trial.draw_profile("saving", "training", "reading")
    situation = trial.rng.choice(("start", "resume"))
    return kill_at(trial, situation, profile)


def kill_in_force(trial: Trial) -> str:
    """Kill a process that replaces a run."""
    return kill_at(trial, "force", "training")


def kill_in_going_back(trial: Trial) -> str:
    """Kill a process that goes back to an earlier checkpoint."""
    return kill_at(trial, "back", "saving")


def kill_at(trial: Trial, situation: str, profile: str) -> str:
    number, operation = draw_operation(trial, situation, profile)
    trial.commands.append(f"kill before operation {number}: {operation}")
    return kill_before(trial, situation, profile, number)


def kill_before(trial: Trial, situation: str, profile: str, number: int) -> str:
    """Kill a process just before an operation on files, continue, and compare with an uninterrupted run."""
    options = prepare(trial, situation, profile)
    trial.train(*options, at=("kill", number))
    return f"{situation}: {complete(trial, situation, profile)}"
