"""Documented responses are decoded; what can be read of an odd record is kept."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backupkit.errors import PayloadError
from backupkit.tables import OBSERVATIONS
from backupkit.wire import (
    DecodeErrors,
    ErrorAnswer,
    Flavour,
    Job,
    Message,
    Recurrence,
    Retention,
    Schedule,
    decode_details,
    decode_error,
    decode_job,
    decode_job_ids,
    decode_schedules,
    decode_text,
    decode_version,
    encode_error_data,
)
from tests.conftest import repeats
from tests.json_strategies import FAILED, KEYS, PENDING, RUNNING, SAMPLES, SCALARS, SUCCEEDED

API, REST = Flavour.API, Flavour.REST
USER = "user@domain"

EXCEPTION = Message(
    "sample.backup.exception",
    "BackupManager encountered an exception. Please check logs for details.",
)
SNAPSHOT = Message(
    "sample.backup.snapshot",
    "BackupManager encountered an exception. Exception: Full backup not allowed during VM snapshot",
)


def problems(errors: DecodeErrors) -> dict[str, str]:
    """Return the problem of each error."""
    return {key: error.problem for key, error in errors.items()}


def flavour_of(name: str) -> Flavour:
    """Return the flavour in a sample's name."""
    return Flavour(name.partition("_")[0])


def utc(day: int, hour: int, minute: int, second: int, millisecond: int) -> datetime:
    """Return an instant of January 2026."""
    return datetime(2026, 1, day, hour, minute, second, millisecond * 1_000, tzinfo=UTC)


def sample_job(job_id: str, **changed: Any) -> Job:  # noqa: ANN401 # fields of a job
    """Return a job of the samples, as job/{id} describes it."""
    fields: dict[str, Any] = {
        FAILED: {
            "state": "FAILED",
            "progress": 10,
            "start_time": utc(2, 21, 59, 0, 318),
            "end_time": utc(2, 22, 0, 7, 501),
            "messages": (EXCEPTION,),
        },
        SUCCEEDED: {
            "state": "SUCCEEDED",
            "progress": 100,
            "start_time": utc(3, 8, 56, 30, 412),
            "end_time": utc(3, 9, 3, 51, 77),
        },
        RUNNING: {"state": "INPROGRESS", "progress": 42, "start_time": utc(4, 10, 15, 0, 655)},
        PENDING: {"state": "NONE", "progress": 0, "start_time": utc(4, 22, 0, 0, 0)},
    }[job_id]
    common = {"status": fields["state"], "end_time": None, "messages": (), "source": "job"}
    return Job(job_id=job_id, **(common | fields | changed))


def detailed_job(job_id: str, kind: str, **changed: Any) -> Job:  # noqa: ANN401
    """Return a job of the samples, as the job details describe it."""
    folder = f"{kind[0]}_8.0.3.00400_{job_id[:15]}_"
    return sample_job(
        job_id,
        type=kind,
        location=f"sftp://10.0.0.250/srv/backups/vCenter/sn_vcsa.example.test/{folder}",
        build="24322831",
        source="details",
        **changed,
    )


JOBS = {
    "api_job_get_failed_200": sample_job(FAILED),
    "rest_job_get_failed_200": sample_job(FAILED, messages=(SNAPSHOT,)),
    "api_job_get_inprogress_200": sample_job(RUNNING),
    "api_job_get_none_200": sample_job(PENDING),
    "api_job_get_succeeded_200": sample_job(SUCCEEDED),
}

THREE_DETAILS = [
    detailed_job(FAILED, "SCHEDULED", size=20_971_520),
    detailed_job(SUCCEEDED, "MANUAL", size=1_489_306_742),
    detailed_job(RUNNING, "MANUAL", size=104_857_600, status="RUNNING"),
]
PENDING_DETAILS = detailed_job(
    PENDING, "SCHEDULED", status="PENDING", progress=None, start_time=None
)

DETAILS: dict[str, object] = {
    "api_job_details_200": (THREE_DETAILS, {}),
    "rest_job_details_200": (THREE_DETAILS, {}),
    "api_job_details_pending_200": ([PENDING_DETAILS], {}),
}

IDS: dict[str, object] = {
    name: ([RUNNING, SUCCEEDED, FAILED], {}) for name in ("api_job_list_200", "rest_job_list_200")
}

NIGHTLY = Schedule(
    enable=True,
    location="sftp://10.0.0.250:/srv/backups",
    parts=["seat", "common"],
    recurrence_info=Recurrence(23, 59),
    retention_info=Retention(5),
)
TWICE_A_WEEK = replace(NIGHTLY, recurrence_info=Recurrence(1, 0, ["MONDAY", "THURSDAY"]))
SCHEDULES: dict[str, object] = {
    "api_schedules_list_200": ({"default": NIGHTLY}, {}),
    "rest_schedules_list_200": ({"default": TWICE_A_WEEK}, {}),
}

TOKENS = {
    "api_session_create_201": "a5adf880fc8e1e2944a541a4c7d74465",
    "rest_session_create_200": "c401ab6bfd9761b8fcf1dfd76e064e09",
}


def error_answer(error_type: str, message_id: str, text: str, *args: str) -> ErrorAnswer:
    """Return an error with one message."""
    message = {"id": message_id, "default_message": text, "args": list(args), "localized": None}
    return ErrorAnswer(error_type, (message,))


AUTHENTICATE = error_answer(
    "UNAUTHENTICATED",
    "com.vmware.vapi.endpoint.method.authentication.required",
    "Authentication required.",
)
NO_SUCH_JOB = error_answer(
    "NOT_FOUND",
    "sample.backup.job.not_found",
    "Backup job 20000101-000000-1 does not exist.",
    "20000101-000000-1",
)
UNEXPECTED = error_answer(
    "INTERNAL_SERVER_ERROR",
    "vapi.bindings.method.impl.unexpected",
    "Provider method implementation threw unexpected exception: null",
    "null",
)
ERRORS = {
    "api_error_400_feature_in_use": error_answer(
        "FEATURE_IN_USE", "sample.backup.in_use", "A backup or restore is already in progress."
    ),
    "api_error_401_unauthenticated": AUTHENTICATE,
    "rest_error_401_unauthenticated": AUTHENTICATE,
    "api_error_404_job_not_found": NO_SUCH_JOB,
    "rest_error_404_job_not_found": NO_SUCH_JOB,
    "api_error_404_unknown_url": error_answer(
        "NOT_FOUND", "com.vmware.vapi.rest.httpNotFound", "Not found."
    ),
    "api_error_500": UNEXPECTED,
    "rest_error_500": UNEXPECTED,
    "rest_error_503_session_limit": error_answer(
        "SERVICE_UNAVAILABLE",
        "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached",
        f"User session count is limited to 550. Existing session count is 550 for user {USER}",
        "550",
        "550",
        USER,
    ),
}

DECODERS: dict[str, Callable[[bytes, Flavour], object]] = {
    "text": lambda body, flavour: decode_text(body, flavour, "it"),
    "ids": decode_job_ids,
    "job": lambda body, flavour: decode_job(body, flavour, "1"),
    "details": decode_details,
    "schedules": decode_schedules,
    "version": decode_version,
}
KINDS: dict[str, Mapping[str, object]] = {
    "job": JOBS,
    "details": DETAILS,
    "ids": IDS,
    "schedules": SCHEDULES,
    "text": TOKENS,
}

FOREIGN = {"jsonrpc_error_not_found", "jsonrpc_job_get_succeeded"}


class TestSamples:
    """Samples of the API's documentation."""

    def test_complete(self) -> None:
        """Every sample is in one of the tables."""
        names = {*JOBS, *DETAILS, *IDS, *SCHEDULES, *TOKENS, *ERRORS, *FOREIGN}
        assert names == set(SAMPLES)

    @pytest.mark.parametrize("name", JOBS)
    def test_job(self, name: str) -> None:
        """job/{id} is decoded in each of its four states."""
        expected = JOBS[name]
        assert decode_job(SAMPLES[name], flavour_of(name), expected.job_id) == expected

    @pytest.mark.parametrize(
        ("kind", "name"),
        [(kind, name) for kind, table in KINDS.items() if kind != "job" for name in table],
    )
    def test_decoded(self, kind: str, name: str) -> None:
        """Details, lists, schedules and tokens of both flavours are decoded."""
        assert DECODERS[kind](SAMPLES[name], flavour_of(name)) == KINDS[kind][name]

    @pytest.mark.parametrize("name", ERRORS)
    def test_error(self, name: str) -> None:
        """Error bodies of both flavours have the same type, id and text."""
        assert decode_error(SAMPLES[name]) == ERRORS[name]

    @pytest.mark.parametrize("name", sorted(FOREIGN))
    @pytest.mark.parametrize("flavour", Flavour)
    def test_json_rpc(self, name: str, flavour: Flavour) -> None:
        """JSON-RPC, the protocol of the vendor's client, is a PayloadError and no error body."""
        with pytest.raises(PayloadError, match=r"^the response to job 1 does not follow the API"):
            decode_job(SAMPLES[name], flavour, "1")
        assert decode_error(SAMPLES[name]) is None

    @pytest.mark.parametrize("name", [*JOBS, *DETAILS, *IDS, *SCHEDULES, *TOKENS])
    def test_other_flavour(self, name: str) -> None:
        """A response in the envelope of the other flavour is a PayloadError."""
        other = REST if flavour_of(name) is API else API
        decoders: list[Callable[[], object]] = [
            lambda: decode_job(SAMPLES[name], other, "1"),
            lambda: decode_job_ids(SAMPLES[name], other),
            lambda: decode_text(SAMPLES[name], other, "log-in"),
        ]
        for decode in decoders:
            with pytest.raises(PayloadError, match="does not follow the API"):
                decode()

    @pytest.mark.parametrize("name", [*JOBS, *DETAILS, *IDS, *SCHEDULES, *TOKENS])
    def test_truncated(self, name: str) -> None:
        """A response truncated at any byte is a PayloadError, never a shorter response."""
        body, flavour = SAMPLES[name].strip(), flavour_of(name)
        kind = next(kind for kind, table in KINDS.items() if name in table)

        def decode(body: bytes, flavour: Flavour) -> object:
            return decode_job(body, flavour) if kind == "job" else DECODERS[kind](body, flavour)

        assert decode(body, flavour)
        for end in range(len(body)):
            with pytest.raises(PayloadError, match=r"is empty|is not valid JSON"):
                decode(body[:end], flavour)


def job_body(**changed: object) -> bytes:
    """Return the body of job/{id}, with some fields changed; ... omits a field."""
    record: dict[str, object] = {
        "id": "1",
        "state": "SUCCEEDED",
        "messages": [],
        "progress": 100,
        "start_time": "2026-01-01T00:00:00.000Z",
        "end_time": "2026-01-01T01:00:00.000Z",
    } | changed
    return json.dumps({key: value for key, value in record.items() if value is not ...}).encode()


def record(**changed: object) -> dict[str, object]:
    """Return the details of one job, with some fields changed; ... omits a field."""
    fields: dict[str, object] = {
        "status": "SUCCEEDED",
        "type": "MANUAL",
        "messages": [],
        "location": "nfs://h/x",
        "start_time": "2026-01-01T00:00:00.000Z",
        "end_time": "2026-01-01T01:00:00.000Z",
    } | changed
    return {key: value for key, value in fields.items() if value is not ...}


def wrapped(value: object, flavour: Flavour) -> bytes:
    """Encode a map as a flavour does."""
    if flavour is REST and isinstance(value, dict):
        value = {"value": [{"key": key, "value": item} for key, item in value.items()]}
    return json.dumps(value).encode()


def only_job(decoder: str, **changed: object) -> Job:
    """Return the job that a record with some changed fields is decoded to."""
    if decoder == "job":
        return decode_job(job_body(**changed), API, "1")
    found = [
        decode_details(wrapped({"1": record(**changed)}, flavour), flavour) for flavour in Flavour
    ]
    assert found[0] == found[1]
    [job], decode_errors = found[0]
    assert not decode_errors
    return job


ODD_TEXTS = ("5", "false", '["a"]', '{"a": 1}')
BOTH_ENDS = "the job details have it several times, as FAILED and as SUCCEEDED"
BOTH_OUT = "hour is out of range, recurrence_info.minute is out of range"
ODD_DAY = "days has an item that is no text"
DAYS = ["MONDAY", "SUNDAY"]


class TestDecodeJob:
    """decode_job."""

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-01-01T00:00:00.123456789Z", datetime(2026, 1, 1, 0, 0, 0, 123457, UTC)),
            ("2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-01-01T02:00:00+0200", datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-01-01 00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ],
    )
    def test_times(self, sent: str, expected: datetime) -> None:
        """Times are in UTC, rounded to the microsecond, whatever their offset."""
        start = decode_job(job_body(start_time=sent), API, "1").start_time
        assert start == expected
        assert start is not None
        assert start.tzinfo is UTC

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            ("2026-01-01T00:00:00", "has no time zone"),
            ("2026-01-01T00:00:60Z", "is not a time"),
            ("2026-01-01T24:00:00Z", "is not a time"),
            ("2026-02-30T00:00:00Z", "is not a time"),
            ("0000-01-01T00:00:00Z", "is not a time"),
            ("9999-12-31T23:59:59.9999999Z", "is not a time"),
            ("2026-01-01", "is not a time"),
            ("31/12/2026 00:00:00", "is not a time"),
            ("0001-01-01T00:00:00+02:00", "is out of range"),
            ("9999-12-31T23:59:59-02:00", "is out of range"),
            (0, "is a number"),
            (True, "is a flag"),
            ([], "is a list"),
            ({}, "is an object"),
        ],
    )
    @pytest.mark.parametrize("field", ["start_time", "end_time"])
    @pytest.mark.parametrize("decoder", ["job", "details"])
    def test_no_times(self, decoder: str, field: str, sent: object, why: str) -> None:
        """A time that cannot be read is named in the read error; all the rest is kept."""
        job = only_job(decoder, **{field: sent})
        assert job == replace(only_job(decoder), read_error=f"{field} {why}", **{field: None})

    @pytest.mark.parametrize(
        ("sent", "why"),
        [("", "is empty"), (" ", "is empty"), (None, "is null"), (..., "is missing")],
    )
    def test_no_start(self, sent: object, why: str) -> None:
        """A job that has started and has no start has a read error, in each of these states."""
        for state in ("SUCCEEDED", "FAILED", "INPROGRESS"):
            job = decode_job(job_body(state=state, start_time=sent), API, "1")
            assert (job.state, job.start_time, job.read_error) == (state, None, f"start_time {why}")
        waiting = decode_job(job_body(state="NONE", start_time=sent or None), API, "1")
        assert (waiting.state, waiting.read_error) in [
            ("NONE", None),
            ("NONE", f"start_time {why}"),
        ]

    def test_details_without_start(self) -> None:
        """A started job of the details without a start has a read error; a pending one has none."""
        assert only_job("details", start_time=...).read_error == "start_time is missing"
        assert only_job("details", status="PENDING", start_time=...).read_error is None

    @pytest.mark.parametrize("sent", [None, "", ...])
    @pytest.mark.parametrize("decoder", ["job", "details"])
    def test_no_end(self, decoder: str, sent: object) -> None:
        """A null, empty or missing end is no end, and no error."""
        job = only_job(decoder, end_time=sent)
        assert (job.end_time, job.read_error) == (None, None)

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            (..., "is missing"),
            (None, "is null"),
            ("", "is empty"),
            (" ", "is empty"),
            (5, "is a number"),
            (["SUCCEEDED"], "is a list"),
        ],
    )
    @pytest.mark.parametrize("decoder", ["job", "details"])
    def test_no_state(self, decoder: str, sent: object, why: str) -> None:
        """A state that cannot be read is named in the read error; the times are kept."""
        field = {"job": "state", "details": "status"}[decoder]
        job = only_job(decoder, **{field: sent})
        assert job == replace(
            only_job(decoder), state=None, status=None, read_error=f"{field} {why}"
        )

    def test_several_problems(self) -> None:
        """A read error names all that is wrong, in the order of the fields."""
        job = decode_job(job_body(state=None, start_time=5, end_time="now", progress="x"), API, "1")
        assert job.read_error == "state is null, start_time is a number, end_time is not a time"
        job = decode_job(job_body(start_time="0001-01-01T00:00:00+02:00", end_time="now"), API, "1")
        assert job.read_error == "end_time is not a time, start_time is out of range"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("id", ...),
            ("id", None),
            ("id", 5),
            ("id", ""),
            ("messages", ...),
            ("messages", None),
            ("messages", ""),
            ("progress", 100.0),
            ("progress", "100"),
            ("unknown", [[[{}]]]),
        ],
    )
    def test_side_fields(self, field: str, value: object) -> None:
        """A field that no verdict needs never spoils a job."""
        assert decode_job(job_body(**{field: value}), API, "1") == decode_job(job_body(), API, "1")

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (99.5, 99.5),
            (0, 0),
            ("42", 42),
            (-1, None),
            (100.5, None),
            (2**63, None),
            (10**400, None),
            ("high", None),
            (True, None),
            (None, None),
            (..., None),
            ({"total": 1}, None),
        ],
    )
    def test_progress(self, sent: object, expected: float | None) -> None:
        """A progress that is none, or outside 0 to 100 %, is missing; the job is decoded."""
        job = decode_job(job_body(progress=sent), API, "1")
        assert job == replace(decode_job(job_body(), API, "1"), progress=expected)

    def test_new_word(self) -> None:
        """An unknown state is decoded unchanged."""
        job = decode_job(job_body(state="Exploded "), API, "1")
        assert (job.state, job.status) == ("Exploded ", "Exploded ")

    def test_other_job(self) -> None:
        """The record of another job is an error that names both, also if the record is odd."""
        for odd in ({}, {"progress": None}):
            with pytest.raises(PayloadError) as caught:
                decode_job(job_body(id="2\n", **odd), API, "1")
            assert caught.value.problem == "the response to job 1 is the record of job 2"

    def test_own_id(self) -> None:
        """Without a requested id that of the record counts; a record without one is refused."""
        assert decode_job(job_body(), API).job_id == "1"
        assert decode_job(job_body(messages=None), API).job_id == "1"
        for odd in (..., None, 5, "", "\ud800", "\ufffd"):
            with pytest.raises(PayloadError, match=r"^the response to a job .* no usable id\."):
                decode_job(job_body(id=odd), API)

    @pytest.mark.parametrize(
        "body", [{"id": "1"}, {"error_type": "ERROR", "messages": []}, [], "1"]
    )
    def test_no_record(self, body: object) -> None:
        """JSON without a state and a start is no record of a job."""
        for flavour in Flavour:
            value = body if flavour is API else {"value": body}
            with pytest.raises(
                PayloadError, match=r"^the response to job 1 does not follow the API"
            ):
                decode_job(json.dumps(value).encode(), flavour, "1")

    def test_rest(self) -> None:
        """An odd record is read in the envelope, too."""
        odd = json.loads(job_body(state=None))
        job = decode_job(json.dumps({"value": odd}).encode(), REST, "1")
        assert job == decode_job(job_body(state=None), API, "1")
        assert job.read_error == "state is null"

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (
                [{"args": ["a", 1, None, 1.5, 2**70], "new": {}}, {"localized": "Bonjour"}],
                (
                    Message(args=["a", 1, None, 1.5, 2**70]),
                    Message(localized="Bonjour"),
                ),
            ),
            ({"id": "m", "default_message": "Full."}, (Message("m", "Full."),)),
            ("Full.", (Message("", "Full."),)),
            (["Full.", None, "", {}], (Message("", "Full."),)),
            ([{"id": 5, "default_message": ["a"], "args": None}], (Message("5"),)),
            ([{"id": "m", "args": "a", "localized": 1.5}], (Message("m", "", ["a"], "1.5"),)),
            (
                [{"id": "m", "args": [{"a": None}, "\ud800", True, None]}],
                (Message("m", "", ['{"a": null}', "?", True, None]),),
            ),
            ([5, False, ["a"], {"a": 1}], tuple(Message("", text) for text in ODD_TEXTS)),
            ({"messages": [{"id": "m"}], "error_type": "ERROR"}, (Message("m"),)),
            ({"type": "x.error", "value": {"messages": [{"id": "m"}]}}, (Message("m"),)),
            (["x" * 5_000], (Message("", "x" * 2_000),)),
        ],
    )
    def test_messages(self, sent: object, expected: tuple[Message, ...]) -> None:
        """Messages of any form are kept as what they say, and never spoil the job."""
        job = decode_job(job_body(messages=sent), API, "1")
        assert job == replace(decode_job(job_body(), API, "1"), messages=expected)

    def test_deep_message(self) -> None:
        """A message of any depth spoils no job that the parser accepts."""
        texts = set()
        for depth in (*range(700, 1_000, 2), 50_000):
            nested = b"[" * depth + b"]" * depth
            body = job_body(messages=...)[:-1] + b', "messages": [{"args": [%s]}]}' % nested
            with suppress(PayloadError):
                [message] = decode_job(body, API, "1").messages
                texts.add(str(message.args[0])[:6])
        assert texts
        assert texts <= {"[[[[[[", "nested"}

    def test_bad_bytes(self) -> None:
        """Bytes that are not UTF-8, and control characters, spoil only the text that has them."""
        body = job_body(messages=["a-b"]).replace(b"a-b", b"a\xff\x01b")
        assert decode_job(body, API, "1").messages == (Message("", "a\ufffd\x01b"),)

    def test_hostile_id(self) -> None:
        """An id with control characters does not break the message into lines."""
        with pytest.raises(PayloadError, match=r"^the response to job 1 FAILED is empty\."):
            decode_job(b"", API, "1\nFAILED\x1b")


class TestDecodeJobIds:
    """decode_job_ids."""

    def test_doubles(self) -> None:
        """A duplicate id counts once, at its first place."""
        assert decode_job_ids(b'["b", "a", "b"]', API) == (["b", "a"], {})

    def test_empty(self) -> None:
        """An empty list is valid."""
        assert decode_job_ids(b'{"value": []}', REST) == ([], {})

    @pytest.mark.parametrize(
        ("body", "odd"),
        [
            (b'["a", 1]', [2]),
            (b'["a", "", null, ["b"], {"c": 1}, "\xff", "\\ud800"]', [2, 3, 4, 5, 6, 7]),
            (b'["a", "a", 5]', [3]),
        ],
    )
    def test_odd_items(self, body: bytes, odd: list[int]) -> None:
        """Each item that is no id is an error; the ids are kept."""
        for flavour, sent in ((API, body), (REST, b'{"value": %s}' % body)):
            ids, decode_errors = decode_job_ids(sent, flavour)
            assert ids == ["a"]
            assert problems(decode_errors) == {
                f"item {place}": f"item {place} of the job list is no id" for place in odd
            }

    def test_bare_id(self) -> None:
        """One id alone, as PowerShell writes a list of one, is a list."""
        body = json.dumps(FAILED)
        assert decode_job_ids(body.encode(), API) == ([FAILED], {})
        assert decode_job_ids(f'{{"value": {body}}}'.encode(), REST) == ([FAILED], {})

    @pytest.mark.parametrize("body", [b"null", b'{"a": 1}', b'"a"', b"5", b'{"value": []}'])
    def test_refused(self, body: bytes) -> None:
        """Anything but a list of texts is an error."""
        with pytest.raises(
            PayloadError, match=r"^the response to the job list does not follow the API"
        ):
            decode_job_ids(body, API)


class TestDecodeDetails:
    """decode_details."""

    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            ({}, "status is missing"),
            ({"error_type": "ERROR"}, "status is missing"),
            (None, "the record is null"),
            ([], "the record is a list"),
            (5, "the record is a number"),
            ("", "the record is empty"),
            ("gone", "the record is a text"),
        ],
    )
    @pytest.mark.parametrize("flavour", Flavour)
    def test_no_record(self, flavour: Flavour, bad: object, why: str) -> None:
        """A job without a record is kept with the reason; the other records are decoded."""
        body = wrapped({"a": record(), "b\n": bad, "c": record()}, flavour)
        jobs, decode_errors = decode_details(body, flavour)
        assert not decode_errors
        assert [(job.job_id, job.state, job.read_error) for job in jobs] == [
            ("a", "SUCCEEDED", None),
            ("b\n", None, why),
            ("c", "SUCCEEDED", None),
        ]

    @pytest.mark.parametrize("flavour", Flavour)
    def test_no_key(self, flavour: Flavour) -> None:
        """Entries without a usable key are counted; the others are decoded."""
        sent = wrapped({"a": record(), "": record(), "\ud800": record()}, flavour)
        jobs, decode_errors = decode_details(sent, flavour)
        assert [job.job_id for job in jobs] == ["a"]
        text = "2 of 3 entries of the job details have no usable key"
        assert problems(decode_errors) == {"": text}
        items = [{"key": "a", "value": record()}, {"value": record()}, {"key": 5}, 7]
        jobs, decode_errors = decode_details(json.dumps({"value": items}).encode(), REST)
        assert [job.job_id for job in jobs] == ["a"]
        text = "3 of 4 entries of the job details have no usable key"
        assert problems(decode_errors) == {"": text}

    @pytest.mark.parametrize(
        ("field", "sent", "kept"),
        [
            ("size", -1, None),
            ("size", 2**63, None),
            ("size", 10**400, None),
            ("size", 1.5, None),
            ("size", "big", None),
            ("size", True, None),
            ("size", "7", 7),
            ("size", 7.0, 7),
            ("type", None, None),
            ("type", "", None),
            ("type", ..., None),
            ("type", 5, None),
            ("location", ..., None),
            ("location", "", None),
            ("location", ["a"], None),
            ("location", "nfs://\ud800", "nfs://?"),
            ("build", "8", None),
            ("build", {"build_number": 7}, None),
            ("build", {"build_number": ""}, None),
            ("messages", ..., ()),
            ("messages", None, ()),
            ("messages", "Full.", (Message("", "Full."),)),
            ("error", {"messages": [{"id": "m"}]}, ()),
            ("progress", 7, None),
            ("progress", {"total": "100", "completed": "7"}, 7),
            ("unknown", [[{}]], None),
        ],
    )
    @pytest.mark.parametrize("flavour", Flavour)
    def test_side_fields(self, flavour: Flavour, field: str, sent: object, kept: object) -> None:
        """A field that no verdict needs never spoils a job: it is kept or missing."""
        good, odd = record(), record(**{field: sent})
        jobs, decode_errors = decode_details(wrapped({"a": good, "b": odd}, flavour), flavour)
        assert not decode_errors
        expected = replace(jobs[0], job_id="b")
        if field not in ("unknown", "error"):
            expected = replace(expected, **{field: kept})
        assert jobs[1] == expected

    def test_error(self) -> None:
        """The error of a failed job gives its messages, those that it does not have already."""
        own = {"id": "m", "default_message": "Failed.", "args": []}
        more = {"id": "n", "default_message": "Full.", "args": ["a"]}
        for error, added in (
            ({"error_type": "ERROR", "messages": [own, more]}, (Message("n", "Full.", ["a"]),)),
            ({"messages": []}, (Message("", '{"messages": []}'),)),
            ("Full.", (Message("", "Full."),)),
            (None, ()),
        ):
            for odd in ({}, {"size": "x"}):  # read as a whole, and field by field
                sent = record(status="FAILED", messages=[own], error=error, **odd)
                [job], _ = decode_details(wrapped({"a": sent}, API), API)
                assert job.messages == (Message("m", "Failed."), *added)
                assert job.read_error is None

    def test_deep_error(self) -> None:
        """An error that is nested too deeply to be read spoils no job."""
        sent = json.dumps(record(status="FAILED", error="!")).encode()
        for nested in (b"[" * depth + b"]" * depth for depth in range(700, 1_005)):
            body = b'{"a": %s}' % sent.replace(b'"!"', nested)
            with suppress(PayloadError):
                [job], _ = decode_details(body, API)
                assert job.state == "FAILED"

    def test_bad_bytes(self) -> None:
        """Invalid UTF-8 affects only the text that has it, or the key."""
        good = json.dumps(record()).encode()
        body = b'{"a": %s, "b": %s, "\xff": %s}' % (good, good.replace(b"nfs", b"\xff"), good)
        jobs, decode_errors = decode_details(body, API)
        assert [(job.job_id, job.location) for job in jobs] == [
            ("a", "nfs://h/x"),
            ("b", "\ufffd://h/x"),
        ]
        assert problems(decode_errors) == {
            "": "1 of 3 entries of the job details have no usable key"
        }

    @pytest.mark.parametrize(
        "body",
        [
            b"[1]",
            b"5",
            b'"x"',
            b"null",
            b'[{"value": {}}]',
            b'{"a"',
            b'{"error_type": "ERROR", "messages": []}',
            b'{"value": []}',
            b'{"": {}}',
        ],
    )
    def test_no_records(self, body: bytes) -> None:
        """A body without records is an error."""
        with pytest.raises(PayloadError, match=r"^the response to the job details (does|is) not "):
            decode_details(body, API)

    @pytest.mark.parametrize(
        ("progress", "percent"),
        [
            ({"total": 100, "completed": 10}, 10.0),
            ({"total": 3, "completed": 3}, 100.0),
            ({"total": 0, "completed": 0}, None),
            ({"total": 10, "completed": 11}, None),
            ({"total": -10, "completed": -1}, None),
            ({"total": 1e-320, "completed": 1e308}, None),
            ({"total": 1e308, "completed": 1e308}, 100.0),
            ({"total": 10**400, "completed": 5}, None),
            (None, None),
        ],
    )
    def test_progress(self, progress: object, percent: float | None) -> None:
        """Progress is a share of the total; without a valid total it is missing."""
        [job], _ = decode_details(wrapped({"a": record(progress=progress)}, API), API)
        assert job.progress == percent

    @pytest.mark.parametrize("flavour", Flavour)
    def test_optional(self, flavour: Flavour) -> None:
        """Null is a missing field."""
        nothing = dict.fromkeys(("progress", "start_time", "end_time", "size", "build"))
        sent = {
            "a": record(**nothing, status="PENDING"),
            "b": record(build={}, start_time=..., end_time=..., status="PENDING"),
            "c": record(status="BLOCKED", start_time=..., end_time=...),
        }
        jobs, decode_errors = decode_details(wrapped(sent, flavour), flavour)
        assert not decode_errors
        assert {(job.start_time, job.end_time, job.size, job.build) for job in jobs} == {
            (None, None, None, None)
        }
        assert [(job.state, job.status) for job in jobs] == [
            ("NONE", "PENDING"),
            ("NONE", "PENDING"),
            ("NONE", "BLOCKED"),
        ]

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["RUNNING", "SUCCEEDED"], ("SUCCEEDED", 1, None)),
            (["SUCCEEDED", "RUNNING"], ("SUCCEEDED", 0, None)),
            (["RUNNING", "PENDING"], ("PENDING", 1, None)),
            (["SUCCEEDED", "NEW"], ("SUCCEEDED", 0, None)),
            (["FAILED", "FAILED"], ("FAILED", 1, None)),
            (["RUNNING", None], ("RUNNING", 0, None)),
            ([None, None], (None, 1, "status is null")),
            (["SUCCEEDED", "FAILED"], (None, 1, BOTH_ENDS)),
            (["FAILED", "SUCCEEDED", "FAILED", "RUNNING"], (None, 2, BOTH_ENDS)),
        ],
    )
    @pytest.mark.parametrize("form", ["pairs", "api object", "rest object"])
    def test_repeated(
        self, form: str, words: list[str | None], expected: tuple[str | None, int, str | None]
    ) -> None:
        """Of several records of a job the one that ended counts, else a readable one.

        Two that ended differently leave the state unknown.
        """
        records = [record(status=word, size=size) for size, word in enumerate(words)]
        flavour = API if form == "api object" else REST
        if form == "pairs":
            value = json.dumps(
                [{"key": key, "value": one} for one in records for key in ("a", "b")]
            )
            value = value.replace('"key": "b"', '"key": "b", "new": 1')
        else:
            entries = ", ".join(
                f'"a": {json.dumps(one)}, "b": {json.dumps(one)}' for one in records
            )
            value = f"{{{entries}}}"
        body = value if flavour is API else f'{{"value": {value}}}'
        jobs, decode_errors = decode_details(body.encode(), flavour)
        state, size, read_error = expected
        assert [(job.job_id, job.status, job.size, job.read_error) for job in jobs] == [
            ("a", state, size, read_error),
            ("b", state, size, read_error),
        ]
        assert problems(decode_errors) == {
            key: f"the job details have job {key} several times" for key in ("a", "b")
        }

    def test_one_pair(self) -> None:
        """One pair alone, as PowerShell writes a list of one, is a list."""
        for sent, read_error in ((record(), None), (record(status=None), "status is null")):
            body = {"key": "a", "value": sent}
            for flavour, value in ((API, body), (REST, {"value": body})):
                [job], decode_errors = decode_details(json.dumps(value).encode(), flavour)
                assert (job.job_id, job.read_error, decode_errors) == ("a", read_error, {})

    def test_powershell(self) -> None:
        """A record that PowerShell wrote as text has its state, times and texts."""
        text = (
            "@{status=FAILED; type=MANUAL; messages=System.Object[]; location=nfs://h/a;b; size=7; "
            "progress=; start_time=2026-01-01T00:00:00Z; end_time=01/31/2026 13:00:00; build=; odd}"
        )
        jobs, decode_errors = decode_details(
            wrapped({"a": text, "b": "@{status=; x=1}"}, REST), REST
        )
        assert not decode_errors
        assert jobs[0] == Job(
            "a",
            "FAILED",
            "FAILED",
            None,
            datetime(2026, 1, 1, tzinfo=UTC),
            datetime(2026, 1, 31, 13, tzinfo=UTC),
            (),
            "details",
            "MANUAL",
            7,
            "nfs://h/a;b",
        )
        assert (jobs[1].state, jobs[1].read_error) == (None, "status is empty")

    def test_powershell_cut(self) -> None:
        """A state or time of which PowerShell wrote only the type was cut off."""
        cut = "System.Object[]"
        odd = record(status=cut, start_time=cut, messages=cut)
        [job], _ = decode_details(wrapped({"a": odd}, API), API)
        assert job.read_error == "status is cut off, start_time is cut off"
        assert job.messages == ()

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (
                "@{id=m; default_message=Full; sad.; args=System.Object[]}",
                [Message("m", "Full; sad.")],
            ),
            ("@{id=m; args=} @{id=n; args=7}", [Message("m"), Message("n", "", ["7"])]),
            ("@{id=m; new=1}", [Message("", "@{id=m; new=1}")]),
            ("@{id=m", [Message("", "@{id=m")]),
        ],
    )
    def test_powershell_messages(self, sent: str, expected: list[Message]) -> None:
        """Messages that PowerShell wrote as text are read; of another form they are texts."""
        for messages in (sent, [sent] if len(expected) == 1 else sent):
            [job], _ = decode_details(wrapped({"a": record(messages=messages)}, API), API)
            assert list(job.messages) == expected
            assert job.read_error is None


PLAN: dict[str, Any] = {"enable": False, "location": "nfs://h/x"}


def only_schedule(**changed: Any) -> Schedule:  # noqa: ANN401 # JSON
    """Return the schedule that a record with some changed fields is decoded to; ... omits one."""
    sent = {key: value for key, value in (PLAN | changed).items() if value is not ...}
    found = [decode_schedules(wrapped({"default": sent}, flavour), flavour) for flavour in Flavour]
    assert found[0] == found[1]
    assert found[0][0].keys() == {"default"}
    assert not found[0][1]
    return found[0][0]["default"]


class TestDecodeSchedules:
    """decode_schedules."""

    @pytest.mark.parametrize(
        ("field", "sent", "why"),
        [
            ("enable", ..., "is missing"),
            ("enable", None, "is null"),
            ("enable", 1, "is a number"),
            ("enable", "maybe", "is a text"),
            ("location", ..., "is missing"),
            ("location", None, "is null"),
            ("location", "", "is empty"),
            ("location", 5, "is a number"),
        ],
    )
    def test_odd_fields(self, field: str, sent: object, why: str) -> None:
        """A read error names what is wrong with a schedule; the rest is kept."""
        assert only_schedule(**{field: sent}) == replace(
            only_schedule(), read_error=f"{field} {why}", **{field: None}
        )

    @pytest.mark.parametrize("sent", ["True", "true"])
    def test_flag(self, sent: str) -> None:
        """A flag may be a word."""
        assert only_schedule(enable=sent) == only_schedule(enable=True)

    @pytest.mark.parametrize(
        ("sent", "expected", "why"),
        [
            ({"hour": 2, "minute": 0}, Recurrence(2, 0), None),
            ({"hour": "2", "minute": 0.0, "days": None}, Recurrence(2, 0), None),
            ({"hour": 2, "minute": 0, "days": []}, Recurrence(2, 0), None),
            ({"hour": 2, "minute": 0, "days": "MONDAY SUNDAY"}, Recurrence(2, 0, DAYS), None),
            ({"hour": 24, "minute": 0}, Recurrence(None, 0), "hour is out of range"),
            ({"hour": -1, "minute": 60}, Recurrence(None, None), BOTH_OUT),
            ({"hour": 1.5, "minute": 0}, Recurrence(None, 0), "hour is no whole number"),
            ({"hour": True, "minute": 0}, Recurrence(None, 0), "hour is a flag"),
            ({"minute": 5, "days": ["MONDAY"]}, Recurrence(None, 5, ["MONDAY"]), "hour is missing"),
            ({"hour": 2, "minute": None}, Recurrence(2, None), "minute is null"),
            ({"hour": 2, "minute": 0, "days": 5}, Recurrence(2, 0, ["?"]), "days is a number"),
            ({"hour": 2, "minute": 0, "days": ["MONDAY", 5]}, Recurrence(2, 0, DAYS[:1]), ODD_DAY),
            ("@{hour=2; minute=30; days=}", Recurrence(2, 30), None),
            (
                "@{hour=2; minute=30; days=System.Object[]}",
                Recurrence(2, 30, ["?"]),
                "days is cut off",
            ),
        ],
    )
    def test_recurrence(self, sent: object, expected: Recurrence, why: str | None) -> None:
        """Hour, minute and days are kept where they can be read."""
        schedule = only_schedule(recurrence_info=sent)
        assert schedule.recurrence_info == expected
        assert schedule.read_error == (why and f"recurrence_info.{why}")

    @pytest.mark.parametrize(
        ("sent", "why"), [("", "is empty"), ("daily", "is a text"), ([], "is a list")]
    )
    def test_no_recurrence(self, sent: object, why: str) -> None:
        """A recurrence that cannot be read is not reported as none."""
        schedule = only_schedule(recurrence_info=sent)
        assert schedule.recurrence_info == Recurrence(None, None)
        assert schedule.read_error == f"recurrence_info {why}"
        assert only_schedule(recurrence_info=None) == only_schedule()

    @pytest.mark.parametrize(
        ("sent", "kept", "why"),
        [
            ({"max_count": 5}, 5, None),
            ({"max_count": "5"}, 5, None),
            ({"max_count": 0}, 0, None),
            ({"max_count": None}, None, None),
            ({}, None, None),
            (None, None, None),
            ({"max_count": -1}, None, ".max_count is out of range"),
            ({"max_count": "all"}, None, ".max_count is a text"),
            (5, None, " is a number"),
        ],
    )
    def test_retention(self, sent: object, kept: int | None, why: str | None) -> None:
        """A missing number of backups to keep is none; an odd one is a read error."""
        schedule = only_schedule(retention_info=sent)
        assert schedule.retention_info == (None if kept is None else Retention(kept))
        assert schedule.read_error == (why and f"retention_info{why}")

    @pytest.mark.parametrize(
        ("sent", "parts"),
        [
            (["seat", 5, None], ["seat"]),
            ("seat common", ["seat", "common"]),
            ([], []),
            (None, None),
            (..., None),
            (5, None),
            ("System.Object[]", None),
        ],
    )
    def test_parts(self, sent: object, parts: list[str] | None) -> None:
        """Parts are optional; odd ones are left out."""
        assert only_schedule(parts=sent) == replace(only_schedule(), parts=parts)

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            (None, "the record is null"),
            ([], "the record is a list"),
            ({}, "enable is missing, location is missing"),
        ],
    )
    def test_no_record(self, sent: object, why: str) -> None:
        """A schedule without a record is kept with the reason."""
        for flavour in Flavour:
            schedules, decode_errors = decode_schedules(
                wrapped({"a": PLAN, "b": sent}, flavour), flavour
            )
            assert not decode_errors
            assert schedules == {"a": only_schedule(), "b": Schedule(read_error=why)}

    def test_repeated(self) -> None:
        """Of two schedules of one name the last counts; if they differ, it has a read error."""
        body = b'{"a": {"enable": %s, "location": "x"}, "a": {"enable": true, "location": "x"}}'
        schedules, decode_errors = decode_schedules(body % b"false", API)
        assert not decode_errors
        last = Schedule(enable=True, location="x", read_error="it is there several times")
        assert schedules == {"a": last}
        schedules, _ = decode_schedules(body % b"true", API)
        assert schedules == {"a": replace(last, read_error=None)}

    def test_bad_bytes(self) -> None:
        """Invalid UTF-8 affects only its text."""
        schedules, decode_errors = decode_schedules(
            b'{"a": {"enable": true, "location": "\xff"}}', API
        )
        assert not decode_errors
        assert schedules == {"a": Schedule(enable=True, location="\ufffd")}

    def test_none(self) -> None:
        """No schedule is valid in either flavour."""
        assert decode_schedules(b"{}", API) == decode_schedules(b'{"value": []}', REST) == ({}, {})


class TestDecodeVersion:
    """decode_version."""

    def test_version(self) -> None:
        """Other fields are ignored."""
        body = b'{"version": "8.0.3.00400", "product": "vCenter", "build": 1}'
        assert decode_version(body, API) == "8.0.3.00400"

    def test_missing(self) -> None:
        """A response without a version is an error."""
        with pytest.raises(
            PayloadError, match=r"^the response to the version does not .* field version"
        ):
            decode_version(b'{"value": {}}', REST)


class TestDecodeError:
    """decode_error."""

    def test_old_shape(self) -> None:
        """The error body of an unknown address on old appliances is decoded."""
        body = {
            "localizableMessages": [
                {"defaultMessage": "Not found.", "id": "com.vmware.vapi.rest.httpNotFound"}
            ],
            "majorErrorCode": 404,
            "name": "com.vmware.vapi.rest.httpNotFound",
        }
        assert decode_error(json.dumps(body).encode()) == error_answer(
            "NOT_FOUND", "com.vmware.vapi.rest.httpNotFound", "Not found."
        )

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'{"error_type": "CANCELED"}', ErrorAnswer("CANCELED")),
            (b'{"type": "com.vmware.vapi.std.errors.timed_out"}', ErrorAnswer("TIMED_OUT")),
            (b'{"messages": [{"default_message": "x"}]}', error_answer("", "", "x")),
            (b'{"value": {"error_type": "ERROR"}}', ErrorAnswer("ERROR")),
        ],
    )
    def test_sparse(self, body: bytes, expected: ErrorAnswer) -> None:
        """Any part of a known format is enough."""
        assert decode_error(body) == expected

    @pytest.mark.parametrize(
        "body",
        [
            b'{"type": "about:blank"}',
            b"",
            b"{}",
            b"[]",
            b"null",
            b"<html>",
            b'{"value": {}}',
            b'{"messages": 5}',
            b'"\xff"',
        ],
    )
    def test_none(self, body: bytes) -> None:
        """A body without a part of the formats is no error body."""
        assert decode_error(body) is None

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ({"args": None}, ("m", "Full.", [], None)),
            ({"args": "nas"}, ("m", "Full.", ["nas"], None)),
            ({"args": [1, "x"]}, ("m", "Full.", ["1", "x"], None)),
            ({"id": None}, ("", "Full.", [], None)),
            ({"default_message": {}, "localized": "Voll."}, ("m", "", [], "Voll.")),
            ({"localized": [], "extra": []}, ("m", "Full.", [], None)),
        ],
    )
    def test_lenient(
        self, message: dict[str, object], expected: tuple[str, str, list[str], str | None]
    ) -> None:
        """A missing or wrong field of a message is left out, and the error stays an error."""
        sent = {"id": "m", "default_message": "Full.", **message}
        body = {"error_type": "ERROR", "messages": [sent, {}, None], "data": 5}
        answer = decode_error(json.dumps(body).encode())
        names = ("id", "default_message", "args", "localized")
        [kept] = answer.messages if answer else ()
        assert tuple(kept[name] for name in names) == expected
        assert answer == ErrorAnswer("ERROR", (kept,), 5)

    def test_old_shape_of_another_error(self) -> None:
        """The oldest format says nothing about the type of an error that is no 404."""
        body = {"localizableMessages": {"id": "a", "defaultMessage": "No."}, "majorErrorCode": 500}
        assert decode_error(json.dumps(body).encode()) == error_answer("", "a", "No.")

    def test_text_in_place_of_messages(self) -> None:
        """A bare text counts as the only message."""
        answer = decode_error(b'{"error_type": "ERROR", "messages": "Full."}')
        assert answer == error_answer("ERROR", "", "Full.")

    def test_stack(self) -> None:
        """A stack is one line: each cause once, without the full stop of the message before."""
        stack = [{"default_message": f"Cause {n}.\n"} for n in range(1, 10)]
        answer = decode_error(json.dumps({"messages": stack}).encode())
        assert answer is not None
        assert len(answer.messages) == 9
        assert answer.text == (
            "Cause 1 because Cause 2 because Cause 3 because … because Cause 7 because Cause 8 "
            "because Cause 9."
        )
        assert ErrorAnswer("", ({"id": "a.b"}, {"id": "", "localized": "Voll"})).text == (
            "a.b because Voll"
        )

    @pytest.mark.parametrize(
        ("data", "transient"),
        [
            (None, None),
            ("x", None),
            ({"is_transient": "yes"}, None),
            ({"is_transient": False}, False),
            ({"com.vmware.vapi.std.errors.transient_indication": {"is_transient": True}}, True),
        ],
    )
    def test_transient(self, data: object, transient: bool | None) -> None:  # noqa: FBT001 # a column of the table
        """The indication is found in both flavours."""
        assert ErrorAnswer("ERROR", (), data).is_transient is transient

    def test_long_data(self) -> None:
        """Data that is too long for a table is not encoded; without data there is no JSON."""
        assert encode_error_data({"primary": "é"}) == '{"primary": "é"}'
        assert encode_error_data("x" * 10_000) is None
        assert encode_error_data({"limit": float("inf")}) is None
        assert encode_error_data(["\ud800"]) == '["?"]'
        assert encode_error_data(None) is None


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("flavour", Flavour)
class TestDamage:
    """Invalid bodies."""

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "is empty"),
            (b" \r\n", "is empty"),
            (b"<!DOCTYPE html><title>503</title>", "is HTML and not JSON.* a proxy"),
            (b"\n<HTML>", "is HTML and not JSON"),
            (b"\x00", "is not valid JSON"),
            (b'{"value": "\x00"}', "(is|does) not"),
            (b"\xef\xbb\xbf{}", "is not valid JSON"),
            (b"Service Unavailable", "is not valid JSON"),
            (b'"\\ud800"', "(is|does) not"),
            (b'"\xff"', "(is|does) not"),
            (b'{"\xff": 1}', "(is|does) not"),
            (b"[" * 100_000, "(is|does) not"),
            (b'{"value": ' * 100_000, "(is|does) not"),
            (b'{"x": ' * 100_000, "(is|does) not"),
            (b"1" * 100_000, "(is|does) not"),
            (b"-1e99999", "(is|does) not"),
        ],
    )
    def test_refused(self, decoder: str, flavour: Flavour, body: bytes, why: str) -> None:
        """An invalid body is an error that names the problem and does not repeat the body."""
        with pytest.raises(PayloadError, match=rf"^the response to .* {why}") as caught:
            DECODERS[decoder](body, flavour)
        assert len(str(caught.value)) < 300
        assert decode_error(body) is None


def _check(body: bytes) -> None:
    """Check that each function returns a value or raises a PayloadError."""
    for decode in DECODERS.values():
        for flavour in Flavour:
            try:
                value = decode(body, flavour)
            except PayloadError:
                continue
            assert value is not None
    assert isinstance(decode_error(body), ErrorAnswer | None)


WORDS = st.sampled_from(["PENDING", "RUNNING", "BLOCKED", "SUCCEEDED", "FAILED", "?"])
TIMES = st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat())
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(max_size=3),
            "default_message": st.text(max_size=3),
            "args": st.lists(SCALARS),
        },
        optional={"localized": st.none() | st.text(max_size=3)},
    ),
    max_size=2,
)


def records(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, dict[str, object]]]:
    """Draw records of the details by their ids."""
    one: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
        {
            "status": WORDS,
            "type": st.sampled_from(["SCHEDULED", "MANUAL", ""]),
            "location": st.text(max_size=8),
            "messages": MESSAGES,
        },
        optional={
            "size": sizes,
            "start_time": TIMES,
            "end_time": st.none() | TIMES,
            "progress": st.fixed_dictionaries(
                {"total": st.integers(-1, 200), "completed": st.integers(-1, 200)}
            ),
            "build": st.none() | st.fixed_dictionaries({"build_number": st.text(max_size=3)}),
            "error": st.fixed_dictionaries({"messages": MESSAGES}),
        },
    )
    return st.dictionaries(KEYS, one, max_size=4)


RECORDS = records(st.integers(-1, 2**64))


@pytest.mark.property
class TestProperties:
    """Properties of every body."""

    @settings(max_examples=repeats(200, 2_000))
    @given(
        st.binary(max_size=60)
        | st.text('[]{}",:0123456789.eE+-ntu\\ ', max_size=40).map(str.encode)
    )
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes are a value or a PayloadError."""
        _check(body)

    @settings(max_examples=repeats(60, 600))
    @given(st.sampled_from(sorted(SAMPLES)), st.data())
    def test_damaged_sample(self, name: str, data: st.DataObject) -> None:
        """A good answer with some bytes overwritten is a value or a PayloadError."""
        body = bytearray(SAMPLES[name])
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        _check(bytes(body))

    @settings(max_examples=repeats(40, 400))
    @given(RECORDS)
    def test_flavours_agree(self, records: dict[str, dict[str, object]]) -> None:
        """The same records in either flavour decode to equal jobs and equal errors."""
        jobs, decode_errors = decode_details(wrapped(records, API), API)
        rest_jobs, rest_errors = decode_details(wrapped(records, REST), REST)
        assert (jobs, problems(decode_errors)) == (rest_jobs, problems(rest_errors))
        assert sorted([*(job.job_id for job in jobs), *decode_errors]) == sorted(records)

    @settings(max_examples=repeats(20, 200))
    @given(RECORDS)
    def test_fits_the_table(self, records: dict[str, dict[str, object]]) -> None:
        """Decoded jobs fit the table of observations."""
        jobs, _ = decode_details(wrapped(records, API), API)
        columns = [name for name in OBSERVATIONS.names if name in Job.__struct_fields__]
        values = {name: [getattr(job, name) for job in jobs] for name in columns}
        values["messages"] = [
            [{"id": m.id, "args": [str(arg) for arg in m.args]} for m in job.messages]
            for job in jobs
        ]
        assert OBSERVATIONS.frame(values)["job_id"].to_list() == [job.job_id for job in jobs]

    @settings(max_examples=repeats(60, 600))
    @given(records(st.integers(0, 2**63 - 1)))
    def test_beside_odd_record(self, valid: dict[str, dict[str, object]]) -> None:
        """Valid records are decoded to the same jobs beside an odd one, field by field."""
        jobs, decode_errors = decode_details(wrapped(valid, API), API)
        assert not decode_errors
        odd_jobs, _ = decode_details(wrapped(valid | {"odd record": None}, API), API)
        assert odd_jobs[:-1] == jobs

    @settings(max_examples=repeats(60, 600))
    @given(
        st.fixed_dictionaries(
            {
                "id": st.just("1"),
                "state": WORDS,
                "messages": MESSAGES,
                "progress": st.integers(-1, 200) | st.floats(0, 100),
                "start_time": TIMES,
            },
            optional={"end_time": st.none() | TIMES},
        )
    )
    def test_without_id(self, valid: dict[str, object]) -> None:
        """A valid record is decoded to the same job without its id, field by field."""
        job = decode_job(job_body(**{"end_time": ...} | valid), API, "1")
        assert job == decode_job(job_body(**{"end_time": ...} | valid | {"id": ...}), API, "1")
