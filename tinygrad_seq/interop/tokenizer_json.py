"""A vocabulary as a ``tokenizer.json`` of the library tokenizers, and back; the library is not needed."""

from __future__ import annotations

from typing import Any

from ..data import Vocabulary
from ..data.levels import SPECIAL_TOKENS
from ..errors import CheckpointError

# The tokens of level "word", as Oniguruma writes the expression of `data.words`.
_WORDS = r"\w+(?:(?:[.'’-]|(?<=\d),(?=\d))\w+)*|\n|([^\w\s])\1*"


def tokenizer_of(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of a ``tokenizer.json`` that encodes a text as the vocabulary does."""
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    special = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, token in enumerate(SPECIAL_TOKENS)
    ]
    steps = [
        {"type": kind} for kind, wanted in (("Lowercase", vocabulary.lowercase), ("NFC", vocabulary.nfc)) if wanted
    ]  # fmt: skip
    split, decoder = _LEVELS[vocabulary.level]
    model: dict[str, Any] = {"type": "WordLevel", "vocab": ids, "unk_token": SPECIAL_TOKENS[1]}
    if vocabulary.level == "subword":
        ordinary = set(vocabulary.tokens[len(SPECIAL_TOKENS) :])
        merges = [
            [token[:cut], token[cut:]]
            for token in vocabulary.tokens[len(SPECIAL_TOKENS) :]
            for cut in range(1, len(token))
            if token[:cut] in ordinary and token[cut:] in ordinary
        ]
        model = {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": ids,
            "merges": merges,
        }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": steps} if steps else None,
        "pre_tokenizer": split,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def _split(pattern: str, behavior: str, invert: bool) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
# The pre-tokenizer and the decoder of each level.
_LEVELS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "char": (_split(r"(?m).", "Isolated", False), {"type": "Fuse"}),
    "word": (_split(_WORDS, "Removed", True), None),
    "whitespace": (_split(r"\n|[^\s]+", "Removed", True), None),
    "subword": (_BYTES, _BYTES),
}


def tokens_of(content: dict[str, Any]) -> list[str]:
    """Return the ordinary tokens of a ``tokenizer.json`` in the order of their indices.

    Raises
    ------
    CheckpointError
        If it has no vocabulary with one token per index, which starts with the special tokens of this package.
    """
    model = content.get("model")
    ids = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(ids, dict) or not all(type(index) is int for index in ids.values()):
        raise CheckpointError("from_hub: expected a vocabulary in tokenizer.json, got none; restore the file.")
    tokens = sorted(ids, key=ids.__getitem__)
    first = len(SPECIAL_TOKENS)
    if sorted(ids.values()) != list(range(len(ids))) or tuple(tokens[:first]) != SPECIAL_TOKENS:
        raise CheckpointError(
            f"from_hub: expected a token for each index in tokenizer.json, {', '.join(SPECIAL_TOKENS)} first, got "
            "others; tokenizers of other programs are read by the library tokenizers."
        )
    return tokens[first:]
