"""doctor: each check, with simulated appliances and with invalid responses."""

import contextlib
import http.server
import json
import logging
import socket
import ssl
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

from backupkit.client import Limits
from backupkit.diagnostics import doctor
from backupkit.diagnostics.connection_checks import (
    _describe_trust,
    _format_host_names,
    _format_issuer,
    bracket_ipv6,
)
from backupkit.errors import ADVICE
from backupkit.fleet import Appliance
from backupkit.passwords import PasswordSource
from backupkit.progress import HiddenBar
from backupkit.simulator.appliance import PASSWORD
from backupkit.tables import CHECKS
from tests.conftest import Listen, OddServer, Simulated, epoch

NAMES = [
    "address",
    "connection",
    "certificate",
    "secret",
    "log-in",
    "job list",
    "job details",
    "schedule",
    "version",
    "clock",
    "time zone",
    "SSO domain",
]
BACKUP = "GET /api/appliance/recovery/backup"
ENDLESS = datetime(3000, 1, 1, tzinfo=UTC)
"""The end of the simulator's certificates."""

Findings = dict[str, tuple[str, str, str]]


def findings_of(checks: pd.DataFrame) -> Findings:
    """Return result, found and advice of each check of one appliance."""
    assert checks["check"].to_list() == NAMES
    texts = checks[["check", "result", "found", "advice"]].fillna("")
    return {check: (result, found, advice) for check, result, found, advice in texts.to_numpy()}


def check(appliance: Appliance, **options: Any) -> Findings:  # noqa: ANN401 # what doctor takes
    """Check one appliance."""
    return findings_of(doctor([appliance], **options))


def results(findings: Findings) -> dict[str, str]:
    """Return the results that are not ok."""
    return {check: result for check, (result, _, _) in findings.items() if result != "ok"}


def set_response(odd: OddServer, path: str, value: object) -> None:
    """Set the response to a request about backups."""
    odd.respond(f"{BACKUP}/{path}", json.dumps(value).encode())


class TestHealthy:
    """Healthy appliances."""

    def test_one(self, demo: Simulated) -> None:
        """A healthy appliance passes each check, without advice."""
        checks = doctor([demo.fleet["vc-ham-01"]], clock=epoch)
        CHECKS.check(checks)
        assert checks["check"].to_list() == NAMES
        assert set(checks["result"]) == {"ok"}
        assert checks["advice"].isna().all()
        assert (checks["elapsed"] >= timedelta(0)).all()
        found = {check: text for check, (_, text, _) in findings_of(checks).items()}
        assert found["address"] == "127.0.0.1"
        assert found["connection"].startswith(f"{demo.fleet['vc-ham-01'].host} responded within ")
        assert found["certificate"] == (
            "trusted by fleet.ca.pem, issued by backupkit simulator, expires 3000-01-01"
        )
        assert found["secret"].startswith("password in the file ")
        assert found["log-in"] == "as administrator@vsphere.local, by /api"
        assert found["job list"] == "90 jobs"
        assert found["job details"].endswith(" is SUCCEEDED")
        assert found["schedule"].startswith("default: daily at ")
        assert found["version"] == "8.0.3.00400"
        assert found["clock"] == "same as on this machine"
        assert found["time zone"] == "Europe/Berlin"
        assert found["SSO domain"] == "4 nodes"

    def test_fleet(self, demo: Simulated) -> None:
        """Each appliance of the demo has its own problems, and all sessions are closed."""
        checks = doctor(demo.fleet, clock=epoch, workers=3)
        assert checks["appliance"].unique().tolist() == [appliance.name for appliance in demo.fleet]
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
        assert demo.appliances.open_sessions == 0

    def test_empty_fleet(self) -> None:
        """A fleet without appliances has a frame without rows."""
        assert CHECKS.check(doctor([])).empty

    def test_progress_bar(self, odd: OddServer, capsys: pytest.CaptureFixture[str]) -> None:
        """The progress bar counts appliances on stderr, on request."""
        odd.serve_api()
        doctor([odd.appliance()])
        assert capsys.readouterr().err == ""
        doctor([odd.appliance()], progress=True)
        captured = capsys.readouterr()
        assert "Checking: 100%" in captured.err
        assert captured.out == ""


class TestConnection:
    """Address and connection."""

    def test_stopped(self, demo: Simulated) -> None:
        """Without a connection the checks that need it are skipped."""
        findings = check(demo.fleet["vc-tyo-03"], clock=epoch)
        result, found, advice = findings["connection"]
        assert (result, found.partition(" ")[2]) == (
            "failed",
            "refused the connection: no service listens there",
        )
        assert "whether the appliance is on" in advice
        assert findings["secret"][0] == "ok"
        skipped = {text for result, text, _ in findings.values() if result == "skipped"}
        assert skipped == {"needs the connection"}
        assert list(results(findings).values()).count("skipped") == 9

    def test_unknown_name(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host without an address is a failed name lookup."""

        def unknown(*_args: object, **_kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # needs no name server
        findings = check(replace(odd.appliance(), host="nosuch.invalid"))
        assert findings["address"][:2] == (
            "failed",
            "no host is named nosuch.invalid: the name lookup failed",
        )
        assert "Check the spelling of the host" in findings["address"][2]
        assert findings["log-in"][:2] == ("skipped", "needs the address")

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
        """An unreachable host is reported with the reason and a hint at firewalls."""

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
        """A host can be an IPv6 address in brackets; the default port is 443."""
        addresses: list[tuple[str, int]] = []

        def refuse(target: tuple[str, int], **_options: object) -> None:
            addresses.append(target)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", refuse)
        assert check(replace(odd.appliance(), host=host))["connection"][0] == "failed"
        assert addresses == [address]

    def test_brackets(self) -> None:
        """An IPv6 address is shown in brackets."""
        assert bracket_ipv6("::1") == "[::1]"

    def test_program_error(self, odd: OddServer) -> None:
        """An error of the program is raised, and is no finding."""

        def clock() -> datetime:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            doctor([odd.appliance()], clock=clock)

    def test_interrupted(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C ends doctor; the remaining appliances are not checked."""
        odd.serve_api()

        def interrupt(_bar: object, _n: float = 1) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(HiddenBar, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            doctor([odd.appliance(f"vc-{n}") for n in range(30)], workers=1)
        assert sum(path == "/api/session" for _, path, _ in odd.seen) < 40


class TestCertificate:
    """Certificates."""

    def test_unknown_authority(self, demo: Simulated) -> None:
        """A certificate of an unknown authority fails; the advice has both ways to trust it."""
        findings = check(replace(demo.fleet["vc-ham-01"], ca_bundle=None), clock=epoch)
        result, found, advice = findings["certificate"]
        assert result == "failed"
        assert "is not trusted: " in found
        assert 'ca_bundle = "ca.pem" for vc-ham-01' in advice
        assert 'fingerprint = "sha256:' in advice
        assert findings["log-in"][:2] == ("skipped", "needs the certificate")

    def test_wrong_host(self, odd: OddServer) -> None:
        """A certificate for another host fails; the advice has its name and fingerprint."""
        host = odd.host.replace("127.0.0.1", "localhost")
        result, found, advice = check(replace(odd.appliance(), host=host))["certificate"]
        assert result == "failed"
        assert "Hostname mismatch" in found
        assert advice.startswith("The certificate is for 127.0.0.1: write that as host for vc-odd")
        pin = advice.partition('fingerprint = "sha256:')[2][:64]
        findings = check(replace(odd.appliance(), host=host, ca_bundle=None, fingerprint=pin))
        assert findings["certificate"][0] == "ok"
        assert odd.seen[0][2]["Authorization"]  # the first request is after the check

    def test_wrong_host_without_certificate(
        self, odd: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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
        """The pinned certificate passes, any other fails."""
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
        """A certificate that expires within 30 days, or has expired, is a warning."""
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
        """The advice for an expired certificate is to renew it."""
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
        """A port that accepts connections and sends nothing fails at the TLS handshake."""

        def listen_and_wait(connection: socket.socket) -> None:
            while connection.recv(999):
                pass

        appliance = replace(odd.appliance(), host=listener(listen_and_wait))
        findings = check(appliance, limits=Limits(connect=0.2))
        assert findings["connection"][0] == "ok"
        assert "does not respond to the TLS handshake within 0.2 s" in findings["certificate"][1]

    def test_no_tls(self, odd: OddServer, listener: Listen) -> None:
        """A port without TLS fails, with the advice to check the port."""
        host = listener(lambda connection: connection.sendall(b"220 not what you want\r\n" * 9))
        result, found, advice = check(replace(odd.appliance(), host=host))["certificate"]
        assert (result, found) == ("failed", f"{host} does not use TLS on this port")
        assert advice == "Check the port."

    def test_invalid_bundle(self, odd: OddServer) -> None:
        """A CA bundle without a certificate fails, with its name."""
        odd.ca_bundle.write_text("no certificate")
        result, found, advice = check(odd.appliance())["certificate"]
        assert result == "failed"
        assert "odd-ca.pem cannot be used: " in found
        assert advice == "Name a PEM file with the certificate of the authority."

    def test_unparsable(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate that only OpenSSL can parse is trusted."""

        def refuse(_data: bytes) -> None:
            raise ValueError

        monkeypatch.setattr(x509, "load_der_x509_certificate", refuse)
        assert check(odd.appliance())["certificate"][:2] == ("ok", "trusted by odd-ca.pem")

    def test_trusted_by_the_machine(self, odd: OddServer) -> None:
        """Without a CA bundle the authorities of the machine are trusted."""
        assert _describe_trust(replace(odd.appliance(), ca_bundle=None)) == (
            "trusted by this machine's authorities"
        )

    def test_nameless(self) -> None:
        """A certificate without names has no host and no issuer."""
        key, empty = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
        bare = (
            x509.CertificateBuilder(empty, empty, key.public_key(), 1)
            .not_valid_before(ENDLESS)
            .not_valid_after(ENDLESS)
            .sign(key, hashes.SHA256())
        )
        assert _format_host_names(bare) == ""
        assert _format_issuer(bare) == "an authority without a name"


class TestPassword:
    """Password sources."""

    def test_missing(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing password fails and skips the log-in; the certificate is still checked."""
        monkeypatch.delenv("VCSA_PASSWORD")
        findings = check(odd.appliance())
        assert findings["secret"] == (
            "failed",
            "the environment variable VCSA_PASSWORD is not set",
            "Set VCSA_PASSWORD to the password.",
        )
        assert findings["certificate"][0] == "ok"
        assert findings["clock"][:2] == ("skipped", "needs the secret")
        assert odd.seen == []

    def test_unreadable_file(self, odd: OddServer, tmp_path: Path) -> None:
        """A password file that cannot be read fails, with advice."""
        source = PasswordSource("file", str(tmp_path / "none"))
        result, found, advice = check(replace(odd.appliance(), password=source))["secret"]
        assert result == "failed"
        assert found.endswith("none cannot be read: No such file or directory")
        assert advice == "Name a readable file with the password on its first line."

    def test_sources(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Environment and keyring are reported by name."""
        monkeypatch.setattr(keyring, "get_password", lambda *_place: "secret")
        odd.serve_api()
        assert (
            check(odd.appliance())["secret"][1]
            == "password in the environment variable VCSA_PASSWORD"
        )
        source = PasswordSource("keyring", "vcsa")
        findings = check(replace(odd.appliance(), password=source))
        assert findings["secret"][1] == "password in the keyring, for vcsa"

    def test_prompt(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password is prompted for once per user; an empty one fails for that user only."""
        questions: list[str] = []

        def answer(question: str) -> str:
            questions.append(question)
            return "typed in" if "u@v" in question else ""

        monkeypatch.setattr("getpass.getpass", answer)
        odd.serve_api()
        prompt = PasswordSource("prompt", "the fleet")
        users = {"vc-1": "u@v", "vc-2": "u@v", "vc-3": "other@w", "vc-4": "other@w"}
        checks = doctor(
            replace(odd.appliance(name), user=user, password=prompt) for name, user in users.items()
        )
        passwords = checks[checks["check"] == "secret"]
        assert passwords["result"].to_list() == ["ok", "ok", "failed", "failed"]
        assert passwords["found"].to_list()[::2] == ["password typed", "none was typed"]
        assert sorted(questions) == [
            "Password of other@w for the fleet: ",
            "Password of u@v for the fleet: ",
        ]


class TestRefusals:
    """Failed log-ins and missing rights."""

    def test_wrong_password(self, own_demo: Simulated) -> None:
        """A refused log-in fails; the clock is still checked."""
        own_demo.appliances.set_password("vc-tyo-01", "another")
        findings = check(own_demo.fleet["vc-tyo-01"], clock=epoch)
        result, found, advice = findings["log-in"]
        assert result == "failed"
        assert found == "login failed (401)"
        assert "SSO domain" in advice
        assert findings["job list"][:2] == ("skipped", "needs the log-in")
        assert findings["clock"][0] == "warning"

    def test_revoked(self, own_demo: Simulated) -> None:
        """Missing rights fail once, with the name of the group."""
        own_demo.appliances.revoke("vc-ham-01")
        findings = check(own_demo.fleet["vc-ham-01"], clock=epoch)
        result, found, advice = findings["job list"]
        assert result == "failed"
        assert found.startswith("the user may not read the job list (403)")
        assert advice == (
            "Put the user into the SSO group SystemConfiguration.Administrators: docs/sign-in.md "
            "has the steps."
        )
        assert results(findings) == {
            "job list": "failed",
            "job details": "skipped",
            "schedule": "skipped",
            "version": "skipped",
            "time zone": "skipped",
        }
        assert findings["version"][1] == "refused as well"

    def test_proxy_page(self, own_demo: Simulated) -> None:
        """A page of a proxy fails the log-in."""
        own_demo.appliances.answer_html("vc-ham-01")
        result, found, advice = check(
            own_demo.fleet["vc-ham-01"], clock=epoch, limits=Limits(attempts=1)
        )["log-in"]
        assert result == "failed"
        assert found.startswith("the request for the login failed (503)")
        assert "whether a proxy or a login page responds" in advice


class TestDomain:
    """The SSO domain of an appliance."""

    def test_complete(self, demo: Simulated) -> None:
        """A domain whose nodes are all in fleet.toml is ok."""
        findings = check(demo.fleet["vc-ham-01"], known=demo.fleet.appliances, clock=epoch)
        assert findings["SSO domain"] == ("ok", "4 nodes, all in fleet.toml", "")

    def test_missing(self, own_demo: Simulated) -> None:
        """Nodes that fleet.toml does not have are a warning with the command that adds them."""
        others = own_demo.appliances["vc-ham-01"].domain.others
        others += [(f"vc-{number}.test", "VCSA_EMBEDDED") for number in range(6)]
        checks = doctor(own_demo.fleet, clock=epoch)
        rows = checks[checks["check"].eq("SSO domain") & checks["result"].eq("warning")]
        assert rows["appliance"].to_list() == [f"vc-ham-0{number}" for number in range(1, 5)]
        assert rows["found"].iloc[0].startswith("10 nodes, of which fleet.toml does not have vc-0.")
        assert rows["found"].iloc[0].endswith(", vc-4.test and 1 more")
        assert rows["advice"].iloc[0].endswith("Add them with: backupkit discover --add")

    @pytest.mark.parametrize(
        ("body", "status", "result", "found"),
        [
            (b"{}", 404, "warning", "the appliance did not find the nodes of the SSO domain (404)"),
            (b'{"error_type": "UNAUTHORIZED", "messages": []}', 403, "skipped", "the user may not"),
            (b"{}", 200, "warning", "the response to the nodes of the SSO domain does not follow"),
            (b"[7]", 200, "warning", "item 1 of the nodes of the SSO domain has no node"),
            (b'[{"node": "x.invalid", "type": "PSC_EXTERNAL"}]', 200, "warning", "1 node, none"),
        ],
    )
    def test_odd_answer(
        self, odd: OddServer, body: bytes, status: int, result: str, found: str
    ) -> None:
        """A list that cannot be read fails no check, and an appliance that is not on it is odd."""
        odd.serve_api()
        odd.respond("GET /api/vcenter/topology/nodes", body, status)
        appliance = odd.appliance()
        finding = check(appliance, known=[appliance])["SSO domain"]
        assert finding[0] == result
        assert finding[1].startswith(found)


class TestContent:
    """Jobs, schedule, version, clock and time zone."""

    def test_oldest_version(self, demo: Simulated) -> None:
        """An appliance of 6.5 is read job by job; its unknown schedule is a warning."""
        findings = check(demo.fleet["vc-nyc-04"], clock=epoch)
        assert findings["version"][1] == "6.5.0.37000"
        assert findings["log-in"][1].endswith("by /rest")
        assert findings["job details"][1].startswith("job by job, as before 6.7; 2026")
        assert results(findings) == {"schedule": "warning", "SSO domain": "skipped"}
        assert findings["SSO domain"][1] == (
            "version 6.5.0.37000 does not list the nodes of its SSO domain, which needs 6.7 Update "
            "2 or later"
        )
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
        """A job that is removed before its details are read is no problem."""
        odd.serve_api()
        set_response(odd, "job", ["one"])
        record = {"status": "SUCCEEDED", "type": "MANUAL", "messages": [], "location": "nfs://n"}
        set_response(odd, "job/details", {"another": record})
        findings = check(odd.appliance())
        assert findings["job list"][1] == "1 job"
        assert findings["job details"][:2] == ("skipped", "the job was removed meanwhile")

    @pytest.mark.parametrize(
        ("details", "status", "expected"),
        [
            (
                {"one": {"status": 7}},
                200,
                "the details of job one could not be read: status is a number",
            ),
            ({}, 500, "the request for the job details failed (500)"),
            ("text", 200, "the response to the job details does not follow the API"),
        ],
    )
    def test_bad_details(self, odd: OddServer, details: object, status: int, expected: str) -> None:
        """Details that cannot be read are a warning if the job itself can be read."""
        odd.serve_api()
        set_response(odd, "job", ["one"])
        odd.respond(f"{BACKUP}/job/details", json.dumps(details).encode(), status)
        set_response(
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

    def test_unreadable_job(self, odd: OddServer) -> None:
        """A job that cannot be read by itself either fails the check."""
        odd.serve_api()
        set_response(odd, "job", ["one"])
        set_response(odd, "job/details", {"one": None})
        set_response(odd, "job/one", {"id": "one", "state": None})
        assert check(odd.appliance())["job details"] == (
            "failed",
            (
                "the details of job one could not be read: the record is null; read by itself, "
                "job one could not be read: state is null"
            ),
            ADVICE["partial"],
        )

    def test_items_that_are_no_ids(self, odd: OddServer) -> None:
        """Items of the job list that are no ids fail the check."""
        odd.serve_api()
        set_response(odd, "job", ["one", None, 7])
        findings = check(odd.appliance())
        result, found, _ = findings["job list"]
        assert (result, found) == ("failed", "item 2 of the job list is no id (and 1 more)")

    @pytest.mark.parametrize(
        ("schedules", "found", "advice"),
        [
            ({}, "there is none", "Create a schedule at"),
            ({"a": {"enable": False, "hour": 1}}, "a: disabled", "Enable the schedule at"),
            ({"a": {"enable": True}}, "a: without a time", "Enable the schedule at"),
            (
                {"a": {"enable": 7}},
                "a: without a time; the schedule a could not be read: enable is a number",
                "Save the schedule again at",
            ),
            (
                {"a": {"enable": True, "hour": 30}, "b": {"enable": True, "hour": 1}},
                (
                    "a: at a time that could not be read; b: daily at 01:05; the schedule a could "
                    "not be read: recurrence_info.hour is out of range"
                ),
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
        """An enabled schedule with a time is ok; none, a disabled or invalid one is a warning."""
        odd.serve_api()
        sent: dict[str, object] = {}
        for name, plan in schedules.items():
            time = {"hour": plan.get("hour"), "minute": 5, "days": plan.get("days")}
            sent[name] = {"enable": plan["enable"], "location": "nfs://n", "parts": []} | (
                {"recurrence_info": time} if "hour" in plan else {}
            )
        set_response(odd, "schedules", sent)
        result, text, hint = check(odd.appliance())["schedule"]
        assert text.startswith(found)
        assert advice in hint if advice else hint == ""
        assert result == ("warning" if advice else "ok")

    def test_schedule_disabled(self, demo: Simulated) -> None:
        """A disabled schedule is a warning."""
        findings = check(demo.fleet["vc-nyc-03"], clock=epoch)
        assert findings["schedule"][:2] == ("warning", "default: disabled")

    def test_unreadable_version(self, odd: OddServer) -> None:
        """An invalid version fails only its own check."""
        odd.serve_api()
        odd.respond("GET /api/appliance/system/version", b'{"vers')
        findings = check(odd.appliance())
        assert findings["version"] == (
            "failed",
            "the response to the version is not valid JSON: it is truncated or damaged",
            ADVICE["payload"],
        )
        assert findings["time zone"][0] == "ok"

    def test_clock(self, demo: Simulated) -> None:
        """A clock that is minutes off is a warning with the difference."""
        result, found, advice = check(demo.fleet["vc-tyo-01"], clock=epoch)["clock"]
        assert result == "warning"
        assert found == "7 min ahead of this machine"
        assert "NTP" in advice
        assert "corrected by the difference" in advice

    def test_clock_slightly_off(self, odd: OddServer) -> None:
        """A clock that is a minute off is no warning."""
        odd.serve_api()
        findings = check(odd.appliance(), clock=lambda: datetime.now(UTC) + timedelta(seconds=90))
        result, found, _ = findings["clock"]
        assert result == "ok"
        assert found == "1 min behind this machine"

    def test_no_clock(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a date in the responses the clock is skipped."""
        monkeypatch.setattr(
            http.server.BaseHTTPRequestHandler, "date_time_string", lambda *_time: "some day"
        )
        odd.serve_api()
        assert check(odd.appliance())["clock"][:2] == ("skipped", "no response contained the time")

    def test_other_zone(self, demo: Simulated) -> None:
        """A time zone other than in fleet.toml is a warning with both names."""
        result, found, advice = check(demo.fleet["vc-nyc-01"], clock=epoch)["time zone"]
        assert (result, found) == ("warning", "Etc/UTC, but America/New_York in fleet.toml")
        assert "Correct timezone for vc-nyc-01 in fleet.toml" in advice

    def test_same_zone_by_another_name(self, odd: OddServer) -> None:
        """Two names of the same time zone are ok."""
        odd.serve_api()
        findings = check(replace(odd.appliance(), timezone="Africa/Accra"))
        assert findings["time zone"][:2] == ("ok", "Etc/UTC")

    @pytest.mark.parametrize(
        ("configured", "expected"),
        [
            (None, "read in UTC. Write the time zone"),
            ("Asia/Tokyo", "read in Asia/Tokyo, as in fleet"),
        ],
    )
    def test_no_zone(self, odd: OddServer, configured: str | None, expected: str) -> None:
        """An unknown time zone is a warning with the one that is used instead."""
        odd.serve_api()
        odd.respond("GET /api/appliance/system/time/timezone", b'"Mars/Olympus"')
        findings = check(replace(odd.appliance(), timezone=configured))
        result, found, advice = findings["time zone"]
        assert (result, found) == (
            "warning",
            "Mars/Olympus, which is not in the IANA list of time zones",
        )
        assert expected in advice


class TestTexts:
    """Untrusted content and secrets."""

    def test_untrusted(self, odd: OddServer) -> None:
        """Text of an appliance is shortened to one line without control characters."""
        odd.serve_api()
        bad = "\x1b[2J\n\u202e" + "x" * 9_999
        set_response(odd, "job", [bad])
        set_response(odd, "job/details", {})
        plan = {"enable": True, "location": "", "parts": []}
        set_response(odd, "schedules", {bad: plan})
        odd.respond("GET /api/appliance/system/version", json.dumps({"version": bad}).encode())
        odd.respond("GET /api/appliance/system/time/timezone", json.dumps(bad).encode())
        checks = doctor([odd.appliance()])
        texts = [*checks["found"], *checks["advice"].dropna()]
        assert all(text.isprintable() and len(text) < 1_010 for text in texts)

    def test_secrets(
        self, own_demo: Simulated, odd: OddServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither password nor token is in a finding, in an error, or in the debug log."""
        caplog.set_level(logging.DEBUG)
        odd.serve_api()
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
