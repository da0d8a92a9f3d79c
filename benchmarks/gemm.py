"""Matrix products: ours against NumPy's OpenBLAS in turn, one thread, and the share of the measured FMA peak.

Recurrent shapes run with B packed in advance (`gemm`), packed in the call (`pack+gemm`) and not packed by the caller
(`matmul_into`, with B as it is and transposed); large squares run with `matmul_into` only.
``--eager`` measures what
the eager `matmul` and `linear` call, including the allocation of the result and all checks, in the three layouts of a
linear layer, on one thread and on two.
Run: python -m benchmarks.gemm [--eager]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from benchmarks._harness import environment, machine_facts, pin_to_one_core, save, summary

RECURRENT = [(16, 64, 256), (32, 128, 512), (64, 256, 1024), (20, 650, 2600)]
SQUARE = [(size, size, size) for size in (512, 1024, 2048)]
EAGER = [(8, 16, 16), *RECURRENT[1:], (2048, 256, 1024), (1024, 1024, 1024), (128, 1600, 512)]
DTYPES = ("float32", "float64")


def fma_peak(dtype):
    """Return the highest GFLOP/s of several runs of FMA chains in registers, with enough chains to hide the latency."""
    from llvmlite import ir
    from numba import njit, types
    from numba.extending import intrinsic

    from tinygrad_seq.kernels.llvm.simd import REGISTERS, Writer

    chains, steps = REGISTERS.number - 4, 50_000
    kind = types.float32 if dtype == "float32" else types.float64

    @intrinsic
    def multiply(typing, steps, x):  # noqa: ARG001
        def generate(context, builder, signature, values):  # noqa: ARG001
            steps, x = values
            writer = Writer(builder, kind)
            factor, before = writer.spread(x), builder.block
            loop, end = builder.append_basic_block("loop"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(steps.type)
            sums = [builder.phi(writer.vector) for _ in range(chains)]
            added = [writer.multiply_add(factor, factor, total) for total in sums]
            following = builder.add(k, k.type(1))
            for number, (phi, value) in enumerate(zip((k, *sums), (following, *added), strict=True)):
                start = k.type(0) if phi is k else ir.Constant(writer.vector, [float(number)] * writer.lanes)
                phi.add_incoming(start, before)
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, steps), loop, end)
            builder.position_at_end(end)
            total = added[0]
            for value in added[1:]:
                total = builder.fadd(total, value)
            return builder.extract_element(total, ir.IntType(32)(0))

        return kind(types.intp, kind), generate

    run = njit(lambda steps, x: multiply(steps, x))  # noqa: PLW0108 (an intrinsic is not a function)
    factor, seconds = np.dtype(dtype).type(1e-9), []
    for _ in range(300):
        start = time.perf_counter()
        run(steps, factor)
        seconds.append(time.perf_counter() - start)
    return 2 * chains * steps * (REGISTERS.width // np.dtype(dtype).itemsize) / min(seconds) / 1e9


def contestants(shape, dtype):
    from tinygrad_seq.kernels.gemm.packed import gemm, matmul_into, pack, pack_into

    M, K, N = shape
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(size).astype(dtype) for size in ((M, K), (K, N)))
    turned, panels, c = b.T.copy().T, pack(b), np.empty((M, N), dtype)

    def pack_and_gemm():
        pack_into(b, panels)
        gemm(a, panels, c, False)

    calls = {
        "numpy": lambda: np.dot(a, b, out=c),
        "gemm": lambda: gemm(a, panels, c, False),
        "pack+gemm": pack_and_gemm,
        "matmul_into": lambda: matmul_into(a, b, c, False),
        "numpy b.T": lambda: np.dot(a, turned, out=c),
        "matmul_into b.T": lambda: matmul_into(a, turned, c, False),
    }
    return calls if shape in RECURRENT else {name: calls[name] for name in calls if "gemm" not in name}


def eager_contestants(shape, dtype):
    from tinygrad_seq.kernels.gemm.matmul import multiply

    M, K, N = shape
    rng = np.random.default_rng(0)
    a, b, turned_a, turned_b = (rng.standard_normal(s).astype(dtype) for s in ((M, K), (K, N), (K, M), (N, K)))

    def ours(x, y):
        c = np.empty((x.shape[0], y.shape[1]), x.dtype)
        multiply(x, y, c)
        return c

    calls = {}
    for layout, x, y in (("x @ y", a, b), ("x @ w.T", a, turned_b.T), ("g.T @ x", turned_a.T, b)):
        calls[f"numpy {layout}"] = lambda x=x, y=y: x.dot(y)
        calls[f"ours {layout}"] = lambda x=x, y=y: ours(x, y)
    return calls


def in_turn(calls, shape):
    """Return the seconds per call of each contestant; each sample measures all contestants in turn."""
    flops = 2 * np.prod(shape, dtype=float)
    batch, samples = max(1, int(1e7 / flops)), int(np.clip(2e10 / flops, 3, 30))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(samples):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(batch):
                call()
            seconds[name].append((time.perf_counter() - start) / batch)
    return seconds


def worker(eager, threads):
    if threads == 1:
        pin_to_one_core()
    shapes, make = (EAGER, eager_contestants) if eager else (RECURRENT + SQUARE, contestants)
    cases = {f"{dtype} {'x'.join(map(str, s))}": in_turn(make(s, dtype), s) for dtype in DTYPES for s in shapes}
    if eager:
        return cases
    return {"peak": {dtype: fma_peak(dtype) for dtype in DTYPES}, "cases": cases}


def run_rounds(rounds, *arguments, threads=1):
    """Return the measurements of several fresh processes."""
    command = [sys.executable, __file__, "--worker", "--threads", str(threads), *arguments]
    settings = environment(threads)
    results = []
    for _ in range(rounds):
        done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return results


def compare_eager(count) -> None:
    results = {}
    for threads in (1, 2):
        rounds = run_rounds(count, "--eager", threads=threads)
        for case in rounds[0]:
            row = {}
            for layout in ("x @ y", "x @ w.T", "g.T @ x"):
                medians = {
                    name: statistics.median(s for r in rounds for s in r[case][f"{name} {layout}"])
                    for name in ("numpy", "ours")
                }
                row[layout] = {f"{name}_us": round(1e6 * value, 2) for name, value in medians.items()}
                row[layout]["numpy_over_ours"] = round(medians["numpy"] / medians["ours"], 3)
            results[f"{case} threads={threads}"] = row
            line = (
                f"{name} {r['numpy_us']:.1f} {r['ours_us']:.1f} us ({r['numpy_over_ours']:.2f}x)"
                for name, r in row.items()
            )
            print(f"{case:24s} threads={threads}", "  ".join(line), flush=True)
    facts = {"what": "what eager matmul would call: NumPy over ours", **machine_facts(["numpy", "numba"])}
    facts["load_average"] = [round(load, 1) for load in os.getloadavg()]  # two threads need two idle cores
    print("wrote", save("gemm_eager", {**facts, "results": results}).name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(worker(options.eager, options.threads)))
        return
    command = [sys.executable, __file__, "--worker"]
    rounds = []
    for _ in range(1 if options.quick else options.rounds):
        done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    if options.eager:
        compare_eager(options.rounds)
        return
    rounds = run_rounds(options.rounds)
    peak = {dtype: max(r["peak"][dtype] for r in rounds) for dtype in DTYPES}
    print("FMA peak, GFLOP/s:", ", ".join(f"{dtype} {peak[dtype]:.1f}" for dtype in DTYPES))
    results = {}
    for case in rounds[0]["cases"]:
        dtype, shape = case.split()
        flops = 2 * np.prod([int(size) for size in shape.split("x")], dtype=float)
        seconds = {name: [s for r in rounds for s in r["cases"][case][name]] for name in rounds[0]["cases"][case]}
        rows = {}
        for peer in ("numpy", "numpy b.T"):
            same = {name: seconds[name] for name in seconds if name.endswith("b.T") == peer.endswith("b.T")}
            base = statistics.median(same[peer])
            for name, row in summary(same, peer).items():
                median = statistics.median(same[name])
                row["numpy_over_this"] = round(base / median, 3)
                row["gflops"] = round(flops / median / 1e9, 1)
                row["share_of_peak"] = round(row["gflops"] / peak[dtype], 3)
                del row["peer_over_ours"]
                rows[name] = row
        results[case] = rows
        line = (f"{name} {r['gflops']:.1f} ({r['numpy_over_this']:.2f}x)" for name, r in rows.items())
        print(f"{case:24s}", "  ".join(line))
    facts = {"what": __doc__.splitlines()[0], "threads": 1, **machine_facts(["numpy", "numba"])}
    print("wrote", save("gemm", {**facts, "peak_gflops": peak, "results": results}, options.quick).name)


if __name__ == "__main__":
    main()
