"""The assessment as OpenMetrics text, read by Prometheus' own parser."""

import math
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.errors import OutputError
from backupkit.policy import Member
from backupkit.reports.openmetrics import openmetrics, write_openmetrics
from tests.builders import END, START, assess, job, nights, poll, schedule

EVIL = 'x"} 1\n# EOF\\ \x00<script>'
CLASSIC_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    """Return each sample by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call] # it says no types
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    """Return the one sample with these labels, and possibly others."""
    (value,) = (
        value for (found, has), value in samples.items() if found == name and has >= labels.items()
    )
    return value


class TestText:
    """The samples."""

    def test_agrees_with_the_assessment(self, week: Assessment) -> None:
        """Verdict, counts, ratios and the values of each appliance are those of the assessment."""
        samples = read(openmetrics(week))
        assert of(samples, "backupkit_verdict", state="breach") == 1
        assert of(samples, "backupkit_verdict", state="compliant") == 0
        for state in ("compliant", "breach", "unknown", "excluded", "unobserved"):
            assert of(samples, "backupkit_appliances", state=state) == getattr(week.verdict, state)
        figures = week.fleet.loc["rpo_strict_micro"]
        for name, column in (("ratio", "value"), ("numerator",) * 2, ("denominator",) * 2):
            value = of(samples, f"backupkit_fleet_{name}", metric="rpo_strict_micro", counts="h")
            assert value == pytest.approx(figures[column])
        for appliance, facts in week.appliances.iterrows():
            one = {"appliance": str(appliance)}
            assert of(samples, "backupkit_appliance_state", state=facts["state"], **one) == 1
            threshold = of(samples, "backupkit_appliance_rpo_threshold_seconds", **one)
            assert threshold == facts["threshold"].total_seconds()
        seconds = of(samples, "backupkit_period_end_timestamp_seconds")
        assert seconds == week.end.timestamp()

    def test_unknown_value_has_no_sample(self) -> None:
        """An unknown value has no sample, neither 0 nor NaN."""
        samples = read(openmetrics(assess([], [], [], [Member(appliance="vc-new")])))
        names = {name for name, _ in samples}
        assert "backupkit_appliance_state" in names
        assert "backupkit_appliance_exposure_seconds" not in names
        assert "backupkit_appliance_last_read_timestamp_seconds" not in names
        assert not any(math.isnan(value) for value in samples.values())
        assert of(samples, "backupkit_verdict", state="unknown") == 1

    def test_failed_jobs_by_cause(self, week: Assessment) -> None:
        """The failed jobs of each appliance by cause add up to those of the assessment."""
        samples = read(openmetrics(week))
        found = {
            (dict(labels)["appliance"], dict(labels)["cause"]): value
            for (name, labels), value in samples.items()
            if name == "backupkit_appliance_period_failed_jobs"
        }
        assert sum(found.values()) == week.failures["jobs"].sum() > 0
        assert all(value > 0 for value in found.values())
        names = set(week.failures["cause_name"].dropna()) | {"unknown"}
        assert {cause for _, cause in found} <= names

    def test_newest_run(self) -> None:
        """Start and end of the newest job are those of the job, and a running one has no end."""
        jobs = [*nights("a", "ssssssss"), *nights("b", "sssssss"), job("b", 6, "open")]
        assessment = assess(jobs, [poll("a"), poll("b")], [schedule("a"), schedule("b")])
        samples = read(openmetrics(assessment))
        start = (START + pd.Timedelta(days=6, hours=1)).timestamp()
        for name in ("a", "b"):
            key = "backupkit_appliance_last_run_start_timestamp_seconds"
            assert of(samples, key, appliance=name) == start
        end = "backupkit_appliance_last_run_end_timestamp_seconds"
        assert of(samples, end, appliance="a") == start + 1200
        assert not [
            labels for name, labels in samples if name == end and ("appliance", "b") in labels
        ]

    def test_newest_poll(self) -> None:
        """The newest poll is complete, partial or failed; without one there is no sample."""
        polls = [
            poll("complete"),
            poll("partial", jobs_unread=1),
            poll("failed", END - pd.Timedelta(hours=1)),
            poll("failed", END, "unreachable"),
        ]
        names = ("complete", "partial", "failed", "never")
        members = [Member(appliance=name) for name in names]
        jobs = [one for name in names[:3] for one in nights(name, "ssssssss")]
        samples = read(openmetrics(assess(jobs, polls, [], members)))
        states = [
            (dict(labels)["appliance"], dict(labels)["state"])
            for name, labels in samples
            if name == "backupkit_appliance_poll_state"
        ]
        assert sorted(states) == [(name, name) for name in ("complete", "failed", "partial")]

    def test_a_site_that_is_excluded(self) -> None:
        """A site of which every appliance is excluded has a state, and no state of its targets."""
        members = [
            Member(appliance="vc", site="Hamburg"),
            Member(appliance="old", site="Tokyo", exclude="retired"),
        ]
        samples = read(openmetrics(assess([], [], [], members)))
        of_sites = [
            (name, *sorted(text for _, text in labels))
            for name, labels in samples
            if name.startswith("backupkit_group")
        ]
        assert sorted(of_sites) == [
            ("backupkit_group_period_verdict", "Hamburg", "site", "unknown"),
            ("backupkit_group_verdict", "Hamburg", "site", "unknown"),
            ("backupkit_group_verdict", "Tokyo", "excluded", "site"),
        ]

    def test_any_name_is_a_label(self) -> None:
        """Quotes, line ends and markup in names are escaped and not lost."""
        member = Member(appliance=EVIL, site=EVIL, group=EVIL)
        judged = assess(nights(EVIL, "ssssssss"), [poll(EVIL)], [schedule(EVIL)], [member])
        text = openmetrics(judged)
        one = {"appliance": EVIL, "site": EVIL, "group": EVIL}
        assert of(read(text), "backupkit_appliance_state", **one) == 1
        assert sum(len(family.samples) for family in plain_families(text)) == len(read(text))


class TestClassicFormat:
    """The classic text format, which the node exporter's textfile collector reads."""

    def test_every_type_is_known_there(self, week: Assessment) -> None:
        """Every type is one of the classic format: another one costs the whole file."""
        types = [
            line.split(" ", 3)[3]
            for line in openmetrics(week).splitlines()
            if line.startswith("# TYPE ")
        ]
        assert set(types) <= CLASSIC_TYPES
        assert len(types) > 10

    def test_version_is_a_label(self, week: Assessment) -> None:
        """The version is a label of a gauge that is 1."""
        lines = openmetrics(week).splitlines()
        assert f'backupkit_build_info{{version="{bk.__version__}"}} 1.0' in lines
        assert "# TYPE backupkit_build_info gauge" in lines

    @pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
    def test_prometheus_reads_it(self, week: Assessment) -> None:
        """Prometheus' own parser takes the text without a remark, also with hostile names."""
        member = Member(appliance=EVIL, site=EVIL, group=EVIL)
        hostile = assess(nights(EVIL, "ssssssss"), [poll(EVIL)], [schedule(EVIL)], [member])
        nothing_known = assess([], [], [], [Member(appliance="vc-new")])
        for one in (week, hostile, nothing_known):
            done = subprocess.run(
                ["promtool", "check", "metrics"],  # noqa: S607 # where the system has it
                input=openmetrics(one).encode(),
                capture_output=True,
                check=False,
            )
            assert (done.returncode, done.stdout + done.stderr) == (0, b"")


class TestFile:
    """The file."""

    def test_write(self, week: Assessment, tmp_path: Path) -> None:
        """The file has exactly the text, and no temporary file remains."""
        path = write_openmetrics(week, tmp_path / "backupkit.prom")
        assert path.read_text(encoding="utf-8") == openmetrics(week)
        assert path.read_text(encoding="utf-8").endswith("# EOF\n")
        assert list(tmp_path.iterdir()) == [path]

    def test_no_such_folder(self, week: Assessment, tmp_path: Path) -> None:
        """A missing folder is an error that names it."""
        with pytest.raises(OutputError, match="nowhere"):
            write_openmetrics(week, tmp_path / "nowhere" / "backupkit.prom")
