"""Write the figures of ``docs/performance.md`` and the small table of ``README.md`` from ``results/*.json``.

No figure is typed by hand: each page has a block between two markers, which :func:`update` replaces. A ratio is the
median of the peer divided by ours, so above 1 we are faster (or need less memory). If a peer was measured in two forms,
the faster one counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

START, END = "<!-- benchmarks:start -->", "<!-- benchmarks:end -->"
OURS = "tinygrad_seq"
UNKNOWN = "–"
TORCH, JAX, ONNX = ("torch",), ("jax", "jax hoisted"), ("onnxruntime",)
PEERS = {"PyTorch": TORCH, "JAX": JAX, "onnxruntime": ONNX}
BF16, INT8 = f"{OURS} bf16", f"{OURS} int8"
CELLS = ("RNN", "GRU", "LSTM")
CUSTOM = {
    "PyTorch": ("torch", "torch hoisted"),
    "TorchScript": ("torchscript", "torchscript hoisted"),
    "`torch.compile`": ("torch.compile",),
    "JAX scan": JAX,
}

Result = dict[str, Any]
Rows = list[list[str]]


class Section(NamedTuple):
    """One question and its answer: a title, a sentence on what the numbers are, the heads and rows of a table."""

    title: str
    text: str
    heads: list[str]
    rows: Rows


def update(page: Path, block: str) -> None:
    """Put `block` between the markers of `page`.

    Raises
    ------
    ValueError
        If the page does not have each marker exactly once, the start before the end.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"{page.name}: expected {START} and then {END} once, where the tables belong.")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    page.write_text(f"{before}{START}\n{block}\n{END}{after}", encoding="utf-8")


def read(results: Path) -> dict[str, Result]:
    """Return all results by subject, without those of ``--quick``."""
    paths = [path for path in sorted(results.glob("*.json")) if not path.stem.endswith("_quick")]
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def tables(found: dict[str, Result]) -> str:
    """Return all sections of the page in Markdown, one per question that has been measured."""
    parts = []
    for subject, writers in SECTIONS.items():
        for write in writers if subject in found else ():
            title, text, heads, rows = write(found[subject])
            if rows:
                parts.append(f"## {title}\n\n{text}\n\n{markdown(heads, rows)}\n\n{source(subject, found[subject])}")
    return "\n\n".join(parts)


def summary(found: dict[str, Result]) -> str:
    """Return the small table of README.md: the lowest and highest ratio over all cases of a subject."""
    lines = [
        ("RNN, GRU, LSTM: training step", "layers", "training", TORCH, JAX, ()),
        ("RNN, GRU, LSTM: inference", "layers", "inference", TORCH, JAX, ONNX),
        ("five custom cells: training step", "custom_cells", "training", CUSTOM["PyTorch"], JAX, ()),
        ("language model: training step with Adam", "training", "training", TORCH, (), ()),
        ("LSTM: one sampled token", "sampling", "token", ("torch", "torch LSTMCell"), (), ONNX),
        ("RNN, GRU, LSTM: peak memory of a training step", "memory", "peak", TORCH, (), ()),
    ]
    rows = [
        [what, *(span(found[subject], measure, peers) for peers in groups)]
        for what, subject, measure, *groups in lines
        if subject in found
    ]
    return markdown(["ratio to ours, lowest to highest case", *PEERS], rows)


# ------------------------------------------------------------------------------------------- reading a result


def median(result: Result, case: str, measure: str, contestant: str = OURS) -> float | None:
    """Return a median, None if it was not measured."""
    row = result.get("results", {}).get(case, {}).get(measure, {}).get(contestant)
    return None if row is None else row["median"]


def quotient(result: Result, case: str, measure: str, peers: tuple[str, ...], ours: str = OURS) -> float | None:
    """Return the time of the fastest of `peers` divided by ours, None if it was not measured."""
    base = median(result, case, measure, ours)
    times = [time for peer in peers if (time := median(result, case, measure, peer)) is not None]
    return min(times) / base if base and times else None


def ratio(result: Result, case: str, measure: str, *peers: str) -> str:
    """Return :func:`quotient` as text."""
    value = quotient(result, case, measure, peers)
    return UNKNOWN if value is None else f"{value:.2f}"


def span(result: Result, measure: str, peers: tuple[str, ...]) -> str:
    """Return the lowest and the highest ratio over all cases."""
    values = [value for case in result["results"] if (value := quotient(result, case, measure, peers)) is not None]
    if not values:
        return UNKNOWN
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def milliseconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{1e3 * seconds:.3g} ms"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def times(text: str) -> str:
    return text.replace("x", " × ")


def markdown(heads: list[str], rows: Rows) -> str:
    """Return a table, the first column aligned left and the others right."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def source(subject: str, result: Result) -> str:
    """Return the script, the file and the machine of a result, and the peers that did not run."""
    script = f"{subject}.py" if not subject.startswith("parity_") else f"parity/{subject.removeprefix('parity_')}.py"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    data = f"[`results/{subject}.json`](../benchmarks/results/{subject}.json)"
    missing = [f"Not measured: {peer}, {reason}." for peer, reason in sorted(result.get("missing", {}).items())]
    load = f", load {result['load_before']:.1f}" if "load_before" in result else ""
    machine = f"{result['processor']}, {result['cores']} cores{load}; {versions}; {result['date']}."
    return " ".join([f"*`{script}`, {data}: {machine}", *missing]) + "*"


# ------------------------------------------------------------------------------------------------ the sections


def layers(measure: str, title: str, chosen: Callable[[int, int], bool]) -> Callable[[Result], Section]:
    """Return the section on RNN, GRU and LSTM in training or inference, in the shapes whose T and N are chosen."""

    def write(result: Result) -> Section:
        shapes = dict.fromkeys(case.split()[1] for case in result["results"])
        peers = PEERS if measure == "inference" else {name: PEERS[name] for name in ("PyTorch", "JAX")}
        rows = [
            [
                times(shape),
                *(ratio(result, f"{cell} {shape}", measure, *names) for cell in CELLS for names in peers.values()),
                milliseconds(median(result, f"LSTM {shape}", measure)),
            ]
            for shape in shapes
            if chosen(*map(int, shape.split("x")[:2]))
        ]
        heads = [f"{cell}: {peer}" for cell in CELLS for peer in peers]
        text = "Float32, one thread. Ratio: time of the peer divided by ours."
        return Section(title, text, ["T × N × I × H", *heads, "our LSTM"], rows)

    return write


def low_precision(title: str, ours: str, columns: dict[str, tuple[str, ...]]) -> Callable[[Result], Section]:
    """Return the section on our layer in one precision; a column is a measure and the contestants compared with."""

    def write(result: Result) -> Section:
        rows = []
        for case in result["results"]:
            values = [quotient(result, case, measure, tuple(peers), ours) for measure, *peers in columns.values()]
            rows.append([times(case), *(UNKNOWN if value is None else f"{value:.2f}" for value in values)])
        text = "One thread. Ratio: time of the other divided by that of our layer in this precision."
        return Section(title, text, ["case, T × N × I × H", *columns], rows)

    return write


def threads(result: Result) -> Section:
    two, rows = f"{OURS}, 2 threads", []
    for case in result["results"]:
        values = [
            quotient(result, case, measure, (other,), two)
            for measure in ("training", "inference")
            for other in (OURS, "torch, 2 threads")
        ]
        rows.append([times(case), *(UNKNOWN if value is None else f"{value:.2f}" for value in values)])
    text = (
        "Layers with few rows, and both directions of a bidirectional layer (Bi), on two threads. Ratio: our time on "
        "one thread, and that of PyTorch on two, divided by ours on two."
    )
    heads = [f"{measure}: {other}" for measure in ("training", "inference") for other in ("speed-up", "PyTorch")]
    return Section("Two threads, few rows", text, ["case, T × N × I × H", *heads], rows)


def per_token(result: Result) -> Section:
    rows = [
        [case, ratio(result, case, "training", *TORCH), milliseconds(median(result, case, "training"))]
        for case in result["results"]
    ]
    text = (
        "Training step of a program that calls the layer once per token, one sequence of T tokens: embedding, layer, "
        "readout, loss, backward and Adam. Ratio: time of PyTorch divided by ours."
    )
    return Section("One call per token", text, ["program", "PyTorch", "ours"], rows)


def custom_cells(result: Result) -> Section:
    rows = [
        [
            cell,
            *(ratio(result, cell, "training", *names) for names in CUSTOM.values()),
            milliseconds(median(result, cell, "training")),
        ]
        for cell in result["results"]
    ]
    text = "Training step at T=50 N=32 I=64 H=128, one thread. Ratio: time of the peer divided by ours."
    return Section("Custom cells", text, ["cell", *CUSTOM, "ours"], rows)


def matrix_cells(result: Result) -> Section:
    rows = []
    for case in result["results"]:
        limits = [quotient(result, case, measure, (OURS,), "limit") for measure in ("forward", "backward")]
        peers = [quotient(result, case, m, ("torch, loop", "torch, one block")) for m in ("forward", "backward")]
        rows.append([times(case), *(UNKNOWN if value is None else f"{value:.2f}" for value in (*limits, *peers))])
    text = (
        "Cells with a matrix state and state-space cells, one thread. The first columns are our time divided by the "
        "limit, the larger of FLOPs / FMA peak and bytes / copy bandwidth: 1 is the lower limit. The others are the "
        "time of PyTorch, step by step or in one block, divided by ours."
    )
    heads = ["forward / limit", "backward / limit", "PyTorch forward", "PyTorch backward"]
    return Section("Matrix-valued and state-space cells", text, ["cell, T × N × I × H", *heads], rows)


def busy_neighbour(result: Result) -> Section:
    rows = [[times(case), f"{found['ratio']:.2f}"] for case, found in result["results"].items()]
    text = (
        "Beside processes that never pause, on no core, on one or on both: mean time on one thread divided by that on "
        "two, in turn in one process."
    )
    return Section("Two threads beside a busy process", text, ["case, T × N × I × H", "speed-up"], rows)


def training(result: Result) -> Section:
    tokens, rows = result["tokens_per_step"], []
    for case in result["results"]:
        seconds = median(result, case, "training")
        count = tokens[case] if isinstance(tokens, dict) else tokens
        speed = f"{count / seconds:,.0f}" if seconds else UNKNOWN
        two, peer = (median(result, case, "training", f"{name}, 2 threads") for name in (OURS, TORCH[0]))
        both = f"{peer / two:.2f}" if two and peer else UNKNOWN
        rows.append([case, speed, ratio(result, case, "training", *TORCH), both, ratio(result, case, "peak", *TORCH)])
    text = (
        "A whole training step of a language model: embedding, layers, readout, loss, backward, clipping and Adam. "
        "Ratio: time of PyTorch divided by ours, on one and on two threads; memory of PyTorch divided by ours."
    )
    return Section("Language-model training", text, ["model", "our tokens/s", "PyTorch", "two threads", "memory"], rows)


def lengths(result: Result) -> Section:
    rows = [
        [
            times(case.split()[1]),
            *(ratio(result, case, "training", name) for name in ("torch packed", f"{OURS} padded")),
        ]
        for case in result["results"]
    ]
    text = (
        "LSTM training step on sequences whose lengths are spread from 1 to T. Ratio: time of PyTorch on packed "
        "sequences, and of our own layer on the same batch without `lengths`, divided by ours with `lengths`."
    )
    return Section("Variable lengths", text, ["T × N × I × H", "PyTorch, packed", "ours, padded"], rows)


def options(result: Result) -> Section:
    worst: dict[str, float] = {}
    for case in result["results"]:
        option, found = case.split()[0], median(result, case, "ratio")
        if found is not None:
            worst[option] = max(found, worst.get(option, 0.0))
    text = (
        "Training step with one option divided by the step without it, in turn in one process, by processor time: the "
        "highest of LSTM and GRU in two sizes. Here lower is better."
    )
    rows = [[f"`{option}`", f"{found:.2f}"] for option, found in worst.items()]
    return Section("Cost of each option", text, ["option", "with / without"], rows)


def sampling(result: Result) -> Section:
    peers = ("torch", "torch LSTMCell", "onnxruntime")
    rows = []
    for case in result["results"]:
        seconds = median(result, case, "token")
        ours = UNKNOWN if seconds is None else f"{1e6 * seconds:.0f} µs"
        rows.append([case, *(ratio(result, case, "token", name) for name in peers), ours])
    text = "The time to sample one token from an LSTM language model. Ratio: time of the peer divided by ours."
    return Section("Sampling", text, ["case", *peers, "ours"], rows)


def serving(result: Result) -> Section:
    rows = []
    for case in result["results"]:
        found = [
            f"{1e3 * ours:.3g} / {1e3 * peer:.3g} ms" if ours and peer else UNKNOWN
            for measure in result["units"]
            for ours, peer in [[median(result, case, measure, name) for name in (OURS, TORCH[0])]]
        ]
        rows.append([case, *found])
    text = (
        "`examples/serve.py` on loopback, 50 tokens per request, clients on the other core: ours / the same server on "
        "PyTorch."
    )
    return Section("Serving", text, ["case", *result["units"]], rows)


def time_to_quality(title: str, peer: str, text: str) -> Callable[[Result], Section]:
    """Return the section of a task on which both are trained until a held-out score is reached."""

    def write(result: Result) -> Section:
        rows = []
        for case in result["results"]:
            passes = [median(result, case, "epochs", name) for name in (OURS, peer)]
            counted = UNKNOWN if None in passes else " / ".join(f"{count:.0f}" for count in passes)
            ratios = [ratio(result, case, measure, peer) for measure in ("goal", "epoch")]
            seconds = median(result, case, "goal")
            rows.append([case, *ratios, counted, UNKNOWN if seconds is None else f"{seconds:.3g} s"])
        heads = ["case", "to the goal", "one pass", "passes, ours / peer", "ours, to the goal"]
        return Section(title, f"{text} Ratio: time of the peer divided by ours.", heads, rows)

    return write


def data_parallel(result: Result) -> Section:
    ours, alone, peer = f"{OURS}, 2 ranks", f"{OURS}, one process", "torch DDP, 2 ranks"
    rows = []
    for case in result["results"]:
        values = [quotient(result, case, "training", (name,), ours) for name in (peer, alone)]
        shown = [UNKNOWN if value is None else f"{value:.2f}" for value in values]
        rows.append([case, *shown, milliseconds(median(result, case, "training", ours))])
    text = (
        "One training step of a language model on two ranks, one core each, that average gradients by MPI. Ratio: "
        "time of PyTorch's DistributedDataParallel (gloo), and of one process with the whole batch, divided by ours."
    )
    return Section("Data-parallel training", text, ["case", "PyTorch DDP", "one process", "ours"], rows)


def onnx_export(result: Result) -> Section:
    rows = [
        [case, ratio(result, case, "inference", *ONNX), milliseconds(median(result, case, "inference"))]
        for case in result["results"]
    ]
    text = (
        "onnxruntime on the files that `ts.interop.to_onnx` writes: LSTM and GRU are native nodes, the others a Scan. "
        "Ratio: onnxruntime divided by our layer."
    )
    return Section("Exported models", text, ["case, I=64 H=128", "onnxruntime", "ours"], rows)


def memory(result: Result) -> Section:
    rows = []
    for case in result["results"]:
        peak = median(result, case, "peak")
        ours = UNKNOWN if peak is None else f"{peak / 2**20:.0f} MiB"
        rows.append([times(case), ratio(result, case, "peak", *TORCH), ours])
    text = (
        "The most resident memory a training step needs above what was resident before it. "
        "Ratio: PyTorch divided by ours."
    )
    return Section("Peak memory", text, ["case, T × N × I × H", "PyTorch", "ours"], rows)


def scaling(result: Result) -> Section:
    rows = []
    for case in result["results"]:
        one, two = (median(result, case, "training", name) for name in (OURS, f"{OURS}, 2 threads"))
        if one and two:
            rows.append([times(case), f"{one / two:.2f}"])
    text = "LSTM training step: time on one thread divided by time on two."
    return Section("Two threads", text, ["case, T × N × I × H", "speed-up"], rows)


def peak(result: Result) -> Section:
    rows = []
    for case in result["results"]:
        share = {name: median(result, case, "share of peak", name) for name in (OURS, "torch", "jax")}
        if share[OURS] is not None:
            most = f"{1 / share['torch']:.2f}" if share["torch"] else UNKNOWN
            rows.append([times(case), *map(percent, share.values()), most])
    text = (
        "The share of the processor's measured FMA peak that the matrix products of a training step reach, one thread, "
        "float32. The last column bounds the ratio to PyTorch: it is the ratio of an implementation that runs its "
        "products at the peak and spends no time on anything else."
    )
    heads = ["case, T × N × I × H", "ours", "PyTorch", "JAX", "highest possible ratio to PyTorch"]
    return Section("Share of the processor's peak: training", text, heads, rows)


def peak_of_inference(result: Result) -> Section:
    names = (OURS, "torch", "jax", "onnxruntime")
    rows = [
        [times(case), *(percent(median(result, case, "inference: share of peak", name)) for name in names)]
        for case, measures in result["results"].items()
        if "inference: share of peak" in measures
    ]
    text = "The same for inference."
    heads = ["case, T × N × I × H", "ours", *PEERS]
    return Section("Share of the processor's peak: inference", text, heads, rows)


def memory_bound(result: Result) -> Section:
    cases = ((case, median(result, case, "training over streaming")) for case in result["results"])
    rows = [[case, f"{found:.1f}"] for case, found in cases if found is not None]
    text = (
        "Training step of cells without a matrix product in the loop, divided by the time to stream their buffers "
        "through memory once: 1 is the lower limit. The step reads what the products would give it; they are not timed."
    )
    return Section("Memory-bound loops", text, ["cell", "time / streaming"], rows)


def compile_time(result: Result) -> Section:
    rows = []
    for case in result["results"]:
        cold, warm = (median(result, case, measure) for measure in ("cold", "warm"))
        compilations = median(result, case, "compilations at new sizes")
        if cold is not None and warm is not None and compilations is not None:
            rows.append([case, f"{cold:.2f} s", f"{warm:.2f} s", f"{compilations:.0f}"])
    text = (
        "How much longer the first training step takes than the second: with an empty cache (cold) and with the cache "
        "of an earlier process (warm); and how many compilations new values of T, N, I and H cause."
    )
    return Section("Compile time", text, ["case", "cold", "warm", "compilations at new sizes"], rows)


def eager_overhead(result: Result) -> Section:
    peers = ("torch", "mygrad", "autograd")
    rows = [
        [
            case,
            *(ratio(result, case, "training", name) for name in peers),
            milliseconds(median(result, case, "training")),
        ]
        for case in result["results"]
    ]
    text = "Forward and backward of small operations that are not compiled. Ratio: time of the peer divided by ours."
    return Section("Eager overhead", text, ["case", *peers, "ours"], rows)


def gemm(result: Result) -> Section:
    """Keep the form that the engine uses: packed beforehand in the loop, `matmul_into` elsewhere."""
    rows = [
        [times(case), f"{(forms.get('gemm') or forms['matmul_into'])['numpy_over_this']:.2f}"]
        for case, forms in result["results"].items()
    ]
    text = (
        "Matrix products M × K × N, one thread. Ratio: time of NumPy's OpenBLAS divided by ours. "
        "The shapes of recurrent steps have their weights packed beforehand, as in a compiled loop."
    )
    return Section("Matrix products", text, ["case", "NumPy"], rows)


def import_time(result: Result) -> Section:
    rows = [["`import tinygrad_seq` / `import numba`", f"{result['ours_over_numba']:.2f}"]]
    return Section("Import time", "Fresh processes in turn. Here lower is better.", ["question", "ratio"], rows)


def parity_language_model(result: Result) -> Section:
    text = "The same weights, data and Adam as PyTorch, float64: how far do the loss curves differ?"
    rows = [[f"LSTM language model, {result['steps']} steps", f"{result['largest_difference']:.1e}"]]
    return Section("Agreement with PyTorch: training", text, ["case", "largest difference"], rows)


def parity_recurrent(result: Result) -> Section:
    text = (
        "RNN, GRU and LSTM over all combinations of PyTorch's arguments, packed sequences included: the largest "
        "difference of outputs, states and gradients."
    )
    rows = [
        [f"{result['cases'][dtype]} combinations, {dtype}", f"{gap:.1e}"]
        for dtype, gap in result["largest_difference"].items()
    ]
    return Section("Agreement with PyTorch: RNN, GRU, LSTM", text, ["cases", "largest difference"], rows)


def parity(title: str, what: str) -> Callable[[Result], Section]:
    """Return the section on a comparison of values and gradients with PyTorch in float64."""

    def write(result: Result) -> Section:
        text = f"{what}, float64: the largest difference of outputs and gradients."
        rows = [[f"{result['cases']} cases", f"{result['largest_difference']:.1e}"]]
        return Section(f"Agreement with PyTorch: {title}", text, ["cases", "largest difference"], rows)

    return write


SECTIONS: dict[str, tuple[Callable[[Result], Section], ...]] = {
    "layers": (
        layers("training", "Training step, forward and backward", lambda _, N: N > 1),
        layers("training", "Training step, one row", lambda T, N: N == 1 < T),
        layers("inference", "Inference", lambda _, N: N > 1),
        layers("inference", "Inference, one row", lambda T, N: N == 1 < T),
        layers("training", "Training step of one time step", lambda T, _: T == 1),
        layers("inference", "Inference of one time step", lambda T, _: T == 1),
    ),
    "low_precision": (
        low_precision(
            "LSTM in bfloat16",
            BF16,
            {
                f"{measure}: {name}": (measure, *peers)
                for measure in ("training", "inference")
                for name, *peers in (
                    ("ours, float32", OURS),
                    ("PyTorch, float32", "torch"),
                    ("PyTorch", "torch bf16", "torch bf16 weights"),
                )
            },
        ),
        low_precision(
            "LSTM in int8, inference",
            INT8,
            {
                "ours, float32": ("inference", OURS),
                "onnxruntime": ("inference", "onnxruntime int8"),
                "PyTorch": ("inference", "torch int8"),
            },
        ),
    ),
    "per_token": (per_token,),
    "custom_cells": (custom_cells,),
    "matrix_cells": (matrix_cells,),
    "training": (training,),
    "lengths": (lengths,),
    "options": (options,),
    "sampling": (sampling,),
    "serving": (serving,),
    "onnx_export": (onnx_export,),
    "ragged_classification": (
        time_to_quality(
            "Classification of ragged texts",
            "skorch",
            "`SequenceClassifier` and skorch with a packed LSTM of PyTorch, until 95 % of held-out texts are right.",
        ),
    ),
    "tagging_crf": (
        time_to_quality(
            "Tagging with a CRF",
            "torch",
            "`SequenceTagger` and a BiLSTM of PyTorch with pytorch-crf, until the held-out span F1 is reached.",
        ),
    ),
    "data_parallel": (data_parallel,),
    "memory": (memory,),
    "compile_time": (compile_time,),
    "scaling": (scaling,),
    "threads": (threads,),
    "busy_neighbour": (busy_neighbour,),
    "peak": (peak, peak_of_inference),
    "memory_bound": (memory_bound,),
    "eager_overhead": (eager_overhead,),
    "gemm": (gemm,),
    "import_time": (import_time,),
    "parity_language_model": (parity_language_model,),
    "parity_recurrent": (parity_recurrent,),
    "parity_layers": (parity("layers", "Recurrent and other layers"),),
    "parity_seq2seq": (parity("attention and CTC", "Multi-head attention, CTC and attention decoders"),),
}
