"""Faults of the operations: rules of two orders, ties, reductions, indexing, normalisation, losses."""

from __future__ import annotations

from .mutant import Mutant

ELEMENTWISE = ("tests/ops/test_elementwise.py", "tests/ops/test_exact_derivatives.py")
REDUCTION = ("tests/ops/test_reduction.py",)
INDEXING = ("tests/ops/test_indexing.py",)
CUMULATIVE = ("tests/ops/test_cumulative.py",)
NORMALISATION = ("tests/ops/test_normalisation.py",)
LOSS = ("tests/ops/test_loss.py", "tests/ops/test_loss_left_out.py")

MUTANTS = [
    Mutant(
        "the gradient of a product in bfloat16 is computed in float32",
        "ops/linear.py",
        "    return matmul_at(a, b, precision)\n",
        '    return matmul_at(a, b, "float32")\n',
        ("tests/test_autocast.py",),
    ),
    Mutant(
        "the gradient of a quotient by its divisor has the wrong sign",
        "ops/arithmetic.py",
        "lambda g, y, _a, b: -(g * y) / b",
        "lambda g, y, _a, b: (g * y) / b",
        ELEMENTWISE,
    ),
    Mutant(
        "a tie of two gives both the whole gradient",
        "ops/arithmetic.py",
        "where(wins, g, where(ties, g * 0.5, 0))",
        "where(wins, g, where(ties, g, 0))",
        ("tests/ops/test_conventions.py::test_elementwise[maximum(a, b) at (2, 2)-float64]",),
    ),
    Mutant(
        "clip lets no gradient pass at its lower limit",
        "ops/arithmetic.py",
        "        x = where(less(x, min), min, x)",
        "        x = where(greater(x, min), x, min)",
        ("tests/ops/test_conventions.py::test_vectors[clip(x, -1, 1) at (-1, 1, 2)-float64]",),
    ),
    Mutant(
        "the mixed second derivative of a power lacks a term",
        "ops/arithmetic.py",
        "lambda g, _y, a, b: _slope(g, a, b, _power_log, more=True)",
        "lambda g, _y, a, b: _slope(g, a, b, _power_log, more=False)",
        ELEMENTWISE,
    ),
    Mutant(
        "fmod forgets the sign of its divisor",
        "ops/arithmetic.py",
        "(floor_divide(abs(a), abs(b)) * sign(a) * sign(b))",
        "(floor_divide(abs(a), abs(b)) * sign(a))",
        ("tests/ops/test_elementwise.py::test_gradient_of_a_remainder_for_all_signs",),
    ),
    Mutant(
        "a factor of 0 lets NaN through",
        "ops/limits.py",
        "return y if np.isfinite(y).all() else np.where(np.equal(factor, 0), 0, y).astype(y.dtype, copy=False)",
        "return y",
        (*LOSS, *ELEMENTWISE),
    ),
    Mutant(
        "the curvature of a component over its length has the wrong sign",
        "ops/limits.py",
        "lambda g, y, _a, b: -ratio(g * y, b)",
        "lambda g, y, _a, b: ratio(g * y, b)",
        (*REDUCTION, *ELEMENTWISE),
    ),
    Mutant(
        "the gradient of a mean is divided by the size of the array",
        "ops/reduction.py",
        "g / builtins.max(_count(x_like.shape, axes), 1)",
        "g / builtins.max(x_like.size, 1)",
        REDUCTION,
    ),
    Mutant(
        "the gradient of a variance forgets its correction",
        "ops/reduction.py",
        "kept(g * (2 / _freedom(x, axes, correction)), x.shape, axes)",
        "kept(g * (2 / _freedom(x, axes, 0)), x.shape, axes)",
        REDUCTION,
    ),
    Mutant(
        "the curvature of logsumexp lacks a term",
        "ops/reduction.py",
        "lambda g, w, _x, _y, axes: w * (g - _sum(g * w, axes=axes, keepdims=True))",
        "lambda g, w, _x, _y, axes: w * g",
        REDUCTION,
    ),
    Mutant(
        "a gradient of a product takes the factor itself, not its neighbour",
        "ops/reduction.py",
        "others * pairs[::-1]",
        "others * pairs",
        REDUCTION,
    ),
    Mutant(
        "equal largest elements get the whole gradient each",
        "ops/extrema.py",
        "kept(g, x.shape, axes) / ties",
        "kept(g, x.shape, axes)",
        REDUCTION,
    ),
    Mutant(
        "the gradient of a running sum runs the same way",
        "ops/cumulative.py",
        "reverse=not reverse",
        "reverse=reverse",
        CUMULATIVE,
    ),
    Mutant(
        "the gradient of a running maximum goes to the last of equals",
        "ops/cumulative.py",
        "if last else y[1:] != y[:-1], steps[1:], 0)",
        "if last else y[1:] == x[1:], steps[1:], 0)",
        CUMULATIVE,
    ),
    Mutant(
        "an index that comes up again in a key overwrites",
        "ops/indexing.py",
        "    np.add.at(out, key, g)",
        "    out[key] = g",
        INDEXING,
    ),
    Mutant(
        "the second derivative of take reads the first axis",
        "ops/indexing.py",
        "_take(g, indices, axis=axis), None)",
        "_take(g, indices, axis=0), None)",
        INDEXING,
    ),
    Mutant(
        "the gradient of a diagonal lies on the other side",
        "ops/indexing.py",
        "    view = out.diagonal(offset, axis1, axis2)",
        "    view = out.diagonal(-offset, axis1, axis2)",
        INDEXING,
    ),
    Mutant(
        "an index that comes up again in gather overwrites",
        "ops/gathering.py",
        'np.add.at(out.reshape(-1), _flat_places("scatter_add", indices, shape, axis), g.ravel())',
        'out.reshape(-1)[_flat_places("scatter_add", indices, shape, axis)] = g.ravel()',
        INDEXING,
    ),
    Mutant(
        "the gradient of pad is cut from the beginning",
        "ops/edges.py",
        "slice(before, before + size)",
        "slice(0, size)",
        ("tests/ops/test_padding.py",),
    ),
    Mutant(
        "the second derivative of log_softmax is its transpose",
        "ops/normalisation.py",
        "h - sum(h * exp(y), axis, keepdims=True)",
        "h - exp(y) * sum(h, axis, keepdims=True)",
        NORMALISATION,
    ),
    Mutant(
        "the second derivative of a norm lacks a term",
        "ops/normalisation.py",
        " - g * mean(u * y, axes, keepdims=True)",
        "",
        NORMALISATION,
    ),
    Mutant(
        "the gradient of a norm's scale is not averaged",
        "ops/normalisation.py",
        "g_scale * scale / _count(x_like.shape, axes)",
        "g_scale * scale",
        NORMALISATION,
    ),
    Mutant(
        "eps of a norm is added to the root",
        "kernels/rowwise.py",
        "real(1 / np.sqrt(dot(y[n], y[n]) / V + eps))",
        "real(1 / (np.sqrt(dot(y[n], y[n]) / V) + eps))",
        NORMALISATION,
    ),
    Mutant(
        "dropout forgets its scale",
        "ops/normalisation.py",
        "scale=1 / (1 - p) if p < 1 else 0.0",
        "scale=1.0",
        NORMALISATION,
    ),
    Mutant(
        "a mean of losses counts rows that are ignored",
        "ops/losses.py",
        "(float(row_weights.sum()) or 1.0)",
        "(float(row_weights.size) or 1.0)",
        LOSS,
    ),
    Mutant(
        "the curvature of cross entropy forgets the cotangent",
        "ops/losses.py",
        "softmax_pull(h * expand_dims(g, -1), softmax(logits), axis=1)",
        "softmax_pull(h, softmax(logits), axis=1)",
        LOSS,
    ),
    Mutant(
        "an entry of weight 0 is computed with",
        "ops/losses.py",
        "losses = loss(where(counted, prediction, 0), where(counted, target, 0))",
        "losses = loss(prediction, target)",
        LOSS,
    ),
    Mutant(
        "batchmean divides by the last axis",
        "ops/losses.py",
        "sum(losses) / losses.shape[0]",
        "sum(losses) / losses.shape[-1]",
        LOSS,
    ),
]
