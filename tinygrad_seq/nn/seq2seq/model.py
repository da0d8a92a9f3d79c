"""`Seq2Seq`: an encoder that reads a sequence and a decoder that generates another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.creation import asarray
from ...autograd.tensor import Tensor
from ...base import settings
from ...base.tree import Tree, first_leaf, flatten, map_leaves
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.choice import categorical, check_drawing
from ...ops.comparison import where
from ...scan import Remember, scan
from ..activations import Identity
from ..attention.attention_cell import AttentionCell
from ..attention.mechanism import Memory
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
    encoder : Module
        A recurrent layer, time-major: ``encoder(xs, lengths=...) -> (memory (S, N, E), state)``.
    cell : Cell
        The cell of the decoder: an `AttentionCell`, which reads the memory, or any other, which only gets the state.
    target_embedding : Module
        Maps tokens (N,) or (T, N) to the inputs of the cell, such as an `Embedding`.
    readout : Module
        Maps outputs of the cell to logits (..., V), such as a `Linear`. The outputs of an `AttentionCell` have H + E
        features.
    source_embedding : Module, optional
        Maps the source to the inputs of the encoder; by default they are the source.
    bridge : callable, optional
        Maps the encoder's last state to the initial state of the cell (without the context), or to None for zeros. By
        default they are the same, which works for a cell of the encoder's type.
    remember : {"all", "sqrt"} or int, default "all"
        What the compiled loop saves for the backward pass, as in `scan`.

    Raises
    ------
    ArgumentError
        If `cell` is not a Cell, another part is not callable, or the encoder is batch-first.

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
                f"Seq2Seq: expected cell to be a Cell, got {type(cell).__name__}; pass e.g. GRUCell(64, 128), "
                "AttentionCell(cell, attention), or several as a StackedCell."
            )
        for name, part in {"encoder": encoder, "target_embedding": target_embedding, "readout": readout}.items():
            if not callable(part):
                raise ArgumentError(
                    f"Seq2Seq: expected {name} to be a module, got {type(part).__name__}; pass a layer or a function."
                )
        if getattr(encoder, "batch_first", False):
            raise ArgumentError("Seq2Seq: expected a time-major encoder, got batch_first=True; leave it out.")
        self.encoder, self.cell, self.target_embedding, self.readout = encoder, cell, target_embedding, readout
        self.source_embedding = Identity() if source_embedding is None else source_embedding
        self.bridge, self.remember = bridge, remember

    def forward(
        self,
        source: Tree,
        target: ArrayLike,
        source_lengths: ArrayLike | None = None,
        sampling: float = 0.0,
        temperature: float = 1.0,
        generator: np.random.Generator | None = None,
    ) -> Tensor:
        """Return the logits that follow each target token, with teacher forcing or scheduled sampling.

        Parameters
        ----------
        source : array_like of int, or inputs of the encoder
            (S, N).
        target : array_like of int
            (T, N), the inputs of the decoder, beginning with the start token. ``logits[t]`` predict ``target[t + 1]``,
            so the loss is ``cross_entropy(model(source, target[:-1]), target[1:])``.
        source_lengths : array_like of int, optional
            (N,), from 0 to S: how many steps of each source are valid.
        sampling : float, default 0.0
            The probability, for each token but the first, that the decoder reads its own prediction instead (scheduled
            sampling; Bengio et al., 2015). 0 is teacher forcing. The random numbers are drawn before the loop, so they
            do not depend on the number of threads. No gradient flows through tokens.
        temperature : float, default 1.0
            The temperature of these predictions; 0 takes the likeliest token.
        generator : numpy.random.Generator, optional
            Draws the random numbers; by default the generator that `manual_seed` seeds.

        Returns
        -------
        Tensor
            (T, N, V), the logits.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an argument has another shape, dtype or range.
        """
        check_probability("Seq2Seq", sampling=sampling)
        check_drawing("Seq2Seq", temperature, None)
        read: Tensor = asarray(target)
        if read.ndim != 2 or not read.size or read.dtype.kind not in "iu":
            raise (DtypeError if read.dtype.kind not in "iu" else ShapeError)(
                f"Seq2Seq: expected target tokens (T, N), integers, got {read.shape} {read.dtype}; "
                "pass the tokens that the decoder reads, time first."
            )
        state, memory = self.begin(source, source_lengths)
        N = flatten(state)[0][0].shape[0]
        if read.shape[1] != N:
            raise ShapeError(
                f"Seq2Seq: expected targets of {N} sources, (T, {N}), got {read.shape} {read.dtype}; "
                "pass both time first."
            )
        cell = self._reading(memory)
        if not sampling:
            _, ys = scan(step_of_one(cell), state, self.target_embedding(read), remember=self.remember)
            return self.readout(ys)
        draw = settings.generator(generator).random
        own, uniforms = draw(read.shape) < sampling, draw(read.shape)
        own[0] = False

        def step(carry: Tree, x: tuple[Tensor, Tensor, Tensor]) -> tuple[Tree, Tensor]:
            (state, written), (given, flag, uniform) = carry, x
            y, state = cell.forward(self.target_embedding(where(flag, written, given)), state)
            logits = self.readout(y)
            return (state, categorical(logits, uniform, temperature)), logits

        read = read.astype("int64")
        _, logits = scan(step, (state, read[0]), (read, own, uniforms), remember=self.remember)
        return logits

    def begin(self, source: Tree, source_lengths: ArrayLike | None = None) -> tuple[Tree, Memory | None]:
        """Encode the source and return the initial state of the decoder, for `step` and the searches.

        Parameters
        ----------
        source : array_like of int, or inputs of the encoder
            (S, N).
        source_lengths : array_like of int, optional
            (N,), from 0 to S: how many steps of each source are valid.

        Returns
        -------
        state : tree of Tensor
            The initial state of the cell.
        memory : Memory or None
            What an `AttentionCell` reads.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If the source does not match the encoder, or the encoder's state the cell.
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

    def step(self, tokens: Tensor, state: tuple[Tree, Memory | None]) -> tuple[Tensor, tuple[Tree, Memory | None]]:
        """Run the decoder for one token per sequence; pass this method to the searches.

        Parameters
        ----------
        tokens : Tensor
            (N,), integers.
        state : tuple
            What `begin` or the last `step` returned.

        Returns
        -------
        logits : Tensor
            (N, V), about the next token.
        state : tuple
            The new state.
        """
        before, memory = state
        y, after = self._reading(memory)(self.target_embedding(tokens), before)
        return self.readout(y), (after, memory)

    def _reading(self, memory: Memory | None) -> Cell:
        return self.cell if memory is None else self.cell.over(memory)  # type: ignore[attr-defined]
