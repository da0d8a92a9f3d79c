"""A training run as one HTML file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..base.files import write_atomically
from ..errors import ArgumentError
from ..nn import Module
from ..train.run_folder import StoredRun
from .anatomy import anatomy
from .page import write_page
from .reported import Subject, load_model, now, open_subject, use_model
from .sections import headline, origin, progress, results, samples
from .series import position_name, position_of
from .svg import Figures


def html(
    source: Any,
    path: str | os.PathLike[str],
    *,
    model: Module | None = None,
    inputs: Any = None,
    labels: Sequence[str] | None = None,
    text: str | None = None,
    checkpoint: str | None = None,
    title: str | None = None,
    trust: bool = False,
) -> None:
    """Write a report on a training run as one HTML file; needs matplotlib, the extra ``plot``.

    The page needs no network and no JavaScript. It shows the results, curves of everything that was measured, samples,
    the gates over a sentence, the reach of the gradient, a map of the embedding table, the parameters, the stages of
    the compiled model with its source, the command and the environment. What cannot be shown is named, with the reason.

    Parameters
    ----------
    source : path, Run, History or list of dict
        A run folder, or the rows of metrics: dicts with ``"step"`` or ``"epoch"`` and numbers by name. Names that begin
        with ``validation_`` or ``test_`` share a figure with the name without it.
    path : str or path-like
        The file to write or replace.
    model : Module, optional
        The model to look into; by default that of the run. It is not changed.
    inputs : array_like or tuple, optional
        With `model`: what to call it with, e.g. tokens (T, N). Gates are shown of the first sequence.
    labels : sequence of str, optional
        With `model`: names of the rows of its embedding table; by default the tokens of the run, or numbers.
    text : str, optional
        The sentence that a language model reads for the report; by default a held-out text of the run.
    checkpoint : str, optional
        The checkpoint of the run; by default the best.
    title : str, optional
        Title of the page; by default the name of the folder.
    trust : bool, default False
        Whether the code of the cell that a run folder contains may be run (see `Run.open`).

    Raises
    ------
    ArgumentError
        If `source` is no run, another argument has the wrong type or would have no effect, or matplotlib is not
        installed.
    DataError
        If `text` cannot be encoded.
    CheckpointError
        If the checkpoint that was asked for cannot be read, or the file cannot be written.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> rows = [{"step": 10, "loss": 2.5, "validation_loss": 2.6}, {"step": 20, "loss": 1.9, "validation_loss": 2.2}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.report.html(rows, f"{folder}/report.html", title="Two evaluations")
    ...     with open(f"{folder}/report.html") as page:
    ...         "Two evaluations" in page.read()
    True
    """
    check_options("report.html", source, model, inputs=inputs, labels=labels, text=text, checkpoint=checkpoint)
    figures = Figures("report.html")
    subject, run = open_subject("report.html", source, title=title, trust=trust)
    if run is not None and model is None:
        load_model(subject, run, checkpoint, text)
    if model is not None:
        use_model("report.html", subject, model, inputs, labels)
    write_report(subject, figures, path)


def check_options(caller: str, source: Any, model: Any, **options: Any) -> None:
    """Raise an ArgumentError if an option would have no effect."""
    stored = isinstance(source, str | os.PathLike | StoredRun)
    wrong = {"model": ("inputs", "labels")} if model is None else {}
    wrong |= {} if stored and model is None else {"a run folder, and no model of your own": ("text", "checkpoint")}
    for needed, names in wrong.items():
        for name in names:
            if options.get(name) is not None:
                raise ArgumentError(f"{caller}: expected {needed} with {name}, got {name} alone; leave {name} out.")


def write_report(subject: Subject, figures: Figures, path: str | os.PathLike[str]) -> None:
    """Write the full page."""
    inner = anatomy(subject, figures)
    parameters = None if subject.model is None else sum(parameter.size for parameter in subject.model.parameters())
    page = page_of(subject, figures, parameters=parameters, inner=inner)
    write_atomically(path, page, "report.html")


def page_of(
    subject: Subject, figures: Figures, *, parameters: int | None = None, inner: Any = (), refresh: int = 0
) -> bytes:
    """Return the page; `inner` are the sections on the model, and with `refresh` the run is still training."""
    written = samples(subject)
    outer = [results(subject, figures), *([] if written is None else [written]), progress(subject, figures)]
    return write_page(
        subject.title,
        _summary(subject, running=refresh > 0),
        headline(subject, parameters),
        subject.notes,
        [*outer, *inner, origin(subject)],
        refresh,
    )


def _summary(subject: Subject, running: bool) -> str:
    """Return where the run stands."""
    rows = subject.rows
    if not rows:
        return "No metrics."
    position, at = position_name(rows), position_of(rows[-1], len(rows))
    of = f" of {subject.total:,}" if subject.total and position == "step" else ""
    text = f"{subject.facts.get('model', '')}; " if "model" in subject.facts else ""
    state = f"training: {position} {at:,}{of} at {now()}" if running else f"{position} {at:,}{of}"
    return text + state
