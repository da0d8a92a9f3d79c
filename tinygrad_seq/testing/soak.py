"""The soak test: random programs for hours, in several processes.

A process runs a batch of examples and exits, which bounds its memory; its folder of compiled code is emptied when it
has many files. Every second process runs compiled scans in NumPy (``NUMBA_DISABLE_JIT=1``): without compilation it
checks many more programs, but no machine code. An example is a kind and a seed, which determine its program.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from .generate import draw_graph, draw_step
from .properties import Fault, Outcome, check_graph, check_step, kinds
from .random_cells import check_cell
from .random_program import Graph, Step
from .shrink import shrink

BATCH: Final = 150
"""The number of examples per process."""
MOST_FILES: Final = 5000
"""The number of files of compiled code after which the next process starts with an empty folder."""
ERRORS: Final = ("error", "error of second derivatives", "exception")
SILENCE: Final = 900.0
"""The time in seconds without a report after which a process is considered to hang."""


class Kind(NamedTuple):
    """The functions that generate and check programs of one kind."""

    draw: Callable[[Random], Any]
    check: Callable[[Any], Outcome]


KINDS: Final = {
    "graph": Kind(draw_graph, check_graph),
    "step": Kind(draw_step, check_step),
    "cell": Kind(lambda rng: draw_step(rng, cell=True), check_cell),
}
ORDER: Final = {False: ("step", "step", "graph", "step", "cell"), True: ("step", "graph", "cell", "step")}
"""The cycle of kinds in a process, by whether it runs scans in NumPy."""


def program_of(kind: str, seed: int) -> Graph | Step:
    """Return the program of an example."""
    return KINDS[kind].draw(Random(seed))  # type: ignore[no-any-return]


def outcome_of(kind: str, program: Graph | Step) -> Outcome:
    """Check a program; an exception is a fault too."""
    try:
        return KINDS[kind].check(program)
    except Exception as error:  # noqa: BLE001 (any exception is a finding)
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {str(error)[:300]} ({Path(where.filename).name}:{where.lineno})"
        return Outcome([Fault("exception", text)], 1)


def smallest(kind: str, program: Any, outcome: Outcome, seconds: float) -> Any:
    """Return a smaller program that fails one of the checks that `program` fails."""
    failed = {fault.check for fault in outcome.faults}
    errors = {fault.text.split(":")[0] for fault in outcome.faults if fault.check in ERRORS}

    def fails(candidate: Any) -> bool:
        found = outcome_of(kind, candidate).faults
        same = [fault for fault in found if fault.check in failed]
        return any(f.check not in ERRORS or f.text.split(":")[0] in errors for f in same)

    return shrink(program, fails, seconds)


# ------------------------------------------------------------------------------------------------------ one process


def work(first: int, count: int, out: Path) -> None:
    """Run a batch of examples and report the start and the outcome of each as a line of JSON.

    The first example that fails a given set of checks is shrunk and written as a script; others are only reported.
    """
    interpreted = os.environ.get("NUMBA_DISABLE_JIT") == "1"
    shrunk: set[str] = set()
    for seed in range(first, first + count):
        kind = ORDER[interpreted][seed % len(ORDER[interpreted])]
        _write(json.dumps({"begin": [kind, seed]}))
        program = program_of(kind, seed)
        outcome = outcome_of(kind, program)
        report: dict[str, Any] = {"kind": kind, "seed": seed, **outcome._asdict()}
        if outcome.faults and kinds(outcome.faults) not in shrunk:  # shrinking is as expensive as many examples
            shrunk.add(kinds(outcome.faults))
            program = smallest(kind, program, outcome, 120.0)
            script = out / f"{kind}-{seed}.py"
            script.write_text(failing_script(program, outcome_of(kind, program).faults), encoding="utf-8")
            report["script"] = str(script)
        _write(json.dumps(report))


def failing_script(program: Graph | Step, faults: list[Fault]) -> str:
    """Return the script of a program with its faults as comments at the top."""
    said = [line for fault in faults for line in f"{fault.check}: {fault.text}".splitlines()]
    return "\n".join([*[f"# {line}" for line in said], program.script()])


# -------------------------------------------------------------------------------------------------- all processes


class Soak:
    """The processes of a run and their reports."""

    def __init__(self, seed: int, workers: int, out: Path) -> None:
        self.seed, self.workers, self.out = seed, workers, out
        self.counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self.failures: list[dict[str, Any]] = []
        self._batches = 0
        self._folders = [tempfile.TemporaryDirectory(prefix="tinygrad_seq-soak-") for _ in range(workers)]
        self._reports: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()

    def run(self, seconds: float) -> bool:
        """Run for the given time and return whether no check failed."""
        start = said = time.monotonic()
        running = [self._start(slot) for slot in range(self.workers)]
        begun: list[Any] = [None] * self.workers
        heard = [start] * self.workers
        try:
            while (now := time.monotonic()) < start + seconds:
                if now > said + 60:
                    said = now
                    self.say(now - start)
                for slot, silent in enumerate(heard):
                    if now > silent + SILENCE:
                        running[slot].kill()
                try:
                    slot, report = self._reports.get(timeout=1.0)
                except queue.Empty:
                    continue
                heard[slot] = now
                if report is None:
                    if running[slot].wait():
                        self._crashed(begun[slot], running[slot].returncode)
                    running[slot] = self._start(slot)
                elif "begin" in report:
                    begun[slot] = report["begin"]
                else:
                    self._take(report)
        finally:
            for process in running:
                process.kill()
                process.wait()
            for folder in self._folders:
                folder.cleanup()
        self.say(time.monotonic() - start)
        return not self.failures

    def command(self, first: int) -> list[str]:
        """Return the command of a process that runs the batch of examples starting at seed `first`."""
        return [sys.executable, "-m", "tinygrad_seq.testing", "work", str(first), str(BATCH), str(self.out)]

    def _start(self, slot: int) -> subprocess.Popen[str]:
        first = self.seed * 1_000_000 + self._batches * BATCH
        self._batches += 1
        command = self.command(first)
        if len(os.listdir(self._folders[slot].name)) > MOST_FILES:
            self._folders[slot].cleanup()
            self._folders[slot] = tempfile.TemporaryDirectory(prefix="tinygrad_seq-soak-")
        environment = os.environ | {"TGS_CACHE_DIR": self._folders[slot].name, "TGS_CHECK": "1"}
        environment["NUMBA_DISABLE_JIT"] = str(slot % 2)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

        def listen() -> None:
            with process:
                for line in process.stdout or ():
                    self._reports.put((slot, json.loads(line)))
            self._reports.put((slot, None))

        threading.Thread(target=listen, daemon=True).start()
        return process

    def _take(self, report: dict[str, Any]) -> None:
        count = self.counts[report["kind"]]
        count["programs"] += 1
        count["checks"] += report["checks"]
        for flag in ("refused", "unstable"):
            count[flag] += report[flag]
        if report["faults"]:
            self._fail(report)

    def _crashed(self, begun: Any, code: int) -> None:
        kind, seed = begun or ["step", -1]
        self._fail({"kind": kind, "seed": seed, "faults": [["crash", f"the process ended with {code}"]]})

    def _fail(self, report: dict[str, Any]) -> None:
        self.counts[report["kind"]]["failures"] += 1
        self.failures.append(report)
        check, text = report["faults"][0]
        _write(f"FAILED {report['kind']} {report['seed']}: {check}: {text[:200]}; {report.get('script', '')}")

    def say(self, seconds: float) -> None:
        """Print the counts."""
        for kind, count in self.counts.items():
            compiled = count["programs"] - count["refused"]
            _write(
                f"{seconds / 60:6.1f} min  {kind:5}  {count['programs']} programs, {compiled} compiled, "
                f"{count['refused']} refused, {count['checks']} checks, {count['unstable']} unstable, "
                f"{count['failures']} failures"
            )

    def summary(self, seconds: float) -> dict[str, Any]:
        """Return the counts and the failures as JSON values."""
        counts = {kind: dict(count) for kind, count in self.counts.items()}
        return {"seed": self.seed, "seconds": round(seconds), "counts": counts, "failures": self.failures}


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m tinygrad_seq.testing``; return 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_seq.testing", description="Random programs.")
    commands = parser.add_subparsers(dest="command", required=True)
    soak = commands.add_parser("soak", help="run random programs for hours")
    soak.add_argument("--hours", type=float, default=2.0)
    soak.add_argument("--seed", type=int, default=0)
    soak.add_argument("--workers", type=int, default=2, help="number of processes; every second one compiles nothing")
    soak.add_argument("--json", type=Path, help="file for the counts and the failures")
    soak.add_argument("--out", type=Path, default=Path("soak"), help="folder for the scripts of failing programs")
    for name, text in (("check", "run one example"), ("show", "print the script of one example")):
        one = commands.add_parser(name, help=text)
        one.add_argument("kind", choices=list(KINDS))
        one.add_argument("seed", type=int)
        one.add_argument("--shrink", type=float, default=0.0, help="time limit for shrinking, in seconds")
    batch = commands.add_parser("work", help="run one batch of examples (used by soak)")
    batch.add_argument("first", type=int)
    batch.add_argument("count", type=int)
    batch.add_argument("out", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "work":
        work(given.first, given.count, given.out)
        return 0
    if given.command == "soak":
        given.out.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # processes and folders are cleaned up
        run = Soak(given.seed, given.workers, given.out)
        good = run.run(given.hours * 3600)
        if given.json:
            given.json.write_text(json.dumps(run.summary(given.hours * 3600), indent=1), encoding="utf-8")
        return int(not good)
    program: Any = program_of(given.kind, given.seed)
    outcome = outcome_of(given.kind, program) if given.command == "check" or given.shrink else Outcome([], 0)
    if given.shrink and outcome.faults:
        program = smallest(given.kind, program, outcome, given.shrink)
        outcome = outcome_of(given.kind, program)
    _write(failing_script(program, outcome.faults))
    return int(bool(outcome.faults))
