"""Typed payloads: types common to both flavours, and the JSON of each."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "Details",
    "Flavour",
    "Job",
    "JobStatus",
    "Message",
    "Pair",
    "Recurrence",
    "Retention",
    "Schedule",
    "Value",
    "Version",
    "job_columns",
]

T = TypeVar("T")


class Flavour(StrEnum):
    """REST flavour of an appliance."""

    API = "api"
    REST = "rest"


Time = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Argument = str | int | float | bool | None
"""Argument of a message; the API documents text, but other scalars are accepted."""


class Message(Struct, frozen=True, gc=False):
    """Message of an appliance to its user."""

    id: str = ""
    default_message: str = ""
    args: list[Argument] = msgspec.field(default_factory=list)
    localized: str | None = None


class Job(Struct, frozen=True, gc=False):
    """Backup job from any endpoint; its fields are columns of observations.

    Attributes
    ----------
    state : str
        FAILED, INPROGRESS, NONE, SUCCEEDED, or an unknown word.
    status : str
        State as sent by the appliance.
    progress : float or None
        0 to 100 [%]; None if missing or invalid.
    start_time, end_time : datetime or None
        [UTC]
    source : str
        Endpoint: ``job`` or ``details``; only details have the fields below.
    size : int or None
        Data sent to the target [bytes].
    """

    job_id: str
    state: str
    status: str
    progress: float | None
    start_time: datetime | None
    end_time: datetime | None
    messages: tuple[Message, ...]
    source: str
    type: str | None = None
    size: int | None = None
    location: str | None = None
    build: str | None = None


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
        [_as_dict(message) for message in messages] if messages else ()
        for messages in columns["messages"]
    ]
    return columns


def _as_dict(message: Message) -> dict[str, object]:
    return {
        "id": message.id,
        "default_message": message.default_message,
        "args": [str(argument) for argument in message.args],
        "localized": message.localized,
    }


class Schedule(Struct, frozen=True, kw_only=True):
    """Backup schedule of an appliance."""

    enable: bool
    location: str
    parts: list[str]
    recurrence_info: "Recurrence | None" = None
    retention_info: "Retention | None" = None


class Recurrence(Struct, frozen=True):
    """Time of day and weekdays of a schedule, in the appliance's time zone."""

    hour: Annotated[int, Meta(ge=0, le=23)]
    minute: Annotated[int, Meta(ge=0, le=59)]
    days: list[str] | None = None


class Retention(Struct, frozen=True):
    """Retention of a schedule: number of backups to keep."""

    max_count: Count


class JobStatus(Struct, gc=False):
    """Response to ``GET backup/job/{id}``."""

    id: str
    state: str
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

    status: str
    type: str
    messages: tuple[Message, ...]
    location: str
    progress: Progress | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    size: Count | None = None
    build: Build | None = None


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
