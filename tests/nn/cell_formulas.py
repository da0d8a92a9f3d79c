"""The published equations of the cell library in plain NumPy, written apart from the cells.

`STEPS` are steps ``(p, x, state) -> (y, state)``, p being the parameters by name. `SEQUENCES` give all outputs at once,
``(p, xs) -> ys``, from an empty state, in another form than the recurrence wherever the literature has one: as a
convolution, as masked attention, as a sum over the past without a stabiliser, row by row.
"""

from __future__ import annotations

import numpy as np

from tests.nn.formulas import sigmoid

tanh = np.tanh


def softplus(a):
    return np.log1p(np.exp(a))


def silu(a):
    return a * sigmoid(a)


def sums(p, x, h, *gates):
    """Return ``W x + U h + b`` for each gate, given as the numbers of gates in W and U and the block of this one."""
    W, U, b = (np.split(p[name], len(gates)) for name in ("weight_ih", "weight_hh", "bias"))
    return [x @ W[k].T + h @ U[k].T + b[k] for k in gates]


# ------------------------------------------------------------------------------------------- long short-term memories


def peephole_lstm(p, x, state):
    h, c = state
    i, f, g, o = sums(p, x, h, 0, 1, 2, 3)
    H = h.shape[1]
    new = sigmoid(f + p["peephole"][H : 2 * H] * c) * c + sigmoid(i + p["peephole"][:H] * c) * tanh(g)
    h = sigmoid(o + p["peephole"][2 * H :] * new) * tanh(new)
    return h, (h, new)


def full_peephole_lstm(p, x, state):
    h, c = state
    i, f, g, o = sums(p, x, h, 0, 1, 2, 3)
    Pi, Pf = np.split(p["peephole_if"], 2)
    new = sigmoid(f + c @ Pf.T) * c + sigmoid(i + c @ Pi.T) * tanh(g)
    h = sigmoid(o + new @ p["peephole_o"].T) * tanh(new)
    return h, (h, new)


def coupled_lstm(p, x, state):
    f, g, o = sums(p, x, state[0], 0, 1, 2)
    c = sigmoid(f) * state[1] + sigmoid(-f) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, (h, c)


def original_lstm(p, x, state):
    i, g, o = sums(p, x, state[0], 0, 1, 2)
    c = state[1] + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, (h, c)


def janet(p, x, h, beta=1.0):
    s, g = sums(p, x, h, 0, 1)
    h = sigmoid(s) * h + (1 - sigmoid(s - beta)) * tanh(g)
    return h, h


def multiplicative_lstm(p, x, state):
    m = (x @ p["weight_mx"].T) * (state[0] @ p["weight_mh"].T)
    i, f, g, o = sums(p, x, m, 0, 1, 2, 3)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, (h, c)


def phased_lstm(p, x, state, leak=0.001, time=None):
    time = state["t"] + 1 if time is None else time
    i, f, g, o = sums(p, x, state["h"], 0, 1, 2, 3)
    c = sigmoid(f) * state["c"] + sigmoid(i) * tanh(g)
    h, k = sigmoid(o) * tanh(c), np.empty_like(c)
    for n, unit in np.ndindex(c.shape):
        tau, r = abs(p["period"][unit]), abs(p["open_ratio"][unit])
        turns = (time[n] - p["shift"][unit]) / tau
        phi = turns - np.floor(turns)
        k[n, unit] = 2 * phi / r if phi < r / 2 else 2 - 2 * phi / r if phi < r else leak * phi
    c, h = k * c + (1 - k) * state["c"], k * h + (1 - k) * state["h"]
    return h, {"h": h, "c": c, "t": time}


def phased_lstm_of_timestamps(p, x, state):
    return phased_lstm(p, x, state, time=x[:, -1])


def normed(a, gain, shift=0.0):
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5) * gain + shift


def layer_norm_lstm(p, x, state, carry_normalised=False):
    gates = normed(x @ p["weight_ih"].T, p["gain_x"]) + normed(state[0] @ p["weight_hh"].T, p["gain_h"]) + p["bias"]
    i, f, g, o = np.split(gates, 4, axis=-1)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    n = normed(c, p["gain_c"], p["shift_c"])
    h = sigmoid(o) * tanh(n)
    return h, (h, n if carry_normalised else c)


def layer_norm_lstm_of_pytorch(p, x, state):
    return layer_norm_lstm(p, x, state, carry_normalised=True)


def slstm(p, x, state):
    """Without a stabiliser: the sums themselves, of which the state holds e^-m."""
    i, f, z, o = sums(p, x, state["h"], 0, 1, 2, 3)
    big = np.exp(state["m"])
    c = sigmoid(f) * big * state["c"] + np.exp(i) * tanh(z)
    n = sigmoid(f) * big * state["n"] + np.exp(i)
    h, m = sigmoid(o) * c / n, np.maximum(np.log(sigmoid(f)) + state["m"], i)
    return h, {"h": h, "c": c / np.exp(m), "n": n / np.exp(m), "m": m}


# ------------------------------------------------------------------------------------------------- one or two gates


def mgu(p, x, h):
    (Wf, Wn), (bf, bn) = np.split(p["weight_ih"], 2), np.split(p["bias"], 2)
    f = sigmoid(x @ Wf.T + h @ p["weight_fh"].T + bf)
    h = (1 - f) * h + f * tanh(x @ Wn.T + (f * h) @ p["weight_nh"].T + bn)
    return h, h


def reset_after_mgu(p, x, h):
    (Wf, Wn), (Uf, Un), (bf, bn) = (np.split(p[name], 2) for name in ("weight_ih", "weight_hh", "bias"))
    f = sigmoid(x @ Wf.T + h @ Uf.T + bf)
    h = (1 - f) * tanh(x @ Wn.T + bn + f * (h @ Un.T + p["bias_nh"])) + f * h
    return h, h


def ugrnn(p, x, h):
    g, c = sums(p, x, h, 0, 1)
    h = sigmoid(g) * h + sigmoid(-g) * tanh(c)
    return h, h


def ligru(p, x, h):
    z, c = sums(p, x, h, 0, 1)
    h = sigmoid(z) * h + sigmoid(-z) * np.maximum(c, 0)
    return h, h


def mut1(p, x, h):
    (Wz, Wr, Wn), (bz, br, bn) = np.split(p["weight_ih"], 3), np.split(p["bias"], 3)
    z, r = sigmoid(x @ Wz.T + bz), sigmoid(x @ Wr.T + h @ p["weight_rh"].T + br)
    n = tanh((r * h) @ p["weight_nh"].T + tanh(x @ Wn.T + bn) + p["bias_nh"])
    h = z * n + (1 - z) * h
    return h, h


def minimal_rnn(p, x, h):
    bz, bu = np.split(p["bias"], 2)
    z = tanh(x @ p["weight_ih"].T + bz)
    u = sigmoid(z @ p["weight_zh"].T + h @ p["weight_hh"].T + bu)
    h = u * h + (1 - u) * z
    return h, h


# --------------------------------------------------------------------------------------------------- additive, leaky


def ran(p, x, state):
    (Wi, Wf, Wc), (Ui, Uf), (bi, bf) = (np.split(p[k], n) for k, n in (("weight_ih", 3), ("weight_hh", 2), ("bias", 2)))
    h, c = state
    c = sigmoid(x @ Wi.T + h @ Ui.T + bi) * (x @ Wc.T) + sigmoid(x @ Wf.T + h @ Uf.T + bf) * c
    return tanh(c), (tanh(c), c)


def cfn(p, x, h):
    (Wt, We, Wc), (Ut, Ue), (bt, be, bc) = (
        np.split(p[k], n) for k, n in (("weight_ih", 3), ("weight_hh", 2), ("bias", 3))
    )
    t, e = sigmoid(x @ Wt.T + h @ Ut.T + bt), sigmoid(x @ We.T + h @ Ue.T + be)
    h = t * tanh(h) + e * tanh(x @ Wc.T + bc)
    return h, h


def atr(p, x, h):
    a, b = x @ p["weight_ih"].T + p["bias"], h @ p["weight_hh"].T
    h = sigmoid(a + b) * a + sigmoid(a - b) * h
    return h, h


def star(p, x, h):
    (Wz, Wk), (bz, bk) = np.split(p["weight_ih"], 2), np.split(p["bias"], 2)
    k = sigmoid(x @ Wk.T + h @ p["weight_hh"].T + bk)
    h = tanh((1 - k) * h + k * tanh(x @ Wz.T + bz))
    return h, h


def leaky_rnn(p, x, h, leak=0.3):
    h = (1 - leak) * h + leak * tanh(*sums(p, x, h, 0))
    return h, h


def fast_grnn(p, x, h):
    a, (bz, bn) = x @ p["weight_ih"].T + h @ p["weight_hh"].T, np.split(p["bias"], 2)
    z = sigmoid(a + bz)
    h = (sigmoid(p["zeta"]) * (1 - z) + sigmoid(p["nu"])) * tanh(a + bn) + z * h
    return h, h


# ------------------------------------------------------------------------------------------------ without a product


def ind_rnn(p, x, h):
    h = np.maximum(x @ p["weight_ih"].T + p["weight_hh"] * h + p["bias"], 0)
    return h, h


def sru(p, x, c):
    H = c.shape[1]
    W, v, b = p["weight_ih"], p["weight_ch"], p["bias"]
    f = sigmoid(x @ W[H : 2 * H].T + v[:H] * c + b[:H])
    r = sigmoid(x @ W[2 * H : 3 * H].T + v[H:] * c + b[H:])
    c = f * c + (1 - f) * (x @ W[:H].T)
    return r * c + (1 - r) * (x if len(W) == 3 * H else x @ W[3 * H :].T), c


def g(a):
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def min_gru(p, x, h):
    (Wz, Wn), (bz, bn) = np.split(p["weight_ih"], 2), np.split(p["bias"], 2)
    z = sigmoid(x @ Wz.T + bz)
    h = (1 - z) * h + z * g(x @ Wn.T + bn)
    return h, h


def min_lstm(p, x, h):
    f, i, n = (x @ W.T + b for W, b in zip(np.split(p["weight_ih"], 3), np.split(p["bias"], 3), strict=True))
    share = 1 / (1 + sigmoid(i) / sigmoid(f))
    h = share * h + (1 - share) * g(n)
    return h, h


def hgrn(p, x, h, lower_bound=0.25):
    f, i = (x @ W.T for W in np.split(p["weight_ih"], 2))
    keep = lower_bound + (1 - lower_bound) * sigmoid(f)
    h = np.exp(np.log(keep)) * h + (1 - keep) * silu(i)
    return h, h


def qrnn(p, xs):
    """A convolution over the inputs, padded with k - 1 zeros, then fo-pooling."""
    (T, N, I), H = xs.shape, len(p["bias"]) // 3
    W = p["weight_ih"].reshape(-1, 3 * H, I)
    padded = np.concatenate([np.zeros((len(W) - 1, N, I)), xs])
    gates = sum(padded[len(W) - 1 - j : len(W) - 1 - j + T] @ W[j].T for j in range(len(W))) + p["bias"]
    z, f, o = np.split(gates, 3, axis=-1)
    c, ys = np.zeros((N, H)), []
    for t in range(T):
        c = sigmoid(f[t]) * c + (1 - sigmoid(f[t])) * tanh(z[t])
        ys.append(sigmoid(o[t]) * c)
    return np.stack(ys)


def rwkv4(p, xs):
    """All earlier values, each with the weight e^(k - w (t - 1 - i)), and the present one with e^(u + k)."""
    mu, (Wr, Wk, Wv) = p["mix"], np.split(p["weight_ih"], 3)
    before = np.concatenate([np.zeros_like(xs[:1]), xs[:-1]])
    r, k, v = ((mu[j] * xs + (1 - mu[j]) * before) @ W.T for j, W in enumerate((Wr, Wk, Wv)))
    w, ys = np.exp(p["decay"]), []
    for t in range(len(xs)):
        weights = [np.exp(k[i] - w * (t - 1 - i)) for i in range(t)] + [np.exp(p["bonus"] + k[t])]
        ys.append(sigmoid(r[t]) * sum(a * b for a, b in zip(weights, v, strict=False)) / sum(weights))
    return np.stack(ys)


# ---------------------------------------------------------------------------------------------------- state spaces


def lru(p, xs):
    """In closed form: the sum of lambda^(t - i) gamma B x[i], with complex numbers."""
    decay = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    driven = np.exp(p["gamma_log"]) * (xs @ (p["B_re"] + 1j * p["B_im"]).T)
    C = p["C_re"] + 1j * p["C_im"]
    states = [sum(decay ** (t - i) * driven[i] for i in range(t + 1)) for t in range(len(xs))]
    return np.stack([(s @ C.T).real for s in states]) + xs @ p["D"].T


def s4d(p, xs):
    """As a convolution with the kernel of the published code."""
    dt, A = np.exp(p["log_dt"])[:, None], -np.exp(p["A_real_log"]) + 1j * p["A_imag"]
    C = (p["C_re"] + 1j * p["C_im"]) * (np.exp(dt * A) - 1) / A
    kernel = np.stack([2 * (C * np.exp(dt * A * t)).sum(-1).real for t in range(len(xs))])
    u = xs @ p["weight_ih"].T
    return np.stack([sum(kernel[t - i] * u[i] for i in range(t + 1)) for t in range(len(xs))]) + p["D"] * u


def mamba(p, xs):
    """Element by element, as the published reference of the selective scan goes about it."""
    u, z = np.split(xs @ p["weight_ih"].T, 2, axis=-1)
    u = silu(u)
    delta = softplus(u @ p["weight_r"].T @ p["weight_dt"].T + p["bias_dt"])
    A, B, C = -np.exp(p["A_log"]), u @ p["weight_b"].T, u @ p["weight_c"].T
    ys = np.zeros_like(u)
    for n, d in np.ndindex(u.shape[1:]):
        s = np.zeros(A.shape[1])
        for t in range(len(xs)):
            s = np.exp(delta[t, n, d] * A[d]) * s + delta[t, n, d] * B[t, n] * u[t, n, d]
            ys[t, n, d] = s @ C[t, n] + p["D"][d] * u[t, n, d]
    return ys * silu(z)


# --------------------------------------------------------------------------------------------------- matrix states

HEADS = 2


def heads(xs, W):
    """Return queries, keys and values of all heads as (N, A, T, D)."""
    return [(xs @ part.T).reshape(*xs.shape[:2], HEADS, -1).transpose(1, 2, 0, 3) for part in np.split(W, 3)]


def merged(ys):
    """Return (N, A, T, D) as (T, N, H)."""
    return ys.transpose(2, 0, 1, 3).reshape(ys.shape[2], ys.shape[0], -1)


def linear_attention(p, xs):
    """Attention with the quadratic matrix of weights, below the diagonal."""
    q, k, v = heads(xs, p["weight_qkv"])
    q, k = (np.where(a > 0, a, np.expm1(a)) + 1 for a in (q, k))
    weights = np.tril(q @ k.swapaxes(-1, -2))
    return merged(weights @ v / (weights.sum(-1, keepdims=True) + 1e-6))


def retnet(p, xs):
    """Retention in its parallel form: attention times a matrix of decays."""
    q, k, v = heads(xs, p["weight_qkv"])
    t = np.arange(len(xs))
    g = 1 - 2.0 ** (-5 - np.arange(HEADS))[:, None, None]
    decays = np.tril(g ** np.maximum(t[:, None] - t, 0))
    return merged((q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) * decays) @ v)


def gla(p, xs):
    """Attention of queries times, and keys over, the product of the gates so far."""
    q, k, v = heads(xs, p["weight_qkv"])
    gates = sigmoid(xs @ p["weight_low"].T @ p["weight_gate"].T + p["bias"]) ** (1 / 16)
    faded = np.cumprod(gates.reshape(*xs.shape[:2], HEADS, -1), axis=0).transpose(1, 2, 0, 3)
    return merged(np.tril((q * faded) @ (k / faded).swapaxes(-1, -2)) / np.sqrt(q.shape[-1]) @ v)


def delta_net(p, xs, gated=False):
    """Row by row and head by head: the old value of the key goes out, the new one in."""
    q, k, v = (silu(part) for part in heads(xs, p["weight_qkv"]))
    q, k = (a / np.sqrt((a**2).sum(-1, keepdims=True) + 1e-6) for a in (q, k))
    beta = sigmoid(xs @ p["weight_beta"].T)
    fade = np.ones_like(beta)
    if gated:
        fade = np.exp(-np.exp(p["A_log"]) * softplus(xs @ p["weight_forget"].T + p["bias_forget"]))
    N, A, T, D = q.shape
    ys = np.zeros(q.shape)
    for n, a in np.ndindex(N, A):
        S = np.zeros((D, D))  # rows are values here, columns keys
        for t in range(T):
            S = fade[t, n, a] * S
            old = S @ k[n, a, t]
            new = beta[t, n, a] * v[n, a, t] + (1 - beta[t, n, a]) * old
            S = S - np.outer(old, k[n, a, t]) + np.outer(new, k[n, a, t])
            ys[n, a, t] = S @ q[n, a, t] / np.sqrt(D)
    return merged(ys)


def gated_delta_net(p, xs):
    return delta_net(p, xs, gated=True)


def mlstm(p, xs, norm=True):
    """In parallel form and without a stabiliser: weights are products of forget gates times an input gate."""
    q, k, v = heads(xs, p["weight_qkv"])
    i, f = np.split(xs @ p["weight_if"].T + p["bias_if"], 2, axis=-1)
    i, log_f = i.transpose(1, 2, 0), np.log(sigmoid(f)).transpose(1, 2, 0)
    so_far = np.cumsum(log_f, axis=-1)
    exponents = so_far[..., :, None] - so_far[..., None, :] + i[..., None, :]
    weights = np.tril(np.exp(exponents)) * (q @ k.swapaxes(-1, -2)) / np.sqrt(q.shape[-1])
    top = np.empty(i.shape)  # the stabiliser matters only where it scales eps
    for t in range(len(xs)):
        top[..., t] = np.maximum(log_f[..., t] + (top[..., t - 1] if t else 0), i[..., t])
    size = np.maximum(np.abs(weights.sum(-1)), 1) + 1e-6 * np.exp(top)
    h = weights @ v / size[..., None]
    return sigmoid(xs @ p["weight_o"].T + p["bias_o"]) * merged(normed(h, 1.0) if norm else h)


def mlstm_without_norm(p, xs):
    return mlstm(p, xs, norm=False)
