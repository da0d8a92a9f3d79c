"""A compiled step as text: its stages, what is saved, how much work it is, and the source of its loops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice

from ...kernels.machine import machine
from ...kernels.pool import available
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..codegen.fusion import find_readers
from ..codegen.schedule import LoopNest, schedule
from ..ir.step import Eqn, Step, Var
from ..passes.differentiate import Backward
from ..run.direction import Direction, Plan
from ..run.segments import Run
from .memory import Prediction, predict
from .printer import Names, show_list, show_stages


def explain(plan: Plan, run: Run | None = None) -> str:
    """Return the stages of both directions, the memory of a `run`, the work of one step, and the generated source."""
    forward, backward, gradient = plan.forward, plan.backward, plan.gradient
    names = Names(forward.step)
    saved = [var for var in plan.residuals if var not in forward.step.ys]
    results = {"carry": forward.step.carry_out, "ys": forward.step.ys, "saved": saved}
    lists = [show_list(label, [names[var] for var in found]) for label, found in results.items()]
    parts = [["forward", *show_stages(forward.stages, names), *lists]]
    directions = [("forward", forward)]
    backward_names: Mapping[Var, str] = {}
    if backward is not None and gradient is not None:
        made = [result for eqn in forward.step.eqns for result in eqn.results]
        backward_names = Names(backward.step, names, gradient)
        lists = _gradients(gradient, backward.step, backward_names)
        parts.append(["backward", *show_stages(backward.stages, backward_names, made), *lists])
        directions.append(("backward", backward))
    if run is not None and forward.kernel is not None:
        parts.append(_memory(predict(plan, run, names, backward_names), run))
        threads = [line for name, direction in directions for line in _threads(name, direction, run.T)]
        parts.append([f"threads for {run.T:,} steps, by the model of the machine", *threads])
    parts.append(["work of one step", *[f"    {name:10}{_work(direction)}" for name, direction in directions]])
    of_step = {"forward": names, "backward": backward_names}
    lines = [f"    {name:10}{line}" for name, way in directions for line in _products(way, of_step[name])]
    parts += [["products in the loop", *lines]] if lines else []
    for name, direction in directions:
        kernel = direction.kernel
        source = "NumPy runs it: the compiler is switched off" if kernel is None else kernel.source.text.rstrip("\n")
        parts.append([f"source of the {name} loop", *[f"    {line}".rstrip() for line in source.split("\n")]])
    return "\n\n".join(["\n".join([line for line in part if line]) for part in parts]) + "\n"


def _gradients(gradient: Backward, step: Step, names: Mapping[Var, str]) -> list[str]:
    """Return the lines on the results of the backward step: cotangents of the carry, of the inputs, of constants."""
    terms = iter([names[var] for var in step.sums])
    sums = [f"d{names[var]} = {' + '.join(islice(terms, count))}" for var, count in gradient.consts]
    pairs = {
        "carry": zip(gradient.carries, step.carry_out, strict=True),
        "ys": zip(gradient.inputs, step.ys, strict=True),
    }
    lists = {label: [f"d{names[a]} = {names[b]}" for a, b in found] for label, found in pairs.items()}
    return [show_list(label, found) for label, found in {**lists, "sums": sums}.items()]


def _memory(prediction: Prediction, run: Run) -> list[str]:
    """Return the lines on the bytes of each array, and of all at once."""
    every = "" if run.segment is None else f", of which {run.segment} at a time"
    lines = [f"memory for {run.T:,} steps{every}, in bytes, beside what is given"]
    for title, made in (("forward", prediction.forward), ("backward", prediction.backward)):
        if made is not None:
            items = (*made.before, *made.loop, *made.after)
            lines += [f"    {title}", *[_bytes_line(item.name, item.size) for item in items]]
            lines.append(_bytes_line("while it loops", made.passing))
    if prediction.whole:
        lines += ["    over all times", *[_bytes_line(item.name, item.size) for item in prediction.whole]]
    totals = ("kept between", prediction.kept), ("peak forward", prediction.peak_forward)
    lines += ["    in all", *[_bytes_line(*pair) for pair in (*totals, ("peak backward", prediction.peak_backward))]]
    return lines


def _threads(name: str, direction: Direction, T: int) -> list[str]:
    """Return how threads share a loop, and how long the ways to do so would take, by the model."""
    kernel = direction.kernel
    if kernel is None:
        return []
    how, model, count = kernel.split(T), machine(), available()
    if how.threads == 1:
        chosen = "one thread"
    else:
        chosen = f"{how.threads} threads share {'the columns of the products' if how.columns else 'the batch elements'}"
    ways = [("one thread", kernel.cost.seconds(model, kernel.N))]
    if count > 1 and kernel.N > 1:
        ways.append((f"{count} share batch elements", kernel.cost.seconds(model, -(-kernel.N // count))))
    if count > 1 and kernel.cost.epochs:
        ways.append((f"{count} share columns", kernel.cost.seconds(model, kernel.N, count)))
    each = ", ".join([f"{way} {seconds * 1e6:.1f}" for way, seconds in ways])
    return [f"    {name:10}{chosen}; us per step: {each}; once {model.wake * 1e6:.0f} to wake a thread"]


def _bytes_line(name: str, size: int) -> str:
    return f"        {name:32}{size:>16,}"


def _work(direction: Direction) -> str:
    """Return the work of one step: that of products, and the elements that elementwise operations compute."""
    inside, outside = direction.stages.during, (*direction.stages.before, *direction.stages.after)
    products = [sum(map(_product_flops, eqns)) for eqns in (inside, outside)]
    others = sum(math.prod(_largest(eqn).shape) for eqn in direction.step.eqns if _counts(eqn))
    return f"products {products[0]:,} flop in the loop, {products[1]:,} outside; elementwise {others:,} elements"


def _products(direction: Direction, names: Mapping[Var, str]) -> list[str]:
    """Return for each product of the loop whether it is fused with what reads it, or why not."""
    if direction.kernel is None:
        return []
    loop = direction.kernel.loop
    phases = schedule(loop, set(loop.inputs) - direction.time_varying)
    own = {loop.renamed.get(var, var): name for var, name in names.items()}
    return [
        f"{own.get(product.result, 'a product')} "
        + (f"by itself: {found}" if isinstance(found, str) else f"fused with {_show_readers(found)}")
        for product, found in find_readers(loop, phases).items()
    ]


def _show_readers(readers: Mapping[LoopNest, tuple[int, ...]]) -> str:
    """Return the loop nests that a product is fused with, by their pieces of it."""
    return " and ".join(
        [f"the loop nest of {len(starts)} x {nest.shape[0]} columns" for nest, starts in readers.items()]
    )


def _product_flops(eqn: Eqn) -> int:
    if eqn.primitive is not matmul:  # all other products are lowered to it
        return 0
    return 2 * math.prod(eqn.result.shape) * eqn.operands[0].shape[-1]  # type: ignore[no-any-return]


def _counts(eqn: Eqn) -> bool:
    return eqn.primitive.kind in {OpKind.ELEMENTWISE, OpKind.REDUCTION}


def _largest(eqn: Eqn) -> Var:
    return max((*eqn.reads, *eqn.results), key=lambda var: math.prod(var.shape))
