"""How rows lie in the files: by the month in which they were learnt, and by appliance within it.

Two columns beside those of the table's contract tell where a row lies. Only what stores rows reads
them: ``month`` names the folder, and ``shard``, a number made of the appliance's name, is what a
tidied file is sorted by, so that the rows of an appliance lie together.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import WriterProperties

__all__ = ["MONTH", "SHARD", "WRITER", "laid_out", "neighbours", "shard_of", "shards_of"]

MONTH: Final = "month"
"""The column that names the folder, such as 2026-11; in UTC."""

SHARD: Final = "shard"
"""The column that a tidied file is sorted by."""

WRITER: Final = WriterProperties(compression="ZSTD", max_row_group_size=65_536)
"""Small groups of rows: to read one appliance of a large file means to read one of them."""

_SHARDS: Final = 1 << 15


def shard_of(appliance: str) -> int:
    """Give the shard that an appliance's rows are in, 0 to 32,767.

    Examples
    --------
    >>> shard_of("vc-1") == shard_of("vc-1")
    True
    """
    return zlib.crc32(appliance.encode()) % _SHARDS


def shards_of(appliances: Iterable[str]) -> tuple[int, int] | None:
    """Give the first and the last shard of some appliances; None without any."""
    shards = [shard_of(name) for name in appliances]
    return (min(shards), max(shards)) if shards else None


def neighbours(appliances: Iterable[str], pieces: int) -> Iterator[list[str]]:
    """Cut appliances into pieces of about the same size, each of which lies together in the files.

    Examples
    --------
    >>> [len(piece) for piece in neighbours(["vc-1", "vc-2", "vc-3"], 2)]
    [2, 1]
    """
    names = sorted(appliances, key=lambda name: (shard_of(name), name))
    size, rest = divmod(len(names), pieces)
    begin = 0
    for piece in range(pieces):
        until = begin + size + (piece < rest)
        yield names[begin:until]
        begin = until


def laid_out(rows: pa.Table, time: str) -> pa.Table:
    """Add where each row lies, and sort the rows as they will lie.

    Parameters
    ----------
    rows : pyarrow.Table
        With the column ``appliance``.
    time : str
        The column that tells when a row was learnt.

    Returns
    -------
    pyarrow.Table
        With ``month`` and ``shard``.
    """
    encoded = rows["appliance"].cast(pa.string()).combine_chunks().dictionary_encode()
    shards = pa.array([shard_of(name) for name in encoded.dictionary.to_pylist()], pa.int32())
    # "%Y-%m" would be text of every row; a date's first seven letters are the same, and quicker
    months = pc.utf8_slice_codeunits(rows[time].cast(pa.date32()).cast(pa.string()), 0, 7)
    placed = rows.append_column(MONTH, months).append_column(SHARD, shards.take(encoded.indices))
    order = pc.sort_indices(
        placed, [(MONTH, "ascending"), (SHARD, "ascending"), (time, "ascending")]
    )
    return placed.take(order)
