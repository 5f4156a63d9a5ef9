"""Many jobs at once, column by column: frames are built so, not job by job."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from backupkit.wire.payloads import Job, Message

__all__ = ["job_columns"]


def job_columns(jobs: Iterable[Job]) -> dict[str, Sequence[Any]]:
    """Turn jobs into columns.

    Parameters
    ----------
    jobs : iterable of Job
        As `decode_job` and `decode_details` give them.

    Returns
    -------
    dict of str to sequence
        Each field of `Job` in the order of the jobs; messages as lists of dicts.

    Examples
    --------
    >>> job = Job("a", "SUCCEEDED", "SUCCEEDED", 100.0, None, None, [Message("m", "Done.")], "job")
    >>> columns = job_columns([job, job])
    >>> columns["job_id"]
    ('a', 'a')
    >>> columns["messages"][0]
    [{'id': 'm', 'default_message': 'Done.', 'args': [], 'localized': None}]
    """
    rows = list(map(msgspec.structs.astuple, jobs))
    names = Job.__struct_fields__
    columns: dict[str, Sequence[Any]] = dict(
        zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True)
    )
    columns["messages"] = [
        [_plain(message) for message in messages] if messages else []
        for messages in columns["messages"]
    ]
    return columns


def _plain(message: Message) -> dict[str, object]:
    return {
        "id": message.id,
        "default_message": message.default_message,
        "args": [str(argument) for argument in message.args],
        "localized": message.localized,
    }
