"""Jobs that could not be read are unknown on every surface, and never runs that did not happen."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import backupkit as bk
from backupkit.cli import main
from backupkit.collection import read_saved_answers
from backupkit.policy import Member, Policy
from tests.conftest import EPOCH, epoch
from tests.written_fleet import (
    PASSWORD,
    PATIENT,
    ROUTES,
    WrittenAppliance,
    job_id,
    job_route,
    nightly_jobs,
    serve,
    with_answer,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8"])

UNREAD, HEALTHY = "vc-unread", "vc-healthy"


def unread_appliance() -> WrittenAppliance:
    """Return an appliance of whose jobs nothing but the ids can be read."""
    appliance = with_answer(WrittenAppliance(UNREAD), ROUTES["details"], 200, b"{}")
    for number in range(4):
        appliance = with_answer(appliance, job_route(job_id(number)), 500, b"")
    return appliance


@dataclass(frozen=True)
class Collected:
    """A collected fleet with a healthy appliance and one with unreadable jobs only."""

    fleet: Path
    history: Path
    assessment: bk.Assessment


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collected]:
    """Collect once from the fleet."""
    folder = tmp_path_factory.mktemp("unread")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCSA_PASSWORD", PASSWORD)
        with serve([unread_appliance(), WrittenAppliance(HEALTHY)], folder) as fleet:
            snapshot = bk.collect(bk.Fleet.load(fleet), limits=PATIENT, progress=False, clock=epoch)
            history = bk.History(folder / "h.db")
            history.append(snapshot)
            policy = bk.Policy.load(fleet)
            yield Collected(
                fleet, folder / "h.db", bk.evaluate(history, policy, last="3d", now=EPOCH)
            )


def test_assessment(collected: Collected) -> None:
    """The appliance is unknown, and no run of it is one that did not happen."""
    a = collected.assessment
    row = a.appliances.loc[UNREAD]
    assert row["state"] == a.verdict.state == "unknown"
    assert row["reason"].startswith(f"job {job_id(0)} could not be read: the request for job")
    assert row["reason"].endswith("(and 2 more)")
    own = a.slots[a.slots["appliance"] == UNREAD]
    assert set(own["state"]) <= {"unknown"}
    assert UNREAD not in set(a.incidents["appliance"])
    assert a.appliances.loc[HEALTHY, "state"] == "compliant"
    assert row["compliant"] == row["excluded"] == a.appliances.loc[HEALTHY, "unknown"]


def test_history(collected: Collected) -> None:
    """The jobs are kept with the reason, and the poll is partial, with counts."""
    history = bk.History(collected.history)
    jobs = history.jobs().set_index("appliance").loc[UNREAD]
    assert jobs["outcome"].to_list() == ["other"] * 4
    assert jobs["read_error"].str.contains("failed (500)", regex=False).all()
    poll = history.polls().set_index("appliance").loc[UNREAD]
    assert (poll["jobs_listed"], poll["jobs_unread"], poll["error"]) == (4, 4, "partial")
    assert poll[["ok"]].isna().all()
    assert poll["detail"].startswith("4 of 4 listed jobs could not be read: job ")


def test_files(collected: Collected, tmp_path: Path) -> None:
    """No page, table, metric or mail calls it compliant or excluded."""
    report = bk.report(collected.assessment)
    report.save(tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text()
    assert re.search(r"Unreachable or not fully read.*?vc-unread", html, re.DOTALL)
    facts = json.loads((tmp_path / "r.json").read_text())
    [row] = [one for one in facts["appliances"] if one["appliance"] == UNREAD]
    assert row["state"] == "unknown"


def test_check_line(collected: Collected) -> None:
    """A check is UNKNOWN and names it; metrics count its unread jobs."""
    from backupkit.reports.monitoring import check_result  # noqa: PLC0415 # slow
    from backupkit.reports.openmetrics import openmetrics  # noqa: PLC0415 # slow

    result = check_result(collected.assessment)
    assert (result.status, result.sentence) == (
        "UNKNOWN",
        "1 of 2 in scope is unknown, 1 compliant (vc-unread); target met",
    )
    lines = openmetrics(collected.assessment).splitlines()
    states = [line for line in lines if "appliance_state{" in line and UNREAD in line]
    assert ["unknown" in line for line in states] == [True]
    [unread] = [line for line in lines if "jobs_unread{" in line and UNREAD in line]
    assert unread.endswith(" 4.0")


def test_collect_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`backupkit collect` exits with 3, names the appliance, and counts the jobs."""
    monkeypatch.setenv("VCSA_PASSWORD", PASSWORD)
    appliance = with_answer(WrittenAppliance(UNREAD), ROUTES["details"], 404, b"")
    appliance = with_answer(appliance, job_route(job_id(0)), 200, b'{"id": "x", "state": "FAILED"}')
    with serve([appliance, WrittenAppliance(HEALTHY)], tmp_path) as fleet:
        argv = ["collect", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]
        assert main(argv) == 3
    told = capsys.readouterr().err
    assert "Read 1 of 2 appliances and 1 in part: 8 jobs listed, 8 new, 1 could not be" in told
    assert f"vc-unread: the response to job {job_id(0)} is the record of job x" in told


def test_saved_answers(tmp_path: Path) -> None:
    """Saved answers behave the same."""
    poll = tmp_path / UNREAD / f"{EPOCH:%Y%m%dT%H%M%SZ}"
    poll.mkdir(parents=True)
    jobs = nightly_jobs(4)
    (poll / "job.json").write_text(json.dumps(list(jobs)))
    jobs[job_id(0)]["start_time"] = "2026-11-09T01:00:05"
    (poll / "details.json").write_text(json.dumps(jobs))
    snapshot = read_saved_answers(tmp_path)
    [row] = snapshot.polls.to_dict("records")
    assert (row["jobs_listed"], row["jobs_unread"], row["error"]) == (4, 1, "partial")
    policy = Policy(members=[Member(appliance=UNREAD)])
    a = bk.evaluate(snapshot, policy, last="3d", now=EPOCH)
    assert a.appliances["state"].to_list() == ["unknown"]
    assert a.appliances["reason"].to_list() == [
        f"job {job_id(0)} could not be read: start_time has no time zone"
    ]


def test_unread_days(tmp_path: Path) -> None:
    """A schedule whose days cannot be read does not expect a run each day."""
    poll = tmp_path / UNREAD / f"{EPOCH:%Y%m%dT%H%M%SZ}"
    poll.mkdir(parents=True)
    weekly = {job_id(0): nightly_jobs(1)[job_id(0)], job_id(7): nightly_jobs(8)[job_id(7)]}
    (poll / "job.json").write_text(json.dumps(list(weekly)))
    (poll / "details.json").write_text(json.dumps(weekly))
    plan = {"enable": True, "recurrence_info": {"hour": 1, "minute": 0, "days": 5}}
    (poll / "schedules.json").write_text(json.dumps({"default": plan | {"location": "nfs://h/a"}}))
    snapshot = read_saved_answers(tmp_path)
    assert "recurrence_info.days is a number" in snapshot.schedules["read_error"].to_list()
    policy = Policy(members=[Member(appliance=UNREAD)])
    a = bk.evaluate(snapshot, policy, last="7d", now=EPOCH)
    assert "missed_norun" not in set(a.slots["state"])
    assert "schedule-unknown" in set(a.lint["rule"])
