"""The cells' equations in plain NumPy, one function per gate convention."""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elman(p, x, h, nonlinearity=np.tanh):
    h = nonlinearity(x @ p["weight_ih"].T + p.get("bias_ih", 0) + h @ p["weight_hh"].T + p.get("bias_hh", 0))
    return h, h


def relu_elman(p, x, h):
    return elman(p, x, h, lambda a: np.maximum(a, 0))


def gru(p, x, h):
    H = h.shape[1]
    a = x @ p["weight_ih"].T + p.get("bias_ih", 0)
    b = h @ p["weight_hh"].T + p.get("bias_hh", 0)
    r = sigmoid(a[:, :H] + b[:, :H])
    z = sigmoid(a[:, H : 2 * H] + b[:, H : 2 * H])
    n = np.tanh(a[:, 2 * H :] + r * b[:, 2 * H :])
    h = (1 - z) * n + z * h
    return h, h


def lstm(p, x, state):
    h, c = state
    H = h.shape[1]
    a = x @ p["weight_ih"].T + p.get("bias_ih", 0) + h @ p["weight_hh"].T + p.get("bias_hh", 0)
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 3 * H :])
    c = f * c + i * np.tanh(a[:, 2 * H : 3 * H])
    h = o * np.tanh(c)
    return h, (h, c)


def gate(p, name, a, x):
    """Return W [a; x] + b with columns as examples, as the course writes it, turned back to rows."""
    return (p[f"W{name}"] @ np.concatenate([a.T, x.T]) + p[f"b{name}"]).T


def notes_rnn(p, x, a):
    a = np.tanh(gate(p, "a", a, x))
    return a, a


def notes_relu_rnn(p, x, a):
    a = np.maximum(gate(p, "a", a, x), 0)
    return a, a


def notes_softsign_rnn(p, x, a):
    z = gate(p, "a", a, x)
    a = z / (1 + abs(z))
    return a, a


def notes_simplified_gru(p, x, c):
    u = sigmoid(gate(p, "u", c, x))
    c = u * np.tanh(gate(p, "c", c, x)) + (1 - u) * c
    return c, c


def notes_gru(p, x, c):
    u, r = sigmoid(gate(p, "u", c, x)), sigmoid(gate(p, "r", c, x))
    c = u * np.tanh(gate(p, "c", r * c, x)) + (1 - u) * c
    return c, c


def notes_lstm(p, x, state):
    a, c = state
    c = sigmoid(gate(p, "u", a, x)) * np.tanh(gate(p, "c", a, x)) + sigmoid(gate(p, "f", a, x)) * c
    a = sigmoid(gate(p, "o", a, x)) * np.tanh(c)
    return a, (a, c)
