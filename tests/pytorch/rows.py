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
        "ts.Tensor([1, 2])",
        ("ts.Tensor([1, 2], dtype='float32')", "ts.tensor([1, 2])"),
        "PyTorch's class makes float32 of integers",
    ),
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
    Refused('ts.device("cuda")', ("'cpu'",), "the CPU is the only device; the same for `ts.cuda.is_available()`"),
    Refused("ts.LongTensor([1, 2])", ("ts.tensor([1, 2], dtype='int64')",), "the same for all dtypes"),
    Refused(
        'ts.save({"epoch": 3, "w": w}, path)',
        ("ts.train.save_checkpoint({'epoch': 3, 'w': w}, path)",),
        "`save` and `load` are for tensors by name, `ts.train.save_checkpoint` and `load_checkpoint` for all else",
    ),
    Refused(
        "ts.optim.Adam([w], fused=True)",
        ("ts.optim.Adam([w])",),
        "there is one way to update; the same for `foreach`, `capturable` and `differentiable`",
    ),
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
    Refused("nn.GRU(3, 4, dropout=0.5)", ("nn.GRU(3, 4)",), "dropout acts between layers; PyTorch warns"),
    Refused(
        "nn.ReLU(inplace=True)", ("nn.ReLU()",), "results are new tensors; the same for all activations and `Dropout`"
    ),
    Refused(
        "nn.Softmax()(cube)",
        ("nn.Softmax(dim=0)(cube)", "nn.Softmax(dim=-1)(cube)"),
        "for three axes PyTorch takes the first one; the same for `LogSoftmax`",
    ),
    Refused(
        "nn.MSELoss()(x, x[:1])", ("nn.MSELoss()(x, x[:1].expand_as(x))",), "losses do not broadcast; PyTorch warns"
    ),
    Refused(
        "nn.Embedding(5, 2, sparse=True)",
        ("nn.Embedding(5, 2)",),
        "gradients are dense; `max_norm` and `scale_grad_by_freq` do not exist either",
    ),
    Refused(
        "nn.MultiheadAttention(4, 2, add_bias_kv=True)",
        ("nn.MultiheadAttention(4, 2)",),
        "keys and values are those that are given",
    ),
    Refused(
        "nn.Linear(3, 4).double().load_state_dict(nn.Linear(3, 4).state_dict())",
        ("nn.Linear(3, 4).load_state_dict(nn.Linear(3, 4).state_dict())",),
        "dtypes must be equal, except that half precision is widened; PyTorch casts",
    ),
    Refused(
        "nn.BatchNorm1d(2).running_mean = ts.ones(2)",
        ("nn.BatchNorm1d(2).running_mean.copy_(ts.ones(2))",),
        "a plain tensor in place of a buffer would not be saved any more",
    ),
    Refused(
        "nn.GRUCell(3, 4).register_forward_hook(print)",
        ("nn.GRU(3, 4).inspect(ts.ones((2, 1, 3)))['reset_gate']",),
        "layers run the steps of cells in compiled loops",
    ),
    Refused(
        "ts.optim.SGD([w]).step(1.0)",
        ("ts.optim.SGD([w]).step(max_norm=1.0)",),
        "the first argument is a closure, as in PyTorch",
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
        "binds the name to a new tensor where gradients are recorded, and in steps of `ts.scan`; other names keep the old one",
        "changes the tensor itself",
    ),
    Differs(
        "w.data",
        "isinstance(w.data, np.ndarray)",
        "a NumPy array: its methods are NumPy's (`w.data.std()` divides by n); writes to it are seen in `w`: "
        "`w.data[...] -= lr * w.grad.data`",
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
        "nn.GRU(3, 4)(xs[:0])",
        "ts.nn.GRU(3, 4)(ts.ones((0, 2, 3)))[0].shape == (0, 2, 4)",
        "sequences of no steps leave the state as it is",
        "an error",
    ),
    Differs(
        "nn.Linear(3, 4).weight.data",
        "isinstance(ts.nn.Linear(3, 4).weight.data, np.ndarray)",
        "a NumPy array",
        "a tensor",
    ),
    Differs(
        "nn.Parameter(t)",
        "(lambda t: (nn.Parameter(t), t.zero_())[0].sum().item())(ts.ones(2)) == 2",
        "a copy of `t`; so is a buffer",
        "shares the memory of `t`",
    ),
    Differs(
        "self.layers = [nn.Linear(2, 2)]",
        "(lambda m: (setattr(m, 'layers', [nn.Linear(2, 2)]), len(list(m.parameters())))[1])(nn.Module()) == 2",
        "modules and parameters in lists, tuples and dicts are found; `ModuleList` works too",
        "only in `ModuleList` and `ModuleDict`",
    ),
    Differs(
        "model.state_dict()",
        "(lambda m: (m.state_dict()['weight'].fill(9), m.weight.max().item())[1])(nn.Linear(2, 2)) < 9",
        "copies, as NumPy arrays",
        "tensors that share the memory of the model",
    ),
    Differs(
        "nn.MultiheadAttention(4, 2)(q, k, v, key_padding_mask=all_true)",
        "bool(np.isfinite(nn.MultiheadAttention(4, 2)(*[ts.ones((1, 1, 4))] * 3, key_padding_mask=[[True]])[0].detach().numpy()).all())",
        "zeros before the output projection for a query that sees no key",
        "NaN",
    ),
    Differs(
        "nn.MultiheadAttention(4, 2)(q, k, v, is_causal=True)",
        "nn.MultiheadAttention(4, 2)(*[ts.ones((3, 1, 4))] * 3, is_causal=True)[1][0, 0].tolist()[1:] == [0, 0]",
        "masks later keys",
        "a hint; needs `attn_mask` too",
    ),
    Differs(
        "nn.TransformerEncoder(layer, 2).eval()(xs, src_key_padding_mask=mask)",
        "bool((nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 1).eval()(ts.ones((2, 1, 4)), src_key_padding_mask=[[False, True]])[1] != 0).any())",
        "the outputs on padding are those of training",
        "zeros, where it takes its fast path",
    ),
    Differs(
        "nn.CrossEntropyLoss()(logits, all_ignored)",
        "nn.CrossEntropyLoss()(ts.zeros((1, 2)), [-100]).item() == 0",
        "0",
        "NaN",
    ),
    Differs(
        "nn.CTCLoss()(log_probs, targets, ...)",
        "ts.gradcheck(lambda p: nn.CTCLoss()(p, [[1]]), [ts.tensor([[[-1.0, -2.0]], [[-0.5, -1.5]]], dtype='float64', requires_grad=True)])",
        "the gradient of any input",
        "right only for the outputs of `log_softmax`",
    ),
    Differs(
        "nn.utils.clip_grad_norm_(params, 1.0)",
        "isinstance(nn.utils.clip_grad_norm_([w], 1.0), float)",
        "returns a float",
        "a tensor",
    ),
    Differs(
        "optimizer.state_dict()",
        "(lambda o: (setattr(w, 'grad', ts.ones(2)), o.step(), type(o.state_dict()['state'][0]['exp_avg']))[2])(ts.optim.Adam([w])) is np.ndarray",
        "PyTorch's layout with NumPy arrays and numbers; `load_state_dict` takes PyTorch's own",
        "tensors",
    ),
    Differs(
        "scheduler.load_state_dict(state)",
        "(lambda s: (s.load_state_dict({'base_lrs': [1.0], 'last_epoch': 2}), s.get_last_lr())[1])("
        "ts.optim.lr_scheduler.ExponentialLR(ts.optim.SGD([w], lr=1.0), 0.5)) == [0.25]",
        "reads what a schedule of the same kind saved; of PyTorch's, `base_lrs` and `last_epoch`, while options such as "
        "`gamma` are those of the constructor",
        "options are overwritten",
    ),
    Differs(
        "optim.lr_scheduler.LambdaLR(optimizer, f), beside another schedule",
        "(lambda o: [ts.optim.ExponentialLR(o, 0.5).step(), ts.optim.LambdaLR(o, lambda t: 1.0).get_last_lr()][1])(ts.optim.SGD([w], lr=1.0)) == [0.5]",
        "schedules of one optimiser multiply",
        "`LambdaLR` overwrites the rate of the others",
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
