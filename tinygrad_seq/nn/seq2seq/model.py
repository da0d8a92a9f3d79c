"""`Seq2Seq`: an encoder that reads a sequence and a decoder that writes another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd.creation import asarray
from ...base import settings
from ...base.tree import Tree, first_leaf, flatten, map_leaves
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.choice import categorical, check_drawing
from ...ops.comparison import where
from ...ops.primitive import Array
from ...scan import Remember, scan
from ..activations import Identity
from ..attention import AttentionCell, Memory
from ..cell import Cell, step_of_one
from ..checks import check_probability
from ..masks import check_flags
from ..module.module import Module
from ..recurrence.padding import fill_padding


class Seq2Seq(Module):
    """An encoder and a decoder as one model (Sutskever et al., 2014; with attention, Bahdanau et al., 2015).

    ::

        memory, state = encoder(source_embedding(source))
        logits_t      = readout(h_t),   h_t, state_t = cell(target_embedding(token_t), state_(t-1))

    Parameters
    ----------
    encoder
        A recurrent layer, time-major: ``encoder(xs, lengths=...) -> (memory (S, N, E), state)``.
    cell
        The cell of the decoder: an `AttentionCell`, which reads the memory, or any other, which only gets the state.
    target_embedding
        Gives vectors of tokens (N,) or (T, N): an `Embedding`.
    readout
        Gives logits (..., V) of the cell's outputs: a `Linear`. An `AttentionCell` puts out H + E values.
    source_embedding
        Gives the encoder's inputs of the source; by default they are the source itself.
    bridge
        A function, or module, from the encoder's last state to the first state of the cell (without the context), or
        to None, for its initial state. By default the state itself, which fits a cell of the encoder's kind.
    remember
        As in `scan`: less memory for more time.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from tinygrad_seq import nn
    >>> model = nn.Seq2Seq(
    ...     encoder=nn.Recurrent(nn.GRUCell(4, 8)),
    ...     cell=nn.AttentionCell(nn.GRUCell(4 + 8, 8), nn.AdditiveAttention(8, 8)),
    ...     target_embedding=nn.Embedding(10, 4),
    ...     readout=nn.Linear(8 + 8, 10),
    ...     source_embedding=nn.Embedding(20, 4),
    ... )
    >>> source, target = ts.randint(0, 20, (7, 3)), ts.randint(0, 10, (5, 3))
    >>> model(source, target, source_lengths=[7, 4, 2]).shape
    (5, 3, 10)
    >>> nn.beam_search(model.step, model.begin(source), start=0, eos=1, max_length=6).tokens.shape[:2]
    (3, 1)
    """

    def __init__(
        self,
        encoder: Module,
        cell: Cell,
        target_embedding: Module,
        readout: Module,
        source_embedding: Module | None = None,
        bridge: Callable[[Tree], Tree] | None = None,
        remember: Remember = "all",
    ) -> None:
        if not isinstance(cell, Cell):
            raise ArgumentError(
                f"Seq2Seq: expected the decoder as a Cell, got {type(cell).__name__}; pass e.g. GRUCell(64, 128), "
                "AttentionCell(cell, attention), or several as a StackedCell."
            )
        if getattr(encoder, "batch_first", False):
            raise ArgumentError("Seq2Seq: expected a time-major encoder, got batch_first=True; leave it out.")
        self.encoder, self.cell, self.target_embedding, self.readout = encoder, cell, target_embedding, readout
        self.source_embedding = Identity() if source_embedding is None else source_embedding
        self.bridge, self.remember = bridge, remember

    def forward(
        self,
        source: Array,
        target: Array,
        source_lengths: Any = None,
        sampling: float = 0.0,
        temperature: float = 1.0,
        generator: np.random.Generator | None = None,
    ) -> Array:
        """Return the logits (T, N, V) after each token of `target`, read with teacher forcing or scheduled sampling.

        Parameters
        ----------
        source
            (S, N) tokens, or what the encoder takes.
        target
            (T, N) integers, what the decoder reads: it begins with the start token, and ``logits[t]`` are about
            ``target[t + 1]``, the loss ``cross_entropy(model(source, target[:-1]), target[1:])``.
        source_lengths
            (N,), from 0 to S: how many steps of each source count.
        sampling
            Scheduled sampling (Bengio et al., 2015): the probability, for each token but the first, that the decoder
            reads what it would have written itself instead. 0 is teacher forcing. The random numbers are drawn before
            the loop, so they are the same for any number of threads; no gradient flows through a token.
        temperature
            How its own tokens are drawn; 0 takes the likeliest.
        generator
            What draws; by default the generator that `manual_seed` seeds.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument does not fit.
        """
        check_probability("Seq2Seq", sampling=sampling)
        check_drawing("Seq2Seq", temperature, None)
        target = asarray(target)
        if target.ndim != 2 or not target.size or target.dtype.kind not in "iu":
            raise (DtypeError if target.dtype.kind not in "iu" else ShapeError)(
                f"Seq2Seq: expected target tokens (T, N), integers, got {target.shape} {target.dtype}; "
                "pass what the decoder reads, time first."
            )
        state, memory = self.begin(source, source_lengths)
        N = flatten(state)[0][0].shape[0]
        if target.shape[1] != N:
            raise ShapeError(
                f"Seq2Seq: expected a target for each of {N} sources, (T, {N}), got {target.shape} {target.dtype}; "
                "pass both time first."
            )
        cell = self._reading(memory)
        if not sampling:
            _, ys = scan(step_of_one(cell), state, self.target_embedding(target), remember=self.remember)
            return self.readout(ys)
        draw = settings.generator(generator).random
        own, uniforms = draw(target.shape) < sampling, draw(target.shape)
        own[0] = False

        def step(carry: Tree, x: tuple[Array, Array, Array]) -> tuple[Tree, Array]:
            (state, written), (given, flag, uniform) = carry, x
            y, state = cell.forward(self.target_embedding(where(flag, written, given)), state)
            logits = self.readout(y)
            return (state, categorical(logits, uniform, temperature)), logits

        target = target.astype("int64")
        _, logits = scan(step, (state, target[0]), (target, own, uniforms), remember=self.remember)
        return logits

    def begin(self, source: Array, source_lengths: Any = None) -> tuple[Tree, Memory | None]:
        """Return the state with which `step` begins: that of the cell, and the memory if it reads one.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If the source does not fit the encoder, or the encoder's state the cell.
        """
        source = map_leaves(asarray, source)
        S, N = first_leaf(source).shape[:2]
        valid = check_flags("Seq2Seq", S, N, False, source_lengths).valid(S)
        if valid is not None:
            source = fill_padding(source, valid) if valid.any() else map_leaves(lambda x: x[:0], source)
        ys, state, *_ = self.encoder(self.source_embedding(source), lengths=source_lengths)
        state = state if self.bridge is None else self.bridge(state)
        if not isinstance(self.cell, AttentionCell):
            state, memory = self.cell.initial_state(N) if state is None else state, None
        else:
            state = self.cell.initial_state(N) if state is None else self.cell.begin(state, N)
            memory = self.cell.attention.prepare(ys, source_lengths)
        self.cell.check_state(state, N)
        return state, memory

    def step(self, tokens: Array, state: tuple[Tree, Memory | None]) -> tuple[Array, tuple[Tree, Memory | None]]:
        """Return the logits (N, V) after one more token of each row, and the state: what searches take as `step`."""
        before, memory = state
        y, after = self._reading(memory)(self.target_embedding(tokens), before)
        return self.readout(y), (after, memory)

    def _reading(self, memory: Memory | None) -> Cell:
        return self.cell if memory is None else self.cell.over(memory)  # type: ignore[attr-defined]
