"""Decoders for the response bodies of an appliance."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from backupkit.errors import PayloadError, one_line
from backupkit.wire.lenient import (
    JOB_ID,
    load_json,
    load_pairs,
    read_job,
    read_messages,
    read_schedule,
)
from backupkit.wire.payloads import (
    ENDED,
    Details,
    Flavour,
    Job,
    JobStatus,
    Pair,
    Schedule,
    Value,
    Version,
    job_of,
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


def _decoders(kind: Any) -> dict[Flavour, msgspec.json.Decoder[Any]]:  # noqa: ANN401 # a type form
    return {
        Flavour.API: msgspec.json.Decoder(kind),
        Flavour.REST: msgspec.json.Decoder(Value[kind]),
    }


_TEXT = _decoders(str)
_IDS = _decoders(list[str])
_ANY_IDS = _decoders(list[msgspec.Raw] | str)
_JOB = _decoders(JobStatus)
_VERSION = _decoders(Version)
_DETAILS = _decoders(dict[str, Details] | list[Pair[Details]])
_RAW_MAP = _decoders(dict[str, msgspec.Raw] | list[msgspec.Raw])


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


def decode_job_ids(body: bytes, flavour: Flavour) -> tuple[list[str], DecodeErrors]:
    """Decode the job list, the body of ``GET backup/job``: each id once, in its order.

    Items that are no ids are an error. One id alone, as PowerShell writes a list of one, is a list.

    Examples
    --------
    >>> decode_job_ids(b'["20260103-085630-24322831"]', Flavour.API)
    (['20260103-085630-24322831'], {})
    """
    what = "the job list"
    try:
        return list(dict.fromkeys(_decode(_IDS, body, flavour, what))), {}
    except PayloadError as error:
        try:
            items = _decode(_ANY_IDS, body, flavour, what)
        except PayloadError:
            raise error from None
        if isinstance(items, str):
            if not JOB_ID.fullmatch(items):
                raise
            return [items], {}
    ids = [item for item in map(_load_item, items) if isinstance(item, str) and item]
    odd = len(items) - len(ids)
    text = f"{odd} of {len(items)} items of the job list are no ids"
    return list(dict.fromkeys(ids)), {"": PayloadError(text)}


def decode_job(body: bytes, flavour: Flavour, job_id: str | None = None) -> Job:
    """Decode the status of one job, the body of ``GET backup/job/{id}``.

    The requested `job_id` becomes the job's key; without it, the id in the body. What is odd in the
    state or a time is the job's ``read_error``. A body that is no JSON object raises a
    `PayloadError`, and so does the record of another job.
    """
    what = "a job" if job_id is None else f"job {one_line(job_id)}"
    try:
        status: JobStatus = _decode(_JOB, body, flavour, what)
    except PayloadError:
        record = _load_record(body, flavour)
        if not isinstance(record, dict) or not record.keys() & {"state", "start_time", "id"}:
            raise
        own_id = record.get("id")
        if job_id is None:
            if not isinstance(own_id, str) or not own_id:
                raise
            job_id = own_id
        _check_id(own_id, job_id)
        return read_job(job_id, record, source="job")
    _check_id(status.id, job_id)
    return job_of(
        job_id or status.id,
        status=status.state,
        completed=status.progress,
        total=100,
        start_time=status.start_time,
        end_time=status.end_time,
        messages=status.messages,
        source="job",
    )


def _check_id(own_id: object, job_id: str | None) -> None:
    """Raise if a record is that of another job."""
    if job_id is not None and isinstance(own_id, str) and own_id not in ("", job_id):
        raise PayloadError(
            f"the response to job {one_line(job_id)} is the record of job {one_line(own_id)}"
        )


def _load_record(body: bytes, flavour: Flavour) -> Any:  # noqa: ANN401 # any JSON value
    """Return a value without its envelope, None if it is no JSON."""
    try:
        value = load_json(body)
    except (ValueError, RecursionError):
        return None
    return value.get("value") if flavour is Flavour.REST and isinstance(value, dict) else value


def decode_details(body: bytes, flavour: Flavour) -> tuple[list[Job], DecodeErrors]:
    """Decode the body of ``GET backup/job/details``.

    Returns
    -------
    jobs : list of Job
        Each id once. What is odd in the state or a time of a job is its ``read_error``.
    errors : dict
        Of entries without an id, and of ids that the answer has several times.
    """
    try:
        decoded = _decode(_DETAILS, body, flavour, "the job details")
        pairs = (
            list(decoded.items())
            if isinstance(decoded, dict)
            else [(pair.key, pair.value) for pair in decoded]
        )
        # an object that repeats a key has more records than keys
        if body.count(b'"status"') <= len(pairs):
            return _merge_repeated([_from_details(*pair) for pair in pairs])
    except PayloadError:  # one odd record must not hide the others
        pass
    entries, decode_errors = _decode_entries(body, flavour, "the job details")
    jobs, repeated = _merge_repeated(
        [read_job(job_id, record, source="details") for job_id, record in entries]
    )
    return jobs, decode_errors | repeated


def _merge_repeated(jobs: list[Job]) -> tuple[list[Job], DecodeErrors]:
    """Return each job once: a record that has ended takes precedence, then the later one."""
    by_id: dict[str, Job] = {}
    repeated: DecodeErrors = {}
    for job in jobs:
        other = by_id.get(job.job_id)
        if other is not None:
            text = f"the job details have job {one_line(job.job_id)} several times"
            repeated[job.job_id] = PayloadError(text, advice="The record that has ended counts.")
            if other.status in ENDED and job.status not in ENDED:
                continue
            if other.status in ENDED and job.status != other.status:
                words = " and ".join(sorted((str(other.status), str(job.status))))
                job = replace(job, state=None, status=None, read_error=f"{text}: {words}")  # noqa: PLW2901
        by_id[job.job_id] = job
    return list(by_id.values()), repeated


def decode_schedules(body: bytes, flavour: Flavour) -> tuple[dict[str, Schedule], DecodeErrors]:
    """Decode the body of ``GET backup/schedules``; return schedules by name, and other errors.

    What is odd in a schedule is its ``read_error``.
    """
    entries, decode_errors = _decode_entries(body, flavour, "the schedules")
    return {name: read_schedule(record) for name, record in entries}, decode_errors


def decode_version(body: bytes, flavour: Flavour) -> str:
    """Decode the version from ``GET system/version``, for example ``8.0.3.00400``."""
    version: Version = _decode(_VERSION, body, flavour, "the version")
    return version.version


def _decode_entries(
    body: bytes, flavour: Flavour, what: str
) -> tuple[list[tuple[str, Any]], DecodeErrors]:
    """Decode a map entry by entry; return keys and values, and the error of those without a key."""
    if flavour is Flavour.API and body.lstrip()[:1] == b"{":
        try:
            pairs = load_pairs(body)
        except (ValueError, RecursionError) as error:
            raise payload_error(f"the response to {what}", body, error) from error
        return pairs, {}
    items = _decode(_RAW_MAP, body, flavour, what)
    if isinstance(items, dict):
        return [(key, _load_item(raw)) for key, raw in items.items()], {}
    pairs, without_key = [], 0
    for raw in items:
        item = _load_item(raw)
        key = item.get("key") if isinstance(item, dict) else None
        if isinstance(key, str) and key:
            pairs.append((key, item.get("value")))
        else:
            without_key += 1
    if without_key and not pairs:
        raise PayloadError(f"the response to {what} does not follow the API: no entry has a key")
    text = f"{without_key} of {len(items)} entries of {what} have no usable key"
    return pairs, {"": PayloadError(text)} if without_key else {}


def _load_item(raw: msgspec.Raw) -> Any:  # noqa: ANN401 # any JSON value
    try:
        return load_json(bytes(raw))
    except (ValueError, RecursionError):
        return None


def _from_details(job_id: str, details: Details) -> Job:
    progress, messages = details.progress, details.messages
    if details.status == "FAILED" and details.error != b"null":
        messages += read_messages(_load_item(details.error))
    return job_of(
        job_id,
        status=details.status,
        completed=progress.completed if progress else None,
        total=progress.total if progress else None,
        start_time=details.start_time,
        end_time=details.end_time,
        messages=messages,
        source="details",
        type=details.type,
        size=details.size,
        location=details.location,
        build=details.build.build_number if details.build else None,
    )
