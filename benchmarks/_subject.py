"""A subject: one question, measured for all contestants in turn, each in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._harness import agree, environment, fingerprint, machine_facts, pin_to_one_core, save, statistics_of

OURS = "tinygrad_seq"


@dataclass(frozen=True)
class Contestant:
    """A library or variant to measure: ``run(case, budget)`` returns the samples, a list of numbers per measure.

    The entry "check" of the samples is a dict of arrays, which must be equal to ours of the same names up to the
    `tolerance`, by default that of the subject. A contestant may return fewer measures and arrays than ours, and none
    at all for a case that it cannot run. One that is slow to start runs only on request, and in one round.
    """

    run: Callable[[Any, float], dict[str, Any]]
    package: str = OURS
    threads: int = 1
    slow: bool = False
    needs: tuple[str, ...] = ()
    tolerance: float | None = None

    def missing(self) -> list[str]:
        """Return the required packages that are not installed."""
        return [name for name in (self.package, *self.needs) if importlib.util.find_spec(name) is None]


@dataclass(frozen=True)
class Subject:
    """The question, its cases and its contestants by name; the first contestant, ours, is the base of all ratios.

    A contestant runs all cases and rounds in one process; where `apart`, in a fresh process for each case and round.
    """

    script: str
    what: str
    cases: dict[str, Any]
    contestants: dict[str, Contestant]
    quick: tuple[str, ...]
    units: dict[str, str]
    tolerance: float = 1e-3
    facts: dict[str, object] = field(default_factory=dict)
    rounds: int = 3
    budget: float = 1.0
    apart: bool = False

    @property
    def name(self) -> str:
        return Path(self.script).stem

    def main(self) -> None:
        """Run the command line: measure, as a worker process; or start workers and write their results."""
        options = self._options()
        if options.worker:
            self._work(self.contestants[options.worker], options.budget)
            return
        chosen, missing = self._choose(options)
        cases = options.cases or (self.quick if options.quick else tuple(self.cases))
        rounds, budget = (1, 0.1) if options.quick else (options.rounds, options.budget)
        load = os.getloadavg()[0]
        print(f"{self.name}: {self.what} (load {load:.1f})", flush=True)
        results: dict[str, Any] = {}
        agreement: dict[str, list[str]] = {}
        failures: dict[str, str] = {}
        with contextlib.ExitStack() as ends:
            workers = {name: _Worker(self, name, budget) for name in chosen}
            for worker in workers.values():
                ends.callback(worker.end)
            for case in cases:
                samples = []
                for number in range(rounds):
                    turn = [name for name in chosen if not (number and self.contestants[name].slow)]
                    samples.append({name: workers[name].measure(case) for name in turn})
                failed = {
                    name: found.pop("error") for turn in samples for name, found in turn.items() if "error" in found
                }
                failures |= {f"{name} on {case}": error for name, error in failed.items()}
                agreement[case] = self._agreement(samples[0])
                results[case] = self._summarise(samples)
                self._print(case, results[case], agreement[case])
        for name, reason in (missing | failures).items():
            print(f"  {name}: {reason}")
        packages = ["numpy", "numba", *dict.fromkeys(c.package for c in self.contestants.values() if c.package != OURS)]
        result = {
            "what": self.what,
            "quick": options.quick,
            "rounds": rounds,
            "load_before": round(load, 2),
            **machine_facts(packages),
        }
        result |= {"units": self.units, **self.facts, "missing": missing, "failed": failures}
        result |= {"disagreeing": {case: names for case, names in agreement.items() if names}, "results": results}
        print("wrote", save(self.name, result, options.quick).name)
        if result["disagreeing"] or failures:
            raise SystemExit(
                f"{self.name}: outputs or gradients differ from ours: {result['disagreeing']}; failed: {list(failures)}"
            )

    def _options(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(description=self.what)
        parser.add_argument("--worker", metavar="CONTESTANT", help=argparse.SUPPRESS)
        parser.add_argument("--budget", type=float, default=self.budget, help="seconds per measure, case and round")
        parser.add_argument("--quick", action="store_true", help="one short round of a few cases")
        parser.add_argument("--rounds", type=int, default=self.rounds)
        parser.add_argument("--peers", help="comma-separated packages; default: all")
        parser.add_argument("--cases", nargs="+", choices=self.cases, metavar="CASE")
        parser.add_argument("--with-torch-compile", action="store_true", help="also torch.compile, which takes minutes")
        return parser.parse_args()

    def _choose(self, options: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
        """Return the contestants that run, and the reasons why the others do not."""
        wanted = None if options.peers is None else {OURS, *options.peers.split(",")}
        chosen, missing = [], {}
        for name, contestant in self.contestants.items():
            if wanted is not None and contestant.package not in wanted:
                missing[name] = "not asked for"
            elif contestant.slow and not options.with_torch_compile:
                missing[name] = "not asked for (--with-torch-compile)"
            elif contestant.missing():
                missing[name] = f"not installed: {', '.join(contestant.missing())}"
            else:
                chosen.append(name)
        return chosen, missing

    def _work(self, contestant: Contestant, budget: float) -> None:
        """Measure the cases whose names arrive, a line each, and answer each with a line of JSON."""
        if contestant.threads == 1:
            pin_to_one_core()
        answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
        for line in sys.stdin:
            samples = contestant.run(self.cases[line.strip()], budget)
            if "check" in samples:
                samples["check"] = fingerprint(samples["check"])
            print(json.dumps(samples), file=answers, flush=True)

    def _agreement(self, samples: dict[str, dict[str, Any]]) -> list[str]:
        """Return the contestants whose arrays differ from those of the first."""
        marks = {name: found["check"] for name, found in samples.items() if "check" in found}
        ours = marks.get(next(iter(self.contestants)), {})
        allowed = {name: self.contestants[name].tolerance or self.tolerance for name in marks}
        return [name for name, mark in marks.items() if not agree(ours, mark, allowed[name])]

    def _summarise(self, rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
        """Return the statistics over all rounds per measure and contestant, and the ratio to the first contestant."""
        summary: dict[str, Any] = {}
        for measure in self.units:
            rows = {}
            for name in rounds[0]:
                values = [value for samples in rounds for value in samples.get(name, {}).get(measure, [])]
                if values:
                    rows[name] = statistics_of(values)
            base = next(iter(rows.values()), {}).get("median")
            for row in rows.values():
                row["peer_over_ours"] = round(row["median"] / base, 3) if base and base > 0 else None
            if rows:
                summary[measure] = rows
        return summary

    def _print(self, case: str, summary: dict[str, Any], disagreeing: list[str]) -> None:
        for measure, rows in summary.items():
            found = (f"{name} {row['median']:.4g} ({row['peer_over_ours']})" for name, row in rows.items())
            print(f"  {case:28s} {measure} [{self.units[measure]}]:", ", ".join(found), flush=True)
        if disagreeing:
            print(f"  {case:28s} DIFFERENT RESULTS:", ", ".join(disagreeing))


class _Worker:
    """The process of a contestant, started when it is first needed."""

    def __init__(self, subject: Subject, contestant: str, budget: float) -> None:
        self._command = [sys.executable, subject.script, "--worker", contestant, "--budget", str(budget)]
        self._environment = environment(subject.contestants[contestant].threads)
        self._apart = subject.apart
        self._process: subprocess.Popen[str] | None = None
        self._errors: Any = None

    def measure(self, case: str) -> dict[str, Any]:
        """Return the samples of a case; under "error" what it died of, the next case then gets a new process."""
        if self._process is None:
            self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `end`)
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(case, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if answer and not self._apart:
            return json.loads(answer)
        self._errors.seek(0)
        errors = self._errors.read().strip().splitlines() or ["it ended without a message"]
        self.end()
        return json.loads(answer) if answer else {"error": errors[-1]}

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            with self._process, self._errors:
                self._process.kill()
            self._process = None
