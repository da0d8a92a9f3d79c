"""``tinygrad-seq score``."""

from __future__ import annotations

import itertools
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ..base.files import printable
from ..data.text_stream import read_lines
from ..errors import DataError
from ..metrics import perplexity
from ..nn.quantization import quantize
from ..train.run import Run
from .arguments import WIDE, Checkpoint, Folder, Precision, Trust, examples, four_figures

EXAMPLES = examples(
    'score runs/demo "The apple and pear salad." "The apple and pair salad."',
    "score runs/demo < sentences.txt",
    "score runs/demo --groups < examples/homophones.txt",
)
_HEADER = ("rank", "log P", "perplexity", "tokens", "P / best", "sentence")
_ESSENTIAL = ("rank", "P / best", "sentence")


def score(
    run: Folder,
    sentences: Annotated[
        list[str] | None,
        typer.Argument(help="The sentences; by default they are read from standard input, one per line."),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Blank lines separate groups of sentences; rank each group by itself.")
    ] = False,
    encoding: Annotated[
        str, typer.Option(help="Encoding of standard input: auto (UTF-8, or as its byte order mark says), latin-1, ...")
    ] = "auto",
    checkpoint: Checkpoint = None,
    precision: Precision = "float32",
    trust: Trust = False,
) -> None:
    """Rank sentences by probability.

    P(sentence) is the probability that a unit of the text (paragraph, line or document, as trained) is this sentence:
    it starts after <EOS>, and the <EOS> that ends it counts as a token. log P is in nats. P / best is the probability
    relative to that of the best sentence.
    """
    if any(not text.strip() for text in sentences or ()):
        raise DataError("score: expected sentences, got a blank one; leave it out.")
    opened = Run.open(run, trust=trust)
    texts = _grouped(sentences or _lines(encoding), groups)
    if not texts:
        raise DataError("score: expected at least one sentence, got none; pass it in quotes, or pass lines by a pipe.")
    tokens = _encode(opened, texts)
    model, _ = opened.load_model(checkpoint)
    if precision != "float32":
        model = quantize(model, precision)
    total = sum(map(len, tokens))
    log_p = [float(model.log_probability(row).sum()) for row in _counted(itertools.chain(*tokens), total)]
    rows: list[tuple[str, ...]] = [_HEADER]
    for group, encoded in zip(texts, tokens, strict=True):
        if len(rows) > 1:
            rows.append(("",) * len(_HEADER))
        rows += _ranked(group, [len(row) - 1 for row in encoded], log_p[: len(group)])
        del log_p[: len(group)]
    _write(rows)


def _lines(encoding: str) -> Iterator[str]:
    if sys.stdin is None:  # closed by the caller
        return iter(())
    if sys.stdin.isatty():
        sys.stderr.write("Enter one sentence per line; end with Ctrl-D.\n")
    return read_lines(sys.stdin.buffer, "score", "standard input", encoding)


def _grouped(texts: Iterable[str], by_blank_lines: bool) -> list[list[str]]:
    runs = itertools.groupby(texts, lambda text: bool(text.strip()))
    groups = [list(run) for filled, run in runs if filled]
    return groups if by_blank_lines else [list(itertools.chain(*groups))] if groups else []


def _encode(run: Run, groups: list[list[str]]) -> list[list[NDArray[np.int64]]]:
    try:
        return [[run.encode(text) for text in group] for group in groups]
    except DataError:  # name what is unknown in all sentences, not in the first only
        between = "" if run.vocabulary.level == "char" else " "
        run.encode(between.join(itertools.chain(*groups)))
        raise


def _counted(rows: Iterable[NDArray[np.int64]], total: int) -> Iterator[NDArray[np.int64]]:
    """Yield `rows`; if that takes long, report to standard error how many are done."""
    in_place = sys.stderr.isatty()
    last = time.monotonic()
    for done, row in enumerate(rows):
        if time.monotonic() > last + (1.0 if in_place else 10.0):
            last = time.monotonic()
            sys.stderr.write(f"scored {done:,} of {total:,} sentences" + ("\r" if in_place else "\n"))
            sys.stderr.flush()
        yield row


def _ranked(texts: list[str], sizes: list[int], log_p: list[float]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the table, the most probable sentence first; equal probabilities share a rank."""
    order = sorted(range(len(texts)), key=lambda i: -log_p[i])
    best, rank = log_p[order[0]], 1
    for place, i in enumerate(order, 1):
        if log_p[i] < log_p[order[rank - 1]]:
            rank = place
        ppl = four_figures(perplexity(-log_p[i] / sizes[i]))
        yield str(rank), f"{log_p[i]:.2f}", ppl, str(sizes[i]), _fraction(best - log_p[i]), printable(texts[i])


def _fraction(nats: float) -> str:
    """Return ``exp(-nats)`` as a fraction.

    Examples
    --------
    >>> [_fraction(nats) for nats in (0.0, 0.7, 9.3, 2000.0)]
    ['1', '1/2.01', '1/10,938', '1/10^869']
    """
    if nats > math.log(1e6):
        return f"1/10^{nats / math.log(10):.0f}"
    odds = math.exp(nats)
    return f"1/{odds:.2f}" if 1 < odds < 100 else f"1/{odds:,.0f}" if odds > 1 else "1"


def _write(rows: list[tuple[str, ...]]) -> None:
    wide = shutil.get_terminal_size().columns >= WIDE
    columns = [column for column in zip(*rows, strict=True) if wide or column[0] in _ESSENTIAL]
    widths = [max(map(len, column)) for column in columns[:-1]]
    for *cells, sentence in zip(*columns, strict=True):
        numbers = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        sys.stdout.write(f"{numbers}  {sentence}".rstrip() + "\n")
