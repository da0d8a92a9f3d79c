"""Schemes of tags: which tags may follow each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..metrics.classification import mark_spans

Flags = NDArray[np.bool_]


def allowed_tags(tags: Sequence[str], scheme: str) -> tuple[Flags, Flags, Flags]:
    """Return which tags may come first (K,), which may follow which (K, K), and which may come last (K,).

    In both schemes ``I-X`` follows only ``B-X`` or ``I-X``. In BIOES so does ``E-X``, and a span that began with
    ``B-X`` ends with ``E-X``.
    """
    continues = np.array([tag[0] in "IE" for tag in tags])
    is_open = np.array([tag[0] in "BI" for tag in tags])
    unfinished = is_open & (scheme == "BIOES")
    labels = np.array([tag[2:] for tag in tags])
    moves = np.where(continues, is_open[:, None] & (labels[:, None] == labels), ~unfinished[:, None])
    return ~continues, moves, ~unfinished


def scheme_of(sequences: Iterable[Sequence[object]]) -> str | None:
    """Return ``"BIO"`` or ``"BIOES"`` if all sequences of tags obey it, else None.

    Tags obey BIO if each is ``O``, ``B-X`` or ``I-X``, and ``I-X`` follows only ``B-X`` or ``I-X``.
    """
    lists = [tuple(tags) for tags in sequences]
    if not mark_spans(itertools.chain.from_iterable(lists)):
        return None
    names = sorted({str(tag) for tags in lists for tag in tags})
    scheme = "BIOES" if any(name[0] in "ES" for name in names) else "BIO"
    return scheme if first_wrong([*set(lists)], names, scheme) is None else None


def first_wrong(sequences: Iterable[Sequence[object]], tags: Sequence[str], scheme: str) -> int | None:
    """Return the number of the first sequence that does not obey a scheme, None if all do; `tags` are all tags."""
    first, moves, last = allowed_tags(tags, scheme)
    index = {tag: number for number, tag in enumerate(tags)}
    for number, sequence in enumerate(sequences):
        path = [index[str(tag)] for tag in sequence]
        if path and not (first[path[0]] and last[path[-1]] and moves[path[:-1], path[1:]].all()):
            return number
    return None
