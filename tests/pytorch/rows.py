"""What differs from PyTorch: each row is a line of the tables in docs/pytorch.md, and a test.

``python -m tests.pytorch.rows`` writes the tables.
"""

# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pytorch.md"
BEGIN, END = "<!-- {}, made from tests/pytorch/rows.py: begin -->", "<!-- {}: end -->"


class Refused(NamedTuple):
    """A call that is an error, as PyTorch and NumPy mean two things by it, or as there is no such thing.

    Attributes
    ----------
    code
        The call, of the names that the test gives.
    write
        Calls to write in its place; the first one is what PyTorch means. They run, unless they begin with a word.
    why
        Why it is refused.
    """

    code: str
    write: tuple[str, ...]
    why: str


class Differs(NamedTuple):
    """A call that gives something else than in PyTorch.

    Attributes
    ----------
    code
        The call.
    check
        An expression of `ts` and the names of the test that is true, and that shows the difference.
    here, there
        What it is here and in PyTorch.
    """

    code: str
    check: str
    here: str
    there: str


REFUSED = [
    Refused(
        "x.max(1)", ("x.max(dim=1)", "x.max(axis=1)"), "PyTorch: (values, indices); NumPy: values; the same for `min`"
    ),
    Refused("x.sort()", ("x.sort(dim=-1)", "x.sort(axis=-1)"), "PyTorch: (values, indices); NumPy: values"),
    Refused(
        "x.cummax(0)",
        ("x.cummax(dim=0)", "x.cummax(axis=0)"),
        "PyTorch: (values, indices); NumPy: values; the same for `cummin`",
    ),
    Refused(
        "x.std()",
        ("x.std(correction=1)", "x.std(correction=0)"),
        "PyTorch divides by n - 1, NumPy by n; the same for `var`",
    ),
    Refused("x.std(0)", ("x.std(dim=0)", "x.std(axis=0)"), "PyTorch divides by n - 1, NumPy by n; the same for `var`"),
    Refused(
        "ts.split(x, 2)",
        ("ts.split(x, 2, dim=0)", "ts.split(x, 2, axis=0)", "ts.chunk(x, 2)"),
        "PyTorch: parts of 2 elements; NumPy: 2 parts",
    ),
    Refused(
        "ts.split(x, [1, 1])",
        ("ts.split(x, [1, 1], dim=0)", "ts.split(x, [1], axis=0)"),
        "PyTorch: sizes; NumPy: places to cut at",
    ),
    Refused(
        "x.repeat(2, 1)",
        ("x.tile(2, 1)", "x.repeat(2, axis=0)", "x.repeat_interleave(2, dim=0)"),
        "PyTorch repeats the array, NumPy each element",
    ),
    Refused(
        "x.nonzero()",
        ("x.nonzero(as_tuple=False)", "x.nonzero(as_tuple=True)"),
        "PyTorch: a matrix; NumPy: one array per axis",
    ),
    Refused("x.squeeze(1)", ("x.squeeze(dim=1)",), "an axis of another size than 1: PyTorch leaves it, NumPy refuses"),
    Refused(
        "ts.meshgrid(v, v)",
        ('ts.meshgrid(v, v, indexing="ij")', 'ts.meshgrid(v, v, indexing="xy")'),
        "PyTorch: ij; NumPy: xy",
    ),
    Refused("ts.where(x > 0)", ("ts.nonzero(x > 0, as_tuple=True)",), "`where` takes three operands"),
    Refused(
        "F.cross_entropy(cube, labels)",
        ("F.cross_entropy(cube, labels, axis=1)", "F.cross_entropy(cube, labels, axis=-1)"),
        "logits (N, C, T) with C = T: the classes may be axis 1, as in PyTorch, or the last one",
    ),
    Refused("F.softmax(cube)", ("F.softmax(cube, dim=-1)",), "for three axes PyTorch takes the first one"),
    Refused(
        "F.embedding(table, ids)",
        ("F.embedding(ids, table)", "ts.embedding(table, ids)"),
        "`nn.functional` has PyTorch's order, `ts.embedding` the table first",
    ),
    Refused("x.argsort(1, True)", ("x.argsort(1, descending=True)",), "options are given by name"),
    Refused("x.add(x, alpha=2)", ("x + 2 * x",), "operations element by element have no options"),
    Refused("x.div(2, rounding_mode='floor')", ("x // 2",), "operations element by element have no options"),
    Refused("x.median()", ("x.sort(dim=-1).values",), "there is no median, mode and quantile"),
    Refused('x.to("cuda")', ("x.to('cpu')",), "the CPU is the only device"),
    Refused(
        "ids.masked_fill(ids > 0, 0.5)",
        ("ids.float().masked_fill(ids > 0, 0.5)",),
        "the dtype of the array cannot hold the value",
    ),
    Refused("w[0] = 1.0", ("ts.where(w > 0, w, 1.0)",), "a write to a tensor that requires grad, outside of `no_grad`"),
    Refused(
        "w.mul(2)[0].zero_()", ("w.mul(2).masked_fill(mask, 0.0)",), "a write to the result of a recorded operation"
    ),
]

DIFFERS = [
    Differs(
        "w.detach()",
        "w.detach().zero_().sum() == 0 and w.sum() != 0",
        "has values of its own: a write to one is not seen in the other",
        "the two share their memory",
    ),
    Differs(
        "y = w * 2; y += 1",
        "(lambda y: y.__iadd__(1) is not y)(w * 2)",
        "binds the name to a new tensor where gradients are recorded; other names keep the old one",
        "changes the tensor itself",
    ),
    Differs(
        "w.data",
        "isinstance(w.data, np.ndarray)",
        "a NumPy array: its methods are NumPy's (`w.data.std()` divides by n); writes to it are seen in `w`",
        "a tensor",
    ),
    Differs(
        "x.numpy()",
        "not x.numpy().flags.writeable",
        "read-only; a later write to the tensor is not seen in it",
        "shares the memory",
    ),
    Differs(
        "x.size",
        "x.size == 6 and x.size(0) == 2 and x.size() == (2, 3)",
        "a number, as in NumPy, that can be called, as in PyTorch",
        "a method",
    ),
    Differs("x.shape", "type(x.shape) is tuple", "a tuple", "a `torch.Size`"),
    Differs("x.dtype", "x.dtype == ts.float and isinstance(x.dtype, np.dtype)", "a NumPy dtype", "a `torch.dtype`"),
    Differs(
        "ts.equal(x, x)",
        "ts.equal(x, x).shape == (2, 3)",
        "element by element, as `eq`; as a truth value it is an error",
        "one bool",
    ),
    Differs("ts.allclose(x, x)", "isinstance(ts.allclose(x, x), ts.Tensor)", "a tensor with one boolean", "one bool"),
    Differs(
        "x.max(dim=1).values",
        "ts.grad(lambda x: x.max(dim=1).values.sum())(ts.ones((1, 2))).tolist() == [[0.5, 0.5]]",
        "equal elements share the gradient",
        "it goes to the element at the index",
    ),
    Differs(
        "x.topk(2)",
        "ts.tensor([1.0, 1.0]).topk(1).indices.tolist() == [0]",
        "the first of equal elements",
        "any of them",
    ),
    Differs("u.sum()", "u.sum().dtype == ts.uint64", "uint64 for unsigned integers", "int64"),
    Differs("u.any()", "u.any().dtype == ts.bool", "bool for all dtypes", "uint8 for uint8"),
    Differs(
        "x * ts.tensor(2.0, dtype=ts.double)",
        "(x * ts.tensor(2.0, dtype=ts.double)).dtype == ts.double",
        "float64: a tensor without axes counts as any other; a Python or NumPy number does not",
        "float32",
    ),
    Differs(
        "F.mse_loss(x, x.double())",
        "F.mse_loss(x, x.double()).dtype == ts.float",
        "the dtype of the prediction",
        "the promoted dtype",
    ),
    Differs(
        "ts.one_hot(ids)",
        "ts.one_hot(ids).dtype == ts.float and F.one_hot(ids).dtype == ts.long",
        "float32; `F.one_hot` gives int64",
        "int64",
    ),
    Differs(
        "F.cross_entropy(logits, target)",
        "F.cross_entropy(ts.zeros((5, 2, 4)), ts.zeros((5, 2)).long()).shape == ()",
        "logits (..., C) fit too, as they come from a layer",
        "(N, C, ...) only",
    ),
    Differs(
        "ts.manual_seed(0)",
        "(ts.manual_seed(0), ts.rand(2).tolist())[1] == (ts.manual_seed(0), ts.rand(2).tolist())[1]",
        "other random numbers; the same for the same seed",
        "its own",
    ),
    Differs(
        "from tinygrad_seq import *",
        "'float' not in ts.__all__",
        "`ts.float`, `ts.int` and `ts.bool` are left out",
        "`torch.float` is left out too",
    ),
]

LAYERS = [
    Differs(
        "nn.GRUCell(3, 4)(v_n, h)",
        "len(ts.nn.GRUCell(3, 4)(ts.ones((2, 3)), ts.zeros((2, 4)))) == 2",
        "returns (output, state), as every cell does",
        "the state",
    ),
    Differs(
        "nn.GRU(3, 4)(xs)",
        "ts.nn.GRU(3, 4)(ts.ones((5, 2, 3)), lengths=[5, 2])[0].shape == (5, 2, 4)",
        "takes `lengths=` in place of packed sequences",
        "`pack_padded_sequence`",
    ),
    Differs(
        "nn.Linear(3, 4).weight.data",
        "isinstance(ts.nn.Linear(3, 4).weight.data, np.ndarray)",
        "a NumPy array",
        "a tensor",
    ),
]


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def refused_table() -> str:
    """Return the refused calls in Markdown."""
    lines = ["| PyTorch code | write | because |", "|---|---|---|"]
    lines += [f"| `{r.code}` | {', '.join(f'`{w}`' for w in r.write)} | {_cell(r.why)} |" for r in REFUSED]
    return "\n".join(lines)


def differs_table(rows: list[Differs]) -> str:
    """Return calls that differ in Markdown."""
    lines = ["| code | here | PyTorch |", "|---|---|---|"]
    return "\n".join(lines + [f"| `{r.code}` | {_cell(r.here)} | {_cell(r.there)} |" for r in rows])


def document() -> str:
    """Return the document with its tables rewritten."""
    text = DOCUMENT.read_text(encoding="utf-8")
    tables = {"refused": refused_table(), "operations": differs_table(DIFFERS), "layers": differs_table(LAYERS)}
    for name, table in tables.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
