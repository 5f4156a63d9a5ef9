"""Documented responses are decoded; any other body is a PayloadError."""

import json
from collections.abc import Callable, Mapping
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
from tests.json_strategies import FAILED, LEAVES, PENDING, RUNNING, SAMPLES, SUCCEEDED

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

IDS = {name: [RUNNING, SUCCEEDED, FAILED] for name in ("api_job_list_200", "rest_job_list_200")}

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
        decode = DECODERS[next(kind for kind, table in KINDS.items() if name in table)]
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
    """Return the details of one job, with some fields changed."""
    return {
        "status": "SUCCEEDED",
        "type": "MANUAL",
        "messages": [],
        "location": "nfs://h/x",
    } | changed


def wrapped(value: object, flavour: Flavour) -> bytes:
    """Encode a map as a flavour does."""
    if flavour is REST and isinstance(value, dict):
        value = {"value": [{"key": key, "value": item} for key, item in value.items()]}
    return json.dumps(value).encode()


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
        "sent",
        [
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:60Z",
            "2026-01-01T24:00:00Z",
            "2026-02-30T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.9999999Z",
            "2026-01-01",
            "",
            0,
            None,
            ...,
        ],
    )
    def test_no_times(self, sent: object) -> None:
        """A time that has no zone, is invalid or missing is an error that names the field."""
        with pytest.raises(PayloadError, match="start_time"):
            decode_job(job_body(start_time=sent), API, "1")

    @pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00"])
    @pytest.mark.parametrize("field", ["start_time", "end_time"])
    def test_times_out_of_range(self, field: str, sent: str) -> None:
        """A time that has no year in UTC is an error that names the job."""
        with pytest.raises(PayloadError, match=r"^the record of job 1 has a time out of range: "):
            decode_job(job_body(**{field: sent}), API, "1")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("id", ...),
            ("state", ...),
            ("state", None),
            ("messages", ...),
            ("messages", None),
            ("messages", [{"args": [[[]]]}]),
            ("progress", ...),
            ("progress", None),
            ("progress", "100"),
            ("progress", True),
            ("progress", 10**400),
        ],
    )
    def test_refused(self, field: str, value: object) -> None:
        """A required field that is missing or of another type is an error that names it."""
        with pytest.raises(PayloadError, match=field):
            decode_job(job_body(**{field: value}), API, "1")

    @pytest.mark.parametrize(
        ("sent", "expected"), [(99.5, 99.5), (0, 0), (-1, None), (100.5, None), (2**63, None)]
    )
    def test_progress(self, sent: float, expected: float | None) -> None:
        """A progress outside 0 to 100 % is missing; the job is decoded."""
        assert decode_job(job_body(progress=sent), API, "1").progress == expected

    def test_end_time_null(self) -> None:
        """A null end is a missing end."""
        assert decode_job(job_body(end_time=None), API, "1").end_time is None

    def test_new_word(self) -> None:
        """An unknown state is decoded unchanged."""
        job = decode_job(job_body(state="Exploded "), API, "1")
        assert (job.state, job.status) == ("Exploded ", "Exploded ")

    def test_requested_id(self) -> None:
        """The id is the requested one, whatever the response contains."""
        assert decode_job(job_body(id="2"), API, "1").job_id == "1"

    def test_messages(self) -> None:
        """Messages may have numbers as arguments, missing fields and additional fields."""
        sent = [{"args": ["a", 1, None, 1.5, 2**70], "new": {}}, {"localized": "Bonjour"}]
        assert decode_job(job_body(messages=sent), API, "1").messages == (
            Message(args=["a", 1, None, 1.5, 2**70]),
            Message(localized="Bonjour"),
        )

    def test_hostile_id(self) -> None:
        """An id with control characters does not break the message into lines."""
        with pytest.raises(PayloadError, match=r"^the response to job 1 FAILED is empty\."):
            decode_job(b"", API, "1\nFAILED\x1b")


class TestDecodeJobIds:
    """decode_job_ids."""

    def test_doubles(self) -> None:
        """A duplicate id counts once, at its first place."""
        assert decode_job_ids(b'["b", "a", "b"]', API) == ["b", "a"]

    def test_empty(self) -> None:
        """An empty list is valid."""
        assert decode_job_ids(b'{"value": []}', REST) == []

    @pytest.mark.parametrize("body", [b"null", b'["a", 1]', b'{"a": 1}', b'"a"', b"[null]"])
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
            (record(status=5), "does not follow the API: Expected str, got int - at $.status"),
            (record(size=-1), "does not follow the API: Expected int >= 0 - at $.size"),
            (record(size=2**63), "does not follow the API: Expected int <= 92233720368547"),
            (record(end_time="soon"), "does not follow the API: Invalid RFC3339"),
            (record(start_time="0001-01-01T00:00:00+02:00"), "has a time out of range"),
            ({}, "does not follow the API: Object missing required field status"),
            (None, "does not follow the API: Expected object, got null"),
            ([], "does not follow the API: Expected object, got array"),
        ],
    )
    @pytest.mark.parametrize("flavour", Flavour)
    def test_bad_record(self, flavour: Flavour, bad: object, why: str) -> None:
        """A bad record is an error that names it; the other records are decoded."""
        body = wrapped({"a": record(), "b\n": bad, "c": record()}, flavour)
        jobs, decode_errors = decode_details(body, flavour)
        assert [job.job_id for job in jobs] == ["a", "c"]
        assert list(decode_errors) == ["b\n"]
        assert decode_errors["b\n"].problem.startswith(f"the record of job b {why}")

    def test_bad_bytes(self) -> None:
        """Invalid UTF-8 affects only its record."""
        good = json.dumps(record()).encode()
        body = b'{"a": %s, "b": %s}' % (good, good.replace(b"nfs", b"\xff"))
        jobs, decode_errors = decode_details(body, API)
        assert [job.job_id for job in jobs] == ["a"]
        assert problems(decode_errors) == {
            "b": "the record of job b is not valid JSON: it is truncated or damaged"
        }

    @pytest.mark.parametrize("body", [b"[1]", b"5", b'"x"', b"null", b'[{"value": {}}]', b'{"a"'])
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
        sent = {"a": record(**nothing), "b": record(build={}), "c": record(status="BLOCKED")}
        jobs, decode_errors = decode_details(wrapped(sent, flavour), flavour)
        assert not decode_errors
        assert {(job.start_time, job.end_time, job.size, job.build) for job in jobs} == {
            (None, None, None, None)
        }
        assert [(job.state, job.status) for job in jobs] == [
            ("SUCCEEDED", "SUCCEEDED"),
            ("SUCCEEDED", "SUCCEEDED"),
            ("NONE", "BLOCKED"),
        ]

    def test_doubles(self) -> None:
        """The later record of a duplicate id counts."""
        pairs = [{"key": "a", "value": record(type=kind)} for kind in ("MANUAL", "SCHEDULED")]
        jobs, decode_errors = decode_details(json.dumps({"value": pairs}).encode(), REST)
        assert [job.type for job in jobs] == ["SCHEDULED"]
        assert not decode_errors


class TestDecodeSchedules:
    """decode_schedules."""

    def test_bad_schedule(self) -> None:
        """A bad schedule is an error of one line that names it; the other is decoded."""
        good = {"enable": False, "location": "nfs://h/x", "parts": []}
        late = good | {"recurrence_info": {"hour": 24, "minute": 0}}
        schedules, decode_errors = decode_schedules(wrapped({"a": good, "b\r\n": late}, REST), REST)
        assert schedules == {"a": Schedule(enable=False, location="nfs://h/x", parts=[])}
        assert problems(decode_errors) == {
            "b\r\n": "the schedule b does not follow the API: "
            "Expected int <= 23 - at $.recurrence_info.hour"
        }

    def test_bad_bytes(self) -> None:
        """Invalid UTF-8 affects only its schedule."""
        schedules, decode_errors = decode_schedules(b'{"a": {"location": "\xff"}}', API)
        assert not schedules
        assert problems(decode_errors) == {
            "a": "the schedule a is not valid JSON: it is truncated or damaged"
        }

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
        [b"", b"{}", b"[]", b"null", b"<html>", b'{"value": {}}', b'{"messages": 5}', b'"\xff"'],
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


RECORDS = st.dictionaries(
    st.text(max_size=6),
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(
                ["PENDING", "RUNNING", "BLOCKED", "SUCCEEDED", "FAILED", "?"]
            ),
            "type": st.sampled_from(["SCHEDULED", "MANUAL"]),
            "location": st.text(max_size=8),
            "messages": st.lists(
                st.fixed_dictionaries({"id": st.text(max_size=3), "args": st.lists(LEAVES)}),
                max_size=2,
            ),
        },
        optional={
            "size": st.integers(-1, 2**64),
            "start_time": st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()),
            "progress": st.fixed_dictionaries(
                {"total": st.integers(-1, 200), "completed": st.integers(-1, 200)}
            ),
            "build": st.none() | st.fixed_dictionaries({"build_number": st.text(max_size=3)}),
        },
    ),
    max_size=4,
)


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
