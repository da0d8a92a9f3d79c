"""The public functions: those of `ops`, which here take plain data too and always give Tensors.

Names are those of the Python array API standard; NumPy's and PyTorch's usual spellings stand beside them.
"""

from __future__ import annotations

from .autograd.lifting import public as _public
from .autograd.lifting import public_equation as _public_equation
from .ops import activation as _activation
from .ops import arithmetic as _arithmetic
from .ops import casting as _casting
from .ops import choice as _choice
from .ops import comparison as _comparison
from .ops import convolution as _convolution
from .ops import cumulative as _cumulative
from .ops import edges as _padding
from .ops import einsum as _einsum
from .ops import exponential as _exponential
from .ops import extrema as _extrema
from .ops import gathering as _gathering
from .ops import indexing as _indexing
from .ops import joining as _joining
from .ops import linear as _linear
from .ops import losses as _loss
from .ops import normalisation as _normalisation
from .ops import one_hot as _creation
from .ops import reduction as _reduction
from .ops import shape as _shape
from .ops import sorting as _sorting
from .ops import special as _special
from .ops import trigonometric as _trigonometric

# ------------------------------------------------------------------------------------------------ arithmetic
abs = absolute = _public(_arithmetic.abs)
add = _public(_arithmetic.add)
cbrt = _public(_arithmetic.cbrt)
ceil = _public(_arithmetic.ceil)
clip = clamp = _public(_arithmetic.clip)
divide = true_divide = div = _public(_arithmetic.divide)
floor = _public(_arithmetic.floor)
floor_divide = _public(_arithmetic.floor_divide)
fmod = _public(_arithmetic.fmod)
hypot = _public(_arithmetic.hypot)
lerp = _public(_arithmetic.lerp)
maximum = _public(_arithmetic.maximum)
minimum = _public(_arithmetic.minimum)
multiply = mul = _public(_arithmetic.multiply)
negative = neg = _public(_arithmetic.negative)
pow = power = _public(_arithmetic.pow)
reciprocal = _public(_arithmetic.reciprocal)
remainder = mod = _public(_arithmetic.remainder)
round = rint = _public(_arithmetic.round)
rsqrt = _public(_arithmetic.rsqrt)
sign = _public(_arithmetic.sign)
sqrt = _public(_arithmetic.sqrt)
square = _public(_arithmetic.square)
subtract = sub = _public(_arithmetic.subtract)
trunc = _public(_arithmetic.trunc)

# ---------------------------------------------------------------------------------- comparison and selection
equal = eq = _public(_comparison.equal)
not_equal = ne = _public(_comparison.not_equal)
less = lt = _public(_comparison.less)
less_equal = le = _public(_comparison.less_equal)
greater = gt = _public(_comparison.greater)
greater_equal = ge = _public(_comparison.greater_equal)
bitwise_and = _public(_comparison.bitwise_and)
bitwise_or = _public(_comparison.bitwise_or)
bitwise_xor = _public(_comparison.bitwise_xor)
bitwise_invert = bitwise_not = invert = _public(_comparison.invert)
logical_and = _public(_comparison.logical_and)
logical_or = _public(_comparison.logical_or)
logical_xor = _public(_comparison.logical_xor)
logical_not = _public(_comparison.logical_not)
isnan = _public(_comparison.isnan)
isinf = _public(_comparison.isinf)
isfinite = _public(_comparison.isfinite)
where = _public(_comparison.where)
masked_fill = _public(_comparison.masked_fill)
astype = _public(_casting.astype)
clone = copy = _public(_casting.clone)

# --------------------------------------------------------------------- exponentials, logarithms, trigonometry
exp = _public(_exponential.exp)
exp2 = _public(_exponential.exp2)
expm1 = _public(_exponential.expm1)
log = _public(_exponential.log)
log2 = _public(_exponential.log2)
log10 = _public(_exponential.log10)
log1p = _public(_exponential.log1p)
logaddexp = _public(_exponential.logaddexp)
sin = _public(_trigonometric.sin)
cos = _public(_trigonometric.cos)
tan = _public(_trigonometric.tan)
asin = arcsin = _public(_trigonometric.asin)
acos = arccos = _public(_trigonometric.acos)
atan = arctan = _public(_trigonometric.atan)
atan2 = arctan2 = _public(_trigonometric.atan2)
sinh = _public(_trigonometric.sinh)
cosh = _public(_trigonometric.cosh)
tanh = _public(_trigonometric.tanh)
asinh = arcsinh = _public(_trigonometric.asinh)
acosh = arccosh = _public(_trigonometric.acosh)
atanh = arctanh = _public(_trigonometric.atanh)
erf = _public(_special.erf)
erfc = _public(_special.erfc)

# ----------------------------------------------------------------------------------------------- activations
sigmoid = _public(_exponential.sigmoid)
log_sigmoid = logsigmoid = _public(_exponential.log_sigmoid)
softplus = _public(_exponential.softplus)
relu = _public(_activation.relu)
leaky_relu = _public(_activation.leaky_relu)
elu = _public(_activation.elu)
gelu = _public(_activation.gelu)
silu = swish = _public(_activation.silu)
relu6 = _public(_activation.relu6)
hard_tanh = hardtanh = _public(_activation.hard_tanh)
hard_sigmoid = hardsigmoid = _public(_activation.hard_sigmoid)
softsign = _public(_activation.softsign)

# ------------------------------------------------------------------------------------------------ reductions
sum = _public(_reduction.sum)
mean = _public(_reduction.mean)
prod = _public(_reduction.prod)
max = amax = _public(_extrema.max)
min = amin = _public(_extrema.min)
var = _public(_reduction.var)
std = _public(_reduction.std)
logsumexp = _public(_reduction.logsumexp)
norm = _public(_reduction.norm)
argmax = _public(_extrema.argmax)
argmin = _public(_extrema.argmin)
any = _public(_extrema.any)
all = _public(_extrema.all)
count_nonzero = _public(_extrema.count_nonzero)
cumulative_sum = cumsum = _public(_cumulative.cumsum)
cumulative_prod = cumprod = _public(_cumulative.cumprod)
cummax = _public(_cumulative.cummax)
cummin = _public(_cumulative.cummin)
diff = _public(_cumulative.diff)

# ------------------------------------------------------------------------------------------------- products
matmul = _public(_linear.matmul)
dot = _public(_linear.dot)
vecdot = _public(_linear.vecdot)
einsum = _public_equation(_einsum.einsum)
tensordot = _public(_linear.tensordot)
inner = _public(_linear.inner)
outer = _public(_linear.outer)
kron = _public(_linear.kron)
trace = _public(_linear.trace)
linear = _public(_linear.linear)
conv1d = _public(_convolution.conv1d)

# ----------------------------------------------------------------------------------------------------- shape
reshape = _public(_shape.reshape)
flatten = ravel = _public(_shape.flatten)
unflatten = _public(_shape.unflatten)
permute_dims = permute = _public(_shape.permute_dims)
transpose = _public(_shape.transpose)
matrix_transpose = _public(_shape.matrix_transpose)
moveaxis = movedim = _public(_shape.moveaxis)
swapaxes = swapdims = _public(_shape.swapaxes)
expand_dims = unsqueeze = _public(_shape.expand_dims)
squeeze = _public(_shape.squeeze)
broadcast_to = expand = _public(_shape.broadcast_to)
flip = _public(_shape.flip)
roll = _public(_shape.roll)
concat = concatenate = cat = _public(_joining.concat, several=True)
stack = _public(_joining.stack, several=True)
hstack = _public(_joining.hstack, several=True)
vstack = _public(_joining.vstack, several=True)
split = _public(_joining.split)
chunk = _public(_joining.chunk)
unstack = unbind = _public(_joining.unstack)
tile = _public(_joining.tile)
repeat = _public(_joining.repeat)
pad = _public(_padding.pad)
tril = _public(_padding.tril)
triu = _public(_padding.triu)
diagonal = _public(_indexing.diagonal)

# --------------------------------------------------------------------------------- indexing, gathering, sorting
take = _public(_indexing.take)
take_along_axis = take_along_dim = _public(_gathering.take_along_axis)
gather = _public(_gathering.gather)
scatter_add = _public(_gathering.scatter_add)
index_add = _public(_indexing.index_add)
masked_select = _public(_indexing.masked_select)
embedding = _public(_indexing.embedding)
one_hot = _public(_creation.one_hot)
sort = _public(_sorting.sort)
argsort = _public(_sorting.argsort)
topk = _public(_sorting.topk)
categorical = _public(_choice.categorical)

# ------------------------------------------------------------------------------ normalisation and regularisation
softmax = _public(_normalisation.softmax)
log_softmax = _public(_normalisation.log_softmax)
glu = _public(_normalisation.glu)
layer_norm = _public(_normalisation.layer_norm)
rms_norm = _public(_normalisation.rms_norm)
dropout = _public(_normalisation.dropout)

# ---------------------------------------------------------------------------------------------------- losses
cross_entropy = _public(_loss.cross_entropy)
nll_loss = _public(_loss.nll_loss)
binary_cross_entropy = _public(_loss.binary_cross_entropy)
binary_cross_entropy_with_logits = _public(_loss.binary_cross_entropy_with_logits)
mse_loss = _public(_loss.mse_loss)
l1_loss = _public(_loss.l1_loss)
smooth_l1_loss = _public(_loss.smooth_l1_loss)
huber_loss = _public(_loss.huber_loss)
kl_div = _public(_loss.kl_div)

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "all",
    "amax",
    "amin",
    "any",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argsort",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "cat",
    "categorical",
    "cbrt",
    "ceil",
    "chunk",
    "clamp",
    "clip",
    "clone",
    "concat",
    "concatenate",
    "conv1d",
    "copy",
    "cos",
    "cosh",
    "count_nonzero",
    "cross_entropy",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "diagonal",
    "diff",
    "div",
    "divide",
    "dot",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "eq",
    "equal",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expand",
    "expand_dims",
    "expm1",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "fmod",
    "gather",
    "ge",
    "gelu",
    "glu",
    "greater",
    "greater_equal",
    "gt",
    "hard_sigmoid",
    "hard_tanh",
    "hardsigmoid",
    "hardtanh",
    "hstack",
    "huber_loss",
    "hypot",
    "index_add",
    "inner",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "kl_div",
    "kron",
    "l1_loss",
    "layer_norm",
    "le",
    "leaky_relu",
    "lerp",
    "less",
    "less_equal",
    "linear",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsigmoid",
    "logsumexp",
    "lt",
    "masked_fill",
    "masked_select",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mod",
    "moveaxis",
    "movedim",
    "mse_loss",
    "mul",
    "multiply",
    "ne",
    "neg",
    "negative",
    "nll_loss",
    "norm",
    "not_equal",
    "one_hot",
    "outer",
    "pad",
    "permute",
    "permute_dims",
    "pow",
    "power",
    "prod",
    "ravel",
    "reciprocal",
    "relu",
    "relu6",
    "remainder",
    "repeat",
    "reshape",
    "rint",
    "rms_norm",
    "roll",
    "round",
    "rsqrt",
    "scatter_add",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softsign",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "subtract",
    "sum",
    "swapaxes",
    "swapdims",
    "swish",
    "take",
    "take_along_axis",
    "take_along_dim",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triu",
    "true_divide",
    "trunc",
    "unbind",
    "unflatten",
    "unsqueeze",
    "unstack",
    "var",
    "vecdot",
    "vstack",
    "where",
]
