"""One trial of a scenario: a folder, the processes it starts, and the comparison with an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_seq.errors import TinygradSeqError
from tinygrad_seq.train import Run

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
PATIENCE = 300.0
"""The time in seconds after which a process is considered to hang."""
# What depends on the clock or on the machine, in metrics, checkpoints and settings.
TIMES = {"seconds", "tokens_per_second", "times", "run", "id", "sha256", "versions", "created"}

SIZES = ["--hidden", "8", "--embedding", "4", "--batch", "3", "--window", "8", "--warmup", "2", "--dropout", "0.2"]
WORDS = ["the", "a", "cat", "dog", "pear", "apple", "sat", "ran", "on", "ate", "mat", "saw", "and", "big", "red"]


class Profile(NamedTuple):
    """What a run spends its time on."""

    characters: int
    options: str


PROFILES = {
    "training": Profile(2_000, "--unit line --steps 200 --evaluate-every 50 --sample-length 20"),
    "saving": Profile(2_000, "--unit line --steps 80 --evaluate-every 2 --sample-length 2"),
    "evaluating": Profile(80_000, "--validation 0.5 --steps 80 --evaluate-every 20 --sample-length 0 --eval-tokens 0"),
    "sampling": Profile(2_000, "--level word --steps 80 --evaluate-every 20 --sample-length 1000"),
    "reading": Profile(1_000_000, "--level word --steps 20 --evaluate-every 10 --sample-length 2 --eval-tokens 500"),
}


class SoakError(AssertionError):
    """A run did what it must not do."""


class Done(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str


def write_text(path: Path, characters: int, seed: int = 0) -> None:
    """Write lines of random words, with a blank line after every fifth."""
    rng, size = random.Random(seed), 0
    lines: list[str] = []
    while size < characters:
        lines.append(" ".join(rng.choices(WORDS, k=rng.randint(3, 9))) + "\n" * (1 + (len(lines) % 5 == 4)))
        size += len(lines[-1])
    path.write_text("".join(lines), encoding="utf-8")


class Trial:
    """A folder with a run, and references next to it.

    Parameters
    ----------
    folder : Path
        The folder of this trial, which is made anew.
    references : Path
        The folder of texts and uninterrupted runs, which trials share.
    seed : str or int
        What makes the trial the same every time, except for the speed of the machine.
    profiles : sequence of str, default all
        The profiles to draw from.
    """

    def __init__(
        self, folder: Path, references: Path, seed: str | int, profiles: Sequence[str] = tuple(PROFILES)
    ) -> None:
        self.profiles = profiles
        self.folder, self.references, self.rng = folder.resolve(), references.resolve(), random.Random(seed)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.references.mkdir(parents=True, exist_ok=True)
        self.run = self.folder / "run"
        self.commands: list[str] = []

    def draw_profile(self, *names: str) -> str:
        """Draw a profile, one of `names` if given."""
        return self.rng.choice([name for name in names or PROFILES if name in self.profiles])

    # ---------------------------------------------------------------------------------------------- processes

    def settings(self, profile: str, *more: str) -> list[str]:
        """Return the options that train a run of the profile, apart from ``--out``."""
        corpus = self.references / f"{profile}.txt"
        if not corpus.exists():
            write_text(corpus, PROFILES[profile].characters)
        return ["--corpus", str(corpus), *SIZES, *PROFILES[profile].options.split(), *more]

    def start(self, *arguments: str, at: tuple[str, int] | None = None) -> subprocess.Popen[str]:
        """Start the command line; `at` is an action of `tests.soak.at` and the number of its operation."""
        module = ["tinygrad_seq"] if at is None else ["tests.soak.at", at[0], str(at[1]), str(self.folder)]
        command = [sys.executable, "-W", "error", "-m", *module, *arguments]
        self.commands.append(" ".join(command[3:]))
        # A relative path in a message or a stray file must not land in the checkout.
        return subprocess.Popen(
            command, env=ENVIRONMENT, cwd=self.folder, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def wait(self, process: subprocess.Popen[str]) -> Done:
        """Return how a process ended. No process may show a traceback."""
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise SoakError(f"no end within {PATIENCE:.0f} s: {self.commands[-1]}") from None
        self.commands[-1] += f"  -> {process.returncode} {err[-300:]!r}"
        if "Traceback" in err + out:
            raise SoakError(f"a traceback: {err[-500:]}")
        return Done(process.returncode, out, err)

    def command(self, *arguments: str, at: tuple[str, int] | None = None) -> Done:
        return self.wait(self.start(*arguments, at=at))

    def train(self, *arguments: str, at: tuple[str, int] | None = None) -> Done:
        return self.command("train", "--out", str(self.run), *arguments, at=at)

    def operations(self, name: str, *arguments: str) -> list[str]:
        """Run the command line and return its operations on files."""
        log = Path(f"{self.folder}.operations")
        log.unlink(missing_ok=True)
        done = self.command(name, *arguments, at=("list", 0))
        check(done.code == 0, f"{name} ended with {done}")
        lines = log.read_text(encoding="utf-8").splitlines()
        log.unlink()
        return lines

    def refused(self, done: Done, *parts: str) -> str:
        """Return the one line of an error, which contains each of `parts`."""
        one_line = done.err.startswith("error: ") and done.err.count("\n") == 1
        check(done.code == 2 and one_line, f"expected exit code 2 and one line of error, got {done}")
        for part in parts:
            check(part in done.err, f"expected {part!r} in the error, got {done.err!r}")
        return done.err

    # ------------------------------------------------------------------------------------------------- results

    def straight(self, profile: str, *more: str) -> Path:
        """Return the run that trained without interruption, which is made once per set of options."""
        run = self.references / "-".join([profile, *(part.lstrip("-") for part in more)])
        if not run.exists():
            done = self.command("train", "--out", str(run), *self.settings(profile, *more))
            check(done.code == 0, f"an uninterrupted run ended with {done}")
        return run

    def wait_at_random(self, process: subprocess.Popen[str], profile: str) -> None:
        """Wait until a process has used a random part of the processor time that an uninterrupted run takes."""
        straight = self.straight(profile)
        file = straight.with_suffix(".seconds")
        if not file.exists():  # `straight` may have been compiled for the first time
            began = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
            self.command("train", "--out", str(straight), *self.settings(profile), "--force")
            file.write_text(str(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - began))
        seconds = self.rng.uniform(0.2, 0.95) * float(file.read_text())
        while process.poll() is None and processor_seconds(process.pid) < seconds:
            time.sleep(0.005 * self.rng.random())

    def finish(self, settings: Sequence[str]) -> str:
        """Continue the run until it has finished, as its user would; return in words what that took."""
        if (self.run / "config.json").exists():
            done = self.train("--resume")
            if done.code == 0:
                return "resumed"
            if "has done" in self.refused(done):
                return "had finished"
            check("--force" in done.err, f"expected a way to go on, got {done.err!r}")
            settings = [*settings, "--force"]
        done = self.train(*settings)
        if done.code == 2:  # this command has put in place what the last one had prepared
            self.refused(done, "an existing run", "--force")
            done = self.train(*settings, "--force")
        check(done.code == 0, f"a new start ended with {done}")
        return "started again"

    def check_equal(self, straight: Path, *, temporary: bool = False) -> None:
        """Raise a SoakError unless the run ended as `straight` did, bit for bit, and left no other file.

        Temporary files are allowed if no process has written to the run since the one that was killed.
        """
        faults = differences(straight, self.run, temporary=temporary)
        strange = {path.name for path in self.folder.iterdir()} - {"run"}
        faults += [f"left over: {name}" for name in sorted(strange)]
        check(not faults, "; ".join(faults))


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check(holds: bool, message: str) -> None:
    if not holds:
        raise SoakError(message)


def differences(straight: Path, run: Path, *, temporary: bool = False) -> list[str]:
    """Return what differs between two runs, apart from times and, if `temporary`, temporary files."""
    try:
        left, right = Run.open(straight), Run.open(run)
        faults = [*_differences(left.config.to_json(), right.config.to_json(), "config")]
        for name in (None, "best"):
            faults += _differences(_part(left.load(name)), _part(right.load(name)), name or "newest")
        faults += _differences(left.rows(), right.rows(), "metrics")
    except TinygradSeqError as error:
        return [f"cannot be read: {error}"]
    if left.vocabulary != right.vocabulary:
        faults.append("vocabulary")
    names = [_names(straight), _names(run)]
    strange = sorted(names[0] ^ names[1])
    return faults + [f"file {name}" for name in strange if not (temporary and "/." in f"/{name}")]


def _names(run: Path) -> set[str]:
    """Return the names of the files of a run; an earlier checkpoint may be one that a stop has written."""
    names = {path.relative_to(run).as_posix() for path in run.rglob("*")} - {".run.lock"}
    numbered = sorted(name for name in names if name.startswith("checkpoints/step-"))
    return names - set(numbered) | {f"checkpoint {number}" for number in range(len(numbered))}


def _part(content: dict[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in ("steps", "stopping", "recent") if name in content}


def _differences(left: Any, right: Any, name: str) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted((left.keys() | right.keys()) - TIMES, key=str):
            if key not in left or key not in right:
                yield f"{name}.{key} in one of them"
            else:
                yield from _differences(left[key], right[key], f"{name}.{key}")
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differences(one, other, f"{name}[{number}]")
    elif isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        if (left.dtype, left.shape, left.tobytes()) != (right.dtype, right.shape, right.tobytes()):
            yield f"{name} of shape {left.shape}"
    elif json.dumps(left, default=repr) != json.dumps(right, default=repr):
        yield f"{name}: {_short(left)} and {_short(right)}"


def _short(value: Any) -> str:
    text = repr(value)
    return f"{text[:60]}..." if len(text) > 60 else text
