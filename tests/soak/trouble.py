"""A full disk, a folder that is removed, and training that diverges."""

from __future__ import annotations

import shutil
import subprocess

from tests.soak.situations import complete, draw_operation, kept, prepare
from tests.soak.trial import Trial, check
from tinygrad_seq.train import Run


def disk_full(trial: Trial, action: str = "limit", situation: str | None = None) -> str:
    """Let the disk be full from one operation on."""
    profile = trial.draw_profile("saving", "training")
    situation = situation or trial.rng.choice(("start", "force", "resume", "back"))
    options = prepare(trial, situation, profile)
    number, operation = draw_operation(trial, situation, profile)
    trial.commands.append(f"disk full before operation {number}: {operation}")
    done = trial.train(*options, at=(action, number))
    (trial.folder / "filler").unlink(missing_ok=True)
    if done.code != 0:
        line = trial.refused(done)
        check("large" in line or "space" in line, f"the reason is missing: {line!r}")
        check(trial.run.exists() or not kept(trial.folder), f"left over: {kept(trial.folder)}")
    return f"{situation}, exit code {done.code}: {complete(trial, situation, profile)}"


def disk_full_for_real(trial: Trial) -> str:
    """Do the same on a small disk in memory, if this user may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(trial.folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return "cannot mount"
    try:
        return disk_full(trial, "fill")
    except AssertionError:
        shutil.copytree(trial.folder, f"{trial.folder}-copy")
        raise
    finally:
        subprocess.run(["umount", str(trial.folder)], check=True)


def folder_removed(trial: Trial) -> str:
    """Remove the folder of a run while it trains."""
    profile, situation = "saving", trial.rng.choice(("start", "resume"))
    options = prepare(trial, situation, profile)
    while True:
        number, operation = draw_operation(trial, situation, profile)
        if "checkpoints" in operation and " run/" in operation:
            break
    trial.commands.append(f"removed before operation {number}: {operation}")
    done = trial.train(*options, at=("remove", number))
    if done.code != 0:
        trial.refused(done, str(trial.run))
    left = [name for name in kept(trial.folder) if not name.endswith(("run", "run/.run.lock"))]
    check(not left, f"left over: {left}")
    return f"{situation}: exit code {done.code}"


def divergence(trial: Trial) -> str:
    """Continue with an absurd learning rate; then follow the advice of the message."""
    lr, optimizer = trial.rng.choice(("1e36", "1e37", "1e38")), trial.rng.choice(("sgd", "adam"))
    every = ["--evaluate-every", "20", "--optimizer", optimizer, "--schedule", "constant"]
    done = trial.train(*trial.settings("saving", "--steps", "20", *every))
    check(done.code == 0, f"ended with {done}")
    done = trial.train("--resume", "--steps", "40", "--clip", "0", "--lr", lr)
    if done.code == 0:
        return f"{optimizer}, lr {lr}: no divergence"
    trial.refused(done, "finite", "lr")
    check([path.stem for path in Run.open(trial.run).checkpoints()] == ["step-000020"], "another checkpoint")
    done = trial.train("--resume", "--lr", "0.001", "--clip", "1")
    check(done.code == 0, f"the advice cannot be followed: {done}")
    return f"{optimizer}, lr {lr}: continued with a smaller one"
