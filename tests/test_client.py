"""ApplianceClient over HTTPS, with simulated appliances and invalid responses."""

import contextlib
import json
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backupkit.client import ApplianceClient, Limits, connection_errors, tls
from backupkit.errors import (
    BusyError,
    CertificateError,
    DeadlineError,
    LoginError,
    NotFoundError,
    PayloadError,
    RightsError,
    ServerError,
    SettingsError,
    UnreachableError,
)
from backupkit.fleet import Appliance
from backupkit.wire import Flavour
from tests.conftest import Listen, OddServer, Response, Simulated, epoch

PASSWORD = "correct horse battery staple"


def open_client(running: Simulated, name: str, **changes: object) -> ApplianceClient:
    """Return a client of one simulated appliance."""
    appliance = replace(running.fleet[name], **changes)  # type: ignore[arg-type] # the test knows the fields
    return ApplianceClient(appliance, running.appliances[name].password, clock=epoch)


class TestSession:
    """Log-in, log-out and API flavour."""

    def test_newer_appliance(self, demo: Simulated) -> None:
        """An appliance of 8.0 is read through /api, and the session is closed."""
        with open_client(demo, "vc-ham-01") as client:
            assert client.flavour is Flavour.API
            assert len(client.job_ids()[0]) == 90
            assert demo.appliances.open_sessions == 1
            assert client.requests == 2
        assert client.requests == 3
        assert demo.appliances.open_sessions == 0

    def test_older_appliance(self, demo: Simulated) -> None:
        """An appliance of 6.7 is read through /rest, with the same results."""
        with open_client(demo, "vc-nyc-02") as client:
            assert client.flavour is Flavour.REST
            assert client.version().startswith("6.7")
            assert client.timezone() == "America/New_York"
            [(jobs, decode_errors)] = client.details()
            assert len(jobs) == len(client.job_ids()[0])
            assert decode_errors == {}

    def test_oldest_appliance(self, demo: Simulated) -> None:
        """An appliance of 6.5 has jobs, but neither details nor schedules."""
        with open_client(demo, "vc-nyc-04") as client:
            newest = client.job_ids()[0][0]
            assert client.job(newest).job_id == newest
            with pytest.raises(NotFoundError):
                list(client.details())
            with pytest.raises(NotFoundError):
                client.schedules()

    def test_outside_its_context(self, demo: Simulated) -> None:
        """A client outside its context sends no request."""
        with pytest.raises(RuntimeError, match="outside its context"):
            open_client(demo, "vc-ham-01").job_ids()

    def test_logs_out_after_an_error(self, demo: Simulated) -> None:
        """An error closes the session."""
        with pytest.raises(ZeroDivisionError), open_client(demo, "vc-ham-01"):
            raise ZeroDivisionError
        assert demo.appliances.open_sessions == 0

    def test_failed_log_out_after_an_error(self, odd: OddServer) -> None:
        """After an error a failed log-out is a note of that error."""
        odd.serve_api()
        odd.respond("DELETE /api/session", b"", 500)
        with pytest.raises(ZeroDivisionError) as caught, ApplianceClient(odd.appliance(), PASSWORD):
            raise ZeroDivisionError
        assert "logout failed too" in caught.value.__notes__[0]

    def test_failed_log_out(self, odd: OddServer) -> None:
        """A failed log-out alone is no error."""
        odd.serve_api()
        odd.respond("DELETE /api/session", b"", 500)
        with ApplianceClient(odd.appliance(), PASSWORD) as client:
            assert client.job_ids() == ([], {})

    def test_details_by_pages(self, demo: Simulated) -> None:
        """Details of many jobs are requested in pages, so that no URL is too long."""
        with open_client(demo, "vc-ham-01") as client:
            wanted = client.job_ids()[0][:60]
            pages = [jobs for jobs, _ in client.details(wanted)]
        assert [len(page) for page in pages] == [50, 10]
        assert {job.job_id for page in pages for job in page} == set(wanted)

    def test_clock_skew(self, demo: Simulated) -> None:
        """The clock skew of an appliance is measured."""
        with open_client(demo, "vc-tyo-01") as client:
            assert client.clock_skew is not None
            assert 435 < client.clock_skew.total_seconds() < 442


class ExpiringSession(dict[str, Response]):
    """Responses of an appliance whose first session expires during two requests."""

    def __init__(self, responses: dict[str, Response]) -> None:
        super().__init__(responses)
        self.log_ins, self.jobs, self.both = count(1), count(1), threading.Barrier(2)

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
        """Return the response to one request."""
        if path == "POST /api/session":
            return 201, {}, b'"token-%d"' % next(self.log_ins)
        if "/job/" in path and next(self.jobs) <= 2:
            self.both.wait(30)
            return 401, {}, b""
        return super().get(path, default)


class TestRenewal:
    """An expired session is renewed once."""

    def test_concurrent_requests(self, odd: OddServer) -> None:
        """Of two threads with an expired session one logs in, and both continue."""
        odd.serve_api()
        odd.responses = expiring = ExpiringSession(odd.responses)
        with ApplianceClient(odd.appliance(), PASSWORD) as client, ThreadPoolExecutor(2) as threads:
            requests = [threads.submit(client.job, job_id) for job_id in ("a", "b")]
            errors = [request.exception(60) for request in requests]
        assert [type(error) for error in errors] == [NotFoundError] * 2
        assert next(expiring.log_ins) == 3

    def test_not_twice(self, demo: Simulated) -> None:
        """A session that expires a second time is a LoginError."""
        with open_client(demo, "vc-ham-01") as client:
            demo.appliances.expire_sessions("vc-ham-01")
            assert len(client.job_ids()[0]) == 90
            demo.appliances.expire_sessions("vc-ham-01")
            with pytest.raises(LoginError, match="the session ended"):
                client.job_ids()


class SlowLogin(dict[str, Response]):
    """Responses whose first log-in waits for an event."""

    def __init__(self, responses: dict[str, Response]) -> None:
        super().__init__(responses)
        self.waiting, self.go_on = threading.Event(), threading.Event()

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
        """Return the response to one request."""
        if path == "POST /api/session" and not self.waiting.is_set():
            self.waiting.set()
            self.go_on.wait(30)
        return super().get(path, default)


class TestConcurrencyLimit:
    """A request above the limit of concurrent requests waits."""

    def test_deadline(self, odd: OddServer) -> None:
        """The wait ends with the deadline of the collection, as a DeadlineError."""
        odd.serve_api()
        odd.responses = slow = SlowLogin(odd.responses)
        limits = Limits(concurrency=1, deadline=60)

        def count_jobs() -> int:
            with ApplianceClient(odd.appliance(), PASSWORD, limits=limits) as client:
                return len(client.job_ids()[0])

        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(count_jobs)
            assert slow.waiting.wait(30)
            second = ApplianceClient(
                odd.appliance(), PASSWORD, limits=limits, deadline=time.monotonic() + 0.6
            )
            with pytest.raises(DeadlineError, match="deadline of the collection passed"):
                second.__enter__()
            slow.go_on.set()
            assert first.result(30) == 0


class TestTrust:
    """Trusted and refused certificates."""

    def test_unknown_authority(self, demo: Simulated) -> None:
        """A certificate of an unknown authority is refused; the error has both ways to trust it."""
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", ca_bundle=None).__enter__()
        assert "ca_bundle" in str(caught.value)
        assert 'fingerprint = "sha256:' in str(caught.value)

    def test_pinned_certificate(self, demo: Simulated) -> None:
        """A pinned certificate is trusted without an authority."""
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", ca_bundle=None).__enter__()
        pin = str(caught.value).partition("sha256:")[2][:64]
        with open_client(demo, "vc-ham-01", ca_bundle=None, fingerprint=pin) as client:
            assert len(client.job_ids()[0]) == 90

    def test_other_certificate_than_pinned(self, demo: Simulated) -> None:
        """A certificate other than the pinned one is refused."""
        with pytest.raises(CertificateError, match="not the one pinned for vc-ham-01"):
            open_client(demo, "vc-ham-01", fingerprint="ab" * 32).__enter__()

    def test_environment_is_ignored(self, demo: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """Proxies and CA bundles of the environment are ignored."""
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        with open_client(demo, "vc-ham-01") as client:
            assert len(client.job_ids()[0]) == 90

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_invalid_bundle(self, demo: Simulated, tmp_path: Path, content: str | None) -> None:
        """A CA bundle that is missing or has no certificate is an error with its name."""
        bundle = tmp_path / "invalid.pem"
        if content is not None:
            bundle.write_text(content)
        with pytest.raises(SettingsError, match=r"invalid\.pem cannot be used"):
            open_client(demo, "vc-ham-01", ca_bundle=bundle)


class TestRefusals:
    """Error responses."""

    def test_wrong_password(self, own_demo: Simulated) -> None:
        """A wrong password is a LoginError without the password."""
        own_demo.appliances.set_password("vc-ham-01", "another")
        appliance = own_demo.fleet["vc-ham-01"]
        with pytest.raises(LoginError, match=r"login failed \(401\)") as caught:
            ApplianceClient(appliance, PASSWORD).__enter__()
        assert PASSWORD not in str(caught.value)

    def test_no_rights(self, own_demo: Simulated) -> None:
        """The error of a user without rights names the group."""
        own_demo.appliances.revoke("vc-ham-01")
        with (
            pytest.raises(RightsError, match=r"SystemConfiguration\.Administrators"),
            open_client(own_demo, "vc-ham-01") as client,
        ):
            client.job_ids()

    def test_proxy_page(self, own_demo: Simulated) -> None:
        """A proxy's 503 page is a ServerError that says it is not from the API."""
        own_demo.appliances.answer_html("vc-ham-01")
        with pytest.raises(ServerError, match="not from the API"):
            open_client(own_demo, "vc-ham-01").__enter__()

    def test_session_limit(self, odd: OddServer) -> None:
        """A response without a free session is a BusyError, which can be retried."""
        limit = "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached"
        message = {"id": limit, "default_message": "Too many.", "args": []}
        body = json.dumps({"error_type": "SERVICE_UNAVAILABLE", "messages": [message]}).encode()
        odd.respond("POST /api/session", body, 503, Retry_After="7")
        with pytest.raises(BusyError, match="no free session") as caught:
            ApplianceClient(odd.appliance(), PASSWORD, limits=Limits(deadline=5)).__enter__()
        assert caught.value.retryable
        assert caught.value.retry_after == 7.0

    def test_redirect(self, odd: OddServer) -> None:
        """A redirect is not followed, so the credentials go to no other host."""
        odd.respond("POST /api/session", b"", 302, Location="https://127.0.0.1:9/elsewhere")
        with pytest.raises(PayloadError, match="redirect"):
            ApplianceClient(odd.appliance(), PASSWORD).__enter__()
        assert len(odd.seen) == 1

    def test_html_with_status_200(self, odd: OddServer) -> None:
        """An HTML page in place of JSON is a PayloadError."""
        odd.serve_api()
        odd.respond("GET /api/appliance/recovery/backup/job", b"<!DOCTYPE html><html></html>")
        with (
            pytest.raises(PayloadError, match="is HTML and not JSON"),
            ApplianceClient(odd.appliance(), PASSWORD) as client,
        ):
            client.job_ids()

    def test_too_large(self, odd: OddServer) -> None:
        """A response larger than the limit is a PayloadError."""
        odd.serve_api()
        odd.respond("GET /api/appliance/recovery/backup/job", b"[" + b" " * 200 + b"]")
        with (
            pytest.raises(PayloadError, match="larger than"),
            ApplianceClient(odd.appliance(), PASSWORD, limits=Limits(body=100)) as client,
        ):
            client.job_ids()

    @pytest.mark.parametrize("job_id", [".", "..", ""])
    def test_relative_id(self, demo: Simulated, job_id: str) -> None:
        """An id that would change the path of the URL is not sent."""
        with open_client(demo, "vc-ham-01") as client:
            with pytest.raises(PayloadError, match="cannot be requested"):
                client.job(job_id)
            assert client.requests == 1


class TestNoConnection:
    """Errors without a response."""

    def test_refused(self, own_demo: Simulated) -> None:
        """A closed port is an UnreachableError."""
        own_demo.appliances.stop("vc-ham-01")
        with pytest.raises(UnreachableError, match="refused the connection"):
            open_client(own_demo, "vc-ham-01").__enter__()

    def test_unknown_name(self, demo: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host without an address is a failed name lookup."""

        def unknown(*_args: object, **_kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # needs no name server
        with pytest.raises(UnreachableError, match=r"no host is named nosuch\.invalid"):
            open_client(demo, "vc-ham-01", host="nosuch.invalid").__enter__()

    def test_connect_timeout(self, demo: Simulated) -> None:
        """A port with a full queue is unreachable after the connect timeout."""
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.socket())
            server.bind(("127.0.0.1", 0))
            server.listen(0)
            for _ in range(4):
                connection = stack.enter_context(socket.socket())
                connection.setblocking(False)
                connection.connect_ex(server.getsockname())
            appliance = replace(
                demo.fleet["vc-ham-01"], host=f"127.0.0.1:{server.getsockname()[1]}"
            )
            client = ApplianceClient(appliance, PASSWORD, limits=Limits(connect=0.3))
            with pytest.raises(
                UnreachableError, match=r"cannot be reached: no response within 0\.3 s"
            ):
                client.__enter__()

    def test_read_timeout(self, demo: Simulated, listener: Listen) -> None:
        """A host that does not respond is unreachable after the timeout."""

        def listen_and_wait(connection: socket.socket) -> None:
            while connection.recv(99):
                pass

        host = listener(listen_and_wait)
        appliance = replace(demo.fleet["vc-ham-01"], host=host)
        client = ApplianceClient(appliance, PASSWORD, limits=Limits(connect=0.2))
        with pytest.raises(UnreachableError, match=r"not respond to the login in time \(0\.2 s"):
            client.__enter__()

    def test_no_tls(self, demo: Simulated, listener: Listen) -> None:
        """The error of a port without TLS says so."""
        host = listener(lambda connection: connection.sendall(b"220 not what you want\r\n" * 9))
        with pytest.raises(UnreachableError, match="does not use TLS"):
            open_client(demo, "vc-ham-01", host=host).__enter__()

    def test_broken_connection(self, odd: OddServer) -> None:
        """A connection that breaks during a response is an UnreachableError."""
        odd.respond("POST /api/session", b'"to', 201, Content_Length="400", Connection="close")
        with pytest.raises(UnreachableError, match="broke at the login"):
            ApplianceClient(odd.appliance(), PASSWORD, limits=Limits(read=20)).__enter__()

    def test_no_certificate(self) -> None:
        """Without a connection there is no certificate."""
        assert tls.fetch_certificate("127.0.0.1:1", 0.2) == b""

    def test_certificate_error_without_fingerprint(
        self, demo: Simulated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error has no fingerprint if the certificate cannot be read again."""
        monkeypatch.setattr(connection_errors, "fetch_certificate", lambda *_args: b"")
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", ca_bundle=None).__enter__()
        assert "fingerprint" not in str(caught.value)
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", fingerprint="ab" * 32).__enter__()
        assert "it is sha256" not in str(caught.value)


def test_language(odd: OddServer) -> None:
    """The language of an appliance is part of each request; without one there is no such header."""
    odd.serve_api()
    german = replace(odd.appliance(), language="de-DE, en;q=0.5")
    for appliance in (german, odd.appliance()):
        with ApplianceClient(appliance, PASSWORD) as client:
            client.job_ids()
    sent = [headers.get("Accept-Language") for _, _, headers in odd.seen]
    assert sent == ["de-DE, en;q=0.5"] * 3 + [None] * 3


class TestSecrets:
    """Passwords and tokens."""

    def test_debug_log(self, odd: OddServer, caplog: pytest.LogCaptureFixture) -> None:
        """Neither password nor token is in the debug log, the repr or an error."""
        caplog.set_level(logging.DEBUG)
        odd.serve_api()
        odd.respond("GET /api/appliance/recovery/backup/job", b"", 500)
        with ApplianceClient(odd.appliance(), PASSWORD) as client:
            assert repr(client) == "ApplianceClient('vc-odd', flavour=api)"
            with pytest.raises(ServerError) as caught:
                client.job_ids()
        texts = f"{caplog.text} {caught.value!r}"
        assert "POST /api/session" in texts
        for secret in (PASSWORD, "token-of-the-odd-server", "Basic "):
            assert secret not in texts

    def test_only_the_log_in_has_the_password(self, odd: OddServer) -> None:
        """After the log-in only the token is sent."""
        odd.serve_api()
        with ApplianceClient(odd.appliance(), PASSWORD) as client:
            client.job_ids()
        (_, _, first), (_, _, second), _ = odd.seen
        assert "Authorization" in first
        assert "vmware-api-session-id" not in first
        assert "Authorization" not in second
        assert second["vmware-api-session-id"] == "token-of-the-odd-server"


def test_authorities_are_loaded_once(demo: Simulated) -> None:
    """All appliances with the same CA bundle share one TLS context."""
    bundle = demo.fleet["vc-ham-01"].ca_bundle
    assert tls.load_ca_context(bundle) is tls.load_ca_context(bundle)
    assert isinstance(tls.load_ca_context(None), ssl.SSLContext)


def test_appliance_is_not_a_secret(odd: OddServer) -> None:
    """The repr of an appliance has no password."""
    appliance: Appliance = odd.appliance()
    assert PASSWORD not in repr(appliance)
