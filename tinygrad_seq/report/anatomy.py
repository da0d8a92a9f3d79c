"""The sections of a report that look inside the model: gates, gradient, embedding, parameters, compiled step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..autograd.creation import zeros
from ..base.modes import disable_compile, no_grad
from ..base.tree import flatten, map_leaves
from ..errors import TinygradSeqError
from ..nn.recurrence.inspection import PassInspection
from ..nn.recurrence.layer import SequenceLayer
from .charts import draw_map, draw_reach, draw_states
from .markup import Markup, element, folded, join, missing, scrolling
from .reported import Subject, reason, unchanged_generator
from .sections import Section
from .svg import Figures
from .time_xray import gradient_reach

_PASSES = 4
"""The most layers and directions whose heat maps are shown."""
_FLAGS = ("lengths", "mask", "reset")


def anatomy(subject: Subject, figures: Figures) -> list[Section]:
    """Return the sections; each says what is missing, if it cannot be made."""
    titles = {
        "gates": "Gates over a sentence",
        "gradient": "How far back the gradient reaches",
        "embedding": "Embedding map",
        "parameters": "Parameters",
        "compiled": "Compiled model",
    }
    model = subject.model
    if model is None:
        listed = ", ".join([title[0].lower() + title[1:] for title in titles.values()])
        return [Section("model", "Inside the model", [missing(f"Not shown: {listed}. {_sentence(subject.no_model)}")])]
    with unchanged_generator():
        try:
            found = _look(subject, model)
        except TinygradSeqError as error:
            found = reason(error)
        makers: dict[str, Callable[[], list[Markup]]] = {
            "gates": lambda: _gates(found, subject, figures),
            "gradient": lambda: _gradient(found, figures),
            "embedding": lambda: _embedding(model, subject, figures),
            "parameters": lambda: [scrolling(Markup(model._repr_html_()))],
            "compiled": lambda: _compiled(found, subject.batch),
        }
        return [Section(name, title, _made(makers[name])) for name, title in titles.items()]


def _made(make: Callable[[], list[Markup]]) -> list[Markup]:
    try:
        return make()
    except TinygradSeqError as error:
        return [missing(f"Not shown: {reason(error)}")]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


class Look(NamedTuple):
    """A recurrent layer of a model, what it read, and what happened inside.

    Attributes
    ----------
    name
        The name of the layer in the model, followed by a colon; empty if there is one layer.
    layer
        The layer.
    xs
        Its inputs.
    passes
        What happened in each layer and direction.
    """

    name: str
    layer: SequenceLayer
    xs: Any
    passes: Sequence[PassInspection]

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(next(iter(self.passes[0].named_states().values())))


def _look(subject: Subject, model: nn.Module) -> list[Look] | str:
    """Return the recurrent layers that the model runs on the inputs, in their order, or why there are none."""
    layers = {module: name for name, module in model.named_modules() if isinstance(module, SequenceLayer)}
    if not layers:
        return "the model has no recurrent layer"
    if subject.inputs is None:
        return subject.no_inputs
    calls: dict[Any, tuple[Any, dict[str, Any]]] = {}

    def note(module: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        calls.setdefault(module, (arguments[0], {name: options[name] for name in _FLAGS if name in options}))

    handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        with disable_compile(), no_grad():
            model(*subject.inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not calls:
        return "the model runs none of its recurrent layers on these inputs"
    return [
        _inspected(f"{layers[layer]}: " if len(calls) > 1 else "", layer, xs, flags)
        for layer, (xs, flags) in calls.items()
    ]


def _inspected(name: str, layer: SequenceLayer, xs: Any, flags: dict[str, Any]) -> Look:
    with disable_compile():
        inspection = layer.inspect(xs, **flags)
        outputs = flatten(inspection.ys)[0]
        first, *others = [(ys[:, -1] if layer.batch_first else ys[-1]).sum() for ys in outputs]
        sum(others, first).backward()
    return Look(name, layer, xs, inspection.passes)


def _gates(found: list[Look] | str, subject: Subject, figures: Figures) -> list[Markup]:
    if isinstance(found, str):
        return [missing(f"Not shown: {found}")]
    passes = [(look, one) for look in found for one in look.passes]
    labels = subject.step_labels or []
    labelled = [look for look in found if look.steps == len(labels)]  # of several, one cannot tell which reads them
    text = (
        "What happens in the recurrent layers on one sequence: one column per step, one row per unit. Values from 0 to "
        "1, such as gates, go from dark to bright; others from blue (negative) over white to red (positive)."
    )
    if subject.about_inputs:
        text += f" {subject.about_inputs}"
    if "¶" in labels:
        text += " ¶ is <EOS>, the start and the end of a text."
    if len(passes) > _PASSES:
        text += f" The first {_PASSES} of {len(passes)} layers and directions are shown."
    drawn = [
        figure
        for look, one in passes[:_PASSES]
        for figure in draw_states(figures, look.name + one.place, one, labels if [look] == labelled else None)
    ]
    return [element("p", text, class_="note"), element("div", *drawn, class_="figures")]


def _gradient(found: list[Look] | str, figures: Figures) -> list[Markup]:
    if isinstance(found, str):
        return [missing(f"Not shown: {found}")]
    text = "The derivative of the sum of the last outputs by the states before: its norm, averaged over the sequences."
    forwards = {look.name + one.place: gradient_reach(one) for look in found for one in look.passes if not one.reverse}
    if not forwards:
        return [missing("Not shown: the layers go backwards only.")]
    return [element("p", text, class_="note"), element("div", draw_reach(figures, forwards), class_="figures")]


def _embedding(model: nn.Module, subject: Subject, figures: Figures) -> list[Markup]:
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if not tables:
        return [missing("Not shown: the model has no embedding table.")]
    weights = tables[0].weight.numpy()
    if not np.isfinite(weights).all():
        return [missing("Not shown: the embedding table holds values that are not finite.")]
    labels = subject.row_labels
    if labels is None or len(labels) != len(weights):
        labels = [str(row) for row in range(len(weights))]
    text = (
        f"The {len(weights):,} vectors of size {weights.shape[1]}, projected on their first two principal components."
    )
    return [element("p", text, class_="note"), element("div", draw_map(figures, weights, labels), class_="figures")]


def _compiled(found: list[Look] | str, batch: tuple[int, int] | None) -> list[Markup]:
    if isinstance(found, str):
        return [missing(f"Not shown: {found}")]
    look = found[0]

    def of_batch(leaf: Any) -> Any:
        sizes = leaf.shape[:2] if batch is None else batch[::-1] if look.layer.batch_first else batch
        return zeros((*sizes, *leaf.shape[2:]), leaf.dtype, requires_grad=leaf.dtype.kind == "f")

    try:
        text = look.layer.explain(map_leaves(of_batch, look.xs))
    except TinygradSeqError as error:
        return [missing(f"Not shown: the step cannot be compiled, so it runs step by step. {reason(error)}")]
    intro = (
        "The training step of the first layer. What does not depend on the state can run before the loop over time, "
        "for all times at once; what the next state does not need can run after it. A stage without work is left out."
    )
    return [element("p", intro, class_="note"), *map(_part, text.rstrip("\n").split("\n\n"))]


def _part(text: str) -> Markup:
    """Return a part of `explain` under its heading; the stages are open, and the source is folded."""
    heading, _, body = text.partition("\n")
    lines = [line.removeprefix("    ") for line in body.split("\n")]
    if heading not in ("forward", "backward"):
        return folded(heading.capitalize(), scrolling(element("pre", "\n".join(lines))))
    marked = [element("b", line) if line.startswith(("before,", "during,", "after,")) else line for line in lines]
    content = scrolling(element("pre", join([piece for line in marked for piece in (line, "\n")])))
    return folded(f"{heading.capitalize()}: before, during and after the loop", content, is_open=heading == "forward")
