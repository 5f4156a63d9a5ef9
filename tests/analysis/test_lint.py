"""Schedule and policy checks: each rule, and a similar case without a finding."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit.analysis import duplicate_appliances, feasibility, lint, schedule_zones
from backupkit.policy import Member, Policy
from backupkit.tables import BASELINES, SCHEDULES
from tests.builders import jobs_of
from tests.conftest import repeats

AT = pd.Timestamp("2026-11-23T00:00Z")
GOOD: Mapping[str, Any] = {
    "schedule": "default",
    "enabled": True,
    "hour": 1,
    "minute": 0,
    "days": None,
    "timezone": "Etc/UTC",
    "max_count": 14,
    "location": "sftp://nas.test/backup",
    "parts": ["common", "seat"],
}


def plan(*rows: Mapping[str, Any]) -> pd.DataFrame:
    """Build schedules from changes to a correct one."""
    complete: list[dict[str, Any]] = [{"appliance": "a", **GOOD, **row} for row in rows]
    return SCHEDULES.frame({name: [row[name] for row in complete] for name in ("appliance", *GOOD)})


def check(
    *rows: Mapping[str, Any],
    policy: Policy | None = None,
    typical: str | None = None,
    skew: str | None = None,
    **more: Any,  # noqa: ANN401 # whatever lint takes
) -> list[tuple[Any, str, str, str]]:
    """Return (appliance, rule, severity, finding) of each finding."""
    current = plan(*rows)
    rules = (policy or Policy()).rules(["a", *current["appliance"]])
    spans = pd.Series([typical] * len(rules), dtype="timedelta64[us]")
    baselines = BASELINES.frame({"appliance": rules.index.to_list(), "typical_duration": spans})
    found = lint(
        current,
        rules,
        baselines,
        zones=schedule_zones(current, fallback=rules["timezone"]),
        at=AT,
        skew=pd.Series([skew] * len(rules), index=rules.index, dtype="timedelta64[us]"),
        **more,
    )
    assert found["advice"].str.len().gt(10).all()
    columns = ["appliance", "rule", "severity", "finding"]
    return [tuple(row) for row in found[columns].to_numpy().tolist()]


def names(found: list[tuple[Any, str, str, str]]) -> list[tuple[str, str]]:
    """Return rule and severity of each finding."""
    return [(rule, severity) for _, rule, severity, _ in found]


def test_nothing_wrong() -> None:
    """A correct schedule has no finding, nor has an excluded appliance."""
    assert check({}) == []
    away = Policy(members=[Member(appliance="a", exclude="being retired")])
    assert check(policy=away) == []


class TestNoRun:
    """Appliances without an expected run."""

    @pytest.mark.parametrize(
        ("rows", "more", "rule"),
        [
            ([], {}, ("no-schedule", "error")),
            ([], {"schedule_unknown": ["a"]}, ("schedule-unknown", "note")),
            ([{"enabled": False}], {}, ("schedule-disabled", "error")),
            ([{"hour": None}], {}, ("schedule-without-time", "error")),
        ],
    )
    def test_why(self, rows: list[dict[str, Any]], more: dict[str, Any], rule: Any) -> None:  # noqa: ANN401 # a pair
        """Each reason has its own rule."""
        assert names(check(*rows, **more)) == [rule]

    def test_one_of_two_is_on(self) -> None:
        """One enabled schedule is enough."""
        assert check({}, {"schedule": "other", "enabled": False}) == []


class TestFeasible:
    """Metric 23: feasibility of the schedule."""

    def test_weekly(self) -> None:
        """A schedule of five days a week has a gap of 72 h at the weekend."""
        days = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"]
        [row] = check({"days": days})
        assert row[1:] == (
            "rpo-infeasible",
            "error",
            "up to 3 d between runs, but RPO + grace are 26 h",
        )
        assert check({"days": days}, policy=Policy(rpo="70h")) == []

    def test_a_run_takes_time(self) -> None:
        """24 h and a run of 2 h are exactly 26 h; one second more is not feasible."""
        assert check({}, typical="2h") == []
        [row] = check({}, typical="02:00:01")
        assert row[3] == (
            "up to 24 h between runs + 2 h 1 s for a run = 26 h 1 s, but RPO + grace are 26 h"
        )
        assert names(check({}, typical="27h")) == [("rpo-infeasible", "error")]

    def test_two_schedules(self) -> None:
        """Two schedules count together: 09:00 and 21:00 are 12 h apart."""
        rows = ({"hour": 9}, {"schedule": "evening", "hour": 21})
        assert check(*rows, policy=Policy(rpo="11h", grace="1h")) == []
        assert names(check(*rows, policy=Policy(rpo="11h", grace="59m"))) == [
            ("rpo-infeasible", "error")
        ]

    def test_the_long_night(self) -> None:
        """A night of 25 h at a clock change is not feasible without grace."""
        tight = Policy(rpo="24h", grace="30m")
        [row] = check({"timezone": "Europe/Berlin"}, policy=tight)
        assert row[1:3] == ("rpo-tight", "note")
        assert row[3] == "when the clocks go back it needs 25 h, but RPO + grace are 24 h 30 min"
        assert check({"timezone": "Asia/Tokyo"}, policy=tight) == []

    def test_figures(self) -> None:
        """The gap and the result are columns of the appliances' table."""
        current = plan({}, {"appliance": "b", "enabled": False})
        rules = Policy().rules(["a", "b"])
        zones = schedule_zones(current, fallback=rules["timezone"])
        typical = pd.Series(["20m", None], index=rules.index, dtype="timedelta64[us]")
        got = feasibility(current, rules, typical, zones=zones, at=AT)
        assert got.loc["a", "max_gap"] == pd.Timedelta(hours=24)
        assert got.loc["a", "needed"] == pd.Timedelta(hours=24, minutes=20)
        assert list(got["feasible"].isna()) == [False, True]


class TestTarget:
    """Backup targets."""

    def test_on_the_fleet(self) -> None:
        """A target that is an appliance of the fleet is an error."""
        policy = Policy(
            members=[
                Member(appliance="a", host="VC-1.test:8443"),
                Member(appliance="b", host="vc-2.test"),
            ]
        )
        [row] = check({"appliance": "b", "location": "sftp://u:p@vc-1.TEST/x"}, {}, policy=policy)
        assert row[:3] == ("b", "target-on-fleet", "error")
        assert (
            row[3] == 'schedule "default" writes to sftp://vc-1.test, and that is a of this fleet'
        )

    @pytest.mark.parametrize("location", ["file:///storage", "sftp://u:p@vc-1.TEST/x"])
    def test_on_itself(self, location: str) -> None:
        """A schedule that saves on its own appliance is an error, unless that counts."""
        members = [Member(appliance="a", host="VC-1.test:8443")]
        [row] = check({"location": location}, policy=Policy(members=members))
        assert row[:3] == ("a", "local-backup", "error")
        assert row[3] == (
            'schedule "default" saves on the appliance itself: its backups are no recovery points'
        )
        rows = check({"location": location}, policy=Policy(members=members, count_local=True))
        assert "local-backup" not in {row[1] for row in rows}

    @pytest.mark.parametrize("scheme", ["ftp", "http"])
    def test_plain(self, scheme: str) -> None:
        """FTP and HTTP are unencrypted; a password in the location is not shown."""
        [row] = check({"location": f"{scheme}://user:secret@nas.test/x"})
        assert row[1:3] == ("plain-transport", "warning")
        assert "secret" not in row[3]
        assert check({"location": f"{scheme}s://nas.test/x"}) == []

    def test_crowd(self) -> None:
        """Ten runs in the same minute on one target are a finding, nine are not."""
        rows = [{"appliance": f"vc-{number}"} for number in range(10)]
        quiet = Policy(members=[Member(appliance=f"vc-{n}") for n in range(9)])
        assert not [row for row in check(*rows[:9], policy=quiet) if row[1] == "crowded-start"]
        [row] = [row for row in check(*rows) if row[1] == "crowded-start"]
        assert row[1:3] == ("crowded-start", "warning")
        assert pd.isna(row[0])
        assert row[3] == (
            "10 appliances start in the same minute on sftp://nas.test, next on "
            "2026-11-23 01:00 UTC"
        )
        many = [{"appliance": f"vc-{number}"} for number in range(61)]
        assert "61 appliances" in next(row for row in check(*many) if row[1] == "crowded-start")[3]


class TestContent:
    """Parts and retention."""

    @pytest.mark.parametrize(
        ("parts", "wanted", "severities"),
        [
            (["seat"], None, []),
            (["common"], None, ["note"]),
            (["common"], ["common"], []),
            (["COMMON"], ["common", "seat"], ["warning"]),
            (None, ["common"], []),
        ],
    )
    def test_parts(self, parts: Any, wanted: Any, severities: list[str]) -> None:  # noqa: ANN401 # lists or None
        """The parts of the policy are required, except common; otherwise seat is advised."""
        found = check({"parts": parts}, policy=Policy(parts=wanted))
        assert names(found) == [("parts-left-out", severity) for severity in severities]

    @pytest.mark.parametrize(
        ("kept", "wanted", "rule"),
        [
            (13, 14, [("retention-short", "warning")]),
            (14, 14, []),
            (None, 14, [("no-retention", "note")]),
            (None, None, [("no-retention", "note")]),
            (1, None, []),
        ],
    )
    def test_retention(self, kept: int | None, wanted: int | None, rule: Any) -> None:  # noqa: ANN401 # pairs
        """Retention must be at least that of the policy, and unlimited retention is a note."""
        assert names(check({"max_count": kept}, policy=Policy(retention=wanted))) == rule

    def test_a_plan_of_the_policy(self) -> None:
        """The policy's own schedule has no finding about parts and retention."""
        assert check({"max_count": None}, schedule_unknown=["a"]) == []


class TestClocks:
    """Clock changes, zones and clock differences."""

    def test_hour_of_the_change(self) -> None:
        """02:30 in Berlin is skipped in March and repeated in October; 03:00 is not."""
        [row] = check({"timezone": "Europe/Berlin", "hour": 2, "minute": 30})
        assert row[1:3] == ("dst-hour", "note")
        assert row[3] == (
            'schedule "default" starts at 02:30, a time that Europe/Berlin skips on 2027-03-28 and '
            "has twice on 2027-10-31"
        )
        assert check({"timezone": "Europe/Berlin", "hour": 3}) == []
        assert (
            check({"timezone": "Europe/Berlin", "hour": 2, "days": ["FRIDAY"]}, policy=WEEK) == []
        )

    def test_zone(self) -> None:
        """An unknown or invalid zone is assumed."""
        [row] = check({"timezone": None})
        assert row[1:] == ("zone-assumed", "note", "its schedule is read in UTC (assumed)")
        oslo = Policy(members=[Member(appliance="a", timezone="Europe/Oslo")])
        assert check({"timezone": None}, policy=oslo) == []
        [row] = check({"timezone": "Mars"}, policy=oslo)
        assert row[1] == "zone-assumed"

    @pytest.mark.parametrize(
        ("skew", "words"),
        [("301s", "5 min 1 s ahead of"), ("-1h", "1 h behind"), ("300s", None), (None, None)],
    )
    def test_clock(self, skew: str | None, words: str | None) -> None:
        """A clock difference of more than five minutes is reported, in both directions."""
        expected = (
            [] if words is None else [("a", "clock-off", "warning", f"its clock is {words} ours")]
        )
        assert check({}, skew=skew) == expected


WEEK = Policy(rpo="8d")


def test_one_appliance_twice() -> None:
    """Two names with the same jobs are one appliance; three jobs must be equal."""
    rows = [
        (name, "success", f"0{day}T01:00", f"0{day}T01:20") for name in "ab" for day in (2, 3, 4)
    ]
    jobs = jobs_of(rows, job_id=["1", "2", "3"] * 2)
    found = check({}, {"appliance": "b"}, duplicates=duplicate_appliances(jobs))
    assert [row[:3] for row in found] == [("a", "same-appliance", "warning")]
    assert found[0][3] == "3 of its jobs, with the same ids and times, are those of b too"
    assert check({}, {"appliance": "b"}, duplicates=duplicate_appliances(jobs.iloc[:5])) == []


def test_odd_names() -> None:
    """Schedule names are shown without control characters, or not at all."""
    [row] = check({"schedule": "x\x1b[2J", "max_count": None})
    assert row[3].startswith('schedule "x[2J" keeps all')
    [row] = check({"schedule": None, "max_count": None})
    assert row[3].startswith("its schedule keeps all")


ANYTHING = st.fixed_dictionaries(
    {
        "appliance": st.sampled_from(["a", "b"]),
        "schedule": st.one_of(st.none(), st.text(max_size=8)),
        "enabled": st.one_of(st.none(), st.booleans()),
        "hour": st.one_of(st.none(), st.integers(-5, 30), st.integers(-(2**40), 2**40)),
        "minute": st.one_of(st.none(), st.integers(-5, 70)),
        "days": st.one_of(
            st.none(), st.lists(st.sampled_from(["MONDAY", "sunday", "", "NEVER"]), max_size=3)
        ),
        "timezone": st.one_of(st.none(), st.sampled_from(["Europe/Berlin", "Mars", "", "../x"])),
        "max_count": st.one_of(st.none(), st.integers(-3, 2**40)),
        "location": st.one_of(
            st.none(), st.text(max_size=12), st.sampled_from(["ftp://[", "http://x:y@", "a:b@c/d"])
        ),
        "parts": st.one_of(st.none(), st.lists(st.text(max_size=6), max_size=3)),
    }
)


@given(rows=st.lists(ANYTHING, max_size=4), typical=st.sampled_from([None, "20m", "99999D"]))
@settings(max_examples=repeats(5, 50))
def test_any_schedule(rows: list[dict[str, Any]], typical: str | None) -> None:
    """No schedule, however odd, is an error."""
    found = check(*rows, typical=typical, policy=Policy(retention=3, parts=["common"]))
    assert {severity for _, severity in names(found)} <= {"error", "warning", "note"}


def test_its_table() -> None:
    """The findings follow their table, errors first."""
    ranks = ["error", "warning", "note"]
    found = [row[2] for row in check({"parts": [], "max_count": None, "location": "ftp://x"})]
    assert found == sorted(found, key=ranks.index)
