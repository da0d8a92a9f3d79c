"""A second process at any moment of a run: the first continues unharmed, and two runs are never mixed."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from tests.soak.situations import draw_operation, prepare
from tests.soak.trial import PATIENCE, SoakError, Trial, check, differences

WRITES = ("start", "force", "resume", "back")
READS = ("info", "sample", "score")


def wait_paused(process: subprocess.Popen[str]) -> bool:
    """Wait until a process has stopped itself; return False if it has ended instead."""
    state, end = Path(f"/proc/{process.pid}/stat"), time.monotonic() + PATIENCE
    while process.poll() is None:
        if state.read_text().rpartition(")")[2].split()[0] in "Tt":
            return True
        if time.monotonic() > end:
            process.kill()
            raise SoakError("the first process did not come to its operation")
        time.sleep(0.02)
    return False


def second_process(trial: Trial) -> str:
    """Pause a run just before one of its operations, run another command on it, and let it go on."""
    profile = trial.draw_profile("saving", "training")
    situation = trial.rng.choice(("start", "resume", "back", "force"))
    options = prepare(trial, situation, profile)
    number, operation = draw_operation(trial, situation, profile)
    other = trial.rng.choice(WRITES + READS)
    return second_process_at(trial, profile, (situation, options), number, operation, other)


def second_process_at(
    trial: Trial, profile: str, first: tuple[str, list[str]], number: int, operation: str, other: str
) -> str:
    situation, options = first
    trial.commands.append(f"pause before operation {number}: {operation}")
    process = trial.start("train", "--out", str(trial.run), *options, at=("pause", number))
    try:
        paused = wait_paused(process)
        readable = bool([*trial.run.glob("checkpoints/step-*.safetensors")])
        lock = trial.run / ".run.lock"
        locked = lock.exists() and str(process.pid) in lock.read_text(encoding="utf-8")
        commands = {
            "start": ["train", "--out", str(trial.run), *trial.settings(profile, "--seed", "2")],
            "force": ["train", "--out", str(trial.run), *trial.settings(profile, "--seed", "2"), "--force"],
            "resume": ["train", "--out", str(trial.run), "--resume"],
            "back": ["train", "--out", str(trial.run), "--resume", "--checkpoint", "best"],
            "info": ["info", str(trial.run)],
            "sample": ["sample", str(trial.run), "--length", "5"],
            "score": ["score", str(trial.run), "the cat sat"],
        }
        second = trial.command(*commands[other])
        process.send_signal(signal.SIGCONT)
        ended = trial.wait(process)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if other in READS:
        if second.code != 0:
            trial.refused(second)
            check(not readable, f"{other} was refused though there is a checkpoint: {second.err}")
        check(ended.code == 0, f"the first process was harmed: {ended}")
    elif second.code == 0:  # the first process had not locked the run, or had finished with it
        if paused and ended.code != 0:
            trial.refused(ended)
    else:
        line = trial.refused(second)
        check(ended.code == 0, f"the first process was harmed: {ended}")
        if other != "start" and paused and locked and "has done" not in line:
            check(str(process.pid) in line, f"expected the process {process.pid} that holds the run, got {line!r}")
    seeds = [["--seed", "2"]] if other in ("start", "force") and second.code == 0 else []
    seeds += [["--seed", "1"] if situation == "force" else []] if ended.code == 0 else []
    found = [differences(trial.straight(profile, *seed), trial.run) for seed in seeds]
    check(any(not faults for faults in found), f"the run is none of its straight runs: {found}")
    strange = {path.name for path in trial.folder.iterdir()} - {"run"}
    check(not strange, f"left over: {sorted(strange)}")
    winner = "both in turn" if second.code == ended.code == 0 else "first" if ended.code == 0 else "second"
    return f"{situation} and {other}: {winner}"


def two_at_once(trial: Trial) -> str:
    """Run the same command twice at the same time: one trains, the other is refused in one line."""
    profile = "saving"
    situation = trial.rng.choice(("start", "force", "resume", "back"))
    options = prepare(trial, situation, profile)
    straight = trial.straight(profile, *(["--seed", "1"] if situation == "force" else []))
    processes = []
    for _ in range(2):
        processes.append(trial.start("train", "--out", str(trial.run), *options))
        time.sleep(trial.rng.choice((0.0, 0.0, 0.05)))
    done = [trial.wait(process) for process in processes]
    check(any(each.code == 0 for each in done), f"neither has trained: {done}")
    for each in done:
        if each.code != 0:
            trial.refused(each)
    trial.check_equal(straight)
    return f"{situation}: {sum(each.code == 0 for each in done)} trained"


def readers(trial: Trial) -> str:
    """Read a run again and again while it saves and prunes: no reader fails, and the run ends as it should."""
    profile = "saving"
    straight = trial.straight(profile)
    process = trial.start("train", "--out", str(trial.run), *trial.settings(profile))
    count = 0
    try:
        while process.poll() is None:
            if not [*trial.run.glob("checkpoints/step-*.safetensors")]:
                time.sleep(0.01)
                continue
            for reads in (["info", str(trial.run)], ["sample", str(trial.run), "--length", "5"]):
                done = trial.command(*reads)
                check(done.code == 0, f"a reader failed: {done}")
                count += 1
    finally:
        process.kill()
    check(trial.wait(process).code == 0, "the run was harmed")
    trial.check_equal(straight)
    return f"read {count} times" if count < 2 else "read several times"
