"""Texts as numbers, which numpy compares and sorts many times as quickly."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["AT_ONCE", "BITS", "Numbers", "numbers_of", "room"]

Numbers = npt.NDArray[np.uint64]

AT_ONCE: Final = 1 << 15
"""Rows that are looked at at once: what is made of them fits a processor's cache."""

_TEXT: Final = pa.large_string()
_WORD: Final = 8  # bytes
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 by the golden ratio: to multiply by it carries each bit of a word to many others."""

BITS: Final = 48
"""Of a job's number; the other 16 bits tell its appliance."""


def numbers_of(ids: pa.Array) -> Numbers:
    """Give each text as a number of `BITS` bits, a hash: to look each up would take far longer.

    Parameters
    ----------
    ids : StringArray or LargeStringArray
        None of them missing.

    Returns
    -------
    ndarray of uint64
        Of one call, the same text has the same number. That different texts have one is rare, and
        for the caller to notice.

    Examples
    --------
    >>> one, other, again = numbers_of(pa.array(["20260301-0400", "1", "20260301-0400"]))
    >>> bool(one == again), bool(one == other)
    (True, False)
    """
    if len(ids) and pc.min(pc.binary_length(ids)).as_py() < _WORD:
        padding, nothing = (pa.scalar(text, _TEXT) for text in (_WORD * "\0", ""))
        ids = pc.binary_join_element_wise(ids.cast(_TEXT), padding, nothing)
    numbers: Numbers = room(len(ids), np.uint64)
    for begin in range(0, len(ids), AT_ONCE):
        numbers[begin : begin + AT_ONCE] = _hashed(ids.slice(begin, AT_ONCE))
    return numbers


def _hashed(texts: pa.Array) -> Numbers:
    """Give the hash of each text, of a word at least; its last word may overlap the one before."""
    _, offsets, letters = texts.buffers()
    kind: npt.DTypeLike = np.int32 if pa.types.is_string(texts.type) else np.int64
    ends = np.frombuffer(offsets, kind, texts.offset + len(texts) + 1)[texts.offset :]
    begins, size, last = ends[:-1], np.diff(ends), ends[1:] - _WORD
    words = np.ndarray((letters.size - _WORD + 1,), np.uint64, letters, strides=(1,))
    hashed: Numbers = size.astype(np.uint64)
    for passed in range(0, int(size.max()), _WORD):
        # a text's hash is of its own words alone, whatever it lies beside
        some = slice(None) if passed < size.min() else np.flatnonzero(size > passed)
        mixed = hashed[some] ^ words[np.minimum(begins[some] + passed, last[some])]
        mixed *= _SPREAD
        hashed[some] = mixed ^ (mixed >> np.uint64(29))
    return (hashed * _SPREAD) >> np.uint64(64 - BITS)


def room(length: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Give room for an array, of Arrow's memory, which Arrow keeps for the next time.

    What the system gives anew may take longer to get than to fill.
    """
    dtype = np.dtype(dtype)
    return np.frombuffer(pa.allocate_buffer(length * dtype.itemsize), dtype)
