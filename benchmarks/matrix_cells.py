"""Cells with a matrix state and state-space cells, forward and backward, against the time that their work needs.

The limit is the larger of two times, FLOPs / FMA peak and bytes / copy bandwidth, both measured in the same process.

FLOPs. An instruction is a fused multiply-add, a product or an addition of one element; it counts as two FLOPs, as the
processor does as many of each. An exponential counts as ten instructions. Per token and element of the state::

                 forward                                         backward, states computed again from saved vectors
    RetNet    3  g S, + k vᵀ; qᵀ S                            7  dS + q dyᵀ, g dS; dq, dk, dv; S: 2
    GLA       3  f S, + k vᵀ; qᵀ S                            8  as RetNet, and df
    mLSTM     3  f C, + k vᵀ; qᵀ C                            8  as RetNet, and df
    DeltaNet  3  kᵀ S; S + k uᵀ; qᵀ S                         7  dS + q dyᵀ, - k du'ᵀ; dq, two for dk, du; S: 1
    S4D       8  a s: 4, + b u: 2; c s: 2                    22  ds + c dy: 2, a ds: 4; da: 4, db, dc, du: 2 each; s: 6
    Mamba    14  d A, exp: 11; d u B, a s +: 2; C s          22  ds + C dy, a ds; dC, dB, du, da: 2, dA, dd; s: 13

(S4D: per pair of real and imaginary part.) Products with weights, of I rows and P columns in all, take 2 I P FLOPs per
token forward and 4 I P backward. Norms, gates of vectors and the like are left out.

Bytes. What has to be read and written once: x, the P products and y forward; dy, x, the products, their gradients
(written and read again) and dx backward. States stay in the cache.

Run: python -m benchmarks.matrix_cells   (PyTorch: the loop over time as in the papers' reference code, and for RetNet
and GLA the block-parallel form, all times as one block)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks._harness import time_for
from benchmarks._subject import OURS, Contestant, Subject

HEADS = 4
# Instructions per token and element of the state, forward and backward; elements of it and columns P per unit of H.
WORK = {
    "RetNet": (3, 7, lambda H: H // HEADS, 3.0),
    "GLA": (3, 8, lambda H: H // HEADS, 3.0 + 16 / 128 + 16 / 64),
    "MLSTM": (3, 8, lambda H: H // HEADS, 4.0),
    "DeltaNet": (3, 7, lambda H: H // HEADS, 3.0),
    "S4D": (8, 22, lambda H: 32, 1.0),  # noqa: ARG005
    "Mamba": (14, 22, lambda H: 16, 2.0 + 2 * 16 / 64 + 2 * 4 / 64),  # noqa: ARG005
}


class Case(NamedTuple):
    """A cell and the sizes of a layer of it."""

    cell: str
    T: int
    N: int
    I: int
    H: int

    @property
    def name(self) -> str:
        return f"{self.cell} {self.T}x{self.N}x{self.I}x{self.H}"


def arrays_of(case: Case) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the cell, its input and the gradient of its output."""
    import tinygrad_seq as ts

    ts.manual_seed(0)
    rng = np.random.default_rng(0)
    heads = {"num_heads": HEADS} if case.cell not in {"S4D", "Mamba"} else {}
    cell = getattr(ts.nn, f"{case.cell}Cell")(case.I, case.H, **heads)
    x, g = (rng.standard_normal((case.T, case.N, size)).astype(np.float32) for size in (case.I, case.H))
    return cell, x, g


def measure_ours(case: Case, budget: float) -> dict[str, Any]:
    import tinygrad_seq as ts

    cell, x, g = arrays_of(case)
    layer, xs, dy = ts.nn.Recurrent(cell), ts.tensor(x, requires_grad=True), ts.tensor(g)
    return _samples(
        lambda: layer(xs)[0], lambda y: y.backward(dy), lambda: _clear([xs, *layer.parameters()]), xs, budget
    )


def measure_torch(case: Case, budget: float, parallel: bool = False) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    cell, x, g = arrays_of(case)
    weights = {name: torch.tensor(p.numpy(), requires_grad=True) for name, p in cell.named_parameters()}
    xs, dy = torch.tensor(x, requires_grad=True), torch.tensor(g)
    run = (PARALLEL if parallel else LOOPS)[case.cell]
    leaves = [xs, *weights.values()]
    return _samples(lambda: run(xs, weights, case), lambda y: y.backward(dy), lambda: _clear(leaves), xs, budget)


def _samples(forward: Any, backward: Any, clear: Any, xs: Any, budget: float) -> dict[str, Any]:
    """Return the times of the forward pass, and of both passes without it."""

    def train() -> None:
        clear()
        backward(forward())

    train()
    y = forward()
    check = {"y": np.asarray(y.detach().numpy()), "dx": np.asarray(xs.grad.numpy())}
    ahead, whole = time_for(forward, budget / 2), time_for(train, budget)
    middle = float(np.median(ahead))
    return {"forward": ahead, "backward": [seconds - middle for seconds in whole], "check": check}


def _clear(leaves: list[Any]) -> None:
    for leaf in leaves:
        leaf.grad = None


def limit(case: Case, budget: float) -> dict[str, Any]:  # noqa: ARG001
    """Return the time that the work of both passes needs."""
    from benchmarks.gemm import fma_peak
    from benchmarks.memory_bound import copy_bandwidth

    peak, bandwidth = 1e9 * fma_peak("float32"), copy_bandwidth()
    ahead, back, elements, columns = WORK[case.cell]
    tokens, P, state = case.T * case.N, columns * case.H, case.H * elements(case.H)
    flops = [tokens * (2 * n * state + m * case.I * P) for n, m in ((ahead, 2), (back, 4))]
    moved = [case.I + 2 * P + case.H, case.H + 2 * case.I + 4 * P]
    seconds = [max(f / peak, 4 * tokens * m / bandwidth) for f, m in zip(flops, moved, strict=True)]
    return {"forward": seconds[:1], "backward": seconds[1:]}


# ------------------------------------------------------------------------------------------ PyTorch, as published


def _heads(x: Any, case: Case) -> Any:
    return x.unflatten(-1, (HEADS, case.H // HEADS))


def _qkv(x: Any, w: dict[str, Any], case: Case) -> Any:
    return [_heads(part, case) for part in (x @ w["weight_qkv"].T).chunk(3, -1)]


def _decay() -> Any:
    import torch

    return 1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float32))


def _over_time(S: Any, steps: Any) -> Any:
    """Return the outputs of a loop whose steps read and return the state."""
    import torch

    outputs = []
    for step in steps:
        y, S = step(S)
        outputs.append(y)
    return torch.stack(outputs)


def _state(case: Case) -> Any:
    import torch

    return torch.zeros(case.N, HEADS, case.H // HEADS, case.H // HEADS)


def _read(S: Any, q: Any) -> Any:
    return (q.unsqueeze(-2) @ S).squeeze(-2)


def ret_net(x: Any, w: dict[str, Any], case: Case) -> Any:
    q, k, v = _qkv(x, w, case)
    k, g = k / (case.H // HEADS) ** 0.5, _decay()[:, None, None]

    def step(t: int, S: Any) -> Any:
        S = g * S + k[t].unsqueeze(-1) * v[t].unsqueeze(-2)
        return _read(S, q[t]), S

    return _over_time(_state(case), [lambda S, t=t: step(t, S) for t in range(case.T)]).flatten(-2)


def _forget(x: Any, w: dict[str, Any], case: Case) -> Any:
    import torch

    gate = (x @ w["weight_low"].T) @ w["weight_gate"].T + w["bias"]
    return _heads(torch.nn.functional.logsigmoid(gate) / 16, case)


def gla(x: Any, w: dict[str, Any], case: Case) -> Any:
    q, k, v = _qkv(x, w, case)
    q, f = q / (case.H // HEADS) ** 0.5, _forget(x, w, case).exp()

    def step(t: int, S: Any) -> Any:
        S = f[t].unsqueeze(-1) * S + k[t].unsqueeze(-1) * v[t].unsqueeze(-2)
        return _read(S, q[t]), S

    return _over_time(_state(case), [lambda S, t=t: step(t, S) for t in range(case.T)]).flatten(-2)


def delta_net(x: Any, w: dict[str, Any], case: Case) -> Any:
    import torch

    q, k, v = (torch.nn.functional.silu(part) for part in _qkv(x, w, case))
    q, k = (part * torch.rsqrt((part * part).sum(-1, keepdim=True) + 1e-6) for part in (q, k))
    q, beta = q / (case.H // HEADS) ** 0.5, torch.sigmoid(x @ w["weight_beta"].T).unsqueeze(-1)

    def step(t: int, S: Any) -> Any:
        S = S + k[t].unsqueeze(-1) * (beta[t] * (v[t] - _read(S, k[t]))).unsqueeze(-2)
        return _read(S, q[t]), S

    return _over_time(_state(case), [lambda S, t=t: step(t, S) for t in range(case.T)]).flatten(-2)


def mlstm(x: Any, w: dict[str, Any], case: Case) -> Any:
    import torch

    D = case.H // HEADS
    q, k, v = _qkv(x, w, case)
    k = k / D**0.5
    i, f = (x @ w["weight_if"].T + w["bias_if"]).chunk(2, -1)
    f = torch.nn.functional.logsigmoid(f)
    o = torch.sigmoid(x @ w["weight_o"].T + w["bias_o"])

    def step(t: int, state: Any) -> Any:
        C, n, m = state
        ahead = f[t] + m
        m = torch.maximum(ahead, i[t])
        old, new = torch.exp(ahead - m).unsqueeze(-1), torch.exp(i[t] - m).unsqueeze(-1)
        C = old.unsqueeze(-1) * C + (new * k[t]).unsqueeze(-1) * v[t].unsqueeze(-2)
        n = old * n + new * k[t]
        size = torch.maximum((n * q[t]).sum(-1).abs(), torch.exp(-m)) + 1e-6
        return torch.nn.functional.layer_norm(_read(C, q[t]) / size.unsqueeze(-1), (D,)), (C, n, m)

    start = (_state(case), torch.zeros(case.N, HEADS, D), torch.zeros(case.N, HEADS))
    return o * _over_time(start, [lambda S, t=t: step(t, S) for t in range(case.T)]).flatten(-2)


def s4d(x: Any, w: dict[str, Any], case: Case) -> Any:
    import torch

    u = x @ w["weight_ih"].T
    A = torch.complex(-torch.exp(w["A_real_log"]), w["A_imag"])
    decay = torch.exp(torch.exp(w["log_dt"])[:, None] * A)
    gain, C = (decay - 1) / A, torch.complex(w["C_re"], w["C_im"])

    def step(t: int, s: Any) -> Any:
        s = decay * s + gain * u[t].unsqueeze(-1)
        return 2 * (C * s).sum(-1).real + w["D"] * u[t], s

    start = torch.zeros(case.N, case.H, 32, dtype=torch.complex64)
    return _over_time(start, [lambda s, t=t: step(t, s) for t in range(case.T)])


def mamba(x: Any, w: dict[str, Any], case: Case) -> Any:
    import torch

    silu = torch.nn.functional.silu
    u, z = (x @ w["weight_ih"].T).chunk(2, -1)
    u, z = silu(u), silu(z)
    d = torch.nn.functional.softplus((u @ w["weight_r"].T) @ w["weight_dt"].T + w["bias_dt"])
    B, C = u @ w["weight_b"].T, u @ w["weight_c"].T
    A = -torch.exp(w["A_log"])

    def step(t: int, s: Any) -> Any:
        s = torch.exp(d[t].unsqueeze(-1) * A) * s + (d[t] * u[t]).unsqueeze(-1) * B[t].unsqueeze(-2)
        return (s * C[t].unsqueeze(-2)).sum(-1), s

    ys = _over_time(torch.zeros(case.N, case.H, 16), [lambda s, t=t: step(t, s) for t in range(case.T)])
    return (ys + w["D"] * u) * z


def _block(q: Any, k: Any, v: Any, logs: Any) -> Any:
    """Return the outputs of all times as one block; `logs` are the logarithms of the decays, summed over time."""
    import torch

    q, k, v = (part.permute(1, 2, 0, 3) for part in (q * torch.exp(logs), k * torch.exp(-logs), v))
    return (torch.tril(q @ k.mT) @ v).permute(2, 0, 1, 3).flatten(-2)


def ret_net_block(x: Any, w: dict[str, Any], case: Case) -> Any:
    import torch

    q, k, v = _qkv(x, w, case)
    logs = torch.arange(case.T)[:, None, None, None] * torch.log(_decay())[:, None]
    return _block(q, k / (case.H // HEADS) ** 0.5, v, logs)


def gla_block(x: Any, w: dict[str, Any], case: Case) -> Any:
    q, k, v = _qkv(x, w, case)
    return _block(q / (case.H // HEADS) ** 0.5, k, v, _forget(x, w, case).cumsum(0))


LOOPS = {"RetNet": ret_net, "GLA": gla, "DeltaNet": delta_net, "MLSTM": mlstm, "S4D": s4d, "Mamba": mamba}
PARALLEL = {"RetNet": ret_net_block, "GLA": gla_block}


def _in_blocks(case: Case, budget: float) -> dict[str, Any]:
    return measure_torch(case, budget, parallel=True) if case.cell in PARALLEL else {}


CASES = [Case(cell, *sizes) for cell in WORK for sizes in ((50, 32, 64, 128), (100, 8, 256, 256))]
SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={case.name: case for case in CASES},
    contestants={
        OURS: Contestant(measure_ours),
        "limit": Contestant(limit),
        "torch, loop": Contestant(measure_torch, "torch"),
        "torch, one block": Contestant(_in_blocks, "torch"),
    },
    quick=("GLA 50x32x64x128",),
    units={"forward": "s", "backward": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
