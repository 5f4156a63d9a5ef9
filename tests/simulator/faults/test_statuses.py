"""Faults with another status, in the form of flavour and release."""

from collections.abc import Callable

import msgspec
import pytest

from backupkit.simulator import SimulatedAppliance
from backupkit.simulator.wire import Reply

BACKUP = "/appliance/recovery/backup"
Make = Callable[..., SimulatedAppliance]
FaultyReply = Callable[..., Reply]
KINDS = (
    ("error", 500, "INTERNAL_SERVER_ERROR"),
    ("unavailable", 503, "SERVICE_UNAVAILABLE"),
    ("unauthenticated", 401, "UNAUTHENTICATED"),
    ("forbidden", 403, "UNAUTHORIZED"),
    ("not_found", 404, "NOT_FOUND"),
    ("session_limit", 503, "SERVICE_UNAVAILABLE"),
)


class TestShapes:
    """Forms of errors of the API."""

    @pytest.mark.parametrize(("kind", "status", "word"), KINDS)
    def test_api(
        self, make: Make, faulty_reply: FaultyReply, kind: str, status: int, word: str
    ) -> None:
        """The new flavour has the error's type beside its messages."""
        reply = faulty_reply(make(), kind)
        body = msgspec.json.decode(reply.body)
        assert (reply.status, body["error_type"]) == (status, word)
        assert set(body["messages"][0]) == {"id", "default_message", "args"}

    @pytest.mark.parametrize(("kind", "status", "word"), KINDS)
    def test_rest(
        self, make: Make, faulty_reply: FaultyReply, kind: str, status: int, word: str
    ) -> None:
        """The legacy flavour names the type and wraps the value."""
        reply = faulty_reply(make(), kind, f"/rest{BACKUP}/job")
        body = msgspec.json.decode(reply.body)
        assert (reply.status, body["type"]) == (
            status,
            f"com.vmware.vapi.std.errors.{word.lower()}",
        )
        assert body["value"]["error_type"] == word

    @pytest.mark.parametrize(("kind", "status"), [(kind, status) for kind, status, _ in KINDS])
    def test_old(self, make: Make, faulty_reply: FaultyReply, kind: str, status: int) -> None:
        """Before 7.0 there is no error type, and 404 has its own form."""
        reply = faulty_reply(make(version="6.7"), kind, f"/rest{BACKUP}/job")
        body = msgspec.json.decode(reply.body)
        assert reply.status == status
        if kind == "not_found":
            assert body["majorErrorCode"] == 404
        else:
            assert set(body["value"]) == {"messages"}


class TestKinds:
    """Properties of single kinds."""

    @pytest.mark.parametrize(
        ("settings", "header"), [({}, None), ({"retry_after": 7}, "7"), ({"retry_after": "?"}, "?")]
    )
    def test_unavailable(
        self, make: Make, faulty_reply: FaultyReply, settings: dict[str, object], header: str | None
    ) -> None:
        """503 has the given Retry-After, right or wrong."""
        assert (
            dict(faulty_reply(make(), "unavailable", **settings).headers).get("Retry-After")
            == header
        )

    @pytest.mark.parametrize(("settings", "header"), [({}, "1"), ({"retry_after": 0}, "0")])
    def test_too_many(
        self, make: Make, faulty_reply: FaultyReply, settings: dict[str, object], header: str
    ) -> None:
        """429 has the text of a proxy and a Retry-After."""
        reply = faulty_reply(make(), "too_many", **settings)
        assert (reply.status, reply.body) == (429, b"local_rate_limited")
        assert dict(reply.headers) == {"Content-Type": "text/plain", "Retry-After": header}

    def test_bad_gateway(self, make: Make, faulty_reply: FaultyReply) -> None:
        """502 has the text of a proxy."""
        reply = faulty_reply(make(), "bad_gateway")
        assert (reply.status, dict(reply.headers)) == (502, {"Content-Type": "text/plain"})
        assert reply.body.startswith(b"upstream connect error")

    def test_redirect(self, make: Make, faulty_reply: FaultyReply) -> None:
        """A redirect points to another host, by default one that does not exist."""
        reply = faulty_reply(make(), "redirect")
        assert (reply.status, dict(reply.headers)) == (302, {"Location": "https://127.0.0.1:9/"})
        reply = faulty_reply(make(), "redirect", to="https://evil.test/")
        assert dict(reply.headers)["Location"] == "https://evil.test/"

    def test_session_limit(self, make: Make, faulty_reply: FaultyReply) -> None:
        """The response is the same as of an appliance at its session limit."""
        reply = faulty_reply(make(), "session_limit", "/api/session", "POST")
        identifier = b"com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached"
        assert (reply.status, identifier in reply.body) == (503, True)

    def test_unauthenticated(self, make: Make, faulty_reply: FaultyReply) -> None:
        """The session has ended, and the response has a challenge."""
        appliance = make()
        reply = faulty_reply(appliance, "unauthenticated")
        assert len(appliance.sessions) == 0
        assert "WWW-Authenticate" in dict(reply.headers)

    def test_not_found(self, make: Make, faulty_reply: FaultyReply) -> None:
        """The error of an unknown job differs from that of an unknown address."""
        appliance = make()
        job = faulty_reply(appliance, "not_found", f"/api{BACKUP}/job/a%20c")
        assert b"Backup job a c does not exist." in job.body
        assert b"httpNotFound" in faulty_reply(appliance, "not_found", f"/api{BACKUP}/job").body
