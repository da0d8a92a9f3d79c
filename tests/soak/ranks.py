"""Kills, stops and signals of one rank of several, at any moment, then --resume on another number of ranks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.soak.trial import ENVIRONMENT, PATIENCE, Trial, check
from tinygrad_seq.train import Run

SILENCE = 2
"""Seconds without a sign of life after which ranks end."""


def start(trial: Trial, size: int, *arguments: str) -> subprocess.Popen[str]:
    """Start ``train`` on ranks, in a session of their own."""
    mpirun = Path(sys.executable).with_name("mpirun")
    command = [str(mpirun), "-n", str(size), sys.executable, "-m", "tinygrad_seq", "train", "--out", str(trial.run)]
    trial.commands.append(f"{size} ranks: {' '.join(arguments)}")
    return subprocess.Popen(
        [*command, *arguments], env=ENVIRONMENT | {"TGS_MPI_PATIENCE": str(SILENCE)}, cwd=trial.folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that mpirun has started, in the order of their ranks."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
            session = os.getsid(int(folder.name))
        except OSError:  # it has ended, or is another user's
            continue
        rank = [word for word in words if word.startswith(b"PMI_RANK=")]
        parents = _parents(int(folder.name))
        if rank and b"tinygrad_seq" in command and (session == process.pid or process.pid in parents):
            found.append((int(rank[0].split(b"=")[1]), int(folder.name)))
    return [number for _, number in sorted(found)]


def _parents(number: int) -> list[int]:
    found = []
    while number > 1:
        try:
            number = int(Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(number)
    return found


def rank_ends(trial: Trial) -> str:
    """Kill, stop or interrupt one of several ranks at a random moment; all end, and the run continues."""
    size, name = trial.rng.choice((2, 3)), trial.rng.choice(("SIGKILL", "SIGKILL", "SIGSTOP", "SIGTERM"))
    process = start(trial, size, *trial.settings("training"))
    is_late, wait = trial.rng.random() < 0.7, trial.rng.random()
    while process.poll() is None and is_late and not [*trial.run.glob("checkpoints/step-*")]:
        time.sleep(0.01)
    began, wait = time.monotonic(), wait if is_late else 0.5 + 5 * wait
    while process.poll() is None and time.monotonic() < began + wait:
        time.sleep(0.01)
    numbers = ranks_of(process)
    if process.poll() is None and len(numbers) == size:
        rank = trial.rng.randrange(size)
        trial.commands[-1] += f"  {name} to rank {rank} after {wait:.2f} s"
        os.kill(numbers[rank], getattr(signal, name))
    else:
        name = "nothing"
    sent = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE)
    took = time.monotonic() - sent
    trial.commands[-1] += f"  -> {process.returncode} after {took:.1f} s {err[-300:]!r}"
    check(name in ("nothing", "SIGTERM") or took < 60 + 15, f"ended only after {took:.1f} s")
    check(not [number for number in numbers if Path(f"/proc/{number}").exists()], "ranks are left")
    if name == "SIGTERM" and "saved at step" in out:
        check(process.returncode == 128 + signal.SIGTERM, f"ended with {process.returncode}")
    if name == "SIGSTOP" and process.returncode and "Traceback" not in err:
        check(
            re.search(r"rank \d \(process \d+ on .*\) has given no sign of life|Timeout", err) is not None,
            f"no reason: {err}",
        )
    if not [*trial.run.glob("checkpoints/step-*")]:
        return f"{name}, before the first checkpoint"
    step = Run.open(trial.run).load()["steps"]["number"]  # it is whole
    other = 5 - size
    process = start(trial, other, "--resume")
    out, err = process.communicate(timeout=PATIENCE)
    trial.commands[-1] += f"  -> {process.returncode} {err[-300:]!r}"
    check(process.returncode == 0 or "has done" in err, f"not continued from step {step}: {err}")
    check(Run.open(trial.run).load()["steps"]["number"] == 200, "the run has not come to its end")
    return f"{name}, continued"
