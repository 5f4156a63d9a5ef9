"""Password and tokens appear in no log, frame, history or report, whatever the fault."""

import base64
import gzip
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backupkit import Fleet, History, Limits, Policy, collect, evaluate, report
from backupkit.simulator import (
    KINDS,
    IdentityProvider,
    Scenario,
    SimulatedAppliance,
    SimulatedFleet,
    mixed_faults,
)
from backupkit.simulator.appliance import PASSWORD, USER, Sessions
from tests.conftest import EPOCH, OddServer, epoch

LIMITS = Limits(connect=5, read=1, response=2, deadline=60, body=300_000, attempts=2, backoff=0.001)


class Lines(logging.Handler):
    """Store each record as a formatted line with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Store a record."""
        self.lines.append(self.format(record))


@dataclass(frozen=True)
class Output:
    """The output of two collections, and the secrets that were sent and received."""

    log: str
    returned: str
    files: bytes
    secrets: list[str]


def collect_with_faults(
    folder: Path, scenario: Scenario, provider: IdentityProvider | None = None
) -> Output:
    """Collect with faults after the login, and with faults of every request."""
    out = folder / "out"
    faults = mixed_faults([spec.name for spec in scenario.specs], wait=0.1, size=400_000)
    returned: list[str] = []
    secrets: list[str] = []
    create = Sessions.create

    def record(sessions: Sessions, user: str) -> str:
        secrets.append(create(sessions, user))
        return secrets[-1]

    lines, root = Lines(), logging.getLogger()
    level = root.level
    history = History(out / "history.db")
    with (
        pytest.MonkeyPatch.context() as patch,
        SimulatedFleet(scenario, clock=epoch, provider=provider) as appliances,
    ):
        appliances.write_fleet(folder / "fleet.toml")
        fleet = Fleet.load(folder / "fleet.toml")
        patch.setattr(Sessions, "create", record)
        patch.setattr(root, "handlers", [*root.handlers, lines])
        root.setLevel(logging.DEBUG)
        for route in ("data", "*"):
            appliances.set_faults(
                [
                    fault if fault.kind == "session_limit" else replace(fault, route=route)
                    for fault in faults
                ]
            )
            with pytest.warns():
                snapshot = collect(fleet, known=history, limits=LIMITS, clock=epoch)
            history.append(snapshot)
            frames = (snapshot.polls, snapshot.errors, snapshot.jobs, snapshot.schedules)
            returned += [repr(snapshot), repr(fleet), *(one.to_csv() for one in frames)]
        if provider is not None:
            secrets += [*provider.issued, provider.secret]
            secrets += [text for one in appliances.appliances for text in saml_texts(one)]
    root.setLevel(level)
    report(evaluate(history, Policy(), now=EPOCH)).save(out / "report.html")
    files = [path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()]
    return Output("\n".join(lines.lines), "\n".join(returned), b"\n".join(files), secrets)


def saml_texts(appliance: SimulatedAppliance) -> list[str]:
    """Return the SAML tokens of an appliance as they are, in base64, and compressed."""
    texts = []
    for document in appliance.saml_tokens.issued:
        raw = document.encode()
        texts += [document, base64.b64encode(raw).decode()]
        texts += [base64.b64encode(gzip.compress(raw, mtime=0)).decode()]
    return texts


@pytest.fixture(scope="module", params=["password", "oauth"])
def output(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """Collect with a password, and with an identity provider."""
    folder = tmp_path_factory.mktemp("secrets")
    if request.param == "password":
        scenario = Scenario.steady(appliances=3 * len(KINDS), jobs=3, seed=1, epoch=EPOCH)
        return collect_with_faults(folder, scenario)
    scenario = Scenario.steady(appliances=len(KINDS), jobs=3, epoch=EPOCH, flavours=["api"])
    output = collect_with_faults(folder, scenario, IdentityProvider())
    assert sum("saml2:Assertion" in text for text in output.secrets) > len(KINDS)
    return output


def test_no_secret(output: Output) -> None:
    """No output contains the password or a token."""
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    secrets = {PASSWORD, basic, "Basic ", "Bearer ", "SIGN ", *output.secrets}
    texts = {
        "log": output.log,
        "returned": output.returned,
        "files": output.files.decode("latin-1"),
    }
    for place, text in texts.items():
        assert not [secret for secret in secrets if secret in text], place


def test_output(output: Output) -> None:
    """The output contains the requests, the errors and the report."""
    assert len(set(output.secrets)) > 2 * len(KINDS)
    for text in ("POST /api/session", "DELETE /api/session", "appliances read"):
        assert text in output.log + output.returned
    assert "the poll failed" in output.log
    assert b"<html" in output.files


@pytest.mark.parametrize("status", [200, 500])
def test_echo(odd: OddServer, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """A response that repeats the request is not quoted with its secrets."""
    caplog.set_level(logging.DEBUG)
    odd.serve_api()
    token, password = "token-of-the-odd-server", "correct horse battery staple"
    basic = base64.b64encode(f"u@v:{password}".encode()).decode()
    echo = f"vmware-api-session-id: {token}; Authorization: Basic {basic}"
    answer: dict[str, object] = {"version": echo}
    if status != 200:
        answer = {"messages": [{"id": "x", "default_message": f"{echo}, {password}", "args": []}]}
    odd.respond("GET /api/appliance/system/version", json.dumps(answer).encode(), status)
    snapshot = collect(Fleet([odd.appliance()]), limits=LIMITS)
    text = caplog.text + snapshot.polls.to_csv() + snapshot.errors.to_csv()
    assert "[secret]" in text
    for secret in (token, basic, password):
        assert secret not in text
