"""The report in a real browser: it is complete, readable and quiet, whatever the run is like."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.cli.commands import arguments
from tinygrad_seq import nn, tasks
from tinygrad_seq.base import cache_folder, settings
from tinygrad_seq.cli import main
from tinygrad_seq.report import Live, TensorBoard, html
from tinygrad_seq.train import Run, RunFolder, Session, TrainingConfig

NASTY = "<script>alert(1)</script> & \"quotes\" '$x$' _under \x00\x1b\ud800 中"
CELL = "from tinygrad_seq import nn\n\n\nclass Mine(nn.GRUCell):\n    pass\n"


# ------------------------------------------------------------------------------------------------- runs of all kinds


def whole(run: Path, folder: Path) -> Any:
    return run


def no_metrics(run: Path, folder: Path) -> Any:
    shutil.copytree(run, folder / "run")
    (folder / "run" / "metrics.jsonl").unlink()
    return folder / "run"


def broken_metrics(run: Path, folder: Path) -> Any:
    shutil.copytree(run, folder / "run")
    (folder / "run" / "metrics.jsonl").write_text('{"step": 10, "loss": 2.5}\nno row\n{"step": true}\n{"ste')
    shutil.rmtree(folder / "run" / "checkpoints")
    return folder / "run"


def other_version(run: Path, folder: Path) -> Any:
    return changed(run, folder, version=99)


def unknown_cell(run: Path, folder: Path) -> Any:
    content = json.loads((run / "config.json").read_text())
    return changed(run, folder, config={**content["config"], "cell": "mega"})


def changed(run: Path, folder: Path, **changes: Any) -> Path:
    """Return a copy of a run whose config.json has other content, and a digest that fits."""
    shutil.copytree(run, folder / "run")
    content = json.loads((run / "config.json").read_text()) | changes
    del content["sha256"]
    digest = hashlib.sha256(json.dumps(content, indent=1, sort_keys=True).encode()).hexdigest()
    (folder / "run" / "config.json").write_text(json.dumps({**content, "sha256": digest}, indent=1))
    return folder / "run"


def untrusted_cell(run: Path, folder: Path) -> Any:
    (folder / "mine.py").write_text(CELL)
    config = TrainingConfig(str(run.parent / "corpus.txt"), cell=f"{folder / 'mine.py'}:Mine", batch_size=2, window=8)
    session = Session(config)
    session.save(Run.create(folder / "run", config, session.vocabulary, session.facts))
    digest = hashlib.sha256(CELL.encode()).hexdigest()
    (cache_folder.prepare() / "trusted" / digest).unlink()
    return folder / "run"


def other_kind(run: Path, folder: Path) -> Any:
    stored = RunFolder.create(folder / "run", "classifier", {"classes": ["no", "yes"], "sizes": {"hidden": 8}})
    rows = [{"step": at, "loss": 1 / at, "validation_accuracy": 0.5, "validation_loss": 2 / at} for at in (1, 2)]
    stored.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return stored.folder


def no_rows(run: Path, folder: Path) -> Any:
    return []


def one_point(run: Path, folder: Path) -> Any:
    return [{"step": 10, "loss": 2.5}]


def bad_numbers(run: Path, folder: Path) -> Any:
    values = [2.5, float("nan"), float("inf"), 1e300, -1e300]
    rows = [{"step": 10 * at, "loss": value, "lr": float("nan")} for at, value in enumerate(values)]
    return [*rows, {"step": 60, "test_loss": "none", "validation_loss": None, "flag": True, "nested": {"a": 1}}]


def hostile_texts(run: Path, folder: Path) -> Any:
    return [{"epoch": at, NASTY: at, f"validation_{NASTY}": 2 * at, "sample": NASTY * 40, "": at} for at in (1, 2)]


MAKERS = {
    maker.__name__: maker
    for maker in (
        whole,
        no_metrics,
        broken_metrics,
        other_version,
        unknown_cell,
        untrusted_cell,
        other_kind,
        no_rows,
        one_point,
        bad_numbers,
        hostile_texts,
    )
}
SAID = {  # what the page says is missing
    "whole": [],
    "no_metrics": ["the file metrics.jsonl is missing"],
    "broken_metrics": ["line 2 of metrics.jsonl is not a JSON object", "There is one point so far", "Not shown: "],
    "other_version": ["version 1 to", "The run cannot be opened."],
    "unknown_cell": ["cell", "The run cannot be opened."],
    "untrusted_cell": ["Expected consent to run the code", "There are no metrics yet"],
    "other_kind": ["Accuracy", "sizes.hidden", "A run of the kind 'classifier'"],
    "no_rows": ["There are no metrics yet", "There is no model; pass"],
    "one_point": ["There is one point so far", "There is no held-out result yet"],
    "bad_numbers": ["2 values are not finite, and left out (step 10, 20)", "5 values are not finite"],
    "hostile_texts": ["There is no model; pass"],
}


WITHOUT_FIGURES = {"untrusted_cell", "no_rows"}


@pytest.fixture(scope="session")
def pages(live_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @functools.cache
    def page(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        title = NASTY if kind == "hostile_texts" else None
        html(MAKERS[kind](live_run, folder), folder / "page.html", title=title)
        return folder / "page.html"

    return page


# ------------------------------------------------------------------------------------------------------- the browser


@pytest.fixture(scope="module")  # while it is open, this process has an event loop
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        assert "CI" not in os.environ, "expected Chromium in CI; run apt-get install -y chromium"
        pytest.skip("no Chromium found")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


LOOK = """() => {
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const figures = [...document.querySelectorAll('figure svg')];
  const drawn = svg => [...svg.querySelectorAll('path, image')].some(p => {
    const box = p.getBoundingClientRect(); return box.width > 10 && box.height > 10;
  });
  const ids = [...document.querySelectorAll('[id]')].map(node => node.id);
  const links = [...document.querySelectorAll('[href^="#"], use')]
    .map(node => (node.getAttribute('href') || node.getAttribute('xlink:href')).slice(1));
  const texts = [...document.querySelectorAll('svg text')];
  return {
    width: document.documentElement.scrollWidth,
    figures: figures.length,
    empty: figures.filter(svg => !drawn(svg)).length,
    twice: ids.filter((id, at) => ids.indexOf(id) !== at),
    dangling: links.filter(link => !ids.includes(link)),
    faint: texts.filter(node => contrast(luminance(getComputedStyle(node).fill), paper) < 4.4).map(n => n.textContent),
    small: texts.filter(node => node.getBoundingClientRect().height < 7).map(n => n.textContent),
    scripts: document.querySelectorAll('script').length,
    paper,
  };
}"""


@pytest.mark.parametrize("kind", MAKERS)
def test_the_page_in_a_browser(kind: str, pages: Callable[[str], Path], browser: Any) -> None:
    url, said, asked = pages(kind).as_uri(), [], []

    def follow(route: Any) -> None:
        asked.append(route.request.url)
        route.continue_()

    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.route("**/*", follow)
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true; })")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for scheme, lightness in (("light", 1.0), ("dark", 0.0)):
            page.emulate_media(color_scheme=scheme)
            seen = page.evaluate(LOOK)
            assert seen["width"] <= width
            assert seen["empty"] == seen["scripts"] == 0
            assert seen["twice"] == seen["dangling"] == seen["faint"] == seen["small"] == []
            assert bool(seen["figures"]) == (kind not in WITHOUT_FIGURES)
            assert abs(seen["paper"] - lightness) < 0.1
    page.close()
    assert said == []
    assert asked == [url]


# ------------------------------------------------------------------------------------------------------ the content


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_missing_is_said(kind: str, pages: Callable[[str], Path]) -> None:
    page = pages(kind).read_text(encoding="utf-8")
    for text in SAID[kind]:
        assert text in page
    assert ("Not shown" in page) == (kind not in ("whole", "no_metrics"))
    for section in ("Results", "ates over a sentence", "mbedding map", "arameters", "ompiled model", "Command"):
        assert section in page
    assert "http-equiv" not in page
    assert "<script" not in page


def test_a_live_page_refreshes_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "live.html"
    with Live(path, title="Mine") as log:
        assert not path.exists()
        log({"step": 1, "loss": 2.0})
        assert '<meta http-equiv="refresh" content="5">' in path.read_text()
        log({"step": 2, "loss": 1.0})  # so soon that nothing is written
        assert "step 2 at" not in path.read_text()
    page = path.read_text()
    assert "step 2" in page
    assert "http-equiv" not in page
    assert [*tmp_path.iterdir()] == [path]
    Live(tmp_path / "never.html").close()
    assert [*tmp_path.iterdir()] == [path]


def test_live_report_and_events_change_no_bit(live_run: Path, tmp_path: Path) -> None:
    assert main(arguments(live_run.parent / "corpus.txt", tmp_path / "run", "--test", "0.1", steps=30)) == 0
    live, plain = (Run.open(folder).load()["steps"] for folder in (live_run, tmp_path / "run"))
    assert live["generator"] == plain["generator"]
    for name, array in plain["model"].items():
        np.testing.assert_array_equal(live["model"][name], array)
    page = (live_run / "report.html").read_text(encoding="utf-8")
    assert "http-equiv" not in page
    assert "Gates over a sentence" in page
    assert "Not shown" not in page


def test_events_can_be_read_back(live_run: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    rows = Run.open(live_run).rows()
    found = {
        (value.tag, event.step): value.simple_value
        for event in events_in(live_run.parent / "events", Event)
        for value in event.summary.value
        if not value.tag.startswith("sample")
    }
    expected = {(name, row["step"]): row[name] for row in rows for name in row if name != "sample"}
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[key] for key in expected], [*expected.values()], rtol=1e-6)


def events_in(folder: Path, event: Any) -> Iterator[Any]:
    """Yield the events of a folder: each is a length, a checksum, the message and a checksum."""
    (path,) = folder.iterdir()
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_the_model_of_the_caller_is_not_changed(tmp_path: Path) -> None:
    ts.manual_seed(3)
    model = nn.Sequential(nn.Embedding(7, 4), nn.GRU(4, 5))
    before = settings.generator().bit_generator.state
    weights = {name: value.numpy().copy() for name, value in model.named_parameters()}
    html([{"epoch": 1, "loss": 2.0}], tmp_path / "page.html", model=model, inputs=np.arange(6).reshape(3, 2))
    assert settings.generator().bit_generator.state == before
    assert model.training
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        np.testing.assert_array_equal(parameter.numpy(), weights[name])
    page = (tmp_path / "page.html").read_text()
    assert "GRUCell, layer 0" in page
    assert "Not shown" not in page


def test_what_is_no_run_is_refused(live_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    refused: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (tmp_path, {}, ts.ArgumentError, "neither config.json nor metrics.jsonl"),
        (3, {}, ts.ArgumentError, "got int"),
        ([1], {}, ts.ArgumentError, "a list of rows"),
        ([], {"text": "a"}, ts.ArgumentError, "a run folder, and no model of your own with text"),
        (live_run, {"inputs": [1]}, ts.ArgumentError, "expected model with inputs"),
        ([], {"model": 3}, ts.ArgumentError, "a Module, got int"),
        ([], {"model": nn.Linear(2, 2), "labels": "ab"}, ts.ArgumentError, "labels to be a sequence of str"),
        (live_run, {"checkpoint": "step-7"}, ts.CheckpointError, "step-7"),
    ]
    for source, options, error, message in refused:
        with pytest.raises(error, match=message):
            html(source, path, **options)
    makers: dict[str, Callable[[], object]] = {
        "matplotlib.figure": lambda: html([], path),
        "tensorboardX": lambda: TensorBoard(tmp_path),
    }
    for module, make in makers.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ts.ArgumentError, match=r"run pip install 'tinygrad-seq\[(plot|tensorboard)\]'"):
            make()
    assert not path.exists()


def test_the_command_writes_the_page(live_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(live_run), "-o", str(tmp_path / "page.html"), "--text", "the dog"]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'page.html'}\n"
    assert ">¶<" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_models_of_tasks_are_shown_with_inputs_made_up_or_given(tmp_path: Path) -> None:
    X: dict[str, list[Any]] = {"text": ["a good film", "bad", "a bad plot", "good"], "stars": [1.0, 2.0, 3.0, 4.0]}
    series = [np.sin(np.arange(40) / 2 + shift) for shift in range(3)]
    options: dict[str, Any] = {"epochs": 1, "hidden_size": 3, "log": None}
    with ts.disable_compile():
        columns = {"text": "words", "stars": "number"}
        tasks.fit_task("classify", X, ["+", "-", "-", "+"], columns=columns, run=tmp_path / "both", **options)
        tasks.fit_task("tag", [["a", "b"], ["b"]], [["X", "Y"], ["Y"]], run=tmp_path / "tags", **options)
        tasks.fit_forecast(series, horizon=2, season=4, run=tmp_path / "series", **options)
    pages = {}
    for name, text in {"both": None, "tags": "b a b", "series": None}.items():
        assert main(["report", str(tmp_path / name), "--no-compile", *(["--text", text] if text else [])]) == 0
        pages[name] = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert "GRUCell, layer 0" in pages[name]
    assert "The inputs are made up" in pages["both"]
    assert "recurrent: GRUCell, layer 0" in pages["tags"]
    assert "a sine with the season" in pages["series"]
    assert main(["report", str(tmp_path / "both"), "--text", "good"]) == 2
    assert main(["report", str(tmp_path / "series"), "--text", "good"]) == 2
    assert main(["report", str(tmp_path / "series"), "--checkpoint", "best"]) == 2


def test_a_cell_that_cannot_be_compiled_and_vectors_that_are_not_finite(tmp_path: Path) -> None:
    class Reads(nn.ElmanCell):
        def forward(self, x: Any, state: Any) -> Any:
            return super().forward(x if float(x.sum()) > 0 else -x, state)

    model = nn.Sequential(nn.Embedding(5, 3), nn.Recurrent(Reads(3, 4)))
    model[0].weight.data[:] = np.nan
    html([], tmp_path / "page.html", model=model, inputs=np.ones((3, 2), int))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Not shown: the step cannot be compiled, so it runs step by step." in page
    assert "Not shown: expected a backward pass" in page
    assert "Not shown: the embedding table holds values that are not finite." in page
