"""Tables: what the formats have in common, and how every malformed file is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import read_table
from tinygrad_seq.data.column_kinds import convert, guess_kind
from tinygrad_seq.errors import ArgumentError, CheckpointError, DataError, ShapeError, TinygradSeqError

REVIEWS = "text,label\nGood.,pos\n\nBad.,neg\n"


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from([",", ";", "tab", "|"]), st.booleans())
def test_cells_come_back(tmp_path_factory: Any, rows: list[tuple[str, str]], delimiter: str, windows: bool) -> None:
    """What Python's csv module writes is read; what `write` writes is read again."""
    folder = tmp_path_factory.mktemp("csv")
    with open(folder / "x.csv", "w", newline="", encoding="utf-8-sig") as out:
        writer = csv.writer(
            out, delimiter={"tab": "\t"}.get(delimiter, delimiter), lineterminator="\r\n" if windows else "\n"
        )
        writer.writerow(["a", "b"])
        writer.writerows(rows)
    table = read_table(folder / "x.csv", delimiter=delimiter)
    expected = [[cell if cell and not cell.isspace() else None for cell in row] for row in rows]
    assert [list(row) for row in zip(*table.cells.values(), strict=True)] == expected
    table.write(folder / "y.csv", {"c": list(range(len(rows)))})
    again = read_table(folder / "y.csv", delimiter=delimiter)
    assert again.cells == table.cells | {"c": [str(row) for row in range(len(rows))]}


@pytest.mark.parametrize(
    ("name", "content", "options", "cells"),
    [
        ("x.csv", REVIEWS, {}, {"text": ["Good.", "Bad."], "label": ["pos", "neg"]}),
        ("x.csv", REVIEWS.encode("utf-16"), {}, {"text": ["Good.", "Bad."], "label": ["pos", "neg"]}),
        ("x.csv", "é;b\n1;".encode("latin-1"), {"delimiter": ";", "encoding": "latin-1"}, {"é": ["1"], "b": [None]}),
        ("x.csv", ",b\n1,2\n", {}, {"column 1": ["1"], "b": ["2"]}),
        ("x.csv", '1,"2\n3"\n', {"names": ["a", "b"]}, {"a": ["1"], "b": ["2\n3"]}),
        ("x.csv", "a b\n1,5\n", {"delimiter": "|"}, {"a b": ["1,5"]}),
        ("x.tsv", 'a\tb\n"x\ty"\t2\n', {}, {"a": ["x\ty"], "b": ["2"]}),
        ("x.tsv", 'a\tb\n"x\ty\n', {"quotes": False}, {"a": ['"x'], "b": ["y"]}),
        ("x.txt", "a,b\n1,2\n", {"format": "csv"}, {"a": ["1"], "b": ["2"]}),
        ("x.jsonl", '{"a": [1, 2]}\n\n{"b": NaN, "a": " "}\n', {}, {"a": [[1, 2], None], "b": [None, None]}),
        ("x.bio", "-DOCSTART-\n\nI P\n \n\n# a c\nb N", {}, {"token": [["I"], ["b"]], "tag": [["P"], ["N"]]}),
        ("x.conll", "# c d e\nd e\n# O\n", {}, {"token": [["d", "#"]], "tag": [["e", "O"]]}),
        ("x.bio", "a b\tB\n \tO\n", {"names": ["w", "t"]}, {"w": [["a b", " "]], "t": [["B", "O"]]}),
        ("x.conll", "a b c d", {}, {"token": [["a"]], "column 2": [["b"]], "column 3": [["c"]], "tag": [["d"]]}),
    ],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, content: str | bytes, options: Any, cells: dict[str, list[Any]]) -> None:
    assert read_table(file(tmp_path, name, content), **options).cells == cells


def test_universal_dependencies(tmp_path: Path) -> None:
    lines = [
        f"{number}\t{word}" + "\t_" * 8 for number, word in (("1-2", "don't"), ("1", "do"), ("1.1", "x"), ("2", "n't"))
    ]
    table = read_table(file(tmp_path, "x.conllu", "# sent_id = 1\n" + "\n".join(lines)))
    assert table.cells["form"] == [["do", "n't"]]
    assert table.names[3] == "upos"
    assert table.lines == [3]
    table.write(tmp_path / "y.conllu", {"prediction": [["A", "B"]]})
    written = (tmp_path / "y.conllu").read_text().splitlines()
    assert [line.split("\t")[10:] for line in written] == [[], [], ["A"], [], ["B"]]


def test_lines_and_rows(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "x.csv", 'a,b\n1,"x\ny"\n\n2,z\n'))
    assert table.lines == [2, 5]
    assert table.take([1]).cells == {"a": ["2"], "b": ["z"]}
    assert table.take([1]).lines == [5]
    assert repr(table) == "Table(2 rows of 'a', 'b' from 'x.csv')"


def test_json_lines_are_written(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "x.jsonl", '{"a": "é"}\n{"b": [1, [2]]}\n'))
    table.write(tmp_path / "y.jsonl", {"c": [0.5, None]})
    rows = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert rows == [{"a": "é", "b": None, "c": 0.5}, {"a": None, "b": [1, [2]], "c": None}]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("x.csv", "", {}, "header and rows in 'x.csv', got an empty file"),
        ("x.csv", "a,b\n", {}, "rows below the header"),
        ("x.csv", "text;label\nb;c\n", {}, "separated by ',' .*got one column named 'text;label'; try --delimiter ';'"),
        ("x.csv", "text\tlabel\na\tc\n", {}, "try --delimiter tab"),
        ("x.tsv", "text,label\na,c\n", {}, "separated by tab .* try --delimiter ','"),
        ("x.csv", "a,b\n1,2\n3\n", {}, "2 cells per row in 'x.csv' .'a', 'b'., got 1 in line 3"),
        ("x.csv", "a,b\n1,2,3\n", {}, "got 3 in line 2"),
        ("x.csv", "a,b, a\n1,2,3\n", {}, "different column names in 'x.csv', got 'a' more than once"),
        ("x.csv", 'a\n1\n"b\nc\n', {}, "starts in line 3 and ends in line 4 .*close the quotation mark"),
        ("x.csv", 'a\n"b"c\n', {}, "starts in line 2"),
        ("x.csv", b"a,b\n\xc3\xa9\0,2\n", {}, "binary data"),
        ("x.csv", b"a,b\n\xe9,2\n", {}, "0xe9 at byte 4"),
        ("x.csv", b"PK\x03\x04", {}, "a zip archive or office document"),
        ("x.jsonl", "", {}, "JSON objects, one per line"),
        ("x.jsonl", "{}\n[1]\n", {}, "line 2 of 'x.jsonl', got a list; write one object per line"),
        ("x.jsonl", '{"a": 1}\n{"a"\n', {}, "line 2 of 'x.jsonl'"),
        ("x.jsonl", '{"a": 1, "a": 2}\n', {}, "the key 'a' twice"),
        ("x.jsonl", '{"a": ' + "[" * 100_000 + "\n", {}, "nested too deeply"),
        ("x.conll", "\n\n", {}, "lines of tokens"),
        ("x.conll", "# only\n", {}, "lines of tokens"),
        ("x.conll", "a B\nb\n", {}, "2 columns per token in 'x.conll', as in its first token line, got 1 in line 2"),
        ("x.conll", "a B\n", {"names": ["a"]}, "2 names for the 2 columns"),
        ("x.conll", "a B\n", {"names": ["a", "a"]}, "'a' more than once"),
        ("x.txt", "a", {}, "a name that ends in .csv, .*got 'x.txt'; pass --format"),
        ("x.csv", "a", {"format": "xls"}, "got 'xls'"),
        ("x.csv", "a", {"delimiter": ",,"}, "a delimiter of one character"),
        ("x.jsonl", "{}", {"delimiter": ","}, "for jsonl"),
        ("x.jsonl", "{}", {"names": ["a"]}, "no column names"),
        ("x.csv", "a", {"encoding": "no"}, "encoding"),
    ],
)  # fmt: skip
def test_malformed_files(tmp_path: Path, name: str, content: str | bytes, options: Any, message: str) -> None:
    with pytest.raises((DataError, ArgumentError), match=message) as caught:
        read_table(file(tmp_path, name, content), **options, caller="fit")
    assert str(caught.value).startswith("fit: expected")


def test_paths(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(TinygradSeqError):
            read_table(path)
    with pytest.raises(CheckpointError, match=r"got '.*no\.csv': No such file"):
        read_table(tmp_path / "no.csv")
    with pytest.raises(ArgumentError, match="expected a path"):
        read_table(3)  # type: ignore[arg-type]


def test_columns_that_are_missing(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "x.csv", REVIEWS))
    with pytest.raises(DataError, match=r"the column 'lable' in 'x\.csv', got 'text', 'label'; did you mean 'label'\?"):
        table.column("lable")
    with pytest.raises(DataError, match=r"the columns 'x', 'y' .*check the header"):
        table.require(["x", "text", "y"])


def test_writing_is_refused(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "x.csv", REVIEWS))
    with pytest.raises(DataError, match="new column names, got 'label'"):
        table.write(tmp_path / "y.csv", {"label": [1, 2]})
    with pytest.raises(ShapeError, match="2 values in column 'a', got 1"):
        table.write(tmp_path / "y.csv", {"a": [1]})
    with pytest.raises(CheckpointError, match="create the folder first"):
        table.write(tmp_path / "no" / "y.csv")
    plain = read_table(file(tmp_path, "x.tsv", 'a\tb\n"\t2\n'), quotes=False)
    with pytest.raises(DataError, match="cells without tab"):
        plain.write(tmp_path / "y.tsv", {"c": ["x\ty"]})
    sentences = read_table(file(tmp_path, "x.conll", "a B\n"))
    with pytest.raises(ShapeError, match="a value per token"):
        sentences.write(tmp_path / "y.conll", {"c": [["x", "y"]]})
    assert not list(tmp_path.glob("y.*"))


# ------------------------------------------------------------------------------------------------------- column kinds


@pytest.mark.parametrize(
    ("name", "values", "kind", "described"),
    [
        ("x", [None, None], "empty", "empty"),
        ("x", ["1", " -2.5e3 ", None], "number", "number, -2500 to 1, 1 missing"),
        ("x", ["1", "NA", "?"], "number", "number, 1, 2 missing"),
        ("x", ["NA", "n/a"], "text", "text, 1 words"),
        ("x", ["1", "2", "x"], "text", "text, 1 words"),
        ("id", ["1", "2", "2"], "id", "id, 2 different"),
        ("user_id", ["a", "b"], "id", "id, 2 different"),
        ("index", [1, 2], "id", "id, 2 different"),
        ("x", ["R-1", "R-2", "R-10"], "id", "id, 3 different"),
        ("x", ["R1", "S2", "R3"], "text", "text, 1 words"),
        ("x", ["$1", "$2", "$3"], "text", "text, 1 words"),
        ("x", ["20240131", "20240201"], "date", "date, 2024-01-31 to 2024-02-01"),
        ("x", ["20240131", "20241301"], "number", "number, 2.02401e+07 to 2.02413e+07"),
        ("paid", ["1", "2"], "number", "number, 1 to 2"),
        ("id", ["0.5", "1"], "number", "number, 0.5 to 1"),
        ("x", ["2024-01-31", "2024/02/01 18:30"], "date", "date, 2024-01-31 to 2024-02-01"),
        ("x", ["31.01.2024", "01.02.2024"], "text", "text, 1 words"),
        ("x", ["1 2", "3 4 5"], "series", "series of numbers, 2 to 3 steps"),
        ("x", ["1;2", "3|4"], "series", "series of numbers, 2 steps"),
        ("x", ["[1, 2]", "[ 0.1  0.2 3.]"], "series", "series of numbers, 2 to 3 steps"),
        ("x", ["[[1, 2], [3, 4]]"], "series", "series of numbers, 2 steps of 2"),
        ("x", ["1,2,3", "4, 5, 6"], "series", "series of numbers, 3 steps"),
        ("x", ["1,5", "2,5"], "text", "text, 1 words"),  # a decimal comma
        ("x", [[1, 2.5], [3]], "series", "series of numbers, 1 to 2 steps"),
        ("x", [[1], [[2]], ["a"]], "other", "mixed values"),
        ("x", [[1, None]], "other", "mixed values"),
        ("x", [{}], "other", "mixed values"),
        ("x", [1, "a"], "other", "mixed values"),
        ("x", [["a", "b"], []], "tokens", "sequence of tokens, 0 to 2 tokens"),
        ("x", ["O B-PER I-PER", "O"], "tokens", "sequence of tokens, 1 to 3 tokens"),
        ("x", ["['a', 'b']", '["c"]'], "tokens", "sequence of tokens, 1 to 2 tokens"),
        ("x", [f"{'DET NOUN ' * n}VERB" for n in range(1, 9)], "tokens", "sequence of tokens, 3 to 17 tokens"),
        ("x", ["a", "b"] * 2, "class", "class, 2 different: 'a', 'b'"),
        ("x", ["very good", "bad"] * 2, "class", "class, 2 different: 'bad', 'very good'"),
        ("x", ["O", "B-A", "B-A"], "class", "class, 2 different: 'B-A', 'O'"),
        ("x", [True, False], "class", "class, 2 different: 'false', 'true'"),
        ("x", ["a cat", "the dog ran"], "text", "text, 2 to 3 words"),
    ],
)  # fmt: skip
def test_kinds(name: str, values: list[Any], kind: str, described: str) -> None:
    assert guess_kind(name, values) == kind
    column = convert(name, guess_kind(name, values), values, range(len(values)), "f", "'x'")
    assert column.describe() == described


def test_values() -> None:
    def values(kind: Any, *cells: Any) -> list[Any]:
        return convert("x", kind, cells, range(len(cells)), "f", "'x'").values

    assert values("number", "1e3", 2, None, "NaN") == [1000.0, 2.0, None, None]
    assert values("class", " a ", 3, True) == ["a", "3", "true"]
    assert values("tokens", "a  b", ["c"]) == [["a", "b"], ["c"]]
    (series,) = values("series", "[[1, 2], [3, 4]]")
    assert series.dtype == np.float64
    assert series.tolist() == [[1, 2], [3, 4]]
    (utc,) = values("date", "2024-01-31T18:30:00+02:00")
    assert utc.isoformat() == "2024-01-31T16:30:00"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("number", "1,5", "a finite number in column 'x' of 'f.csv', got '1,5' in line 7; .*decimal point"),
        ("number", "inf", "got 'inf'"),
        ("number", "1_000", "got '1_000'"),
        ("number", True, "got True"),
        ("number", 10**400, "got 1000"),
        ("series", "[1, [2]]", "a list of finite numbers"),
        ("series", "[[1], [2, 3]]", "a list of finite numbers"),
        ("series", "1;;2", "a list of finite numbers"),
        ("series", "[" * 10_000, "a list of finite numbers"),
        ("series", [[[1]]], "a list of finite numbers"),
        ("series", [], "a list of finite numbers"),
        ("tokens", "[1]", "a list of words"),
        ("tokens", "['a'", "a list of words"),
        ("date", [1], "an ISO date"),
        ("date", "31.1.2024", "an ISO date .* write dates as 2024-01-31"),
        ("text", 3, "expected text"),
        ("class", [1], "a class"),
    ],
)
def test_values_that_are_none_of_the_kind(kind: Any, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert("x", kind, [None, value], [6, 7], "fit", "'f.csv'")
