"""Has a change made the package slower? Subjects run in turn in a checkout of an earlier commit and in this one.

Run: python -m benchmarks.before_after COMMIT [--subjects layers custom_cells eager_overhead] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._harness import ROOT, environment, machine_facts, save, statistics_of

SUBJECTS = ("layers", "custom_cells", "eager_overhead")


def cases_of(subject: str) -> list[str]:
    """Return the names of a subject's cases."""
    code = f"import json; from benchmarks import {subject}; print(json.dumps(list({subject}.SUBJECT.cases)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure(checkout: Path, subject: str, case: str, budget: float) -> dict[str, Any]:
    """Return the samples of one worker process in a checkout."""
    script = checkout / "benchmarks" / f"{subject}.py"
    command = [sys.executable, str(script), "--worker", "tinygrad_seq", case, "--budget", str(budget)]
    variables = environment() | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{subject}: {case} failed in {checkout}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--subjects", nargs="+", default=SUBJECTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.0, help="seconds per measure of a worker")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="before-") as folder:
        before = Path(folder) / "checkout"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(before), options.commit], check=True, capture_output=True)
        try:
            for subject in options.subjects:
                for case in cases_of(subject):
                    samples: dict[str, dict[str, list[float]]] = {}
                    for _ in range(options.rounds):
                        for name, checkout in (("before", before), ("after", ROOT)):
                            found = measure(checkout, subject, case, options.budget)
                            for key, values in found.items():
                                if key != "check":
                                    samples.setdefault(key, {}).setdefault(name, []).extend(values)
                    for key, pair in samples.items():
                        rows: dict[str, Any] = {name: statistics_of(values) for name, values in pair.items()}
                        ratio = round(rows["after"]["median"] / rows["before"]["median"], 3)
                        results.setdefault(subject, {}).setdefault(case, {})[key] = {**rows, "after_over_before": ratio}
                        print(f"{subject:15} {case:28} {key:10} {ratio:.3f}", flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=False, capture_output=True)
    ratios = [
        row["after_over_before"] for cases in results.values() for case in cases.values() for row in case.values()
    ]
    print(f"median of {len(ratios)} ratios: {statistics.median(ratios):.3f}, largest {max(ratios):.3f}")
    facts = {"what": __doc__.splitlines()[0], "rounds": options.rounds, "load_before": round(load, 2)}
    save(
        "before_after",
        {**facts, **machine_facts(["numpy", "numba"]), "commit": options.commit, "results": results},
        False,
    )


if __name__ == "__main__":
    main()
