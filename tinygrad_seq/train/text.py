"""A corpus as tokens: split into parts as text, encoded as a stream, cached in files. And sampled tokens as text."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..base.files import open_atomically, remove_leftovers
from ..data import Corpus, Vocabulary, split, units
from ..data.folders import Progress
from ..data.token_file import HEADER, Tokens, TokenWriter, open_tokens
from ..data.words import END_OF_UNIT
from ..errors import DataError
from ..kernels.allocator import keep_freed_memory
from .config import TrainingConfig

PARTS = ("training", "validation", "test")
_BETWEEN = {"paragraph": "\n\n", "line": "\n", "document": "\n\n"}
_BREAK = re.compile(rf"\s|{END_OF_UNIT}")


@dataclass(frozen=True, eq=False)
class Text:
    """The tokens of a corpus in two or three parts.

    Attributes
    ----------
    training, validation, test : ndarray of uint8, uint16 or uint32, shape (tokens,)
        The parts, in the narrowest dtype; ``<EOS>`` follows every unit. `test` is empty if the config has no test part.
    characters : dict of str to float
        The characters per part, where ``<EOS>`` counts as one.
    unknown : dict of str to int
        How many tokens per part are ``<UNK>``.
    sha256 : dict of str to str
        The digest per part; empty if the text was read by the rule ``"tokens"``.
    """

    training: Tokens
    validation: Tokens
    test: Tokens
    characters: dict[str, float]
    unknown: dict[str, int]
    sha256: dict[str, str]

    def characters_per_token(self, part: str) -> float:
        """Return the factor that converts bits per token of a part to bits per character."""
        return self.characters[part] / len(getattr(self, part))

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return the sizes and digests of the parts as JSON values, with which `open_text` finds them again."""
        return {
            part: {
                "tokens": len(getattr(self, part)),
                "characters": self.characters[part],
                "unknown": self.unknown[part],
                "sha256": self.sha256.get(part),
            }
            for part in self.characters
        }


def read_text(
    corpus: Corpus,
    config: TrainingConfig,
    *,
    vocabulary: Vocabulary | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    rule: str = "text",
) -> tuple[Vocabulary, Text]:
    """Split a corpus into parts and encode them.

    The corpus is read three times as a stream: to measure it, to build the vocabulary from the training part, and to
    encode all parts. Lines are drawn for the parts by the seed of `config`. Other units are cut by characters, and at
    levels other than ``"char"`` at the next white space.

    Parameters
    ----------
    corpus : Corpus
        The corpus.
    config : TrainingConfig
        The level and size of the vocabulary, the unit, and how to split.
    vocabulary : Vocabulary, optional
        The vocabulary; by default it is built from the training part.
    folder : Path, optional
        An existing folder for the tokens, which are memory-mapped; by default they are held in memory.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` with the characters read; the stages are ``"measuring"``,
        ``"counting"`` and ``"encoding"``. Its exceptions pass through, and no unfinished file is left.
    rule : str, default "text"
        ``"tokens"`` splits the sequence of all tokens, as version 0.1.0 did; it needs `vocabulary` and uses no folder.

    Returns
    -------
    vocabulary : Vocabulary
        The vocabulary.
    text : Text
        The parts.

    Raises
    ------
    DataError
        If the corpus is blank, or too short to be split into the parts.
    CheckpointError
        If a file cannot be written, e.g. because the disk is full.
    """
    order = (
        np.random.default_rng(config.seed).permutation(sum(1 for _ in corpus.streams())).tolist()
        if config.shuffle
        else None
    )

    def pieces(stage: str) -> Iterator[str]:
        return units.mark_units(_watched(corpus.streams(order), stage, corpus.characters, progress), config.unit)

    keep_freed_memory()
    characters = ends = 0
    for piece in pieces("measuring"):
        characters += len(piece)
        ends += piece.count(END_OF_UNIT)
    if characters == 1:
        raise DataError(
            f"Session: expected a corpus with text, got only blank lines in {corpus.description}; pass another corpus."
        )
    if rule == "tokens" and vocabulary is not None:
        return vocabulary, _split_tokens(pieces("encoding"), vocabulary, config)
    if config.unit == "line":
        labels = _draw_lines(ends - 1, config)

        def parts(stage: str) -> Iterator[tuple[str, str]]:
            return _parts_by_line(pieces(stage), labels)
    else:
        cuts = [characters - round(config.validation * characters) - round(config.test * characters)]
        cuts += [characters - round(config.test * characters)] if config.test else []
        sizes = np.diff([0, *cuts, characters]).tolist()  # in characters, so there are no more tokens
        _check_sizes(dict(zip(PARTS, sizes, strict=False)), config)

        def parts(stage: str) -> Iterator[tuple[str, str]]:
            return _parts_by_cut(pieces(stage), cuts, anywhere=config.level == "char")

    if vocabulary is None:
        training = (text for part, text in parts("counting") if part == "training")
        vocabulary = Vocabulary.build(
            training, config.level, max_size=config.max_vocabulary, lowercase=config.lowercase, nfc=config.nfc
        )
    text = _encode(parts("encoding"), vocabulary, PARTS if config.test else PARTS[:2], folder, config)
    return vocabulary, text


def open_text(folder: Path, facts: dict[str, Any]) -> Text | None:
    """Return the text that `read_text` wrote to `folder`, or None if a file is missing, damaged or of another text.

    Parameters
    ----------
    folder : Path
        The folder, which may be missing or hold anything.
    facts : dict
        The facts of the run; ``facts["parts"]`` is what `Text.facts` returned.

    Returns
    -------
    Text or None
        The text, whose every byte has been verified.
    """
    parts = facts.get("parts")
    if not isinstance(parts, dict) or parts.keys() not in ({*PARTS}, {*PARTS[:2]}):
        return None
    found: dict[str, Tokens] = {}
    for part, row in parts.items():
        if not isinstance(row, dict) or not all(type(row.get(name)) is kind for name, kind in _ROW.items()):
            return None
        tokens = open_tokens(_path(folder, part), row["tokens"], row["sha256"])
        if tokens is None:
            return None
        found[part] = tokens
    columns = [{part: parts[part][name] for part in PARTS if part in parts} for name in _COLUMNS]
    return _text(found, *columns)


_ROW: dict[str, type] = {"tokens": int, "characters": int, "unknown": int, "sha256": str}
_COLUMNS = ("characters", "unknown", "sha256")


def _text(
    parts: dict[str, Tokens], characters: dict[str, float], unknown: dict[str, int], sha256: dict[str, str]
) -> Text:
    training, validation, test = (parts.get(part, np.empty(0, np.uint8)) for part in PARTS)
    return Text(training, validation, test, characters, unknown, sha256)


def _path(folder: Path, part: str) -> Path:
    return folder / f"{part}.npy"


# --------------------------------------------------------------------------------------------- the text as a stream


def _watched(
    documents: Iterable[Iterable[str]], stage: str, total: int, progress: Progress | None
) -> Iterator[Iterator[str]]:
    """Yield the documents, and report the characters that have been read."""
    done = reported = 0

    def counted(document: Iterable[str]) -> Iterator[str]:
        nonlocal done, reported
        for piece in document:
            yield piece
            done += len(piece)
            if progress is not None and done >= reported + units.PIECE:
                progress(stage, done, total)
                reported = done

    yield from map(counted, documents)
    if progress is not None:
        progress(stage, total, total)


# ---------------------------------------------------------------------------------------------------------- the split


def _parts_by_cut(pieces: Iterable[str], cuts: list[int], anywhere: bool) -> Iterator[tuple[str, str]]:
    """Yield (part, text), where part i + 1 begins at character cuts[i], or after it at white space."""
    at, part = 0, 0
    for piece in pieces:
        begin = 0
        while part < len(cuts) and cuts[part] < at + len(piece):
            cut = max(cuts[part] - at, begin)
            if not anywhere:
                found = _BREAK.search(piece, cut)
                if found is None:
                    break
                cut = found.end() if found.group() == END_OF_UNIT else found.start()
            if begin < cut:
                yield PARTS[part], piece[begin:cut]
            begin, part = cut, part + 1
        if begin < len(piece):
            yield PARTS[part], piece[begin:]
        at += len(piece)


def _draw_lines(lines: int, config: TrainingConfig) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the number of the part of each line."""
    needed = 3 if config.test else 2
    if lines < needed:
        raise DataError(
            f"Session: expected at least {needed} lines, one per part, got {lines} with validation={config.validation} "
            f"and test={config.test}; pass a text with more lines, or choose another unit."
        )
    test = min(max(1, round(config.test * lines)), lines - 2) if config.test else 0
    validation = min(max(1, round(config.validation * lines)), lines - test - 1)
    labels = np.zeros(lines, np.uint8)
    generator = np.random.default_rng(config.seed)
    for begin in range(0, lines, units.PIECE):  # one shuffle of millions of lines would delay Ctrl-C
        block = labels[begin : begin + units.PIECE]
        held = [at * (validation + test) // lines for at in (begin, begin + len(block))]
        tests = [count * test // (validation + test) for count in held]
        block[: held[1] - held[0]] = 1
        block[: tests[1] - tests[0]] = 2
        generator.shuffle(block)
    return labels


def _parts_by_line(pieces: Iterable[str], labels: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[str, str]]:
    """Yield (part, text) for lines with `labels`; each part begins with `END_OF_UNIT`."""
    for part in np.unique(labels):
        yield PARTS[part], END_OF_UNIT
    line = 0
    first = 1  # the text begins with END_OF_UNIT, which is no line
    for piece in pieces:
        piece, first = piece[first:], 0
        if not piece:
            continue
        ends = np.flatnonzero(np.array(piece).reshape(1).view(np.uint32) == ord(END_OF_UNIT)) + 1
        here = labels[line : line + len(ends) + 1]  # with the line that goes on in the next piece
        if len(here) < max(1, len(ends)):
            raise DataError(
                f"Session: expected the corpus to have {len(labels)} lines as when it was measured, got more; "
                "do not change it while it is read."
            )
        changes = np.flatnonzero(np.diff(here))
        cuts = [0, *ends[changes].tolist(), len(piece)]
        texts: dict[int, list[str]] = {}
        for label, begin, end in zip(here[[0, *(changes + 1)]].tolist(), cuts, cuts[1:], strict=False):
            texts.setdefault(label, []).append(piece[begin:end])
        yield from ((PARTS[label], text) for label, runs in texts.items() if (text := "".join(runs)))
        line += len(ends)


# ------------------------------------------------------------------------------------------------------- the encoding


def _encode(
    parts: Iterable[tuple[str, str]],
    vocabulary: Vocabulary,
    names: tuple[str, ...],
    folder: Path | None,
    config: TrainingConfig,
) -> Text:
    characters: dict[str, float] = dict.fromkeys(names, 0)
    unknown = dict.fromkeys(names, 0)
    files: dict[str, BinaryIO] = {}
    with contextlib.ExitStack() as stack:
        if folder is None:
            files = {name: io.BytesIO() for name in names}
        else:
            remove_leftovers(folder)
            for name in names:
                files[name] = stack.enter_context(open_atomically(_path(folder, name), "Session", sync=False))
        writers = {name: TokenWriter(file, len(vocabulary)) for name, file in files.items()}
        for name, text in parts:
            indices = vocabulary.encode(text)
            writers[name].write(indices)
            characters[name] += len(text)
            unknown[name] += int(np.count_nonzero(indices == vocabulary.unk))
        _check_sizes({name: writer.count for name, writer in writers.items()}, config)
        sha256 = {name: writer.finish() for name, writer in writers.items()}
    tokens: dict[str, Tokens] = {}
    for name, writer in writers.items():
        if folder is None:
            tokens[name] = np.frombuffer(files[name].getbuffer(), writer.dtype, offset=HEADER)  # type: ignore[attr-defined]
        else:
            tokens[name] = np.memmap(_path(folder, name), writer.dtype, "r", HEADER, (writer.count,))
    return _text(tokens, characters, unknown, sha256)


def _split_tokens(pieces: Iterable[str], vocabulary: Vocabulary, config: TrainingConfig) -> Text:
    whole = _encode((("training", piece) for piece in pieces), vocabulary, ("training",), None, config)
    training, validation = split(whole.training, config.validation)
    parts = {"training": training, "validation": validation}
    _check_sizes({part: len(tokens) for part, tokens in parts.items()}, config)
    ratio = whole.characters_per_token("training")
    unknown = {part: int(np.count_nonzero(tokens == vocabulary.unk)) for part, tokens in parts.items()}
    return _text(parts, {part: ratio * len(tokens) for part, tokens in parts.items()}, unknown, {})


def _check_sizes(sizes: dict[str, int], config: TrainingConfig) -> None:
    for part, size in sizes.items():
        if size < 2:
            advice = "a smaller validation or test part" if part == "training" else f"increase {part}"
            raise DataError(
                f"Session: expected at least 2 {part} tokens, got {size} of {sum(sizes.values())} with "
                f"validation={config.validation} and test={config.test}; pass a longer text or {advice}."
            )


class Writer:
    r"""Convert sampled tokens to text incrementally.

    Parameters
    ----------
    vocabulary : Vocabulary
        The vocabulary of the model.
    unit : str
        The unit of the model; ``<EOS>`` is written as the separator of two units.

    Attributes
    ----------
    hidden : list of int
        The tokens that a model must not sample: ``<PAD>`` and ``<UNK>``.

    Examples
    --------
    >>> from tinygrad_seq.data import Vocabulary
    >>> vocabulary = Vocabulary.build(["the cat, the dog."], level="word")
    >>> writer = Writer(vocabulary, "line")
    >>> [writer.write(token) for token in vocabulary.encode("the cat, the dog", eos=True)]
    ['the', ' cat', ',', ' the', ' dog', '\n']
    """

    def __init__(self, vocabulary: Vocabulary, unit: str) -> None:
        self.vocabulary = vocabulary
        self.hidden = [vocabulary.pad, vocabulary.unk]
        self._between = _BETWEEN[unit]
        self._decoder = vocabulary.decoder()

    def write(self, token: int) -> str:
        """Return the text that `token` adds."""
        if token == self.vocabulary.eos:
            rest, self._decoder = self._decoder.finish(), self.vocabulary.decoder()
            return rest + self._between
        return self._decoder.add(token)
