"""The verdict on the period and the verdict on its end: one word on every surface."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from pandas.testing import assert_series_equal

import backupkit as bk
from backupkit.assessment import Assessment, PeriodVerdict, Verdict
from backupkit.display.format import Ratio
from backupkit.policy import Member, Policy
from backupkit.reports.columns import stream_csv
from backupkit.reports.mail import format_subject
from backupkit.reports.monitoring import check_result
from backupkit.reports.openmetrics import openmetrics
from backupkit.reports.redaction import redact
from backupkit.reports.summary import summarize
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, HistoryView
from backupkit.widgets import Selection
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.view import FilteredView
from backupkit.widgets.view_html import render_verdict_bar
from tests.builders import END, START, assess, frame, job, nights, poll, schedule
from tests.conftest import repeats
from tests.random_fleets import random_case

MARCH = pd.Timestamp("2026-03-01", tz="UTC")
APRIL = pd.Timestamp("2026-04-01", tz="UTC")
NIGHT = pd.Timedelta(days=1)


def march(policy: Policy | None = None, now: pd.Timestamp = APRIL + 40 * NIGHT) -> Assessment:
    """Evaluate a March of which ten nights and the last one were backed up, as of May."""
    good = [*range(-1, 10), 30]
    times = [MARCH + night * NIGHT + pd.Timedelta(hours=1) for night in good]
    jobs = [
        job("vc", 0, job_id=str(time), start_time=time, end_time=time + pd.Timedelta(minutes=20))
        for time in times
    ]
    jobs = [row | {"first_seen_at": MARCH} for row in jobs]
    polls = [poll("vc", MARCH - NIGHT + day * NIGHT) for day in range(75)]
    schedules = [schedule("vc", seen_at=MARCH - 30 * NIGHT)]
    frames = HistoryView(frame(JOBS, jobs), frame(POLLS, polls), frame(SCHEDULES, schedules))
    policy = policy or Policy(members=[Member(appliance="vc", site="Hamburg")])
    return bk.evaluate(frames, policy, month="2026-03", now=now)


@dataclass
class Words:
    """Words that one surface has for the period and for its end."""

    surface: str
    period: str
    state: str


def words_of(assessment: Assessment, folder: Path) -> Iterator[Words]:
    """Yield the words of each surface, read from what a user gets."""
    report = bk.report(assessment)
    states = {"OK": "compliant", "BREACH": "breach", "UNKNOWN": "unknown"}
    document = json.loads(report.save(folder / "report.html")[1].read_bytes())
    texts = {
        "title": report.title,
        "page": report.html().split("<h1><b>")[1],
        "notebook": repr(assessment),
        "notebook HTML": assessment._repr_html_().split("<h1><b>")[1],  # Jupyter calls it
        "mail, plain": str(report.message().get_body(("plain",)).get_content()),  # type: ignore[union-attr] # it has one
        "JSON heading": document["heading"],
    }
    for surface, text in texts.items():
        target, state = text.removeprefix("TARGET ").split(", ")[:2]
        yield Words(surface, target.lower(), states[state.split(" ")[0]])
    first, second = format_subject(assessment).strip("[").split("]")[0].split(" | ")[:2]
    yield Words("subject", first.removeprefix("TARGET ").lower(), states[second.split(" ")[0]])
    yield Words("JSON", document["period_verdict"]["state"], document["verdict"]["state"])
    (row,) = [row for row in document["verdicts"] if row["property"] == "fleet"]
    yield Words("JSON verdicts", row["target_state"], row["state"])
    metrics = openmetrics(assessment)
    yield Words("metrics", _true_state(metrics, "period_verdict"), _true_state(metrics, "verdict"))
    line = check_result(assessment)
    of_code = {0: "compliant", 1: "compliant", 2: "breach", 3: "unknown"}
    period = re.findall(r"; target (\w+)", line.sentence)[0]
    yield Words("check", period, of_code[line.code])


def _true_state(text: str, name: str) -> str:
    pattern = rf'^backupkit_{name}{{state="(\w+)"}} 1.0$'
    (state,) = re.findall(pattern, text, re.MULTILINE)
    return str(state)


class TestMarch:
    """A month with 266 of 744 h inside the RPO, that ended well."""

    def test_every_surface(self, tmp_path: Path) -> None:
        """The target is missed on all of them, and the end is OK."""
        words = list(words_of(march(), tmp_path))
        assert len(words) == 11
        assert {(item.period, item.state) for item in words} == {("missed", "compliant")}, words

    def test_figures(self) -> None:
        """243 h until 11 March, 03:00, and 22 h 40 min on the 31st; 11 of 31 runs."""
        march_2026 = march()
        time, runs = march_2026.period_verdict.targets
        assert time.ratio.numerator == pytest.approx(243 + 22 + 40 / 60)
        assert (time.ratio.denominator, time.ratio.target, time.state) == (744, 0.99, "missed")
        assert (runs.ratio.numerator, runs.ratio.denominator, runs.state) == (11, 31, "missed")
        assert march_2026.heading == "TARGET MISSED, OK 1 of 1 at the end"
        assert march_2026.period_name == "March 2026, UTC"
        assert march_2026.period_verdict.sentence == (
            "target missed: 35.7 % (265.7 of 744 h) of the time inside the RPO (target 99 %), "
            "35.5 % (11 of 31 runs) of scheduled backups completed (target 99 %)"
        )
        assert format_subject(march_2026) == (
            "[TARGET MISSED | OK] vCenter backups March 2026, UTC - 1/1 ok at the end"
        )
        assert check_result(march_2026).code == 1

    def test_own_targets(self) -> None:
        """35 % of the runs are enough for one target, and not for the other."""
        verdict = march(Policy(target=0.3, rpo_target=0.5)).period_verdict
        assert [target.state for target in verdict.targets] == ["missed", "met"]
        assert verdict.sentence.endswith("of the time inside the RPO (target 50 %)")
        assert march(Policy(target=0.3)).heading == "TARGET MET, OK 1 of 1 at the end"

    def test_zone(self) -> None:
        """In Berlin, March is from 28 February 23:00 to 31 March 22:00 UTC."""
        berlin = march(Policy(report_timezone="Europe/Berlin"))
        assert str(berlin.start) == "2026-02-28 23:00:00+00:00"
        assert str(berlin.end) == "2026-03-31 22:00:00+00:00"
        assert berlin.period_name == "March 2026, Europe/Berlin"
        assert berlin.fleet.loc["rpo_strict_micro", "denominator"] == 743


class TestTargets:
    """Shares of time and of runs against their targets."""

    def test_unknown_decides(self) -> None:
        """Two unread days of a week may hide a breach, so the target is neither met nor missed."""
        polls = [poll("vc", pd.Timestamp("2026-11-07", tz="UTC")), poll("vc", error="refused")]
        week = assess(nights("vc", "sssssss"), polls, [schedule("vc")])
        assert week.period_verdict.state == "unknown"
        assert "could not be read" in week.period_verdict.sentence
        assert week.tone == "unknown"
        assert week.appliances.loc["vc", "target_state"] == "unknown"

    def test_nothing_to_judge(self) -> None:
        """Without an appliance in scope, there is no target."""
        week = assess(members=[Member(appliance="vc", exclude="retired")])
        assert week.period_verdict.targets == ()
        assert week.period_verdict.sentence == (
            "target unknown: there is nothing to judge in the period"
        )
        assert week.appliances["target_state"].isna().all()

    def test_window_and_duration(self) -> None:
        """All runs last 20 min from 01:00: too long for 10 min, and outside of 02:00-04:00."""
        frames = (
            frame(JOBS, nights("vc", "ssssssss")),
            frame(POLLS, [poll("vc")]),
            frame(SCHEDULES, [schedule("vc")]),
        )
        policy = Policy(window="02:00-04:00", duration_limit="10m", window_target=0.5)
        week = bk.evaluate_frames(*frames, policy, start=START, end=END, now=END)
        assert {target.metric: target.state for target in week.period_verdict.targets} == {
            "rpo_strict_micro": "met",
            "slot_strict_micro": "met",
            "window_micro": "missed",
            "duration_micro": "missed",
        }
        assert "0.0 % (0 of 7 jobs) of runs inside the backup window (target 50 %)" in (
            week.period_verdict.sentence
        )
        assert "window=0.000%;50:;;0;100 duration=0.000%;99:;;0;100" in check_result(week).line
        assert week.tone == "late"

    def test_change(self) -> None:
        """Each half of the week has the target of its time."""
        change = Policy(rpo_target=0.8)
        policy = Policy(rpo_target=0.6, changes={"2026-11-05T12:00:00Z": change})
        frames = (
            frame(JOBS, nights("vc", "ssssssss")),
            frame(POLLS, [poll("vc")]),
            frame(SCHEDULES, []),
        )
        week = bk.evaluate_frames(*frames, policy, start=START, end=END, now=END)
        assert week.fleet.loc["rpo_strict_micro", "target"] == pytest.approx(0.7)

    @pytest.mark.parametrize("seed", range(2))
    def test_sites(self, seed: int) -> None:
        """A site is judged as a fleet of its appliances, and appliances one by one."""
        case = random_case(random.Random(seed))  # noqa: S311 # a test case
        members = [Member(appliance=f"vc-{n}", site=f"site-{n % 2}") for n in range(5)]
        whole = bk.evaluate(
            case.known,
            Policy(members=members),
            start=case.times.start,
            end=case.times.end,
            now=case.times.now,
        )
        for site in ("site-0", "site-1"):
            own = [member for member in members if member.site == site]
            names = [member.appliance for member in own]
            jobs, polls, schedules = (
                rows[rows["appliance"].isin(names)]
                for rows in (case.known.jobs, case.known.polls, case.known.schedules)
            )
            part = HistoryView(jobs, polls, schedules)
            alone = bk.evaluate(
                part,
                Policy(members=own),
                start=case.times.start,
                end=case.times.end,
                now=case.times.now,
            )
            (row,) = whole.verdicts[whole.verdicts["name"] == site].to_dict("records")
            assert row["target_state"] == alone.period_verdict.state
            assert row["state"] == alone.verdict.state
            assert row["reason"] == alone.period_verdict.sentence
            states = alone.appliances["target_state"]
            assert_series_equal(whole.appliances.loc[states.index, "target_state"], states)

    def test_csv(self) -> None:
        """The fleet and its site have a row each."""
        lines = b"".join(stream_csv(march().verdicts)).decode().splitlines()
        assert [line.split(",")[:4] for line in lines] == [
            ["property", "name", "target_state", "state"],
            ["fleet", "", "missed", "compliant"],
            ["site", "Hamburg", "missed", "compliant"],
        ]

    def test_group_without_figures(self) -> None:
        """A site whose appliances are all excluded has no figures, and says so."""
        week = assess(
            nights("vc", "ssssssss"),
            [poll("vc")],
            [schedule("vc")],
            [Member(appliance="vc"), Member(appliance="old", site="Rome", exclude="retired")],
        )
        (row,) = week.verdicts[week.verdicts["name"] == "Rome"].to_dict("records")
        assert pd.isna(row["target_state"])
        assert (row["state"], row["excluded"]) == ("excluded", 1)
        assert "site Rome" in bk.report(week).html()


class TestReview:
    """Verdicts beside policy changes, redaction and groups out of scope."""

    def test_explorer_after_a_change(self) -> None:
        """The explorer judges each part of the period by its own targets and limits, too."""
        change = Policy(rpo="30h", target=0.5, duration_limit="10m")
        policy = Policy(rpo="24h", window="00:00-01:10", changes={"2026-11-05T12:00:00Z": change})
        source = SimpleNamespace(
            jobs=frame(JOBS, nights("vc", "sssf.sss")),
            polls=frame(POLLS, [poll("vc")]),
            schedules=frame(SCHEDULES, [schedule("vc")]),
            observations=OBSERVATIONS.empty(),
        )
        week = bk.evaluate(source, policy, start=START, end=END, now=END)
        data = ExplorerData(source, policy, now=END)
        view = FilteredView(data, Selection(start=START.isoformat(), end=END.isoformat()))
        assert len(week.period_verdict.targets) == 4
        assert view.period.verdict == week.period_verdict
        assert f"is-{week.tone}" in render_verdict_bar(view)
        assert "<strong>Failures:</strong> 1 failed job on 1 appliance" in render_verdict_bar(view)

    def test_redacted(self) -> None:
        """Words of the sentence stay, even if a site has the name of one."""
        members = [Member(appliance="vc", site="target", group="scheduled")]
        week = assess(nights("vc", "sssf.sss"), [poll("vc")], [schedule("vc")], members)
        redacted = redact(week, secret=b"x").assessment
        assert list(redacted.verdicts["reason"]) == list(week.verdicts["reason"])
        assert "target" not in set(redacted.verdicts["name"])

    def test_groups_by_severity(self) -> None:
        """A site in breach comes first, and one that is all excluded comes last."""
        week = assess(
            [*nights("vc-bad", "sssss..."), *nights("vc-good", "ssssssss")],
            [poll("vc-bad"), poll("vc-good")],
            [],
            [
                Member(appliance="vc-old", site="Athens", exclude="retired"),
                Member(appliance="vc-good", site="Berlin"),
                Member(appliance="vc-bad", site="Cairo"),
            ],
        )
        groups = summarize(week).groups
        assert [group.name for group in groups] == ["site Cairo", "site Berlin", "site Athens"]
        assert groups[2].target.label == "- No target"


class TestNeverBackedUp:
    """Appliances without any known success are on the first screen."""

    def test_grace(self) -> None:
        """An appliance in its first hours is excluded, and named all the same."""
        end = pd.Timestamp("2026-11-09", tz="UTC")
        week = assess(
            nights("vc-old", "ssssssss"),
            [poll("vc-old"), poll("vc-new", end - pd.Timedelta(hours=2)), poll("vc-new")],
            [schedule("vc-old")],
            [Member(appliance=name) for name in ("vc-old", "vc-new", "vc-gone")],
        )
        assert week.appliances.loc["vc-new", "state"] == "excluded"
        assert list(week.never_backed_up) == ["vc-new"]
        html = bk.report(week).html()
        assert "Never backed up:" in html.split('id="act"')[0]
        text = bk.report(week).message().get_body(("plain",))
        assert text is not None
        assert "Never backed up: vc-new" in text.get_content()


@pytest.mark.property
@pytest.mark.parametrize("seed", range(repeats(2, 12)))
def test_same_words(seed: int, tmp_path: Path) -> None:
    """All surfaces and the explorer have the same words, for three periods of each fleet."""
    case = random_case(random.Random(seed))  # noqa: S311 # a test case
    policy = Policy(members=case.policy.members, rpo="24h")
    known = case.known
    source = SimpleNamespace(
        jobs=known.jobs,
        polls=known.polls,
        schedules=known.schedules,
        observations=OBSERVATIONS.empty(),
    )
    data = ExplorerData(source, policy, now=case.times.now)
    for period in ({"last": "7d"}, {"month": "2026-10"}, {"last": "30d"}):
        assessment = bk.evaluate(case.known, policy, now=case.times.now, **period)  # type: ignore[arg-type] # texts
        expected = (assessment.period_verdict.state, assessment.verdict.state)
        for words in words_of(assessment, tmp_path):
            assert (words.period, words.state) == expected, words
        view = FilteredView(
            data, Selection(start=assessment.start.isoformat(), end=assessment.end.isoformat())
        )
        assert (view.period.verdict.state, view.verdict.state) == expected
        assert assessment.heading in render_verdict_bar(view)


def test_words() -> None:
    """Headings and sentences without a figure."""
    assert PeriodVerdict().heading == "TARGET UNKNOWN"
    assert Verdict(unknown=1, unobserved=2).heading == "UNKNOWN 3 of 3"
    assert PeriodVerdict(appliances=Ratio(1, 2)).state == "unknown"
