"""VMware's own client exchanges an access token and logs in; backupkit sends the same fields.

The REST connector of the client has no security context for tokens, and expects an envelope. So the
header Authorization is set on its HTTP session, and a hook adds the envelope. Its other connector,
JSON-RPC, has a context for SAML tokens; the simulator does not serve JSON-RPC.
"""

import base64
import gzip
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from backupkit import protocol, wire
from backupkit.simulator import IdentityProvider, Scenario, SimulatedAppliance, SimulatedFleet
from tests.conftest import EPOCH, epoch

with warnings.catch_warnings():
    # the client loads its texts in a way that is deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from com.vmware.cis_client import Session
    from com.vmware.vapi.std.errors_client import Unauthenticated
    from com.vmware.vcenter.authentication_client import Token
    from vmware.vapi.exception import CoreException
    from vmware.vapi.lib.connect import get_requests_connector
    from vmware.vapi.security.client.security_context_filter import LegacySecurityContextFilter
    from vmware.vapi.security.oauth import create_oauth_security_context
    from vmware.vapi.security.sso import create_saml_bearer_security_context
    from vmware.vapi.stdlib.client.factories import StubConfigurationFactory

TYPE = "urn:ietf:params:oauth:token-type:"


@pytest.fixture
def fleet() -> Iterator[SimulatedFleet]:
    """Run one appliance that trusts an identity provider and refuses passwords."""
    scenario = Scenario.steady(appliances=1, jobs=1, epoch=EPOCH)
    provider = IdentityProvider(clock=epoch)
    with SimulatedFleet(scenario, clock=epoch, provider=provider) as running:
        running.refuse_passwords("vc-0001")
        yield running


@pytest.fixture
def appliance(fleet: SimulatedFleet) -> SimulatedAppliance:
    """Return the appliance of the fleet."""
    return fleet["vc-0001"]


@pytest.fixture
def session(fleet: SimulatedFleet, tmp_path: Path) -> Iterator[requests.Session]:
    """Return an HTTP session that verifies the appliance and adds the envelope."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(fleet.authority)

    def wrap(response: Any, *_args: object, **_kwargs: object) -> Any:  # noqa: ANN401 # as requests has it
        kind = response.json().get("error_type", "").lower() if not response.ok else ""
        value = response.content.decode()
        head = f'"type": "com.vmware.vapi.std.errors.{kind}", ' if kind else ""
        response._content = f'{{{head}"value": {value}}}'.encode()
        return response

    with requests.Session() as http:
        http.trust_env = False
        http.verify = str(bundle)
        http.hooks["response"] = [wrap]
        yield http


def connect(appliance: SimulatedAppliance, http: requests.Session, *filters: object) -> object:
    """Return the configuration of a stub of VMware's client."""
    connector = get_requests_connector(
        session=http,
        msg_protocol="rest",
        url=f"https://{appliance.host}/api",
        provider_filter_chain=list(filters),
    )
    return StubConfigurationFactory.new_std_configuration(connector)


def issue(appliance: SimulatedAppliance, http: requests.Session, token: str) -> Any:  # noqa: ANN401 # of the client
    """Exchange an access token by VMware's client."""
    http.headers["Authorization"] = f"Bearer {token}"
    return Token(connect(appliance, http)).issue(
        Token.IssueSpec(
            grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
            requested_token_type=f"{TYPE}saml2",
            subject_token_type=f"{TYPE}access_token",
            subject_token=token,
        )
    )


def test_exchange_and_login(appliance: SimulatedAppliance, session: requests.Session) -> None:
    """The client reads the SAML token in its own type, and opens a session with it."""
    assert appliance.provider is not None
    info = issue(appliance, session, appliance.provider.issue())
    assert (info.issued_token_type, info.expires_in) == (f"{TYPE}saml2", 299)
    document = base64.b64decode(info.access_token, validate=True)
    assert document.startswith(b"<?xml")
    compressed = base64.b64encode(gzip.compress(document)).decode()
    session.headers["Authorization"] = f'SIGN token="{compressed}"'
    token = Session(connect(appliance, session)).create()
    assert appliance.sessions.touch(token) is not None


def test_same_fields(appliance: SimulatedAppliance, session: requests.Session) -> None:
    """Path and fields of the client are those of backupkit, which reads the same response."""
    sent: list[Any] = []
    received: list[bytes] = []

    def record(response: Any, *_args: object, **_kwargs: object) -> None:  # noqa: ANN401 # as requests has it
        sent.append(response.request)
        received.append(response.content)

    assert appliance.provider is not None
    session.hooks["response"].insert(0, record)
    token = appliance.provider.issue()
    info = issue(appliance, session, token)
    ours = protocol.exchange_token()
    assert (sent[0].method, sent[0].path_url) == (ours.method, ours.path)
    form = dict(parse_qsl(protocol.exchange_form(token).decode(), strict_parsing=True))
    assert json.loads(sent[0].body) == form
    assert sent[0].headers["Authorization"] == protocol.bearer_header(token)
    assert wire.decode_assertion(received[0]) == base64.b64decode(info.access_token)


def test_refusal(appliance: SimulatedAppliance, session: requests.Session) -> None:
    """An unknown SAML token is an error in the client's own type."""
    session.headers["Authorization"] = protocol.sign_header(b"<saml2:Assertion/>")
    with pytest.raises(Unauthenticated):
        Session(connect(appliance, session)).create()


@pytest.mark.parametrize(
    "context", [create_oauth_security_context("x"), create_saml_bearer_security_context("x")]
)
def test_limits_of_the_connector(
    appliance: SimulatedAppliance, session: requests.Session, context: object
) -> None:
    """The REST connector sends neither kind of token itself: it refuses one and omits the other."""
    stub = Session(connect(appliance, session, LegacySecurityContextFilter(None, context)))
    with pytest.raises((CoreException, Unauthenticated)):
        stub.create()
