"""Writer: units are separated, incomplete characters are completed or replaced, and a long line takes linear time."""

from __future__ import annotations

import time

import pytest

from tinygrad_seq.data import Vocabulary
from tinygrad_seq.data.levels import Level
from tinygrad_seq.train.text import Writer


@pytest.mark.parametrize("level", ["char", "word", "whitespace", "subword"])
def test_a_long_line_takes_linear_time(level: Level) -> None:
    vocabulary = Vocabulary.build(["the cat sat on a mat and ran"], level)
    writer = Writer(vocabulary, "document")
    began = time.process_time()
    for i in range(20_000):
        writer.write(3 + i % (len(vocabulary) - 3))
    assert time.process_time() - began < 1  # 0.02 s; decoding the line for each token took 33 s


def test_an_end_of_unit_closes_the_line_and_an_incomplete_character() -> None:
    vocabulary = Vocabulary.build("ab", "subword", max_size=256)
    writer = Writer(vocabulary, "paragraph")
    first, second = vocabulary.encode("é").tolist()
    tokens = [first, second, first, vocabulary.eos, second, vocabulary.index("a")]
    assert [writer.write(token) for token in tokens] == ["", "é", "", "\ufffd\n\n", "\ufffd", "a"]


def test_quotes_start_anew_with_a_unit() -> None:
    vocabulary = Vocabulary.build('" cat', "word")
    writer = Writer(vocabulary, "line")
    quote, cat = vocabulary.index('"'), vocabulary.index("cat")
    written = "".join(map(writer.write, [quote, cat, vocabulary.eos, quote, cat, quote]))
    assert written == '"cat\n"cat"'
