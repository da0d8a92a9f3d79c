"""A module in a notebook: its `repr` is text there too, and a cell that ends with it shows a table."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

import tinygrad_seq as ts

ROOT = Path(__file__).resolve().parents[2]
CELLS = (
    "import tinygrad_seq as ts; layer = ts.nn.LSTM(2, 3); text = repr(layer)",
    "print(text)",
    "layer",
    "print(f'<{layer}>')",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
        nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    return [cell.outputs for cell in notebook.cells]


def test_repr_is_the_text_and_draws_nothing(outputs) -> None:
    made, printed, _, formatted = outputs
    expected = repr(ts.nn.LSTM(2, 3))
    assert made == []
    assert [output["text"] for output in printed] == [f"{expected}\n"]
    assert [output["text"] for output in formatted] == [f"<{expected}>\n"]


def test_last_line_shows_a_table_once(outputs) -> None:
    (shown,) = outputs[2]
    assert shown["output_type"] == "execute_result"
    assert shown["data"]["text/plain"] == repr(ts.nn.LSTM(2, 3))
    assert shown["data"]["text/html"] == ts.nn.LSTM(2, 3)._repr_html_()


def test_table_has_the_rows_of_the_text() -> None:
    class Tag(ts.nn.Module):
        def __init__(self) -> None:
            self.layers = {"<a & b>": ts.nn.Linear(2, 3)}

    html = Tag()._repr_html_()
    assert html.count("<tr>") == 6
    assert "layers.&lt;a &amp; b&gt; Linear" in html
    assert ">9</th>" in html
