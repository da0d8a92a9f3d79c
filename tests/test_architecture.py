"""The rules of the house, read from the source: floors, sizes, no hand-written backward of a cell, cheap import."""

from __future__ import annotations

import ast
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tinygrad_seq"

# The floors of the package and of folders in it, from the lowest up: a unit (a file or a folder) imports from units of
# its own floor or of a lower one, and units of one floor form no circle. Folders that are not listed have one floor.
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "": (
        ("errors",),
        ("base",),
        ("kernels",),
        ("ops",),
        ("autograd",),
        ("array_api", "distributed", "functional", "optim", "scan"),
        ("nn",),
        ("data", "metrics", "report", "rtrl", "testing", "train", "verification"),
        ("interop", "tasks"),
        ("sklearn",),
        ("cli", "__init__"),
        ("__main__",),
    ),
    "scan": (
        ("ir",),
        ("passes",),
        ("codegen",),
        ("run",),
        ("inspect",),
        ("eager", "pipeline", "program", "requires_grad", "variants"),
        ("locate", "repeated", "compiled", "prepared_scan", "stepper"),
        ("api",),
        ("__init__",),
    ),
    "nn": (
        ("module", "checks", "masks"),
        ("init", "cell", "packed_sequence"),
        (
            "activations",
            "batch_norm",
            "cells",
            "containers",
            "conv",
            "layers",
            "losses",
            "pytorch_functions",
            "scaled_dot_product",
        ),
        ("functional", "recurrence", "utils"),
        ("attention",),
        ("seq2seq",),
        ("quantization",),
        ("__init__",),
    ),
}

MAX_LINES = 400
# Folders that ask the row of a primitive what they must know of it, and do not list primitives by name.
ASKS_THE_ROW = ("nn", "scan")
WORDS_ALLOWED = {  # displays of words that happen to be names of primitives too
    "nn.attention.transformer": "the values of the option activation",
    "nn.cells.elman": "the values of the option nonlinearity",
    "nn.recurrence.options": "the values of the option merge",
    "nn.recurrence.torch_layers": "the values of the options nonlinearity and merge",
    "scan.run.segments": "the values of the option remember",
}
SAME_NAME = {  # pairs of files that share a name on purpose
    "functional.py",  # ts.functional and ts.nn.functional are public
    "train.py",  # cli/train.py is the command of the package train
}
BACKWARD_ALLOWED = {"autograd.tensor.Tensor.backward"}
IMPORTED_LAZILY = (
    "h5py", "hypothesis", "keras", "matplotlib", "mpi4py", "onnx", "onnxruntime", "rich", "sacrebleu", "safetensors",
    "sklearn", "tokenizers", "torch", "typer",
)  # fmt: skip
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|mnt)/\w")


# ------------------------------------------------------------------------------------------ reading the source


def modules_of(package: Path) -> dict[str, Path]:
    """Return the files of `package` by dotted name within it; a folder is named by its ``__init__``."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in sorted(package.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def imports_of(name: str, path: Path, modules: dict[str, Path], package: str) -> Iterator[str]:
    """Yield the modules of the package that a module imports, wherever in the file it does so."""

    def resolve(target: list[str]) -> str | None:
        return next((found for found in (".".join(target), ".".join([*target, "__init__"])) if found in modules), None)

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head, *rest = alias.name.split(".")
                if head == package:
                    yield resolve(rest) or ".".join(rest)
        elif isinstance(node, ast.ImportFrom):
            head, *rest = (node.module or "").split(".")
            if node.level:
                base = [*name.split(".")[: -node.level], *filter(None, (head, *rest))]
            elif head == package:
                base = rest
            else:
                continue
            for alias in node.names:
                yield resolve([*base, alias.name]) or resolve(base) or ".".join(base)


def functions_of(tree: ast.AST, prefix: str) -> Iterator[str]:
    """Yield the qualified name of each function, method and assigned lambda."""
    for node in ast.iter_child_nodes(tree):
        inner = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (inner := f"{prefix}.{node.name}")
        elif isinstance(node, ast.ClassDef):
            inner = f"{prefix}.{node.name}"
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from (f"{prefix}.{target.id}" for target in node.targets if isinstance(target, ast.Name))
        yield from functions_of(node, inner)


# ---------------------------------------------------------------------------------------------------- the rules


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the names along one cycle of `graph`, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def floor_faults(package: Path) -> list[str]:
    """Return the imports that go up, the units without a floor and the cycles, of the package and its folders."""
    modules = modules_of(package)
    graph = {name: set(imports_of(name, path, modules, package.name)) for name, path in modules.items()}
    faults = [f"{target} does not exist" for target in sorted(set().union(*graph.values()) - set(modules))]
    if cycle := cycle_in(graph):
        faults.append(f"cycle: {' <- '.join(cycle)}")
    for folder, floors in FLOORS.items():
        floor = {unit: number for number, units in enumerate(floors) for unit in units}
        inside = {name: name.removeprefix(f"{folder}.").split(".")[0] for name in graph if is_in(name, folder)}
        faults += [
            f"{folder}: {unit} stands on no floor" for unit in sorted(set(inside.values()) - set(floor))
        ]  # fmt: skip
        units: dict[str, set[str]] = {}
        for name, unit in inside.items():
            for target in sorted(graph[name] & set(inside)):
                if floor.get(inside[target], 0) > floor.get(unit, 0):
                    faults.append(f"{name} (floor {floor.get(unit)}) imports {target} (floor {floor[inside[target]]})")
                if inside[target] != unit:
                    units.setdefault(unit, set()).add(inside[target])
        if cycle := cycle_in(units):
            faults.append(f"cycle: {' <- '.join(cycle)}")
    return faults


def is_in(name: str, folder: str) -> bool:
    """Return whether a module lies in `folder`, a dotted name ("" is the package)."""
    return not folder or name.startswith(f"{folder}.")


def name_faults(package: Path) -> list[str]:
    """Return the file names that stand for two ideas."""
    files: dict[str, list[str]] = {}
    for path in modules_of(package).values():
        files.setdefault(path.name, []).append(str(path.relative_to(package)))
    return [
        " and ".join(sorted(paths))
        for name, paths in sorted(files.items())
        if len(paths) > 1 and not name.startswith("__") and name not in SAME_NAME
    ]


def lines_of(source: str) -> int:
    """Return how many lines a source has outside of its docstrings."""
    texts = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return len(source.splitlines()) - sum((text.end_lineno or text.lineno) - text.lineno + 1 for text in texts)


def size_faults(package: Path) -> list[str]:
    """Return the files that are two files; docstrings do not count, so that no one saves on them."""
    lines = {path: lines_of(path.read_text(encoding="utf-8")) for path in modules_of(package).values()}
    return [f"{path.relative_to(package)}: {count} lines" for path, count in lines.items() if count > MAX_LINES]


def primitive_names(package: Path) -> set[str]:
    """Return the names of the rows in ``ops``: the first argument, a word, of a call there."""
    declared = [
        node.args[0]
        for path in (package / "ops").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
        if re.fullmatch("Primitive|elementwise|_[a-z_]+", node.func.id)
    ]
    return {first.value for first in declared if isinstance(first, ast.Constant) and isinstance(first.value, str)}


def is_primitive_name(node: ast.AST, aliases: set[str]) -> bool:
    """Return whether an expression is the name of a primitive, or a variable that holds it."""
    if isinstance(node, ast.Attribute) and node.attr == "name":
        owner = node.value
        return "primitive" in (getattr(owner, "attr", None), getattr(owner, "id", None))
    return isinstance(node, ast.Name) and node.id in aliases


def decisions_by_name(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that compare or look up the name of a primitive."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]:
        nodes = list(ast.walk(function))
        aliases: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    pairs = (
                        zip(target.elts, node.value.elts, strict=False)
                        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                        else [(target, node.value)]
                    )
                    aliases |= {to.id for to, of in pairs if isinstance(to, ast.Name) and is_primitive_name(of, set())}
        for node in nodes:
            if isinstance(node, ast.Compare):
                asked = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
            elif isinstance(node, ast.Subscript):
                asked = [node.slice]
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"get", "startswith", "endswith"}
            ):
                asked = [node.func.value, *node.args]
            elif isinstance(node, ast.Match):
                asked = [node.subject]
            else:
                continue
            if any(is_primitive_name(part, aliases) for part in asked):
                yield getattr(node, "lineno", 0)


def tables_of_names(tree: ast.Module, names: set[str]) -> Iterator[int]:
    """Yield the lines of displays of two or more words that all name primitives, and of dicts with such keys."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict | ast.List | ast.Set | ast.Tuple):
            continue
        items = node.keys if isinstance(node, ast.Dict) else node.elts
        words = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
        if len(words) == len(items) >= 2 and words <= names:
            yield node.lineno


def name_table_faults(package: Path) -> list[str]:
    """Return where code that should ask a primitive's row decides by its name."""
    names, faults = primitive_names(package), []
    for name, path in modules_of(package).items():
        if name.split(".")[0] in ASKS_THE_ROW:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            faults += [f"{name}: line {line} decides by the name of a primitive" for line in decisions_by_name(tree)]
            listed = [] if name in WORDS_ALLOWED else tables_of_names(tree, names)
            faults += [f"{name}: line {line} lists primitives by name" for line in listed]
    return sorted(set(faults))


def backward_faults(package: Path) -> list[str]:
    """Return the functions that are a backward pass written by hand."""
    return [
        function
        for name, path in modules_of(package).items()
        for function in functions_of(ast.parse(path.read_text(encoding="utf-8")), name)
        if function.endswith(("_backward", ".backward")) and function not in BACKWARD_ALLOWED
    ]


def readme_faults(package: Path) -> list[str]:
    """Return the folders of the package without a README; folders in them explain themselves in `__init__`."""
    folders = {path.parent for path in modules_of(package).values() if path.parent.parent == package}
    return [
        str(folder.relative_to(package))
        for folder in sorted(folders)
        if len([*folder.glob("[!_]*.py")]) > 1 and not (folder / "README.md").is_file()
    ]


def text_faults(folder: Path, *patterns: re.Pattern[str]) -> list[str]:
    """Return the lines of source, texts and results in `folder` that one of `patterns` finds."""
    return [
        f"{path.relative_to(folder)}:{number}: {line.strip()}"
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".py", ".md", ".toml", ".json", ".jsonl", ".typed"}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(pattern.search(line) for pattern in patterns)
    ]


# ---------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize(
    "rule", [floor_faults, name_faults, size_faults, name_table_faults, backward_faults, readme_faults]
)
def test_package_keeps_the_rule(rule) -> None:
    assert rule(PACKAGE) == []


def test_package_is_finished_text() -> None:
    assert text_faults(PACKAGE, UNFINISHED, MACHINE_PATH) == []


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "tests"])
def test_no_machine_path_is_committed(folder: str) -> None:
    assert text_faults(ROOT / folder, MACHINE_PATH) == []


def test_import_is_cheap(tmp_path: Path) -> None:
    script = (
        "import json, sys\n"
        "from numba.core import event\n"
        "with event.install_recorder('numba:compile') as compiled:\n"
        "    import tinygrad_seq\n"
        f"loaded = sorted(sys.modules.keys() & set({IMPORTED_LAZILY!r}))\n"
        "print(json.dumps([loaded, len(compiled.buffer)]))\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}  # nothing can come from a cache
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], 0]


# ------------------------------------------------------------------------------- a rule that cannot fail is none


def plant(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "tinygrad_seq"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


GOOD = {
    "__init__.py": "from .nn import LSTM\n",
    "errors.py": "",
    "autograd/tape.py": "from ..errors import GraphError\n",
    "autograd/tensor.py": "from . import tape\nclass Tensor:\n    def backward(self): tape.run(self)\n",
    "autograd/README.md": "",
    "ops/shape.py": 'flip = Primitive("flip")\nroll = elementwise("roll")\n',
    "nn/__init__.py": "from .recurrence.recurrent import LSTM\n",
    "nn/cell.py": "",
    "nn/recurrence/recurrent.py": "from ...autograd.tensor import Tensor\nfrom tinygrad_seq.errors import ShapeError\n"
    "from ..cell import *\nLSTM = Tensor\n",
}

PLANTED = [
    (
        floor_faults,
        "autograd/tape.py",
        "from ..nn.recurrence.recurrent import LSTM\n",
        "imports nn.recurrence.recurrent",
    ),
    (floor_faults, "autograd/tape.py", "def f():\n    from ..nn import LSTM\n", "imports nn.__init__"),
    (floor_faults, "errors.py", "import tinygrad_seq as ts\n", "imports __init__"),
    (floor_faults, "errors.py", "import tinygrad_seq.autograd.tape\n", "imports autograd.tape"),
    (floor_faults, "nn/cell.py", "from .recurrence.recurrent import LSTM\n", "nn.cell (floor 1) imports nn.recurrence"),
    (floor_faults, "nn/recurrence/recurrent.py", "from .. import LSTM\n", "cycle"),
    (floor_faults, "autograd/tape.py", "from .tensor import Tensor\n", "cycle"),
    (floor_faults, "nn/recurrence/recurrent.py", "from ...tensors import Tensor\n", "tensors does not exist"),
    (floor_faults, "helpers.py", "", "helpers stands on no floor"),
    (floor_faults, "nn/helpers.py", "", "nn: helpers stands on no floor"),
    (name_faults, "nn/tape.py", "", "autograd/tape.py and nn/tape.py"),
    (size_faults, "nn/cell.py", '"""Two\nlines."""\n' + "\n" * (MAX_LINES + 1), "401 lines"),
    (name_table_faults, "nn/cell.py", "VIEWS = frozenset({'flip', 'roll'})\n", "line 1 lists primitives"),
    (name_table_faults, "nn/cell.py", "RULES = {'flip': 1, 'roll': 2}\n", "line 1 lists primitives"),
    (
        name_table_faults,
        "nn/cell.py",
        "def f(eqn): return eqn.primitive.name == 'flip'\n",
        "line 1 decides by the name",
    ),
    (name_table_faults, "nn/cell.py", "def f(eqn): return RULES[eqn.primitive.name]\n", "line 1 decides by the name"),
    (name_table_faults, "nn/cell.py", "f = lambda eqn: RULES.get(eqn.primitive.name)\n", "line 1 decides by the name"),
    (
        name_table_faults,
        "nn/cell.py",
        "def f(eqn):\n    name, x = eqn.primitive.name, 1\n    return name in X\n",
        "line 3 decides by the name",
    ),
    (backward_faults, "nn/cell.py", "class LSTM:\n    def backward(self, g): ...\n", "LSTM.backward"),
    (backward_faults, "nn/cell.py", "if True:\n    def lstm_backward(g): ...\n", "lstm_backward"),
    (backward_faults, "nn/cell.py", "gru_backward = lambda g: g\n", "gru_backward"),
    (readme_faults, "nn/layers.py", "", "nn"),
]


@pytest.mark.parametrize(("rule", "name", "text", "fault"), PLANTED)
def test_planted_fault_is_found(tmp_path: Path, rule, name: str, text: str, fault: str) -> None:
    assert rule(plant(tmp_path / "good", GOOD)) == []
    faults = rule(plant(tmp_path / "bad", GOOD | {name: text}))
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize("line", ["# TODO: later", "path = '/" + "home/someone/x'", "see /" + "tmp/x.json"])
def test_planted_text_is_found(tmp_path: Path, line: str) -> None:
    package = plant(tmp_path, {"data/text.py": f"first\n{line}\n"})
    assert text_faults(package, UNFINISHED, MACHINE_PATH) == [f"data/text.py:2: {line}"]
