"""The monitoring line: exit code, text and performance data."""

import dataclasses
import re

import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Member, Policy
from backupkit.reports.monitoring import check_result
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import END, START, assess, frame, job, nights, poll, schedule

ITEM = re.compile(
    r"(?P<label>[a-z_]+)=(?P<value>U|-?[\d.]+)(?P<unit>%|s)?"
    r"(?:;(?P<warning>[\d.:]*);(?P<critical>[\d.:]*)(?:;(?P<least>\d+)(?:;(?P<most>\d+))?)?)"
)


def data_of(line: str) -> dict[str, dict[str, str | None]]:
    """Return performance data, parsed as the guidelines define it."""
    _, bar, text = line.partition(" | ")
    assert bar
    found = [ITEM.fullmatch(part) for part in text.split(" ")]
    assert all(found), text
    return {one["label"]: one.groupdict() for one in found if one}


def judged(*rows: str, target: float = 0.5, **policy: str) -> Assessment:
    """Evaluate some appliances by their nights, beginning with the night before the period."""
    names = [f"vc-{place}" for place in range(len(rows))]
    jobs = [one for name, row in zip(names, rows, strict=True) for one in nights(name, row)]
    return bk.evaluate_frames(
        frame(JOBS, jobs),
        frame(POLLS, [poll(name) for name in names]),
        frame(SCHEDULES, [schedule(name) for name in names]),
        Policy(members=[Member(appliance=name) for name in names], target=target, **policy),  # type: ignore[arg-type] # durations
        start=START,
        end=END,
        now=END,
    )


class TestCode:
    """OK, WARNING, CRITICAL, UNKNOWN."""

    def test_ok(self) -> None:
        """A compliant fleet above its target is OK, and no appliance is named."""
        result = check_result(judged("ssssssss", "ssssssss", target=1.0))
        assert (result.code, result.status) == (0, "OK")
        assert result.line.startswith("OK: all 2 in scope are inside their RPO; target met | ")

    def test_in_grace(self) -> None:
        """An exposure beyond the RPO but within the grace is a warning."""
        result = check_result(judged("ssssssss", rpo="22h"))
        assert result.code == 1
        assert "1 at risk" in result.sentence
        assert result.sentence.endswith("(vc-0); target met")
        assert data_of(result.line)["worst_exposure"] == {
            "label": "worst_exposure",
            "value": "82800",
            "unit": "s",
            "warning": "79200",
            "critical": "86400",
            "least": "0",
            "most": None,
        }

    def test_failed_since(self) -> None:
        """A failure since the last success is a warning while the exposure is small."""
        result = check_result(judged("sssssssf", "ssssssss", rpo="48h"))
        assert result.code == 1
        assert "1 at risk" in result.sentence
        assert data_of(result.line)["at_risk"]["value"] == "1"

    def test_below_target(self) -> None:
        """A period below the target is a warning even if all are compliant at its end."""
        result = check_result(judged("sss..sss", target=0.9))
        assert result.code == 1
        assert "at risk" not in result.sentence
        assert "71.4 % (5 of 7 runs) of scheduled backups completed" in result.sentence
        assert "of the time inside the RPO" in result.sentence
        assert data_of(result.line)["runs_strict"]["warning"] == "90:"

    def test_breach_before_unknown(self, week: Assessment) -> None:
        """A breach is CRITICAL in any case; at most five of the worst are named."""
        result = check_result(week)
        assert (result.code, result.status) == (2, "CRITICAL")
        assert re.search(
            r"\(vc-off, vc-silent, .* and 1 more\); vc-off is in breach since "
            r"2026-11-05 03:00 UTC, exposure 4 d 23 h; target missed: ",
            result.sentence,
        )

    def test_never_backed_up(self) -> None:
        """An appliance that was never backed up is the worst, by the time it is known for."""
        result = check_result(judged("sssss...", "ffffffff"))
        assert (
            "(vc-1, vc-0); vc-1 is in breach since 2026-11-02 03:00 UTC, never backed up, exposure "
            "over 7 d 23 h; target missed"
        ) in result.sentence
        worst = data_of(result.line)["worst_exposure"]
        assert (worst["value"], worst["critical"]) == (str(191 * 3600), str(26 * 3600))

    def test_others_that_were_never_backed_up(self) -> None:
        """All that were never backed up are named, up to five beside the worst one."""
        several = check_result(judged(*["ffffffff"] * 7)).sentence
        assert "; never backed up too: vc-1, vc-2, vc-3, vc-4, vc-5 and 1 more; target" in several
        beside = check_result(judged("s..........", "...fffff")).sentence
        assert "vc-0 is in breach since 2026-11-02 03:00 UTC, exposure 7 d 23 h;" in beside
        assert "; never backed up: vc-1; target missed" in beside

    def test_unknown(self) -> None:
        """Unread appliances, or none in scope, are UNKNOWN."""
        assert check_result(assess()).code == 3
        unread = check_result(assess(members=[Member(appliance="vc-never")]))
        assert unread.code == 3
        assert "(vc-never)" in unread.sentence
        data = data_of(unread.line)
        assert data["rpo_strict"]["value"] != "100"
        assert data["runs_strict"]["value"] == "U"
        assert "worst_exposure" not in data


class TestLine:
    """The format of the line."""

    def test_parts_add_up(self, week: Assessment) -> None:
        """The counts are those of the verdict."""
        data = data_of(check_result(week).line)
        states = ("breach", "unknown", "compliant", "excluded", "unobserved")
        for state in states:
            assert data[state]["value"] == str(getattr(week.verdict, state))
        assert data["breach"]["most"] == str(week.verdict.in_scope)

    @pytest.mark.parametrize("name", ["a|b\nc", "x\x1b[31m" + "y" * 4000, "ab\u202ecd"])
    def test_hostile_names(self, name: str) -> None:
        """No name breaks the line, the performance data or the limit of length."""
        seen = assess([job(name, 0)], [poll(name)], [schedule(name)])
        line = check_result(seen).line
        assert line.count("|") == 1
        assert line.isprintable()
        assert len(line) <= 1000
        assert data_of(line)["breach"]["value"] == "1"

    def test_a_long_sentence_is_cut(self, week: Assessment) -> None:
        """A long text is cut, the performance data are not."""
        result = dataclasses.replace(check_result(week), sentence="x" * 5000)
        assert len(result.line) == 1000
        assert result.line.endswith(f"… | {result.performance}")

    def test_without_exposure(self) -> None:
        """Without an exposure there is none in the performance data."""
        quiet = assess([], [poll("a", END - pd.Timedelta(days=1)), poll("a")], [schedule("a")])
        assert "worst_exposure" not in data_of(check_result(quiet).line)
