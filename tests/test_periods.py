"""Calendar periods: months and quarters in the zone of the report."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit import Policy, evaluate
from backupkit.assessment.periods import (
    describe_period,
    parse_month,
    parse_quarter,
    previous_period,
)
from backupkit.errors import SettingsError
from backupkit.tables import JOBS, POLLS, SCHEDULES, HistoryView

NOW = pd.Timestamp("2026-11-09T12:00", tz="UTC")
NOTHING = HistoryView(JOBS.empty(), POLLS.empty(), SCHEDULES.empty())
ZONES = (
    *("Etc/UTC", "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu"),
    # the clocks change at midnight
    *("America/Santiago", "Africa/Cairo", "America/Havana", "Atlantic/Azores"),
)


@given(st.integers(1990, 2100), st.integers(1, 12), st.sampled_from(ZONES))
def test_months_follow_each_other(year: int, month: int, zone: str) -> None:
    """A month begins where the one before ends, when its first day begins."""
    start, end = parse_month(f"{year}-{month:02}", zone=zone, now=NOW)
    assert previous_period(start, end, zone)[1] == start
    assert start.tz_convert(zone).strftime("%m-%d") == f"{month:02}-01"
    assert (start - pd.Timedelta(1, "us")).tz_convert(zone).day > 27
    assert end - start > pd.Timedelta(days=27)
    name = start.tz_convert(zone).strftime("%B %Y")
    assert describe_period(start, end, zone).startswith(f"{name}, ")


@pytest.mark.parametrize(
    ("month", "zone", "start", "end"),
    [
        ("last", "Etc/UTC", "2026-10-01 00:00", "2026-11-01 00:00"),
        ("2026-12", "Europe/Berlin", "2026-11-30 23:00", "2026-12-31 23:00"),
        ("2026-10", "Europe/Berlin", "2026-09-30 22:00", "2026-10-31 23:00"),
    ],
)
def test_month(month: str, zone: str, start: str, end: str) -> None:
    """October in Berlin has 745 h: it ends in winter time."""
    times = parse_month(month, zone=zone, now=NOW)
    assert [f"{time:%Y-%m-%d %H:%M}" for time in times] == [start, end]


def test_quarters() -> None:
    """A quarter has three months; the one before a first quarter is in the year before."""
    first = parse_quarter("2026-Q1", zone="Etc/UTC", now=NOW)
    assert [f"{time:%Y-%m-%d}" for time in first] == ["2026-01-01", "2026-04-01"]
    before = previous_period(*first, "Etc/UTC")
    assert before == parse_quarter("2025q4", zone="Etc/UTC", now=NOW)
    across = before[0], first[1]
    assert describe_period(*across, "Etc/UTC") == "October 2025 to March 2026, UTC"
    january = parse_quarter("last", zone="Asia/Tokyo", now=pd.Timestamp("2026-01-31T23:00Z"))
    assert describe_period(*january, "Asia/Tokyo") == "October to December 2025, Asia/Tokyo"


def test_part_of_a_day() -> None:
    """Another period has the minute of its start, and the previous one has the same length."""
    start, end = NOW - pd.Timedelta(hours=6), NOW
    assert describe_period(start, end, "Asia/Tokyo") == (
        "2026-11-09 15:00 to 2026-11-09 21:00 Asia/Tokyo"
    )
    assert previous_period(start, end, "Asia/Tokyo") == (start - pd.Timedelta(hours=6), start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"month": "2026-13"}, 'month: "2026-13" is no month; for example: 2026-03, or last.'),
        ({"month": "0000-01"}, "The year 0 is out of range."),
        ({"month": "9999-12"}, "The year 9999 is out of range."),
        ({"quarter": "2026-Q5"}, 'quarter: "2026-Q5" is no quarter'),
        ({"month": "2026-03", "last": "7d"}, "last and month exclude each other"),
        ({"month": "2026-03", "end": "2026-03-05"}, "end and month exclude each other"),
        ({"quarter": "last", "start": "2026-03-05"}, "start and quarter exclude each other"),
        ({"timezone": "Berlin"}, 'timezone: "Berlin" is not a time zone of the IANA list'),
    ],
)
def test_invalid(options: dict[str, str], message: str) -> None:
    """An error names the option, and says what it should be."""
    with pytest.raises(SettingsError, match=message.replace(".", r"\.")):
        evaluate(NOTHING, Policy(), now=NOW, **options)  # type: ignore[arg-type] # texts


@given(st.integers(0, 20_000), st.integers(0, 23), st.sampled_from(ZONES))
def test_each_period_has_a_name(day: int, hour: int, zone: str) -> None:
    """Also where midnight is skipped, or comes twice."""
    start = pd.Timestamp("1990-01-01", tz="UTC") + pd.Timedelta(days=day, hours=hour)
    assert " to " in describe_period(start, start + pd.Timedelta(days=30, minutes=1), zone)


def test_zone_of_times() -> None:
    """Dates without a zone are in that of the option, else in that of the policy."""
    policy = Policy(report_timezone="Asia/Tokyo")
    days = {"start": "2026-11-01", "end": "2026-11-03"}
    tokyo = evaluate(NOTHING, policy, now=NOW, **days)  # type: ignore[arg-type] # texts
    assert str(tokyo.start) == "2026-10-31 15:00:00+00:00"
    assert tokyo.period_name == "2026-11-01 to 2026-11-03 00:00 Asia/Tokyo"
    berlin = evaluate(NOTHING, policy, now=NOW, timezone="Europe/Berlin", **days)  # type: ignore[arg-type] # texts
    assert str(berlin.start) == "2026-10-31 23:00:00+00:00"
    current = evaluate(NOTHING, policy, now=NOW, quarter="2026-Q4")
    assert (current.end, current.is_current) == (NOW, True)
