"""The simulated identity provider, and the exchange, request by request."""

import base64
import gzip
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec
import pytest

from backupkit.simulator import IdentityProvider, Scenario, SimulatedAppliance
from backupkit.simulator.identity import CLIENT, EXCHANGE, FORM, SECRET
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Reply, Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
BASIC = base64.b64encode(b"backupkit:Simulated secret: 1+1").decode()
PACKED = gzip.compress(b"<saml2:Assertion/>", mtime=0)


@pytest.fixture
def provider(moment: list[datetime]) -> IdentityProvider:
    """Return an identity provider with this clock."""
    return IdentityProvider(clock=lambda: moment[0])


@pytest.fixture
def appliance(moment: list[datetime], provider: IdentityProvider) -> SimulatedAppliance:
    """Return an appliance of 8.0.3 that trusts the provider."""
    scenario = Scenario.steady(appliances=1, jobs=1, epoch=EPOCH)
    made = SimulatedAppliance(scenario.specs[0], scenario, clock=lambda: moment[0])
    made.provider = provider
    return made


def ask(provider: IdentityProvider, body: str, basic: str = BASIC, **changes: str) -> Reply:
    """Request an access token."""
    headers = {"authorization": f"Basic {basic}", "content-type": FORM}
    method, target = changes.pop("method", "POST"), changes.pop("target", provider.path)
    return provider.answer(
        Request(method=method, target=target, headers=headers | changes, body=body.encode())
    )


class TestAccessToken:
    """Client credentials grant."""

    def test_issued(self, provider: IdentityProvider, moment: list[datetime]) -> None:
        """A correct request gets a token, which expires by the clock."""
        reply = ask(provider, "grant_type=client_credentials")
        body = msgspec.json.decode(reply.body)
        assert (reply.status, body["token_type"], body["expires_in"]) == (200, "Bearer", 1800)
        token = body["access_token"]
        assert provider.find_client(token) == CLIENT
        assert SECRET not in token
        moment[0] += timedelta(minutes=30)
        assert provider.find_client(token) is None

    @pytest.mark.parametrize(
        ("body", "changes", "status", "error"),
        [
            ("grant_type=client_credentials", {"basic": "%%"}, 401, "invalid_client"),
            ("grant_type=client_credentials", {"basic": "YTpi"}, 401, "invalid_client"),
            ("grant_type=password", {}, 400, "unsupported_grant_type"),
            ("grant_type", {}, 400, "invalid_request"),
            ("grant_type=a&grant_type=b", {}, 400, "invalid_request"),
            ("grant_type=client_credentials&scope=x", {}, 400, "invalid_scope"),
            ("{}", {"content-type": "application/json"}, 400, "invalid_request"),
        ],
    )
    def test_refused(
        self,
        provider: IdentityProvider,
        body: str,
        changes: dict[str, str],
        status: int,
        error: str,
    ) -> None:
        """Each other request is refused with the error of RFC 6749."""
        reply = ask(provider, body, **changes)
        assert reply.status == status
        assert msgspec.json.decode(reply.body)["error"] == error
        assert (provider.refused, provider.issued) == (1, [])

    @pytest.mark.parametrize("changes", [{"method": "GET"}, {"target": "/other"}])
    def test_elsewhere(self, provider: IdentityProvider, changes: dict[str, str]) -> None:
        """There is one endpoint."""
        assert ask(provider, "grant_type=client_credentials", **changes).status == 404


def exchange(appliance: SimulatedAppliance, token: str, **changes: str) -> Reply:
    """Exchange an access token; a changed field of an empty text is left out."""
    fields = {**EXCHANGE, "subject_token": token, **changes}
    body = urlencode({name: value for name, value in fields.items() if value})
    headers = {"authorization": f"Bearer {token}", "content-type": FORM}
    target = "/api/vcenter/authentication/token"
    return respond(
        appliance, Request(method="POST", target=target, headers=headers, body=body.encode())
    )


def log_in(appliance: SimulatedAppliance, authorization: str, path: str = "/api/session") -> int:
    """Log in, and return the status."""
    headers = {"authorization": authorization}
    return respond(appliance, Request(method="POST", target=path, headers=headers)).status


class TestExchange:
    """Exchange for a SAML token, and the login with it."""

    def test_login(
        self, appliance: SimulatedAppliance, provider: IdentityProvider, moment: list[datetime]
    ) -> None:
        """The SAML token opens sessions until it expires, in /api only."""
        body = msgspec.json.decode(exchange(appliance, provider.issue()).body)
        assert body["issued_token_type"] == EXCHANGE["requested_token_type"]
        document = base64.b64decode(body["access_token"])
        assert [document.decode()] == appliance.saml_tokens.issued
        sign = f'SIGN token="{base64.b64encode(gzip.compress(document, mtime=0)).decode()}"'
        assert log_in(appliance, sign) == 201
        assert log_in(appliance, sign, "/rest/com/vmware/cis/session") == 401
        moment[0] += timedelta(seconds=299)
        assert log_in(appliance, sign) == 401

    @pytest.mark.parametrize(
        "credentials",
        [
            "token=H4sI",
            'token="%%%%"',
            'token="H4s"',
            f'token="{base64.b64encode(b"<saml2:Assertion/>").decode()}"',
            f'token="{base64.b64encode(PACKED).decode()}"',
            f'token="{base64.b64encode(PACKED[:-9]).decode()}"',
        ],
    )
    def test_odd_tokens(self, appliance: SimulatedAppliance, credentials: str) -> None:
        """A header that is malformed, or another document, is refused."""
        assert log_in(appliance, f"SIGN {credentials}") == 401

    @pytest.mark.parametrize(
        "changes",
        [
            {"grant_type": ""},
            {"requested_token_type": "urn:ietf:params:oauth:token-type:saml1"},
            {"subject_token_type": ""},
            {"subject_token": ""},
            {"audience": "x"},
        ],
    )
    def test_strict(
        self, appliance: SimulatedAppliance, provider: IdentityProvider, changes: dict[str, str]
    ) -> None:
        """Each field must be there, with its value, and no other."""
        reply = exchange(appliance, provider.issue(), **changes)
        assert (reply.status, msgspec.json.decode(reply.body)["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [("application/json", b"[]"), ("text/plain", b"a=b"), (FORM, b"a")],
    )
    def test_encoding(self, appliance: SimulatedAppliance, content_type: str, body: bytes) -> None:
        """The body is a form, or a JSON object as of VMware's client."""
        headers = {"content-type": content_type}
        target = "/api/vcenter/authentication/token"
        request = Request(method="POST", target=target, headers=headers, body=body)
        assert respond(appliance, request).status == 400

    def test_person(self, appliance: SimulatedAppliance, provider: IdentityProvider) -> None:
        """The identity token of a person may be sent, too."""
        actor = {
            "actor_token": "x",
            "actor_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        assert exchange(appliance, provider.issue(), **actor).status == 200

    def test_tokens(self, appliance: SimulatedAppliance, provider: IdentityProvider) -> None:
        """Header and field must have the same token, of a provider that the appliance trusts."""
        token = provider.issue()
        assert exchange(appliance, token, subject_token="other").status == 401
        assert exchange(appliance, "unknown").status == 400
        appliance.provider = None
        assert exchange(appliance, token).status == 403

    def test_old_version(self, appliance: SimulatedAppliance, provider: IdentityProvider) -> None:
        """Versions before 7.0 U2 have no exchange."""
        appliance.upgrade("7.0.1", legacy=True)
        assert exchange(appliance, provider.issue()).status == 404

    def test_refused_password(self, appliance: SimulatedAppliance) -> None:
        """With multi-factor authentication a correct password is refused."""
        pair = f"{appliance.user}:{appliance.password}".encode()
        basic = f"Basic {base64.b64encode(pair).decode()}"
        assert log_in(appliance, basic) == 201
        appliance.refuses_passwords = True
        assert log_in(appliance, basic) == 401
