"""Where in a scan an anomaly is: the number of the step, and the tagged value that it is or leads to."""

from __future__ import annotations

import contextlib

from ..autograd.tagging import collect_tags
from ..base.modes import Within, first_bad
from ..base.switches import Switch
from ..base.tree import Tree
from ..errors import AnomalyError
from .eager import StepFunction


def locate(step: StepFunction) -> StepFunction:
    """Return a step that reads ``(t, x)`` for x, and whose anomalies are told with t and a tag.

    Where an operation raises, the step is run again without a check, to see which tagged value comes to be not finite
    first: no name is known yet when an operation is at work.
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
