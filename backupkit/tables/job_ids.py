"""Ids of jobs as a history keeps them, and the digest of a job list."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

__all__ = ["MAX_ID_LENGTH", "digest_job_list", "to_stored_id", "to_stored_text"]

MAX_ID_LENGTH: Final = 400
"""Characters of a job's id; an index of PostgreSQL holds 2,700 bytes."""


def to_stored_id(text: str) -> str:
    """Return a job's id as it is stored.

    PostgreSQL stores no NUL in a text and no long text in an index. So a NUL is replaced, and a
    long id becomes its beginning and a SHA-256. Both databases store the same.
    """
    if len(text) > MAX_ID_LENGTH:
        digest = sha256(text.encode()).hexdigest()
        text = f"{text[: MAX_ID_LENGTH - len(digest) - 1]}~{digest}"
    return to_stored_text(text)


def to_stored_text(text: str) -> str:
    """Return a text as it is stored: with a sign instead of a NUL."""
    return text.replace("\0", "\ufffd")


def digest_job_list(ids: Iterable[str]) -> str:
    """Return the SHA-256 of the ids on a job list, in any order, as they are stored.

    Each id is a line. A line break in an id counts as a NUL, which no stored id has, so that no two
    lists have the same lines.

    Examples
    --------
    >>> digest_job_list(["2", "1"]) == digest_job_list(["1", "2"])
    True
    """
    lines = sorted(to_stored_id(one).replace("\n", "\0") for one in ids)
    return sha256("\n".join(lines).encode()).hexdigest()
