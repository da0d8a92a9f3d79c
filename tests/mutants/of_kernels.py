"""Faults of the kernels: products, sums, elementary functions, updates, draws, threads."""

from __future__ import annotations

from .mutant import Mutant

MATMUL = ("tests/kernels/test_matmul.py",)
ROWS = ("tests/kernels/test_rows.py",)
SCALAR = ("tests/kernels/test_scalar.py",)
NARROW = ("tests/kernels/test_narrow.py",)
UPDATE = ("tests/kernels/test_update.py", "tests/optim/test_optimizers.py")

MUTANTS = [
    Mutant(
        "a product of an output without adjacent columns loses its result",
        "kernels/gemm/matmul.py",
        "            c[...] = copy\n",
        "",
        MATMUL,
    ),
    Mutant(
        "a transposed product forgets to exchange its operands",
        "kernels/gemm/matmul.py",
        "        pieces, b, c = [b.T], pieces[0].T, c.T",
        "        pieces, b, c = pieces, b, c.T",
        MATMUL,
    ),
    Mutant(
        "int8 forgets that numbers of A are moved by 128",
        "kernels/gemm/operands.py",
        "less[j] = sums[p * columns + j] * _offset_of(like)",
        "less[j] = 0",
        NARROW,
    ),
    Mutant(
        "a row of int8 with NaN becomes a row of numbers",
        "kernels/gemm/operands.py",
        "    return scale if largest < unsigned(x, 0x7F800000) else np.float32(np.nan)\n",
        "    return scale\n",
        NARROW,
    ),
    Mutant(
        "NaN becomes an infinity or a zero in bfloat16",
        "kernels/gemm/operands.py",
        "rounded if _magnitude(x) <= unsigned(x, 0x7F800000) else upper | unsigned(x, 0x40)",
        "rounded",
        NARROW,
    ),
    Mutant(
        "bfloat16 is cut off",
        "kernels/gemm/operands.py",
        "bits + unsigned(x, 0x7FFF)",
        "bits + unsigned(x, 0)",
        NARROW,
    ),
    Mutant(
        "rows are added in blocks from the first",
        "kernels/gemm/matmul.py",
        "_add_in_order(x, sums[n], max(0, R - (n + 1) * SUM_ROWS), R - n * SUM_ROWS, flipped)",
        "_add_in_order(x, sums[n], n * SUM_ROWS, min(R, (n + 1) * SUM_ROWS), flipped)",
        (*MATMUL, "tests/scan/test_remember.py"),
    ),
    Mutant(
        "rows in reverse are not turned round",
        "kernels/gemm/matmul.py",
        "        row = x[x.shape[0] - 1 - r if flipped else r]",
        "        row = x[r]",
        (*MATMUL, "tests/scan/test_remember.py"),
    ),
    Mutant(
        "an index that comes up again overwrites",
        "kernels/scatter.py",
        "target[v, h] += rows[k, h]",
        "target[v, h] = rows[k, h]",
        ("tests/kernels/test_indexing.py",),
    ),
    Mutant(
        "top_k lets all scores that are equal to the last one in",
        "kernels/categorical.py",
        "        if score == threshold and equals > 0:",
        "        if score == threshold:",
        ("tests/ops/test_choice.py",),
    ),
    Mutant(
        "a draw at the edge of an interval takes the one before",
        "kernels/categorical.py",
        "        if values[middle] > point:",
        "        if values[middle] >= point:",
        ("tests/ops/test_choice.py",),
    ),
    Mutant(
        "a score of NaN is passed over",
        "kernels/categorical.py",
        "        elif score != score:\n            return np.int64(-1)\n",
        "",
        ("tests/ops/test_choice.py",),
    ),
    Mutant(
        "momentum of Nesterov is that of SGD",
        "kernels/update.py",
        "            g = g + momentum * b if nesterov else b",
        "            g = b",
        UPDATE,
    ),
    Mutant(
        "weight decay is forgotten when climbing",
        "kernels/update.py",
        "    for i in range(param.size):\n        g = factor * grad[i]\n        if weight_decay != 0:\n"
        "            g += weight_decay * param[i]\n        if momentum != 0:",
        "    for i in range(param.size):\n        g = factor * grad[i]\n        if weight_decay != 0 and factor > 0:\n"
        "            g += weight_decay * param[i]\n        if momentum != 0:",
        UPDATE,
    ),
    Mutant(
        "Adam corrects eps as well",
        "kernels/update.py",
        "step_size * (m / (np.sqrt(v) / root_correction + eps))",
        "step_size * (m / ((np.sqrt(v) + eps) / root_correction))",
        UPDATE,
    ),
    Mutant(
        "AMSGrad keeps the last v, not the largest",
        "kernels/update.py",
        "            v = np.maximum(max_exp_avg_sq[i], v)\n",
        "",
        UPDATE,
    ),
    Mutant(
        "centred RMSprop takes the mean before its update",
        "kernels/update.py",
        "            v -= np.minimum(mean * mean, v)",
        "            v -= np.minimum(mean * grad_avg[i] * one_minus_alpha, v)",
        UPDATE,
    ),
    Mutant(
        "softmax of rows is not shifted",
        "kernels/rowwise.py",
        "        _exp_into(y[n], x[n], top(x[n]))\n        factor = real(1 / total(y[n]))",
        "        _exp_into(y[n], x[n], real(0))\n        factor = real(1 / total(y[n]))",
        ROWS,
    ),
    Mutant(
        "the gradient of log_softmax forgets the probabilities",
        "kernels/rowwise.py",
        "            out[n, i] = g[n, i] - scalar.exp(y[n, i]) * factor",
        "            out[n, i] = g[n, i] - factor / y.shape[1]",
        ROWS,
    ),
    Mutant(
        "the gradient of a norm forgets that of its scale",
        "kernels/rowwise.py",
        "        slope = real(dot(g[n], y[n]) / V + along[n])",
        "        slope = real(dot(g[n], y[n]) / V)",
        ("tests/ops/test_normalisation.py", *ROWS),
    ),
    Mutant(
        "the loss of a class forgets the shift",
        "kernels/rowwise.py",
        "(np.float64(x[n, classes[n]]) - np.float64(origin))",
        "np.float64(x[n, classes[n]])",
        (*ROWS, "tests/ops/test_loss.py"),
    ),
    Mutant(
        "tanh is 1 from 8 on",
        "kernels/scalar.py",
        "    a = type(x)(-20) if a < type(x)(-20) else a",
        "    a = type(x)(-8) if a < type(x)(-8) else a",
        SCALAR,
    ),
    Mutant(
        "sigmoid is 0 below -30",
        "kernels/scalar.py",
        "    x = _clamp(x, _LOWEST(x), type(x)(40))",
        "    x = _clamp(x, type(x)(-30), type(x)(40))",
        SCALAR,
    ),
    Mutant(
        "expm1 loses its digits near zero",
        "kernels/scalar.py",
        "    y = half * (r + (rest + r * r * _EXP(r))) + (half - type(x)(0.5))",
        "    y = (half * (r + (rest + r * r * _EXP(r))) + half) - type(x)(0.5)",
        SCALAR,
    ),
    Mutant(
        "the last part of the work is not split off",
        "kernels/pool.py",
        "    return [(n * count // parts, (n + 1) * count // parts) for n in range(parts)]",
        "    return [(n * (count // parts), (n + 1) * (count // parts)) for n in range(parts)]",
        ("tests/kernels/test_pool.py",),
    ),
    Mutant(
        "an error in a task of another thread is lost",
        "kernels/pool.py",
        "            raise min(job.errors, key=itemgetter(0))[1]",
        "            pass",
        ("tests/kernels/test_pool.py",),
    ),
    Mutant(
        "a stored kernel is taken though those that it calls have changed",
        "kernels/compile/generated.py",
        "codegen().magic_tuple(), kernel_sources()",
        "codegen().magic_tuple()",
        ("tests/kernels/test_generated.py",),
    ),
]
