"""The rules of the API, request by request, without a socket."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from backupkit.simulator import SimulatedAppliance
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Reply, Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
BACKUP = "/appliance/recovery/backup"
UNKNOWN = "com.vmware.vapi.rest.httpNotFound"

Make = Callable[..., SimulatedAppliance]
LogIn = Callable[..., Reply]
Ask = Callable[..., tuple[int, object]]
Asked = Callable[..., tuple[int, "Json"]]
Json = dict[str, object]


def send(appliance: SimulatedAppliance, method: str, target: str, **headers: str) -> Reply:
    """Respond to a request with headers, whose underscores stand for dashes."""
    spelt = {name.replace("_", "-"): value for name, value in headers.items()}
    return respond(appliance, Request(method=method, target=target, headers=spelt))


class TestLogIn:
    """Log-in."""

    def test_new_flavour(self, make: Make, log_in: LogIn) -> None:
        """The new log-in is answered with 201 and a bare string, and sets no cookie."""
        reply = log_in(make(), "api")
        assert reply.status == 201
        assert re.fullmatch(rb'"[0-9a-f]{32}"', reply.body)
        assert "Set-Cookie" not in dict(reply.headers)

    def test_legacy_flavour(self, make: Make, log_in: LogIn) -> None:
        """The legacy log-in is answered with 200, an envelope, and the token as a cookie too."""
        reply = log_in(make(), "rest")
        assert reply.status == 200
        token = msgspec.json.decode(reply.body)["value"]
        cookie = dict(reply.headers)["Set-Cookie"]
        assert cookie.startswith(f"vmware-api-session-id={token};Path=/rest")

    def test_header_only(self, make: Make, log_in: LogIn) -> None:
        """A client can refuse the cookie."""
        reply = log_in(make(), "rest", vmware_use_header_authn="true")
        assert "Set-Cookie" not in dict(reply.headers)

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    def test_wrong_password(self, make: Make, log_in: LogIn, flavour: str) -> None:
        """A wrong password and a missing token have the same response, with a challenge."""
        appliance = make()
        refused = log_in(appliance, flavour, "wrong")
        assert refused == send(appliance, "GET", f"/{flavour}{BACKUP}/job")
        assert refused.status == 401
        body = msgspec.json.decode(refused.body)
        body = body if flavour == "api" else body["value"]
        assert body["challenge"].startswith('Basic realm="VAPI endpoint",SIGN realm=')
        assert dict(refused.headers)["WWW-Authenticate"] == body["challenge"]

    @pytest.mark.parametrize("header", ["", "Basic", "Basic ä", "Basic /w==", "Bearer abcd"])
    def test_invalid_credentials(self, make: Make, header: str) -> None:
        """Credentials that are invalid, or of another scheme, are refused like wrong ones."""
        assert send(make(), "POST", "/api/session", authorization=header).status == 401

    def test_old_release(self, make: Make) -> None:
        """Before 7.0 the body has neither a challenge nor an error type."""
        reply = send(make(version="6.7"), "GET", f"/rest{BACKUP}/job")
        body = msgspec.json.decode(reply.body)
        assert set(body) == {"type", "value"}
        assert set(body["value"]) == {"messages"}

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    def test_limit(self, make: Make, log_in: LogIn, flavour: str) -> None:
        """At the limit log-in is answered with 503, until a session ends."""
        appliance = make(session_limit=2)
        token = msgspec.json.decode(log_in(appliance, "api").body)
        assert log_in(appliance, flavour).status < 300
        full = log_in(appliance, flavour)
        assert full.status == 503
        assert b"failedToLoginMaxUserSessionCountReached" in full.body
        assert b"User session count is limited to 2." in full.body
        send(appliance, "DELETE", "/api/session", vmware_api_session_id=token)
        assert log_in(appliance, flavour).status < 300


class TestSession:
    """Sessions and their end."""

    @pytest.fixture
    def appliance(self, make: Make) -> SimulatedAppliance:
        """Return an appliance of both flavours."""
        return make()

    @pytest.fixture
    def token(self, appliance: SimulatedAppliance, log_in: LogIn) -> str:
        """Return a token of the new flavour's log-in."""
        return str(msgspec.json.decode(log_in(appliance, "api").body))

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    def test_one_table(self, appliance: SimulatedAppliance, token: str, flavour: str) -> None:
        """A token of one flavour is valid in the other."""
        target = f"/{flavour}{BACKUP}/job"
        assert send(appliance, "GET", target, vmware_api_session_id=token).status == 200

    def test_cookie(self, appliance: SimulatedAppliance, token: str) -> None:
        """The cookie is as valid as the header, unless the client requires the header."""
        cookie = f"other=1; vmware-api-session-id={token}"
        target = f"/rest{BACKUP}/job"
        assert send(appliance, "GET", target, cookie=cookie).status == 200
        insisting = send(appliance, "GET", target, cookie=cookie, vmware_use_header_authn="true")
        assert insisting.status == 401

    def test_session_info(
        self, appliance: SimulatedAppliance, token: str, moment: list[datetime]
    ) -> None:
        """Both flavours return the user, when it logged in and its newest request."""
        moment[0] += timedelta(minutes=5)
        new = send(appliance, "GET", "/api/session", vmware_api_session_id=token)
        expected = {
            "user": "administrator@vsphere.local",
            "created_time": "2026-11-23T14:00:00.000Z",
            "last_accessed_time": "2026-11-23T14:05:00.000Z",
        }
        assert msgspec.json.decode(new.body) == expected
        target = "/rest/com/vmware/cis/session?~action=get"
        legacy = send(appliance, "POST", target, vmware_api_session_id=token)
        assert msgspec.json.decode(legacy.body) == {"value": expected}

    @pytest.mark.parametrize(
        ("target", "status"), [("/api/session", 204), ("/rest/com/vmware/cis/session", 200)]
    )
    def test_log_out(
        self, appliance: SimulatedAppliance, token: str, target: str, status: int
    ) -> None:
        """Log-out has no body, and the token is invalid afterwards."""
        reply = send(appliance, "DELETE", target, vmware_api_session_id=token)
        assert (reply.status, reply.body) == (status, b"")
        assert send(appliance, "GET", "/api/session", vmware_api_session_id=token).status == 401

    def test_idle(self, appliance: SimulatedAppliance, token: str, moment: list[datetime]) -> None:
        """A session ends after half an hour without a request."""
        for _ in range(3):
            moment[0] += timedelta(minutes=20)
            reply = send(appliance, "GET", "/api/session", vmware_api_session_id=token)
            assert reply.status == 200
        assert len(appliance.sessions) == 1
        moment[0] += timedelta(minutes=31)
        assert len(appliance.sessions) == 0
        assert send(appliance, "GET", "/api/session", vmware_api_session_id=token).status == 401

    def test_session_info_after_the_end(
        self, appliance: SimulatedAppliance, token: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A session that ends while its request is answered is refused."""
        touch, answers = appliance.sessions.touch, iter([True, False])
        monkeypatch.setattr(
            appliance.sessions, "touch", lambda t: touch(t) if next(answers) else None
        )
        assert send(appliance, "GET", "/api/session", vmware_api_session_id=token).status == 401

    @pytest.mark.parametrize(
        ("flavour", "kind"),
        [("api", "UNAUTHORIZED"), ("rest", "com.vmware.vapi.std.errors.unauthorized")],
    )
    def test_revoked(self, make: Make, ask: Asked, flavour: str, kind: str) -> None:
        """A user without rights can log in, and every other request is answered with 403."""
        appliance = make()
        appliance.revoked = True
        status, body = ask(appliance, f"{BACKUP}/job", flavour=flavour)
        assert status == 403
        assert body["error_type" if flavour == "api" else "type"] == kind


class TestRouting:
    """Addresses."""

    @pytest.mark.parametrize(
        ("version", "target", "status"),
        [
            ("6.5", "/api/session", 404),
            ("6.5", f"/rest{BACKUP}/job", 401),
            ("6.5", f"/rest{BACKUP}/schedules", 404),
            ("6.5", "/rest/appliance/recovery", 404),
            ("6.7", "/api/session", 404),
            ("6.7", f"/rest{BACKUP}/job/details", 401),
            ("6.7", f"/rest{BACKUP}/schedules", 401),
            ("7.0.1", "/api/session", 404),
            ("7.0.1", f"/rest{BACKUP}/schedules", 401),
            ("7.0.2", "/api/session", 401),
            ("7.0.2", f"/rest{BACKUP}/job", 401),
            ("8.0.3", f"/api{BACKUP}/job", 401),
            ("9.0.0", f"/rest{BACKUP}/job", 401),
            ("8.0.3", "/api/no/such/thing", 404),
            ("8.0.3", "/rest/no/such/thing", 404),
            ("8.0.3", f"/api{BACKUP}/job/", 404),
            ("8.0.3", "/", 404),
        ],
    )
    def test_before_log_in(self, make: Make, version: str, target: str, status: int) -> None:
        """Without a session a known address is 401, an unknown one 404, by release."""
        assert send(make(version=version), "GET", target).status == status

    def test_no_details_in_6_5(self, make: Make, ask: Asked) -> None:
        """In 6.5 ``details`` is an id of no job."""
        status, body = ask(make(version="6.5"), f"{BACKUP}/job/details", flavour="rest")
        assert status == 404
        assert b"Backup job details does not exist." in msgspec.json.encode(body)

    def test_unknown_before_7_0(self, make: Make) -> None:
        """Before 7.0 an unknown address has its own form of error."""
        reply = send(make(version="6.5"), "GET", "/rest/nothing")
        assert msgspec.json.decode(reply.body) == {
            "localizableMessages": [{"defaultMessage": "Not found.", "id": UNKNOWN}],
            "majorErrorCode": 404,
            "name": UNKNOWN,
        }

    def test_other_method(self, make: Make) -> None:
        """Another method of an address is an unknown operation."""
        assert send(make(), "PATCH", f"/api{BACKUP}/job").status == 404

    def test_html(self, make: Make) -> None:
        """Behind a proxy without services every address returns a page."""
        appliance = make()
        appliance.html = True
        reply = send(appliance, "GET", "/api/session")
        assert reply.status == 503
        assert dict(reply.headers)["Content-Type"].startswith("text/html")


class TestRead:
    """Resources that can be read."""

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("/appliance/recovery", {"supported": True}),
            ("/appliance/system/time/timezone", "Europe/Berlin"),
            (f"{BACKUP}/parts/common", 480),
        ],
    )
    def test_envelope(
        self, make: Make, ask: Ask, flavour: str, target: str, expected: object
    ) -> None:
        """The legacy flavour wraps the value that the new one returns bare."""
        status, body = ask(make(), target, flavour=flavour)
        assert status == 200
        assert body == (expected if flavour == "api" else {"value": expected})

    def test_version(self, make: Make, ask: Asked) -> None:
        """The version resource has release and build."""
        _, body = ask(make(), "/appliance/system/version")
        assert (body["version"], body["build"]) == ("8.0.3.00400", "24322831")
        assert set(body) == {
            *("version", "product", "build", "type", "summary", "releasedate", "install_time")
        }

    def test_order(self, make: Make, ask: Ask) -> None:
        """The job list has the newest first, the details last, in both flavours."""
        appliance = make()
        ids = [job.id for job in appliance.jobs()]
        assert ask(appliance, f"{BACKUP}/job")[1] == ids[::-1]
        _, details = ask(appliance, f"{BACKUP}/job/details")
        assert isinstance(details, dict)
        assert list(details) == ids
        _, legacy = ask(appliance, f"{BACKUP}/job/details", flavour="rest")
        assert legacy == {"value": [{"key": k, "value": v} for k, v in details.items()]}

    @pytest.mark.parametrize(
        ("flavour", "query"),
        [
            ("api", "jobs={0}&jobs={1}&jobs=unknown"),
            ("rest", "filter.jobs.1={0}&filter.jobs.2={1}"),
            ("rest", "filter.jobs={0}&filter.jobs={1}"),
        ],
    )
    def test_filter(self, make: Make, ask: Asked, flavour: str, query: str) -> None:
        """Every spelling of the filter selects jobs; unknown ids are left out."""
        appliance = make()
        wanted = [job.id for job in appliance.jobs()][3:5]
        _, body = ask(appliance, f"{BACKUP}/job/details?{query.format(*wanted)}", flavour=flavour)
        if flavour == "rest":
            pairs = body["value"]
            assert isinstance(pairs, list)
            assert [pair["key"] for pair in pairs] == wanted
        else:
            assert list(body) == wanted

    @pytest.mark.parametrize(
        ("name", "target", "flavour", "body"),
        [
            ("vc-ham-01", "job/details?jobs=unknown", "api", {}),
            ("vc-tyo-04", "job", "api", []),
            ("vc-tyo-04", "job/details", "api", {}),
            ("vc-tyo-04", "job/details", "rest", {"value": []}),
        ],
    )
    def test_empty(
        self, make: Make, ask: Ask, name: str, target: str, flavour: str, body: object
    ) -> None:
        """A filter without a match, and a replaced appliance, have no jobs."""
        assert ask(make(name), f"{BACKUP}/{target}", flavour=flavour) == (200, body)

    @pytest.mark.parametrize("kind", ["job", "parts", "schedules"])
    def test_unknown_id(self, make: Make, ask: Asked, kind: str) -> None:
        """An unknown id is 404, with the id among the arguments."""
        status, body = ask(make(), f"{BACKUP}/{kind}/no%20such")
        assert status == 404
        messages = body["messages"]
        assert isinstance(messages, list)
        assert messages[0]["args"] == ["no such"]

    def test_schedule(self, make: Make, ask: Ask) -> None:
        """The list and the single schedule agree, and no password is returned."""
        appliance = make(days=("MONDAY",))
        _, schedules = ask(appliance, f"{BACKUP}/schedules")
        _, schedule = ask(appliance, f"{BACKUP}/schedules/default")
        assert schedules == {"default": schedule}
        assert isinstance(schedule, dict)
        assert schedule["recurrence_info"]["days"] == ["MONDAY"]
        assert not any("password" in key for key in schedule)

    def test_parts(self, make: Make, ask: Ask) -> None:
        """Both parts are listed; the common one is not optional."""
        _, parts = ask(make(), f"{BACKUP}/parts")
        assert isinstance(parts, list)
        assert [(part["id"], part["optional"]) for part in parts] == [
            ("common", False),
            ("seat", True),
        ]

    def test_same_bytes(self, make: Make, log_in: LogIn) -> None:
        """Same seed, epoch and clock have the same bytes, token included."""
        targets = (f"{BACKUP}/job", f"{BACKUP}/job/details", f"{BACKUP}/schedules", "/session")
        runs = []
        for _ in range(2):
            appliance = make("vc-ham-04")
            first = log_in(appliance, "api")
            token = msgspec.json.decode(first.body)
            runs.append(
                [first]
                + [
                    send(appliance, "GET", f"/api{target}", vmware_api_session_id=token)
                    for target in targets
                ]
            )
        assert runs[0] == runs[1]
