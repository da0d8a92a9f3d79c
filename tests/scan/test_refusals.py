"""What cannot be compiled is refused, or runs eagerly with one warning; either names the line and the reason."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import Result, assert_agree, gradient_of, projected
from tests.scan.cells import CELLS
from tests.scan.test_scan import BAD_CELLS
from tinygrad_seq import nn
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.errors import ArgumentError, CompileError, CompileWarning, DtypeError, ShapeError, TinygradSeqError
from tinygrad_seq.scan import eager

T, N, H = 4, 3, 5


def branch(h, x):
    if h.sum() > 0:  # here
        h = h * 0.5
    return h + x, h


def conditional_loop(h, x):
    while (h * h).sum() > 1:  # here
        h = h * 0.5
    return h + x, h


def assertion(h, x):
    assert (h < 100).all()  # here
    return h + x, h


def both(h, x):
    h = h if x[0, 0] > 0 and h[0, 0] > 0 else -h  # here
    return h + x, h


def item(h, x):
    scale = h[0, 0].item()  # here
    return h * scale + x, h


def as_float(h, x):
    scale = float(h[0, 0])  # here
    return h * scale + x, h


def as_integer(h, x):
    column = int(abs(h[0, 0]) * 3)  # here
    return h + x[:, column : column + 1], h


def as_index(h, x):
    row = range(10)[h[0].argmax()]  # here
    return h + x[:, row : row + 1], h


def as_array(h, x):
    top = h.numpy().max()  # here
    return h / (1 + abs(top)) + x, h


def by_numpy(h, x):
    top = np.asarray(h.detach()).max()  # here
    return h / (1 + abs(top)) + x, h


def as_list(h, x):
    first = h.tolist()[0][0]  # here
    return h * first + x, h


def as_text(h, x):
    text = f"{h[0, 0]:.1f}"  # here
    return h + len(text) + x, h


def values_read_elsewhere(h, x):
    return item(h, x)


READS = [
    branch, conditional_loop, assertion, both, item, as_float, as_integer, as_index, as_array, by_numpy, as_list,
    as_text,
]  # fmt: skip


def line_of(step: Callable[..., Any]) -> str:
    """Return the end of the file's name and the line of the step that is marked with ``# here``."""
    source, first = inspect.getsourcelines(step)
    offset = next(i for i, line in enumerate(source) if line.endswith("# here\n"))
    return re.escape(f"test_refusals.py:{first + offset}:")


def run(step: Callable[..., Any], compile: bool | None, steps: int = T) -> Result:
    rng = np.random.default_rng(0)
    init, xs = (ts.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((N, H), (steps, N, H)))
    outputs = ts.scan(step, init, xs, compile=compile)
    projected(outputs).backward()
    return Result(outputs, {"init": gradient_of(init), "xs": gradient_of(xs)})


@pytest.fixture(autouse=True)
def no_reason_given_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test be the first in which a reason not to compile comes up."""
    monkeypatch.setattr(eager, "_warned", Memo(100))


def warned(function: Callable[[], Any]) -> tuple[Any, list[warnings.WarningMessage]]:
    """Return the result of `function` and the warnings on the way, each as often as it was given."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return function(), caught


# ----------------------------------------------------------------------------------------- values read by Python


@pytest.mark.parametrize("step", READS)
def test_reading_a_value_is_refused_with_its_line(step) -> None:
    with pytest.raises(CompileError, match=line_of(step)):
        run(step, True)


@pytest.mark.parametrize("read", [lambda h, i: h[:, i], lambda _, i: np.eye(3)[i], lambda h, i: h[: i.sum()]])
def test_an_index_of_the_step_is_said_to_be_one(read) -> None:
    with pytest.raises(CompileError, match=r"takes one for an index, .* look rows up with table\[i\]"):
        ts.scan(lambda h, i: (h + read(h, i).sum(), h), ts.zeros((2, 3)), np.zeros((4, 2), int), compile=True)


@pytest.mark.parametrize("step", READS)
def test_reading_a_value_runs_eagerly_with_one_warning(step) -> None:
    got, caught = warned(lambda: run(step, None))
    assert [warning.category for warning in caught] == [CompileWarning]
    text = str(caught[0].message)
    assert re.search(line_of(step), text)
    assert "step by step" in text
    assert "compile=False" in text  # how to be rid of the warning
    assert caught[0].filename == __file__  # the line that called scan
    assert_agree(got, run(step, False), "float64")


def test_the_line_is_that_of_the_function_that_reads() -> None:
    with pytest.raises(CompileError, match=line_of(item)):
        run(values_read_elsewhere, True)


def test_compile_false_never_warns() -> None:
    assert warned(lambda: run(branch, False))[1] == []


def test_one_warning_for_a_loop_of_training() -> None:
    def step(h, x):
        return h + x if h.sum() > 0 else h - x, h

    _, caught = warned(lambda: [run(step, None) for _ in range(3)])
    assert [warning.category for warning in caught] == [CompileWarning]


def test_compile_error_is_an_argument_error() -> None:
    assert issubclass(CompileError, ArgumentError)
    assert issubclass(CompileWarning, UserWarning)


def test_nothing_of_a_refused_trace_is_left() -> None:
    """After a refusal, scans and tensors work as before."""
    with pytest.raises(CompileError):
        run(branch, True)
    CELLS["elman"].build().check()
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert grad_of(x).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("compile", [True, False])
def test_writing_into_a_value_is_refused(compile) -> None:
    def step(h, x):
        h = h + x
        h[:, 0] = 0.0
        return h, h

    with pytest.raises(TinygradSeqError):
        run(step, compile)


# ------------------------------------------------------------------------------------------------ what may be read


def shapes_and_dtypes(h, x):
    rows, columns = h.shape
    assert len(h) == rows
    assert (h.ndim, h.size, h.dtype) == (2, rows * columns, np.float64)
    if rows > 1 and h.dtype.kind == "f":
        h = h * rows
    return ts.tanh(h + x) / columns, h


def iteration(h, x):
    first, *others = h
    parts = [0.5 * row + first for row in others]
    h = ts.stack([first, *parts])
    return ts.tanh(h) + x, sum(column for column in h.T)


def identity_and_none(h, x):
    h = ts.tanh(h + x) if x is not None and h is not x else h
    return h, {"h": h}[("h")]


def in_place_arithmetic(h, x):
    """Rebinds the name, as it does for results of operations."""
    h = h + x
    h *= 0.5
    h -= 0.1
    return h, h


def values_of_constants(h, x):
    """What does not change over time may be read: it is there before the loop."""
    scale = ts.tensor([0.5, 2.0])
    return ts.tanh(h * scale[0].item() + x) if scale.sum() > 1 else h, h


@pytest.mark.parametrize(
    "step", [shapes_and_dtypes, iteration, identity_and_none, in_place_arithmetic, values_of_constants]
)
def test_python_that_reads_no_value_compiles(step) -> None:
    got, caught = warned(lambda: run(step, True))
    assert caught == []
    assert_agree(got, run(step, False), "float64")


# --------------------------------------------------------------------------------------------------- random numbers


def test_random_numbers_inside_a_step() -> None:
    """Traced once, a mask would be the same at every step: this runs eagerly, with the numbers the eager path draws."""

    def step(h, x):
        return ts.tanh(ts.dropout(h, 0.5) + x), h

    def seeded(compile):
        ts.manual_seed(3)
        return run(step, compile, steps=6)

    with pytest.raises(CompileError, match="random"):
        seeded(True)
    got, caught = warned(lambda: seeded(None))
    assert [warning.category for warning in caught] == [CompileWarning]
    assert_agree(got, seeded(False), "float64")


@pytest.mark.parametrize("draw", [lambda: ts.randn(N, H), lambda: ts.rand(1), lambda: ts.randint(0, 2, (N, H))])
def test_every_source_of_random_numbers_is_noticed(draw) -> None:
    with pytest.raises(CompileError, match="random"):
        run(lambda h, x: (ts.tanh(h + x + draw()), h), True)


def test_a_generator_of_the_user_is_noticed() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(CompileError, match="random"):
        run(lambda h, x: (ts.tanh(ts.dropout(h, 0.5, generator=generator) + x), h), True)


def test_dropout_that_does_nothing_compiles() -> None:
    dropout = nn.Dropout(0.5).eval()
    got, caught = warned(lambda: run(lambda h, x: (ts.tanh(ts.dropout(h, 0.0) + dropout(x)), h), True))
    assert caught == []
    assert_agree(got, run(lambda h, x: (ts.tanh(h + x), h), False), "float64")


# ------------------------------------------------------------------------------------------ cells that are no cells


def fails(step: Callable[..., Any], compile: bool | None, steps: int = 2) -> TinygradSeqError:
    """Return the error of a scan that has to be the same on both paths, with no warning before it."""
    state = {"h": np.zeros((16, 128), np.float32), "c": np.zeros((16, 128), np.float32)}
    with pytest.raises(TinygradSeqError) as caught:
        ts.scan(step, state, length=steps, compile=compile)
    return caught.value


@pytest.mark.parametrize("compile", [True, None])
@pytest.mark.parametrize("step", [case[0] for case in BAD_CELLS])
def test_bad_cell_gets_the_message_of_the_eager_path(step, compile) -> None:
    got, want = fails(step, compile), fails(step, False)
    assert type(got) in (type(want), CompileError if type(want) is ArgumentError else type(want))
    assert str(got).replace("got Tracer", "got Tensor") == str(want)


@pytest.mark.parametrize("compile", [True, None])
def test_xs_of_unequal_length(compile) -> None:
    with pytest.raises(ShapeError, match=r"got xs 'a': 4, xs 'b': 3; cut or pad"):
        ts.scan(lambda c, x: (c, x), np.zeros(2), {"a": np.zeros((4, 2)), "b": np.zeros((3, 2))}, compile=compile)


@pytest.mark.parametrize("compile", [True, None, False])
def test_a_wrong_operation_is_reported_as_outside_a_scan(compile) -> None:
    """With operation, shapes and what to do: not as something that cannot be compiled, and with no warning."""
    with pytest.raises(ShapeError, match=r"matmul: expected .*\(3, 5\).*\(4, 5\)"):
        run(lambda h, x: (h @ ts.ones((4, 5), dtype="float64") + x, h), compile)
    with pytest.raises(DtypeError, match="carry left the step as"):
        run(lambda h, x: (h.astype("float32"), h), compile)


@pytest.mark.parametrize("compile", [True, None, False])
def test_an_error_of_the_user_comes_through(compile) -> None:
    def step(h, x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(step, compile)


@pytest.mark.parametrize("compile", [True, False])
def test_an_index_out_of_range_is_refused_before_a_kernel_sees_it(compile) -> None:
    table, tokens = ts.ones((7, H)), np.array([[0, 6], [3, 7]])
    for step in (lambda h, x: (h + ts.embedding(table, x), h), lambda h, x: (h + table[x], h)):
        with pytest.raises(IndexError, match="7"):
            ts.scan(step, np.zeros((2, H), np.float32), tokens, compile=compile)


def test_negative_indices_count_from_the_end_as_they_do_eagerly() -> None:
    table, tokens = ts.tensor(np.arange(21.0).reshape(7, 3), requires_grad=True), np.array([[0, -1], [-7, 6]])
    found = []
    for compile in (True, False):
        table.grad = None
        outputs = ts.scan(lambda h, x: (h + table[x], table[x] * h), np.zeros((2, 3)), tokens, compile=compile)
        projected(outputs).backward()
        found.append(Result(outputs, {"table": gradient_of(table)}))
    assert_agree(found[0], found[1], "float64")


# ------------------------------------------------------------------------------------------------- what is unusual


def test_operations_without_a_compiled_form_give_the_same_in_the_default_mode() -> None:
    """Whether such a step compiles one day or runs eagerly with a warning, the numbers are those of the eager path."""

    def step(h, x):
        h = ts.sort(ts.tanh(h + x), axis=-1)
        return h, (ts.cumsum(h, axis=-1), ts.topk(h, 2)[0], h.argsort(axis=-1))

    got, caught = warned(lambda: run(step, None))
    assert len(caught) <= 1
    assert all(warning.category is CompileWarning for warning in caught)
    assert_agree(got, run(step, False), "float64")


def test_a_value_carried_past_the_step_is_refused() -> None:
    """The traced value of one step means nothing outside it."""
    kept: list[Any] = []

    def step(h, x):
        kept.append(h)
        return ts.tanh(h + x + kept[0]), h

    result = run(step, True)
    assert result.outputs[0].shape == (N, H)  # kept[0] is this step's own value
    with pytest.raises(TinygradSeqError):
        float(kept[0].sum())
    with pytest.raises(CompileError):
        run(lambda h, x: (h + x + kept[0], h), True)


def test_arrays_of_no_elements_run_step_by_step(rng) -> None:
    """An empty part of a value is no error of the step: the default path gives what the loop gives."""
    xs = ts.tensor(rng.standard_normal((3, 2, 2)), requires_grad=True)

    def step(c, x):
        return c + ts.concat([x[:0], x], axis=0).sum() + ts.softmax(x[:, :0], axis=1).sum(), ts.tanh(c[:0])

    with pytest.warns(ts.CompileWarning, match="expected arrays with one element or more"):
        carry, ys = ts.scan(step, ts.zeros(4, dtype="float64"), xs)
    carry.sum().backward()
    np.testing.assert_allclose(grad_of(xs).numpy(), 4)
    assert ys.shape == (3, 0)
    with pytest.raises(ts.CompileError, match="one element or more"):
        ts.scan(step, ts.zeros(4, dtype="float64"), xs, compile=True)
