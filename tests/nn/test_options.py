"""The options of recurrent layers, each on four cells: compiled as step by step, and as they are meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.scan.case import GRADIENT_TOLERANCE, VALUE_TOLERANCE, assert_close
from tinygrad_seq import nn
from tinygrad_seq.base import settings
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError, ShapeError
from tinygrad_seq.nn.checks import check_numbers
from tinygrad_seq.nn.recurrence.options import TRANSFORMS
from tinygrad_seq.nn.recurrence.transforms.transform import Transform

T, N, I, H = 6, 5, 3, 4
LENGTHS = np.array([6, 2, 5, 1, 4])
MASK = np.arange(T)[:, None] * 7 % 5 != np.arange(N)
RESET = (np.arange(T)[:, None] + np.arange(N)) % 4 == 3


class DictCell(nn.Cell):
    """A cell of a user: a state of two sizes in a dict, one product with [h; x], an output that is no state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.output_size = input_size, hidden_size
        self.state_shape = {"h": (hidden_size,), "m": (2, hidden_size)}
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)
        self.rate = nn.Parameter(np.full(hidden_size, 0.3, np.float32))

    def forward(self, x: Any, state: Any) -> Any:
        h = ts.tanh(self.mix(ts.concat([state["h"], x], axis=-1)))
        m = state["m"] * self.rate + h[:, None] * ts.tensor([[0.5], [-1.0]], dtype=h.dtype)
        return h * m[:, 1], {"h": h, "m": m}


CELLS = {"elman": nn.ElmanCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell, "dict": DictCell}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lengths": {"lengths": LENGTHS},
    "held": {"masked_output": "held", "mask": MASK},
    "reset": {"reset": RESET, "learn_initial_state": True},
    "zoneout": {"zoneout": 0.4},
    "recurrent": {"recurrent_dropout": 0.4, "drop_connect": 0.3, "variational_dropout": 0.2},
    "all": {
        "lengths": LENGTHS,
        "reset": RESET,
        "learn_initial_state": True,
        "zoneout": 0.4,
        "recurrent_dropout": 0.4,
        "drop_connect": 0.3,
        "variational_dropout": 0.2,
        "masked_output": "held",
        "residual": True,
        "proj_size": 3,
        "bidirectional": True,
        "merge": "sum",
        "return_all_states": True,
    },
}
FLAGS = ("lengths", "mask", "reset")


def layer_of(kind: str, rng: np.random.Generator, num_layers: int = 1, **options: Any) -> nn.Recurrent:
    """Return a float64 layer of a cell with random parameters, each layer reading what the one below put out."""
    both, proj = options.get("bidirectional", False), options.get("proj_size", 0)
    width = (proj or H) * (1 + (both and options.get("merge", "concat") == "concat"))
    sizes = [I, *[width] * (num_layers - 1)]
    cells = [(CELLS[kind](size, H), CELLS[kind](size, H)) if both else CELLS[kind](size, H) for size in sizes]
    layer = nn.Recurrent(cells, **options).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 0.6, rng)
    return layer


def data(rng: np.random.Generator, *shape: int) -> ts.Tensor:
    return ts.tensor(rng.standard_normal(shape or (T, N, I)), requires_grad=True)


def results(outputs: Any, layer: nn.Module, xs: ts.Tensor) -> list[np.ndarray]:
    """Return the leaves of `outputs` and the gradients, of their sum with fixed weights, of all that went into them."""
    leaves, weights = flatten(outputs)[0], np.random.default_rng(7)
    for leaf in (xs, *layer.parameters()):
        leaf.grad = None
    total = sum((leaf * weights.standard_normal(leaf.shape)).sum() for leaf in leaves)
    total.backward()
    gradients = [np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in (xs, *layer.parameters())]
    return [*[leaf.detach().numpy() for leaf in leaves], *gradients]


def run(layer: nn.Module, xs: ts.Tensor, *, compiled: bool = True, **call: Any) -> list[np.ndarray]:
    """Return `results` of the layer, whose random masks are those of seed 0."""
    ts.manual_seed(0)
    with nullcontext() if compiled else ts.disable_compile():
        return results(layer(xs, **call), layer, xs)


def by_hand(layer: nn.Recurrent, xs: ts.Tensor, lengths: Any = None, mask: Any = None, reset: Any = None) -> Any:
    """Return ``(ys, state)`` of a layer without random masks, each sequence alone, by a loop over its steps."""
    if mask is None:
        mask = np.arange(T)[:, None] < (np.full(N, T) if lengths is None else lengths)
    options, finals = layer.options, []
    passes = layer._passes()
    rows = [[xs[t, n][None] * float(mask[t, n]) for t in range(T)] for n in range(N)]
    for first in range(0, len(passes), 1 + layer.bidirectional):
        outputs = []
        for one in passes[first : first + 1 + layer.bidirectional]:
            pairs = [
                _row_by_hand(one, rows[n], mask[:, n], None if reset is None else reset[:, n], options)
                for n in range(N)
            ]
            outputs.append([ys for ys, _ in pairs])
            leaves = zip(*[flatten(state)[0] for _, state in pairs], strict=True)
            finals.append(flatten(pairs[0][1])[1]([ts.concat(list(column)) for column in leaves]))
        for n in range(N):
            for t in range(T):
                pair = [ys[n][t] for ys in outputs]
                y = (
                    pair[0]
                    if len(pair) == 1
                    else {
                        "concat": lambda pair: ts.concat(pair, axis=-1),
                        "sum": lambda pair: pair[0] + pair[1],
                        "mean": lambda pair: (pair[0] + pair[1]) / 2,
                    }[str(options["merge"])](pair)
                )
                residual = options["residual"] and y.shape == rows[n][t].shape
                rows[n][t] = y + rows[n][t] if residual else y
    ys = ts.stack([ts.concat([rows[n][t] for n in range(N)]) for t in range(T)])
    return ys, finals[0] if len(finals) == 1 else tuple(finals)


def _row_by_hand(one: Any, xs: list[Any], mask: np.ndarray, reset: Any, options: Any) -> Any:
    state, last = one.initial_state(1), None
    ys: list[Any] = [None] * T
    rate, anew = options["zoneout"], False
    for t in reversed(range(T)) if one.reverse else range(T):
        begins = t + 1 if one.reverse else t
        if reset is not None and (last is not None or not one.reverse):
            anew = anew or reset[begins]
        if mask[t]:
            if anew:
                state, anew = one.initial_state(1), False
            y, new = one.cell(xs[t], state)
            leaves, rebuild = flatten(new)
            mixed = [rate * a + (1 - rate) * b for a, b in zip(flatten(state)[0], leaves, strict=True)]
            if any(y is leaf for leaf in leaves):
                y = next(b for leaf, b in zip(leaves, mixed, strict=True) if y is leaf)
            state = rebuild(mixed)
            last = y if one.projection is None else y @ one.projection.T
            ys[t] = last
        elif options["masked_output"] == "held" and last is not None:
            ys[t] = last
    shape = next(y.shape for y in ys if y is not None)
    return [ts.zeros(shape, "float64") if y is None else y for y in ys], state


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_close(f"value or gradient {number}", a, b, GRADIENT_TOLERANCE)


# ------------------------------------------------------------------------------------------------ the two paths


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", CELLS)
def test_compiled_is_as_step_by_step(kind: str, option: str, rng: np.random.Generator) -> None:
    options = dict(OPTIONS[option])
    call = {name: options.pop(name) for name in FLAGS if name in options}
    layer, xs = layer_of(kind, rng, **options), data(rng)
    assert_same(run(layer, xs, **call), run(layer, xs, compiled=False, **call))


# --------------------------------------------------------------------------------------------------- by the book

MEANT: list[dict[str, Any]] = [
    {"lengths": LENGTHS},
    {"lengths": LENGTHS, "masked_output": "held", "num_layers": 2},
    {"lengths": LENGTHS, "bidirectional": True, "num_layers": 2},
    {"lengths": LENGTHS, "bidirectional": True, "merge": "mean", "num_layers": 2, "residual": True},
    {"lengths": LENGTHS, "go_backwards": True, "masked_output": "held"},
    {"mask": MASK},
    {"mask": MASK, "masked_output": "held", "bidirectional": True, "merge": "sum"},
    {"reset": RESET, "bidirectional": True},
    {"reset": RESET, "learn_initial_state": True, "go_backwards": True},
    {"reset": RESET, "lengths": LENGTHS, "learn_initial_state": True, "zoneout": 0.4, "proj_size": 3, "residual": True},
    {"reset": RESET, "mask": MASK, "zoneout": 0.4, "bidirectional": True, "num_layers": 2, "proj_size": 2},
]


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("meant", MEANT, ids=lambda meant: "-".join(map(str, meant)))
def test_a_batch_is_as_each_sequence_alone(kind: str, meant: dict[str, Any], rng: np.random.Generator) -> None:
    options = dict(meant)
    call = {name: options.pop(name) for name in FLAGS if name in options}
    layer, xs = layer_of(kind, rng, **options).eval(), data(rng)
    expected = results(by_hand(layer, xs, **call), layer, xs)
    assert_same(run(layer, xs, compiled=False, **call), expected)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_all_options_at_once(kind: str, rng: np.random.Generator) -> None:
    options = dict(OPTIONS["all"])
    call = {name: options.pop(name) for name in FLAGS if name in options}
    layer, xs = layer_of(kind, rng, **options), data(rng)

    def outputs(*_: Any) -> Any:
        ts.manual_seed(0)
        return flatten(layer(xs, **call))[0]

    with ts.disable_compile():
        ts.gradcheck(outputs, [xs, *layer.parameters()])


@pytest.mark.parametrize("both", [False, True])
def test_padding_has_no_effect_and_no_gradient(both: bool, rng: np.random.Generator) -> None:
    layer = layer_of("lstm", rng, bidirectional=both)
    padding = np.arange(T)[:, None] >= LENGTHS
    values = rng.standard_normal((T, N, I))
    found = []
    for filling in (0.0, 1e30, np.nan):
        values[padding] = filling
        found.append(run(layer, ts.tensor(values, requires_grad=True), lengths=LENGTHS))
        assert not found[-1][0][padding].any()
        assert not found[-1][1 + 2 * (1 + both)][padding].any()  # the gradient of xs, after ys and the states
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


def test_what_is_left_out_reads_a_step_that_counts(rng: np.random.Generator) -> None:
    """A cell that is singular at 0 would get NaN gradients from zeros, masked or not."""

    class Direction(nn.Cell):
        state_shape = (H,)

        def __init__(self) -> None:
            self.project = nn.Linear(I, H)

        def forward(self, x: Any, h: Any) -> Any:
            h = 0.5 * h + self.project(x / ts.sqrt((x * x).sum(axis=-1, keepdims=True)))
            return h, h

    mask = MASK.copy()
    mask[:, 2] = False
    layer, xs = nn.Recurrent(Direction()).double(), data(rng)
    values = xs.numpy().copy()
    values[~MASK] = np.nan
    xs = ts.tensor(values, requires_grad=True)
    with ts.disable_compile():
        for result in run(layer, xs, mask=MASK):
            assert np.isfinite(result).all()
        assert np.isfinite(run(layer, xs, mask=mask)[0]).all()


def test_lengths_and_flags_that_leave_nothing_out_change_nothing(rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng), data(rng)
    plain = run(layer, xs)
    for call in ({"lengths": [T] * N}, {"mask": np.ones((T, N), bool)}, {"reset": np.zeros((T, N), bool)}):
        assert_same(run(layer, xs, **call), plain)


def test_a_mask_of_the_first_steps_is_as_lengths(rng: np.random.Generator) -> None:
    layer, xs = layer_of("lstm", rng, bidirectional=True), data(rng)
    mask = nn.sequence_mask(LENGTHS, T)
    assert_same(run(layer, xs, mask=mask), run(layer, xs, lengths=LENGTHS))


def test_flags_are_batch_first_where_the_inputs_are(rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng, masked_output="held", return_all_states=True), data(rng)
    ys, state, states = layer(xs, mask=MASK, reset=RESET)
    layer.batch_first = True
    swapped, same, shown = layer(ts.swapaxes(xs, 0, 1), mask=MASK.T, reset=RESET.T)
    np.testing.assert_array_equal(swapped.numpy(), ys.numpy().swapaxes(0, 1))
    np.testing.assert_array_equal(same.numpy(), state.numpy())
    np.testing.assert_array_equal(shown.numpy(), states.numpy().swapaxes(0, 1))


def test_backwards_is_forwards_on_the_reversed_sequence(rng: np.random.Generator) -> None:
    layer, xs = layer_of("lstm", rng), data(rng)
    ys, state = layer(ts.flip(xs, axis=0))
    layer.options["go_backwards"] = True
    back, same = layer(xs)
    np.testing.assert_array_equal(back.numpy(), ys.numpy()[::-1])
    np.testing.assert_array_equal(same[1].numpy(), state[1].numpy())


@pytest.mark.parametrize("kind", CELLS)
def test_all_states_are_those_after_each_step(kind: str, rng: np.random.Generator) -> None:
    layer, xs = layer_of(kind, rng, return_all_states=True).eval(), data(rng)
    _, final, states = layer(xs)
    for leaf, last in zip(flatten(states)[0], flatten(final)[0], strict=True):
        np.testing.assert_array_equal(leaf[-1].numpy(), last.numpy())
    for t in range(1, T + 1):
        _, now, _ = layer(xs[:t])
        for leaf, part in zip(flatten(states)[0], flatten(now)[0], strict=True):
            assert_close(f"state after step {t}", leaf[t - 1].numpy(), part.numpy(), VALUE_TOLERANCE)


# -------------------------------------------------------------------------------------- parts of a sequence


@pytest.mark.parametrize("kind", CELLS)
def test_a_sequence_in_parts_is_as_the_whole(kind: str, rng: np.random.Generator) -> None:
    options = {"zoneout": 0.3, "residual": True, "learn_initial_state": True}
    layer, xs = layer_of(kind, rng, num_layers=2, **options).eval(), data(rng)
    ys, final = layer(xs)
    stream = layer.stream(N)
    one_by_one = ts.stack([stream(x) for x in xs.detach()])
    layer.options["stateful"] = True
    parts = [layer(part) for part in ts.split(xs, [1, 4], axis=0)]
    for found in (one_by_one, ts.concat([y for y, _ in parts])):
        assert_close("ys", found.numpy(), ys.numpy(), VALUE_TOLERANCE)
    for state in (stream.state, parts[-1][1]):
        for a, b in zip(flatten(state)[0], flatten(final)[0], strict=True):
            assert_close("state", a.numpy(), b.numpy(), VALUE_TOLERANCE)
    with pytest.raises(ShapeError, match="expected a batch of 5 sequences, those of the call before"):
        layer(xs[:, :2])
    layer.reset_states()
    np.testing.assert_array_equal(
        layer(xs[:, :2])[0].numpy(), layer.eval()(xs[:, :2], layer.initial_state(2))[0].numpy()
    )


def test_no_gradient_flows_from_call_to_call_of_a_stateful_layer(rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng, stateful=True), data(rng)
    layer(xs[:3])
    layer(xs[3:])[0].sum().backward()
    assert xs.grad is not None
    assert [bool(np.any(g)) for g in xs.grad.numpy()] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("window", "stride"), [(4, 2), (3, 1), (6, 3), (2, 2), (20, 5)])
def test_stride_and_window_of_truncated_backpropagation(
    window: int, stride: int, backwards: bool, rng: np.random.Generator
) -> None:
    """The outputs of block k, of `stride` steps, send gradients back over the last `window` steps up to its end."""
    length = 7
    layer = layer_of("gru", rng, go_backwards=backwards)
    xs = data(rng, length, N, I)
    full, final = layer(xs)
    layer.options["window"], layer.options["stride"] = window, stride
    ys, last = layer(xs)
    np.testing.assert_allclose(ys.numpy(), full.numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(last.numpy(), final.numpy(), rtol=0, atol=1e-14)
    for t in range(length):
        xs.grad = None
        y = layer(xs)[0][length - 1 - t if backwards else t]
        y.sum().backward()
        assert xs.grad is not None
        reached = [bool(np.any(g)) for g in (xs.grad.numpy()[::-1] if backwards else xs.grad.numpy())]
        first = max((t // stride + 1) * stride - window, 0)
        assert reached == [first <= s <= t for s in range(length)]


@pytest.mark.parametrize("reverse", [False, True])
def test_sequences_in_one_row_do_not_meet_across_a_masked_step(reverse: bool, rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng, go_backwards=reverse), data(rng)
    mask, given = np.ones((T, N), bool), rng.standard_normal((N, H))
    mask[3] = False
    for begins in (3, 4):  # the masked step is the first of the second sequence, the last of the first one
        reset = np.zeros((T, N), bool)
        reset[begins] = True
        with ts.disable_compile():
            ys, last = layer(xs, given, mask=mask, reset=reset)
            parts = [layer(part, None if second != reverse else given) for part, second in ((xs[:3], 0), (xs[4:], 1))]
        np.testing.assert_allclose(ys.numpy()[:3], parts[0][0].numpy(), atol=1e-12)
        np.testing.assert_allclose(ys.numpy()[4:], parts[1][0].numpy(), atol=1e-12)
        np.testing.assert_allclose(last.numpy(), parts[not reverse][1].numpy(), atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_flag_on_padding_has_no_effect(reverse: bool, rng: np.random.Generator) -> None:
    layer, xs, given = layer_of("gru", rng, go_backwards=reverse), data(rng), rng.standard_normal((N, H))
    padding = np.arange(T)[:, None] >= LENGTHS
    with ts.disable_compile():
        for call in ({"lengths": LENGTHS}, {"mask": ~padding}):
            expected, found = layer(xs, given, **call), layer(xs, given, reset=padding, **call)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    "options",
    [
        {"window": 4, "stride": 2},
        {"masked_output": "held"},
        {"recurrent_dropout": 0.3, "drop_connect": 0.3},
        {"zoneout": 0.3, "return_all_states": True},
    ],
)
def test_no_steps_and_no_rows(options: dict[str, Any], rng: np.random.Generator) -> None:
    layer, given, none = layer_of("gru", rng, **options), rng.standard_normal((N, H)), np.ones((0, N), bool)
    with ts.disable_compile():
        ys, last, *_ = layer(ts.zeros((0, N, I), "float64"), given, mask=none, reset=none)
        nobody = layer(ts.zeros((T, 0, I), "float64"))[0]
    assert ys.shape == (0, N, H)
    assert nobody.shape == (T, 0, H)
    np.testing.assert_array_equal(last.numpy(), given)


def test_a_list_is_a_state_where_the_cell_has_a_tuple(rng: np.random.Generator) -> None:
    layer, xs, given = layer_of("lstm", rng), data(rng), [rng.standard_normal((N, H)) for _ in range(2)]
    with ts.disable_compile():
        np.testing.assert_array_equal(layer(xs, given)[0].numpy(), layer(xs, tuple(given))[0].numpy())


def test_a_stateful_layer_can_be_cast(rng: np.random.Generator) -> None:
    layer, xs = layer_of("lstm", rng, stateful=True).float(), data(rng).detach()
    with ts.disable_compile():
        _, kept = layer(xs.astype("float32"))
        found = layer.double()(xs)[0]
        layer.reset_states()
        expected = layer(xs, tuple([part.astype("float64") for part in kept]))[0]
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("window", "stride"), [(2, None), (4, 2)])
def test_a_window_cuts_the_gradient_of_held_outputs(window: int, stride: int | None, backwards: bool) -> None:
    class Sum(nn.Cell):
        state_shape = (1,)

        def forward(self, x: Any, h: Any) -> Any:
            return h + x, h + x

    options: dict[str, Any] = {"window": window, "stride": stride, "go_backwards": backwards}
    xs = ts.zeros((6, 1, 1), requires_grad=True)
    mask = np.array([[True], [True], [True], [False], [False], [False]])
    layer = nn.Recurrent(Sum(), masked_output="held", **options)
    ys, _ = layer(xs, mask=mask[::-1] if backwards else mask)
    ys[0 if backwards else 5].sum().backward()  # the output of step 2; no gradient flows to steps before step 4, or 2
    reached = [0, 0, 1, 0, 0, 0] if stride else [0] * 6
    found = [0] * 6 if xs.grad is None else xs.grad.numpy().ravel().tolist()
    assert found == (reached[::-1] if backwards else reached)


@pytest.fixture
def leak() -> Iterator[None]:
    """Add an option by its row: the state is scaled by ``1 - leak`` after each step; in training, noise is added."""

    def check(layer: str, options: Any, _state: Any) -> None:
        check_numbers(layer, 0.0, 1.0, leak=options["leak"])

    def apply(step: Any, run: Any) -> Any:
        if run.training:
            shape = (len(run.varying["x"][0]), *run.state[0].shape)
            run.varying["noise"] = settings.generator(None).standard_normal(shape)

        def leaking(state: Any, inputs: Any) -> Any:
            (new,), outputs = step(state, inputs)
            new = new * (1 - run.options["leak"])
            new = new + inputs["noise"] if run.training else new
            return [new], outputs._replace(y=[new])

        return leaking

    TRANSFORMS.append(Transform({"leak": 0.0}, check, apply))
    yield
    TRANSFORMS.pop()


@pytest.mark.usefixtures("leak")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("call", [{}, {"lengths": LENGTHS}], ids=["whole", "lengths"])
def test_one_row_adds_an_option(call: dict[str, Any], training: bool, rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng, leak=0.25).train(training), data(rng)
    found = run(layer, xs, **call)
    for one, other in zip(found, run(layer, xs, compiled=False, **call), strict=True):
        assert_close("compiled and eager", one, other, GRADIENT_TOLERANCE)
    ts.manual_seed(0)
    noise = settings.generator(None).standard_normal((T, N, H)) if training else np.zeros((T, N, H))
    order = np.argsort(-LENGTHS, kind="stable") if call else np.arange(N)  # the rows of the run
    noise[:, order] = noise.copy()
    h = ts.zeros((N, H), "float64")
    for t, x in enumerate(xs):
        new = 0.75 * layer.cells[0](x, h)[0] + noise[t]
        counts = (t < LENGTHS)[:, None] if call else np.ones((N, 1), bool)
        assert_close("ys", found[0][t], np.where(counts, new.numpy(), 0), VALUE_TOLERANCE)
        h = ts.tensor(np.where(counts, new.numpy(), h.numpy()))
    if not training:
        with ts.no_grad():
            assert_close("stream", layer.stream(N)(xs[0]).numpy(), found[0][0], VALUE_TOLERANCE)


@pytest.mark.usefixtures("leak")
def test_the_option_of_a_row_is_checked_and_off_by_default(rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match="Recurrent: expected leak to be a finite number >= 0 and <= 1, got 2"):
        layer_of("gru", rng, leak=2)
    layer, xs = layer_of("gru", rng), data(rng)
    assert layer.options["leak"] == 0.0  # type: ignore[typeddict-item]
    with_row = run(layer, xs)[0]
    row = TRANSFORMS.pop()
    try:
        np.testing.assert_array_equal(with_row, run(layer, xs)[0])
        with pytest.raises(ArgumentError, match="got 'leak'"):
            layer_of("gru", rng, leak=0.1)
    finally:
        TRANSFORMS.append(row)
