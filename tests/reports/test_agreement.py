"""Page, mail, files, metrics and exit code agree on every assessment."""

import re
from collections import Counter
from html import unescape
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Member, Policy
from backupkit.reports.mail import compose_mail
from backupkit.reports.monitoring import check_result
from backupkit.reports.openmetrics import openmetrics
from backupkit.reports.period import select_period_jobs
from backupkit.tables import JOBS, POLLS, SCHEDULES, SLOT_STATES, STATES
from tests.builders import END, START, frame, nights, poll, schedule
from tests.conftest import repeats
from tests.exported import parse_csv, parse_json

WORDS = {"breach": "BREACH", "unknown": "UNKNOWN", "compliant": "OK"}
CODES = {"breach": {2}, "unknown": {3}, "compliant": {0, 1}}


@st.composite
def assessments(draw: st.DrawFn) -> Assessment:
    """Draw assessments of a few appliances, with jobs, polls and exclusions."""
    names = [f"vc-{place}" for place in range(draw(st.integers(0, 5)))]
    jobs, polls, plans, members = [], [], [], []
    for name in names:
        jobs += nights(name, draw(st.text("sssf.o", min_size=4, max_size=8)))
        match draw(st.sampled_from(["read", "read", "read", "failed", "never"])):
            case "read":
                polls.append(poll(name))
            case "failed":
                polls += [poll(name, END - pd.Timedelta(days=2)), poll(name, END, "unreachable")]
        if draw(st.booleans()):
            plans.append(schedule(name))
        gone = draw(st.sampled_from([None, None, None, "being retired"]))
        members.append(Member(appliance=name, site=draw(st.sampled_from("ab")), exclude=gone))
    policy = Policy(
        members=members,
        rpo=draw(st.sampled_from(["12h", "24h", "4d"])),
        target=draw(st.sampled_from([0.5, 0.99])),
    )
    frames = frame(JOBS, jobs), frame(POLLS, polls), frame(SCHEDULES, plans)
    return bk.evaluate_frames(*frames, policy, start=START, end=END, now=END)


def samples_of(assessment: Assessment, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one metric, by the values of its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(openmetrics(assessment))  # type: ignore[no-untyped-call] # it says no types
        for sample in family.samples
        if sample.name == f"backupkit_{name}"
    }


def count_values(document: dict[str, Any], table: str, column: str) -> Counter[str]:
    """Count the values of a column of the JSON document."""
    return Counter(row[column] for row in document[table])


@pytest.mark.property
@settings(max_examples=repeats(5, 50))
@given(assessments())
def test_all_forms_agree(a: Assessment) -> None:
    """Verdict, counts and sums are the same in all forms."""
    verdict, states = a.verdict, Counter(a.appliances["state"])
    assert {state: getattr(verdict, state) for state in STATES} == {
        state: states[state] for state in STATES
    }
    document = parse_json(a)
    assert document["verdict"]["state"] == verdict.state
    assert count_values(document, "appliances", "state") == states

    report = bk.report(a)
    page = report.html()
    shown = re.search(r"<title>(.*?)</title>", page)
    assert shown is not None
    assert unescape(shown[1]) == report.title
    target = a.period_verdict.state.upper()
    assert report.title.startswith(f"TARGET {target}, {WORDS[verdict.state]} ")
    assert verdict.sentence in unescape(page)

    mail = compose_mail(a)
    tag = re.match(rf"\[TARGET {target} \| (OK|BREACH (\d+)|UNKNOWN)", str(mail["Subject"]))
    assert tag is not None
    assert tag[1].startswith(WORDS[verdict.state])
    assert int(tag[2] or 0) == verdict.breach
    assert mail["X-Backupkit-State"] == verdict.state

    check = check_result(a)
    assert check.code in CODES[verdict.state]
    for state in STATES:
        assert f" {state}={getattr(verdict, state)};" in check.line

    assert samples_of(a, "verdict") == {(state,): float(state == verdict.state) for state in WORDS}
    assert samples_of(a, "appliances") == {(state,): states[state] for state in STATES}
    assert Counter(samples_of(a, "fleet_numerator").values()) == Counter(
        a.fleet["numerator"].dropna()
    )


@pytest.mark.property
@settings(max_examples=repeats(5, 50))
@given(assessments())
def test_sums_of_the_rows(a: Assessment) -> None:
    """The rows of the CSV files add up to the figures of each appliance and the fleet."""
    slots, jobs = parse_csv(a.slots), parse_csv(select_period_jobs(a))
    counts = Counter((row["appliance"], row["state"]) for row in slots)
    for name, row in zip(
        map(str, a.appliances.index), a.appliances.to_dict("records"), strict=True
    ):
        figures = {state: row[f"slots_{state}"] for state in SLOT_STATES}
        assert figures == {state: counts[name, state] for state in SLOT_STATES}
    begin, end = (f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}" for moment in (a.start, a.end))
    ended = Counter(
        (row["appliance"], row["outcome"]) for row in jobs if begin <= row["end_time"] < end
    )
    judged = a.appliances[a.appliances["state"] != "excluded"]
    for name, row in zip(map(str, judged.index), judged.to_dict("records"), strict=True):
        assert row["attempts_ok"] == ended[name, "success"]
        assert row["attempts"] - row["attempts_ok"] == ended[name, "failure"]
    inside = {one.appliance for one in a.policy.members if one.exclude is None}
    failed = sum(ended[name, "failure"] for name in inside)  # an excluded appliance does not count
    assert a.failures["jobs"].sum() == failed
    document = parse_json(a)
    assert len(document["slots"]) == len(slots)
    assert len(document["jobs"]) == len(jobs)
