"""Consent to run the code of a run folder, and the bytes of that code.

A file that the user names (``--cell mine.py:Mine``) is run. The copy in a run folder, ``cell.py``, is run only if the
user says so (``--trust``), or if this user has trained with the same bytes: then the cache folder, which only the user
can write, holds a file ``trusted/<SHA-256>``.
"""

from __future__ import annotations

import hashlib
import os
import warnings

from ..base import cache_folder
from ..base.files import read_regular
from ..errors import ArgumentError

# What is checked or copied is what is executed: the bytes of each file by its path, as they were read last. The code of
# a run without consent is None.
_of_users: dict[str, bytes] = {}
_of_runs: dict[str, bytes | None] = {}


def admit(path: str | os.PathLike[str], *, trust: bool) -> bytes:
    """Read the ``cell.py`` of a run and return it; `code_to_run` raises unless it is trusted.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    code = read_regular(path, "Run.open")
    _of_runs[os.path.realpath(path)] = code if trust or _is_recorded(code) else None
    return code


def code_to_run(path: str | os.PathLike[str], caller: str = "TrainingConfig.cell") -> bytes:
    """Return the bytes of a file of code; `caller` prefixes messages.

    Raises
    ------
    ArgumentError
        If it is the code of a run without consent.
    CheckpointError
        If it cannot be read.
    """
    key = os.path.realpath(path)
    if key not in _of_runs:
        _of_users[key] = read_regular(path, caller)
        return _of_users[key]
    code = _of_runs[key]
    if code is None:
        raise ArgumentError(
            f"{caller}: expected consent to run the code in '{path}', which this user has not trained with; read that "
            "file, then pass --trust (in Python: Run.open(..., trust=True))."
        )
    return code


def code_that_ran(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file of code that `code_to_run` returned last."""
    key = os.path.realpath(path)
    return _of_runs.get(key) or _of_users.get(key) or code_to_run(path)


def record(code: bytes) -> None:
    """Note that the user has trained with this code; warn if the cache folder cannot be used."""
    try:
        folder = cache_folder.prepare() / "trusted"
        folder.mkdir(mode=0o700, exist_ok=True)
        cache_folder.write(folder / _digest(code), b"")
    except OSError as error:
        warnings.warn(
            f"Run.create: expected to note in the cache folder that you trust this cell, got: {error}; --trust will be "
            "needed to use the run.",
            RuntimeWarning,
            stacklevel=3,
        )


def _is_recorded(code: bytes) -> bool:
    try:
        cache_folder.read(cache_folder.prepare() / "trusted" / _digest(code))
    except OSError:
        return False
    return True


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()
