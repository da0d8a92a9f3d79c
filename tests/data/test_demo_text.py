from __future__ import annotations

from pathlib import Path

from tinygrad_seq.data import load_corpus, tokenize_words
from tinygrad_seq.data.demo_text import HELD_OUT

PAIRS = Path(__file__).resolve().parents[2] / "examples" / "homophones.txt"


def test_the_text_is_the_same_on_every_machine() -> None:
    sha256 = "0b8ff37801d021134689b5d3cc023523006ad5fdee93f33a2aa22194daa3401a"
    assert load_corpus("demo").sha256 == load_corpus("demo").sha256 == sha256


def test_the_text_has_the_words_that_are_ranked_but_not_the_sentences() -> None:
    text = load_corpus("demo").read()
    assert not HELD_OUT.search(text)
    words = set(tokenize_words(text))
    pairs = [pair.splitlines() for pair in PAIRS.read_text(encoding="utf-8").split("\n\n")]
    assert len(pairs) >= 5
    for right, wrong in pairs:
        assert right not in text
        assert wrong not in text
        assert words.issuperset(tokenize_words(f"{right} {wrong}"))
