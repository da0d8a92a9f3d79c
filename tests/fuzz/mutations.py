"""Mutations of bytes, JSON values and texts; every draw comes from the given generator."""

from __future__ import annotations

import json
import random
from typing import Any

Random = random.Random

TOKENS = (
    b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\n", b"\r", b"\x1b[31m", b"\x80\x05.", b"{",
    b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"\\ud800"', b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 25,
    b"9" * 5000, b"null", b"true", b"[" * 2000, b'{"a":' * 2000, b"__metadata__", b"$array", b"$tuple", b"<EOS>",
    b"../", b"cell.py:X", b"F16", b"C64", (1 << 63).to_bytes(8, "little"), (1 << 40).to_bytes(8, "little"),
    b"\xff" * 8, bytes(8), bytes(300),
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 64, 255, 1 << 31, 1 << 40, 1 << 63, (1 << 64) - 1, -(1 << 63), 10**400, 0.5,
    -0.0, 1e-320, 1e308, float("inf"), -float("inf"), float("nan"), "", "0", "1", "a", "x" * 5000, "\0", "\ud800",
    "\udcff", "é\u0301", "\r\n", "lstm", "char", "word", "cell.py:Cell", "../../x", "/dev/zero", "F32", "BF16",
    "<EOS>", [], {}, [[]], [None], [0, 0], {"": {}}, {"$array": "w"}, {"$array": 3}, {"$tuple": [1, 2]},
    {"$tuple": None}, [1] * 70, [[]] * 1000, [[[[[[[[[[[]]]]]]]]]]],
)  # fmt: skip


def mutate_bytes(rng: Random, data: bytes, other: bytes = b"") -> bytes:
    """Return `data` after one to four changes; splices take parts of `other`."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 8, 100, len(data))))
        change = rng.randrange(8)
        if change == 0:  # flip a bit
            data = data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]
        elif change == 1:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif change == 2:
            data = data[:at] + rng.choice(TOKENS) + data[end:]
        elif change == 3:
            data = data[:at] + data[end:]
        elif change == 4:
            data = data[:at]
        elif change == 5:
            data = data[:end] + data[at:end] * rng.choice((1, 3)) + data[end:]
        elif change == 6:
            start = rng.randrange(len(other) + 1)
            data = data[:at] + other[start : start + rng.choice((1, 30, len(other)))] + data[end:]
        else:
            data = data[:at] + rng.randbytes(min(end - at, 100)) + data[end:]
    return data


def mutate_tree(rng: Random, value: Any, values: tuple[Any, ...] = VALUES) -> Any:
    """Return a copy of nested dicts and lists with a value replaced, removed, added, renamed, moved or repeated."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.08:
        return rng.choice(values)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(value[key], dict | list) and rng.random() < 0.7:
        copy = value.copy()
        copy[key] = mutate_tree(rng, value[key], values)
        return copy
    change = rng.randrange(6)
    if isinstance(value, list):
        others = [*value[:key], *value[key + 1 :]]
        return (
            [*value[:key], mutate_tree(rng, value[key], values), *value[key + 1 :]],
            others,
            [*value, rng.choice(values)],
            [*others, value[key]],
            value + value,
            value[:key],
        )[change]
    rest = {name: item for name, item in value.items() if name != key}
    other = rng.choice(list(value))
    return (
        {**value, key: rng.choice(values)},
        rest,
        {**value, rng.choice(("", "a", "x" * 300, "\0", "0", "__metadata__", "version")): rng.choice(values)},
        {**rest, rng.choice(("", "a", f"{key}2", "__metadata__")): value[key]},
        {**value, key: value[other]},
        {**value, key: [value[key]]},
    )[change]


def mutate_json(rng: Random, text: bytes) -> bytes:
    """Return the JSON `text` with a changed structure, or with changed bytes; sometimes with a key twice."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, text, text)
    value = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = mutate_tree(rng, value)
    changed = json.dumps(value).encode()
    if rng.random() < 0.05 and changed.startswith(b"{") and len(changed) > 2:
        changed = changed[:-1] + b", " + changed[1:]
    return mutate_bytes(rng, changed, text) if rng.random() < 0.1 else changed
