"""One-line idioms of PyTorch programs; ``results.json`` has what PyTorch computes.

``python -m tests.pytorch.idioms`` writes that file; it needs PyTorch.
"""

# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# `T` is torch or tinygrad_seq, `F` its functions of networks; a statement leaves its result in `r`.
IDIOMS = """
T.arange(5).float().mean()
T.arange(0, 1, 0.25)
T.arange(3., 5.)
T.arange(5).dtype
T.tensor(3).dtype
T.tensor(3.).dtype
T.tensor([1, 2.5]).dtype
T.tensor([True, False]).dtype
T.tensor([1,2], dtype=T.float)
T.tensor(np.float64(1.5)).dtype
T.tensor(np.arange(3)).dtype
T.tensor([np.float32(1), 2.0]).dtype
T.linspace(0, 1, 5)
T.linspace(0, 1, steps=5)
T.full((2,), 1).dtype
T.full((2, 2), 0.5)
T.full_like(m23, 2)
T.ones(2, 3)
T.zeros(2, 3, dtype=T.long)
T.zeros([2, 3])
T.eye(3)
m23.size(1)
m23.size(-1)
m23.numel()
m23.dim()
m23.ndim
len(m23)
float(m23.sum())
int(iv3[0])
bool(m23.sum() > 0)
2 in iv3
m23.tolist()
[r.sum().item() for r in m23]
m23 // 2
m23 % 2
m23 % -2
iv3 // 2
iv3 % 3
iv3 / 2
iv3 // -2
m23 ** 2
2 ** m23
-m23
abs(m23)
1 / p23
5 - m23
m23 > 0
(m23 > 0) & (m23 < 1)
~(m23 > 0)
m23 == m23
(m23 > 0).sum()
(m23 > 0).float().mean()
m23[m23 > 0]
m23[0]
m23[:, 1]
m23[..., 0]
m23[[0, 1]]
m23[T.tensor([1, 0])]
m23[T.arange(2), T.tensor([1, 2])]
c234[:, -1]
c234[::2]
m33[b3]
m33[:, b3]
m33.t()
m33.T
m33.transpose(0, 1)
c234.transpose(1, 2)
c234.transpose(-1, -2)
c234.permute(2, 0, 1)
c234.permute((2, 0, 1))
c234.view(2, -1)
c234.view(-1)
c234.flatten(1)
c234.flatten(0, 1)
m23.unsqueeze(1).expand(-1, 4, -1)
m23.expand(4, 2, 3)
v3.expand(2, 3)
v3.expand_as(m23)
v3.repeat_interleave(2)
T.repeat_interleave(m23, 2, dim=0)
m23.tile(2)
m23.tile((2, 1))
T.cat([m23, m23], dim=1)
T.cat((m23, m23), 1)
T.cat([m23, m23])
T.stack([v3, v3], dim=1)
T.stack((v3, v3))
c234.split(2, dim=2)
T.split(c234, 3, dim=-1)
T.split(c234, [1, 3], dim=2)
c234.chunk(2, dim=-1)
T.chunk(m23, 2, 1)
c234.unbind(1)
c234.unbind(dim=0)
m23.sum(0)
m23.sum(dim=1, keepdim=True)
m23.sum((0, 1))
m23.mean(-1)
m23.mean(dim=(0, 1))
m23.max()
m23.max(dim=1)
m23.max(dim=1)[1]
m23.max(dim=1).indices
T.max(m23, dim=1)
m23.min(dim=0)
m23.argmax(1)
m23.argmax(dim=-1, keepdim=True)
m23.argmax()
m23.std(dim=0)
m23.var(dim=0, unbiased=False)
m23.norm()
m23.norm(dim=1)
m23.norm(2, 1)
m23.norm(p=1, dim=1)
m23.norm(2, dim=1, keepdim=True)
m23.prod(1)
m23.cumsum(0)
m23.cumsum(dim=1)
m23.cummax(dim=1)
m23.logsumexp(1)
T.logsumexp(m23, dim=1, keepdim=True)
m23.softmax(-1)
T.softmax(m23, dim=1)
F.softmax(m23, dim=1)
F.log_softmax(m23, -1)
m23.sort(dim=1)
m23.sort(dim=1, descending=True)
m23.argsort(dim=1)
m23.topk(2)
m23.topk(2, dim=1)
m23.topk(2, largest=False)
T.topk(m23, 2, 1)
m23.gather(1, k23)
T.gather(m23, 1, k23)
m23.gather(1, k23[:, :1]).squeeze(1)
m23.scatter(1, k23, 0.)
m23.scatter(1, k23[:, :1], 9.)
m23.scatter_add(1, k23, m23)
T.zeros(2, 3).scatter_(1, k23[:, :1], 1)
T.zeros(2, 3).scatter_(1, k23[:, :1], 1.0)
m23.index_select(1, idx)
T.index_select(m23, 0, idx)
m33.index_add(0, idx, m33)
m23.masked_fill(b23, 0)
m23.masked_fill(b23, float('-inf'))
m23.masked_fill(b23 == 0, -1e9)
m23.masked_select(b23)
T.where(b23, m23, T.zeros_like(m23))
T.where(b23, m23, 0.)
T.where(b23, 1., 0.)
T.where(b23, 1, 0)
b23.nonzero(as_tuple=True)
b23.any()
b23.any(dim=1)
b23.all(1)
m23.clamp(-1, 1)
m23.clamp(min=0)
m23.clamp(max=0.5)
m23.clamp_(0, 1)
m23.round()
m23.floor()
m23.sign()
iv3.sign()
iv3.abs()
m23.exp()
p23.log()
m23.sigmoid()
m23.tanh()
m23.relu()
T.tanh(m23)
F.relu(m23)
F.gelu(m23)
F.elu(m23)
F.softplus(m23)
F.leaky_relu(m23, 0.2)
F.one_hot(k33)
F.one_hot(k33, 4)
F.one_hot(k33, num_classes=4).float()
F.pad(m23, (1, 2))
F.pad(m23, (1, 2, 0, 1))
F.pad(m23, (1, 0), value=9.)
F.pad(c234, (1, 1), mode='replicate')
F.embedding(k23, m33)
F.linear(m23, m33)
F.normalize(m23)
F.normalize(c234, p=1, dim=-1)
F.normalize(m23 * 0)
F.cosine_similarity(m23, m33[:2])
F.cosine_similarity(c234, c234[:1], dim=2)
F.cosine_similarity(v3, m33, dim=-1)
F.cosine_similarity(m23 * 0, m23)
F.cross_entropy(m23, T.tensor([0, 2]))
F.cross_entropy(c234, k23[:, [0,1,2,0]])
F.cross_entropy(m23, T.tensor([0, -100]), ignore_index=-100)
F.cross_entropy(m23, T.tensor([0, 2]), reduction='none')
F.nll_loss(F.log_softmax(m23, 1), T.tensor([0, 2]))
F.mse_loss(m23, m23 * 2)
F.binary_cross_entropy_with_logits(m23, b23.float())
F.binary_cross_entropy(m23.sigmoid(), b23.float())
F.kl_div(F.log_softmax(m23, 1), F.softmax(m23, 1), reduction='batchmean')
F.smooth_l1_loss(m23, m23 * 2)
F.layer_norm(m23, (3,))
F.dropout(m23, 0.5, training=False)
F.log_softmax(c234, dim=-1)
F.glu(c234, dim=-1)
T.matmul(m23, m33)
m23 @ m33
m23.mm(m33)
T.mm(m23, m33)
T.bmm(c234, c234.transpose(1, 2))
m33.mv(v3)
v3.dot(v3)
T.outer(v3, v2)
T.addmm(v3, m23, m33)
T.einsum('bij,bkj->bik', c234, c234)
T.tril(m33)
T.triu(m33, diagonal=1)
T.triu(T.ones(3, 3), 1).bool()
m33.diagonal()
T.trace(m33)
m23.flip(0)
m23.flip([0])
m23.flip(dims=(0, 1))
m23.roll(1, 1)
T.roll(m23, shifts=1, dims=0)
T.meshgrid(v2, v3, indexing='ij')
T.isnan(m23).any()
m23.type_as(d23)
m23.to(T.float64)
m23.to(d23)
m23.to('cpu')
m23.to(dtype=T.long)
m23.long()
iv3.float()
iv3.double()
b23.int()
b23.long()
m23.bool()
m23.cpu()
m23.contiguous()
m23.clone()
m23.detach()
m23.new_zeros(2)
m23.new_zeros(2, 3)
iv3.new_ones(2)
m23.new_full((2,), 3)
m23.new_tensor([1, 2])
m23.dtype == T.float32
m23.is_floating_point()
m23 * iv3
iv3 * m23
m23 + iv3
m23 * d23
m23 * T.tensor(2)
m23 * T.tensor(2.5)
iv3 * T.tensor(2.5)
iv3 * 0.5
b23 * m23
b23.sum(1)
i32 + iv3
i32.sum()
iv3.float() / 2
iv3.sum() / 3
T.lerp(m23, m23 * 2, 0.5)
T.maximum(m23, m23 * 2)
m23.sub(1)
m23.mul(2)
m23.div(2)
m23.addcmul(m23, m23, value=0.5)
T.add(m23, 1)
m23.pow(2)
m23.sqrt().isnan()
p23.rsqrt()
T.floor_divide(iv3, 2)
T.remainder(iv3, 3)
T.fmod(iv3, 3)
T.cumsum(m23, dim=0)
T.std(m23, dim=1, keepdim=True)
m23.narrow(1, 0, 2)
m23.select(1, 0)
T.squeeze(m23.unsqueeze(0), 0)
m23.squeeze()
m23.squeeze(dim=0)
m23.view_as(m23)
m23.item() if m23.numel() == 1 else 0
m23.diff(dim=1)
T.nn.utils.rnn.pad_sequence([v3, v2], batch_first=True)
a = m23.clone(); a[0][1] = 0; r = a
a = m23.clone(); a.view(-1)[0] = 1; r = a
a = m23.clone(); a.T[0] = 5; r = a
a = m23.clone(); a[0, :] = T.tensor([1., 2, 3]); r = a
a = m23.clone(); a[a > 0] = 0; r = a
a = m23.clone(); a[:, 0] += 1; r = a
a = m23.clone(); a[0] *= 2; r = a
a = m23.clone(); a += 1; r = a
a = m23.clone(); b = a; a += 1; r = b
a = m23.clone(); b = a; a *= 2; r = b
a = m23.clone(); b = a[0]; b += 1; r = a
a = m23.clone(); b = a[0]; a += 1; r = b
a = m23.clone(); b = a.t(); a.zero_(); r = b
a = m23.clone(); a.add_(1); r = a
a = m23.clone(); a.mul_(2).add_(m23, alpha=0.5); r = a
a = m23.clone(); a.fill_(2); r = a
a = m23.clone(); a[1].fill_(2); r = a
a = m23.clone(); a.masked_fill_(b23, 0); r = a
a = m23.clone(); a.copy_(v3); r = a
a = m23.clone(); a[0].copy_(v3); r = a
a = m23.clone(); c = a.chunk(3, 1); c[0].zero_(); r = a
a = m23.clone(); x, y = a; x.zero_(); r = a
a = m23.clone(); [row.zero_() for row in a]; r = a
a = T.zeros(3, 2); a[[0, 2]] = 1.; r = a
a = T.zeros(2, 3, dtype=T.long); a[0, 1] = 2.7; r = a
a = m23.clone().requires_grad_(); (a * iv3).sum().backward(); r = a.grad
a = m23.clone().requires_grad_(); a.max(dim=1).values.sum().backward(); r = a.grad
a = m23.clone().requires_grad_(); a.sort(dim=1)[0].cumsum(1).sum().backward(); r = a.grad
a = m23.clone().requires_grad_(); a.std(dim=1).sum().backward(); r = a.grad
a = m23.clone().requires_grad_(); F.cross_entropy(a, T.tensor([0, 2])).backward(); r = a.grad
a = m23.clone().requires_grad_(); F.pad(a, (1, 2)).pow(2).sum().backward(); r = a.grad
a = m23.clone().requires_grad_(); (a*a).sum().backward(); a.grad.zero_(); r = a.grad
a = m23.clone().requires_grad_(); y = a * 2; y += 1; y.sum().backward(); r = a.grad
a = m23.clone(); a.requires_grad = True; r = a.requires_grad
v, i = m33.max(dim=1); r = (v, i)
v, i = m22.topk(2, 1); r = (v, i)
q, k, v = c234.transpose(0, 1); r = q
a, b = c222; r = a
mask = T.arange(3)[None, :] < T.tensor([1, 3])[:, None]; r = mask
r = T.triu(T.full((3, 3), float('-inf')), diagonal=1)
h = T.zeros(2, 3); r = [h := h * 0.5 + x for x in T.ones(2, 2, 3)][-1]
loss = 0; loss += F.mse_loss(m23, m23 * 2); r = loss
loss = T.zeros(1); loss += m23.sum(); r = loss
total = T.tensor(0.); total += m23.sum(); r = total
correct = 0; correct += (m23.argmax(1) == T.tensor([0, 1])).sum().item(); r = correct
""".strip().splitlines()


def arrays() -> dict[str, np.ndarray]:
    """Return the operands, by names that say their shapes."""
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> np.ndarray:
        return np.asarray(rng.integers(-20, 20, shape) / 8, np.float32)

    return {
        "v2": floats(2), "v3": floats(3), "m22": floats(2, 2), "m23": floats(2, 3), "m33": floats(3, 3),
        "c234": floats(2, 3, 4), "c222": floats(2, 2, 2), "p23": np.abs(floats(2, 3)) + 0.5, "d23": rng.normal(size=(2, 3)),
        "iv3": rng.integers(-5, 5, 3), "im23": rng.integers(-5, 5, (2, 3)), "i32": rng.integers(-5, 5, (2, 3)).astype(np.int32),
        "k23": rng.integers(0, 2, (2, 3)), "k33": rng.integers(0, 3, (3, 3)), "im22": rng.integers(0, 2, (2, 2)),
        "idx": np.array([1, 0, 1]), "b23": rng.integers(0, 2, (2, 3)).astype(bool), "b3": np.array([True, False, True]),
    }  # fmt: skip


def run(code: str, T: Any, make: Callable[[np.ndarray], Any]) -> Any:
    """Return the result of an idiom, given a library and its function that makes a tensor of an array."""
    scope = {"T": T, "F": T.nn.functional, "np": np, **{name: make(array) for name, array in arrays().items()}}
    exec(code if "r = " in code else f"r = {code}", scope)
    return scope["r"]


def plain(result: Any) -> list[Any]:
    """Return a result as what JSON can hold: its dtype, shape and values, of each part of a tuple."""
    if isinstance(result, tuple | list):
        return ["tuple", *map(plain, result)]
    if hasattr(result, "detach"):
        array = np.array(result.detach().numpy())
        return [str(array.dtype), list(array.shape), [float(f"{number:.7g}") for number in array.ravel().tolist()]]
    if "dtype" in type(result).__name__.lower():
        return ["dtype", str(result).removeprefix("torch.")]
    return [type(result).__name__, result]


def compare(found: list[Any], expected: list[Any]) -> None:
    """Fail unless two results are alike: dtypes and shapes exactly, values to rounding."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(ours, list) and ours and isinstance(ours[0], str):
            compare(ours, theirs)
        elif isinstance(ours, list | float):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
        else:
            assert ours == theirs


def main() -> None:
    """Write ``results.json``."""
    import torch

    results = {code: plain(run(code, torch, torch.tensor)) for code in IDIOMS}
    source = f"PyTorch {torch.__version__.partition('+')[0]}, by tests/pytorch/idioms.py"
    rows = ",\n".join(f"{json.dumps(code)}: {json.dumps(result)}" for code, result in results.items())
    text = f'{{"source": {json.dumps(source)}, "results": {{\n{rows}\n}}}}\n'
    Path(__file__).with_name("results.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
