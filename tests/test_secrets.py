"""Rounds with every fault, the debug log on: the password and the tokens stay where they belong."""

import base64
import json
import logging
from dataclasses import dataclass, replace

import pytest

from backupkit import Fleet, History, Limits, Policy, collect, evaluate, report
from backupkit.simulator import KINDS, Scenario, mixed_faults
from backupkit.simulator.appliance import PASSWORD, USER, Sessions
from tests.conftest import EPOCH, OddServer, epoch, simulated

LIMITS = Limits(connect=5, read=1, response=2, deadline=60, body=300_000, attempts=2, backoff=0.001)


class Lines(logging.Handler):
    """Keep each record as a formatted line, its traceback included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.kept.append(self.format(record))


@dataclass(frozen=True)
class Told:
    """All that two rounds logged, returned and kept, and the tokens they were given."""

    log: str
    returned: str
    kept: bytes
    tokens: list[str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Collect twice: with faults that spare log-in and log-out, and with faults everywhere."""
    folder = tmp_path_factory.mktemp("secrets")
    kept = folder / "kept"
    scenario = Scenario.steady(appliances=3 * len(KINDS), jobs=3, seed=1, epoch=EPOCH)
    faults = mixed_faults([spec.name for spec in scenario.specs], wait=0.1, size=400_000)
    tokens: list[str] = []
    returned: list[str] = []
    create = Sessions.create

    def noted(sessions: Sessions, user: str) -> str:
        tokens.append(create(sessions, user))
        return tokens[-1]

    lines, root = Lines(), logging.getLogger()
    level = root.level
    history = History(kept / "history.db")
    with pytest.MonkeyPatch.context() as patch, simulated(scenario, folder) as running:
        patch.setattr(Sessions, "create", noted)
        patch.setattr(root, "handlers", [*root.handlers, lines])
        root.setLevel(logging.DEBUG)
        for route in ("data", "*"):
            running.appliances.set_faults(
                [
                    fault if fault.kind == "session_limit" else replace(fault, route=route)
                    for fault in faults
                ]
            )
            with pytest.warns():
                snapshot = collect(running.fleet, known=history, limits=LIMITS, clock=epoch)
            history.append(snapshot)
            frames = (snapshot.polls, snapshot.errors, snapshot.jobs, snapshot.schedules)
            returned += [repr(snapshot), repr(running.fleet), *(one.to_csv() for one in frames)]
    root.setLevel(level)
    report(evaluate(history, Policy(), now=EPOCH)).save(kept / "report.html")
    files = [path.read_bytes() for path in sorted(kept.rglob("*")) if path.is_file()]
    return Told("\n".join(lines.kept), "\n".join(returned), b"\n".join(files), tokens)


def test_nothing_is_told(told: Told) -> None:
    """Neither log, frames, reprs, history nor report hold the password or a token."""
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    secrets = {PASSWORD, basic, "Basic ", *told.tokens}
    texts = {"log": told.log, "returned": told.returned, "kept": told.kept.decode("latin-1")}
    for place, text in texts.items():
        assert not [secret for secret in secrets if secret in text], place


def test_there_was_something_to_tell(told: Told) -> None:
    """The search above had all that matters before it."""
    assert len(set(told.tokens)) > 3 * len(KINDS)
    for said in ("POST /api/session", "DELETE /api/session", "appliances read"):
        assert said in told.log + told.returned
    assert "the poll failed" in told.log
    assert b"<html" in told.kept


@pytest.mark.parametrize("status", [200, 500])
def test_echo(odd: OddServer, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """An appliance, or a debugging proxy, that repeats what it was sent is not quoted."""
    caplog.set_level(logging.DEBUG)
    odd.serve_api()
    token, words = "token-of-the-odd-server", "correct horse battery staple"
    basic = base64.b64encode(f"u@v:{words}".encode()).decode()
    echo = f"vmware-api-session-id: {token}; Authorization: Basic {basic}"
    answer: dict[str, object] = {"version": echo}
    if status != 200:
        answer = {"messages": [{"id": "x", "default_message": f"{echo}, {words}", "args": []}]}
    odd.respond("GET /api/appliance/system/version", json.dumps(answer).encode(), status)
    snapshot = collect(Fleet([odd.appliance()]), limits=LIMITS)
    told = caplog.text + snapshot.polls.to_csv() + snapshot.errors.to_csv()
    assert "[secret]" in told
    for secret in (token, basic, words):
        assert secret not in told
