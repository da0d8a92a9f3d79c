"""`Options`: the options of all recurrent layers, for any cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypedDict, cast

from ...errors import ArgumentError, ShapeError
from ...scan import Remember, check_remember
from ..checks import check_probability, check_sizes, check_switches
from .transforms.recurrent_dropout import DROPS
from .transforms.zoneout import ZONEOUT


class Options(TypedDict, total=False):
    """Options of `Recurrent`, `RNN`, `GRU` and `LSTM`, given by keyword, in any combination.

    Attributes
    ----------
    merge : {"concat", "sum", "mean", "mul", None}, default "concat"
        How the outputs of the two directions of a bidirectional layer are combined; ``"concat"`` as in PyTorch. With
        None the layer returns the pair of them; further layers read both, as with ``"concat"``.
    variational_dropout : float, default 0.0
        The probability of dropping a feature of each layer's input for a whole sequence: one mask for all steps (Gal
        and Ghahramani, 2016).
    recurrent_dropout : float, default 0.0
        The same for the state in products with a matrix; the state that a gate carries over is not dropped.
    drop_connect : float, default 0.0
        The probability of dropping a weight that multiplies the state; one mask for all steps and sequences
        (Wan et al., 2013; Merity et al., 2017).
    zoneout : float, or a tuple, list or dict of them, default 0.0
        The probability that a unit of the state keeps its value, drawn at each step; in evaluation its expectation is
        used (Krueger et al., 2017). One number, or one for each array, in the structure of the state.
    residual : bool, default False
        Each layer adds its input to its output, except the first of several layers if its input has another size.
        Further layers of unequal sizes raise an error: in the constructor, or in the first call if the size of a cell
        is unknown.
    learn_initial_state : bool, default False
        The initial state, the same for all sequences, is a parameter, initially 0.
    masked_output : {"zeros", "held"}, default "zeros"
        The output at steps excluded by `lengths` or `mask`; ``"held"`` is the output of the step before, as in Keras. A
        `residual` layer adds the input of that step too; with two directions, that of the step before in time.
    go_backwards : bool, default False
        Run from the last step to the first; ``ys[t]`` still belongs to ``xs[t]``.
    return_all_states : bool, default False
        `forward` returns ``(ys, state, states)``, with the state after every step.
    stateful : bool, default False
        A call starts from the last state of the call before, detached from its graph, until `reset_states`.
    window : int, default None
        Truncated backpropagation: no gradient flows from one block of `window` steps into the block before. Blocks are
        counted from the first step that a direction runs (from T for the backward one), regardless of `lengths`. The
        gradient of a sequence's last state flows through the block in which the sequence ends.
    stride : int, default None
        A divisor of `window`: the outputs of each block of `stride` steps send gradients back over `window` steps (k1
        and k2 of Williams and Peng, 1990), at the cost of window / stride forward runs.
    remember : {"all", "sqrt"} or int, default "all"
        ``"sqrt"`` or a number of steps: less memory for more time, as in `scan`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> options: ts.nn.Options = {"zoneout": 0.1, "residual": True}
    >>> ts.nn.GRU(5, 5, num_layers=2, **options).options["zoneout"]
    0.1
    """

    merge: Literal["concat", "sum", "mean", "mul"] | None
    variational_dropout: float
    recurrent_dropout: float
    drop_connect: float
    zoneout: Any
    residual: bool
    learn_initial_state: bool
    masked_output: Literal["zeros", "held"]
    go_backwards: bool
    return_all_states: bool
    stateful: bool
    window: int | None
    stride: int | None
    remember: Remember


TRANSFORMS: Final = [DROPS, ZONEOUT]
"""The options that change the step of a cell, in the order in which they are applied."""

_CHOICES: Final = {"merge": ("concat", "sum", "mean", "mul", None), "masked_output": ("zeros", "held")}


def check_options(layer: str, bidirectional: bool, options: Options) -> Options:
    """Return all options, with defaults for those that are not given; a layer checks those of `TRANSFORMS` per cell.

    Raises
    ------
    ArgumentError
        If an option is unknown or outside its range, or two options exclude each other.
    """
    defaults: dict[str, Any] = {
        "merge": "concat",
        "variational_dropout": 0.0,
        **{name: default for transform in TRANSFORMS for name, default in transform.defaults.items()},
        "residual": False,
        "learn_initial_state": False,
        "masked_output": "zeros",
        "go_backwards": False,
        "return_all_states": False,
        "stateful": False,
        "window": None,
        "stride": None,
        "remember": "all",
    }
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise ArgumentError(
            f"{layer}: expected options of {', '.join(defaults)}, got {unknown[0]!r}; correct its name."
        )
    chosen: dict[str, Any] = {**defaults, **options}
    for name, choices in _CHOICES.items():
        value = chosen[name]
        if not isinstance(value, str | None) or value not in choices:
            raise ArgumentError(f"{layer}: expected {name} to be one of {choices}, got {value!r}; pass one of them.")
    check_switches(layer, **{name: chosen[name] for name, default in defaults.items() if default is False})
    check_probability(layer, variational_dropout=chosen["variational_dropout"])
    check_remember(layer, chosen["remember"])
    window, stride = chosen["window"], chosen["stride"]
    check_sizes(layer, **{name: n for name, n in (("window", window), ("stride", stride)) if n is not None})
    if stride is not None and (window is None or window % stride):
        raise ArgumentError(
            f"{layer}: expected stride to divide window, got stride={stride} and window={window}; "
            "pass e.g. window=40, stride=20, or leave stride out."
        )
    if bidirectional:
        for name in ("go_backwards", "stateful"):
            if chosen[name]:
                raise ArgumentError(
                    f"{layer}: expected bidirectional or {name}, got both; leave one out: of two directions one goes "
                    "backwards, from the end of what it is given."
                )
    return cast(Options, chosen)


def joins(merge: str | None) -> bool:
    """Return whether the next layer reads the outputs of both directions side by side."""
    return merge is None or merge == "concat"


def check_residual(layer: str, sizes: Sequence[tuple[int | None, int | None]], joined: bool) -> None:
    """Raise if a residual layer, except the first of several, has different input and output sizes.

    Parameters
    ----------
    sizes
        The input and output size of the cells of each layer; None where unknown.
    joined
        Whether the outputs of two directions are concatenated.

    Raises
    ------
    ShapeError
        If the sizes of a layer differ.
    """
    before = None
    for number, (reads, gives) in enumerate(sizes):
        reads = before if reads is None else reads
        gives = None if gives is None else gives * (1 + joined)
        if None not in (reads, gives) and reads != gives and (number or len(sizes) == 1):
            raise ShapeError(
                f"{layer}: expected a residual layer whose output is like its input, got {gives} features from {reads} "
                f"in layer {number}; give it equal sizes, or leave residual out."
            )
        before = gives
