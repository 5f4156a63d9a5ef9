"""The result of each appliance, for Checkmk, Icinga and Zabbix."""

import json
import re
from typing import NamedTuple

import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Member, Policy
from backupkit.reports.monitoring import check_result
from backupkit.reports.services import (
    ApplianceResult,
    check_appliances,
    format_checkmk,
    list_discovered,
)
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import END, START, assess, frame, job, nights, poll, schedule

RANGE = r"@?(?:~|-?[\d.]+)?:?(?:-?[\d.]+)?"
PERFORMANCE = re.compile(
    r"(?:'(?P<quoted>(?:[^']|'')+)'|(?P<label>[^\s'=]+))=(?P<value>U|-?[\d.]+)"
    r"(?P<unit>s|us|ms|%|B|KB|MB|TB|c|)"
    rf"(?:;(?P<warning>{RANGE})(?:;(?P<critical>{RANGE})(?:;(?P<least>-?[\d.]*)"
    r"(?:;(?P<most>-?[\d.]*))?)?)?)?(?: |$)"
)
"""Grammar of the performance data in the guidelines for plug-ins."""
LOCAL = re.compile(
    r'(?P<code>[0123P]) "(?P<service>[^"]+)" (?P<values>-|[\w.]+=\S+(?:\|[\w.]+=\S+)*) (?P<text>.+)'
)
"""Line of a local check of Checkmk."""
VALUE = re.compile(r"[\w.]+=-?[\d.]+(?:;-?[\d.]*){0,4}")


class Service(NamedTuple):
    """A service in the output of an agent of Checkmk: the host is "" for its own."""

    host: str
    code: int
    name: str
    metrics: dict[str, str]
    text: str


def read_agent(text: str) -> list[Service]:
    """Read the output of an agent as the server does: sections, piggyback, local checks."""
    host, section, services = "", "", []
    for line in text.split("\n"):
        if found := re.fullmatch(r"<<<<([-\w.]*)>>>>", line, re.ASCII):
            host, section = found[1], ""
        elif found := re.fullmatch(r"<<<([^<>]+)>>>", line):
            section = found[1]
        else:
            assert section == "local:sep(0)"
            found = LOCAL.fullmatch(line)
            assert found, line
            items = [] if found["values"] == "-" else found["values"].split("|")
            assert all(VALUE.fullmatch(item) for item in items), line
            values = dict(item.split("=", 1) for item in items)
            services.append(
                Service(host, int(found["code"]), found["service"], values, found["text"])
            )
    return services


def by_name(assessment: Assessment) -> dict[str, ApplianceResult]:
    """Return the result of each appliance."""
    return {one.appliance: one for one in check_appliances(assessment)}


def judged(rpo: str = "22h", **rows: str) -> Assessment:
    """Evaluate appliances by their nights, with a grace of 2 hours."""
    return bk.evaluate_frames(
        frame(JOBS, [one for name, row in rows.items() for one in nights(name, row)]),
        frame(POLLS, [poll(name) for name in rows]),
        frame(SCHEDULES, [schedule(name) for name in rows]),
        Policy(members=[Member(appliance=name) for name in rows], rpo=rpo),
        start=START,
        end=END,
        now=END,
    )


class TestResult:
    """The result of an appliance."""

    def test_states(self, week: Assessment) -> None:
        """Each state has its code, and the worst appliance of the fleet line comes first."""
        results = check_appliances(week)
        codes = {"breach": {2}, "unknown": {3}, "unobserved": {3}, "excluded": {0}}
        for one in results:
            assert one.code in codes.get(one.state, {0, 1})
            assert one.state == week.appliances.loc[one.appliance, "state"]
            assert one.sentence.isprintable()
        assert {one.code for one in results} >= {0, 2, 3}
        assert results[0].code == check_result(week).code == 2

    def test_grace(self) -> None:
        """An exposure beyond the RPO but within the grace is a warning, with its numbers."""
        one = by_name(judged(a="ssssssss"))["a"]
        assert (one.code, one.status) == (1, "WARNING")
        assert one.sentence == "the newest recovery point is 23 h old (RPO 22 h), in its grace time"
        assert one.performance == "exposure=82800s;79200;86400;0 strikes=0;;;0"
        assert (one.exposure, one.rpo, one.threshold) == (82800, 79200, 86400)

    def test_open_incident(self) -> None:
        """A failure after the last success is a warning while the exposure is small."""
        one = by_name(judged("48h", a="sssssssf"))["a"]
        assert (one.code, one.strikes) == (1, 1)
        assert re.search(r"old \(RPO 48 h\), incident open since 2026-\d\d-\d\d", one.sentence)

    def test_unread_jobs(self) -> None:
        """An appliance with jobs that could not be read is a warning."""
        polls = [poll("a", jobs_unread=2)]
        one = by_name(assess(nights("a", "ssssssss"), polls, [schedule("a")]))["a"]
        assert (one.code, one.state) == (1, "compliant")
        assert one.sentence.endswith(", 2 jobs could not be read")

    def test_never_backed_up(self) -> None:
        """Without a success, the performance data have the lower bound of the exposure."""
        polls = [poll("a", END - pd.Timedelta(hours=30)), poll("a")]
        one = by_name(assess([], polls, [schedule("a")]))["a"]
        assert (one.code, one.exposure, one.exposure_at_least) == (2, None, 108000)
        assert one.performance == "exposure=108000s;86400;93600;0 strikes=0;;;0"

    def test_never_read(self) -> None:
        """An unknown value is None in the JSON, and not in the performance data."""
        [one] = check_appliances(assess(members=[Member(appliance="a", site="Hamburg")]))
        assert (one.status, one.sentence) == ("UNKNOWN", "unknown: never polled")
        values = one.to_json()
        assert (values["exposure"], values["last_success"]) == (None, None)
        assert (values["site"], values["group"]) == ("Hamburg", None)
        assert values["performance"] == "strikes=0;;;0"

    def test_performance_follows_the_guidelines(self, week: Assessment) -> None:
        """The performance data of the fleet and of each appliance follow the grammar."""
        for text in (
            check_result(week).performance,
            *(one.performance for one in check_appliances(week)),
        ):
            found = [match.groupdict() for match in PERFORMANCE.finditer(f"{text}")]
            assert "".join(match[0] for match in PERFORMANCE.finditer(text)) == text
            labels = [one["label"] or one["quoted"] for one in found]
            assert len(labels) == len(set(labels)) > 0
            assert all(len(label) <= 19 for label in labels)  # unique in RRD


class TestCheckmk:
    """The output for Checkmk."""

    def test_a_service_for_each(self, week: Assessment) -> None:
        """The fleet is a service of the host itself, each appliance one of its own host."""
        fleet, *services = read_agent(format_checkmk(week))
        assert (fleet.host, fleet.code, fleet.name) == ("", 2, "vCenter backups")
        assert fleet.metrics["breach"] == f"{week.verdict.breach};;0;0;{week.verdict.in_scope}"
        expected = check_appliances(week)
        assert [(one.host, one.code) for one in services] == [
            (one.appliance, one.code) for one in expected
        ]
        assert {one.name for one in services} == {"vCenter backup"}
        assert [one.text for one in services] == [one.sentence for one in expected]
        known = [one for one in services if "exposure" in one.metrics]
        assert 0 < len(known) < len(services)

    def test_targets_and_units_are_left_out(self) -> None:
        """A ratio has neither a unit nor a lower limit, which Checkmk does not know."""
        [fleet, _] = read_agent(format_checkmk(judged(a="ssssssss")))
        assert fleet.metrics["runs_strict"] == "100.000;;;0;100"
        assert fleet.metrics["worst_exposure"] == "82800;79200;86400;0"

    @pytest.mark.parametrize("name", ["a|b\nc", "<<<<x>>>>", 'q"\\n\x1b[31m', "ä" * 3000])
    def test_hostile_names(self, name: str) -> None:
        """No name opens a section, breaks a line or leaves its host."""
        seen = assess([job(name, 0)], [poll(name)], [schedule(name)])
        text = format_checkmk(seen)
        fleet, one = read_agent(text)
        assert one.host == re.sub(r"[^-\w.]", "_", name, flags=re.ASCII)
        assert "\\" not in text
        assert one.code == fleet.code == 2

    def test_equal_hosts(self) -> None:
        """Names that would be the same host get a suffix that does not change."""
        names = ["vc_1", "vc 1", "vc/1", "other one"]
        seen = assess([], [], [], [Member(appliance=name) for name in names])
        hosts = {one.host for one in read_agent(format_checkmk(seen)) if one.host}
        assert len(hosts) == 4
        assert {"vc_1", "other_one"} < hosts
        assert all(re.fullmatch(r"vc_1_[0-9a-f]{6}", one) for one in hosts - {"vc_1", "other_one"})


class TestZabbix:
    """The output for Zabbix."""

    def test_macros_and_values(self, week: Assessment) -> None:
        """Each object has the macros as texts, and only values that are known."""
        rows = json.loads(json.dumps(list_discovered(check_appliances(week))))
        assert [one["{#APPLIANCE}"] for one in rows] == list(week.appliances.index)
        for one in rows:
            macros = [value for key, value in one.items() if re.fullmatch(r"\{#[A-Z]+\}", key)]
            assert len(macros) == 3
            assert all(isinstance(value, str) for value in macros)
            assert None not in one.values()
        # as the item prototype $.appliances[?(@.appliance=="vc-off")].code.first()
        [code] = [one["code"] for one in rows if one["appliance"] == "vc-off"]
        assert code == by_name(week)["vc-off"].code
