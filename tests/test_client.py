"""Talk to simulated appliances, and to a server that misbehaves, over real HTTPS."""

import contextlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
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
from tests.conftest import Answer, OddServer, Simulated, epoch

PASSWORD = "correct horse battery staple"


def open_client(running: Simulated, name: str, **changes: object) -> ApplianceClient:
    """Return a client of one simulated appliance."""
    appliance = replace(running.fleet[name], **changes)  # type: ignore[arg-type] # the test knows the fields
    return ApplianceClient(appliance, running.appliances[name].password, clock=epoch)


class TestSession:
    """Log-in, log-out, and which flavour is spoken."""

    def test_newer_appliance(self, demo: Simulated) -> None:
        """An appliance of 8.0 is asked by /api, and no session is left behind."""
        with open_client(demo, "vc-ham-01") as client:
            assert client.flavour is Flavour.API
            assert len(client.job_ids()) == 90
            assert demo.appliances.open_sessions == 1
            assert client.requests == 2
        assert client.requests == 3
        assert demo.appliances.open_sessions == 0

    def test_older_appliance(self, demo: Simulated) -> None:
        """An appliance of 6.7 is asked by /rest, and tells the same things."""
        with open_client(demo, "vc-nyc-02") as client:
            assert client.flavour is Flavour.REST
            assert client.version().startswith("6.7")
            assert client.timezone() == "America/New_York"
            [(jobs, spoiled)] = client.details()
            assert len(jobs) == len(client.job_ids())
            assert spoiled == {}

    def test_oldest_appliance(self, demo: Simulated) -> None:
        """An appliance of 6.5 has no details and no schedules, but its jobs can be read."""
        with open_client(demo, "vc-nyc-04") as client:
            newest = client.job_ids()[0]
            assert client.job(newest).job_id == newest
            with pytest.raises(NotFoundError):
                list(client.details())
            with pytest.raises(NotFoundError):
                client.schedules()

    def test_outside_its_context(self, demo: Simulated) -> None:
        """A client that has not logged in says so instead of asking."""
        with pytest.raises(RuntimeError, match="outside its context"):
            open_client(demo, "vc-ham-01").job_ids()

    def test_logs_out_after_an_error(self, demo: Simulated) -> None:
        """An error inside the session does not leave the session open."""
        with pytest.raises(ZeroDivisionError), open_client(demo, "vc-ham-01"):
            raise ZeroDivisionError
        assert demo.appliances.open_sessions == 0

    def test_failed_log_out_hides_nothing(self, odd: OddServer) -> None:
        """When the log-out fails too, the first error is raised and the second is its note."""
        odd.speak_api()
        odd.tell("DELETE /api/session", b"", 500)
        with pytest.raises(ZeroDivisionError) as caught, ApplianceClient(odd.appliance(), PASSWORD):
            raise ZeroDivisionError
        assert "logout failed too" in caught.value.__notes__[0]

    def test_failed_log_out_after_all_was_read(self, odd: OddServer) -> None:
        """When all was read, a failed log-out is not worth an error."""
        odd.speak_api()
        odd.tell("DELETE /api/session", b"", 500)
        with ApplianceClient(odd.appliance(), PASSWORD) as client:
            assert client.job_ids() == []

    def test_details_by_pages(self, demo: Simulated) -> None:
        """Many named jobs are asked for by pages, each within a bearable address."""
        with open_client(demo, "vc-ham-01") as client:
            wanted = client.job_ids()[:60]
            pages = [jobs for jobs, _ in client.details(wanted)]
        assert [len(page) for page in pages] == [50, 10]
        assert {job.job_id for page in pages for job in page} == set(wanted)

    def test_clock_skew(self, demo: Simulated) -> None:
        """An appliance whose clock is fast is seen to be."""
        with open_client(demo, "vc-tyo-01") as client:
            assert client.clock_skew is not None
            assert 435 < client.clock_skew.total_seconds() < 442


class Expiring(dict[str, Answer]):
    """Answers of an appliance whose first session ends while two jobs are asked for."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__(answers)
        self.log_ins, self.asked, self.both = count(1), count(1), threading.Barrier(2)

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
        """Return the response to one request."""
        if path == "POST /api/session":
            return 201, {}, b'"token-%d"' % next(self.log_ins)
        if "/job/" in path and next(self.asked) <= 2:
            self.both.wait(30)
            return 401, {}, b""
        return super().get(path, default)


class TestRenewal:
    """A session that ended is opened again, once."""

    def test_two_at_once(self, odd: OddServer) -> None:
        """Of two threads that find it ended one logs in, and both go on."""
        odd.speak_api()
        odd.answers = answers = Expiring(odd.answers)
        with ApplianceClient(odd.appliance(), PASSWORD) as client, ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(client.job, job_id) for job_id in ("a", "b")]
            errors = [one.exception(60) for one in asked]
        assert [type(error) for error in errors] == [NotFoundError] * 2
        assert next(answers.log_ins) == 3

    def test_not_twice(self, demo: Simulated) -> None:
        """A session that ends again and again is said to be refused."""
        with open_client(demo, "vc-ham-01") as client:
            demo.appliances.expire_sessions("vc-ham-01")
            assert len(client.job_ids()) == 90
            demo.appliances.expire_sessions("vc-ham-01")
            with pytest.raises(LoginError, match="the session ended"):
                client.job_ids()


class SlowToLogIn(dict[str, Answer]):
    """Answers whose first log-in waits until the test lets it go."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__(answers)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
        """Return the response to one request."""
        if path == "POST /api/session" and not self.asked.is_set():
            self.asked.set()
            self.go_on.wait(30)
        return super().get(path, default)


class TestTurns:
    """With as many requests under way as are allowed, the next one waits for its turn."""

    def test_the_rounds_time_is_up_first(self, odd: OddServer) -> None:
        """Whoever waits for a turn waits no longer than the round, and says so."""
        odd.speak_api()
        odd.answers = slow = SlowToLogIn(odd.answers)
        limits = Limits(concurrency=1, deadline=60)

        def visit() -> int:
            with ApplianceClient(odd.appliance(), PASSWORD, limits=limits) as client:
                return len(client.job_ids())

        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(visit)
            assert slow.asked.wait(30)
            second = ApplianceClient(
                odd.appliance(), PASSWORD, limits=limits, deadline=time.monotonic() + 0.6
            )
            with pytest.raises(DeadlineError, match="deadline of the collection passed"):
                second.__enter__()
            slow.go_on.set()
            assert first.result(30) == 0


class TestTrust:
    """Certificates: which are trusted."""

    def test_unknown_authority(self, demo: Simulated) -> None:
        """A certificate of an unknown authority is refused, with both ways to trust it."""
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", ca_bundle=None).__enter__()
        assert "ca_bundle" in str(caught.value)
        assert 'fingerprint = "sha256:' in str(caught.value)

    def test_pinned_certificate(self, demo: Simulated) -> None:
        """The fingerprint that the error names, once pinned, is trusted without an authority."""
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", ca_bundle=None).__enter__()
        pin = str(caught.value).partition("sha256:")[2][:64]
        with open_client(demo, "vc-ham-01", ca_bundle=None, fingerprint=pin) as client:
            assert len(client.job_ids()) == 90

    def test_other_certificate_than_pinned(self, demo: Simulated) -> None:
        """Any other certificate than the pinned one is refused."""
        with pytest.raises(CertificateError, match="not the one pinned for vc-ham-01"):
            open_client(demo, "vc-ham-01", fingerprint="ab" * 32).__enter__()

    def test_environment_decides_nothing(
        self, demo: Simulated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Proxies and CA bundles of the environment change nothing."""
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        with open_client(demo, "vc-ham-01") as client:
            assert len(client.job_ids()) == 90

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_useless_bundle(self, demo: Simulated, tmp_path: Path, content: str | None) -> None:
        """A CA bundle that is missing or holds no certificate is named."""
        bundle = tmp_path / "useless.pem"
        if content is not None:
            bundle.write_text(content)
        with pytest.raises(SettingsError, match=r"useless\.pem cannot be used"):
            open_client(demo, "vc-ham-01", ca_bundle=bundle)


class TestRefusals:
    """Errors that an appliance responds with."""

    def test_wrong_password(self, own_demo: Simulated) -> None:
        """A wrong password is a log-in error that does not repeat it."""
        own_demo.appliances.set_password("vc-ham-01", "another")
        appliance = own_demo.fleet["vc-ham-01"]
        with pytest.raises(LoginError, match=r"login failed \(401\)") as caught:
            ApplianceClient(appliance, PASSWORD).__enter__()
        assert PASSWORD not in str(caught.value)

    def test_no_rights(self, own_demo: Simulated) -> None:
        """The error of a user without the right group names the group."""
        own_demo.appliances.revoke("vc-ham-01")
        with (
            pytest.raises(RightsError, match=r"SystemConfiguration\.Administrators"),
            open_client(own_demo, "vc-ham-01") as client,
        ):
            client.job_ids()

    def test_proxy_page(self, own_demo: Simulated) -> None:
        """A proxy's 503 page is a server error that says it is not the API's own."""
        own_demo.appliances.answer_html("vc-ham-01")
        with pytest.raises(ServerError, match="not from the API"):
            open_client(own_demo, "vc-ham-01").__enter__()

    def test_session_limit(self, odd: OddServer) -> None:
        """No free session is said in these words, and is worth another try."""
        limit = "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached"
        said = {"id": limit, "default_message": "Too many.", "args": []}
        body = json.dumps({"error_type": "SERVICE_UNAVAILABLE", "messages": [said]}).encode()
        odd.tell("POST /api/session", body, 503, Retry_After="7")
        with pytest.raises(BusyError, match="no free session") as caught:
            ApplianceClient(odd.appliance(), PASSWORD, limits=Limits(deadline=5)).__enter__()
        assert caught.value.retryable
        assert caught.value.retry_after == 7.0

    def test_redirect(self, odd: OddServer) -> None:
        """A redirect is not followed, so the credentials go nowhere else."""
        odd.tell("POST /api/session", b"", 302, Location="https://127.0.0.1:9/elsewhere")
        with pytest.raises(PayloadError, match="redirect"):
            ApplianceClient(odd.appliance(), PASSWORD).__enter__()
        assert len(odd.seen) == 1

    def test_html_with_status_200(self, odd: OddServer) -> None:
        """A page where JSON should be is named as such."""
        odd.speak_api()
        odd.tell("GET /api/appliance/recovery/backup/job", b"<!DOCTYPE html><html></html>")
        with (
            pytest.raises(PayloadError, match="is HTML and not JSON"),
            ApplianceClient(odd.appliance(), PASSWORD) as client,
        ):
            client.job_ids()

    def test_endless_answer(self, odd: OddServer) -> None:
        """An answer above the limit is not read to its end."""
        odd.speak_api()
        odd.tell("GET /api/appliance/recovery/backup/job", b"[" + b" " * 200 + b"]")
        with (
            pytest.raises(PayloadError, match="larger than"),
            ApplianceClient(odd.appliance(), PASSWORD, limits=Limits(body=100)) as client,
        ):
            client.job_ids()

    @pytest.mark.parametrize("job_id", [".", "..", ""])
    def test_climbing_id(self, demo: Simulated, job_id: str) -> None:
        """An id that would climb in the path is never sent."""
        with open_client(demo, "vc-ham-01") as client:
            with pytest.raises(PayloadError, match="cannot be requested"):
                client.job(job_id)
            assert client.requests == 1


class TestNoConnection:
    """Why there is no answer, in a sentence."""

    def test_refused(self, own_demo: Simulated) -> None:
        """A port where nothing listens is refused."""
        own_demo.appliances.stop("vc-ham-01")
        with pytest.raises(UnreachableError, match="refused the connection"):
            open_client(own_demo, "vc-ham-01").__enter__()

    def test_unknown_name(self, demo: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host without address is a failed name lookup."""

        def unknown(*_args: object, **_kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # needs no name server
        with pytest.raises(UnreachableError, match=r"no host is named nosuch\.invalid"):
            open_client(demo, "vc-ham-01", host="nosuch.invalid").__enter__()

    def test_full(self, demo: Simulated) -> None:
        """A port whose queue is full does not answer: it is given up in time."""
        with contextlib.ExitStack() as stack:
            door = stack.enter_context(socket.socket())
            door.bind(("127.0.0.1", 0))
            door.listen(0)
            for _ in range(4):
                guest = stack.enter_context(socket.socket())
                guest.setblocking(False)  # as socket has it
                guest.connect_ex(door.getsockname())
            appliance = replace(demo.fleet["vc-ham-01"], host=f"127.0.0.1:{door.getsockname()[1]}")
            client = ApplianceClient(appliance, PASSWORD, limits=Limits(connect=0.3))
            with pytest.raises(
                UnreachableError, match=r"cannot be reached: no response within 0\.3 s"
            ):
                client.__enter__()

    def test_silence(
        self, demo: Simulated, listener: Callable[[Callable[[socket.socket], None]], str]
    ) -> None:
        """A host that never answers is given up."""

        def listen_and_wait(connection: socket.socket) -> None:
            while connection.recv(99):
                pass

        host = listener(listen_and_wait)
        appliance = replace(demo.fleet["vc-ham-01"], host=host)
        client = ApplianceClient(appliance, PASSWORD, limits=Limits(connect=0.2))
        with pytest.raises(UnreachableError, match=r"not respond to the login in time \(0\.2 s"):
            client.__enter__()

    def test_no_tls(
        self, demo: Simulated, listener: Callable[[Callable[[socket.socket], None]], str]
    ) -> None:
        """A port that speaks no TLS is named as the likely mistake."""
        host = listener(lambda connection: connection.sendall(b"220 not what you want\r\n" * 9))
        with pytest.raises(UnreachableError, match="does not use TLS"):
            open_client(demo, "vc-ham-01", host=host).__enter__()

    def test_broken_off(self, odd: OddServer) -> None:
        """A connection that breaks in the middle of an answer is a broken connection."""
        odd.tell("POST /api/session", b'"to', 201, Content_Length="400", Connection="close")
        with pytest.raises(UnreachableError, match="broke at the login"):
            ApplianceClient(odd.appliance(), PASSWORD, limits=Limits(read=20)).__enter__()

    def test_fingerprint_of_nobody(self) -> None:
        """A certificate that cannot be read has no fingerprint."""
        assert tls.fetch_certificate("127.0.0.1:1", 0.2) == b""

    def test_certificate_error_without_fingerprint(
        self, demo: Simulated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The certificate error stands even if the certificate cannot be read a second time."""
        monkeypatch.setattr(connection_errors, "fetch_certificate", lambda *_args: b"")
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", ca_bundle=None).__enter__()
        assert "fingerprint" not in str(caught.value)
        with pytest.raises(CertificateError) as caught:
            open_client(demo, "vc-ham-01", fingerprint="ab" * 32).__enter__()
        assert "it is sha256" not in str(caught.value)


class TestSecrets:
    """Password and token stay out of every text."""

    def test_debug_log(self, odd: OddServer, caplog: pytest.LogCaptureFixture) -> None:
        """Neither stands in the debug log, the repr or an error."""
        caplog.set_level(logging.DEBUG)
        odd.speak_api()
        odd.tell("GET /api/appliance/recovery/backup/job", b"", 500)
        with ApplianceClient(odd.appliance(), PASSWORD) as client:
            assert repr(client) == "ApplianceClient('vc-odd', flavour=api)"
            with pytest.raises(ServerError) as caught:
                client.job_ids()
        texts = f"{caplog.text} {caught.value!r}"
        assert "POST /api/session" in texts
        for secret in (PASSWORD, "token-of-the-odd-server", "Basic "):
            assert secret not in texts

    def test_only_the_log_in_carries_the_password(self, odd: OddServer) -> None:
        """After the log-in the token is sent, and the password no more."""
        odd.speak_api()
        with ApplianceClient(odd.appliance(), PASSWORD) as client:
            client.job_ids()
        (_, _, first), (_, _, second), _ = odd.seen
        assert "Authorization" in first
        assert "vmware-api-session-id" not in first
        assert "Authorization" not in second
        assert second["vmware-api-session-id"] == "token-of-the-odd-server"


def test_authorities_are_loaded_once(demo: Simulated) -> None:
    """All appliances with one CA bundle share one context: loading it is the dearest step."""
    bundle = demo.fleet["vc-ham-01"].ca_bundle
    assert tls._ca_context(bundle) is tls._ca_context(bundle)
    assert isinstance(tls._ca_context(None), ssl.SSLContext)


def test_appliance_is_not_a_secret(odd: OddServer) -> None:
    """The entry that travels to a worker names the place of the password only."""
    appliance: Appliance = odd.appliance()
    assert PASSWORD not in repr(appliance)
