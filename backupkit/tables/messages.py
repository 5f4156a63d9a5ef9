"""Messages of jobs as texts, by Arrow: a list of messages in each cell becomes one text."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["find_offsets", "join_items", "join_messages", "readable_messages"]

_TEXT: Final = pa.large_string()
_MOST_READABLE_FIRST: Final = ("localized", "default_message", "id")


def join_messages(messages: pa.Array) -> pa.Array:
    r"""Return the messages of each job, one on each line; missing without any.

    Examples
    --------
    >>> message = {"id": "a", "default_message": "Disk full", "args": [], "localized": None}
    >>> from backupkit.tables.dtypes import MESSAGES
    >>> join_messages(pa.array([[message, message], []], MESSAGES.pyarrow_dtype)).to_pylist()
    ['Disk full\nDisk full', None]
    """
    texts = join_items(*readable_messages(messages), "\n")
    return pc.if_else(pc.equal(texts, ""), None, texts)


def readable_messages(messages: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Return the texts of all messages, and where those of each job start, and the last end.

    A text is the translated one, else the untranslated one, else the id. Empty messages are left
    out.
    """
    items = messages.flatten()
    columns = dict(zip((field.name for field in items.type), items.flatten(), strict=True))
    texts = pc.coalesce(
        *(
            pc.if_else(pc.equal(columns[name], ""), None, columns[name])
            for name in _MOST_READABLE_FIRST
        )
    ).cast(_TEXT)
    is_readable = texts.is_valid()
    counts = np.concatenate([[0], np.cumsum(is_readable.to_numpy(zero_copy_only=False))])
    return texts.filter(is_readable), counts[find_offsets(messages)]


def find_offsets(values: pa.Array) -> npt.NDArray[np.int64]:
    """Return where the items of each list start, in `values.flatten()`, and where the last end."""
    lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)], dtype=np.int64)


def join_items(items: pa.Array, offsets: npt.NDArray[np.int64], separator: str) -> pa.Array:
    """Join the texts of each list."""
    lists = pa.LargeListArray.from_arrays(offsets, items)
    return pc.binary_join(lists, pa.scalar(separator, _TEXT))
