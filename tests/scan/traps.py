"""Small steps, each with one trap for a compiler: the list of what went wrong in others, and of what could here."""

from __future__ import annotations

import numpy as np

import tinygrad_seq as ts
from tests.scan.case import Case, collect

TRAPS: dict[str, Case] = {}
trap = collect(TRAPS)

# --------------------------------------------------------------------------------------- what carry and outputs are


@trap(("N H", "N H"), "T N H")
def swapped_carry(carry, x):
    h, c = carry
    c = 0.9 * c + ts.tanh(h + x)
    return (c, ts.tanh(c)), h


@trap(("N H", "N H"), "T N H")
def rotating_carry(carry, x):
    """Nothing is computed for the carry: its two arrays are exchanged."""
    h, c = carry
    return (c, h), h * x


@trap(("N H", "N H"), "T N H", w="H H")
def delay_line(carry, x, w):
    """The carry is the input and the old carry: each is overwritten by what the other held."""
    newer, older = carry
    return (x, newer), ts.tanh(newer @ w - older)


@trap("N H", "T N I", w="I H")
def carry_passed_through(c, x, w):
    return c, ts.tanh(x @ w) * c


@trap("N H", "T N H", u="H H")
def constant_carry(c, x, u):
    return np.ones(c.shape, c.dtype), c @ u + x


@trap("N H", "T N I", w="I H", k="N H")
def weight_as_carry(c, x, w, k):
    return k, c * (x @ w)


@trap("N H", "T N H", u="H H")
def outputs_that_are_inputs(c, x, u):
    """The input, the old carry and a constant leave as they came, whole and in part."""
    return ts.tanh(c @ u + x), (x, c, u, x[:, :1], c[:, 1:], x.T)


@trap("N H", "T N H", u="H H")
def one_value_many_times(c, x, u):
    h = ts.tanh(c @ u + x)
    return h, {"a": h, "b": (h, [h * 2, h])}


@trap("N H", "T N I", w="I H")
def output_ignores_the_carry(c, x, w):
    return ts.tanh(c + x @ w), x @ w


@trap("N H", {"used": "T N H", "unused": "T N I"}, u="H H", unused="H H")
def unused_input_and_weight(c, x, u, unused):
    h = ts.tanh(c @ u + x["used"])
    unused @ (h @ u).T  # computed for nothing
    return h, h


@trap("N H", "T N I")
def nothing_used(c, x):
    return c, None


@trap(("N H", "N H"), "T N H")
def dead_part_of_the_carry(carry, x):
    """The second array goes round and round and reaches no output but the final carry."""
    h, c = carry
    return (ts.tanh(h + x), c * 0.5 + h), h


@trap("N H", None, u="H H")
def no_input(c, x, u):
    assert x is None
    c = ts.sin(c @ u)
    return c, c


@trap("N H", "T N H", u="H H")
def no_output(c, x, u):
    return ts.tanh(c @ u + x), None


# ------------------------------------------------------------------------------------------------ weights and constants


@trap("N H", "T N H", u="H H")
def weight_used_three_times(c, x, u):
    return ts.tanh(c @ u) @ u + x @ u, c


@trap("N H", "T N H", u="H H")
def weight_in_every_role(c, x, u):
    """As a matrix, transposed, as rows, as numbers."""
    return ts.tanh((c @ u) @ u.T * u[0] + x * u[1:2, :1] + u.sum()), c * u.mean(axis=0)


@trap("N H", "T N H", row="H", wide="1 H", full="N H", column="N 1", one="")
def constants_of_every_shape(c, x, row, wide, full, column, one):
    return ts.tanh(c * row + wide * x + full - column * c + one), (row + x, one * c, column)


@trap("N H", "T N H", w="H H")
def constants_of_numpy(c, x, w):
    """Plain arrays and NumPy's scalars, on either side."""
    row = np.linspace(0.5, 1.0, c.shape[-1]).astype(c.dtype)
    return ts.tanh(row * c + x * row + np.eye(c.shape[-1], dtype=c.dtype) @ w[0]), row - c + c.dtype.type(2) * x


@trap("N H", "T N 1", w="H H")
def columns(c, x, w):
    """One number per batch element, from the input and from the carry."""
    size = (c * c).sum(axis=-1, keepdims=True)
    return ts.tanh(c @ w + x) / (1 + size), (size, x * size, c[:, 0])


# --------------------------------------------------------------------------------------------- integers, masks, casts


@trap("N H", "T N:int64", table="V H", u="H H")
def token(h, x, table, u):
    h = ts.tanh(ts.embedding(table, x) + h @ u)
    return h, (h, x)


@trap("N H", "T N:int32", table="V H", u="H H")
def token_by_index(h, x, table, u):
    h = ts.tanh(table[x] + ts.take(table @ u, x, axis=0) * h)
    return h, h


@trap("N H", "T N 1:int32")
def number_of_the_input(h, x):
    h = 0.5 * h + 0.1 * x.astype(h.dtype)
    return h, (h + (x % 3 == 0), x + 1, x // 2)


@trap({"h": "N H", "left": "N:int64", "seen": "N:bool"}, {"x": "T N H", "token": "T N:int64"}, u="H H")
def integers_and_flags_in_the_carry(carry, x, u):
    seen = carry["seen"] | (x["token"] > 5)
    h = ts.where(seen[:, None], carry["h"], ts.tanh(carry["h"] @ u + x["x"]))
    return {"h": h, "left": carry["left"] - 1, "seen": seen}, (carry["left"], ~seen, h.argmax(axis=-1))


@trap("N H", ("T N H", "T N 1:bool"), u="H H")
def masked_steps(h, x, u):
    """A sequence that is over keeps its state."""
    x, alive = x
    h = ts.where(alive, ts.tanh(h @ u + x), h)
    return h, h * alive


@trap("N H", ("T N H", "T N H:bool"), u="H H")
def dropout_mask(h, x, u):
    x, keep = x
    h = ts.tanh((h * keep / 0.7) @ u + x)
    return h, h


@trap(("N H:float32", "N H:float64"), ("T N H:float32", "T N H:float64"), u="H H:float32")
def mixed_dtypes(carry, x, u):
    h, c = carry
    c = 0.5 * c + ts.tanh(h @ u) + x[1]
    h = ts.tanh(h @ u + x[0] + c.astype("float32"))
    return (h, c), (h, c, h + c, (h > 0) * x[0])


@trap("N H", "T N H")
def casts(h, x):
    other = "float32" if h.dtype == "float64" else "float64"
    h = h * 0.5 + ts.tanh(x.astype(other).astype(h.dtype))
    return h, ((h > x).astype(h.dtype), (h > 0).astype("int64"), (10 * x).astype("int32"), h.astype(other))


# ------------------------------------------------------------------------------------------------ shapes inside a step


@trap("N H", "T N H", w="H+I H", v="H I")
def unequal_cuts(h, x, w, v):
    a, b, c = ts.split(ts.concat([h, x @ v, x], axis=-1), [1, h.shape[1] + 1], axis=-1)
    h = ts.tanh(ts.concat([b, x @ v], axis=-1) @ w + a)
    return h, (a, c)


@trap("N H", "T N H", u="H H")
def slices(h, x, u):
    shifted = ts.concat([h[:, 1:], x[:, :1]], axis=-1)
    return ts.tanh(shifted @ u), (h[:, ::2], h[..., -1], x[:, None, ::-1], shifted[:, 1:-1])


@trap("N H", "T N H")
def slices_that_overlap(h, x):
    z = ts.tanh(h + x)
    return z, (z[:, :4] * z[:, 2:6], z[:, 1:3])


@trap("N H", "T N H", u="H H")
def flip_and_roll(h, x, u):
    return ts.tanh(ts.flip(h @ u, axis=-1) + ts.roll(x, 2, axis=-1)), ts.roll(h, -1, axis=1)


@trap("N H", "T N H", u="H H")
def stacked(h, x, u):
    both = ts.stack([h @ u, x, h], axis=1)
    weights = ts.softmax(both.sum(axis=-1), axis=1)
    return ts.tanh((both * weights[:, :, None]).sum(axis=1)), both


@trap("N H", "T N H", u="H H")
def heads(h, x, u):
    """Each half of the features is normalised and mixed by itself."""
    halves = ts.layer_norm((h @ u).reshape(h.shape[0], 2, -1), h.shape[1] // 2)
    mixed = ts.softmax(halves, axis=1) * x.reshape(x.shape[0], 2, -1)
    return mixed.reshape(h.shape) + 0.5 * h, halves.swapaxes(1, 2)


@trap("N D D", "T N D")
def transposed_state(s, x):
    s = ts.tanh(s.mT @ s + x[:, None, :])
    return s, (s[:, 0], s.permute_dims(2, 0, 1))


@trap("N H", "T N H", a="H H", b="H D H")
def einsums(h, x, a, b):
    h = ts.tanh(ts.einsum("nh,hk->nk", h, a) + ts.einsum("nh,hdk,nk->nk", x, b, h))
    return h, ts.einsum("nh,nh->n", h, x)


@trap("N D D", "T N D", w="D D")
def batched_products(s, x, w):
    s = ts.tanh(s @ w + w @ s + x[:, :, None] @ x[:, None, :])
    return s, (s @ s, x @ w)


@trap("H", "T I", w="I H", u="H H")
def no_batch_axis(h, x, w, u):
    h = ts.tanh(x @ w + h @ u)
    return h, h


@trap("", "T")
def scalars(c, x):
    c = ts.sin(c) + 0.5 * x
    return c, c * c


@trap({"a": ("N H", ["N 1", ""]), "b": "H"}, {"u": ("T N H",), "v": "T H"})
def nested(carry, x):
    h, (column, one) = carry["a"]
    h = ts.tanh(h * column + x["u"][0]) + carry["b"]
    column = h.mean(axis=-1, keepdims=True)
    b = carry["b"] * 0.5 + x["v"]
    return {"b": b, "a": (h, [column, 0.5 * one + column.sum()])}, [{"h": h}, (b, one)]


# -------------------------------------------------------------------------------------------- reductions and selection


@trap("N H", "T N H", u="H H")
def reductions(h, x, u):
    z = h @ u + x
    top, low = z.max(axis=-1, keepdims=True), z.min(axis=-1, keepdims=True)
    h = ts.tanh((z - z.mean(axis=-1, keepdims=True)) / (top - low + 1)) + 0.1 * z.std(axis=-1, keepdims=True)
    return h, (ts.logsumexp(z, axis=-1), z.var(axis=-1), ts.norm(z, axis=-1), (h * h).mean())


@trap("N H", "T N H", u="H H")
def reduction_over_the_batch(h, x, u):
    """Statistics of the batch: threads cannot share it out."""
    z = h @ u + x
    h = ts.tanh(z - z.mean(axis=0))
    return h, (z.sum(axis=0, keepdims=True), z.max(axis=0))


@trap("N H", "T N H", u="H H")
def reduction_over_the_batch_that_keeps_its_axis(h, x, u):
    """Statistics of the batch that broadcast with what they are of: nothing else shows that its elements mix."""
    z = h @ u + x
    return ts.tanh(z - z.mean(axis=0, keepdims=True)), None


@trap("N H", "T N H")
def variances_of_a_sample(h, x):
    h = ts.tanh(h + x)
    return h, (h.var(axis=-1, correction=1), h.std(axis=-1, correction=0.5))


@trap("N H", "T N H", u="H H")
def softmaxes(h, x, u):
    h = ts.softmax(h @ u + x)
    return h, (ts.log_softmax(x * h), ts.softmax(x, axis=0))


@trap("N H", "T N H", u="H H")
def selections(h, x, u):
    z = h @ u
    h = ts.where(z > x, ts.minimum(z, 1.0), ts.maximum(x, -0.5)) * 0.5
    return h, (ts.clip(z, -0.3, 0.4), ts.abs(x) + ts.sign(z), (z > x) & (x > 0), ts.relu(z) - ts.leaky_relu(x, 0.1))


@trap("N H", "T N H")
def powers(h, x):
    h = ts.sqrt(h * h + 1) ** 0.5 * ts.tanh(x) + h**3 * 0.01
    return h, ((h * h + 0.5) ** x, x**2, 2.0**h, ts.reciprocal(2 + ts.tanh(h)))


@trap("N H", "T N H")
def reductions_of_two_dtypes(h, x):
    """In one loop, of integers and of floats: each has a running value of its own."""
    count = (h > x).sum(axis=-1, keepdims=True)
    h = ts.tanh(h + 0.01 * count.astype(h.dtype) + (h * x).max(axis=-1, keepdims=True))
    return h, count


@trap("N H", "T N H")
def broadcasts(h, x):
    """Values blown up and summed down again inside the step."""
    square = h[:, :, None] * x[:, None, :]
    h = ts.tanh(square.sum(axis=2) + ts.broadcast_to(x[:, :1], x.shape) + square.mean(axis=(1, 2), keepdims=True)[:, 0])
    return h, square


# -------------------------------------------------------------- values without a batch axis, beside others with one


@trap("N H", ("T N I", "T"), w="I H", b="H")
def product_before_the_loop_times_a_scalar(c, x, w, b):
    """What is computed from the scalar and the mean has no batch axis."""
    x, s = x
    return ts.tanh(c + x @ w), (x.mean(axis=0) @ w + b) * s


@trap("H", ("T N I", "T"), w="I H", b="H")
def product_without_the_batch_of_the_carry(c, x, w, b):
    x, s = x
    return c, (x @ w + b) * s


@trap("N H", "T N H", b="H")
def mean_over_the_batch(c, x, b):
    mean = x.mean(axis=0)
    return ts.tanh(c + mean * b), (mean, c - ts.exp(mean), x.mean(axis=0, keepdims=True) * c)


@trap("N H", ("T N H", "T"))
def scalar_of_each_step(c, x):
    x, s = x
    gate = ts.sigmoid(s * 2 + 1)
    return c * gate + x, (gate, ts.exp(gate) * 3, gate * c)


@trap("N H", ("T N H", "T H"), u="H H")
def vector_of_each_step(c, x, u):
    x, v = x
    v = ts.tanh(v) * 2
    return ts.tanh((c + v) @ u + x), (v, ts.softmax(v), v.sum() * c)


@trap("N H", "T N 1")
def broadcast_beside_a_sum_over_the_batch(c, x):
    return ts.tanh(c + ts.broadcast_to(x, c.shape) + x.sum()), ts.broadcast_to(x.T, (2, c.shape[0]))


@trap("1 1", "T 1 H")
def one_row_summed_over_the_batch(c, x):
    return c * 0.5, ts.tanh(ts.sum(x, axis=0) * 0.3)


@trap("N N", ("T N N", "T N 1"))
def column_that_is_a_matrix_too(c, x):
    """As the matrix of a product it has no batch axis, so it has none where it is broadcast either."""
    x, m = x
    return ts.tanh(c + x + c @ m + ts.broadcast_to(m, c.shape)), None


@trap("N H", ("T N H", "T I I"), w="I H")
def product_of_unbatched_values(c, x, w):
    """A product in the loop that adds up in memory must not be restarted by another batch element or thread."""
    x, m = x
    y = ts.tanh(m) @ ts.tanh(w)
    return ts.tanh(c + x + y.sum(axis=0)), y


@trap("N H", ("T N H", "T:int64"), table="V H")
def lookup_of_unbatched_indices(c, x, table):
    x, i = x
    return ts.tanh(c + x + table[i]), table[i] * 2


# ---------------------------------------------------------------- products whose result is a part of another array


@trap("N D H", "T N D H", k="H H")
def products_of_slices_of_rank_three(h, x, k):
    h = ts.tanh(x + h[:, :1] @ k + h[:, 1:] @ k)
    return h, h


@trap("N D H", "T N D H", k="H H")
def product_as_a_part_of_a_concat(h, x, k):
    h = ts.tanh(x + ts.concat([h[:, :1] @ k, h[:, 1:]], axis=1))
    return h, h


@trap("N D H", "T N D H", k="H H")
def product_of_a_part_of_a_concat(h, x, k):
    h = ts.tanh(x + ts.concat([0 * h[:, :1], h], axis=1)[:, : h.shape[1]] @ k)
    return h, h


@trap("N H", "T N H", u="H H")
def constants_like_a_value(h, x, u):
    h = ts.tanh(h @ u + ts.concat([ts.zeros_like(x[:, :1]), x[:, 1:]], axis=1))
    return h, h * ts.full_like(x, 0.5) + ts.ones_like(h, dtype="float32")


@trap("N H", "T N H")
def running_extremes_outside_of_the_loop(h, x):
    return ts.tanh(h + ts.cummax(x, axis=-1)), ts.cummin(x, axis=0) + ts.cumprod(x, axis=-1)


@trap(("N H", "N:int64"), "T N H", w="V H", o="H V")
def one_hot_of_what_was_chosen(carry, x, w, o):
    h, i = carry
    h = ts.tanh(ts.one_hot(i, w.shape[0], dtype=w.dtype) @ w + h + x)
    return (h, (i + 3) % w.shape[0]), h @ o


@trap(("N H", "N:int64"), "T N H", w="V H")
def one_hot_of_more_classes_than_an_identity_is_made_for(carry, x, w):
    h, i = carry
    h = ts.tanh(ts.one_hot(i, 1025, dtype=w.dtype)[:, : w.shape[0]] @ w + h + x)
    return (h, (i * 3 + 1) % 1025), h


# ------------------------------------------------- views whose elements do not lie in memory in the order of their axes


@trap("N D H S", "T N D H S", w="S S")
def product_of_a_transposed_array_of_rank_four(h, x, w):
    moved = ts.permute_dims(h, (0, 2, 1, 3))
    y = moved @ w
    return ts.tanh(ts.permute_dims(y, (0, 2, 1, 3)) * 0.3 + x), (y, ts.reshape(moved, (h.shape[0], -1)))


@trap("N 1 H", "T N 1 H", w="N H D", v="H")
def merged_axes_around_an_axis_of_size_one(h, x, w, v):
    mixed = ts.einsum("abc,acy,c->aybc", h, w, v)
    return ts.tanh(h + x + 0.3 * ts.mean(mixed, axis=(1, 2, 3)).reshape((-1, 1, 1))), mixed


@trap("H V", ("T H V", "T N:int64"))
def lookup_in_a_transposed_table(h, x):
    x, i = x
    h = ts.tanh(h + x)
    return h, (ts.permute_dims(h, (1, 0))[i], ts.take(ts.permute_dims(h, (1, 0)), i, axis=0) * 2)


@trap("N V D H", "T N V D H")
def reductions_and_reshapes_of_transposed_arrays(h, x):
    h = ts.tanh(h * 0.5 + x)
    back = ts.permute_dims(h, (0, 3, 1, 2))
    return h, (
        ts.max(back, axis=(1, 3)),
        ts.reshape(back, (h.shape[0], -1)),
        ts.softmax(back, axis=2),
        back.sum(axis=1),
    )


@trap("N H", "T N H")
def norms_of_every_order(h, x):
    h = h * ts.norm(3 + h, 3, axis=-1, keepdims=True) * 0.1 + x
    return h, [ts.norm(h, order, axis=-1) for order in (1, 1.5, 2, 4, np.inf)]


# ------------------------------------------------------------------------- outputs that gradient reaches, and others


@trap(("N H", "N H"), "T N H", u="H H")
def step_counter(carry, x, u):
    h, n = carry
    h = ts.tanh(h @ u + x)
    return (h, ts.ones(n.shape, dtype=n.dtype) + n.detach()), (h, n.detach() * 2, ts.sign(h), ts.floor(x * 3))


@trap("N H", "T N H")
def only_steps_without_slope(c, x):
    return ts.round(x * 4), (ts.sign(c), ts.ceil(x), x > 0)


@trap(("N H", "N H", "N H"), "T N H")
def shift_register(carry, x):
    """With T below 3 the init of the first part does not reach the last."""
    a, b, c = carry
    return (x.detach(), a, b), c
