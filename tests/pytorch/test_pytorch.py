"""Code written for PyTorch: what runs gives what PyTorch gives, the rest is refused or stands in docs/pytorch.md."""

from __future__ import annotations

import json
import re
import threading
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.pytorch import idioms
from tests.pytorch.rows import DIFFERS, DOCUMENT, LAYERS, REFUSED, Differs, Refused, document
from tinygrad_seq.autograd import pytorch_protocol
from tinygrad_seq.errors import TinygradSeqError

FOUND = json.loads((Path(__file__).parent / "results.json").read_text(encoding="utf-8"))


def names() -> dict[str, Any]:
    return {
        "ts": ts, "np": np, "F": ts.nn.functional, "nn": ts.nn,
        "x": ts.tensor([[1.0, -2.0, 3.0], [0.5, 5.0, -6.0]]), "v": ts.tensor([1.0, 2.0, 3.0]),
        "w": ts.tensor([1.0, 2.0], requires_grad=True), "cube": ts.ones((2, 3, 3)), "labels": ts.zeros((2, 3)).long(),
        "ids": ts.tensor([[1, 0], [2, 1]]), "table": ts.ones((3, 4)), "u": ts.tensor([1, 2], dtype="uint8"),
        "mask": ts.tensor([True, False]),
    }  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.code)
def test_unclear_calls_are_refused_and_say_what_to_write(row: Refused, tmp_path: Path) -> None:
    with pytest.raises(TinygradSeqError, match="; "):
        exec(row.code, names() | {"path": tmp_path / "file"})
    for code in row.write:
        exec(code, names() | {"path": tmp_path / "file"})


@pytest.mark.parametrize("row", DIFFERS + LAYERS, ids=lambda row: row.code)
def test_differences_are_those_of_the_table(row: Differs) -> None:
    assert eval(row.check, names())  # noqa: S307


@pytest.mark.parametrize("advice", [*pytorch_protocol._CALLS.values(), *pytorch_protocol._FUNCTIONS.values()])
def test_advice_names_what_there_is(advice: str) -> None:
    for path in re.findall(r"\b(?:ts|x)\.\w+(?:\.\w+)*", advice):
        attrgetter(path.partition(".")[2])(ts if path.startswith("ts.") else ts.ones(2))


@pytest.mark.parametrize("name", [*pytorch_protocol._CALLS, *pytorch_protocol._FUNCTIONS])
def test_names_with_advice_are_missing(name: str) -> None:
    owner = ts if name in pytorch_protocol._FUNCTIONS else ts.ones(2)
    with pytest.raises(ts.MissingAttributeError, match="; "):
        getattr(owner, name)


def test_the_page_has_the_tables() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run python -m tests.pytorch.rows"


@pytest.mark.parametrize("code", idioms.IDIOMS)
def test_idioms_give_what_pytorch_gives(code: str) -> None:
    result = idioms.run(code, ts, ts.tensor)
    assert idioms.plain(result)[0] == FOUND["results"][code][0]
    idioms.compare(idioms.plain(result), FOUND["results"][code])


def test_the_table_of_results_is_that_of_the_idioms() -> None:
    assert set(FOUND["results"]) == set(idioms.IDIOMS), "run python -m tests.pytorch.idioms with PyTorch"


# ------------------------------------------------------------------------------------------ operations of this page


OPERATIONS = {
    "t": lambda x: x.t(),
    "transpose": lambda x: x.transpose(0, 1),
    "mm": lambda x: x.mm(x.t()),
    "bmm": lambda x: ts.bmm(x[None], x.t()[None]),
    "mv": lambda x: x.mv(x[0]),
    "addmm": lambda x: ts.addmm(x[:, :1], x, x.t(), beta=0.5, alpha=2),
    "addcmul": lambda x: x.addcmul(x, x, value=0.5),
    "addcdiv": lambda x: x.addcdiv(x, x * x + 1, value=2),
    "index_select": lambda x: x.index_select(1, [2, 0, 2]),
    "select": lambda x: x.select(1, -1),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "expand_as": lambda x: x[:1].expand_as(x),
    "view_as": lambda x: x.view_as(x.t()),
    "take_along_dim": lambda x: x.take_along_dim([[2], [0]], dim=1),
    "index_add": lambda x: x.index_add(0, [1, 1], x, alpha=3),
    "max": lambda x: x.max(dim=1).values,
    "min": lambda x: x.min(dim=0, keepdim=True).values,
    "sort": lambda x: x.sort(dim=1, descending=True).values,
    "cummax": lambda x: x.cummax(dim=1).values,
    "std": lambda x: x.std(dim=1),
    "split": lambda x: x.split(2, dim=1)[0],
    "squeeze": lambda x: x.squeeze(dim=1),
    "sum": lambda x: x.sum(dim=1, keepdim=True),
    "promoted": lambda x: x * ts.tensor([1, 2, 3]) + x / ts.tensor(2),
    "pad": lambda x: ts.nn.functional.pad(x, (1, 2)),
    "softplus": lambda x: ts.nn.functional.softplus(x, beta=2),
    "embedding": lambda x: ts.nn.functional.embedding(ts.tensor([[1, 0, 1]]), x),
    "cross_entropy": lambda x: ts.nn.functional.cross_entropy(x.reshape(1, 3, 2), [[0, 2]], reduction="none"),
    "normalize": lambda x: ts.nn.functional.normalize(x, axis=-1),
    "cosine_similarity": lambda x: ts.nn.functional.cosine_similarity(x, x[:1] + 1),
    "to": lambda x: x.double().to(x).contiguous().cpu(),
    "masked_fill": lambda x: x.masked_fill(x > 1, -1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients(name: str) -> None:
    x = ts.tensor(np.random.default_rng(0).normal(size=(2, 3)), requires_grad=True)
    assert ts.gradcheck(OPERATIONS[name], [x])


COMPILED = ("addcmul", "std", "split", "promoted", "masked_fill", "narrow", "select", "softplus")


def test_compiled_steps_take_the_spellings_too() -> None:
    def step(h: ts.Tensor, x: ts.Tensor) -> Any:
        total = sum(OPERATIONS[name](h + x).sum() for name in COMPILED) + h.amax(dim=1).sum()
        h = h * 0.5 + total + h.mean(dim=1, keepdim=True) * ts.tensor([1, 2, 3]) + h.new_ones(3)
        return h, h.transpose(0, 1).view(-1)

    found = []
    for compiled in (False, True):
        xs = ts.tensor(np.random.default_rng(1).normal(size=(4, 2, 3)).astype(np.float32), requires_grad=True)
        h, ys = ts.scan(step, ts.zeros(2, 3), xs, compile=compiled)
        (h.sum() + ys.sum()).backward()
        assert ys.dtype == ts.float32
        found.append((ys.detach().numpy(), grad_of(xs).numpy()))
    for eager, fused in zip(*found, strict=True):
        np.testing.assert_allclose(fused, eager, rtol=1e-4, atol=1e-4)


def test_a_step_in_place_changes_nobody_elses_values() -> None:
    def step(h: ts.Tensor, x: ts.Tensor) -> Any:
        h += x
        x *= 2
        return h, x

    for compiled in (True, False):
        h, xs = ts.ones(2), ts.ones(3, 2)
        last, ys = ts.scan(step, h, xs, compile=compiled)
        assert (last == 4).all()
        assert (ys == 2).all()
        assert (h == 1).all()
        assert (xs == 1).all()


# --------------------------------------------------------------------------------------------------- shared memory


def test_a_view_sees_a_write_and_a_graph_does_not() -> None:
    a, w = ts.arange(6.0).reshape(2, 3), ts.tensor([1.0, 2.0], requires_grad=True)
    row, column, copy = a[0], a.t()[1], a.clone()
    y = (w * a[:, 1]).sum()
    held = a.numpy()
    a[0][1] = 9
    assert [row[1].item(), column[0].item(), copy[0, 1].item(), held[0, 1]] == [9, 9, 1, 1]
    y.backward()
    np.testing.assert_array_equal(grad_of(w).numpy(), [1, 4])
    column += 1
    np.testing.assert_array_equal(a.numpy(), [[0, 10, 2], [3, 5, 5]])


def test_threads_may_take_views_of_one_tensor() -> None:
    a = ts.zeros(4)
    views: list[ts.Tensor] = []

    def take() -> None:
        for at in range(300):
            view = a[at % 4]
            if at % 3:
                views.append(view)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    a += 7
    assert len(views) == 800
    assert all(view.item() == 7 for view in views)


@pytest.mark.parametrize("steps", range(20))
def test_any_sequence_of_views_and_writes(steps: int) -> None:
    """NumPy says what each view holds, as nothing is recorded."""
    rng = np.random.default_rng(steps)
    pairs: list[Any] = [(ts.tensor(np.arange(24.0).reshape(2, 3, 4)), np.arange(24.0).reshape(2, 3, 4))]
    graphs: list[Any] = []
    w = ts.tensor(2.0, dtype="float64", requires_grad=True)
    for _ in range(30):
        x, array = pairs[rng.integers(len(pairs))]
        kind = rng.integers(6)
        if kind == 0 and x.ndim:
            at = int(rng.integers(-x.shape[0], x.shape[0]))
            pairs.append((x[at], array[at, ...]))
        elif kind == 1:
            pairs.append((x.transpose(), array.transpose()))
        elif kind == 2 and x.ndim:
            pairs.append((x[..., ::-1], array[..., ::-1]))
        elif kind == 3 and len(pairs) > 1:
            pairs.pop(0)
        elif kind == 4:
            graphs.append(((w * x).sum(), array.sum()))
        else:
            value = float(rng.normal())
            if rng.integers(2):
                x += value
                array += value
            else:
                x[...] = value
                array[...] = value
    for x, array in pairs:
        np.testing.assert_array_equal(x.numpy(), array)
    for y, expected in graphs:
        w.grad = None
        y.backward()
        np.testing.assert_allclose(grad_of(w).numpy(), expected)
