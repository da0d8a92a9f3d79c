"""A subject: one question, measured for all contestants in turn, in several rounds, each in a fresh process."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._harness import agree, environment, fingerprint, machine_facts, pin_to_one_core, save, statistics_of

OURS = "tinygrad_seq"


@dataclass(frozen=True)
class Contestant:
    """A library or variant to measure: ``run(case, budget)`` returns the samples, a list of numbers per measure.

    The entry "check" of the samples is a dict of arrays that must be equal for all contestants. A contestant that is
    slow to start runs only on request, and in one round.
    """

    run: Callable[[Any, float], dict[str, Any]]
    package: str = OURS
    threads: int = 1
    slow: bool = False
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Return the required packages that are not installed."""
        return [name for name in (self.package, *self.needs) if importlib.util.find_spec(name) is None]


@dataclass(frozen=True)
class Subject:
    """The question, its cases and its contestants by name; the first contestant, ours, is the base of all ratios."""

    script: str
    what: str
    cases: dict[str, Any]
    contestants: dict[str, Contestant]
    quick: tuple[str, ...]
    units: dict[str, str]
    tolerance: float = 1e-3
    facts: dict[str, object] = field(default_factory=dict)
    rounds: int = 3

    @property
    def name(self) -> str:
        return Path(self.script).stem

    def main(self) -> None:
        """Run the command line: measure, as a worker process; or start workers and write their results."""
        options = self._options()
        if options.worker:
            contestant, case = options.worker
            self._work(self.contestants[contestant], self.cases[case], options.budget)
            return
        chosen, missing = self._choose(options)
        cases = options.cases or (self.quick if options.quick else tuple(self.cases))
        rounds, budget = (1, 0.1) if options.quick else (options.rounds, 1.0)
        load = os.getloadavg()[0]
        print(f"{self.name}: {self.what} (load {load:.1f})", flush=True)
        results, agreement = {}, {}
        for case in cases:
            again = [name for name in chosen if not self.contestants[name].slow]
            turns = [chosen, *[again] * (rounds - 1)]
            samples = [{name: self._send(name, case, budget) for name in turn} for turn in turns]
            agreement[case] = self._agreement(samples[0])
            results[case] = self._summarise(samples)
            self._print(case, results[case], agreement[case])
        for name, reason in missing.items():
            print(f"  {name}: {reason}")
        packages = ["numpy", "numba", *dict.fromkeys(c.package for c in self.contestants.values() if c.package != OURS)]
        result = {
            "what": self.what,
            "quick": options.quick,
            "rounds": rounds,
            "load_before": round(load, 2),
            **machine_facts(packages),
        }
        result |= {"units": self.units, **self.facts, "missing": missing}
        result |= {"disagreeing": {case: names for case, names in agreement.items() if names}, "results": results}
        print("wrote", save(self.name, result, options.quick).name)
        if result["disagreeing"]:
            raise SystemExit(f"{self.name}: outputs or gradients differ from ours: {result['disagreeing']}")

    def _options(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(description=self.what)
        parser.add_argument("--worker", nargs=2, metavar=("CONTESTANT", "CASE"), help=argparse.SUPPRESS)
        parser.add_argument("--budget", type=float, default=1.0, help=argparse.SUPPRESS)
        parser.add_argument("--quick", action="store_true", help="one short round of a few cases")
        parser.add_argument("--rounds", type=int, default=self.rounds)
        parser.add_argument("--peers", help="comma-separated packages; default: all")
        parser.add_argument("--cases", nargs="+", choices=self.cases)
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

    def _work(self, contestant: Contestant, case: Any, budget: float) -> None:
        if contestant.threads == 1:
            pin_to_one_core()
        samples = contestant.run(case, budget)
        if "check" in samples:
            samples["check"] = fingerprint(samples["check"])
        print(json.dumps(samples))

    def _send(self, contestant: str, case: str, budget: float) -> dict[str, Any]:
        command = [sys.executable, self.script, "--worker", contestant, case, "--budget", str(budget)]
        variables = environment(self.contestants[contestant].threads)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: {contestant} failed on {case}:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def _agreement(self, samples: dict[str, dict[str, Any]]) -> list[str]:
        """Return the contestants whose arrays differ from those of the first."""
        marks = [(name, found["check"]) for name, found in samples.items() if "check" in found]
        return [name for name, mark in marks[1:] if not agree(marks[0][1], mark, self.tolerance)]

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
