"""Run the scenarios and print the counts: ``python -m tests.soak [NAME ...] [--rounds N] [--seed N] [--out DIR]``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.soak import kills, memory, ranks, second_process, signals, trouble
from tests.soak.trial import SoakError, Trial


class Scenario(NamedTuple):
    """A function that raises a SoakError or returns what happened, and how many times it runs."""

    run: Callable[[Trial], str]
    rounds: int


SCENARIOS = {
    scenario.run.__name__: scenario
    for scenario in (
        Scenario(kills.random_kill, 50),
        Scenario(kills.aimed_kill, 40),
        Scenario(kills.kill_in_force, 15),
        Scenario(kills.kill_in_going_back, 15),
        Scenario(signals.storm, 20),
        Scenario(signals.aimed_stop, 40),
        Scenario(signals.stop_in_large_text, 6),
        Scenario(ranks.rank_ends, 20),
        Scenario(second_process.second_process, 60),
        Scenario(second_process.two_at_once, 10),
        Scenario(second_process.readers, 2),
        Scenario(trouble.disk_full, 30),
        Scenario(trouble.disk_full_for_real, 10),
        Scenario(trouble.folder_removed, 10),
        Scenario(trouble.divergence, 3),
        Scenario(memory.many_steps, 1),
        Scenario(memory.long_stream, 1),
        Scenario(memory.long_text, 1),
    )
}


def run_rounds(name: str, rounds: int, seed: int, out: Path) -> dict[str, object]:
    """Run one scenario; the folder of a failed trial stays, with a file that says what was done."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    began = time.monotonic()
    for number in range(rounds):
        folder = out / f"{name}-{seed}-{number}"
        trial = Trial(folder, out / "references", f"{name} {seed} {number}")
        try:
            counts[SCENARIOS[name].run(trial)] += 1
        except (SoakError, OSError, ValueError) as failure:
            failures.append(f"{folder.name}: {failure}")
            (folder / "what.txt").write_text("\n".join([*trial.commands, "", repr(failure), ""]), encoding="utf-8")
            sys.stdout.write(f"FAILED {failures[-1]}\n")
            sys.stdout.flush()
        else:
            shutil.rmtree(folder)
    sys.stdout.write(f"{name}: {rounds - len(failures)} of {rounds} in {time.monotonic() - began:.0f} s\n")
    for outcome, count in sorted(counts.items()):
        sys.stdout.write(f"  {count:>4}  {outcome}\n")
    sys.stdout.flush()
    return {"rounds": rounds, "failures": failures, "outcomes": dict(counts)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("names", nargs="*", help=f"scenarios, by default all: {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, help="rounds per scenario, by default as many as each is worth")
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6))
    parser.add_argument("--out", type=Path, default=Path("soak"))
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    sys.stdout.write(f"seed {arguments.seed}\n")
    results = {
        name: run_rounds(name, arguments.rounds or SCENARIOS[name].rounds, arguments.seed, arguments.out)
        for name in arguments.names or SCENARIOS
    }
    if arguments.json:
        arguments.json.write_text(json.dumps({"seed": arguments.seed, **results}, indent=1) + "\n", encoding="utf-8")
    return int(any(result["failures"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
