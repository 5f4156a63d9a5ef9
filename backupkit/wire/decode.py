"""Decoders for the response bodies of an appliance."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from backupkit.errors import PayloadError, one_line
from backupkit.wire.payloads import (
    Details,
    Flavour,
    Job,
    JobStatus,
    Pair,
    Schedule,
    Value,
    Version,
)

__all__ = [
    "DECODE_EXCEPTIONS",
    "DecodeErrors",
    "decode_details",
    "decode_job",
    "decode_job_ids",
    "decode_schedules",
    "decode_text",
    "decode_version",
    "payload_error",
]

T = TypeVar("T")

DecodeErrors: TypeAlias = dict[str, PayloadError]
"""Errors of items that cannot be decoded, by id or name; "" stands for items without one."""

DECODE_EXCEPTIONS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Exceptions that decoding can raise."""

_STATE_BY_STATUS: Final = {"RUNNING": "INPROGRESS", "PENDING": "NONE", "BLOCKED": "NONE"}


def _decoders(kind: Any) -> dict[Flavour, msgspec.json.Decoder[Any]]:  # noqa: ANN401 # a type form
    return {
        Flavour.API: msgspec.json.Decoder(kind),
        Flavour.REST: msgspec.json.Decoder(Value[kind]),
    }


_TEXT = _decoders(str)
_IDS = _decoders(list[str])
_JOB = _decoders(JobStatus)
_VERSION = _decoders(Version)
_DETAILS = _decoders(dict[str, Details] | list[Pair[Details]])
_RAW_MAP = _decoders(dict[str, msgspec.Raw] | list[msgspec.Raw])
_ONE_PAIR = msgspec.json.Decoder(Pair[msgspec.Raw])
_ONE_DETAILS = msgspec.json.Decoder(Details)
_ONE_SCHEDULE = msgspec.json.Decoder(Schedule)


def payload_error(what: str, body: bytes, error: Exception) -> PayloadError:
    """Return the error for a body that cannot be decoded, without quoting the body.

    Examples
    --------
    >>> payload_error("the job list", b"", msgspec.DecodeError()).problem
    'the job list is empty'
    """
    start = body.lstrip()[:1]
    if not start:
        return PayloadError(f"{what} is empty")
    if start == b"<":
        return PayloadError(f"{what} is HTML and not JSON")
    if isinstance(error, msgspec.ValidationError):
        return PayloadError(f"{what} does not follow the API: {str(error).replace('`', '')}")
    return PayloadError(f"{what} is not valid JSON: it is truncated or damaged")


def _decode(
    decoders: Mapping[Flavour, msgspec.json.Decoder[Any]], body: bytes, flavour: Flavour, what: str
) -> Any:  # noqa: ANN401 # depends on the decoder
    try:
        decoded = decoders[flavour].decode(body)
    except DECODE_EXCEPTIONS as error:
        raise payload_error(f"the response to {what}", body, error) from error
    return decoded.value if flavour is Flavour.REST else decoded


def decode_text(body: bytes, flavour: Flavour, what: str) -> str:
    """Decode a text value, a session token or a time zone; `what` names it in errors.

    Examples
    --------
    >>> decode_text(b'{"value": "Etc/UTC"}', Flavour.REST, "the time zone")
    'Etc/UTC'
    """
    text: str = _decode(_TEXT, body, flavour, what)
    return text


def decode_job_ids(body: bytes, flavour: Flavour) -> list[str]:
    """Decode the job list, the body of ``GET backup/job``: each id once, in its order.

    Examples
    --------
    >>> decode_job_ids(b'["20260103-085630-24322831"]', Flavour.API)
    ['20260103-085630-24322831']
    """
    return list(dict.fromkeys(_decode(_IDS, body, flavour, "the job list")))


def decode_job(body: bytes, flavour: Flavour, job_id: str | None = None) -> Job:
    """Decode the status of one job, the body of ``GET backup/job/{id}``.

    The requested `job_id` becomes the job's key; without it, the id in the body.
    """
    what = "a job" if job_id is None else f"job {one_line(job_id)}"
    status: JobStatus = _decode(_JOB, body, flavour, what)
    if job_id is None:
        job_id = status.id
    return Job(
        job_id,
        _STATE_BY_STATUS.get(status.state, status.state),
        status.state,
        _percent(status.progress, 100),
        _utc(status.start_time, job_id),
        _utc(status.end_time, job_id),
        status.messages,
        "job",
    )


def decode_details(body: bytes, flavour: Flavour) -> tuple[list[Job], DecodeErrors]:
    """Decode the body of ``GET backup/job/details``; return jobs, and errors by job id."""
    decode_errors: DecodeErrors = {}
    try:
        decoded = _decode(_DETAILS, body, flavour, "the job details")
        records = (
            decoded if isinstance(decoded, dict) else {pair.key: pair.value for pair in decoded}
        )
    except PayloadError:  # one invalid record must not hide the others
        records, decode_errors = _decode_each(
            body, flavour, _ONE_DETAILS, "the job details", "the record of job"
        )
    jobs = []
    for job_id, details in records.items():
        try:
            jobs.append(_from_details(job_id, details))
        except PayloadError as error:
            decode_errors[job_id] = error
    return jobs, decode_errors


def decode_schedules(body: bytes, flavour: Flavour) -> tuple[dict[str, Schedule], DecodeErrors]:
    """Decode the body of ``GET backup/schedules``; return schedules and errors, both by name."""
    return _decode_each(body, flavour, _ONE_SCHEDULE, "the schedules", "the schedule")


def decode_version(body: bytes, flavour: Flavour) -> str:
    """Decode the version from ``GET system/version``, for example ``8.0.3.00400``."""
    version: Version = _decode(_VERSION, body, flavour, "the version")
    return version.version


def _decode_each(
    body: bytes, flavour: Flavour, decoder: msgspec.json.Decoder[T], what: str, each: str
) -> tuple[dict[str, T], DecodeErrors]:
    """Decode a map entry by entry; return the valid entries and the errors, both by key."""
    decoded: dict[str, T] = {}
    decode_errors: DecodeErrors = {}
    entries = _decode(_RAW_MAP, body, flavour, what)
    if not isinstance(entries, dict):
        pairs = []
        for raw in entries:
            try:
                pair = _ONE_PAIR.decode(raw)
            except DECODE_EXCEPTIONS as error:
                name = f"an entry of {what} without a usable key"
                decode_errors[""] = payload_error(name, bytes(raw), error)
            else:
                pairs.append((pair.key, pair.value))
        if decode_errors and not pairs:
            raise PayloadError(
                f"the response to {what} does not follow the API: no entry has a key"
            )
        entries = dict(pairs)
    for key, raw in entries.items():
        try:
            decoded[key] = decoder.decode(raw)
        except DECODE_EXCEPTIONS as error:
            decode_errors[key] = payload_error(f"{each} {one_line(key)}", bytes(raw), error)
    return decoded, decode_errors


def _from_details(job_id: str, details: Details) -> Job:
    progress, status = details.progress, details.status
    return Job(
        job_id,
        _STATE_BY_STATUS.get(status, status),
        status,
        _percent(progress.completed, progress.total) if progress else None,
        _utc(details.start_time, job_id),
        _utc(details.end_time, job_id),
        details.messages,
        "details",
        details.type,
        details.size,
        details.location,
        details.build.build_number if details.build else None,
    )


def _percent(completed: float, total: float) -> float | None:
    """Return the progress [%]; None if the numbers are invalid."""
    return 100 * completed / total if 0 <= completed <= total != 0 else None


def _utc(time: datetime | None, job_id: str) -> datetime | None:
    if time is None or time.tzinfo is UTC:
        return time
    try:
        return time.astimezone(UTC)
    except OverflowError as error:  # year 1 or 9999 with an offset
        raise PayloadError(
            f"the record of job {one_line(job_id)} has a time out of range: {time}"
        ) from error
