"""Requests, and the meaning of status, headers and body of a response."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit import protocol
from backupkit.errors import (
    ApplianceError,
    BusyError,
    LoginError,
    NotFoundError,
    PayloadError,
    RightsError,
    ServerError,
)
from backupkit.protocol import Request, clock_skew, raise_for_status
from backupkit.wire import Flavour

API, REST = Flavour.API, Flavour.REST
NOON = datetime(2026, 11, 9, 12, tzinfo=UTC)
BACKUP = "/appliance/recovery/backup"


class TestRequests:
    """Method and path of every request."""

    @pytest.mark.parametrize(
        ("request_", "method", "path"),
        [
            (protocol.log_in(API), "POST", "/api/session"),
            (protocol.log_in(REST), "POST", "/rest/com/vmware/cis/session"),
            (protocol.log_out(API), "DELETE", "/api/session"),
            (protocol.log_out(REST), "DELETE", "/rest/com/vmware/cis/session"),
            (protocol.list_jobs(API), "GET", f"/api{BACKUP}/job"),
            (protocol.list_jobs(REST), "GET", f"/rest{BACKUP}/job"),
            (protocol.get_job(API, "2-1"), "GET", f"/api{BACKUP}/job/2-1"),
            (protocol.get_job(REST, "2-1"), "GET", f"/rest{BACKUP}/job/2-1"),
            (protocol.get_details(API), "GET", f"/api{BACKUP}/job/details"),
            (protocol.get_details(REST), "GET", f"/rest{BACKUP}/job/details"),
            (
                protocol.get_details(API, ["a", "b"]),
                "GET",
                f"/api{BACKUP}/job/details?jobs=a&jobs=b",
            ),
            (
                protocol.get_details(REST, ["a", "b"]),
                "GET",
                f"/rest{BACKUP}/job/details?filter.jobs.1=a&filter.jobs.2=b",
            ),
            (protocol.get_schedules(API), "GET", f"/api{BACKUP}/schedules"),
            (protocol.get_schedules(REST), "GET", f"/rest{BACKUP}/schedules"),
            (protocol.get_version(API), "GET", "/api/appliance/system/version"),
            (protocol.get_version(REST), "GET", "/rest/appliance/system/version"),
            (protocol.get_timezone(API), "GET", "/api/appliance/system/time/timezone"),
            (protocol.get_timezone(REST), "GET", "/rest/appliance/system/time/timezone"),
        ],
    )
    def test_table(self, request_: Request, method: str, path: str) -> None:
        """Each flavour has its own paths; only login and logout are no GET."""
        assert (request_.method, request_.path) == (method, path)
        assert request_.login == (method == "POST")

    @pytest.mark.parametrize("flavour", Flavour)
    @pytest.mark.parametrize(
        ("job_id", "segment", "value"),
        [
            ("a/b", "a%2Fb", "a%2Fb"),
            ("../../session", "..%2F..%2Fsession", "..%2F..%2Fsession"),
            ("a b", "a%20b", "a+b"),
            ("a?b#c&d=e", "a%3Fb%23c%26d%3De", "a%3Fb%23c%26d%3De"),
            ("é\n", "%C3%A9%0A", "%C3%A9%0A"),
            ("%2F", "%252F", "%252F"),
        ],
    )
    def test_quoted(self, flavour: Flavour, job_id: str, segment: str, value: str) -> None:
        """An id is one segment of the path, and one value of the query."""
        assert protocol.get_job(flavour, job_id).path.endswith(f"/job/{segment}")
        assert protocol.get_details(flavour, [job_id]).path.endswith(f"={value}")

    def test_what(self) -> None:
        """The requested resource is named on one line, even for an id with control characters."""
        assert protocol.get_job(API, "1\nFAILED\x1b[2J").what == "job 1 FAILED [2J"


def _api(text: str = "", message_id: str = "") -> bytes:
    """Return an error body of the API."""
    message = {"id": message_id, "default_message": text, "args": []}
    return json.dumps({"error_type": "ANY", "messages": [message]}).encode()


HTML = b"<html>Bad gateway</html>"
NOT_API = ", and the response is not from the API"
AUTHENTICATE = "com.vmware.vapi.endpoint.method.authentication.required"
LOCKED = 'login failed (401): "User account is locked.". Check the user and password'
LOGIN_FAILED = "login failed (401). Check the user and password of this appliance"
SESSION_ENDED = "the session ended before reading the job list (401). Try again."
NOT_ALLOWED = 'the user may not read the job list (403): "Not you.". Put the user'
NOT_FOUND = 'the appliance did not find the job list (404): "Gone.". Check that the host'
NO_SESSION = 'no free session (503): "Limit of 550.". Collect'
SESSION_LIMIT = "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached"
BUSY, FAILED = "the appliance is busy", "the request for the job list failed"
LOG_IN, LIST = protocol.log_in(API), protocol.list_jobs(API)


def _raised(
    status: int, body: bytes = b"", *, request: Request = LIST, retry_after: str | None = None
) -> ApplianceError:
    """Return the error of a response."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with pytest.raises(ApplianceError) as caught:
        raise_for_status(request, status, headers, body, now=NOON)
    return caught.value


class TestRaiseForStatus:
    """raise_for_status."""

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_success(self, status: int) -> None:
        """A success raises nothing, whatever its body."""
        raise_for_status(protocol.list_jobs(API), status, {}, HTML)
        raise_for_status(protocol.list_jobs(API), status, {}, _api("An error?"))

    @pytest.mark.parametrize(
        ("status", "body", "request_", "kind", "sentence"),
        [
            (302, HTML, LOG_IN, PayloadError, "the login was redirected (302); redirects are"),
            (401, _api("Authentication required.", AUTHENTICATE), LOG_IN, LoginError, LOGIN_FAILED),
            (401, _api("User account is locked."), LOG_IN, LoginError, LOCKED),
            (401, _api("Authentication required."), LIST, LoginError, SESSION_ENDED),
            (403, _api("Not you."), LIST, RightsError, NOT_ALLOWED),
            (404, _api("Gone."), LIST, NotFoundError, NOT_FOUND),
            (
                404,
                HTML,
                LOG_IN,
                NotFoundError,
                f"the appliance did not find the login (404){NOT_API}.",
            ),
            (429, _api("Slow down."), LIST, BusyError, f'{BUSY} (429): "Slow down.". Collect'),
            (429, b"", LOG_IN, BusyError, f"{BUSY} (429). Collect again in"),
            (503, _api("Limit of 550.", SESSION_LIMIT), LOG_IN, BusyError, NO_SESSION),
            (503, _api(), LIST, BusyError, f"{BUSY} (503, ANY). Collect again in"),
            (503, HTML, LOG_IN, ServerError, f"the request for the login failed (503){NOT_API}. C"),
            (400, _api("In use."), LIST, ServerError, f'{FAILED} (400): "In use.". Collect'),
            (500, _api(message_id="vapi.x"), LIST, ServerError, f'{FAILED} (500): "vapi.x". Colle'),
            (502, b"", LIST, ServerError, f"{FAILED} (502){NOT_API}. "),
            (599, HTML, LIST, ServerError, f"{FAILED} (599){NOT_API}. "),
        ],
    )
    def test_table(
        self,
        status: int,
        body: bytes,
        request_: Request,
        kind: type[ApplianceError],
        sentence: str,
    ) -> None:
        """Each status has its class and its sentence, and is an attribute of the error."""
        error = _raised(status, body, request=request_)
        assert type(error) is kind
        assert str(error).startswith(sentence)
        assert error.status_code == status

    def test_message(self) -> None:
        """The appliance's message is quoted on one line, and truncated."""
        error = _raised(500, _api("first\r\nsecond \x1b[31m" + "x" * 1_000))
        assert '"first second [31mxxx' in str(error)
        assert "…" in str(error)
        assert str(error).isprintable()
        assert len(error.problem) < 300

    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.0),
            (None, None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("²", None),
            ("Mon, 09 Nov 2026 12:07:00 GMT", 420.0),
            ("Mon, 09 Nov 2026 11:00:00 GMT", 0.0),
            ("Mon, 31 Feb 2026 12:07:00 GMT", None),
        ],
    )
    def test_retry_after(self, status: int, header: str | None, seconds: float | None) -> None:
        """Retry-After is in seconds or a date; any other value is ignored."""
        assert _raised(status, retry_after=header).retry_after == seconds

    def test_retry_after_by_its_own_clock(self) -> None:
        """A date is compared with the clock of the appliance, if the response has it."""
        headers = {
            "Retry-After": "Mon, 09 Nov 2026 12:07:00 GMT",
            "Date": "Mon, 09 Nov 2026 12:06:30 GMT",
        }
        with pytest.raises(BusyError) as caught:
            raise_for_status(LIST, 429, headers, b"", now=NOON)
        assert caught.value.retry_after == 30.0

    @pytest.mark.parametrize(
        ("error_type", "status", "kind", "retryable"),
        [
            ("ALREADY_EXISTS", 400, ServerError, False),
            ("ALREADY_IN_DESIRED_STATE", 400, ServerError, False),
            ("CANCELED", 500, ServerError, True),
            ("CONCURRENT_CHANGE", 409, ServerError, True),
            ("ERROR", 500, ServerError, True),
            ("FEATURE_IN_USE", 400, ServerError, False),
            ("INTERNAL_SERVER_ERROR", 500, ServerError, True),
            ("INVALID_ARGUMENT", 400, ServerError, False),
            ("INVALID_ELEMENT_CONFIGURATION", 400, ServerError, False),
            ("INVALID_ELEMENT_TYPE", 400, ServerError, False),
            ("INVALID_REQUEST", 400, ServerError, False),
            ("NOT_ALLOWED_IN_CURRENT_STATE", 400, ServerError, False),
            ("NOT_FOUND", 404, NotFoundError, False),
            ("OPERATION_NOT_FOUND", 404, NotFoundError, False),
            ("RESOURCE_BUSY", 400, BusyError, True),
            ("RESOURCE_INACCESSIBLE", 400, ServerError, False),
            ("RESOURCE_IN_USE", 400, ServerError, False),
            ("SERVICE_UNAVAILABLE", 503, BusyError, True),
            ("TIMED_OUT", 504, ServerError, True),
            ("UNABLE_TO_ALLOCATE_RESOURCE", 400, ServerError, True),
            ("UNAUTHENTICATED", 401, LoginError, False),
            ("UNAUTHORIZED", 403, RightsError, False),
            ("UNEXPECTED_INPUT", 500, ServerError, False),
            ("UNSUPPORTED", 400, ServerError, False),
            ("UNVERIFIED_PEER", 500, ServerError, False),
            ("A_TYPE_OF_TOMORROW", 503, BusyError, True),
            ("A_TYPE_OF_TOMORROW", 404, NotFoundError, False),
            ("A_TYPE_OF_TOMORROW", 418, ServerError, False),
            ("A_TYPE_OF_TOMORROW", 500, ServerError, True),
        ],
    )
    def test_types(
        self,
        error_type: str,
        status: int,
        kind: type[ApplianceError],
        retryable: bool,  # noqa: FBT001 # a column of the table
    ) -> None:
        """The type decides class and retry, whatever the status; only an unknown one does not."""
        messages = [{"id": "top", "default_message": "It failed.", "args": None}, {"id": "root"}]
        body = json.dumps({"error_type": error_type, "messages": messages}).encode()
        known = error_type != "A_TYPE_OF_TOMORROW"
        for sent in (status, 400, 500, 599) if known else (status,):
            error = _raised(sent, body)
            assert (type(error), error.retryable) == (kind, retryable)
            assert (error.error_type, error.status_code) == (error_type, sent)
            assert [message["id"] for message in error.messages] == ["top", "root"]
            if kind is not LoginError:
                assert f'({sent}): "It failed because root"' in str(error)
            assert error.advice.endswith(".")

    @pytest.mark.parametrize("transient", [True, False])
    @pytest.mark.parametrize("error_type", ["UNSUPPORTED", "SERVICE_UNAVAILABLE", "TOMORROW"])
    def test_transient(self, error_type: str, transient: bool) -> None:  # noqa: FBT001 # a column of the table
        """A statement of the appliance about a retry counts more than the type."""
        data = {"is_transient": transient}
        body = json.dumps({"error_type": error_type, "messages": [], "data": data}).encode()
        error = _raised(400, body)
        assert error.retryable is transient
        assert error.data == data

    def test_unprintable_type(self) -> None:
        """A type without a printable character is left out."""
        assert "the request for the job list failed (400)." in str(
            _raised(400, b'{"error_type": "\\u0000"}')
        )

    def test_login_is_never_retried(self) -> None:
        """A refused password is not sent again: the account may be locked after some attempts."""
        data = {"is_transient": True}
        body = json.dumps({"error_type": "UNAUTHENTICATED", "messages": [], "data": data}).encode()
        assert not _raised(500, body, request=LOG_IN).retryable

    def test_cause_of_a_refused_login(self) -> None:
        """The cause below the usual message of a refused login is shown."""
        messages = [
            {"id": AUTHENTICATE, "default_message": "Authentication required."},
            {"id": "sso.expired", "default_message": "The password has expired."},
        ]
        body = json.dumps({"error_type": "UNAUTHENTICATED", "messages": messages}).encode()
        assert str(_raised(401, body, request=LOG_IN)).startswith(
            'login failed (401): "Authentication required because The password has expired.".'
        )

    def test_advice(self) -> None:
        """The advice follows the type: a backup that runs will end, an old version stays."""
        texts = [
            str(_raised(400, json.dumps({"error_type": kind, "messages": []}).encode()))
            for kind in ("FEATURE_IN_USE", "UNSUPPORTED")
        ]
        assert texts[0] == (
            "the request for the job list failed (400, FEATURE_IN_USE). Collect again when the "
            "backup or restore that uses it has ended."
        )
        assert "Check that its version has the backup API" in texts[1]

    @pytest.mark.property
    @given(
        st.integers(100, 199) | st.integers(300, 999),
        st.binary(max_size=40) | st.just(_api("x")),
        st.sampled_from([LOG_IN, LIST]),
    )
    def test_any(self, status: int, body: bytes, request_: Request) -> None:
        """Any status except a success, with any body, is an ApplianceError."""
        error = _raised(status, body, request=request_)
        assert error.status_code == status
        assert f"({status})" in str(error)


class TestClockSkew:
    """clock_skew."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("Mon, 09 Nov 2026 12:07:00 GMT", timedelta(minutes=6, seconds=58)),
            ("Mon, 09 Nov 2026 13:07:00 +0100", timedelta(minutes=6, seconds=58)),
            ("Mon, 09 Nov 2026 12:07:00 -0000", timedelta(minutes=6, seconds=58)),
            ("Mon, 09 Nov 2026 11:50:00 GMT", timedelta(minutes=-10, seconds=1)),
            ("Mon, 09 Nov 2026 12:00:00 GMT", timedelta(0)),
            ("Mon, 09 Nov 2026 11:59:59 GMT", timedelta(0)),
            ("Mon, 09 Nov 2026 12:00:02 GMT", timedelta(0)),
            ("Mon, 09 Nov 2026 12:00:03 GMT", timedelta(seconds=1)),
            ("Mon, 09 Nov 2026 11:59:58 GMT", timedelta(seconds=-1)),
        ],
    )
    def test_skew(self, header: str, expected: timedelta) -> None:
        """The skew is the smallest that explains the header, with 2 s between the times."""
        received = NOON + timedelta(seconds=2)
        assert clock_skew(header, sent=NOON, received=received) == expected

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            " ",
            "soon",
            "Mon, 09 Nov 99999 12:07:00 GMT",
            "Mon, 31 Feb 2026 12:07:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Mon, 09 Nov 2026 12:07:00 +2500",
            "Mon, 09 Nov 2026 12:07:00 +" + "9" * 20,
        ],
    )
    def test_invalid(self, header: str | None) -> None:
        """A header that is missing, no date, or out of range has no skew."""
        assert clock_skew(header, sent=NOON, received=NOON) is None

    @pytest.mark.property
    @given(
        st.text(max_size=40)
        | st.text("Mon, 09Nv2026:+-GMT\t()", max_size=40)
        | st.from_regex(r"Mon, \d{1,5} Nov \d{1,5} \d+:\d+:\d+ ?[+-]?\d*", fullmatch=True)
    )
    def test_any(self, header: str) -> None:
        """Any text as a header is a skew or None, never an error."""
        skew = clock_skew(header, sent=NOON, received=NOON)
        assert skew is None or isinstance(skew, timedelta)

    @pytest.mark.property
    @given(
        st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),  # noqa: DTZ001 # hypothesis takes naive bounds
        st.integers(-86_400, 86_400),
        st.integers(0, 60_000_000),
    )
    def test_bound(self, sent: datetime, ahead: int, travel: int) -> None:
        """The measured skew is never larger than the true one, and never of the other sign."""
        ours = sent.replace(tzinfo=UTC)
        received = ours + timedelta(microseconds=travel)
        appliance = ours + timedelta(seconds=ahead, microseconds=travel // 2)
        header = appliance.strftime("%a, %d %b %Y %H:%M:%S GMT")
        skew = clock_skew(header, sent=ours, received=received)
        assert skew is not None
        true = timedelta(seconds=ahead)
        assert min(true, timedelta(0)) <= skew <= max(true, timedelta(0))
