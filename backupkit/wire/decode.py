"""Decoders for the response bodies of an appliance."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar

import msgspec
from msgspec.structs import replace

from backupkit.errors import PayloadError, one_line
from backupkit.wire.lenient import (
    JOB_ID,
    join_messages,
    load_entries,
    load_json,
    read_job,
    read_schedule,
)
from backupkit.wire.payloads import (
    ENDED,
    Details,
    Flavour,
    Job,
    JobStatus,
    Node,
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
    "decode_nodes",
    "decode_schedules",
    "decode_text",
    "decode_version",
    "payload_error",
]

T = TypeVar("T")

DecodeErrors: TypeAlias = dict[str, PayloadError]
"""Errors of items that cannot be decoded, by id or name; "" stands for items without one."""

_ENVELOPE: Final = {"error_type", "localizableMessages", "messages", "type", "value"}
"""Fields of an error body, and of an envelope: no ids or names if their values are no records."""

DECODE_EXCEPTIONS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Exceptions that decoding can raise."""


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
    try:
        items = _decode(_IDS, body, flavour, "the job list")
    except PayloadError:
        items = _load_record(body, flavour)
        if isinstance(items, str) and JOB_ID.fullmatch(items):
            return [items], {}
        if not isinstance(items, list):
            raise
    ids = [item for item in items if _is_key(item)]
    unique = list(dict.fromkeys(ids))
    if len(ids) == len(items):
        return unique, {}
    places = (place for place, item in enumerate(items, start=1) if not _is_key(item))
    return unique, {
        f"item {place}": PayloadError(f"item {place} of the job list is no id") for place in places
    }


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
        if not isinstance(record, dict) or not record.keys() & {"state", "start_time"}:
            raise
        job_id = _check_id(record.get("id"), job_id)
        return read_job(job_id, record, source="job")
    job_id = _check_id(status.id, job_id)
    return job_of(
        job_id,
        status=status.state,
        completed=status.progress,
        total=100,
        start_time=status.start_time,
        end_time=status.end_time,
        messages=status.messages,
        source="job",
    )


def _check_id(own_id: object, job_id: str | None) -> str:
    """Return the id of a job; raise if there is none, or the record is that of another job."""
    if not _is_key(own_id):
        if job_id is None:
            raise PayloadError("the response to a job does not follow the API: it has no usable id")
        return job_id
    if job_id not in (None, own_id):
        raise PayloadError(
            f"the response to job {one_line(job_id)} is the record of job {one_line(own_id)}"
        )
    return own_id


def _load_record(body: bytes, flavour: Flavour) -> Any:  # noqa: ANN401 # any JSON value
    """Return a value without its envelope, None if it is no JSON."""
    try:
        value = load_json(body)
    except (ValueError, RecursionError):
        return None
    if flavour is Flavour.REST:
        return value.get("value") if isinstance(value, dict) else None
    return value


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
        if body.count(b'"status"') <= len(pairs) and all(_is_key(key) for key, _ in pairs):
            return _merge_repeated([_from_details(*pair) for pair in pairs])
    except PayloadError:  # one odd record must not hide the others
        pass
    entries, decode_errors = _decode_entries(body, flavour, "the job details")
    jobs, repeated = _merge_repeated(
        [read_job(job_id, record, source="details") for job_id, record in entries]
    )
    return jobs, decode_errors | repeated


def _merge_repeated(jobs: list[Job]) -> tuple[list[Job], DecodeErrors]:
    """Return each job once, and an error for each that is there several times."""
    records: dict[str, list[Job]] = {}
    for job in jobs:
        records.setdefault(job.job_id, []).append(job)
    repeated: DecodeErrors = {
        job_id: PayloadError(f"the job details have job {one_line(job_id)} several times")
        for job_id, own in records.items()
        if len(own) > 1
    }
    return list(map(_choose_record, records.values())), repeated


def _choose_record(records: list[Job]) -> Job:
    """Return the record of a job that ended, else one that could be read, else the last one.

    Two records that ended differently leave the state unknown.
    """
    best = max(
        reversed(records),
        key=lambda job: (job.status in ENDED, job.status is not None, job.read_error is None),
    )
    ends = sorted({str(job.status) for job in records} & ENDED)
    if len(ends) < 2:  # noqa: PLR2004 # two ends differ
        return best
    reason = f"the job details have it several times, as {' and as '.join(ends)}"
    return replace(best, state=None, status=None, read_error=reason)


def decode_schedules(body: bytes, flavour: Flavour) -> tuple[dict[str, Schedule], DecodeErrors]:
    """Decode the body of ``GET backup/schedules``; return schedules by name, and other errors.

    What is odd in a schedule is its ``read_error``. Of several schedules of one name the last
    counts, and if they differ, that is its ``read_error``.
    """
    entries, decode_errors = _decode_entries(body, flavour, "the schedules")
    schedules: dict[str, Schedule] = {}
    for name, record in entries:
        schedule = read_schedule(record)
        if schedules.get(name, schedule) != schedule:
            schedule = replace(schedule, read_error="it is there several times")
        schedules[name] = schedule
    return schedules, decode_errors


def decode_nodes(body: bytes, flavour: Flavour) -> tuple[list[Node], DecodeErrors]:
    """Decode the body of ``GET vcenter/topology/nodes``: each node once, in its order.

    Items without a node are an error. One item alone, as PowerShell writes a list of one, is a
    list.

    Examples
    --------
    >>> decode_nodes(b'[{"node": "vc-1.test", "type": "VCSA_EMBEDDED"}]', Flavour.API)
    ([Node(node='vc-1.test', type='VCSA_EMBEDDED')], {})
    """
    what = "the nodes of the SSO domain"
    try:
        items = load_json(body)
    except (ValueError, RecursionError) as error:
        raise payload_error(f"the response to {what}", body, error) from error
    if flavour is Flavour.REST:
        items = items.get("value") if isinstance(items, dict) else None
    if isinstance(items, dict) and "node" in items:
        items = [items]
    if not isinstance(items, list):
        raise PayloadError(f"the response to {what} does not follow the API: it is no list")
    nodes: dict[str, Node] = {}
    errors: DecodeErrors = {}
    for place, item in enumerate(items, start=1):
        host = item.get("node") if isinstance(item, dict) else None
        if _is_key(host) and host.isprintable():
            kind = item.get("type")
            kind = kind if isinstance(kind, str) else ""
            nodes.setdefault(host.casefold(), Node(host, one_line(kind, limit=40)))
        else:
            errors[f"item {place}"] = PayloadError(f"item {place} of {what} has no node")
    return list(nodes.values()), errors


def decode_version(body: bytes, flavour: Flavour) -> str:
    """Decode the version from ``GET system/version``, for example ``8.0.3.00400``."""
    version: Version = _decode(_VERSION, body, flavour, "the version")
    return version.version


def _decode_entries(
    body: bytes, flavour: Flavour, what: str
) -> tuple[list[tuple[str, Any]], DecodeErrors]:
    """Decode a map entry by entry; return keys and values, and the error of those without a key."""
    start = f"the response to {what}"
    try:
        entries = load_entries(body, enveloped=flavour is Flavour.REST)
    except (ValueError, RecursionError) as error:
        raise payload_error(start, body, error) from error
    if entries is None:
        raise PayloadError(f"{start} does not follow the API: it is neither an object nor a list")
    usable = [(key, value) for key, value in entries if _is_key(key)]
    if usable and all(key in _ENVELOPE and not isinstance(value, dict) for key, value in usable):
        raise PayloadError(f"{start} does not follow the API: it has no records")
    if len(usable) == len(entries):
        return usable, {}
    if not usable:
        raise PayloadError(f"{start} does not follow the API: no entry has a key")
    text = f"{len(entries) - len(usable)} of {len(entries)} entries of {what} have no usable key"
    return usable, {"": PayloadError(text)}


def _is_key(value: object) -> TypeGuard[str]:
    """Return whether a value can be an id or a name: a text that is not empty, and Unicode."""
    return isinstance(value, str) and bool(value) and (value.isascii() or _is_unicode(value))


def _is_unicode(text: str) -> bool:
    """Return whether a text has neither replaced characters nor lone surrogates."""
    return "\ufffd" not in text and text == text.encode("utf-8", "replace").decode()


def _load_error(raw: msgspec.Raw) -> Any:  # noqa: ANN401 # any JSON value
    try:
        return load_json(bytes(raw))
    except (ValueError, RecursionError):  # nested too deeply
        return None


def _from_details(job_id: str, details: Details) -> Job:
    progress, messages = details.progress, details.messages
    if details.status == "FAILED" and details.error != b"null":
        messages = join_messages(messages, _load_error(details.error))
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
