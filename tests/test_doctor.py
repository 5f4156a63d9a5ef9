"""Doctor: each check of simulated and of odd appliances."""

import contextlib
import http.server
import json
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import keyring
import pandas as pd
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tqdm.auto import tqdm

from backupkit.client import Limits
from backupkit.diagnostics import doctor
from backupkit.diagnostics.connection_checks import _issuer, _names, _trust_reason, bracketed
from backupkit.errors import ADVICE
from backupkit.fleet import Appliance
from backupkit.passwords import PasswordSource
from backupkit.simulator.appliance import PASSWORD
from backupkit.tables import CHECKS
from tests.conftest import OddServer, Simulated, epoch

NAMES = [
    "address",
    "connection",
    "certificate",
    "password",
    "log-in",
    "job list",
    "job details",
    "schedule",
    "version",
    "clock",
    "time zone",
]
BACKUP = "GET /api/appliance/recovery/backup"
ENDLESS = datetime(3000, 1, 1, tzinfo=UTC)
"""When the simulator's certificates end."""

Listen = Callable[[Callable[[socket.socket], None]], str]
Findings = dict[str, tuple[str, str, str]]


def findings_of(checks: pd.DataFrame) -> Findings:
    """Return result, found and advice of each check of one appliance; no advice is empty."""
    assert checks["check"].to_list() == NAMES
    texts = checks[["check", "result", "found", "advice"]].fillna("")
    return {check: (result, found, advice) for check, result, found, advice in texts.to_numpy()}


def check(appliance: Appliance, **options: Any) -> Findings:  # noqa: ANN401 # what doctor takes
    """Check one appliance."""
    return findings_of(doctor([appliance], **options))


def results(findings: Findings) -> dict[str, str]:
    """Return the results that are not ok."""
    return {check: result for check, (result, _, _) in findings.items() if result != "ok"}


def respond(odd: OddServer, what: str, value: object) -> None:
    """Let the odd server respond to a request about backups."""
    odd.tell(f"{BACKUP}/{what}", json.dumps(value).encode())


class TestHealthy:
    """Healthy appliances: each check states what it found."""

    def test_one(self, demo: Simulated) -> None:
        """A healthy appliance passes every check, in their order, and needs no advice."""
        checks = doctor([demo.fleet["vc-ham-01"]], clock=epoch)
        CHECKS.check(checks)
        assert checks["check"].to_list() == NAMES
        assert set(checks["result"]) == {"ok"}
        assert checks["advice"].isna().all()
        assert (checks["elapsed"] >= timedelta(0)).all()
        found = {check: words for check, (_, words, _) in findings_of(checks).items()}
        assert found["address"] == "127.0.0.1"
        assert found["connection"].startswith(f"{demo.fleet['vc-ham-01'].host} responded within ")
        assert found["certificate"] == (
            "trusted by fleet.ca.pem, issued by backupkit simulator, expires 3000-01-01"
        )
        assert found["password"].startswith("in the file ")
        assert found["log-in"] == "as administrator@vsphere.local, by /api"
        assert found["job list"] == "90 jobs"
        assert found["job details"].endswith(" is SUCCEEDED")
        assert found["schedule"].startswith("default: daily at ")
        assert found["version"] == "8.0.3.00400"
        assert found["clock"] == "same as on this machine"
        assert found["time zone"] == "Europe/Berlin"

    def test_whole_fleet(self, demo: Simulated) -> None:
        """In the demo each appliance with trouble has its own, and no other one suffers."""
        checks = doctor(demo.fleet, clock=epoch, workers=3)
        assert checks["appliance"].unique().tolist() == [one.name for one in demo.fleet]
        assert len(checks) == 12 * len(NAMES)
        bad = checks[~checks["result"].isin(["ok", "skipped"])]
        assert bad[["appliance", "check", "result"]].to_numpy().tolist() == [
            ["vc-nyc-01", "time zone", "warning"],
            ["vc-nyc-03", "schedule", "warning"],
            ["vc-nyc-04", "schedule", "warning"],
            ["vc-tyo-01", "clock", "warning"],
            ["vc-tyo-03", "connection", "failed"],
            ["vc-tyo-04", "job list", "warning"],
        ]
        assert bad["advice"].notna().all()

    def test_logs_out(self, demo: Simulated) -> None:
        """No session is left behind."""
        doctor(demo.fleet, clock=epoch)
        assert demo.appliances.open_sessions == 0

    def test_nobody(self) -> None:
        """A fleet without appliances gives a frame without rows."""
        assert CHECKS.check(doctor([])).empty

    def test_progress_bar(self, odd: OddServer, capsys: pytest.CaptureFixture[str]) -> None:
        """The bar counts appliances on stderr, and only where it is wanted."""
        odd.speak_api()
        doctor([odd.appliance()])
        assert capsys.readouterr().err == ""
        doctor([odd.appliance()], progress=True)
        captured = capsys.readouterr()
        assert "Checking: 100%" in captured.err
        assert captured.out == ""


class TestWayThere:
    """Address, connection, and what follows when they fail."""

    def test_stopped(self, demo: Simulated) -> None:
        """Checks that need a connection are skipped, the others are made."""
        findings = check(demo.fleet["vc-tyo-03"], clock=epoch)
        result, found, advice = findings["connection"]
        assert (result, found.partition(" ")[2]) == (
            "failed",
            "refused the connection: no service listens there",
        )
        assert "whether the appliance is on" in advice
        assert findings["password"][0] == "ok"
        skipped = {words for result, words, _ in findings.values() if result == "skipped"}
        assert skipped == {"needs the connection"}
        assert list(results(findings).values()).count("skipped") == 8

    def test_unknown_name(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host without an address is a failed look-up."""

        def unknown(*_args: object, **_kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # needs no name server
        findings = check(replace(odd.appliance(), host="nosuch.invalid"))
        assert findings["address"][:2] == (
            "failed",
            "no host is named nosuch.invalid: the name lookup failed",
        )
        assert "spelling of host for vc-odd in fleet.toml" in findings["address"][2]
        assert findings["log-in"][:2] == ("skipped", "needs the address")

    def test_impossible_name(self, odd: OddServer) -> None:
        """A name that no host can have is one that none has."""
        assert check(replace(odd.appliance(), host="a" * 64 + ".invalid"))["address"][0] == "failed"

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (TimeoutError("timed out"), "no response within 3 s"),
            (OSError(113, "No route to host"), "No route to host"),
            (OSError("?"), "the connection broke"),
        ],
    )
    def test_unreachable(
        self, odd: OddServer, monkeypatch: pytest.MonkeyPatch, fault: OSError, expected: str
    ) -> None:
        """A host that cannot be reached is reported with the reason and a hint at firewalls."""

        def fail(*_args: object, **_kwargs: object) -> None:
            raise fault

        monkeypatch.setattr(socket, "create_connection", fail)
        result, found, advice = check(odd.appliance(), limits=Limits(connect=3))["connection"]
        assert (result, found) == ("failed", f"{odd.host} cannot be reached: {expected}")
        assert "whether a firewall blocks its port" in advice

    @pytest.mark.parametrize(
        ("host", "address"),
        [("[::1]", ("::1", 443)), ("[::1]:9", ("::1", 9)), ("127.0.0.1", ("127.0.0.1", 443))],
    )
    def test_host(
        self,
        odd: OddServer,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
        address: tuple[str, int],
    ) -> None:
        """A host is an IPv6 address in brackets, too, and its port is 443 where none is given."""
        called: list[tuple[str, int]] = []

        def refuse(where: tuple[str, int], **_options: object) -> None:
            called.append(where)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", refuse)
        assert check(replace(odd.appliance(), host=host))["connection"][0] == "failed"
        assert called == [address]

    def test_brackets(self) -> None:
        """An IPv6 address is shown as a port can follow it."""
        assert bracketed("::1") == "[::1]"

    def test_nothing_but_interruptions_gets_out(self, odd: OddServer) -> None:
        """A fault of the program is no finding."""

        def clock() -> datetime:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            doctor([odd.appliance()], clock=clock)

    def test_interrupted(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C ends the run, and the remaining appliances are not checked."""
        odd.speak_api()

        def interrupt(_bar: object, _n: float = 1) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(tqdm, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            doctor([odd.appliance(f"vc-{n}") for n in range(30)], workers=1)
        assert sum(path == "/api/session" for _, path, _ in odd.seen) < 40


class TestCertificate:
    """Certificates: issuer, expiry, and the next step for one that is not trusted."""

    def test_unknown_authority(self, demo: Simulated) -> None:
        """A certificate of an unknown authority fails, with both ways to trust it."""
        findings = check(replace(demo.fleet["vc-ham-01"], ca_bundle=None), clock=epoch)
        result, found, advice = findings["certificate"]
        assert result == "failed"
        assert "is not trusted: " in found
        assert 'ca_bundle = "ca.pem" for vc-ham-01' in advice
        assert 'fingerprint = "sha256:' in advice
        assert findings["log-in"][:2] == ("skipped", "needs the certificate")

    def test_wrong_host(self, odd: OddServer) -> None:
        """A certificate for another name says for which, and which one to pin."""
        host = odd.host.replace("127.0.0.1", "localhost")
        result, found, advice = check(replace(odd.appliance(), host=host))["certificate"]
        assert result == "failed"
        assert "Hostname mismatch" in found
        assert advice.startswith("The certificate is for 127.0.0.1: write that as host for vc-odd")
        pin = advice.partition('fingerprint = "sha256:')[2][:64]
        findings = check(replace(odd.appliance(), host=host, ca_bundle=None, fingerprint=pin))
        assert findings["certificate"][0] == "ok"
        assert odd.seen[0][2]["Authorization"]  # before it was believed, nothing was sent

    def test_wrong_host_that_left(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The general advice is shown if the certificate cannot be read again."""
        real = socket.create_connection
        calls: list[object] = []

        def once(*args: Any, **kwargs: Any) -> socket.socket:  # noqa: ANN401 # as socket has it
            calls.append(args)
            if len(calls) > 1:
                raise ConnectionRefusedError
            return real(*args, **kwargs)

        monkeypatch.setattr(socket, "create_connection", once)
        host = odd.host.replace("127.0.0.1", "localhost")
        _, found, advice = check(replace(odd.appliance(), host=host))["certificate"]
        assert "Hostname mismatch" in found
        assert advice.startswith("Write that name as host")

    def test_pinned(self, demo: Simulated) -> None:
        """The pinned certificate is the pinned one, any other is not."""
        appliance = replace(demo.fleet["vc-ham-01"], ca_bundle=None)
        advice = check(appliance, clock=epoch)["certificate"][2]
        pin = advice.partition("sha256:")[2][:64]
        found = check(replace(appliance, fingerprint=pin), clock=epoch)["certificate"][1]
        assert found.startswith("the one pinned in fleet.toml, issued by backupkit simulator")
        findings = check(replace(appliance, fingerprint="ab" * 32), clock=epoch)
        result, found, advice = findings["certificate"]
        assert result == "failed"
        assert f"not the one pinned for vc-ham-01 in fleet.toml: it is sha256:{pin}" in found
        assert "write the new fingerprint into fleet.toml" in advice

    @pytest.mark.parametrize(
        ("now", "expected"),
        [
            (ENDLESS - timedelta(days=12, hours=3), "expires 3000-01-01, in 12 d 3 h"),
            (ENDLESS + timedelta(days=40), "expired 3000-01-01, 40 d ago"),
        ],
    )
    def test_expires_soon(self, demo: Simulated, now: datetime, expected: str) -> None:
        """A certificate that ends within 30 days, or has ended, is warned of."""
        findings = check(demo.fleet["vc-ham-01"], clock=lambda: now)
        result, found, advice = findings["certificate"]
        assert (result, found.rpartition("simulator, ")[2]) == ("warning", expected)
        assert advice == "Renew it in the vSphere Client under Administration, Certificates."

    def test_pin_expires_soon(self, demo: Simulated) -> None:
        """The advice for a pinned certificate mentions the new fingerprint."""
        plain = replace(demo.fleet["vc-ham-01"], ca_bundle=None)
        pin = check(plain, clock=epoch)["certificate"][2].partition("sha256:")[2][:64]
        findings = check(replace(plain, fingerprint=pin), clock=lambda: ENDLESS - timedelta(days=1))
        assert findings["certificate"][2].endswith("then pin the new one in fleet.toml.")

    def test_out_of_date(self, odd: OddServer, listener: Listen) -> None:
        """A certificate that has ended is to be renewed, not to be trusted."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(odd.ca_bundle))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ended = datetime.now(UTC) - timedelta(days=1)
        authority.issue_cert("127.0.0.1", not_after=ended).configure_cert(context)

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

        findings = check(replace(odd.appliance(), host=listener(serve)), limits=Limits(connect=0.5))
        result, found, advice = findings["certificate"]
        assert result == "failed"
        assert found.endswith("certificate has expired")
        assert advice.startswith("Check this machine's date. If it is right, renew")

    def test_silence(self, odd: OddServer, listener: Listen) -> None:
        """A port that takes connections and sends nothing is distinguished from a firewall."""

        def listen_and_wait(connection: socket.socket) -> None:
            while connection.recv(999):
                pass

        appliance = replace(odd.appliance(), host=listener(listen_and_wait))
        findings = check(appliance, limits=Limits(connect=0.2))
        assert findings["connection"][0] == "ok"
        assert "does not respond to the TLS handshake within 0.2 s" in findings["certificate"][1]

    def test_no_tls(self, odd: OddServer, listener: Listen) -> None:
        """A port that speaks no TLS is named as the likely mistake."""
        host = listener(lambda connection: connection.sendall(b"220 not what you want\r\n" * 9))
        result, found, advice = check(replace(odd.appliance(), host=host))["certificate"]
        assert (result, found) == ("failed", f"{host} does not use TLS on this port")
        assert advice == "Check the port in fleet.toml."

    def test_useless_bundle(self, odd: OddServer) -> None:
        """A CA bundle that holds no certificate is named."""
        odd.ca_bundle.write_text("no certificate")
        result, found, advice = check(odd.appliance())["certificate"]
        assert result == "failed"
        assert "odd-ca.pem cannot be used: " in found
        assert advice == "Correct ca_bundle in fleet.toml."

    def test_beyond_parsing(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate that OpenSSL trusts and nobody else can parse is trusted."""

        def refuse(_data: bytes) -> None:
            raise ValueError("what is this?")

        monkeypatch.setattr(x509, "load_der_x509_certificate", refuse)
        assert check(odd.appliance())["certificate"][:2] == ("ok", "trusted by odd-ca.pem")

    def test_trusted_by_the_machine(self, odd: OddServer) -> None:
        """Without a CA bundle it is the machine's authorities that are trusted."""
        assert _trust_reason(replace(odd.appliance(), ca_bundle=None)) == (
            "trusted by this machine's authorities"
        )

    def test_nameless(self) -> None:
        """A certificate without any name is for nobody, and from nobody."""
        key, nobody = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
        bare = (
            x509.CertificateBuilder(nobody, nobody, key.public_key(), 1)
            .not_valid_before(ENDLESS)
            .not_valid_after(ENDLESS)
            .sign(key, hashes.SHA256())
        )
        assert _names(bare) == ""
        assert _issuer(bare) == "an authority without a name"


class TestPassword:
    """Passwords: the source is shown, the password never."""

    def test_missing(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password that is nowhere skips the log-in, and the certificate is checked still."""
        monkeypatch.delenv("VCSA_PASSWORD")
        findings = check(odd.appliance())
        assert findings["password"] == (
            "failed",
            "the environment variable VCSA_PASSWORD is not set",
            "Set it to the password.",
        )
        assert findings["certificate"][0] == "ok"
        assert findings["clock"][:2] == ("skipped", "needs the password")
        assert odd.seen == []

    def test_unreadable_file(self, odd: OddServer, tmp_path: Path) -> None:
        """An error without a next step gets one."""
        source = PasswordSource("file", str(tmp_path / "none"))
        result, found, advice = check(replace(odd.appliance(), password=source))["password"]
        assert result == "failed"
        assert found.endswith("none cannot be read: No such file or directory")
        assert advice == "Correct the password source in fleet.toml."

    def test_places(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Environment and keyring are named."""
        monkeypatch.setattr(keyring, "get_password", lambda *_place: "secret")
        odd.speak_api()
        assert check(odd.appliance())["password"][1] == "in the environment variable VCSA_PASSWORD"
        source = PasswordSource("keyring", "vcsa")
        findings = check(replace(odd.appliance(), password=source))
        assert findings["password"][1] == "in the keyring, for vcsa"

    def test_prompt(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password is prompted for once per user; an empty one fails for that user only."""
        asked: list[str] = []

        def answer(question: str) -> str:
            asked.append(question)
            return "typed in" if "u@v" in question else ""

        monkeypatch.setattr("getpass.getpass", answer)
        odd.speak_api()
        prompt = PasswordSource("prompt", "the fleet")
        users = {"vc-1": "u@v", "vc-2": "u@v", "vc-3": "other@w", "vc-4": "other@w"}
        checks = doctor(
            replace(odd.appliance(name), user=user, password=prompt) for name, user in users.items()
        )
        passwords = checks[checks["check"] == "password"]
        assert passwords["result"].to_list() == ["ok", "ok", "failed", "failed"]
        assert passwords["found"].to_list()[::2] == ["typed", "none was typed"]
        assert sorted(asked) == [
            "Password of other@w for the fleet: ",
            "Password of u@v for the fleet: ",
        ]


class TestRefusals:
    """Users who may not log in, or not read."""

    def test_wrong_password(self, own_demo: Simulated) -> None:
        """A refused log-in says so; even then the clock is known."""
        own_demo.appliances.set_password("vc-tyo-01", "another")
        findings = check(own_demo.fleet["vc-tyo-01"], clock=epoch)
        result, found, advice = findings["log-in"]
        assert result == "failed"
        assert found == "login failed (401)"
        assert "SSO domain" in advice
        assert findings["job list"][:2] == ("skipped", "needs the log-in")
        assert findings["clock"][0] == "warning"

    def test_revoked(self, own_demo: Simulated) -> None:
        """A user without rights gets the name of the group, once."""
        own_demo.appliances.revoke("vc-ham-01")
        findings = check(own_demo.fleet["vc-ham-01"], clock=epoch)
        result, found, advice = findings["job list"]
        assert result == "failed"
        assert found.startswith("the user may not read the job list (403)")
        assert advice == "Put the user into the SSO group SystemConfiguration.Administrators."
        assert results(findings) == {
            "job list": "failed",
            "job details": "skipped",
            "schedule": "skipped",
            "version": "skipped",
            "time zone": "skipped",
        }
        assert findings["version"][1] == "refused as well"

    def test_proxy_page(self, own_demo: Simulated) -> None:
        """A proxy's page in the appliance's place fails the log-in."""
        own_demo.appliances.answer_html("vc-ham-01")
        result, found, advice = check(
            own_demo.fleet["vc-ham-01"], clock=epoch, limits=Limits(attempts=1)
        )["log-in"]
        assert result == "failed"
        assert found.startswith("the request for the login failed (503)")
        assert "whether a proxy or a login page responds" in advice


class TestWhatItTells:
    """Jobs, schedule, version, clock and zone."""

    def test_oldest_version(self, demo: Simulated) -> None:
        """An appliance of 6.5 is read job by job, and warned of for its hidden schedule."""
        findings = check(demo.fleet["vc-nyc-04"], clock=epoch)
        assert findings["version"][1] == "6.5.0.37000"
        assert findings["log-in"][1].endswith("by /rest")
        assert findings["job details"][1].startswith("job by job, as before 6.7; 2026")
        assert results(findings) == {"schedule": "warning"}
        assert findings["schedule"][1] == "not reported by versions before 6.7"

    def test_replaced(self, demo: Simulated) -> None:
        """An empty job list is a warning with the possible causes and the next step."""
        findings = check(demo.fleet["vc-tyo-04"], clock=epoch)
        result, found, advice = findings["job list"]
        assert (result, found) == ("warning", "readable, and empty")
        assert "replaced, or it lost its history file" in advice
        assert "https://127.0.0.1:5480 under Backup" in advice
        assert findings["job details"][:2] == ("skipped", "there is no job to read")

    def test_one_job(self, odd: OddServer) -> None:
        """One job is one job; that it is gone a moment later is no fault."""
        odd.speak_api()
        respond(odd, "job", ["one"])
        record = {"status": "SUCCEEDED", "type": "MANUAL", "messages": [], "location": "nfs://n"}
        respond(odd, "job/details", {"another": record})
        findings = check(odd.appliance())
        assert findings["job list"][1] == "1 job"
        assert findings["job details"][:2] == ("skipped", "the job was removed meanwhile")

    @pytest.mark.parametrize(
        ("details", "status", "expected"),
        [
            ({"one": {"status": 7}}, 200, "the record of job one does not follow the API"),
            ({}, 500, "the request for the job details failed (500)"),
            ("what?", 200, "the response to the job details does not follow the API"),
        ],
    )
    def test_bad_details(self, odd: OddServer, details: object, status: int, expected: str) -> None:
        """Details that cannot be read are a warning if the job itself can be read."""
        odd.speak_api()
        respond(odd, "job", ["one"])
        odd.tell(f"{BACKUP}/job/details", json.dumps(details).encode(), status)
        respond(
            odd,
            "job/one",
            {
                "id": "one",
                "state": "SUCCEEDED",
                "messages": [],
                "progress": 100,
                "start_time": "2026-11-08T01:00:00Z",
            },
        )
        result, found, advice = check(odd.appliance(), limits=Limits(attempts=1))["job details"]
        assert result == "warning"
        assert expected in found
        assert found.endswith("; read by itself, one is SUCCEEDED")
        assert "one by one" in advice

    @pytest.mark.parametrize(
        ("schedules", "found", "advice"),
        [
            ({}, "there is none", "Create a schedule at"),
            ({"a": {"enable": False, "hour": 1}}, "a: disabled", "Enable the schedule at"),
            ({"a": {"enable": True}}, "a: without a time", "Enable the schedule at"),
            ({"a": {"enable": 7}}, "the schedule a does not follow", "Save the schedule again at"),
            (
                {"a": {"enable": 7}, "b": {"enable": True, "hour": 1}},
                "b: daily at 01:05; the schedule a does not follow",
                "Save the schedule again at",
            ),
            (
                {
                    "a": {"enable": True, "hour": 23, "days": ["MONDAY", "FRIDAY"]},
                    "b": {"enable": False},
                },
                "a: Mon, Fri at 23:05; b: disabled",
                "",
            ),
        ],
    )
    def test_schedules(
        self, odd: OddServer, schedules: dict[str, dict[str, Any]], found: str, advice: str
    ) -> None:
        """A schedule that starts something is fine; none, a dead and a damaged one are not."""
        odd.speak_api()
        sent: dict[str, object] = {}
        for name, plan in schedules.items():
            time = {"hour": plan.get("hour"), "minute": 5, "days": plan.get("days")}
            sent[name] = {"enable": plan["enable"], "location": "nfs://n", "parts": []} | (
                {"recurrence_info": time} if "hour" in plan else {}
            )
        respond(odd, "schedules", sent)
        result, words, hint = check(odd.appliance())["schedule"]
        assert words.startswith(found)
        assert hint.startswith(advice) if not advice else advice in hint
        assert result == ("warning" if advice else "ok")

    def test_schedule_disabled(self, demo: Simulated) -> None:
        """A schedule that is switched off is a warning."""
        findings = check(demo.fleet["vc-nyc-03"], clock=epoch)
        assert findings["schedule"][:2] == ("warning", "default: disabled")

    def test_unreadable_version(self, odd: OddServer) -> None:
        """A version that cannot be read fails its own check only."""
        odd.speak_api()
        odd.tell("GET /api/appliance/system/version", b'{"vers')
        findings = check(odd.appliance())
        assert findings["version"] == (
            "failed",
            "the response to the version is not valid JSON: it is truncated or damaged",
            ADVICE["payload"],
        )
        assert findings["time zone"][0] == "ok"

    def test_clock(self, demo: Simulated) -> None:
        """A clock that is minutes off is a warning that says by how much."""
        result, found, advice = check(demo.fleet["vc-tyo-01"], clock=epoch)["clock"]
        assert result == "warning"
        assert found == "7 min ahead of this machine"
        assert "NTP" in advice
        assert "corrected by the difference" in advice

    def test_clock_slightly_off(self, odd: OddServer) -> None:
        """A clock that is a minute off is shown, without a warning."""
        odd.speak_api()
        findings = check(odd.appliance(), clock=lambda: datetime.now(UTC) + timedelta(seconds=90))
        result, found, _ = findings["clock"]
        assert result == "ok"
        assert found == "1 min behind this machine"

    def test_no_clock(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The clock is skipped if no response has a date."""
        monkeypatch.setattr(
            http.server.BaseHTTPRequestHandler, "date_time_string", lambda *_time: "some day"
        )
        odd.speak_api()
        assert check(odd.appliance())["clock"][:2] == ("skipped", "no response contained the time")

    def test_other_zone(self, demo: Simulated) -> None:
        """A zone other than the one in fleet.toml is a warning that names both."""
        result, found, advice = check(demo.fleet["vc-nyc-01"], clock=epoch)["time zone"]
        assert (result, found) == ("warning", "Etc/UTC, but America/New_York in fleet.toml")
        assert "Correct timezone for vc-nyc-01 in fleet.toml" in advice

    def test_same_zone_by_another_name(self, odd: OddServer) -> None:
        """Two names of one zone are no contradiction."""
        odd.speak_api()
        findings = check(replace(odd.appliance(), timezone="Africa/Accra"))
        assert findings["time zone"][:2] == ("ok", "Etc/UTC")

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            (None, "read in UTC. Write the time zone"),
            ("Asia/Tokyo", "read in Asia/Tokyo, as in fleet"),
        ],
    )
    def test_no_zone(self, odd: OddServer, written: str | None, expected: str) -> None:
        """A name that is no zone is a warning that says which one counts instead."""
        odd.speak_api()
        odd.tell("GET /api/appliance/system/time/timezone", b'"Mars/Olympus"')
        findings = check(replace(odd.appliance(), timezone=written))
        result, found, advice = findings["time zone"]
        assert (result, found) == (
            "warning",
            "Mars/Olympus, which is not in the IANA list of time zones",
        )
        assert expected in advice


class TestTexts:
    """Texts: untrusted content and secrets."""

    def test_untrusted(self, odd: OddServer) -> None:
        """Text of an appliance becomes one short line without control characters."""
        odd.speak_api()
        bad = "\x1b[2J\n\u202e" + "x" * 9_999
        respond(odd, "job", [bad])
        respond(odd, "job/details", {})
        plan = {"enable": True, "location": "", "parts": []}
        respond(odd, "schedules", {bad: plan})
        odd.tell("GET /api/appliance/system/version", json.dumps({"version": bad}).encode())
        odd.tell("GET /api/appliance/system/time/timezone", json.dumps(bad).encode())
        checks = doctor([odd.appliance()])
        texts = [*checks["found"], *checks["advice"].dropna()]
        assert all(text.isprintable() and len(text) < 1_010 for text in texts)

    def test_secrets(
        self, own_demo: Simulated, odd: OddServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither password nor token is in a finding, in an error, or in the debug log."""
        caplog.set_level(logging.DEBUG)
        odd.speak_api()
        own_demo.appliances.set_password("vc-ham-01", "another")
        own_demo.appliances.revoke("vc-ham-02")
        checks = doctor([*own_demo.fleet, odd.appliance()])
        texts = checks.to_csv() + caplog.text
        for secret in (
            PASSWORD,
            "correct horse battery staple",
            "token-of-the-odd-server",
            "Basic ",
        ):
            assert secret not in texts
