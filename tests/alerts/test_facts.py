"""The facts of alerts that an assessment shows."""

from datetime import timedelta

import pandas as pd

from backupkit.alerts import Fact, Facts, find_facts
from backupkit.alerts.facts import _measure_breach
from backupkit.policy import Member
from tests.builders import END, START, assess, assess_week, job, message, nights, poll, schedule

DAY = pd.Timedelta(days=1)


def find(facts: Facts, kind: str) -> dict[str, Fact]:
    """Return the facts of a kind by subject."""
    return {fact.subject: fact for fact in facts.present if fact.kind == kind}


class TestWeek:
    """A week in which each kind of problem affects one appliance."""

    def test_states(self) -> None:
        """Appliances in breach and unknown ones are facts; excluded and compliant ones are not."""
        facts = find_facts(assess_week())
        breaches = find(facts, "breach")
        assert set(breaches) == {"vc-strikes", "vc-silent", "vc-off", "vc-running"}
        assert breaches["vc-strikes"].site == "Hamburg"
        assert "failures in a row" in breaches["vc-strikes"].detail
        assert set(find(facts, "unknown")) == {"vc-gone", "vc-never"}
        assert find(facts, "unknown")["vc-gone"].group == "edge"

    def test_undecided(self) -> None:
        """Of unknown appliances, breach and failures are undecided."""
        undecided = find_facts(assess_week()).undecided
        assert {("breach", "vc-gone"), ("failure", "vc-gone"), ("breach", "vc-never")} <= undecided
        assert ("breach", "vc-good") not in undecided

    def test_failures(self) -> None:
        """Failed jobs since the last success are a fact for each cause."""
        facts = find_facts(assess_week())
        failures = find(facts, "failure")
        assert set(failures) == {"vc-strikes", "vc-shaky"}
        assert failures["vc-strikes"].detail.startswith("3 failed jobs since the last success")

    def test_kinds(self) -> None:
        """Kinds that are not wanted are left out, and not judged."""
        facts = find_facts(assess_week(), kinds=["unknown"])
        assert {fact.kind for fact in facts.present} == {"unknown"}
        assert facts.kinds == ("unknown",)

    def test_states_are_sentences(self) -> None:
        """Each appliance has a sentence, for alerts that end."""
        assert find_facts(assess_week()).states["vc-good"]


def test_breach_doubles() -> None:
    """The level of a breach is one more each time its age doubles: at 2 and 4 thresholds."""
    rows = {
        hours: pd.Series(
            {
                "exposure": pd.Timedelta(hours=hours),
                "exposure_at_least": pd.NaT,
                "threshold": pd.Timedelta(hours=26),
            }
        )
        for hours in (27, 51, 52, 103, 104)
    }
    levels = [_measure_breach(row) for row in rows.values()]
    assert levels == [1, 1, 2, 2, 3]


def test_breach_without_success() -> None:
    """Without a success the lower bound counts; without any of both, or an RPO of 0, it is 1."""
    row = {"exposure": pd.NaT, "exposure_at_least": 4 * DAY, "threshold": DAY}
    assert _measure_breach(pd.Series(row)) == 3
    assert _measure_breach(pd.Series(row | {"exposure_at_least": pd.NaT})) == 1
    assert _measure_breach(pd.Series(row | {"threshold": pd.Timedelta(0)})) == 1


def test_new_cause() -> None:
    """Each cause is a fact of its own; a cause before the last success is none."""
    failed = [
        job("vc-1", night, "failure", messages=[message(text)])
        for night, text in ((4, "disk full"), (5, "disk full"), (6, "strange thing"))
    ]
    rows = [*nights("vc-1", "sfsss"), *failed]
    facts = find_facts(assess(rows, [poll("vc-1")], [schedule("vc-1")]))
    found = [fact for fact in facts.present if fact.kind == "failure"]
    assert len(found) == 2
    assert sorted(fact.detail[:12] for fact in found) == ["1 failed job", "2 failed job"]
    assert all(fact.cause for fact in found)


class TestTarget:
    """The error budget of the fleet and of sites."""

    def facts(self, outcomes: str, days: int = 8) -> Facts:
        """Return the facts of one appliance with these nights, the last of them yesterday's."""
        rows = nights("vc-1", outcomes)
        first = START - pd.Timedelta(days=days)
        assessment = assess(
            rows,
            [poll("vc-1", END - pd.Timedelta(days=d)) for d in range(days)],
            [schedule("vc-1", seen_at=first - DAY)],
            [Member(appliance="vc-1", site="Hamburg")],
        )
        return find_facts(assessment)

    def test_used_up(self) -> None:
        """More missed runs than allowed are level 2."""
        target = find(self.facts("sssfffss"), "target")
        assert set(target) == {"fleet", "site Hamburg"}
        assert target["fleet"].level == 2
        assert target["fleet"].detail.startswith("the error budget is used up: 3 runs missed, 0.07")
        assert target["site Hamburg"].site == "Hamburg"

    def test_fine(self) -> None:
        """Without missed runs there is no fact, and a sentence for the end of an alert."""
        facts = self.facts("ssssssss")
        assert not find(facts, "target")
        assert facts.states["fleet"] == "0 runs missed, 0.07 allowed in the period"

    def test_no_slots(self) -> None:
        """Without expected runs, the target is undecided."""
        facts = find_facts(assess([], [poll("vc-1")], []))
        assert ("target", "fleet") in facts.undecided


def test_at_risk() -> None:
    """The rest of the budget, at the rate of the last week, decides if the target is at risk.

    60 appliances with 7 runs each are 420 runs, of which 4.2 may be missed. 3 were missed within 7
    days, so the other 1.2 last for 2.8 days.
    """
    names = [f"vc-{number}" for number in range(60)]
    outcomes = {name: "sfssssss" if number < 3 else "ssssssss" for number, name in enumerate(names)}
    assessment = assess(
        [row for name in names for row in nights(name, outcomes[name])],
        [poll(name) for name in names],
        [schedule(name) for name in names],
    )
    later = find_facts(assessment, target_within=timedelta(days=2))
    assert not find(later, "target")
    target = find(find_facts(assessment), "target")["fleet"]
    assert target.level == 1
    assert target.detail.endswith("the rest is used up in 67 h 12 min")
