"""Backups on the appliance itself are no recovery points, unless the policy counts them."""

from pathlib import Path
from typing import Any

import pytest

import backupkit as bk
from backupkit.assessment import Assessment, evaluate, evaluate_frames
from backupkit.history import History
from backupkit.policy import Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, is_local, mark_local_jobs
from tests.builders import END, START, frame, moment, poll, schedule, snapshot_of
from tests.random_fleets import DAY, HOUR, MINUTE

LOCAL = "file:///storage/backup"
REMOTE = "sftp://nas.test/vc"
ALSO = Policy(count_local=True)


def night(number: int, location: str | None = REMOTE, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 # any column
    """Build a success at 01:00 of a day of the week; day 0 is the first, Monday."""
    start = START + number * DAY + HOUR
    return {
        "appliance": "a",
        "job_id": f"{number + 100:03}",
        "outcome": "success",
        "state": "SUCCEEDED",
        "status": "SUCCEEDED",
        "type": "SCHEDULED",
        "start_time": start,
        "end_time": start + 20 * MINUTE,
        "location": location,
        **changed,
    }


def assess(jobs: list[dict[str, Any]], policy: Policy | None = None) -> Assessment:
    """Evaluate the week of an appliance with a schedule at 01:00."""
    return evaluate_frames(
        frame(JOBS, jobs),
        frame(POLLS, [poll("a", START - DAY), poll("a")]),
        frame(SCHEDULES, [schedule("a", location=REMOTE)]),
        policy or Policy(),
        start=START,
        end=END,
        now=END,
    )


class TestLocation:
    """Locations on the appliance itself, and others."""

    @pytest.mark.parametrize(
        ("location", "host"),
        [
            ("file:///storage/vc", None),
            ("FILE:/storage/vc", None),
            ("/storage/vc", None),
            ("sftp://localhost:22/vc", None),
            ("nfs://127.0.0.1:/vc", None),
            ("scp://root@[::1]/vc", None),
            ("smb://VC-1.test./share", "vc-1.TEST:8443"),
            ("sftp://10.0.0.1:/vc", "10.0.0.1"),
            ("sftp://[fd00:0::1]/vc", "[fd00::1]:443"),
        ],
    )
    def test_local(self, location: str, host: str | None) -> None:
        """Files, paths, loopback addresses and the own host are local, for a schedule and a job."""
        assert is_local(location, host)
        jobs = frame(JOBS, [{"appliance": "a", "location": f"{location}/sn_a/S_8"}])
        assert mark_local_jobs(jobs, {} if host is None else {"a": host}).tolist() == [True]

    @pytest.mark.parametrize(
        ("location", "host"),
        [
            ("sftp://nas.test/vc-1.test", "vc-1.test"),
            ("sftp://nas.test/localhost", None),
            ("//nas/share", None),
            ("nas/share", "vc-1"),
            ("", None),
            ("sftp://[::1", "[::1"),
            ("sftp://localhost.test/vc", "vc-1"),
            ("sftp://10.0.0.10/vc", "10.0.0.1"),
        ],
    )
    def test_elsewhere(self, location: str, host: str | None) -> None:
        """Other hosts, and what is no location, are not local."""
        assert not is_local(location, host)
        jobs = frame(JOBS, [{"appliance": "a", "location": location}])
        assert mark_local_jobs(jobs, {} if host is None else {"a": host}).tolist() == [False]

    def test_own_host_only(self) -> None:
        """A job on another appliance of the fleet is not local; a job of the type is."""
        rows: list[dict[str, Any]] = [
            {"appliance": "a", "location": "sftp://vc-a/x"},
            {"appliance": "b", "location": "sftp://vc-a/x"},
            {"appliance": "b", "location": None},
            {"appliance": "b", "location": None, "type": "LOCAL_BACKUP"},
        ]
        found = mark_local_jobs(frame(JOBS, rows), {"a": "vc-a", "b": "vc-b"})
        assert found.tolist() == [True, False, False, True]


class TestFigures:
    """Figures of appliances that save on themselves."""

    def test_breach(self) -> None:
        """The example of docs/sla.md: remote on Monday, on the appliance itself from then on."""
        jobs = [night(-1), night(0), *(night(number, LOCAL) for number in range(1, 7))]
        a = assess(jobs)
        row = a.appliances.loc["a"]
        assert a.intervals[["state", "end"]].to_numpy().tolist() == [
            ["compliant", moment("03T03:00")],
            ["breach", END],
        ]
        assert row["reason"] == (
            "no run since 2026-11-02 01:00 UTC, newest backup is on the appliance itself"
        )
        assert (row["exposure"], row["last_success"]) == (END - moment("02T01:00"), START + HOUR)
        assert a.slots["state"].to_list() == ["met", *["missed_norun"] * 6]
        assert a.incidents["onset"].to_list() == [moment("03T02:00")]
        assert (row["attempts"], row["attempts_ok"], row["days_missed"]) == (7, 7, 6)
        assert a.jobs["local"].to_list() == [False] * 2 + [True] * 6
        assert a.jobs["outcome"].eq("success").all()
        remarks = a.jobs["remark"].dropna().unique().tolist()
        assert remarks == ["saved on the appliance itself: no recovery point"]
        found = a.lint.set_index("rule").loc["local-backup"]
        assert (found["appliance"], found["severity"], found["finding"]) == (
            "a",
            "warning",
            "6 backups are on the appliance itself: no recovery point",
        )

    def test_counted(self) -> None:
        """With count_local, nothing is said and the appliance is compliant."""
        jobs = [night(-1), night(0), *(night(number, LOCAL) for number in range(1, 7))]
        a = assess(jobs, ALSO)
        assert a.intervals["state"].to_list() == ["compliant"]
        assert a.slots["state"].to_list() == ["met"] * 7
        assert not a.jobs["local"].any()
        assert "local-backup" not in set(a.lint["rule"])
        assert "backups on the appliance itself count" in str(ALSO)

    def test_beside_a_remote_one(self) -> None:
        """A backup on the appliance itself beside a remote one changes nothing but a finding."""
        remote = [night(number) for number in range(-1, 7)]
        extra = night(6, LOCAL, job_id="x", type="MANUAL")
        extra |= {"start_time": moment("08T22:00"), "end_time": moment("08T23:00")}
        one, both = assess(remote), assess([*remote, extra])
        columns = ["state", "reason", "exposure", "slots_met", "first_attempts_ok", "rpo_strict"]
        assert both.appliances[columns].equals(one.appliances[columns])
        assert set(both.lint["finding"]) - set(one.lint["finding"]) == {
            "1 backup is on the appliance itself: no recovery point"
        }

    def test_failures_in_a_row(self) -> None:
        """A backup on the appliance itself ends no series of failures, and is named."""
        failed = {"outcome": "failure", "state": "FAILED", "status": "FAILED"}
        jobs = [night(0), *(night(n, **failed) for n in (1, 2, 3, 4)), night(5, LOCAL)]
        row = assess(jobs).appliances.loc["a"]
        assert row["strikes"] == 4
        assert row["reason"] == (
            "4 failures in a row since 2026-11-03 01:20 UTC, "
            "newest backup is on the appliance itself: no message"
        )

    def test_never_elsewhere(self) -> None:
        """Without any other backup there is no recovery point."""
        row = assess([night(number, LOCAL) for number in range(-3, 7)]).appliances.loc["a"]
        assert row["reason"] == (
            "no recovery point ever seen, newest backup is on the appliance itself"
        )
        assert row["state"] == "breach"

    def test_change_of_policy(self) -> None:
        """The policy in force when the job ended decides."""
        jobs = [night(number, LOCAL) for number in range(-1, 7)]
        a = assess(jobs, Policy(count_local=True, changes={"2026-11-05": Policy()}))
        assert a.slots["state"].to_list() == ["met"] * 3 + ["missed_norun"] * 4
        assert a.jobs["local"].to_list() == [False] * 4 + [True] * 4

    def test_unread_state(self) -> None:
        """A job in a state not known decides nothing on the appliance itself."""
        odd = {"outcome": "other", "state": "STRANGE", "status": "STRANGE"}
        states = [
            assess([night(0), night(1, location, **odd)]).slots["state"].to_list()[1]
            for location in (LOCAL, REMOTE)
        ]
        assert states == ["missed_norun", "unknown"]

    def test_forecast(self) -> None:
        """A forecast counts from the newest recovery point."""
        jobs = [night(number) for number in range(-20, 7)]
        last = night(6, LOCAL, job_id="x", start_time=END - 2 * HOUR, end_time=END - HOUR)
        frames = (
            frame(POLLS, [poll("a", START - 30 * DAY), poll("a")]),
            frame(SCHEDULES, [schedule("a", location=REMOTE)]),
        )
        a = evaluate_frames(
            frame(JOBS, [*jobs, last]), *frames, Policy(), start=START - 14 * DAY, end=END, now=END
        )
        [breach_at] = bk.forecast(a).forecast["breach_at"]
        assert breach_at == moment("09T03:00")


@pytest.mark.parametrize("host", [None, "vc-1.test"])
def test_history(tmp_path: Path, host: str | None) -> None:
    """An evaluation reads the last remote backup, however many local ones came after it."""
    own = LOCAL if host is None else f"sftp://{host}/vc"
    jobs = [night(-number, own) for number in range(-6, 400)] + [
        night(-number) for number in range(400, 420)
    ]
    rows = [
        {name: value for name, value in job.items() if name != "outcome"}
        | {"job_id": f"{number:04}", "observed_at": END - HOUR, "source": "details", "size": 1}
        for number, job in enumerate(jobs)
    ]
    history = History(tmp_path / "history.db")
    history.append(snapshot_of(rows, [poll("a", END - HOUR)]))
    policy = Policy(members=[Member(appliance="a", host=host)])
    a = evaluate(history, policy, start=START, end=END, now=END)
    assert a.appliances.loc["a", "last_success"] == START - 400 * DAY + HOUR
