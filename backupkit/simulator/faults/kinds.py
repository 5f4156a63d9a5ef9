"""Kinds of faults and their routes: one table for help, errors and tests."""

import dataclasses
from typing import Literal

Group = Literal["connection", "body", "status", "content"]

SESSION = ("log-in", "log-out")
DATA = ("list", "job", "details", "schedules", "version", "timezone", "other")
ROUTES = (*SESSION, *DATA)
JOBS = ("list", "job", "details")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """Kind of a fault.

    Attributes
    ----------
    group : str
        What is wrong: the connection, the body, the status, or the content of jobs.
    about : str
        Sentence that describes the effect on a client.
    routes : tuple of str
        Routes to which the kind can apply.
    """

    group: Group
    about: str
    routes: tuple[str, ...] = ROUTES


KINDS = {
    "reset": Kind("connection", "The connection is dropped before an answer."),
    "reset_body": Kind("connection", "The connection is reset in the middle of the body."),
    "drip": Kind("connection", "The body comes byte by byte, with pauses."),
    "drip_headers": Kind("connection", "The headers come byte by byte, with pauses."),
    "slow": Kind("connection", "The answer is right, and late."),
    "silence": Kind("connection", "No answer comes, and the connection stays open."),
    "garbage": Kind("connection", "The answer is not HTTP."),
    "truncated": Kind("body", "Fewer bytes come than Content-Length says."),
    "cut": Kind("body", "Content-Length is right, and the JSON ends in its middle."),
    "empty": Kind("body", "The status is 200, and there is no body."),
    "html": Kind("body", "A proxy's page comes with status 503."),
    "page": Kind("body", "A page for people comes with status 200."),
    "invalid_utf8": Kind("body", "A string in the JSON is not UTF-8."),
    "content_type": Kind("body", "The JSON is right, and called text/plain."),
    "huge": Kind("body", "The JSON is right, and megabytes of blanks follow it."),
    "bomb": Kind("body", "As huge, and gzip makes it small on the wire."),
    "deep": Kind("body", "The JSON is nested far too deeply."),
    "error": Kind("status", "500 with an error of the API."),
    "unavailable": Kind("status", "503 with an error of the API, maybe with Retry-After."),
    "bad_gateway": Kind("status", "502 with a proxy's plain text."),
    "too_many": Kind("status", "429 with Retry-After."),
    "unauthenticated": Kind("status", "401: the session has ended.", ("log-out", *DATA)),
    "forbidden": Kind("status", "403: the user may not do that."),
    "not_found": Kind("status", "404 with an error of the API."),
    "session_limit": Kind("status", "503: the user has too many sessions.", ("log-in",)),
    "redirect": Kind("status", "302 to another host."),
    "unknown_state": Kind("content", "A job's state is a new word.", ("job", "details")),
    "extra_fields": Kind("content", "A job has fields nobody knows.", ("job", "details")),
    "missing_field": Kind("content", "A job lacks a required field.", ("job", "details")),
    "null_text": Kind("content", "A job has null where text must be.", ("job", "details")),
    "absurd_numbers": Kind("content", "A job's numbers make no sense.", ("job", "details")),
    "zoneless_time": Kind("content", "A job's times have no zone.", ("job", "details")),
    "offset_time": Kind("content", "A job's times end in +0000.", ("job", "details")),
    "second_60": Kind("content", "A job's times have a second 60.", ("job", "details")),
    "duplicate_ids": Kind("content", "A job comes twice.", ("list", "details")),
    "odd_ids": Kind("content", "Job ids have slashes, dots, blanks and worse.", JOBS),
    "gone": Kind("content", "A job is listed, and is nowhere else.", ("job", "details")),
    "undetailed": Kind("content", "A job is missing in the details.", ("details",)),
}


def describe_kinds() -> str:
    """Return all kinds and their sentences, one per line.

    Examples
    --------
    >>> print(describe_kinds().splitlines()[0])
    reset: The connection is dropped before an answer.
    """
    return "\n".join(f"{name}: {kind.about}" for name, kind in KINDS.items())
