"""`frame.backup`: pictures and counts of any frame of jobs."""

import json
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import backupkit as bk
from backupkit.accessor import BackupAccessor
from backupkit.errors import TableError
from backupkit.tables import FAILURES, JOINED_JOBS

JOBS = JOINED_JOBS.frame(
    {
        "appliance": ["vc-1", "vc-1", "vc-2", "vc-2", "vc-2"],
        "job_id": list("abcde"),
        "site": ["Ham", "Ham", "Tyo", "Tyo", None],
        "outcome": ["success", "failure", "failure", "failure", "open"],
        "signature": [None, "disk full", "disk full", "no route", None],
        "size": [7, None, 1, 2, None],
        "duration": pd.Series([60, 10, 10, 10, None]).astype("timedelta64[s]"),
        "start_time": [
            "2026-11-08T23:50Z",  # a Sunday
            "2026-11-09T01:00Z",
            "2026-11-15T01:00Z",
            "2026-11-16T01:00Z",
            "2026-12-01T00:00Z",
        ],
        "end_time": [
            "2026-11-09T00:10Z",
            "2026-11-09T01:10Z",
            "2026-11-15T01:10Z",
            "2026-11-16T01:10Z",
            None,
        ],
    }
)


def widths(axes: Axes) -> list[float]:
    """Return the widths of the bars."""
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def backup(frame: pd.DataFrame = JOBS) -> BackupAccessor:
    """Return the accessor of a frame."""
    accessor: BackupAccessor = getattr(frame, "backup")  # noqa: B009 # pandas-stubs has no such name
    return accessor


class TestBy:
    """frame.backup.by."""

    def test_times_without_a_zone(self) -> None:
        """Times without a zone cannot be days of UTC: the error has the step to take."""
        naive = JOBS.assign(end_time=JOBS["end_time"].dt.tz_localize(None))
        naive["start_time"] = naive["start_time"].dt.tz_localize(None)
        with pytest.raises(TableError, match=r'by\("day"\): .* no time zone.*tz_localize\("UTC"\)'):
            backup(naive).by("day")

    def test_site_and_week(self) -> None:
        """A job counts in the week of its end, a running one in that of its start."""
        counts = backup().by("site", "week")
        assert counts.index.names == ["site", "week"]
        assert [
            ("-" if pd.isna(site) else site, week, jobs, failures)
            for (site, week), jobs, failures in counts[["jobs", "failures"]].itertuples()
        ] == [
            ("Ham", "2026-11-09", 2, 1),
            ("Tyo", "2026-11-09", 1, 1),
            ("Tyo", "2026-11-16", 1, 1),
            ("-", "2026-11-30", 1, 0),
        ]

    def test_figures(self) -> None:
        """Share, size and duration are missing where nothing is known."""
        counts = backup().by("appliance")
        assert counts["success_share"].to_list() == [0.5, 0.0]
        assert counts["size"].to_list() == [7, 3]
        assert counts["duration"].iloc[0] == pd.Timedelta(minutes=1)
        assert pd.isna(counts["duration"].iloc[1])
        running = backup(JOBS.iloc[4:]).by("appliance")
        assert running[["success_share", "size"]].isna().all(axis=None)

    @pytest.mark.parametrize(
        ("key", "texts"),
        [
            ("hour", ["00:00", "01:00"]),
            ("day", ["2026-11-09", "2026-11-15", "2026-11-16", "2026-12-01"]),
            ("month", ["2026-11", "2026-12"]),
        ],
    )
    def test_times(self, key: str, texts: list[str]) -> None:
        """Hours, days and months are texts in UTC."""
        local = JOBS.assign(
            **{name: JOBS[name].dt.tz_convert("Asia/Tokyo") for name in ("start_time", "end_time")}
        )
        assert backup(local).by(key).index.to_list() == texts

    def test_own_column(self) -> None:
        """A column of the frame is a key, also with the name of a time."""
        counts = backup(JOBS[["outcome"]].assign(week=[1, 1, 1, 2, 2])).by("week")
        assert counts.to_dict("list") == {
            "jobs": [3, 2],
            "failures": [2, 1],
            "success_share": [1 / 3, 0.0],
        }

    def test_empty(self) -> None:
        """A frame without rows has no counts."""
        assert backup(JOBS.iloc[:0]).by("site", "week").empty


class TestPictures:
    """frame.backup.timeline and frame.backup.failures."""

    def test_timeline(self) -> None:
        """The timeline has a row for each appliance, and takes the options of the plot."""
        labels = [text.get_text() for text in backup().timeline(limit=1).get_yticklabels()]
        assert labels == ["vc-2"]

    def test_failures_of_jobs(self) -> None:
        """Failed jobs are counted by their signature."""
        assert widths(backup().failures()) == [2.0, 1.0]

    def test_failures_without_a_signature(self) -> None:
        """Failures without a signature are one bar."""
        none = JOBS.assign(signature=pd.Series(None, JOBS.index, dtype="str"))
        assert widths(backup(none).failures()) == [3.0]

    def test_failures_of_patterns(self) -> None:
        """A frame of error patterns is drawn as it is."""
        patterns = FAILURES.frame({"signature": ["a"], "jobs": [4], "appliances": [2]})
        assert widths(backup(patterns).failures()) == [4.0]


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda one: one.timeline(),
            "the columns are missing: 'outcome', 'start_time', 'end_time'",
        ),
        (lambda one: one.failures(), "the columns are missing: 'outcome', 'signature'"),
        (lambda one: one.by("sight"), "the columns are missing: 'sight', 'outcome'; a.jobs"),
        (lambda one: one.by("appliance"), "the column is missing: 'outcome'"),
        (lambda one: one.by("aplliance"), 'did you mean "appliance"'),
        (lambda one: one.by(), "name at least one column or time"),
    ],
)
def test_missing_columns(call: Any, problem: str) -> None:  # noqa: ANN401 # a lambda
    """An error names the columns that a frame lacks."""
    with pytest.raises(TableError, match=problem):
        call(backup(JOBS[["appliance"]]))


@pytest.mark.parametrize(
    "code",
    [
        "import backupkit as bk; bk.evaluate",
        "import pandas, backupkit as bk; bk.Fleet",
        "import backupkit.accessor",
    ],
)
def test_registered(code: str) -> None:
    """Frames have the accessor once pandas and a name of backupkit are used, without matplotlib."""
    probe = f"{code}; import json, sys, pandas; print(json.dumps(["
    probe += "hasattr(pandas.DataFrame(), 'backup'), 'matplotlib' in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [True, False]


def test_sample() -> None:
    """The sample answers a question in one line, and its parts have names."""
    sample = bk.sample()
    history, policy, now = sample
    assert (sample.history, sample.policy, sample.now) == (history, policy, now)
    jobs = bk.evaluate(history, policy, last="30d", now=now).jobs
    assert backup(jobs[jobs["in_period"]]).by("site")["failures"].sum() == 39
