"""Files of token indices: .npy files of the narrowest unsigned dtype, written as a stream, read as a memory map.

A reader that knows the number of tokens and their SHA-256 needs no parser: it compares the header byte by byte with the
one that `TokenWriter` writes. So a foreign or tampered file cannot do harm, and a file that a power failure damaged is
not accepted, so that none has to be synced to disk.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..base.files import open_file

Tokens = NDArray[np.unsignedinteger[Any]]

HEADER = 128
_DTYPES = tuple(np.dtype(code) for code in ("|u1", "<u2", "<u4"))
_CHUNK = 1 << 20


class TokenWriter:
    """Write indices to a binary file.

    Parameters
    ----------
    file : binary file
        An empty file, or an `io.BytesIO`.
    size : int
        The size of the vocabulary; it decides on the dtype.

    Attributes
    ----------
    dtype : dtype
        uint8 up to 256 tokens, else uint16 or uint32.
    count : int
        The number of indices so far.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> writer = TokenWriter(file, size=40)
    >>> writer.write(np.array([3, 4, 2]))
    >>> digest = writer.finish()
    >>> np.load(io.BytesIO(file.getvalue()), allow_pickle=False)
    array([3, 4, 2], dtype=uint8)
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.dtype = next(dtype for dtype in _DTYPES if size - 1 <= np.iinfo(dtype).max)
        self.count = 0
        self._file, self._digest = file, hashlib.sha256()
        file.write(bytes(HEADER))

    def write(self, indices: NDArray[np.int64]) -> None:
        """Append indices below the size of the vocabulary."""
        data = indices.astype(self.dtype).data
        self._file.write(data)
        self._digest.update(data)
        self.count += len(indices)

    def finish(self) -> str:
        """Write the header, and return the SHA-256 of the indices."""
        self._file.seek(0)
        self._file.write(_header(self.dtype, self.count))
        return self._digest.hexdigest()


def open_tokens(path: Path, count: int, sha256: str) -> Tokens | None:
    """Return the indices in a file of `TokenWriter` as a read-only memory map, or None if they are not the expected.

    Parameters
    ----------
    path : Path
        The file, which may be missing or hold anything.
    count : int
        How many indices are expected.
    sha256 : str
        Their SHA-256 in hexadecimal; the whole file is read to compare it, but does not stay in memory.

    Returns
    -------
    ndarray of uint8, uint16 or uint32, shape (count,), or None
        The indices.
    """
    digest = hashlib.sha256()
    try:
        with open_file(path) as file:
            header = file.read(HEADER)
            dtype = next((dtype for dtype in _DTYPES if header == _header(dtype, count)), None)
            if dtype is None or os.fstat(file.fileno()).st_size != HEADER + count * dtype.itemsize:
                return None
            while data := file.read(_CHUNK):
                digest.update(data)
            return np.memmap(file, dtype, "r", HEADER, (count,)) if digest.hexdigest() == sha256 else None
    except (OSError, ValueError):  # ValueError: a NUL in the path, or no tokens
        return None


def _header(dtype: np.dtype[Any], count: int) -> bytes:
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({count},), }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + f"{text:<{HEADER - 11}}\n".encode()
