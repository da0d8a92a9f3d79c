"""The figures of README.md, written from ``results/*.json`` between two markers; no figure is typed by hand.

A ratio is the median of the peer over ours: above 1 we are faster. Of two forms of a peer the faster one counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

START, END = "<!-- benchmarks:start -->", "<!-- benchmarks:end -->"
OURS = "tinygrad_seq"
UNKNOWN = "–"

Result = dict[str, Any]


def tables(results: Path) -> str:
    """Return the tables in Markdown, of those results that are there."""
    paths = [path for path in sorted(results.glob("*.json")) if not path.stem.endswith("_quick")]
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    parts = [write(found) for write in (layers, custom_cells, single_figures)]
    notes = conditions(found)
    return "\n\n".join(part for part in (*parts, notes) if part)


def update(readme: Path, results: Path) -> None:
    """Put the tables between the markers of `readme`.

    Raises
    ------
    ValueError
        If the two markers are not there.
    """
    text = readme.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"{readme.name}: expected {START} and then {END} once, where the tables belong.")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{START}\n{tables(results)}\n{END}{after}", encoding="utf-8")


# ------------------------------------------------------------------------------------------- reading a result


def median(result: Result, case: str, measure: str, contestant: str = OURS) -> float | None:
    """Return a median, None where it was not measured."""
    row = result.get("results", {}).get(case, {}).get(measure, {}).get(contestant)
    return None if row is None else row["median"]


def ratio(result: Result, case: str, measure: str, *peers: str) -> str:
    """Return how many times the time of ours the fastest of `peers` takes."""
    base = median(result, case, measure)
    times = [time for peer in peers if (time := median(result, case, measure, peer)) is not None]
    return f"{min(times) / base:.2f}" if base and times else UNKNOWN


def milliseconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{1e3 * seconds:.3g} ms"


def markdown(heads: list[str], rows: list[list[str]], others: str = "--:") -> str:
    """Return a table, the first column to the left and the others to the right."""
    lines = [heads, ["---", *[others] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ------------------------------------------------------------------------------------------------- the tables


def layers(found: dict[str, Result]) -> str:
    """Return a row for each shape: ratios of training and inference for the three cells."""
    if "layers" not in found:
        return ""
    result = found["layers"]
    shapes = list(dict.fromkeys(case.split()[1] for case in result["results"]))
    parts = []
    for measure, title in (("training", "Training step, forward and backward"), ("inference", "Inference")):
        rows = [
            [
                shape.replace("x", " × "),
                *(
                    ratio(result, f"{cell} {shape}", measure, *peers)
                    for cell in ("RNN", "GRU", "LSTM")
                    for peers in (("torch",), ("jax", "jax hoisted"))
                ),
                milliseconds(median(result, f"LSTM {shape}", measure)),
            ]
            for shape in shapes
        ]
        heads = [f"{cell}: {peer}" for cell in ("RNN", "GRU", "LSTM") for peer in ("`torch.nn`", "JAX scan")]
        table = markdown(["T × N × I × H", *heads, "our LSTM"], rows)
        parts.append(f"**{title}**, one thread, time of the peer over ours:\n\n{table}")
    return "\n\n".join(parts)


def custom_cells(found: dict[str, Result]) -> str:
    """Return a row for each custom cell: ratios of the training step, and ours in milliseconds."""
    if "custom_cells" not in found:
        return ""
    result = found["custom_cells"]
    peers = {
        "PyTorch": ("torch", "torch hoisted"),
        "TorchScript": ("torchscript", "torchscript hoisted"),
        "`torch.compile`": ("torch.compile",),
        "JAX scan": ("jax", "jax hoisted"),
    }
    rows = [
        [
            cell,
            *(ratio(result, cell, "training", *names) for names in peers.values()),
            milliseconds(median(result, cell, "training")),
        ]
        for cell in result["results"]
    ]
    table = markdown(["cell", *peers, "ours"], rows)
    return f"**Custom cells**, training step at T=50 N=32 I=64 H=128, time of the peer over ours:\n\n{table}"


def single_figures(found: dict[str, Result]) -> str:
    """Return a row for each of the other questions that has an answer."""
    questions = {
        "eager_overhead": eager_overhead,
        "lengths": lengths,
        "options": options,
        "training": training,
        "sampling": sampling,
        "memory": memory,
        "scaling": scaling,
        "peak": peak,
        "memory_bound": memory_bound,
        "compile_time": compile_time,
        "gemm": gemm,
        "import_time": import_time,
    }
    rows = [[*row, f"`{name}.py`"] for name, write in questions.items() if name in found for row in write(found[name])]
    return f"**Other questions**\n\n{markdown(['question', 'answer', 'script'], rows, '---')}" if rows else ""


def eager_overhead(result: Result) -> list[list[str]]:
    case = next(iter(result["results"]))
    peers = (f"{name} {ratio(result, case, 'training', name)}" for name in ("torch", "mygrad", "autograd"))
    return [["eager loop of 250 small operations, forward and backward: peer over ours", ", ".join(peers)]]


def lengths(result: Result) -> list[list[str]]:
    question = "LSTM training, lengths from 1 to T: PyTorch's packed sequences, and our own padded run, over ours"
    answers = []
    for case in result["results"]:
        packed, padded = (ratio(result, case, "training", name) for name in ("torch packed", f"{OURS} padded"))
        answers.append(f"{case.split()[1]} {packed}, {padded}")
    return [[question, "; ".join(answers)]]


def options(result: Result) -> list[list[str]]:
    worst: dict[str, float] = {}
    for case in result["results"]:
        option, times = case.split()[0], median(result, case, "ratio")
        if times is not None:
            worst[option] = max(times, worst.get(option, 0.0))
    answer = ", ".join(f"{option} {times:.2f}" for option, times in worst.items())
    return [["training step with an option over that without, the most of LSTM and GRU in two sizes", answer]]


def training(result: Result) -> list[list[str]]:
    tokens, answers = result["tokens_per_step"], []
    for cell in result["results"]:
        seconds = median(result, cell, "training")
        speed = f"{tokens / seconds:,.0f}" if seconds else UNKNOWN
        answers.append(f"{cell} {speed} ({ratio(result, cell, 'training', 'torch')})")
    return [["language-model training with Adam, H=256: tokens/s (over PyTorch's)", ", ".join(answers)]]


def sampling(result: Result) -> list[list[str]]:
    case = next(iter(result["results"]))
    seconds = median(result, case, "token")
    answer = UNKNOWN if seconds is None else f"{1e6 * seconds:.0f} µs"
    peers = (f"{name} {ratio(result, case, 'token', name)}" for name in ("torch", "torch LSTMCell", "onnxruntime"))
    return [["a sampled token, LSTM H=256 (peer over ours)", f"{answer}; {', '.join(peers)}"]]


def memory(result: Result) -> list[list[str]]:
    answers = []
    for case in result["results"]:
        peak = median(result, case, "peak")
        size = UNKNOWN if peak is None else f"{peak / 2**20:.0f} MiB"
        answers.append(f"{case} {size} ({ratio(result, case, 'peak', 'torch')})")
    return [["peak memory of a training step (PyTorch's over ours)", "; ".join(answers)]]


def scaling(result: Result) -> list[list[str]]:
    gains = {}
    for case in result["results"]:
        one, two = (median(result, case, "training", name) for name in (OURS, f"{OURS}, 2 threads"))
        if one and two:
            gains[case] = one / two
    large = gains.get("LSTM 64x64x128x256")
    answer = f"{UNKNOWN if large is None else f'{large:.2f}'}; least of {len(gains)} sizes {min(gains.values()):.2f}"
    return [["two threads over one, LSTM 64 × 64 × 128 × 256", answer]] if gains else []


def peak(result: Result) -> list[list[str]]:
    """Return the shares of the peak, and the ratio to PyTorch that products at the peak and nothing else would give."""
    answers = []
    for case in result["results"]:
        share = {name: median(result, case, "share of peak", name) for name in (OURS, "torch", "jax")}
        if share[OURS] is not None:
            shown = [f"{name} {100 * part:.0f} %" for name, part in share.items() if name != OURS and part is not None]
            most = f" (at most {1 / share['torch']:.2f})" if share["torch"] else ""
            answers.append(", ".join([f"{case} {100 * share[OURS]:.0f} %", *shown]) + most)
    question = "share of the FMA peak, training (the ratio to PyTorch if nothing but products at the peak took time)"
    return [[question, "; ".join(answers)]] if answers else []


def memory_bound(result: Result) -> list[list[str]]:
    cases = ((case, median(result, case, "training over streaming")) for case in result["results"])
    answers = [f"{case} {times:.1f}" for case, times in cases if times is not None]
    return [["memory-bound loops, training: times the time to stream their buffers once", ", ".join(answers)]]


def compile_time(result: Result) -> list[list[str]]:
    answers = []
    for case in result["results"]:
        cold, warm = (median(result, case, measure) for measure in ("cold", "warm"))
        compilations = median(result, case, "compilations at new sizes")
        if cold is not None and warm is not None and compilations is not None:
            answers.append(f"{case} {cold:.1f} s cold, {warm:.2f} s warm, {compilations:.0f} compilations at new sizes")
    return [["first training step above the second", "; ".join(answers)]]


def gemm(result: Result) -> list[list[str]]:
    cases = {case: rows for case, rows in result["results"].items() if case.startswith("float32")}
    recurrent = [rows["gemm"]["numpy_over_this"] for rows in cases.values() if "gemm" in rows]
    squares = [rows["matmul_into"]["numpy_over_this"] for rows in cases.values() if "gemm" not in rows]
    answer = f"recurrent shapes {min(recurrent):.2f} to {max(recurrent):.2f}"
    return [["float32 products: NumPy's OpenBLAS over ours", f"{answer}, squares from {min(squares):.2f}"]]


def import_time(result: Result) -> list[list[str]]:
    return [["`import tinygrad_seq` over `import numba` alone", f"{result['ours_over_numba']:.2f}"]]


def conditions(found: dict[str, Result]) -> str:
    """Return a line on what was measured with what, and on peers that did not run."""
    if not found:
        return ""
    versions, processors, missing = {}, set(), {}
    for name, result in found.items():
        if "processor" not in result:
            continue
        processors.add(f"{result['processor']}, {result['cores']} cores")
        versions |= {k: v for k, v in result["versions"].items() if v != "not installed"}
        for contestant, reason in result.get("missing", {}).items():
            missing.setdefault(f"{contestant} ({reason})", []).append(name)
    lines = [f"{'; '.join(sorted(processors))}; {', '.join(f'{k} {v}' for k, v in sorted(versions.items()))}."]
    lines += [f"Not measured: {contestant} in {', '.join(names)}." for contestant, names in sorted(missing.items())]
    return "\n".join(lines)
