"""How data-parallel training would scale to 1,024 ranks: a model of time per step, from measurements on this machine.

Measured: the time per step of language models with 32 sequences on one core, the bytes of their gradients, the time in
which a rank copies them and adds those of others, and Allreduce between two ranks in memory. Modelled: the network.
``--page`` writes the picture and the tables of docs/scaling.md from the results.
Run: python -m benchmarks.scaling_model [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._harness import RESULTS, ROOT, environment, machine_facts, save
from benchmarks.data_parallel import CASES as MEASURED
from benchmarks.data_parallel import on_ranks
from benchmarks.training import Model, weights

PAGE = ROOT / "docs" / "scaling.md"
PICTURE = ROOT / "docs" / "scaling.png"
MARKS = "<!-- scaling:start -->", "<!-- scaling:end -->"
RANKS = [2**k for k in range(1, 11)]
SIZES = [1 << k for k in range(10, 25, 2)]  # of messages, in bytes
CASES = {**MEASURED, "LSTM 650, 10,000 words": Model("LSTM", 10_000, 650, 650, 1, 35)}
CASES = {name: replace(model, N=32) for name, model in CASES.items()}


class Network(NamedTuple):
    """The time of a message of b bytes: ``latency + b / bandwidth``; in seconds, and bytes per second."""

    latency: float
    bandwidth: float


NETWORKS = {
    "1 Gbit/s": Network(50e-6, 1e9 / 8),
    "10 Gbit/s": Network(20e-6, 10e9 / 8),
    "100 Gbit/s": Network(3e-6, 100e9 / 8),
}


def allreduce(ranks: int, size: float, network: Network, add: float) -> float:
    """Return the seconds of an Allreduce of `size` bytes by the best of three algorithms; `add` is seconds per byte.

    Recursive doubling sends everything log2(n) times. A ring, and recursive halving with doubling (Rabenseifner), send
    ``2 (n - 1) / n`` of it; they differ in the number of messages.
    """
    latency, per_byte = network.latency, 1 / network.bandwidth
    rounds = math.ceil(math.log2(ranks))
    share = (ranks - 1) / ranks * size
    doubling = rounds * (latency + size * (per_byte + add))
    ring = 2 * (ranks - 1) * latency + share * (2 * per_byte + add)
    halving = 2 * rounds * latency + share * (2 * per_byte + add)
    return min(doubling, ring, halving)


def meeting(ranks: int, network: Network) -> float:
    """Return the seconds in which the ranks exchange a row of seven numbers each."""
    return math.ceil(math.log2(ranks)) * network.latency + 56 * ranks / network.bandwidth


def efficiency(ranks: int, case: dict[str, float], network: Network, rates: dict[str, float]) -> float:
    """Return the time per step of one process, divided by that of ranks with as many sequences each."""
    size = case["bytes"]
    exchange = 2 * meeting(ranks, network) + allreduce(ranks, size, network, rates["add"]) + size * rates["copy"]
    return case["seconds"] / (case["seconds"] + exchange)


# ----------------------------------------------------------------------------------------------------- measuring


def measured(quick: bool) -> dict[str, Any]:
    """Measure everything that the model needs, and two ranks to compare it with."""
    budget = 0.1 if quick else 0.3
    cases, two = {}, {}
    for name, model in CASES.items():
        seconds = on_ranks(model, budget, program="ours", ranks=1)["training"]
        size = sum(array.nbytes for array in weights(model).values())
        cases[name] = {"seconds": float(np.median(seconds)), "bytes": size}
        if name in MEASURED:
            both = on_ranks(replace(model, N=64), budget, program="ours", ranks=2)["training"]
            two[name] = float(np.median(seconds) / np.median(both))
    mpirun = Path(sys.executable).with_name("mpirun")
    command = [
        str(mpirun if mpirun.exists() else "mpirun"),
        "-n",
        "2",
        sys.executable,
        "-m",
        "benchmarks.scaling_model",
    ]
    done = subprocess.run(
        [*command, "--rank"], env=environment(), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    between = json.loads(done.stdout)
    seconds = between["allreduce"]
    here = Network(seconds[0], SIZES[-1] / seconds[-1])
    rates = {name: between[name] for name in ("copy", "add")}
    # Between two ranks in memory the measured time includes the addition.
    modelled = {name: efficiency(2, cases[name], here, rates | {"add": 0.0}) for name in two}
    return {
        "cases": cases,
        "rates": rates,
        "allreduce": {"bytes": SIZES, "seconds": between["allreduce"]},
        "two_ranks_here": {name: {"measured": two[name], "model": modelled[name]} for name in two},
    }


def rank() -> None:
    """Measure messages between two ranks, and copies and additions in memory; rank 0 prints them."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[world.Get_rank() % len(cores)]})

    def best(call, count: int = 40) -> float:
        seconds = []
        for _ in range(count):
            world.Barrier()
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    found: dict[str, Any] = {"allreduce": []}
    for size in SIZES:
        values = np.ones(size // 4, np.float32)

        def exchange(values=values) -> None:
            request = world.Iallreduce(MPI.IN_PLACE, values)
            while not request.Test():
                pass

        found["allreduce"].append(best(exchange))
    source, target = (np.ones(1 << 22, np.float32) for _ in range(2))
    scale = np.float32(0.5)
    copies = best(lambda: np.multiply(source, scale, out=target), 10) + best(lambda: np.copyto(source, target), 10)
    found |= {
        "copy": copies / source.nbytes,
        "add": best(lambda: np.add(source, target, out=target), 10) / source.nbytes,
    }
    if world.Get_rank() == 0:
        sys.stdout.write(json.dumps(found))


# ------------------------------------------------------------------------------------------------------ the page


def tables(result: dict[str, Any]) -> str:
    """Return the tables of the page."""
    chosen = [2, 16, 128, 1024]
    lines = [
        "| model, 32 sequences per rank | parameters | time per step | network |"
        + "".join(f" {count:,} ranks |" for count in chosen),
        "| --- | --: | --: | --- |" + " --: |" * len(chosen),
    ]
    for name, case in result["cases"].items():
        for network, rates in NETWORKS.items():
            shares = [efficiency(count, case, rates, result["rates"]) for count in chosen]
            head = f"{name} | {case['bytes'] / 4e6:.1f} million | {1e3 * case['seconds']:.0f} ms"
            lines.append(f"| {head} | {network} |" + "".join(f" {share:.0%} |" for share in shares))
    lines += ["", "| two ranks on one machine, through memory | measured | model |", "| --- | --: | --: |"]
    for name, row in result["two_ranks_here"].items():
        lines.append(f"| {name} | {row['measured']:.0%} | {row['model']:.0%} |")
    return "\n".join(lines)


def page(text: str, result: dict[str, Any]) -> str:
    """Return the page with the tables of `result`."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n{tables(result)}\n{MARKS[1]}{after}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the efficiency over the number of ranks, one panel per network."""
    from matplotlib.figure import Figure

    figure = Figure((9, 3.2), layout="constrained")
    for axes, (name, network) in zip(figure.subplots(1, 3, sharey=True), NETWORKS.items(), strict=True):
        for case, values in result["cases"].items():
            shares = [efficiency(count, values, network, result["rates"]) for count in RANKS]
            axes.plot(RANKS, shares, marker="o", markersize=3, label=case)
        axes.set_xscale("log", base=2)
        axes.set_ylim(0, 1)
        axes.set_xticks([2, 16, 128, 1024], ["2", "16", "128", "1,024"])
        axes.set_title(name)
        axes.set_xlabel("ranks")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("efficiency")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short measurements, as a smoke test")
    parser.add_argument("--page", action="store_true", help="only write the page, from the last results")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        rank()
        return
    if not options.page:
        result = measured(options.quick)
        path = save("scaling_model", {**machine_facts(["numpy", "mpi4py", "mpich"]), **result}, quick=options.quick)
        print(json.dumps(result["two_ranks_here"]), path.name)
    if not options.quick:
        result = json.loads((RESULTS / "scaling_model.json").read_text(encoding="utf-8"))
        draw(result, PICTURE)
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")


if __name__ == "__main__":
    main()
