"""Next steps."""

import pandas as pd
import pytest

from backupkit.errors import ApplianceError, BackupkitError
from backupkit.reports.advice import (
    advise_breach,
    advise_unread,
    describe_missing_data,
    find_next_steps,
)
from backupkit.tables import APPLIANCES, ASSESSED_JOBS, COVERAGE, FAILURES, SCHEDULES

END = pd.Timestamp("2026-11-09T00:00Z")


def coverage(**values: object) -> pd.Series:
    """Return the coverage row of one appliance."""
    return COVERAGE.frame({"appliance": ["vc-1"], **{n: [v] for n, v in values.items()}}).iloc[0]


class TestForUnread:
    """`advise_unread`."""

    @pytest.mark.parametrize(
        "kind", sorted({error.kind for error in ApplianceError.__subclasses__()} | {"credential"})
    )
    def test_every_error_has_its_own_step(self, kind: str) -> None:
        """Each error kind of a poll has its own step."""
        assert advise_unread(coverage(error=kind), END) != advise_unread(
            coverage(error=BackupkitError.kind), END
        )

    def test_an_unknown_error(self) -> None:
        """An unknown error kind has the doctor as its step."""
        assert "backupkit doctor" in advise_unread(coverage(error="strange"), END)

    def test_a_poll_too_old(self) -> None:
        """A good poll that is too old has a collection as its step, and its time is shown."""
        old = coverage(last_poll=pd.Timestamp("2026-11-01T00:00Z"))
        assert "2026-11-01 00:00 UTC" in advise_unread(old, END)

    def test_a_job_alone(self) -> None:
        """An appliance that was polled in time, and is unknown, has a job that was not read."""
        known = coverage(last_poll=END, known_until=END + pd.Timedelta(hours=1))
        assert describe_missing_data(known, END) == "job not read"
        assert advise_unread(known, END).startswith("Collect again. If the error stays, read the")
        stale = coverage(last_poll=END, known_until=END - pd.Timedelta(hours=1))
        assert describe_missing_data(stale, END) == "not polled recently"

    def test_schedules_alone(self) -> None:
        """Schedules that were not read are what is missing."""
        row = coverage(last_poll=END, known_until=END, schedules_error="failed (500)")
        assert describe_missing_data(row, END) == "schedules not read"
        assert "save the schedule again" in advise_unread(row, END)


class TestForBreach:
    """`advise_breach`."""

    def test_no_reason_known(self) -> None:
        """With an enabled schedule and no missed slot the step is a manual backup."""
        row = APPLIANCES.frame({"appliance": ["vc-1"]}).iloc[0]
        plan = SCHEDULES.frame({"appliance": ["vc-1"], "enabled": [True]})
        assert advise_breach(row, plan).startswith("Start a backup by hand")

    def test_failure_with_a_known_cause(self) -> None:
        """The step of an appliance that fails is that of its newest failure, if it is known."""
        row = APPLIANCES.frame({"appliance": ["vc-1"], "strikes": [2]}).iloc[0]
        plan = SCHEDULES.frame({"appliance": ["vc-1"], "enabled": [True]})
        assert advise_breach(row, plan).startswith("Fix the error in the latest message")
        assert advise_breach(row, plan, "Free space.") == "Free space. Then start a backup by hand."

    def test_newest_failure(self) -> None:
        """The newest failure up to the time decides; without a cause the log is to be read."""
        day = pd.Timedelta(days=1)
        jobs = ASSESSED_JOBS.frame(
            {
                "appliance": ["a", "a", "b", "b", "c", "c"],
                "outcome": ["failure"] * 5 + ["success"],
                "end_time": [END - day, END - 2 * day, END - day, END + day, END, END],
                "signature": ["full", "odd", "odd", "full", "full", None],
            }
        )
        failures = FAILURES.frame(
            {
                "signature": ["full", "odd"],
                "cause_name": ["x", None],
                "cause": ["Full.", None],
                "next_step": ["Go.", "Log."],
            }
        )
        log = "The cause is not known: read /var/log/vmware/applmgmt/backup.log around"
        assert find_next_steps(jobs, failures, END) == {
            "a": ("Full.", "Go."),
            "b": ("", f"{log} 2026-11-08 00:00 UTC."),
            "c": ("Full.", "Go."),
        }
        assert find_next_steps(jobs, failures[:0], END) == {}
