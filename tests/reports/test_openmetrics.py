"""The assessment as OpenMetrics text, read by Prometheus' own parser."""

import math
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from backupkit.assessment import Assessment
from backupkit.errors import OutputError
from backupkit.policy import Member
from backupkit.reports.monitoring import openmetrics, write_openmetrics
from tests.builders import assess, nights, poll, schedule

EVIL = 'x"} 1\n# EOF\\ \x00<script>'
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

    def test_any_name_is_a_label(self) -> None:
        """Quotes, line ends and markup in names are escaped and not lost."""
        member = Member(appliance=EVIL, site=EVIL, group=EVIL)
        judged = assess(nights(EVIL, "ssssssss"), [poll(EVIL)], [schedule(EVIL)], [member])
        text = openmetrics(judged)
        one = {"appliance": EVIL, "site": EVIL, "group": EVIL}
        assert of(read(text), "backupkit_appliance_state", **one) == 1
        # the node exporter reads the older form of the same text
        assert sum(len(family.samples) for family in plain_families(text)) == len(read(text))


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
