"""Errors of `detect_anomaly` in a scan name the step and the tagged value that is not finite."""

from __future__ import annotations

import contextlib

from ..autograd.tagging import collect_tags
from ..base.modes import Within, first_bad
from ..base.switches import Switch
from ..base.tree import Tree
from ..errors import AnomalyError
from .eager import StepFunction


def locate(step: StepFunction) -> StepFunction:
    """Return a step that takes ``(t, x)`` for x and adds t and a tag to the text of an `AnomalyError`.

    After an error the step runs again without the check, to find the first tagged value that is not finite: a value
    gets its tag only after the operation that computes it.
    """

    def located(carry: Tree, numbered: tuple[int, Tree]) -> tuple[Tree, Tree]:
        t, x = numbered
        with Within(f"step {t}"):
            try:
                return step(carry, x)
            except AnomalyError as error:
                with Switch(anomaly=False), collect_tags() as tags, contextlib.suppress(Exception):
                    step(carry, x)
                bad = {name: found[1] for name, value in tags.items() if (found := first_bad(value))}
                if not bad:
                    raise
                name, number = next(iter(bad.items()))
                raise AnomalyError(f"{name!r} is {number}: {error.text}", error.place) from error

    return located
