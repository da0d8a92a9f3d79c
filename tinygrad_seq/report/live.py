"""A report that is rewritten while a model is trained."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..base.files import open_atomically
from ..nn import Module
from .html_report import check_options, html, page_of
from .reported import Subject, open_subject
from .svg import Figures

_REFRESH = 5
"""Seconds after which a browser loads the page again."""
_SHARE = 20
"""The page is written again after at least so many times the time that writing it takes: 5 % of the time at most."""


class Live:
    """A report on a run that is being trained: called with each row of metrics, it rewrites one HTML file.

    The page has the curves and samples so far, and loads itself again every 5 seconds. `close`, or the end of a
    ``with`` block, writes the full report, which does not. Rewriting takes at most 5 % of the time, so rows that follow
    each other quickly are shown together. It needs matplotlib, the extra ``plot``, and does not change what is trained.

    Parameters
    ----------
    path : str or path-like
        The file to write or replace.
    source : path or Run, optional
        The run folder; its settings and its earlier rows are shown too. None for the rows alone.
    model, inputs, labels, text, title, trust
        As in `html`, for the full report.

    Raises
    ------
    ArgumentError
        If matplotlib is not installed, or an argument would have no effect.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder, ts.report.Live(f"{folder}/live.html") as log:
    ...     for step in range(1, 4):
    ...         log({"step": step, "loss": 1 / step})
    ...     with open(f"{folder}/live.html") as page:
    ...         "refresh" in page.read()
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        source: Any = None,
        *,
        model: Module | None = None,
        inputs: Any = None,
        labels: Sequence[str] | None = None,
        text: str | None = None,
        title: str | None = None,
        trust: bool = False,
    ) -> None:
        check_options("report.Live", source, model, inputs=inputs, labels=labels, text=text)
        Figures("report.Live")
        self.path, self._source = path, source
        self._options = {
            "model": model,
            "inputs": inputs,
            "labels": labels,
            "text": text,
            "title": title,
            "trust": trust,
        }
        self._subject: Subject | None = None
        self._next = -math.inf

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Add a row of metrics, and rewrite the file if it is time.

        Parameters
        ----------
        row : mapping
            Numbers by name, with ``"step"`` or ``"epoch"``; a text ``"sample"`` is shown among the samples.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        if self._subject is None:
            source = [] if self._source is None else self._source
            options = {name: self._options[name] for name in ("title", "trust")}
            self._subject, _ = open_subject("report.Live", source, **options)
        if row not in self._subject.rows[-1:]:  # a run folder holds it already
            self._subject.rows.append(dict(row))
        began = time.perf_counter()
        if began < self._next:
            return
        page = page_of(self._subject, Figures("report.Live"), refresh=_REFRESH)
        with open_atomically(self.path, "report.Live", sync=False) as file:
            file.write(page)
        ended = time.perf_counter()
        self._next = ended + _SHARE * (ended - began)

    def close(self) -> None:
        """Write the full report; without a row, nothing is written.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        if self._subject is not None:
            html(self._subject.rows if self._source is None else self._source, self.path, **self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
