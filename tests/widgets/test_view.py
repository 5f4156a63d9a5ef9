"""A view of a selection equals the assessment of that part alone."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit import evaluate
from backupkit.analysis import exposure_at
from backupkit.assessment import describe_causes, find_coming_breach
from backupkit.errors import SettingsError
from backupkit.tables import ASSESSED_JOBS
from backupkit.widgets import Selection
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.view import FilteredView
from backupkit.widgets.view_html import render_verdict_bar
from tests.conftest import repeats

HOUR = pd.Timedelta(hours=1)
LAST_HOUR = 90 * 24 - 1
"""The sample history's oldest hour that the tests look at."""


def agree(known: ExplorerData, selection: Selection) -> None:
    """Check a view against the assessment of its appliances over its period."""
    view = FilteredView(known, selection)
    alone = known.assess(tuple(view.states.index), view.start, view.end)
    assert view.verdict == alone.verdict
    assert view.states.to_dict() == alone.appliances["state"].to_dict()
    for metric, share in view.period.ratios.items():
        expected = alone.fleet.loc[[metric], ["numerator", "denominator"]].to_numpy("float64")
        assert [share.numerator, share.denominator] == pytest.approx(expected[0])
    owners = alone.failure_counts["appliance"].nunique()
    assert view.coming_breaches.to_dict() == find_coming_breach(alone).to_dict()
    assert view.causes == describe_causes(alone.failures, appliances=owners)
    assert view.period.verdict.sentence == alone.period_verdict.sentence
    assert view.period.verdict.appliances == alone.period_verdict.appliances
    shares = ["rpo_strict", "slot_strict"]
    amounts, rows = view.period.amounts, alone.appliances.loc[view.period.amounts.index]
    own = {
        "rpo_strict": amounts["compliant"] / amounts["in_scope"],
        "slot_strict": amounts["completed"] / amounts["counted"],
    }
    pd.testing.assert_frame_equal(pd.DataFrame(own), rows[shares].astype("float64"))
    points = view.recovery_points(amounts.index)
    ages = exposure_at(points, at=view.end, appliances=amounts.index)
    pd.testing.assert_series_equal(ages, rows["exposure"])
    pd.testing.assert_frame_equal(view.failures, alone.failures)
    pd.testing.assert_frame_equal(view.failure_parts, alone.failures_by("appliance"))
    started = alone.jobs["start_time"].between(view.start, view.end, inclusive="left")
    keys = ["appliance", "job_id"]
    assert {*view.jobs[keys].itertuples(index=False)} == {
        *alone.jobs.loc[started, keys].itertuples(index=False)
    }
    assert view.slots_of(view.states.index)["state"].value_counts().to_dict() == (
        alone.slots["state"].value_counts().to_dict()
    )
    same = view.period.intervals.sort_values(["appliance", "start"], ignore_index=True)
    pd.testing.assert_frame_equal(
        same, alone.intervals.sort_values(["appliance", "start"], ignore_index=True)
    )


class TestSameAsAssessmentOfPart:
    """A part of the full assessment equals the assessment of the part."""

    @pytest.mark.parametrize(
        "selection",
        [
            Selection(),
            Selection(last="24h"),
            Selection(last="90d"),
            Selection(last="120d"),
            Selection(start="2026-10-01T00:00:00Z", end="2026-11-01T12:00:00Z"),
            Selection(appliances=("vc-tyo-02",)),
            Selection(sites=("Hamburg", "Tokyo"), last="7d"),
            Selection(groups=("edge",)),
            Selection(states=("breach", "unknown")),
            Selection(sites=("Tokyo",), groups=("edge",), states=("excluded",)),
        ],
    )
    def test_same_figures(self, sample: ExplorerData, selection: Selection) -> None:
        """Verdict, states, ratios, failures, jobs, runs and intervals are the same."""
        agree(sample, selection)

    @pytest.mark.property
    @settings(max_examples=repeats(5, 50))
    @given(data=st.data())
    def test_any_part(self, sample: ExplorerData, data: st.DataObject) -> None:
        """Any appliances and any period agree."""
        names = data.draw(st.lists(st.sampled_from(sample.names), min_size=1, unique=True))
        ago = data.draw(st.integers(1, LAST_HOUR))
        end = data.draw(st.integers(0, ago - 1))
        agree(
            sample,
            Selection(
                appliances=tuple(names), start=sample.now - HOUR * ago, end=sample.now - HOUR * end
            ),
        )


class TestJobs:
    """Selection of jobs."""

    @pytest.mark.parametrize(
        ("selection", "column", "values"),
        [
            (Selection(outcomes=("failure", "open")), "outcome", ["failure", "open"]),
            (Selection(types=("MANUAL",)), "type", ["MANUAL"]),
            (
                Selection(appliances=("vc-ham-01", "vc-ham-02")),
                "appliance",
                ["vc-ham-01", "vc-ham-02"],
            ),
        ],
    )
    def test_chosen_by_a_column(
        self, sample: ExplorerData, selection: Selection, column: str, values: list[str]
    ) -> None:
        """Exactly the jobs with one of the values are selected."""
        every = FilteredView(sample, Selection()).jobs
        shown = FilteredView(sample, selection).jobs
        expected = every[every[column].isin(values)].reset_index(drop=True)
        assert 0 < len(expected) < len(every)
        pd.testing.assert_frame_equal(shown, expected)

    def test_chosen_by_signature(self, sample: ExplorerData) -> None:
        """A signature selects its jobs and only the appliances that have some."""
        everything = FilteredView(sample, Selection())
        wanted = everything.failures["signature"].iloc[0]
        view = FilteredView(sample, Selection(signatures=(wanted,)))
        assert set(view.jobs["signature"]) == {wanted}
        assert list(view.failures["signature"]) == [wanted]
        assert set(view.drawn_states.index) == set(view.jobs["appliance"])
        assert len(everything.drawn_states) == len(sample.names)

    def test_an_unknown_signature(self, sample: ExplorerData) -> None:
        """An unknown signature selects nothing."""
        view = FilteredView(sample, Selection(signatures=("no such failure",)))
        assert view.jobs.empty
        assert view.failures.empty
        assert view.drawn_states.empty

    @pytest.mark.parametrize("text", ["TYO-02", "manual", "SFTP://", "Failed", "0-2432", "no such"])
    def test_chosen_by_text(self, sample: ExplorerData, text: str) -> None:
        """Search finds a text in name, id, type, location, pattern and messages, in any case."""
        every = FilteredView(sample, Selection(last="90d")).jobs
        found = FilteredView(sample, Selection(last="90d", text=text)).jobs
        expected = [
            any(text.casefold() in str(value).casefold() for value in list_texts(row))
            for row in every.to_dict("records")
        ]
        assert found["job_id"].tolist() == every.loc[expected, "job_id"].tolist()
        assert any(expected) == (text != "no such")

    def test_newest_first(self, sample: ExplorerData) -> None:
        """The newest job comes first, and the frame follows its table."""
        jobs = FilteredView(sample, Selection(last="90d")).jobs
        assert jobs["start_time"].is_monotonic_decreasing
        ASSESSED_JOBS.check(jobs)

    def test_what_figures_need(self, sample: ExplorerData) -> None:
        """The reduced frame has the same values as the full one."""
        view = FilteredView(sample, Selection())
        labels = ("appliance", "outcome", "signature", "target")
        slim, full = view.plot_frame(view.positions, *labels), view.jobs
        for name in ("appliance", "outcome", "signature"):
            assert slim[name].astype("str").fillna("").tolist() == full[name].fillna("").tolist()
        pd.testing.assert_series_equal(slim["duration"], full["duration"], check_dtype=False)
        skew = view.index.assessment.coverage["clock_skew"].reindex(full["appliance"])
        fast = (skew.abs() > pd.Timedelta(minutes=5)).to_numpy()
        assert fast.any()
        for name in ("start_time", "end_time"):  # corrected for clock skew, like the expected runs
            moved = full[name] - skew.where(fast, pd.Timedelta(0)).to_numpy()
            pd.testing.assert_series_equal(slim[name], moved, check_dtype=False, check_names=False)
        assert slim["target"].astype("str").str.startswith("sftp://").any()


class TestAppliances:
    """States of appliances."""

    def test_shares_of_one(self, sample: ExplorerData) -> None:
        """An appliance's own times and runs are those of its row in the assessment."""
        view = FilteredView(sample, Selection())
        row, own = evaluate_row(sample, "vc-ham-03"), view.period.amounts.loc["vc-ham-03"]
        assert own["compliant"] == pytest.approx(row["compliant"] / HOUR)
        assert own["completed"] == sum(
            row[f"slots_{state}"] for state in ("met", "rescued", "late")
        )
        assert own["compliant"] / own["in_scope"] == pytest.approx(row["rpo_strict"])
        assert own["completed"] / own["counted"] == pytest.approx(row["slot_strict"])
        assert view.is_all
        assert not FilteredView(sample, Selection(appliances=("vc-ham-03",))).is_all

    def test_after_another_view(self, sample: ExplorerData) -> None:
        """Figures of the view before are kept for the same appliances and period alone."""
        first = FilteredView(sample, Selection())
        failed = FilteredView(sample, Selection(outcomes=("failure",)), previous=first)
        assert failed.period is first.period
        assert set(failed.jobs["outcome"]) == {"failure"}
        for other in (Selection(last="7d"), Selection(sites=("Tokyo",))):
            view = FilteredView(sample, other, previous=first)
            alone = FilteredView(sample, other)
            assert view.period.verdict == alone.period.verdict
            pd.testing.assert_frame_equal(view.period.amounts, alone.period.amounts)

    def test_unknown_period(self, sample: ExplorerData) -> None:
        """An invalid period is an error."""
        with pytest.raises(SettingsError, match="soon"):
            FilteredView(sample, Selection(last="soon"))


def list_texts(row: Mapping[Hashable, Any]) -> Iterator[Any]:
    """Iterate over the texts of a job that the search looks at."""
    for name in ("appliance", "job_id", "type", "location", "signature"):
        yield "" if pd.isna(row[name]) else row[name]
    for message in row["messages"]:
        for name in ("id", "default_message", "localized"):
            yield message[name] or ""


def evaluate_row(known: ExplorerData, name: str) -> pd.Series:
    """Return an appliance's row of the assessment of the last 30 days."""
    a = evaluate(known._frames, known.policy, last="30d", now=known.now)
    return a.appliances.loc[[name]].iloc[0]


def test_breaches_to_come(sample: ExplorerData) -> None:
    """The verdict names breaches that will begin soon, of what is selected and not in the past."""
    soon = "<strong>Soon:</strong>"
    html = render_verdict_bar(FilteredView(sample, Selection()))
    assert f"{soon} 1 compliant appliance will be in breach within a day unless" in html
    assert "vc-nyc-02 in 10 h 29 min." in html
    others = FilteredView(sample, Selection(appliances=("vc-nyc-01", "vc-ham-01")))
    assert soon not in render_verdict_bar(others)
    past = FilteredView(sample, Selection(end="2026-11-20T00:00:00Z"))
    assert soon not in render_verdict_bar(past)
