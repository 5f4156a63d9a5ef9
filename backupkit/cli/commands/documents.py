"""Report as one document, instead of a page with data files: to stdout or to a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backupkit.cli.options import echo, echo_document
from backupkit.errors import SettingsError
from backupkit.texts import escape_controls

if TYPE_CHECKING:
    import backupkit as bk

__all__ = ["is_one_document", "write_one_document"]

STDOUT: Final = "-"


def is_one_document(
    kind: str, out: str | None, page_options: Mapping[str, bool], *, as_json: bool
) -> bool:
    """Return whether one document is to be written; raise if an option needs the page in a file."""
    if kind == "html" and out != STDOUT:
        return False
    if given := [name for name, value in page_options.items() if value]:
        raise SettingsError(f"{given[0]} needs --format html and a file, as --out report.html.")
    if as_json:
        raise SettingsError(
            "--json lists the files of the report, and none is written; --format json prints its "
            "data."
        )
    return True


def write_one_document(document: "bk.Report", kind: str, out: str | None) -> None:
    """Write a report as html, text, markdown or json to a file, or to stdout."""
    from backupkit.reports.files import write_files  # noqa: PLC0415 # keeps --help fast

    render = {
        "html": document.html,
        "text": document.to_text,
        "markdown": document.to_markdown,
        "json": document.to_json,
    }[kind]
    text = escape_controls(render()) if kind == "json" else render()
    if out is None or out == STDOUT:
        echo_document(text)
    else:
        (path,) = write_files({Path(out): text.encode()})
        echo(f"Report: {path}")
