"""Look at every step of the way to simulated and to odd appliances."""

import contextlib
import http.server
import json
import logging
import re
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
from backupkit.diagnostics.connectivity import _issuer, _names, _trust_reason
from backupkit.diagnostics.findings import bracketed, span
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
Told = dict[str, tuple[str, str, str]]


def told_by(checks: pd.DataFrame) -> Told:
    """Give result, found and advice of each check of one appliance; no advice is empty."""
    assert checks["check"].to_list() == NAMES
    texts = checks[["check", "result", "found", "advice"]].fillna("")
    return {check: (result, found, advice) for check, result, found, advice in texts.to_numpy()}


def look(appliance: Appliance, **options: Any) -> Told:  # noqa: ANN401 # what doctor takes
    """Check one appliance."""
    return told_by(doctor([appliance], **options))


def results(told: Told) -> dict[str, str]:
    """Give the results that are not ok."""
    return {check: result for check, (result, _, _) in told.items() if result != "ok"}


def tell(odd: OddServer, what: str, value: object) -> None:
    """Let the odd server answer a question about backups."""
    odd.tell(f"{BACKUP}/{what}", json.dumps(value).encode())


class TestHealthy:
    """Where all is well, each check says what it found."""

    def test_one(self, demo: Simulated) -> None:
        """A healthy appliance passes every check, in their order, and needs no advice."""
        checks = doctor([demo.fleet["vc-ham-01"]], clock=epoch)
        CHECKS.check(checks)
        assert checks["check"].to_list() == NAMES
        assert set(checks["result"]) == {"ok"}
        assert checks["advice"].isna().all()
        assert (checks["elapsed"] >= timedelta(0)).all()
        found = {check: words for check, (_, words, _) in told_by(checks).items()}
        assert found["address"] == "127.0.0.1"
        assert found["connection"].startswith(f"{demo.fleet['vc-ham-01'].host} answered within ")
        assert found["certificate"] == (
            "trusted by fleet.ca.pem, issued by backupkit simulator, expires 3000-01-01"
        )
        assert found["password"].startswith("in the file ")
        assert found["log-in"] == "as administrator@vsphere.local, by /api"
        assert found["job list"] == "90 jobs"
        assert found["job details"].endswith(" is SUCCEEDED")
        assert found["schedule"].startswith("default: daily at ")
        assert found["version"] == "8.0.3.00400"
        assert found["clock"] == "as ours"
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
        """What needs a connection is skipped, what needs none is checked all the same."""
        told = look(demo.fleet["vc-tyo-03"], clock=epoch)
        result, found, advice = told["connection"]
        assert (result, found.partition(" ")[2]) == (
            "failed",
            "refused the connection: nothing listens there",
        )
        assert "whether the appliance is up" in advice
        assert told["password"][0] == "ok"
        skipped = {words for result, words, _ in told.values() if result == "skipped"}
        assert skipped == {"needs the connection"}
        assert list(results(told).values()).count("skipped") == 8

    def test_unknown_name(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host without an address is a failed look-up."""

        def unknown(*_args: object, **_kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # needs no name server
        told = look(replace(odd.appliance(), host="nosuch.invalid"))
        assert told["address"][:2] == (
            "failed",
            "no host is named nosuch.invalid: the name lookup failed",
        )
        assert "spelling of host for vc-odd in fleet.toml" in told["address"][2]
        assert told["log-in"][:2] == ("skipped", "needs the address")

    def test_impossible_name(self, odd: OddServer) -> None:
        """A name that no host can have is one that none has."""
        assert look(replace(odd.appliance(), host="a" * 64 + ".invalid"))["address"][0] == "failed"

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (TimeoutError("timed out"), "no answer within 3 s"),
            (OSError(113, "No route to host"), "No route to host"),
            (OSError("?"), "the connection broke"),
        ],
    )
    def test_unreachable(
        self, odd: OddServer, monkeypatch: pytest.MonkeyPatch, fault: OSError, said: str
    ) -> None:
        """A host that cannot be reached is told with the reason and a hint at firewalls."""

        def fail(*_args: object, **_kwargs: object) -> None:
            raise fault

        monkeypatch.setattr(socket, "create_connection", fail)
        result, found, advice = look(odd.appliance(), limits=Limits(connect=3))["connection"]
        assert (result, found) == ("failed", f"{odd.host} cannot be reached: {said}")
        assert f"firewall lets this machine reach its port {odd.host[10:]}" in advice

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
        assert look(replace(odd.appliance(), host=host))["connection"][0] == "failed"
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
        """Ctrl-C ends the round, and who was not looked at is left alone."""
        odd.speak_api()

        def interrupt(_bar: object, _n: float = 1) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(tqdm, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            doctor([odd.appliance(f"vc-{n}") for n in range(30)], workers=1)
        assert sum(path == "/api/session" for _, path, _ in odd.seen) < 40


class TestCertificate:
    """Whom a certificate is from, until when, and what to do where it is not believed."""

    def test_unknown_authority(self, demo: Simulated) -> None:
        """A certificate of an unknown authority fails, with both ways to trust it."""
        told = look(replace(demo.fleet["vc-ham-01"], ca_bundle=None), clock=epoch)
        result, found, advice = told["certificate"]
        assert result == "failed"
        assert "is not trusted: " in found
        assert 'ca_bundle = "ca.pem" for vc-ham-01' in advice
        assert 'fingerprint = "sha256:' in advice
        assert told["log-in"][:2] == ("skipped", "needs the certificate")

    def test_wrong_host(self, odd: OddServer) -> None:
        """A certificate for another name says for which, and which one to pin."""
        host = odd.host.replace("127.0.0.1", "localhost")
        result, found, advice = look(replace(odd.appliance(), host=host))["certificate"]
        assert result == "failed"
        assert "Hostname mismatch" in found
        assert advice.startswith("It was made for 127.0.0.1: write that as host for vc-odd")
        pin = advice.partition('fingerprint = "sha256:')[2][:64]
        told = look(replace(odd.appliance(), host=host, ca_bundle=None, fingerprint=pin))
        assert told["certificate"][0] == "ok"
        assert odd.seen[0][2]["Authorization"]  # before it was believed, nothing was sent

    def test_wrong_host_that_left(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the certificate cannot be read again, the general advice is left."""
        real = socket.create_connection
        calls: list[object] = []

        def once(*args: Any, **kwargs: Any) -> socket.socket:  # noqa: ANN401 # as socket has it
            calls.append(args)
            if len(calls) > 1:
                raise ConnectionRefusedError
            return real(*args, **kwargs)

        monkeypatch.setattr(socket, "create_connection", once)
        host = odd.host.replace("127.0.0.1", "localhost")
        _, found, advice = look(replace(odd.appliance(), host=host))["certificate"]
        assert "Hostname mismatch" in found
        assert advice.startswith("Write that name as host")

    def test_pinned(self, demo: Simulated) -> None:
        """The pinned certificate is the pinned one, any other is not."""
        appliance = replace(demo.fleet["vc-ham-01"], ca_bundle=None)
        advice = look(appliance, clock=epoch)["certificate"][2]
        pin = advice.partition("sha256:")[2][:64]
        found = look(replace(appliance, fingerprint=pin), clock=epoch)["certificate"][1]
        assert found.startswith("the one pinned in fleet.toml, issued by backupkit simulator")
        told = look(replace(appliance, fingerprint="ab" * 32), clock=epoch)
        result, found, advice = told["certificate"]
        assert result == "failed"
        assert f"not the one pinned for vc-ham-01 in fleet.toml: it shows sha256:{pin}" in found
        assert "put the new fingerprint there" in advice

    @pytest.mark.parametrize(
        ("now", "said"),
        [
            (ENDLESS - timedelta(days=12, hours=3), "expires 3000-01-01, in 12 d 3 h"),
            (ENDLESS + timedelta(days=40), "expired 3000-01-01, 40 d ago"),
        ],
    )
    def test_expires_soon(self, demo: Simulated, now: datetime, said: str) -> None:
        """A certificate that ends within 30 days, or has ended, is warned of."""
        told = look(demo.fleet["vc-ham-01"], clock=lambda: now)
        result, found, advice = told["certificate"]
        assert (result, found.rpartition("simulator, ")[2]) == ("warning", said)
        assert advice == "Renew it in the vSphere Client under Administration, Certificates."

    def test_pin_expires_soon(self, demo: Simulated) -> None:
        """Who pins a certificate is reminded of its successor's fingerprint."""
        plain = replace(demo.fleet["vc-ham-01"], ca_bundle=None)
        pin = look(plain, clock=epoch)["certificate"][2].partition("sha256:")[2][:64]
        told = look(replace(plain, fingerprint=pin), clock=lambda: ENDLESS - timedelta(days=1))
        assert told["certificate"][2].endswith("then pin the new one in fleet.toml.")

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

        told = look(replace(odd.appliance(), host=listener(serve)), limits=Limits(connect=0.5))
        result, found, advice = told["certificate"]
        assert result == "failed"
        assert found.endswith("certificate has expired")
        assert advice.startswith("Check this machine's date. If it is right, renew")

    def test_silence(self, odd: OddServer, listener: Listen) -> None:
        """A port that takes connections and says nothing is told apart from a firewall."""

        def listen_and_wait(connection: socket.socket) -> None:
            while connection.recv(999):
                pass

        appliance = replace(odd.appliance(), host=listener(listen_and_wait))
        told = look(appliance, limits=Limits(connect=0.2))
        assert told["connection"][0] == "ok"
        assert "does not answer the TLS handshake within 0.2 s" in told["certificate"][1]

    def test_no_tls(self, odd: OddServer, listener: Listen) -> None:
        """A port that speaks no TLS is named as the likely mistake."""
        host = listener(lambda connection: connection.sendall(b"220 not what you want\r\n" * 9))
        result, found, advice = look(replace(odd.appliance(), host=host))["certificate"]
        assert (result, found) == ("failed", f"{host} does not speak TLS on this port")
        assert advice == "Check the port in fleet.toml."

    def test_useless_bundle(self, odd: OddServer) -> None:
        """A CA bundle that holds no certificate is named."""
        odd.ca_bundle.write_text("no certificate")
        result, found, advice = look(odd.appliance())["certificate"]
        assert result == "failed"
        assert "odd-ca.pem cannot be used: " in found
        assert advice == "Correct this appliance's entry in fleet.toml."

    def test_beyond_parsing(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate that OpenSSL trusts and nobody else can parse is trusted."""

        def refuse(_data: bytes) -> None:
            raise ValueError("what is this?")

        monkeypatch.setattr(x509, "load_der_x509_certificate", refuse)
        assert look(odd.appliance())["certificate"][:2] == ("ok", "trusted by odd-ca.pem")

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
    """Where the password is looked up, and never what it is."""

    def test_missing(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password that is nowhere skips the log-in, and the certificate is checked still."""
        monkeypatch.delenv("VCSA_PASSWORD")
        told = look(odd.appliance())
        assert told["password"] == (
            "failed",
            "the environment variable VCSA_PASSWORD is not set",
            "Set it to the password.",
        )
        assert told["certificate"][0] == "ok"
        assert told["clock"][:2] == ("skipped", "needs the password")
        assert odd.seen == []

    def test_unreadable_file(self, odd: OddServer, tmp_path: Path) -> None:
        """An error without a next step gets one."""
        source = PasswordSource("file", str(tmp_path / "none"))
        result, found, advice = look(replace(odd.appliance(), password=source))["password"]
        assert result == "failed"
        assert found.endswith("none cannot be read: No such file or directory")
        assert advice == "Correct this appliance's entry in fleet.toml."

    def test_places(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Environment and keyring are named."""
        monkeypatch.setattr(keyring, "get_password", lambda *_place: "secret")
        odd.speak_api()
        assert look(odd.appliance())["password"][1] == "in the environment variable VCSA_PASSWORD"
        source = PasswordSource("keyring", "vcsa")
        told = look(replace(odd.appliance(), password=source))
        assert told["password"][1] == "in the keyring, for vcsa"

    def test_prompt(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who types passwords is asked once for each user; nothing typed fails there alone."""
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
    """Whom the appliance does not let in, or not let read."""

    def test_wrong_password(self, own_demo: Simulated) -> None:
        """A refused log-in says so; even then the clock is known."""
        own_demo.appliances.set_password("vc-tyo-01", "another")
        told = look(own_demo.fleet["vc-tyo-01"], clock=epoch)
        result, found, advice = told["log-in"]
        assert result == "failed"
        assert found.endswith("refused user and password (401)")
        assert "SSO domain" in advice
        assert told["job list"][:2] == ("skipped", "needs the log-in")
        assert told["clock"][0] == "warning"

    def test_revoked(self, own_demo: Simulated) -> None:
        """A user without rights is told the group, once."""
        own_demo.appliances.revoke("vc-ham-01")
        told = look(own_demo.fleet["vc-ham-01"], clock=epoch)
        result, found, advice = told["job list"]
        assert result == "failed"
        assert "does not let this user read the job list (403)" in found
        assert advice == "Put the user into the SSO group SystemConfiguration.Administrators."
        assert results(told) == {
            "job list": "failed",
            "job details": "skipped",
            "schedule": "skipped",
            "version": "skipped",
            "time zone": "skipped",
        }
        assert told["version"][1] == "refused, too"

    def test_proxy_page(self, own_demo: Simulated) -> None:
        """A proxy's page in the appliance's place fails the log-in."""
        own_demo.appliances.answer_html("vc-ham-01")
        result, found, advice = look(
            own_demo.fleet["vc-ham-01"], clock=epoch, limits=Limits(tries=1)
        )["log-in"]
        assert result == "failed"
        assert found.endswith("failed at log-in (503)")
        assert "a proxy, or a start-up" in advice


class TestWhatItTells:
    """Jobs, schedule, version, clock and zone."""

    def test_oldest_version(self, demo: Simulated) -> None:
        """An appliance of 6.5 is read job by job, and warned of for its hidden schedule."""
        told = look(demo.fleet["vc-nyc-04"], clock=epoch)
        assert told["version"][1] == "6.5.0.37000"
        assert told["log-in"][1].endswith("by /rest")
        assert told["job details"][1].startswith("job by job, as before 6.7; 2026")
        assert results(told) == {"schedule": "warning"}
        assert told["schedule"][1] == "not reported by versions before 6.7"

    def test_replaced(self, demo: Simulated) -> None:
        """An empty job list is a warning that says what it may mean, and where to look."""
        told = look(demo.fleet["vc-tyo-04"], clock=epoch)
        result, found, advice = told["job list"]
        assert (result, found) == ("warning", "readable, and empty")
        assert "replaced or lost its history file" in advice
        assert "https://127.0.0.1:5480 under Backup" in advice
        assert told["job details"][:2] == ("skipped", "there is no job to read")

    def test_one_job(self, odd: OddServer) -> None:
        """One job is one job; that it is gone a moment later is no fault."""
        odd.speak_api()
        tell(odd, "job", ["one"])
        record = {"status": "SUCCEEDED", "type": "MANUAL", "messages": [], "location": "nfs://n"}
        tell(odd, "job/details", {"another": record})
        told = look(odd.appliance())
        assert told["job list"][1] == "1 job"
        assert told["job details"][:2] == ("skipped", "the job was removed meanwhile")

    @pytest.mark.parametrize(
        ("details", "status", "said"),
        [
            ({"one": {"status": 7}}, 200, "The record of job one is not what the API promises"),
            ({}, 500, "failed at the job details (500)"),
            ("what?", 200, "The answer to the job details is not what the API promises"),
        ],
    )
    def test_bad_details(self, odd: OddServer, details: object, status: int, said: str) -> None:
        """Where details cannot be read, and the job can, it is a warning."""
        odd.speak_api()
        tell(odd, "job", ["one"])
        odd.tell(f"{BACKUP}/job/details", json.dumps(details).encode(), status)
        tell(
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
        result, found, advice = look(odd.appliance(), limits=Limits(tries=1))["job details"]
        assert result == "warning"
        assert said in found
        assert found.endswith("; asked by itself, one is SUCCEEDED")
        assert "one by one" in advice

    @pytest.mark.parametrize(
        ("schedules", "found", "advice"),
        [
            ({}, "there is none", "Make one at"),
            ({"a": {"enable": False, "hour": 1}}, "a: switched off", "Switch it on at"),
            ({"a": {"enable": True}}, "a: without a time", "Switch it on at"),
            ({"a": {"enable": 7}}, "The schedule a is not what", "Save the schedule again at"),
            (
                {"a": {"enable": 7}, "b": {"enable": True, "hour": 1}},
                "b: daily at 01:05; The schedule a is not what",
                "Save the schedule again at",
            ),
            (
                {
                    "a": {"enable": True, "hour": 23, "days": ["MONDAY", "FRIDAY"]},
                    "b": {"enable": False},
                },
                "a: Mon, Fri at 23:05; b: switched off",
                "",
            ),
        ],
    )
    def test_schedules(
        self, odd: OddServer, schedules: dict[str, dict[str, Any]], found: str, advice: str
    ) -> None:
        """A schedule that starts something is fine; none, a dead and a damaged one are not."""
        odd.speak_api()
        told: dict[str, object] = {}
        for name, plan in schedules.items():
            time = {"hour": plan.get("hour"), "minute": 5, "days": plan.get("days")}
            told[name] = {"enable": plan["enable"], "location": "nfs://n", "parts": []} | (
                {"recurrence_info": time} if "hour" in plan else {}
            )
        tell(odd, "schedules", told)
        result, words, hint = look(odd.appliance())["schedule"]
        assert words.startswith(found)
        assert hint.startswith(advice) if not advice else advice in hint
        assert result == ("warning" if advice else "ok")

    def test_schedule_disabled(self, demo: Simulated) -> None:
        """A schedule that is switched off is a warning."""
        told = look(demo.fleet["vc-nyc-03"], clock=epoch)
        assert told["schedule"][:2] == ("warning", "default: switched off")

    def test_unreadable_version(self, odd: OddServer) -> None:
        """What cannot be read is that check's failure alone."""
        odd.speak_api()
        odd.tell("GET /api/appliance/system/version", b'{"vers')
        told = look(odd.appliance())
        assert told["version"] == (
            "failed",
            "The answer to the version is not valid JSON: it is cut off or damaged",
            "Try again; if it stays so, look at the appliance itself.",
        )
        assert told["time zone"][0] == "ok"

    def test_clock(self, demo: Simulated) -> None:
        """A clock that is minutes off is a warning that says by how much."""
        result, found, advice = look(demo.fleet["vc-tyo-01"], clock=epoch)["clock"]
        assert result == "warning"
        assert found in {"7 min 20 s ahead of ours", "7 min 19 s ahead of ours"}
        assert "NTP" in advice
        assert "shifted onto our clock" in advice

    def test_clock_slightly_off(self, odd: OddServer) -> None:
        """A clock that is a minute off is told, and no trouble."""
        odd.speak_api()
        told = look(odd.appliance(), clock=lambda: datetime.now(UTC) + timedelta(seconds=90))
        result, found, _ = told["clock"]
        assert result == "ok"
        assert re.fullmatch(r"1 min (2\d|30) s behind ours", found)

    def test_no_clock(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no answer has a date, nothing is said of the clock."""
        monkeypatch.setattr(
            http.server.BaseHTTPRequestHandler, "date_time_string", lambda *_time: "some day"
        )
        odd.speak_api()
        assert look(odd.appliance())["clock"][:2] == ("skipped", "no response had the time")

    def test_other_zone(self, demo: Simulated) -> None:
        """A zone other than the one in fleet.toml is a warning that names both."""
        result, found, advice = look(demo.fleet["vc-nyc-01"], clock=epoch)["time zone"]
        assert (result, found) == ("warning", "Etc/UTC, but fleet.toml says America/New_York")
        assert "Correct timezone for vc-nyc-01 in fleet.toml" in advice

    def test_same_zone_by_another_name(self, odd: OddServer) -> None:
        """Two names of one zone are no contradiction."""
        odd.speak_api()
        told = look(replace(odd.appliance(), timezone="Africa/Accra"))
        assert told["time zone"][:2] == ("ok", "Etc/UTC")

    @pytest.mark.parametrize(
        ("written", "said"),
        [(None, "read in UTC. Write its zone"), ("Asia/Tokyo", "read in Asia/Tokyo, as fleet")],
    )
    def test_no_zone(self, odd: OddServer, written: str | None, said: str) -> None:
        """A name that is no zone is a warning that says which one counts instead."""
        odd.speak_api()
        odd.tell("GET /api/appliance/system/time/timezone", b'"Mars/Olympus"')
        told = look(replace(odd.appliance(), timezone=written))
        result, found, advice = told["time zone"]
        assert (result, found) == ("warning", "Mars/Olympus, which is no zone of the IANA list")
        assert said in advice

    @pytest.mark.parametrize(
        ("length", "words"),
        [
            (timedelta(seconds=5), "5 s"),
            (timedelta(minutes=-7, seconds=-20), "7 min 20 s"),
            (timedelta(days=2, minutes=3, seconds=1), "2 d 3 min"),
        ],
    )
    def test_span(self, length: timedelta, words: str) -> None:
        """A span is told by its two largest units, whichever its direction."""
        assert span(length) == words


class TestTexts:
    """What may stand in a text, and what never."""

    def test_untrusted(self, odd: OddServer) -> None:
        """What an appliance says is one line of bounded length, without control characters."""
        odd.speak_api()
        bad = "\x1b[2J\n\u202e" + "x" * 9_999
        tell(odd, "job", [bad])
        tell(odd, "job/details", {})
        plan = {"enable": True, "location": "", "parts": []}
        tell(odd, "schedules", {bad: plan})
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
