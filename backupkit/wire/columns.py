"""Conversion of jobs to columns; frames are built column by column."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from backupkit.wire.payloads import Job, Message

__all__ = ["job_columns"]


def job_columns(jobs: Sequence[Job]) -> dict[str, list[Any]]:
    """Return jobs as columns.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs from `decode_job` and `decode_details`.

    Returns
    -------
    dict of str to list
        Each field of `Job` in the order of the jobs; messages as lists of dicts.

    Examples
    --------
    >>> messages = (Message("m", "Done."),)
    >>> job = Job("a", "SUCCEEDED", "SUCCEEDED", 100.0, None, None, messages, "job")
    >>> columns = job_columns([job, job])
    >>> columns["job_id"]
    ['a', 'a']
    >>> columns["messages"][0]
    [{'id': 'm', 'default_message': 'Done.', 'args': [], 'localized': None}]
    """
    columns: dict[str, list[Any]] = {
        name: list(map(attrgetter(name), jobs)) for name in Job.__struct_fields__
    }
    columns["messages"] = [
        [_plain(message) for message in messages] if messages else ()
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
