"""Recurrent cells of the literature, each written as its forward step."""

from __future__ import annotations

import tinygrad_seq as ts
from tests.scan.case import Case, collect

CELLS: dict[str, Case] = {}
cell = collect(CELLS)


@cell("N H", "T N I", w="I H", u="H H", b="H")
def elman(h, x, w, u, b):
    h = ts.tanh(x @ w + h @ u + b)
    return h, h


@cell("N H", "T N I", w_ih="3H I", w_hh="3H H", b_ih="3H", b_hh="3H")
def gru(h, x, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = ts.split(ts.linear(x, w_ih, b_ih), 3, axis=-1)
    hr, hz, hn = ts.split(ts.linear(h, w_hh, b_hh), 3, axis=-1)
    r, z = ts.sigmoid(xr + hr), ts.sigmoid(xz + hz)
    n = ts.tanh(xn + r * hn)
    h = (1 - z) * n + z * h
    return h, h


@cell("N H", "T N I", wu="H+I H", wr="H+I H", wc="H+I H", bu="H", bc="H")
def gru_concat(c, x, wu, wr, wc, bu, bc):
    both = ts.concat([c, x], axis=-1)
    u, r = ts.sigmoid(both @ wu + bu), ts.sigmoid(both @ wr)
    c = u * ts.tanh(ts.concat([r * c, x], axis=-1) @ wc + bc) + (1 - u) * c
    return c, c


@cell("H N", "T I N", w="H H+I", b="H 1")
def minimal_gru_in_columns(c, x, w, b):
    """The batch on the last axis, as the course writes it."""
    u = ts.sigmoid(w @ ts.concat([c, x], axis=0) + b)
    c = (1 - u) * c + u * ts.tanh(w @ ts.concat([u * c, x], axis=0))
    return c, c


def lstm_gates(gates, c):
    i, f, g, o = ts.split(gates, 4, axis=-1)
    c = ts.sigmoid(f) * c + ts.sigmoid(i) * ts.tanh(g)
    return ts.sigmoid(o) * ts.tanh(c), c


@cell(("N H", "N H"), "T N I", w="I 4H", u="H 4H", b="4H")
def lstm(carry, x, w, u, b):
    h, c = lstm_gates(x @ w + carry[0] @ u + b, carry[1])
    return (h, c), h


@cell({"h": "N H", "c": "N H"}, "T N I", w="I+H 4H", pi="H", pf="H", po="H")
def peephole_lstm(carry, x, w, pi, pf, po):
    c = carry["c"]
    i, f, g, o = ts.split(ts.concat([x, carry["h"]], axis=-1) @ w, 4, axis=-1)
    c = ts.sigmoid(f + pf * c) * c + ts.sigmoid(i + pi * c) * g.tanh()
    h = ts.sigmoid(o + po * c) * ts.tanh(c)
    return {"h": h, "c": c}, h


@cell(("N H", "N H"), "T N I", w="I 4H", u="H 4H", gain="4H", bias="4H", gain_c="H", bias_c="H")
def layer_norm_lstm(carry, x, w, u, gain, bias, gain_c, bias_c):
    h, c = carry
    gates = ts.layer_norm(h @ u, u.shape[1], gain, bias) + ts.layer_norm(x @ w, w.shape[1])
    i, f, g, o = ts.split(gates, 4, axis=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * ts.layer_norm(c, c.shape[-1], gain_c, bias_c).tanh()
    return (h, c), h


@cell("N H", "T N I", w="I H", u="H H", gain="H")
def rms_norm_cell(h, x, w, u, gain):
    h = ts.silu(ts.rms_norm(h @ u + x @ w, h.shape[-1], gain, eps=1e-6))
    return h, h


@cell("N H", "T N I", memory="N S H", u="H H", w="I+H H")
def attention_cell(h, x, memory, u, w):
    """Bahdanau's loop: softmax over the S rows of a memory that stays the same over time."""
    scores = (memory @ (h @ u)[:, :, None])[:, :, 0] / h.shape[-1] ** 0.5
    weights = ts.softmax(scores, axis=-1)
    context = (weights[:, None, :] @ memory)[:, 0]
    h = ts.tanh(ts.concat([x, context], axis=-1) @ w + h)
    return h, (h, weights)


@cell("N H", "T N I", wz="I H", wh="I H", bz="H")
def min_gru(h, x, wz, wh, bz):
    z = ts.sigmoid(x @ wz + bz)
    h = (1 - z) * h + z * (x @ wh)
    return h, h


@cell("N H", "T N H", w="H 3H", vf="H", vr="H", b="2H")
def sru(c, x, w, vf, vr, b):
    candidate, forget, reset = ts.split(x @ w, 3, axis=-1)
    bf, br = ts.split(b, 2, axis=0)
    f = ts.sigmoid(forget + vf * c + bf)
    r = ts.sigmoid(reset + vr * c + br)
    c = f * c + (1 - f) * candidate
    return c, r * c + (1 - r) * x


@cell("N H", "T N I", w="I H", u="H", b="H")
def ind_rnn(h, x, w, u, b):
    h = ts.relu(x @ w + u * h + b)
    return h, h


@cell(("N H", "N H"), "T N I", nu="H", theta="H", b_re="I H", b_im="I H", c_re="H I", c_im="H I", d="I")
def lru(carry, x, nu, theta, b_re, b_im, c_re, c_im, d):
    """A complex diagonal recurrence in pairs of reals; its decay is computed from constants."""
    re, im = carry
    decay = ts.exp(-ts.exp(nu))
    gamma = ts.sqrt(1 - decay * decay)
    a, b = decay * ts.cos(theta), decay * ts.sin(theta)
    re, im = a * re - b * im + gamma * (x @ b_re), a * im + b * re + gamma * (x @ b_im)
    return (re, im), re @ c_re - im @ c_im + d * x


@cell("N D D", "T N I", wq="I D", wk="I D", wv="I D", wb="I 1")
def delta_net(state, x, wq, wk, wv, wb):
    """A matrix of fast weights per row, corrected by an outer product and read by a matrix-vector product."""
    q, k, v, beta = x @ wq, ts.softmax(x @ wk), x @ wv, ts.sigmoid(x @ wb)
    error = v - (state @ k[:, :, None]).squeeze(-1)
    state = state + (beta * error)[:, :, None] * k[:, None, :]
    return state, (state @ q[:, :, None]).squeeze(-1)


@cell("N 2 D D", "T N I", w="I 2D", wf="I 2", wo="2D I")
def linear_attention(state, x, w, wf, wo):
    """Two heads, each with a decay of its own, read and written by einsum."""
    heads = (x @ w).reshape(-1, 2, state.shape[-1])
    state = ts.sigmoid(x @ wf)[:, :, None, None] * state + ts.einsum("nai,naj->naij", heads, heads.tanh())
    read = ts.einsum("naij,naj->nai", state, heads)
    return state, read.reshape(-1, wo.shape[0]) @ wo


@cell({"memory": "N S D", "read": "N D", "weights": "N S"}, "T N I", wk="I+D D", ws="I+D 1", we="I+D D", wg="I+D 1")
def turing_machine(carry, x, wk, ws, we, wg):
    """Content addressing by cosine similarity, then erase and add, as the neural Turing machine does."""
    memory, last = carry["memory"], carry["weights"]
    given = ts.concat([x, carry["read"]], axis=-1)
    key, sharpness, gate = (given @ wk)[:, None, :], ts.softplus(given @ ws), ts.sigmoid(given @ wg)
    similarity = (memory * key).sum(-1) / (ts.sqrt((memory**2).sum(-1) * (key**2).sum(-1)) + 1e-2)
    weights = gate * ts.softmax(sharpness * similarity) + (1 - gate) * last
    erase = weights[:, :, None] * ts.sigmoid(given @ we)[:, None, :]
    memory = memory * (1 - erase) + weights[:, :, None] * key
    read = (weights[:, :, None] * memory).sum(axis=1)
    return {"memory": memory, "read": read, "weights": weights}, read


@cell({"c": "N H", "n": "N H", "m": "N H", "h": "N H"}, "T N I", w="I 4H", u="H 4H")
def exponential_gate_lstm(carry, x, w, u):
    """Exponential gates kept in range by their running maximum (sLSTM)."""
    i, f, z, o = ts.split(x @ w + carry["h"] @ u, 4, axis=-1)
    f = ts.log_sigmoid(f)
    m = ts.maximum(f + carry["m"], i)
    i, f = ts.exp(i - m), ts.exp(f + carry["m"] - m)
    c, n = f * carry["c"] + i * z.tanh(), f * carry["n"].abs() + i
    h = o.sigmoid() * c / (n + 1)
    return {"c": c, "n": n, "m": m, "h": h}, h


@cell("N H D", "T N H", a="H D", wd="H H", wb="H D", wc="H D")
def selective_state_space(h, x, a, wd, wb, wc):
    """Decay, input and output matrices that depend on x (Mamba)."""
    delta, b, c = ts.softplus(x @ wd), x @ wb, x @ wc
    h = ts.exp(-delta[:, :, None] * ts.exp(a)) * h + (delta * x)[:, :, None] * b[:, None, :]
    return h, (h * c[:, None, :]).sum(axis=-1)


@cell("N H", "T N I", w="I H", u="H H", v="H H")
def recurrent_highway(h, x, w, u, v):
    """Two layers of depth inside one step share their weights."""
    for given in (x @ w, 0):
        t = ts.sigmoid(h @ v + given)
        h = t * ts.tanh(h @ u + given) + (1 - t) * h
    return h, h
