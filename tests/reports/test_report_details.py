"""Load, durations and sizes, configuration checks, and changes."""

import dataclasses
import re

import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.reports.details import build_details, build_load, build_sizes
from backupkit.reports.facts import Details, Load, Sizes
from backupkit.reports.page import render_page
from backupkit.reports.summary import build_changes, build_links, summarize
from backupkit.tables import ANOMALIES, CHANGES, LINT
from tests.builders import END, assess, assess_large_fleet, job, message, nights, poll, schedule

MINUTE = pd.Timedelta(minutes=1)


def load(assessment: Assessment) -> Load:
    """Return the facts about load."""
    return build_load(assessment, build_links(assessment))


def sizes(assessment: Assessment) -> Sizes:
    """Return the facts about durations and sizes."""
    return build_sizes(assessment, build_links(assessment))


@pytest.fixture(scope="module")
def busy() -> Assessment:
    """Evaluate two appliances: a late and very long run, and a running job that stalls."""
    jobs = [*nights("slow", "s" * 8), *nights("stuck", "ssssss.o")]
    earlier = [job("slow", night) for night in range(-14, -1)]
    jobs = [*earlier, *jobs]
    late = next(one for one in jobs if one["appliance"] == "slow" and one["start_time"].day == 8)
    late["start_time"] += 12 * MINUTE
    late["end_time"] = late["start_time"] + 300 * MINUTE
    late["duration"] = 300 * MINUTE
    running = jobs[-1]
    running["progress"] = 40.0
    running["messages"] = [message("first"), message("Still copying")]
    plans = [schedule("slow"), schedule("stuck")]
    return assess(jobs, [poll("slow"), poll("stuck")], plans)


class TestLoad:
    """Running jobs and load."""

    def test_running(self, busy: Assessment) -> None:
        """A running job has its start, progress, typical duration and last message."""
        (run,) = load(busy).running
        assert (run.appliance.name, run.start, run.elapsed) == (
            "stuck",
            pd.Timestamp("2026-11-08T01:00Z"),
            pd.Timedelta(hours=23),
        )
        assert (run.progress, run.typical_duration, run.message) == (
            "at 40 %",
            20 * MINUTE,
            "Still copying",
        )
        unknown = busy.assessed_jobs.assign(progress=float("nan"))
        (run,) = load(busy.replaced(assessed_jobs=busy.assessed_jobs.assign(**unknown))).running
        assert run.progress == "no data"

    def test_anomaly_of_a_running_job(self, busy: Assessment) -> None:
        """An anomaly of a running job is beside it."""
        jobs = busy.assessed_jobs
        open_jobs = jobs[jobs["outcome"] == "open"]
        stall = ANOMALIES.frame(
            {
                "appliance": ["stuck"],
                "job_id": open_jobs["job_id"].iloc[:1],
                "start_time": ["2026-11-08T01:00Z"],
                "kind": ["stall"],
                "value": [7200.0],
                "rule": ["no progress for 2 h"],
            }
        )
        (run,) = load(busy.replaced(anomalies=stall)).running
        assert run.remark.label == "no progress for 2 h"
        (outlier,) = sizes(busy.replaced(anomalies=stall)).outliers
        assert (outlier.kind, outlier.value, outlier.typical) == ("stalled", 120 * MINUTE, pd.NaT)

    def test_planned_and_actual_start(self, busy: Assessment) -> None:
        """Runs of the last day more than 5 minutes away from their slot are listed."""
        facts = load(busy)
        assert (
            facts.start_summary
            == "In the last day 50.0 % (1 of 2 runs) began within 5 min of their time."
        )
        (late,) = facts.starts
        assert (late.planned, late.started, late.delay) == (
            pd.Timestamp("2026-11-08T01:00Z"),
            pd.Timestamp("2026-11-08T01:12Z"),
            "12 min late",
        )

    def test_an_early_start(self) -> None:
        """A run that begins before its slot is early."""
        early = job("a", 6, start_time=END - 23 * 60 * MINUTE - 10 * MINUTE)
        facts = load(assess([early], [poll("a")], [schedule("a")]))
        assert [one.delay for one in facts.starts] == ["10 min early"]

    def test_targets(self, busy: Assessment) -> None:
        """Each target has its peak and its time; the busiest is the finding."""
        facts = load(busy)
        (target,) = facts.targets
        assert (target.name, target.appliances) == ("sftp://10.0.0.250", 2)
        assert target.peak == "2 at once (2026-11-02 01:00 UTC)"
        assert facts.finding == (
            "Busiest: sftp://10.0.0.250, at most 2 at once (2026-11-02 01:00 UTC)."
        )
        assert facts.picture is not None
        assert facts.finding in facts.picture.alt

    def test_without_jobs(self) -> None:
        """Without jobs nothing is running, and there is no target."""
        facts = load(assess([], [poll("a")], [schedule("a")]))
        assert (facts.running, facts.starts, facts.picture) == ((), (), None)
        assert facts.start_summary == "In the last day no run of a schedule began."
        assert facts.finding == "No job of this period names its target."

    def test_a_plan_that_is_not_known(self, busy: Assessment) -> None:
        """Without expected runs there is no data."""
        loads = busy.loads.assign(planned_peak=float("nan"))
        blind = busy.replaced(loads=busy.loads.assign(**loads))
        assert load(blind).targets[0].scheduled_peak == "no data"


class TestSizes:
    """Durations and sizes."""

    def test_outliers(self, busy: Assessment) -> None:
        """A run of fifteen times the typical duration is listed with the latter, and drawn."""
        facts = sizes(busy)
        (outlier,) = [one for one in facts.outliers if one.kind == "duration"]
        assert (outlier.appliance.name, outlier.value, outlier.typical) == (
            "slow",
            300 * MINUTE,
            20 * MINUTE,
        )
        assert "15.00 times the usual" in outlier.rule
        assert facts.picture is not None
        assert facts.finding in facts.picture.alt
        assert "50.0 % (1 of 2 appliances) have it" in facts.baseline_note

    def test_growth(self, busy: Assessment) -> None:
        """Appliances with growing backups are listed, the fastest first."""
        gib = 2.0**30
        grown = busy.baselines.assign(growth_share=[0.5, 0.9], growth=[gib, 2 * gib])
        grown = grown.astype(busy.baselines.dtypes)
        growths = sizes(busy.replaced(baselines=grown)).growths
        assert [(one.appliance.name, one.growth) for one in growths] == [
            ("stuck", "60.0 GiB in 30 days"),
            ("slow", "30.0 GiB in 30 days"),
        ]

    def test_a_size_is_in_bytes(self, busy: Assessment) -> None:
        """An unusual size is in bytes."""
        odd = ANOMALIES.frame(
            {
                "appliance": ["slow"] * 2,
                "start_time": ["2026-11-07T01:00Z", "2026-11-08T01:00Z"],
                "kind": ["size"] * 2,
                "value": [2.0**20, 2.0**30],
                "typical": [2.0**30, None],
            }
        )
        facts = sizes(busy.replaced(anomalies=odd))
        assert [(str(one.value), str(one.typical)) for one in facts.outliers] == [
            ("1.0 GiB", "no data"),
            ("1.0 MiB", "1.0 GiB"),
        ]
        assert facts.finding == "2 unusual jobs, most of slow (2 of 2)."


@pytest.fixture(scope="module")
def details(week: Assessment) -> Details:
    """Return the details of the week."""
    return build_details(week)


class TestDetails:
    """Configuration checks, and how the report was made."""

    def test_findings_alike_are_one_row(self, week: Assessment) -> None:
        """Findings of one rule are one row, with the first finding and five appliances."""
        names = [*week.appliances.index, "gone-1", "gone-2"]
        lint = LINT.frame(
            {
                "appliance": names,
                "rule": ["plain-ftp"] * len(names),
                "severity": ["warning"] * len(names),
                "finding": [f"{name} writes by FTP" for name in names],
                "advice": ["Use SFTP."] * len(names),
            }
        )
        (row,) = build_details(week.replaced(lint=lint)).lint
        assert (row.severity.label, row.appliances.total, row.appliances.omitted) == (
            "Warning",
            11,
            6,
        )
        assert len(row.appliances.links) == 5
        assert row.finding.text == f"{names[0]} writes by FTP"

    def test_many_findings_are_counted(self, week: Assessment) -> None:
        """Above fifty kinds the other findings are counted."""
        lint = LINT.frame(
            {
                "appliance": ["vc-good"] * 53,
                "rule": [f"rule-{n}" for n in range(53)],
                "severity": ["note"] * 53,
                "finding": ["odd"] * 53,
                "advice": ["Look."] * 53,
            }
        )
        details = build_details(week.replaced(lint=lint))
        assert (len(details.lint), details.lint.omitted) == (50, 3)

    def test_reproduce_command(self, details: Details) -> None:
        """The command names time and period to the second."""
        assert details.reproduce_command == (
            "backupkit report --as-of 2026-11-09T00:00:00+00:00 "
            "--start 2026-11-02T00:00:00+00:00 --end 2026-11-09T00:00:00+00:00"
        )

    def test_policy_and_exclusions(self, details: Details) -> None:
        """The policy is listed with every number, and exclusions with the reason."""
        assert ("RPO", "24 h") in details.policy
        assert details.windows == (("vc-retired", "always", "being retired, change 4711"),)


class TestChanges:
    """Changes since an earlier assessment."""

    def test_in_words(self, week: Assessment) -> None:
        """Changes are grouped by kind, with links, at most 25 of each kind."""
        names = ["vc-good", *(f"vc-{n}" for n in range(30))]
        rows = CHANGES.frame(
            {
                "kind": ["newly in breach"] * 31 + ["new failure"],
                "appliance": [*names, None],
                "signature": [None] * 31 + ["Broken pipe"],
                "state_before": ["compliant"] * 31 + [None],
                "state_after": ["breach"] * 31 + [None],
                "detail": [None] * 31 + ["4 jobs of 2 appliances"],
            }
        )
        comparison = dataclasses.replace(bk.compare(week, week), changes=rows)
        changes = build_changes(comparison, build_links(week), timezone="Etc/UTC")
        assert changes.against == (
            "the report as of 2026-11-09 00:00 UTC on 2026-11-02 to 2026-11-09 00:00 UTC"
        )
        broken, new = changes.groups
        assert (broken.changes.total, len(broken.changes), broken.changes.omitted) == (31, 25, 6)
        first, second = broken.changes[:2]
        assert first.subject == build_links(week)["vc-good"]
        assert (first.was, first.now) == ("● Compliant", "✕ Breach")
        assert second.subject == "vc-0"
        assert (new.changes[0].subject, new.changes[0].detail) == (
            "Broken pipe",
            "4 jobs of 2 appliances",
        )
        html = render_page(week, comparison)
        assert "31 newly in breach, 1 new failure" in html
        assert "and 6 more." in html

    def test_no_change(self, week: Assessment) -> None:
        """Without a change the page names the assessment that it was compared with."""
        html = render_page(week, bk.compare(week, week))
        assert "Since 2026-11-09 00:00 UTC: nothing changed" in re.sub("<[^>]*>", "", html)
        assert "was not compared with an earlier one" in render_page(week)


def test_counts_link_to_their_rows(week: Assessment) -> None:
    """Each state of an appliance is counted, and linked to the first of its rows."""
    counts = summarize(week).counts
    assert sum(count.number for count in counts) == len(week.appliances)
    links = build_links(week)
    for count in counts:
        first = week.appliances.index[week.appliances["state"] == count.state.kind][0]
        assert count.anchor == links[first].anchor


def test_many_of_a_kind() -> None:
    """Of more than 25 running jobs, targets and outliers the others are counted."""
    month = assess_large_fleet(50)
    newest = month.assessed_jobs.sort_values("start_time").drop_duplicates("appliance", keep="last")
    open_jobs = newest.assign(
        outcome="open", end_time=newest["end_time"].where(newest["end_time"].isna())
    )
    odd = ANOMALIES.conform(
        newest[["appliance", "job_id", "start_time"]].assign(
            kind="duration", value=9000.0, typical=1200.0, score=9.0, rule="score 9.0 > 3.5"
        )
    )
    loads = pd.concat([month.loads] * 30).set_axis([f"nfs://nas-{n}" for n in range(30)])
    changed = month.replaced(
        assessed_jobs=open_jobs, anomalies=odd, loads=loads.rename_axis("target")
    )
    html = render_page(changed)
    assert "and 25 more, in the .jobs.csv file." in html
    assert "and 5 more, in the .json file." in html
    assert "and 25 more, in the .json file." in html
