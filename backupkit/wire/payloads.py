"""The API's payloads, typed: what both flavours mean, and what they send."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "Details",
    "ErrorAnswer",
    "ErrorBody",
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
]

T = TypeVar("T")


class Flavour(StrEnum):
    """Which of the two REST flavours an appliance answers."""

    API = "api"
    REST = "rest"


Time = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Argument = str | int | float | bool | None
"""What a message may be filled in with; the API promises text, a number does no harm."""


class Message(Struct, frozen=True, gc=False):
    """What an appliance says, to be shown to a person."""

    id: str = ""
    default_message: str = ""
    args: list[Argument] = msgspec.field(default_factory=list)
    localized: str | None = None


class Job(Struct, frozen=True, gc=False):
    """One backup job, whichever endpoint told of it; its fields are columns of observations.

    Attributes
    ----------
    job_id : str
        The appliance's own id.
    state : str
        FAILED, INPROGRESS, NONE, SUCCEEDED, or a word never seen before.
    status : str
        The raw word.
    progress : float or None
        0 to 100 [%]; None where the appliance tells anything else.
    start_time, end_time : datetime or None
        [UTC]
    messages : tuple of Message
        What it said.
    source : str
        ``job`` or ``details``.
    type, location, build : str or None
        Only details tell.
    size : int or None
        Data sent to the target [bytes]; only details tell.
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


class Schedule(Struct, frozen=True, kw_only=True):
    """When and where an appliance is told to back itself up."""

    enable: bool
    location: str
    parts: list[str]
    recurrence_info: "Recurrence | None" = None
    retention_info: "Retention | None" = None


class Recurrence(Struct, frozen=True):
    """The time of day, in the appliance's own zone."""

    hour: Annotated[int, Meta(ge=0, le=23)]
    minute: Annotated[int, Meta(ge=0, le=59)]
    days: list[str] | None = None


class Retention(Struct, frozen=True):
    """How many backups are kept."""

    max_count: Count


class ErrorAnswer(Struct, frozen=True):
    """What is left of an error body: its type and its first message."""

    error_type: str = ""
    message_id: str = ""
    text: str = ""


class JobStatus(Struct, gc=False):
    """The answer to ``GET backup/job/{id}``."""

    id: str
    state: str
    messages: tuple[Message, ...]
    progress: float
    start_time: Time
    end_time: Time | None = None


class Progress(Struct, gc=False):
    """How far a job is, as details tell it."""

    total: float
    completed: float


class Build(Struct, gc=False):
    """What the appliance was at the time."""

    build_number: str | None = None


class Details(Struct, gc=False):
    """One record of ``GET backup/job/details``."""

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
    """The answer to ``GET system/version``."""

    version: str


class Value(Struct, Generic[T]):
    """The envelope of every value below ``/rest``."""

    value: T


class Pair(Struct, Generic[T], gc=False):
    """One entry of a map below ``/rest``."""

    key: str
    value: T


class LegacyMessage(Struct):
    """A message of the oldest error bodies."""

    id: str = ""
    defaultMessage: str = ""  # noqa: N815 # the wire's own spelling


class ErrorValue(Struct):
    """What a ``/rest`` error wraps."""

    error_type: str | None = None
    messages: list[Message] = msgspec.field(default_factory=list)


class ErrorBody(Struct):
    """All three shapes of an error body at once."""

    error_type: str | None = None
    messages: list[Message] = msgspec.field(default_factory=list)
    type: str = ""
    value: ErrorValue | None = None
    localizableMessages: list[LegacyMessage] = msgspec.field(default_factory=list)  # noqa: N815 # the wire's own spelling
