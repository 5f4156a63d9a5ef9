"""Files of the reports in a folder: one report for each day, and only the newest days."""

import re
from pathlib import Path
from typing import Final

from backupkit.assessment import Assessment
from backupkit.errors import OutputError

__all__ = ["create_folder", "find_daily_path", "is_mailed", "mark_mailed", "remove_old_reports"]

_NAME: Final = re.compile(
    r"report-(?P<day>\d{4}-\d{2}-\d{2})\.(?:\w+\.)?(?:html|json|csv|mailed)(?:\.gz)?"
)


def find_daily_path(folder: Path, assessment: Assessment) -> Path:
    """Return the path of the report of a day, which replaces an earlier one of the same day.

    The day is that of the assessment's `now`, in the time zone of its period.
    """
    day = assessment.now.tz_convert(assessment.timezone)
    return folder / f"report-{day:%Y-%m-%d}.html"


def create_folder(folder: Path) -> None:
    """Create the folder of the reports, if it is missing.

    Raises
    ------
    OutputError
        If it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _build_error(folder, error) from error


def is_mailed(report: Path) -> bool:
    """Return whether a report of the same day was mailed."""
    return report.with_suffix(".mailed").exists()


def mark_mailed(report: Path) -> None:
    """Remember that a report of this day was mailed.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    create_folder(report.parent)
    try:
        report.with_suffix(".mailed").touch()
    except OSError as error:
        raise _build_error(report.parent, error) from error


def remove_old_reports(folder: Path, keep: int) -> int:
    """Remove the reports of all days but the newest; other files stay.

    Parameters
    ----------
    folder : Path
        Folder of the reports.
    keep : int
        Number of days to keep.

    Returns
    -------
    int
        Number of removed files.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    try:
        found = [
            (matched["day"], path)
            for path in folder.iterdir()
            if (matched := _NAME.fullmatch(path.name))
        ]
        kept = sorted({day for day, _ in found})[-keep:]
        old = [path for day, path in found if day not in kept]
        for path in old:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _build_error(folder, error) from error
    return len(old)


def _build_error(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot change files in {folder}: {error.strerror or error}. Check that you may write to "
        "this folder."
    )
