"""Typed payloads: types common to both flavours, and the JSON of each."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from backupkit.texts import mask_user

__all__ = [
    "ENDED",
    "STARTED",
    "Argument",
    "Count",
    "Details",
    "Flavour",
    "Job",
    "JobStatus",
    "Message",
    "Node",
    "Pair",
    "Recurrence",
    "Retention",
    "Schedule",
    "Time",
    "Value",
    "Version",
    "change_texts",
    "complete_job",
    "job_columns",
    "job_of",
    "message_to_dict",
]

T = TypeVar("T")


class Flavour(StrEnum):
    """REST flavour of an appliance."""

    API = "api"
    REST = "rest"


Time = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Word = Annotated[str, Meta(pattern=r"\S")]
Argument = str | int | float | bool | None
"""Argument of a message; the API documents text, but other scalars are accepted."""


class Message(Struct, frozen=True, gc=False):
    """Message of an appliance to its user."""

    id: str = ""
    default_message: str = ""
    args: list[Argument] = msgspec.field(default_factory=list)
    localized: str | None = None


ENDED: Final = frozenset({"SUCCEEDED", "FAILED"})
"""States of a job that has ended."""

STARTED: Final = ENDED | {"RUNNING", "INPROGRESS"}
"""States of a job that has a start."""

_STATE_BY_STATUS: Final = {"RUNNING": "INPROGRESS", "PENDING": "NONE", "BLOCKED": "NONE"}
_KNOWN_STATUSES: Final = STARTED | {"NONE", *_STATE_BY_STATUS}


class Job(Struct, frozen=True, gc=False):
    """Backup job from any endpoint; its fields are columns of observations.

    Attributes
    ----------
    state : str or None
        FAILED, INPROGRESS, NONE, SUCCEEDED, or an unknown word; None if it could not be read.
    status : str or None
        State as sent by the appliance.
    progress : float or None
        0 to 100 [%]; None if missing or invalid.
    start_time, end_time : datetime or None
        [UTC]
    source : str
        Endpoint: ``job`` or ``details``; only details have the fields below.
    size : int or None
        Data sent to the target [bytes].
    read_error : str or None
        Why the job, or its state or one of its times, could not be read.
    """

    job_id: str
    state: str | None
    status: str | None
    progress: float | None
    start_time: datetime | None
    end_time: datetime | None
    messages: tuple[Message, ...]
    source: str
    type: str | None = None
    size: int | None = None
    location: str | None = None
    build: str | None = None
    read_error: str | None = None


class Node(Struct, frozen=True, gc=False):
    """Node of an SSO domain.

    Attributes
    ----------
    node : str
        Name or address of the node.
    type : str
        VCSA_EMBEDDED, VCSA_EXTERNAL, PSC_EXTERNAL, or an unknown word; empty if it is missing.
    """

    node: str
    type: str = ""


def job_of(  # noqa: PLR0913 # the fields of a job
    job_id: str,
    *,
    status: str | None,
    completed: float | None,
    total: float | None,
    start_time: datetime | None,
    end_time: datetime | None,
    messages: tuple[Message, ...],
    source: str,
    type: str | None = None,  # noqa: A002 # as the column
    size: int | None = None,
    location: str | None = None,
    build: str | None = None,
    read_error: str | None = None,
) -> Job:
    """Return a job from the values of a response.

    Progress is ``completed`` of ``total``. A job that has started and has no start has a read
    error, and so has one with a time that no calendar has in UTC.
    """
    problems = [read_error] if read_error else []
    if start_time is None and status in STARTED and not read_error:
        problems.append("start_time is missing")
    times: list[datetime | None] = []
    for name, time in (("start_time", start_time), ("end_time", end_time)):
        try:
            times.append(time if time is None or time.tzinfo is UTC else time.astimezone(UTC))
        except OverflowError:  # year 1 or 9999 with an offset
            times.append(None)
            problems.append(f"{name} is out of range")
    percent = None
    if completed is not None and total and 0 <= completed <= total and isfinite(total):
        percent = min(100 * completed / total, 100)
    return Job(
        job_id,
        None if status is None else _STATE_BY_STATUS.get(status, status),
        status,
        percent,
        times[0],
        times[1],
        tuple(map(_mask_users, messages)),
        source,
        type or None,
        size,
        mask_user(location) if location else None,
        build or None,
        ", ".join(problems) or None,
    )


def _mask_users(message: Message) -> Message:
    """Mask user and password in the URIs of a message."""
    texts = (message.default_message, message.localized, *message.args)
    has_user = any(isinstance(text, str) and "@" in text for text in texts)
    return cast("Message", change_texts(message, mask_user)) if has_user else message


def change_texts(decoded: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 # any payload
    """Return a decoded payload with each of its texts changed, except ids, names and known states.

    Examples
    --------
    >>> job = Job("a", "FAILED", "FAILED", None, None, None, (Message("m", "Disk a."),), "job")
    >>> changed = change_texts(job, str.upper)
    >>> changed.job_id, changed.messages[0].default_message
    ('a', 'DISK A.')
    """
    match decoded:
        case str():
            return change(decoded)
        case list() | tuple():
            return type(decoded)(change_texts(item, change) for item in decoded)
        case dict():
            return {key: change_texts(item, change) for key, item in decoded.items()}
        case Message():
            names = ["default_message", "args", "localized"]
        case Schedule():
            names = ["location"]
        case Node():
            names = ["type"]
        case Job():
            names = ["messages", "type", "location", "build"]
            names += ["status", "state"] if decoded.status not in _KNOWN_STATUSES else []
        case _:
            return decoded
    changed = {name: change_texts(getattr(decoded, name), change) for name in names}
    return replace(decoded, **changed)


def complete_job(job: Job, details: Job) -> Job:
    """Return a job of job/{id} with what only its details have, or could be read of.

    It has no read error if both together have its state and its times.

    Examples
    --------
    >>> job = Job("a", "FAILED", "FAILED", 100.0, None, None, (), "job")
    >>> details = Job("a", None, None, None, None, None, (), "details", size=7, read_error="odd")
    >>> completed = complete_job(job, details)
    >>> completed.state, completed.size, completed.read_error
    ('FAILED', 7, None)
    """
    missing = {
        name: getattr(details, name)
        for name in Job.__struct_fields__
        if name != "read_error" and getattr(job, name) is None
    }
    completed = replace(job, **missing, messages=job.messages or details.messages)
    lacks_start = completed.status in STARTED and completed.start_time is None
    lacks_end = completed.status in ENDED and completed.end_time is None
    is_complete = completed.status is not None and not lacks_start and not lacks_end
    return replace(completed, read_error=None) if is_complete else completed


def job_columns(jobs: Sequence[Job]) -> dict[str, list[Any]]:
    """Return jobs as columns: each field of `Job`, with messages as lists of dicts.

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
        [message_to_dict(message) for message in messages] if messages else ()
        for messages in columns["messages"]
    ]
    return columns


def message_to_dict(message: Message) -> dict[str, Any]:
    """Return a message as a value of the column ``messages``."""
    return {
        "id": message.id,
        "default_message": message.default_message,
        "args": [str(argument) for argument in message.args],
        "localized": message.localized,
    }


class Schedule(Struct, frozen=True, kw_only=True):
    """Backup schedule of an appliance.

    Attributes
    ----------
    parts : list of str or None
        Optional parts that it saves; common is always saved.
    read_error : str or None
        Why the schedule, or a part of it, could not be read; what could be read is kept.
    """

    enable: bool | None = None
    location: str | None = None
    parts: list[str] | None = None
    recurrence_info: "Recurrence | None" = None
    retention_info: "Retention | None" = None
    read_error: str | None = None


class Recurrence(Struct, frozen=True):
    """Time of day and weekdays of a schedule, in the appliance's time zone."""

    hour: int | None
    minute: int | None
    days: list[str] | None = None


class Retention(Struct, frozen=True):
    """Retention of a schedule: number of backups to keep; 0 keeps all."""

    max_count: int


class JobStatus(Struct, gc=False):
    """Response to ``GET backup/job/{id}``."""

    id: str
    state: Word
    messages: tuple[Message, ...]
    progress: float
    start_time: Time
    end_time: Time | None = None


class Progress(Struct, gc=False):
    """Progress of a job in the details."""

    total: float
    completed: float


class Build(Struct, gc=False):
    """Build of the appliance when the job ran."""

    build_number: str | None = None


class Details(Struct, gc=False):
    """Record of ``GET backup/job/details``."""

    status: Word
    type: str
    messages: tuple[Message, ...]
    location: str
    progress: Progress | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    size: Count | None = None
    build: Build | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class Version(Struct):
    """Response to ``GET system/version``."""

    version: str


class Value(Struct, Generic[T]):
    """Envelope of every value below ``/rest``."""

    value: T


class Pair(Struct, Generic[T], gc=False):
    """Entry of a map below ``/rest``."""

    key: str
    value: T
