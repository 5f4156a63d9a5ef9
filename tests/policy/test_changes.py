"""Policy changes, exclusions, groups and planned times."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backupkit.errors import SettingsError
from backupkit.policy import Exclusion, Member, Plan, Policy, Window

HEAD = """
[defaults]
user = "reader@vsphere.local"
password = { env = "VCSA_PASSWORD" }

[[appliance]]
name = "vc-1"
host = "vc-1.test"
site = "Hamburg"
group = "production"

[[appliance]]
name = "vc-2"
host = "vc-2.test"
site = "Tokyo"
group = "test"
policy = "gold"
"""


def moment(text: str) -> pd.Timestamp:
    """Return a time in UTC."""
    return pd.Timestamp(text, tz="UTC")


def in_hours(spans: "pd.Series[pd.Timedelta]") -> dict[str, float]:
    """Return durations in hours, by appliance."""
    return {str(name): span / pd.Timedelta(hours=1) for name, span in spans.items()}


def load(folder: Path, text: str) -> Policy:
    """Load a fleet.toml with these policy tables."""
    path = folder / "fleet.toml"
    path.write_text(HEAD + ("" if "policy.gold" in text else "[policy.gold]\n") + text, "utf-8")
    return Policy.load(path)


def hours(policy: Policy, name: str = "rpo") -> float:
    """Return one duration in hours."""
    value: timedelta = getattr(policy, name)
    return value / timedelta(hours=1)


class TestChanges:
    """Numbers that apply from a date on."""

    FILE = """
[policy]
rpo = "24h"
[[policy.change]]
valid_from = 2026-11-05T00:00:00Z
grace = "1h"
[[policy.change]]
valid_from = 2026-11-01
rpo = "12h"
[policy.gold]
rpo = "4h"
[[policy.gold.change]]
valid_from = 2026-11-03T02:00:00+02:00
rpo = "2h"
"""

    def test_each_builds_on_those_before(self, tmp_path: Path) -> None:
        """A change sets some numbers; the others stay, in any order of the file."""
        policy = load(tmp_path, self.FILE)
        numbers = [
            (hours(now), hours(now, "grace"))
            for day in ("2026-10-31T23:59", "2026-11-01", "2026-11-05")
            for now in [policy.at(moment(day))]
        ]
        assert numbers == [(24, 2), (12, 2), (12, 1)]
        assert hours(policy) == hours(policy.at(None)) == 24

    def test_a_named_policy_has_both(self, tmp_path: Path) -> None:
        """A named policy follows the changes of [policy] where it sets nothing itself."""
        policy = load(tmp_path, self.FILE)
        gold = [
            policy.at(moment(d)).named["gold"] for d in ("2026-11-02", "2026-11-03", "2026-11-05")
        ]
        assert [(hours(one), hours(one, "grace")) for one in gold] == [(4, 2), (2, 2), (2, 1)]
        assert list(policy.effective_dates) == [moment(f"2026-11-0{day}") for day in (1, 3, 5)]

    def test_rules_of_a_moment(self, tmp_path: Path) -> None:
        """The rules of a date are those of the policy then."""
        policy = load(tmp_path, self.FILE)
        rules = policy.at(moment("2026-11-04")).rules()
        assert in_hours(rules["rpo"]) == {"vc-1": 12, "vc-2": 2}

    def test_in_code(self) -> None:
        """Changes in code are sorted; a policy without changes has no bounds."""
        policy = Policy(
            changes={"2026-11-05": Policy(rpo="1h"), date(2026, 11, 1): Policy(rpo="2h")}
        )
        assert list(policy.changes) == [moment("2026-11-01"), moment("2026-11-05")]
        assert Policy(rpo="3h").at(moment("2026-11-01")) == Policy(rpo="3h")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                '[[policy.change]]\nvalid_from = 2026-11-01T00:00:00Z\nreport_timezone = "Etc/UTC"',
                '[[policy.change]]: "report_timezone" is the zone of reports',
            ),
            ("[[policy.change]]\nrpo = '1h'", '[[policy.change]]: "valid_from" is missing; for'),
            (
                "[[policy.change]]\nvalid_from = 2026-11-01T00:00:00",
                '[[policy.change]]: "valid_from": "2026-11-01 00:00:00" has no time zone',
            ),
            (
                "[[policy.change]]\nvalid_from = 7",
                '"valid_from" must be a time, got 7; for example',
            ),
            (
                "[policy]\nchange = 1",
                '[policy]: "change" must be an array of tables: [[policy.change]]',
            ),
            (
                "[[policy.change]]\nvalid_from = 2026-11-01\n" * 2,
                "two changes are valid from 2026-11-01 00:00:00+00:00; join them",
            ),
            (
                "[[policy.gold.change]]\nvalid_from = 2026-11-01\nrpo = '0h'",
                '[[policy.gold.change]]: "rpo" must be a duration longer than 0',
            ),
            (
                "[[policy.gold.change]]\nvalid_from = 2026-11-01\nrp = '1h'",
                '[[policy.gold.change]]: unknown key "rp"; did you mean "rpo"?',
            ),
        ],
    )
    def test_wrong(self, tmp_path: Path, text: str, message: str) -> None:
        """A wrong change is an error that names its table."""
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, text)
        assert message in str(caught.value)

    def test_twice_in_code(self) -> None:
        """Two changes of one date are an error."""
        with pytest.raises(SettingsError, match="two changes begin at the same moment"):
            Policy(changes={"2026-11-05": Policy(), date(2026, 11, 5): Policy()})


class TestGroups:
    """Policies of groups."""

    def test_the_appliance_comes_first(self, tmp_path: Path) -> None:
        """A group's policy applies to its appliances, except one that names its own."""
        text = (
            '[policy.gold]\nrpo = "4h"\n[policy.iron]\nrpo = "9h"\ngroups = ["production", "test"]'
        )
        rules = load(tmp_path, text).rules()
        assert in_hours(rules["rpo"]) == {"vc-1": 9, "vc-2": 4}

    def test_only_one_policy(self, tmp_path: Path) -> None:
        """A group that two policies name is an error."""
        text = '[policy.gold]\ngroups = ["x"]\n[policy.iron]\ngroups = ["x"]'
        with pytest.raises(SettingsError, match='group "x" already has the policy "gold"'):
            load(tmp_path, text)

    def test_a_list_of_names(self, tmp_path: Path) -> None:
        """Groups that are no list of names are an error."""
        with pytest.raises(SettingsError, match=r'policy.gold]: "groups" must be a list of names'):
            load(tmp_path, '[policy.gold]\ngroups = "production"')

    def test_no_such_policy(self) -> None:
        """A group with an unknown policy is an error."""
        with pytest.raises(SettingsError, match='group "x": policy = "gold" names no policy'):
            Policy(groups={"x": "gold"})


class TestExclusions:
    """Maintenance windows, and appliances out of scope."""

    FILE = """
[[policy.exclude]]
reason = "storage move"
start = 2026-11-07T20:00:00Z
end = 2026-11-08T06:00:00Z
sites = ["Hamburg"]
appliances = ["vc-9"]
[[policy.exclude]]
reason = "test systems are not judged"
groups = ["test"]
"""

    def test_spelled_out(self, tmp_path: Path) -> None:
        """Exclusions with a date are listed by appliance, the others are in the rules."""
        policy = load(tmp_path, self.FILE)
        listed = policy.excluded(["vc-9"])
        assert listed.to_numpy().tolist() == [
            [name, moment("2026-11-07T20:00"), moment("2026-11-08T06:00"), "storage move"]
            for name in ("vc-1", "vc-9")
        ]
        assert policy.rules()["exclude"].dropna().to_dict() == {
            "vc-2": "test systems are not judged"
        }

    def test_for_everyone(self) -> None:
        """An exclusion without names is for all appliances; without an end it never ends."""
        policy = Policy(
            exclusions=[Exclusion(reason="closed", start=datetime(2026, 1, 1, tzinfo=UTC))]
        )
        listed = policy.excluded(["a", "b"])
        assert listed["appliance"].to_list() == ["a", "b"]
        assert listed["end"].isna().all()
        assert str(Policy().excluded()["end"].dtype) == "datetime64[us, UTC]"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('reason = " "', '[[policy.exclude]]: "exclude" needs a reason; for example'),
            ("sites = ['x']", '[[policy.exclude]]: "reason" is missing; for example: reason ='),
            ('reason = "x"\nsite = ["x"]', 'unknown key "site"; did you mean "sites"?'),
            ('reason = "x"\nstart = 2026-11-07\nend = 2026-11-07', "must end after it starts"),
            ('reason = "x"\nstart = 2026-11-07T00:00:00', '"exclude", start: "2026-11-07 00:00'),
        ],
    )
    def test_wrong(self, tmp_path: Path, text: str, message: str) -> None:
        """A wrong exclusion is an error that names it."""
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, f"[[policy.exclude]]\n{text}\n")
        assert message in str(caught.value)


class TestTimesOfTheDay:
    """Windows, planned times and the backup day."""

    def test_read(self, tmp_path: Path) -> None:
        """Times may be text or TOML times."""
        text = """
[policy]
window = "22:00-6:00"
window_tolerance = "5m"
duration_limit = "90m"
backup_day = 10:00:00
retention = 14
parts = ["common", "seat"]
schedule = { time = "23:59", days = ["sunday", "MONDAY"] }
"""
        policy = load(tmp_path, text)
        assert policy.window == Window(timedelta(hours=22), timedelta(hours=8))
        assert policy.schedule == Plan(timedelta(hours=23, minutes=59), ("MONDAY", "SUNDAY"))
        assert (policy.backup_day, policy.retention) == (timedelta(hours=10), 14)
        assert policy.parts == ("common", "seat")
        assert "window 22:00-06:00, no longer than 1 h 30 min, target" in str(policy)
        rules = policy.rules().loc["vc-1"]
        assert rules["window_length"] == pd.Timedelta(hours=8)
        assert rules["parts"] == ("common", "seat")

    def test_plans_are_schedules(self) -> None:
        """Planned times become a schedule; where they end a row disables it."""
        policy = Policy(
            schedule="01:30",
            members=[Member(appliance="vc-1"), Member(appliance="vc-2", policy="none")],
            named={"none": Policy()},
            changes={"2026-11-05": Policy()},
        )
        plans = policy.plans(["vc-3"])
        columns = ["appliance", "enabled", "hour", "minute"]
        rows = plans[columns].astype("object").where(plans[columns].notna(), None)
        assert rows.to_numpy().tolist() == [
            ["vc-1", True, 1, 30],
            ["vc-3", True, 1, 30],
            ["vc-1", False, None, None],
            ["vc-3", False, None, None],
        ]
        assert plans["seen_at"].notna().to_list() == [False, False, True, True]
        assert Policy().plans(["vc-1"]).empty
        assert Policy().plans().empty

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"window": "22:00"}, "\"window\" must be two times of day, got '22:00'; for"),
            ({"window": 7}, '"window" must be two times of day, got 7'),
            ({"window": "22:00-25:00"}, "\"window\" must be two times of day, got '22:00-25:00'"),
            ({"backup_day": "noon"}, "\"backup_day\" must be a time of day, got 'noon'; for"),
            ({"backup_day": timedelta(days=1)}, '"backup_day" must be a time of day'),
            ({"schedule": 5}, "MONDAY to SUNDAY), got 5; for example"),
            (
                {"schedule": {"days": []}},
                '"schedule" must be a time of day, or a table of a time and days',
            ),
            (
                {"schedule": {"time": "01:00", "days": ["SUN"]}},
                "got {'time': '01:00', 'days': ['SUN']}",
            ),
            (
                {"schedule": {"time": "01:00", "days": "SUN"}},
                "got {'time': '01:00', 'days': 'SUN'}",
            ),
            ({"retention": 0}, '"retention" must be an integer of 1 or more, got 0; for example'),
            ({"retention": True}, '"retention" must be an integer of 1 or more, got True'),
            ({"parts": ["common", 1]}, '"parts" must be a list of names'),
            ({"parts": "common"}, "\"parts\" must be a list of names, got 'common'; for example"),
        ],
    )
    def test_wrong(self, wrong: dict[str, Any], message: str) -> None:
        """A wrong value is an error with an example of a right one."""
        with pytest.raises(SettingsError) as caught:
            Policy(**wrong)
        assert message in str(caught.value)

    def test_window_in_code(self) -> None:
        """A window or a plan may be an object; a window of a full day is valid."""
        day = Window(timedelta(0), timedelta(days=1))
        policy = Policy(
            window=day, schedule=Plan(timedelta(hours=1)), backup_day=timedelta(hours=9)
        )
        assert policy.window == Window.parse("00:00-00:00") == day
        assert str(policy.schedule) == "01:00"
        assert Plan.parse(time(1, 0)) == policy.schedule
