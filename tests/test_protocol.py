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
LOGIN_FAILED = "login failed (401). Check the user and password of this appliance"
SESSION_ENDED = "the session ended before the job list was read (401). Try again."
NOT_ALLOWED = 'the user may not read the job list (403): "Not you.". Put the user'
NOT_FOUND = 'the job list does not exist (404): "Gone.". Check that host'
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
        raise_for_status(request, status, headers, body)
    return caught.value


class TestRaiseForStatus:
    """raise_for_status."""

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_success(self, status: int) -> None:
        """A success raises nothing, whatever its body."""
        raise_for_status(protocol.list_jobs(API), status, {}, HTML)

    @pytest.mark.parametrize(
        ("status", "body", "request_", "kind", "sentence"),
        [
            (302, HTML, LOG_IN, PayloadError, "the login was redirected (302); redirects are"),
            (401, _api("Authentication required."), LOG_IN, LoginError, LOGIN_FAILED),
            (401, _api("Authentication required."), LIST, LoginError, SESSION_ENDED),
            (403, _api("Not you."), LIST, RightsError, NOT_ALLOWED),
            (404, _api("Gone."), LIST, NotFoundError, NOT_FOUND),
            (404, HTML, LOG_IN, NotFoundError, f"the login does not exist (404){NOT_API}."),
            (429, _api("Slow down."), LIST, BusyError, f'{BUSY} (429): "Slow down.". Collect'),
            (429, b"", LOG_IN, BusyError, f"{BUSY} (429). Collect again in"),
            (503, _api("Limit of 550.", SESSION_LIMIT), LOG_IN, BusyError, NO_SESSION),
            (503, _api(), LIST, BusyError, f"{BUSY} (503). Collect again in"),
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
            ("Mon, 09 Nov 2026 12:07:00 GMT", None),
        ],
    )
    def test_retry_after(self, status: int, header: str | None, seconds: float | None) -> None:
        """Retry-After counts in seconds; any other value is ignored."""
        assert _raised(status, retry_after=header).retry_after == seconds

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
