"""What is fuzzed: each reader makes a hostile input in a folder and returns the call that reads it."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.autograd.serialization import read_arrays
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.cli import main
from tinygrad_seq.data import Vocabulary, WordVectors, column_kinds, load_corpus, read_table
from tinygrad_seq.data.time_series import collect_series
from tinygrad_seq.errors import DataError, TinygradSeqError
from tinygrad_seq.kernels.compile import generated
from tinygrad_seq.tasks.rows import RowReader
from tinygrad_seq.train import Run, TrainingConfig, checkpoint, manifest
from tinygrad_seq.train.build import build_model
from tinygrad_seq.train.text import open_text, read_text

from .mutations import VALUES, Random, mutate_bytes, mutate_json, mutate_tree

Call = Callable[[], object]

FIXTURES = Path(__file__).parents[1] / "train" / "fixtures" / "run_0_1_0"


def tensors(rng: Random, folder: Path) -> Call:
    """A safetensors file; mutations of the header keep the rest in order."""
    path = folder / "x.safetensors"
    arrays: dict[str, Any] = {
        "a": np.ones((2, 3), np.float32),
        "b": np.arange(4),
        "c": np.zeros((0, 2)),
        "d": np.array([True, False]),
    }
    ts.save(arrays, path, metadata={"by": "me"})
    _change_tensors(rng, path)
    dtype, metadata = rng.choice((None, "float32", "float64")), rng.random() < 0.5
    return lambda: ts.load(path, dtype=dtype, metadata=metadata)  # type: ignore[call-overload]


def _change_tensors(rng: Random, path: Path) -> None:
    data = path.read_bytes()
    if rng.random() < 0.3:
        path.write_bytes(mutate_bytes(rng, data, data))
        return
    length = int.from_bytes(data[:8], "little")
    header = mutate_json(rng, data[8 : 8 + length])
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])


def checkpoints(rng: Random, folder: Path) -> Call:
    """A checkpoint; most mutations carry a right checksum."""
    path = folder / "x.safetensors"
    content = {"step": 3, "weights": (np.ones((2, 2), np.float32), [1.5, None]), "state": {"0": {"m": np.arange(3)}}}
    checkpoint.save_checkpoint(content, path)
    _change_checkpoint(rng, path)
    return lambda: ts.train.load_checkpoint(path)


def _change_checkpoint(rng: Random, path: Path) -> None:
    if rng.random() < 0.3:
        _change_tensors(rng, path)
        return
    arrays, metadata = read_arrays(path)
    name = next(key for key in metadata if key != "crc32")
    metadata[name] = mutate_json(rng, metadata[name].encode()).decode(errors="replace")
    if arrays and rng.random() < 0.3:
        key = rng.choice(list(arrays))
        change = rng.choice((lambda x: x.reshape(-1)[:-1], lambda x: x.astype("i8"), lambda x: x * np.nan))
        with np.errstate(invalid="ignore"):
            arrays[key] = change(arrays[key])
    metadata["crc32"] = checkpoint._checksum(metadata[name], arrays)
    ts.save(arrays, path, metadata=metadata)


def vocabularies(rng: Random, folder: Path) -> Call:
    """A vocabulary file, of this version or of 0.1.0."""
    path = folder / "vocabulary.json"
    if rng.random() < 0.5:
        Vocabulary(*rng.choice((("abc", "char"), (("the", "cat"), "word")))).save(path)
    else:
        shutil.copyfile(FIXTURES / rng.choice(("char", "word")) / "vocabulary.json", path)
    path.write_bytes(mutate_json(rng, path.read_bytes()))

    def call() -> None:
        vocabulary = Vocabulary.load(path)
        vocabulary.decode(vocabulary.encode("the cat"))

    return call


def runs(rng: Random, folder: Path) -> Call:
    """A run folder, of this version or of 0.1.0, with one changed file: opened, its rows and its model read."""
    root = folder / "run"
    if rng.random() < 0.5:
        shutil.copytree(FIXTURES / rng.choice(("char", "word")), root)
    else:
        _make_run(root)
    which = rng.choice(("config.json", "vocabulary.json", "metrics.jsonl", "checkpoints"))
    if which == "checkpoints":
        for path in (root / "checkpoints").iterdir():
            _change_checkpoint(rng, path)
    elif which == "metrics.jsonl":
        (root / which).write_bytes(mutate_bytes(rng, (root / which).read_bytes(), b'{"step": 1, "loss": NaN}\n'))
    else:
        data = mutate_json(rng, (root / which).read_bytes())
        with contextlib.suppress(ValueError, RecursionError):  # a stranger writes the right digest
            content = json.loads(data)
            if which == "config.json" and isinstance(content, dict) and "sha256" in content:
                data = manifest.to_bytes({name: value for name, value in content.items() if name != "sha256"})
        (root / which).write_bytes(data)

    def call() -> None:
        run = Run.open(root)
        run.rows()
        run.load_model()

    return call


def _make_run(root: Path) -> None:
    config = TrainingConfig(embedding_size=2, hidden_size=3, num_layers=1, steps=5, warmup=0)
    run = Run.create(root, config, Vocabulary("abc"), {"characters_per_token": 1.0})
    model = build_model(config, len(run.vocabulary))
    run.save(5, {"steps": {"model": model.state_dict(), "number": 5}}, best=True)
    (root / "metrics.jsonl").write_text('{"step": 5, "loss": 1.5, "seconds": 1.0}\n')


def token_files(rng: Random, folder: Path) -> Call:
    """The files of the encoded text of a run, and what the run says of them."""
    (folder / "text.txt").write_text("some text of a few words\n" * 30)
    _, text = read_text(load_corpus(str(folder / "text.txt")), TrainingConfig(window=3), folder=folder)
    facts: Any = {"parts": text.facts()}
    path = rng.choice(sorted(folder.glob("*.npy")))
    if rng.random() < 0.6:
        path.write_bytes(mutate_bytes(rng, path.read_bytes(), path.read_bytes()))
    else:
        facts = mutate_tree(rng, facts)

    def call() -> str:
        found = open_text(folder, facts) if isinstance(facts, dict) else None
        if found is not None:
            int(found.training.sum()) + int(found.validation.sum())
        return "not used" if found is None else "ok"

    return call


def corpora(rng: Random, folder: Path) -> Call:
    """A text in any encoding, whole or damaged, alone or in a folder with others."""
    text = "".join(
        rng.choice(("a", "b ", "é", "\n", "\r\n", "\n\n", "日本", "\U0001f600", "\t", "<EOS>")) for _ in range(60)
    )
    encoding = rng.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"))
    data = text.encode(encoding, errors="replace")
    path = folder / "corpus"
    if rng.random() < 0.5:
        path.mkdir()
        (path / "whole.txt").write_bytes(data)
    else:
        path = path.with_suffix(".txt")
    file = path / "x.txt" if path.is_dir() else path
    file.write_bytes(data if rng.random() < 0.2 else mutate_bytes(rng, data, b"".join((data, bytes(100)))))

    def call() -> None:
        corpus = load_corpus(str(path))
        assert len(corpus.read()) == corpus.characters
        for document in corpus.documents():
            assert document

    return call


def word_vectors(rng: Random, folder: Path) -> Call:
    """A text file of word vectors, with or without a header."""
    path = folder / "x.vec"
    WordVectors(["the", "é", "3"], np.arange(9).reshape(3, 3) / 7).save(path, header=rng.random() < 0.5)
    path.write_bytes(mutate_bytes(rng, path.read_bytes(), b"the 1 2 3\n2 3 \xff nan 1e999 1_0\n"))
    return lambda: WordVectors.load(path).nearest("the")


_TABLES = {
    "x.csv": 'id,text,label,day,value\n1,"a, b",x,2024-01-01,1.5\n2,c d,y,2024-01-02,2\n3,e,x,2024-01-03,-1\n',
    "x.tsv": "shop\tday\tvalue\na\t2024-01-01\t1\na\t2024-01-02\t2\nb\t2024-01-01\t3\nb\t2024-01-02\t1e3\n",
    "x.jsonl": '{"text": "a b", "y": [1, 2.5], "label": true}\n{"text": null, "y": [[1, 2]], "label": 3}\n',
    "x.conll": "# c\nAnna\tB-PER\nsmiles\tO\n\n-DOCSTART-\tO\n\nParis\tB-LOC\n",
    "y.csv": 'name,t1,t2,t3\na,1,2,3\nb,4,5,NA\nc,"[1, 2]",\'["x"]\',O B-A\n',
}


def tables(rng: Random, folder: Path) -> Call:
    """A file of rows in any format and encoding: its columns, its tasks and its series are found."""
    name = rng.choice(list(_TABLES))
    path, data = folder / name, _TABLES[name].encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252")))
    path.write_bytes(data if rng.random() < 0.2 else mutate_bytes(rng, data, data))
    kinds = {column: rng.choice(column_kinds.KINDS) for column in ("text", "value", "y") if rng.random() < 0.2}
    task = rng.choice((None, "classify", "tag", "regress"))

    def call() -> None:
        table = read_table(path, quotes=rng.random() < 0.8)
        target = rng.choice(table.names)
        for attempt in (
            lambda: table.describe({name: kind for name, kind in kinds.items() if name in table.cells}),
            lambda: RowReader.choose(table, target, task=task).targets(table),
            lambda: [each.following_dates(3) for each in collect_series(table, rng.choice((None, target))).series],
            lambda: table.write(folder / f"out-{name}", {"added": table.cells[target]}),
        ):
            with contextlib.suppress(TinygradSeqError):
                attempt()

    return call


_ARRAYS = (np.ones(3), np.ones((0, 4)), np.array([None]), np.array(["a"]), np.ones(3, complex), np.full((4, 3), np.nan))


def states(rng: Random, folder: Path) -> Call:
    """State dicts of modules, optimisers and schedulers, with foreign entries."""
    module = ts.nn.Sequential(ts.nn.Linear(3, 4), ts.nn.LayerNorm(4))
    make = rng.choice((ts.optim.Adam, ts.optim.SGD, ts.optim.RMSprop, ts.optim.Adagrad, ts.optim.AdamW))
    optimizer = make(module.parameters(), lr=0.1)
    module(ts.ones((2, 3))).sum().backward()
    optimizer.step()
    target: Any = rng.choice((module, optimizer, ts.optim.CosineAnnealingLR(optimizer, 10)))
    state = target.state_dict()
    for _ in range(rng.choice((1, 1, 2, 4))):
        state = mutate_tree(rng, state, VALUES + _ARRAYS)
    return lambda: target.load_state_dict(state)


_KERNEL = "def run(x, factor):\n    for i in range(x.size):\n        x[i] *= factor\n"
_stored: dict[str, bytes] = {}


def kernels(rng: Random, folder: Path) -> Call:
    """The files of a generated kernel; whatever they hold, the result is right."""
    cache = folder / "cache"

    def call() -> None:
        with mock.patch.dict(os.environ, {"TGS_CACHE_DIR": str(cache)}):
            generated._loaded = Memo(100)
            x = np.array([1.0, 2.0])
            generated.load(_KERNEL, "run", "void(float64[::1], float64)")(x, 3.0)
            assert x.tolist() == [3.0, 6.0]

    if not _stored:
        call()
        _stored.update({path.name: path.read_bytes() for path in cache.iterdir()})
    cache.mkdir(mode=0o700, exist_ok=True)
    changed = rng.choice(list(_stored))
    for name, data in _stored.items():
        (cache / name).write_bytes(mutate_bytes(rng, data, data) if name == changed else data)
        (cache / name).chmod(rng.choice((0o600, 0o600, 0o600, 0o666)))
    return call


MODELS = Path(__file__).parents[1] / "interop" / "data"


def keras_files(rng: Random, folder: Path) -> Call:
    """A model of Keras with a changed configuration, changed weights, or changed bytes; or weights alone."""
    name = rng.choice(("tagger.keras", "scorer.keras", "tagger.h5", "tagger.weights.h5"))
    path, data = folder / name, (MODELS / name).read_bytes()
    if name.endswith(".h5") or rng.random() < 0.2:
        path.write_bytes(mutate_bytes(rng, data, data))
    else:
        changed = rng.choice(("config.json", "config.json", "config.json", "metadata.json", "model.weights.h5"))
        with zipfile.ZipFile(MODELS / name) as old, zipfile.ZipFile(path, "w") as new:
            for member in old.namelist():
                content = old.read(member)
                if member == changed:
                    change = mutate_json if member.endswith(".json") else mutate_bytes
                    content = change(rng, content)
                new.writestr(member, content)
    model = ts.interop.from_keras(MODELS / "tagger.keras") if name.endswith("weights.h5") else None
    x = np.ones((2, 5, 2), np.float32) if name.startswith("scorer") else np.ones((2, 5), np.int64)

    def call() -> None:
        with ts.disable_compile():
            ts.interop.from_keras(path, model)(x)

    return call


def onnx_files(rng: Random, folder: Path) -> Call:
    """A model of ONNX with changed bytes, which is read and run."""
    path, data = folder / "x.onnx", (MODELS / "torch.onnx").read_bytes()
    path.write_bytes(mutate_bytes(rng, data, data))

    def call() -> None:
        with ts.disable_compile():
            ts.interop.from_onnx(path)(np.ones((2, 5), np.int64))

    return call


def torch_files(rng: Random, folder: Path) -> Call:
    """A file of PyTorch, an index of safetensors files, or a state dict with foreign entries."""
    if rng.random() < 0.3:
        state = mutate_tree(
            rng, {"state_dict": {"module.weight": np.ones(2), "module.bias": np.ones(3)}}, VALUES + _ARRAYS
        )
        return lambda: ts.interop.from_pytorch(state if isinstance(state, dict) else {"a": state})
    path, data = folder / "x.pt", (MODELS / "torch.pt").read_bytes()
    if rng.random() < 0.5:
        path, data = folder / "model.safetensors.index.json", b'{"weight_map": {"a": "a.safetensors"}}'
        ts.save({"a": np.ones(3)}, folder / "a.safetensors")
        data = mutate_json(rng, data)
    else:
        data = mutate_bytes(rng, data, data)
    path.write_bytes(data)
    return lambda: ts.interop.from_pytorch(path)


def hub_folders(rng: Random, folder: Path) -> Call:
    """The folder of a language model, with one changed file."""
    vocabulary = Vocabulary("abc")
    ts.interop.to_hub(ts.train.LanguageModel(len(vocabulary), 2, 3, cell="gru"), folder, vocabulary)
    name = rng.choice(("config.json", "tokenizer.json", "model.safetensors"))
    if name.endswith(".json"):
        (folder / name).write_bytes(mutate_json(rng, (folder / name).read_bytes()))
    else:
        _change_tensors(rng, folder / name)
    return lambda: ts.interop.from_hub(folder)


_WORDS = (
    "train", "sample", "score", "info", "cache", "verify", "warmup", "RUN", "--corpus", "pydoc", "TEXT", "--out",
    "NEW", "--steps", "--lr", "--cell", "--resume", "--force", "--checkpoint", "best", "--temperature", "--prompt",
    "--seed", "--level", "--help", "--version", "--clear", "--", "-", "", "-1", "0", "3", "1e999", "nan", "0.5",
    "fit", "predict", "evaluate", "TABLE", "--target", "label", "--horizon", "--kind", "--skip-missing", "--task",
    "abc", "lstm", "gru", "x.py:Cell", "\x00", "\ud800", "\udcff", "é", "x" * 5000, "--debugger", "--no-compile",
    "--lr=0", "--steps=9" * 30, "/dev/zero", "/", "NONE", "a=b",
)  # fmt: skip


_COMMANDS = (
    "train --corpus TEXT --out NEW --steps 3",
    "train --resume RUN --steps 9",
    "sample RUN --length 5",
    "score RUN abc",
    "info RUN",
    "cache",
    "verify x.py:Cell",
    "fit TABLE --target label --out NEW",
    "fit TABLE --target value --horizon 1 --out NEW",
    "predict RUN TABLE -o NEW",
    "evaluate RUN TABLE",
    "",
)


@functools.cache
def _compile() -> None:
    Run.open(FIXTURES / "char").sample("a", length=2)
    Run.open(FIXTURES / "char").score("a")


def arguments(rng: Random, folder: Path) -> Call:
    """A command line; training, verifying and compiling are stopped where they begin."""
    shutil.copytree(FIXTURES / "char", folder / "run")
    (folder / "text.txt").write_text("some text\n" * 20)
    (folder / "table.csv").write_text(_TABLES["x.csv"])
    names = {"RUN": str(folder / "run"), "TEXT": str(folder / "text.txt"), "NEW": str(folder / "new")}
    names["TABLE"] = str(folder / "table.csv")
    words = rng.choice(_COMMANDS).split()
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randrange(len(words) + 1)
        words[at : at + rng.randrange(2)] = rng.choices(_WORDS, k=rng.choice((0, 1, 1, 2)))
    given = [names.get(word, word) for word in words]
    (folder / "arguments.json").write_text(json.dumps(given))
    lines = mutate_bytes(rng, "a line\né\n".encode())
    _compile()

    def stop(*_: object, **__: object) -> Any:
        raise DataError("stop: expected nothing, got here; go on.")

    def call() -> str:
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace")
        with contextlib.ExitStack() as stack:
            for name in (
                *("train.Session", "verify.certify", "warmup._report"),
                *("fit_files.fit_task", "fit_files.fit_forecast"),
            ):
                stack.enter_context(mock.patch(f"tinygrad_seq.cli.{name}", stop))
            stack.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines))))
            stack.enter_context(mock.patch.object(sys, "stderr", io.StringIO()))
            stack.enter_context(mock.patch.object(sys, "stdout", output))
            code = main(given)
        assert code in (0, 1, 2), code
        return f"exit {code}"

    return call


READERS: dict[str, tuple[int, Callable[[Random, Path], Call]]] = {  # name: (share of the inputs, reader)
    "tensors": (20, tensors),
    "token files": (5, token_files),
    "checkpoints": (20, checkpoints),
    "vocabularies": (20, vocabularies),
    "runs": (15, runs),
    "corpora": (10, corpora),
    "tables": (20, tables),
    "word vectors": (5, word_vectors),
    "states": (10, states),
    "arguments": (4, arguments),
    "kernels": (1, kernels),
    "keras files": (10, keras_files),
    "onnx files": (10, onnx_files),
    "torch files": (5, torch_files),
    "hub folders": (5, hub_folders),
}
