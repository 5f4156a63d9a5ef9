"""Sign-in without a password: OAuth 2.0 clients, access tokens, and their exchange."""

import base64
import gzip
import json
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit import Appliance, Fleet, Limits, PasswordSource, collect, protocol, wire
from backupkit.client import ApplianceClient, identity
from backupkit.client.identity import AccessTokens
from backupkit.client.masking import SecretMask
from backupkit.client.poll_time import PollTime
from backupkit.diagnostics import discover, doctor
from backupkit.errors import (
    CredentialError,
    DeadlineError,
    LoginError,
    NotFoundError,
    PayloadError,
    RightsError,
    ServerError,
    SettingsError,
    StoppedError,
    UnreachableError,
)
from backupkit.passwords import IdentityProvider
from backupkit.simulator import IdentityProvider as SimulatedProvider
from backupkit.simulator import Scenario, SimulatedFleet
from tests.conftest import EPOCH, QUICK, OddServer, Simulated, epoch

SECRET = "client secret: 1+1=2"


class Clock:
    """Clock that a test sets; it is an aware datetime, or seconds."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> datetime:
        """Return the time."""
        return EPOCH + timedelta(seconds=self.passed)

    def seconds(self) -> float:
        """Return the time in seconds."""
        return self.passed


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def own_tokens(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> AccessTokens:
    """Replace the tokens of this process by ones with the test's clock."""
    tokens = AccessTokens(clock.seconds)
    monkeypatch.setattr("backupkit.client.credentials.ACCESS_TOKENS", tokens)
    return tokens


@pytest.fixture
def oauth(tmp_path: Path, clock: Clock, own_tokens: AccessTokens) -> Iterator[Simulated]:
    """Run six appliances that refuse passwords, and their identity provider."""
    assert own_tokens.__class__ is AccessTokens
    provider = SimulatedProvider(secret=SECRET, clock=clock)
    scenario = Scenario.steady(appliances=6, jobs=3, epoch=EPOCH, flavours=["api"])
    with SimulatedFleet(scenario, clock=clock, provider=provider) as appliances:
        for appliance in appliances.appliances:
            appliances.refuse_passwords(appliance.name)
        appliances.write_fleet(tmp_path / "fleet.toml")
        yield Simulated(appliances, tmp_path / "fleet.toml")


def provider_of(running: Simulated) -> SimulatedProvider:
    """Return the simulated identity provider of a fleet."""
    assert running.appliances.provider is not None
    return running.appliances.provider


def open_client(running: Simulated, secret: str = SECRET, **changes: object) -> ApplianceClient:
    """Return a client of the first appliance."""
    appliance = replace(running.fleet["vc-0001"], **changes)  # type: ignore[arg-type] # the test knows the fields
    return ApplianceClient(appliance, secret, clock=epoch, limits=QUICK)


def with_token() -> dict[str, object]:
    """Return the changes of an appliance that has an access token of its own."""
    source = PasswordSource("env", "ACCESS_TOKEN")
    return {"login": "token", "provider": None, "password": source}


class TestOAuth:
    """A client of an identity provider."""

    def test_collection(self, oauth: Simulated) -> None:
        """A fleet that refuses passwords is read, with one access token for all appliances."""
        fleet = oauth.fleet
        assert {(one.login, one.user, one.account) for one in fleet} == {("oauth", "", "backupkit")}
        snapshot = collect(fleet, clock=epoch, limits=QUICK)
        assert snapshot.polls["ok"].all()
        assert len(snapshot.jobs) == 18
        assert len(provider_of(oauth).issued) == 1
        assert oauth.appliances.open_sessions == 0
        asked = [one.path for one in oauth.appliances.requests if one.appliance == "vc-0001"]
        assert asked[:2] == ["/api/vcenter/authentication/token", "/api/session"]
        # the second collection exchanges the same token again
        assert collect(fleet, clock=epoch, limits=QUICK).polls["ok"].all()
        assert len(provider_of(oauth).issued) == 1

    def test_password_refused(self, oauth: Simulated) -> None:
        """The same appliance refuses its user and password, once."""
        appliance = replace(
            oauth.fleet["vc-0001"],
            login="password",
            provider=None,
            user="administrator@vsphere.local",
        )
        with pytest.raises(LoginError, match="login failed"):
            ApplianceClient(appliance, "Simulated-1!", limits=QUICK).__enter__()
        assert len(oauth.appliances.requests) == 1

    def test_expiry(self, oauth: Simulated, clock: Clock) -> None:
        """An access token is replaced a minute before it expires."""
        for passed, issued in ((0, 1), (1739, 1), (1741, 2), (1742, 2)):
            clock.passed = passed
            with open_client(oauth) as client:
                assert client.requests == 2
            assert len(provider_of(oauth).issued) == issued

    def test_session_renewal(self, oauth: Simulated, clock: Clock) -> None:
        """An ended session is renewed with a new exchange, here also with a new access token."""
        with open_client(oauth) as client:
            oauth.appliances.expire_sessions("vc-0001")
            clock.passed = 1750
            assert len(client.job_ids()[0]) == 3
        assert len(oauth.appliances["vc-0001"].saml_tokens.issued) == 2
        assert len(provider_of(oauth).issued) == 2

    def test_wrong_secret(self, oauth: Simulated, clock: Clock) -> None:
        """A client is refused once for all appliances, and again after half a minute."""
        secret = oauth.path.with_suffix(".secret")
        secret.write_text("wrong")
        with pytest.warns(match="None of 6"):
            snapshot = collect(oauth.fleet, clock=epoch, limits=QUICK)
        assert set(snapshot.polls["error"]) == {"credential"}
        [detail] = set(snapshot.polls["detail"])
        assert detail == (
            "the identity provider refused to issue an access token (401): "
            '"invalid_client: Client authentication failed.". Check client, secret and scope of '
            "oauth in fleet.toml, and that the client may use the grant client_credentials."
        )
        assert provider_of(oauth).refused == 1
        assert oauth.appliances.requests == ()
        clock.passed = 31
        with pytest.raises(CredentialError, match="invalid_client"):
            open_client(oauth, "wrong").__enter__()
        assert provider_of(oauth).refused == 2

    def test_scope(self, oauth: Simulated) -> None:
        """A scope is requested if fleet.toml states one, and its refusal is quoted."""
        provider_of(oauth).scope = "vcenter read"
        with pytest.raises(CredentialError, match=r"\(400\): .invalid_scope: The client may not"):
            open_client(oauth).__enter__()
        provider = oauth.fleet["vc-0001"].provider
        assert provider is not None
        with open_client(oauth, provider=replace(provider, scope="vcenter read")):
            assert len(provider_of(oauth).issued) == 1

    def test_doctor(self, oauth: Simulated) -> None:
        """Doctor names the client and the source of its secret, and logs in."""
        checks = doctor(list(oauth.fleet)[:1], clock=epoch, limits=QUICK)
        found = dict(zip(checks["check"], checks["found"], strict=True))
        assert found["secret"].startswith("client secret of backupkit in the file ")
        assert found["log-in"] == "as the client backupkit, with an access token, by /api"
        assert "failed" not in set(checks["result"])

    def test_discover(self, oauth: Simulated) -> None:
        """The SSO domain is read with a token, too."""
        found = discover(oauth.fleet, limits=QUICK)
        assert found.unread == {}
        assert {node.appliance for node in found.nodes} == {one.name for one in oauth.fleet}

    def test_display(self, oauth: Simulated) -> None:
        """A fleet shows the client and the source of its secret, never the secret."""
        shown = oauth.fleet._repr_html_() + repr(list(oauth.fleet))
        assert f"of the client backupkit at {provider_of(oauth).host}" in shown
        assert SECRET not in shown
        assert repr(AccessTokens()) == "AccessTokens()"


class TestToken:
    """An access token from another program."""

    def test_login(self, oauth: Simulated) -> None:
        """A token that a source has is exchanged; the identity provider is not asked."""
        token = provider_of(oauth).issue()
        with open_client(oauth, token, **with_token()) as client:
            assert len(client.job_ids()[0]) == 3
        assert len(provider_of(oauth).issued) == 1

    def test_doctor(self, oauth: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """Doctor says that an access token is used, and where it is."""
        monkeypatch.setenv("ACCESS_TOKEN", provider_of(oauth).issue())
        appliance = replace(oauth.fleet["vc-0001"], **with_token())  # type: ignore[arg-type] # fields
        checks = doctor([appliance], clock=epoch, limits=QUICK)
        found = dict(zip(checks["check"], checks["found"], strict=True))
        assert found["secret"] == "access token in the environment variable ACCESS_TOKEN"
        assert found["log-in"] == "with an access token, by /api"
        assert "env: ACCESS_TOKEN, an access token" in Fleet([appliance])._repr_html_()

    @pytest.mark.parametrize(
        ("kind", "place", "expected"),
        [
            ("env", "NOT_SET", "Set NOT_SET to the access token."),
            ("file", "empty", "Write the access token on its first line."),
            ("file", "none", "Name a readable file with the access token on its first line."),
            ("command", "true", "its first line of output must be the access token."),
            ("command", "false", "failed with exit code 1"),
            ("command", "printf '\\344'", "must be the access token, as text."),
            (
                "command",
                "printf 'a\\tb'",
                "the access token of command printf 'a\\tb' has a control",
            ),
        ],
    )
    def test_words(
        self,
        oauth: Simulated,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        kind: Any,  # noqa: ANN401 # a literal
        place: str,
        expected: str,
    ) -> None:
        """An error about the source of a token speaks of a token, not of a password."""
        monkeypatch.chdir(tmp_path)
        Path("empty").touch()
        appliance = replace(
            oauth.fleet["vc-0001"],
            login="token",
            provider=None,
            password=PasswordSource(kind, place),
        )
        with pytest.raises(CredentialError) as caught:
            appliance.password.read(appliance.account)
        assert expected in caught.value.text
        assert caught.value.subject == "access token"
        assert "password" not in str(caught.value)

    def test_prompt(self, oauth: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client secret is prompted for as one, once for all appliances."""
        questions: list[str] = []

        def answer(question: str) -> str:
            questions.append(question)
            return SECRET

        monkeypatch.setattr("getpass.getpass", answer)
        prompt = PasswordSource("prompt", "the fleet")
        fleet = [replace(one, password=prompt) for one in oauth.fleet]
        assert collect(fleet, clock=epoch, limits=QUICK).polls["ok"].all()
        assert questions == ["Client secret of backupkit for the fleet: "]

    def test_expired(self, oauth: Simulated, clock: Clock) -> None:
        """An expired token is refused once, with advice."""
        token = provider_of(oauth).issue()
        clock.passed = 1800
        with pytest.raises(LoginError) as caught:
            open_client(oauth, token, **with_token()).__enter__()
        assert str(caught.value) == (
            'vc-0001: the appliance refused the access token (400): "invalid_grant: The access '
            'token is invalid or has expired.". Check that this vCenter Server trusts the identity '
            "provider, that the client or user of the token has a role in it, and that the token "
            "has not expired. docs/sign-in.md has the steps."
        )
        assert len(oauth.appliances.requests) == 1

    @pytest.mark.parametrize("token", ["two words", "tökén"])
    def test_not_a_token(self, oauth: Simulated, token: str) -> None:
        """A text that is no token is refused before any request, and not quoted."""
        with pytest.raises(CredentialError, match="a blank, or a character outside") as caught:
            open_client(oauth, token, **with_token())
        assert token not in str(caught.value)

    def test_untrusted(self, oauth: Simulated) -> None:
        """An appliance that does not trust the identity provider answers 403; it is asked once."""
        oauth.appliances["vc-0001"].provider = None
        with pytest.raises(RightsError, match=r"refused the access token \(403\).*trusts the"):
            open_client(oauth).__enter__()
        assert len(oauth.appliances.requests) == 1

    @pytest.mark.parametrize("version", ["6.7", "7.0.1"])
    def test_old_version(self, oauth: Simulated, version: str) -> None:
        """An appliance before 7.0 U2 has no exchange; /rest is not tried."""
        oauth.appliances.upgrade("vc-0001", version)
        with pytest.raises(NotFoundError, match=r"needs vCenter Server 7\.0 Update 2 or later"):
            open_client(oauth).__enter__()
        assert [one.status for one in oauth.appliances.requests] == [404]


def odd_appliance(odd: OddServer, **changes: object) -> Appliance:
    """Return the odd server as an appliance with an access token."""
    return replace(odd.appliance(), login="token", user="", **changes)  # type: ignore[arg-type] # fields


TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJiayJ9.AAECAwQFBgcICQoLDA0ODw"
ASSERTION = b"<saml2:Assertion ID='_1'>" + bytes(range(32, 127)) * 3 + b"?>\xff"


class TestExchange:
    """The exchange of an access token, as sent and as answered."""

    def serve(self, odd: OddServer, token: bytes) -> None:
        """Answer as an appliance that issues a SAML token."""
        odd.serve_api()
        body = json.dumps({"access_token": token.decode(), "token_type": "N_A"}).encode()
        odd.respond("POST /api/vcenter/authentication/token", body)

    @pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
    @pytest.mark.parametrize("padding", [b"=", b""])
    def test_requests(self, odd: OddServer, encode: object, padding: bytes) -> None:
        """Header and form are those of the API; the SAML token is sent compressed."""
        assert callable(encode)
        self.serve(odd, encode(ASSERTION).rstrip(b"=") + padding * (-len(ASSERTION) % 3))
        with ApplianceClient(odd_appliance(odd), TOKEN, limits=QUICK) as client:
            assert client.job_ids() == ([], {})
        (method, path, headers), (_, login, credentials) = odd.seen[:2]
        assert (method, path) == ("POST", "/api/vcenter/authentication/token")
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert dict(parse_qsl(odd.bodies[0].decode(), strict_parsing=True)) == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:saml2",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": TOKEN,
        }
        assert (login, odd.bodies[1]) == ("/api/session", b"")
        scheme, _, quoted = credentials["Authorization"].partition(" ")
        assert (scheme, quoted[:7], quoted[-1]) == ("SIGN", 'token="', '"')
        assert gzip.decompress(base64.b64decode(quoted[7:-1], validate=True)) == ASSERTION

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "is empty"),
            (b"<html>", "is HTML"),
            (b'"text"', "does not follow the API"),
            (b'{"access_token": "PHg"', "truncated or damaged"),
            (b'{"access_token": "<saml2:Assertion/>"}', "no SAML token in base64"),
            (b'{"access_token": "aGVsbG8="}', "no SAML token in base64"),
            ('{"access_token": "ä"}'.encode(), "no SAML token in base64"),
        ],
    )
    def test_odd_answers(self, odd: OddServer, body: bytes, problem: str) -> None:
        """A response without a SAML token is an error that names the appliance."""
        odd.serve_api()
        odd.respond("POST /api/vcenter/authentication/token", body)
        with pytest.raises(PayloadError, match=problem) as caught:
            ApplianceClient(odd_appliance(odd), TOKEN, limits=QUICK).__enter__()
        assert caught.value.subject == "vc-odd"
        assert len(odd.seen) == 1

    def test_saml_token_refused(self, odd: OddServer) -> None:
        """A refused SAML token is no wrong password."""
        self.serve(odd, base64.b64encode(ASSERTION))
        odd.respond("POST /api/session", b"", 401)
        with pytest.raises(LoginError, match=r"login failed \(401\)\. Check that this vCenter"):
            ApplianceClient(odd_appliance(odd), TOKEN, limits=QUICK).__enter__()
        assert len(odd.seen) == 2

    @pytest.mark.parametrize(
        ("status", "body", "kind", "attempts"),
        [
            (503, b'{"error_type": "SERVICE_UNAVAILABLE", "messages": []}', "busy", 4),
            (503, b"<html>", "server", 4),
            (404, b"<html>", "not_found", 1),
            (401, b"<html>", "login", 1),
            (400, b'{"error_type": "INVALID_ARGUMENT", "messages": []}', "login", 1),
            (400, b'{"error_type": "RESOURCE_INACCESSIBLE", "messages": []}', "server", 1),
            (400, b'{"error_type": "RESOURCE_BUSY", "messages": []}', "busy", 4),
        ],
    )
    def test_errors(
        self, odd: OddServer, status: int, body: bytes, kind: str, attempts: int
    ) -> None:
        """Only what may pass is tried again; a refusal never is."""
        odd.serve_api()
        odd.respond("POST /api/vcenter/authentication/token", body, status)
        snapshot_of = pytest.warns(match="None of 1")
        with pytest.MonkeyPatch.context() as patch, snapshot_of:
            patch.setenv("VCSA_PASSWORD", TOKEN)
            snapshot = collect([odd_appliance(odd)], limits=QUICK)
        assert snapshot.polls["error"].to_list() == [kind]
        assert len(odd.seen) == attempts

    @pytest.mark.parametrize("part", [slice(None), slice(100), slice(-100, None)])
    @pytest.mark.parametrize("secret_of", ["access", "saml", "sign"])
    def test_echo(self, odd: OddServer, secret_of: str, part: slice) -> None:
        """A response that repeats a token, even in part, is not quoted with it."""
        self.serve(odd, base64.b64encode(ASSERTION))
        with ApplianceClient(odd_appliance(odd), TOKEN, limits=QUICK) as client:
            sign = odd.seen[1][2]["Authorization"].partition('"')[2].rstrip('"')
            saml = base64.b64encode(ASSERTION).decode()
            secret = {"access": TOKEN, "saml": saml, "sign": sign}[secret_of][part]
            answer = {"messages": [{"id": "x", "default_message": f"no {secret}", "args": []}]}
            odd.respond("GET /api/appliance/system/version", json.dumps(answer).encode(), 400)
            with pytest.raises(ServerError, match=r"\[secret\]") as caught:
                client.version()
        assert secret[:64] not in str(caught.value)
        assert secret[-64:] not in str(caught.value)


def odd_provider(odd: OddServer, **changes: object) -> IdentityProvider:
    """Return the odd server as an identity provider."""
    fields: dict[str, object] = {
        "url": f"https://{odd.host}/token",
        "client": "backupkit",
        "ca_bundle": odd.ca_bundle,
        **changes,
    }
    return IdentityProvider(**fields)  # type: ignore[arg-type] # the test knows the fields


def get(
    provider: IdentityProvider, tokens: AccessTokens | None = None, limits: Limits = QUICK
) -> str:
    """Return an access token of a provider."""
    mask = SecretMask("backupkit", SECRET)
    poll_time = PollTime("vc-odd", limits)
    return (tokens or AccessTokens()).get(provider, SECRET, mask, limits, poll_time)


@pytest.mark.property
@given(content=st.binary(max_size=300), word=st.text(max_size=20))
def test_round_trip(content: bytes, word: str) -> None:
    """A SAML token of any bytes is sent as it was received, and found in any text."""
    assertion = b"<saml2:Assertion>" + content
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(assertion)
        body = json.dumps({"access_token": encoded.decode()}).encode()
        assert wire.decode_assertion(body) == assertion
        mask = SecretMask("u@v", "a password")
        mask.add_token(encoded.decode())
        assert encoded.decode() not in mask.mask_text(f"{word}{encoded.decode()}{word}")
    sent = protocol.sign_header(assertion).removeprefix('SIGN token="').removesuffix('"')
    assert gzip.decompress(base64.b64decode(sent, validate=True)) == assertion


def test_long_token_alone() -> None:
    """Without a password, a long token is masked with its whole text, and other texts stay."""
    mask, token = SecretMask("token", ""), f"{TOKEN}.{'x' * 200}"
    mask.add_token(token)
    for text in (f"Bearer {token[:90]}", token[-70:].upper(), token.replace("e", "%65")):
        assert mask.mask_text(text) == "[secret]"
    body = json.dumps({"a": f"Bearer {token}", "b": "Og== stays"}).encode()
    assert json.loads(mask.mask_body(body, ok=True)) == {"a": "[secret]", "b": "Og== stays"}


class TestProvider:
    """The request for an access token, and odd answers to it."""

    def test_request(self, odd: OddServer) -> None:
        """Client and secret are sent as they are in the header; the form has grant and scope."""
        odd.respond("POST /token", b'{"access_token": "abc", "expires_in": "300"}')
        assert get(odd_provider(odd, client="a/b", scope="x y")) == "abc"
        [(_, _, headers)] = odd.seen
        basic = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        assert basic == f"a/b:{SECRET}"
        assert odd.bodies == [b"grant_type=client_credentials&scope=x+y"]

    @pytest.mark.parametrize(
        ("lifetime", "used"),
        [
            ("", 30),
            (', "expires_in": 40', 20),
            (', "expires_in": "soon"', 30),
            (', "expires_in": 3600.0', 3540),
            (', "expires_in": "inf"', 30),
            (', "expires_in": -5', 0),
        ],
    )
    def test_lifetime(self, odd: OddServer, clock: Clock, lifetime: str, used: float) -> None:
        """A token is used until a minute before its end, but half its life; by default 30 s."""
        odd.respond("POST /token", b'{"access_token": "abc"%s}' % lifetime.encode())
        tokens = AccessTokens(clock.seconds)
        get(odd_provider(odd), tokens)
        for passed, requests in ((used - 0.5, 1), (used, 2)):
            clock.passed = passed
            if passed > 0:
                get(odd_provider(odd), tokens)
                assert len(odd.seen) == requests

    def test_one_request_for_many(self, odd: OddServer) -> None:
        """Threads that need a token at the same time get the same one."""
        odd.respond("POST /token", b'{"access_token": "abc", "expires_in": 300}')
        tokens, barrier = AccessTokens(), threading.Barrier(8)

        def read(_number: int) -> str:
            barrier.wait()
            return get(odd_provider(odd), tokens)

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(read, range(8))) == {"abc"}
        assert len(odd.seen) == 1

    @pytest.mark.parametrize(
        ("status", "body", "problem", "advice"),
        [
            (200, b"", ": its response is empty", "Check url"),
            (200, b"<html>", "is HTML and not JSON", "Check url"),
            (200, b'{"token": 1}', "does not follow the API", "Check url"),
            (200, b'{"access_token": "a b"}', "no access token that fits", "Check url"),
            (200, b'{"access_token": "\\n"}', "no access token that fits", "Check url"),
            (302, b"", r"refused to issue an access token \(302\)", "Check url"),
            (404, b"<html>", r"refused to issue an access token \(404\)", "Check url"),
            (400, b'{"error": "x<y"}', r"an access token \(400\)", "Check client"),
            (400, b'{"error": "invalid_scope"}', r'\(400\): "invalid_scope"', "Check client"),
            (403, b"", r"\(403\)", "Check client"),
        ],
    )
    def test_odd_answers(
        self, odd: OddServer, status: int, body: bytes, problem: str, advice: str
    ) -> None:
        """Each answer without a token is an error with advice, after one request."""
        odd.respond("POST /token", body, status)
        with pytest.raises(CredentialError, match=problem) as caught:
            get(odd_provider(odd))
        assert caught.value.advice.startswith(advice)
        assert len(odd.seen) == 1

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_retry(self, odd: OddServer, status: int) -> None:
        """An overloaded provider is asked again."""
        odd.respond("POST /token", b"", status)
        with pytest.raises(CredentialError, match=rf"now \({status}\)\. Collect again in a few"):
            get(odd_provider(odd))
        assert len(odd.seen) == QUICK.attempts

    def test_too_large(self, odd: OddServer) -> None:
        """A response that is too large is not read."""
        odd.respond("POST /token", b" " * 2000)
        with pytest.raises(CredentialError, match="its response is too large"):
            get(odd_provider(odd), limits=replace(QUICK, body=1000))

    def test_quoted_without_secrets(self, odd: OddServer) -> None:
        """An error that repeats the request is quoted as one line, without the secret."""
        said = f"{SECRET}\n\x1b[2J at ftp://u:pw@x/ {'x' * 500}"
        body = json.dumps({"error": "invalid_client", "error_description": said}).encode()
        odd.respond("POST /token", body, 401)
        with pytest.raises(CredentialError) as caught:
            get(odd_provider(odd))
        assert '(401): "invalid_client: [secret] [2J at ftp://***@x/ xxx' in str(caught.value)
        assert len(str(caught.value)) < 500

    def test_unreachable(self, own_tokens: AccessTokens) -> None:
        """A provider that cannot be reached is named, with advice; it is not an appliance."""
        provider = IdentityProvider(url="https://127.0.0.1:1/token", client="backupkit")
        with pytest.raises(CredentialError) as caught:
            get(provider, own_tokens)
        assert str(caught.value) == (
            "oauth: no access token from the identity provider 127.0.0.1:1: 127.0.0.1:1 refused "
            "the connection: no service listens there. Check url of oauth in fleet.toml, and "
            "whether this machine reaches the identity provider without a proxy."
        )

    def test_untrusted_certificate(self, odd: OddServer) -> None:
        """The certificate of the provider is verified by its own ca_bundle."""
        with pytest.raises(CredentialError, match=r"is not trusted: .*add ca_bundle to oauth"):
            get(odd_provider(odd, ca_bundle=None))
        assert odd.seen == []

    def test_stopped(self, odd: OddServer) -> None:
        """A stop, and a deadline that has passed, end the request and are not kept."""
        odd.respond("POST /token", b'{"access_token": "abc"}')
        tokens, mask = AccessTokens(), SecretMask("backupkit", SECRET)
        stop = threading.Event()
        stop.set()
        for poll_time, error in (
            (PollTime("vc-odd", QUICK, stop=stop), StoppedError),
            (PollTime("vc-odd", QUICK, deadline=0), DeadlineError),
        ):
            with pytest.raises(error, match="before reading the access token"):
                tokens.get(odd_provider(odd), SECRET, mask, QUICK, poll_time)
        assert odd.seen == []
        assert get(odd_provider(odd), tokens) == "abc"


class TestEntries:
    """The keys token and oauth of fleet.toml."""

    def load(self, tmp_path: Path, defaults: str, *own: str) -> Fleet:
        """Read a fleet.toml with these defaults, and appliances with these keys."""
        (tmp_path / "idp.pem").touch()
        text = f"[defaults]\n{defaults}\n"
        for number, keys in enumerate(own, 1):
            text += f'[[appliance]]\nname = "vc-{number}"\nhost = "vc.test"\n{keys}\n'
        path = tmp_path / "fleet.toml"
        path.write_text(text)
        return Fleet.load(path)

    OAUTH = (
        'oauth = { url = "https://idp.test/token", client = "backupkit", '
        'secret = { file = "secret" }, scope = "s", ca_bundle = "idp.pem" }'
    )

    def test_own_key_replaces_the_default(self, tmp_path: Path) -> None:
        """An appliance's own key replaces the default of another kind."""
        password = 'user = "u@v"\npassword = { env = "X" }'
        token = 'token = { command = ["print-token"] }'
        fleet = self.load(tmp_path, self.OAUTH, "", token, password)
        assert [one.login for one in fleet] == ["oauth", "token", "password"]
        assert [one.account for one in fleet] == ["backupkit", "token", "u@v"]
        assert fleet["vc-1"].provider == IdentityProvider(
            url="https://idp.test/token",
            client="backupkit",
            scope="s",
            ca_bundle=tmp_path / "idp.pem",
        )
        assert fleet["vc-1"].password == PasswordSource("file", str(tmp_path / "secret"))
        assert fleet["vc-2"].provider is None
        [own] = self.load(tmp_path, password, self.OAUTH)
        assert (own.login, own.user) == ("oauth", "u@v")

    @pytest.mark.parametrize(
        ("keys", "problem"),
        [
            ("", '"user" is missing'),
            ('user = "u@v"', '"password" is missing'),
            ('token = { env = "X" }\npassword = { env = "X" }', "state one of password and token"),
            ('token = "VerySecretToken"', "a token must not be in this file"),
            ("token = { prompt = true }", "a token cannot be typed"),
            ("token = {}", '"token" must be one of'),
            ('oauth = { url = "https://idp.test/t", client = "b", secret = "x" }', "a secret must"),
            ('oauth = { url = "https://idp.test/t", client = "b" }', "secret"),
            ('oauth = "https://idp.test/t"', '"oauth": expected'),
            (
                'oauth = { url = "https://idp.test/t", client = "b", secret = {} }',
                '"secret" must be one of',
            ),
            (OAUTH.replace("idp.pem", "none.pem"), "oauth: ca_bundle: no such file"),
            (OAUTH.replace("https:", "http:"), "oauth: url must begin with https://"),
            (OAUTH.replace("idp.test", "u:p@idp.test"), "neither a user nor a fragment"),
            (OAUTH.replace("/token", "/token#x"), "neither a user nor a fragment"),
            (OAUTH.replace("idp.test", "idp.test:99999"), "no valid host or port"),
            (OAUTH.replace("idp.test", ""), "no valid host"),
            (OAUTH.replace("idp.test", "a..b"), "oauth: url"),
            (OAUTH.replace('"backupkit"', '" "'), "the client is empty"),
            (OAUTH.replace('"backupkit"', '"a:b"'), "has a colon"),
        ],
    )
    def test_wrong(self, tmp_path: Path, keys: str, problem: str) -> None:
        """A wrong entry is named, and no secret is quoted."""
        with pytest.raises(SettingsError, match=problem) as caught:
            self.load(tmp_path, "", keys)
        assert "u:p@" not in str(caught.value)
        assert "VerySecretToken" not in str(caught.value)
        assert '[[appliance]] 1 ("vc-1")' in str(caught.value)

    def test_sent_to_workers(self, tmp_path: Path) -> None:
        """An appliance with an identity provider can be sent to another process."""
        [appliance] = self.load(tmp_path, self.OAUTH, "")
        assert pickle.loads(pickle.dumps(appliance)) == appliance  # noqa: S301 # our own bytes

    def test_ipv6(self) -> None:
        """The identity provider may have an IPv6 address, and a URL without a path."""
        provider = IdentityProvider(url="https://[::1]:8443", client="b")
        assert (provider.host, provider.path) == ("[::1]:8443", "/")

    def test_appliance_without_provider(self) -> None:
        """In Python, login and provider go together."""
        source = PasswordSource("env", "X")
        with pytest.raises(SettingsError, match='login="oauth" needs a provider'):
            Appliance(name="vc-1", host="vc.test", password=source, login="oauth")
        with pytest.raises(SettingsError, match='login must be "password", "token" or "oauth"'):
            Appliance(name="vc-1", host="vc.test", password=source, login="sms")  # type: ignore[arg-type] # wrong


def test_no_secret_in_text(oauth: Simulated) -> None:
    """Neither clients nor their parts show a secret."""
    client = open_client(oauth)
    with client:
        shown = repr(client) + repr(client._credentials) + repr(vars(identity))
    assert "vc-0001" in shown
    for secret in (SECRET, *provider_of(oauth).issued):
        assert secret not in shown


def test_unreachable_appliance(oauth: Simulated) -> None:
    """An appliance that is off is unreachable, whatever its sign-in."""
    oauth.appliances.stop("vc-0001")
    with pytest.raises(UnreachableError, match="refused the connection"):
        open_client(oauth).__enter__()
