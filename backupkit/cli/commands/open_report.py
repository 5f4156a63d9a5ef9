"""Command ``backupkit open``: the newest report, in the browser."""

import webbrowser
from pathlib import Path
from typing import Annotated, Final

import typer

from backupkit.cli.options import echo
from backupkit.errors import OutputError, SettingsError

__all__ = ["open_"]

_GENERATOR: Final = b'<meta name="generator" content="backupkit">'
_HEAD: Final = 4_096  # bytes; the mark is near the start


def open_(
    place: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="A report, or the folder to search for one.")
    ] = Path(),
) -> None:
    """Open the newest report of a folder in the browser, and print its path.

    A report is an HTML file that backupkit wrote, whatever its name. Folders below are not
    searched.
    """
    path = _find_newest_report(place).resolve()
    echo(f"{path}")
    if not webbrowser.open(path.as_uri()):
        raise OutputError(f"No browser was found. Open {path} yourself, or set BROWSER.")


def _find_newest_report(place: Path) -> Path:
    """Return the newest report in a folder, or the file itself."""
    try:
        if place.is_dir():
            reports = [file for file in sorted(place.glob("*.html")) if _is_readable_report(file)]
        else:
            reports = [place] if _is_report(place) else []
        if reports:
            return max(reports, key=lambda file: file.stat().st_mtime_ns)
    except OSError as error:
        raise SettingsError(f"{place}: cannot be read: {error.strerror}.") from error
    where = f"The folder {place.resolve()} has" if place.is_dir() else f"{place} is"
    raise SettingsError(
        f"{where} no report of backupkit. Write one with: backupkit report, or name its folder, "
        "for example: backupkit open demo"
    )


def _is_readable_report(file: Path) -> bool:
    """Return whether a file is a report; one that cannot be read must not hide the others."""
    try:
        return _is_report(file)
    except OSError:
        return False


def _is_report(file: Path) -> bool:
    with file.open("rb") as content:
        return _GENERATOR in content.read(_HEAD)
