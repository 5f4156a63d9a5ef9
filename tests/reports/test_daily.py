"""Files of a folder of daily reports."""

from pathlib import Path

import pandas as pd
import pytest

from backupkit.assessment import evaluate_frames
from backupkit.errors import OutputError
from backupkit.policy import Policy
from backupkit.reports.daily import (
    create_folder,
    find_daily_path,
    is_mailed,
    mark_mailed,
    remove_old_reports,
)
from backupkit.tables import JOBS, POLLS, SCHEDULES


def test_day(tmp_path: Path) -> None:
    """The day is that of the report's time zone."""
    policy = Policy(report_timezone="Europe/Berlin")
    end = pd.Timestamp("2026-11-08T23:30:00Z")
    start = end - pd.Timedelta(days=7)
    frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    a = evaluate_frames(*frames, policy, start=start, end=end, now=end)
    assert find_daily_path(tmp_path, a) == tmp_path / "report-2026-11-09.html"


def test_newest_days_stay(tmp_path: Path) -> None:
    """Reports of old days are removed with all their files; other files stay."""
    endings = ("html", "json", "csv", "jobs.csv.gz", "json.gz", "mailed")
    for day in ("2026-10-30", "2026-11-01", "2026-11-02"):
        for ending in endings:
            (tmp_path / f"report-{day}.{ending}").touch()
    others = ("report.html", "report-2026-01-01.txt", "my-report-2026-01-01.html")
    for name in others:
        (tmp_path / name).touch()
    assert remove_old_reports(tmp_path, 2) == len(endings)
    assert remove_old_reports(tmp_path, 2) == 0
    left = {path.name for path in tmp_path.iterdir()}
    days = {name[7:17] for name in left - set(others)}
    assert days == {"2026-11-01", "2026-11-02"}
    assert left >= set(others)


def test_mark(tmp_path: Path) -> None:
    """The mark of a mail belongs to one day."""
    first, second = (tmp_path / "new" / f"report-2026-11-0{day}.html" for day in (1, 2))
    assert not is_mailed(first)
    mark_mailed(first)
    assert (is_mailed(first), is_mailed(second)) == (True, False)


def test_errors(tmp_path: Path) -> None:
    """A folder that cannot be used is an error that names it."""
    file = tmp_path / "file"
    file.touch()
    for action in (
        lambda: create_folder(file / "reports"),
        lambda: remove_old_reports(file, 1),
        lambda: mark_mailed(tmp_path / f"{'x' * 300}.html"),
    ):
        with pytest.raises(OutputError, match="Check that you may write to this folder"):
            action()
