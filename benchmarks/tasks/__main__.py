"""Train on tasks with published results: ``python -m benchmarks.tasks [SUBJECT ...] [--data FOLDER] [--table]``.

Each run, of this package or of PyTorch, has its own process with one thread. Both start from the same weights and see
the same batches, so their first losses must agree. A subject writes ``benchmarks/results/tasks_SUBJECT.json``;
``--table`` trains nothing and writes `docs/tasks.md` and its plots from those files.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks._harness import environment, machine_facts, save

from ._task import Learner, Task, train

SUBJECTS = ("chorales", "adding", "copy_memory", "reber", "digits")
OURS = "tinygrad_seq"
LIBRARIES = {OURS: ("_ours", "Ours"), "torch": ("_torch", "Theirs")}
QUICK_STEPS = 4
TOLERANCE = 1e-3  # for each of the first losses; from the second on they depend on gradients


def main() -> int:
    options = arguments()
    if options.table:
        from ._page import write

        write()
        return 0
    if options.worker:
        subject, name, library, seed = options.worker
        task = shortened(tasks(subject)[name], options.quick)
        print(json.dumps(train(task, learner(library), int(seed), options.data)))
        return 0
    for subject in options.subjects or SUBJECTS:
        if subject == "chorales" and options.data is None:
            print("chorales: needs its data, --data FOLDER or TGS_DATA; left out")
            continue
        run(subject, options)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("TGS_DATA"), help="the folder that holds the data sets"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="default: those of the task")
    parser.add_argument("--quick", action="store_true", help="a few steps of each, as a smoke test")
    parser.add_argument("--table", action="store_true", help="train nothing, write docs/tasks.md")
    parser.add_argument("--worker", nargs=4, metavar=("SUBJECT", "TASK", "LIBRARY", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    options.data = None if options.data is None else Path(options.data)
    return options


def tasks(subject: str) -> dict[str, Task]:
    """Return the tasks of a subject by name."""
    return {task.name: task for task in importlib.import_module(f".{subject}", __package__).TASKS}


def learner(library: str) -> type[Learner]:
    module, name = LIBRARIES[library]
    return getattr(importlib.import_module(f".{module}", __package__), name)


def shortened(task: Task, quick: bool) -> Task:
    return dataclasses.replace(task, steps=QUICK_STEPS, evaluate_every=QUICK_STEPS // 2) if quick else task


def run(subject: str, options: argparse.Namespace) -> None:
    """Train every task of a subject with every library and seed, and write the results."""
    libraries = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    results = {}
    for name, task in tasks(subject).items():
        runs: dict[str, list[dict[str, Any]]] = {library: [] for library in libraries}
        for seed in options.seeds or task.seeds:
            for library in libraries:
                runs[library].append(send(subject, name, library, seed, options))
            check_agreement(f"{subject} {name}, seed {seed}", {library: runs[library][-1] for library in libraries})
        results[name] = {**facts(shortened(task, options.quick)), "runs": runs}
    missing = {name: f"not installed: {name}" for name in LIBRARIES if name not in libraries}
    result = {"what": tasks_of(subject), **machine_facts(["numpy", "numba", "torch", "scikit-learn"]), "threads": 1}
    print("wrote", save(f"tasks_{subject}", {**result, "missing": missing, "results": results}, options.quick).name)


def tasks_of(subject: str) -> str:
    module: Any = importlib.import_module(f".{subject}", __package__)
    return str(module.__doc__).splitlines()[0]


def send(subject: str, name: str, library: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the result of a run in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.tasks", "--worker", subject, name, library, str(seed)]
    command += ["--data", str(options.data)] if options.data else []
    command += ["--quick"] if options.quick else []
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{subject}: {library} failed on {name}, seed {seed}:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"  {subject} {name}, seed {seed}, {library}: {found['test']:.5g} ({found['cpu_seconds']:.0f} s)", flush=True)
    return found


def check_agreement(where: str, runs: dict[str, dict[str, Any]]) -> None:
    """Exit if the first losses of a task's runs differ: function, gradient and optimiser should be the same."""
    first, *others = (run["first_losses"] for run in runs.values())
    for other in others:
        if any(abs(a - b) > TOLERANCE * abs(a) for a, b in zip(first, other, strict=True)):
            raise SystemExit(
                f"{where}: the first losses differ, {first} and {other}; a gradient or an optimiser is wrong."
            )


def facts(task: Task) -> dict[str, Any]:
    """Return the facts that the figures of a task depend on."""
    return {
        "what": task.what,
        "metric": task.metric,
        "higher_is_better": task.higher,
        "model": f"{task.layer}, {task.inputs} inputs, {task.hidden} units, linear readout to {task.outputs}",
        "budget": {"steps": task.steps, **task.budget, "Adam": task.rate, "clip": task.clip, "decay": "cosine to 0"},
        "log_scale": task.log_scale,
        "baseline": task.baseline,
        "published": task.published,
        "note": task.note,
    }


if __name__ == "__main__":
    sys.exit(main())
