"""Commands ``backupkit history``: maintenance of a history."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

import backupkit as bk
from backupkit.cli.commands.importing import (
    check_options,
    echo_added,
    format_count,
    format_row_counts,
    import_snapshot,
    is_job_file,
    open_known,
)
from backupkit.cli.options import (
    HISTORY,
    AsJson,
    HistoryOption,
    echo,
    print_json,
)
from backupkit.errors import SettingsError

__all__ = ["history"]

_DIGITS: Final = 64

history = typer.Typer(
    name="history",
    help="Maintain a history: info, verify, backup, export, import, prune, forget.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@history.command()
def info(history: HistoryOption = HISTORY, *, as_json: AsJson = False) -> None:
    """Show counts, times and size of a history, and its head digest."""
    store = bk.History(history, create=False)
    if as_json:
        print_json(store.info(), default=lambda time: time.isoformat())
    else:
        facts = store.facts()
        width = max(map(len, facts))
        for name, value in facts.items():
            echo(f"{name:{width}}  {value}")


@history.command()
def verify(
    history: HistoryOption = HISTORY,
    *,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Digest in a report: check that the history still contains exactly that past.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Recompute all digests and jobs; exit code 1 if any differs.

    It runs the integrity check of the database, and checks that each append has its rows, that no
    append is missing, and that the jobs follow from the observations.
    """
    store = bk.History(history, create=False)
    expected_head = None if head is None else _parse_digest(head)
    problems = store.verify(head=expected_head)
    newest = store.head if problems.empty else None
    if as_json:
        print_json({"head": newest, "problems": problems.to_dict("records")})
    elif problems.empty:
        echo(f"{history}: no problems. Head: {newest or 'none, it is empty'}")
        if expected_head is not None:
            echo(f"It contains exactly the past of digest {expected_head}")
    else:
        for row in problems.to_dict("records"):
            echo(f"{row['what']}: {row['problem']}")
        echo(
            f"{history}: {format_count(len(problems), 'problem')}. Compare it with a "
            "backup, or collect again into a new history what the appliances still list.",
            err=True,
        )
    return 0 if problems.empty else 1


def _parse_digest(text: str) -> str:
    digest = text.strip().lower()
    if len(digest) != _DIGITS or not set(digest) <= set("0123456789abcdef"):
        raise SettingsError(
            f'--head: "{text}" is not a digest of {_DIGITS} hexadecimal digits. A report shows '
            "its digest in the section Method, and in data_version of its .json file."
        )
    return digest


@history.command()
def backup(
    *,
    history: HistoryOption = HISTORY,
    target: Annotated[str, typer.Argument(metavar="FILE", help="New file.")],
) -> None:
    """Copy the history to a new file; other processes may append meanwhile."""
    echo(f"{bk.History(history, create=False).backup(target)}")


@history.command()
def export(
    *,
    history: HistoryOption = HISTORY,
    out: Annotated[
        str, typer.Option(metavar="DIR|URL", help="New folder; for parquet also a URL.")
    ],
    kind: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="File format.")
    ] = "parquet",
) -> None:
    """Write jobs, observations, polls and schedules for other programs.

    Parquet is partitioned by month.
    """
    for path in bk.History(history, create=False).export(out, kind=kind):
        echo(f"{path}")


@history.command("import")
def import_(  # one parameter per option
    *,
    history: HistoryOption = HISTORY,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Another history (file or URL), a Parquet export (folder or URL), a folder of "
            "saved answers of the API, or files of jobs (.csv, .json, .zip).",
        ),
    ],
    observed_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time of the files or saved answers, such as 2026-11-09T06:00:00Z, unless they "
            "are in a folder named by a time.  [default: modification time of each file]",
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAME=HEADING,...",
            help="Other headings of CSV columns, such as appliance=VM,start_time=Started.",
        ),
    ] = "",
    appliance: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Appliance of all jobs in the files."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Zone of times in CSV files that state none."),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="The files have all jobs of their appliances, which then count as read.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be read, and store nothing.")
    ] = False,
) -> int:
    """Import another history, saved answers of the API, or files of jobs.

    A second import adds nothing. Saved answers are JSON responses of /api or /rest, as curl writes
    them. Each appliance has a folder, named as in fleet.toml. In it vc-1/job.json is the job list;
    job details, single jobs, schedules, version and time zone may have any name. A folder named by
    a time, such as vc-1/20261109T060000Z, states the time of its files. If the job list or one of
    its jobs is missing, the rest is stored, but the appliance does not count as read.

    Files of jobs are CSV (a row per job, such as the .jobs.csv of a report), JSON (job details, one
    job or a list of jobs), or zip files of these. A JSON file or its folder is named as the
    appliance. Each problem names file and row, and the other rows are read.

    Exit code: 0 all was imported, 3 some saved answers, files or rows cannot be used.
    """
    files = [source for source in sources if is_job_file(source)]
    options = {
        "--columns": columns,
        "--appliance": appliance,
        "--timezone": timezone,
        "--complete": complete,
    }
    check_options(sources, files, options)
    known = open_known(history, is_dry_run=dry_run)
    store = None if dry_run else known
    if store is not None:
        store.check_writable()
    code = 0
    for source in (source for source in sources if source not in files):
        folder = Path(source)  # no folder if it is a URL
        if folder.is_dir() and not _is_export(folder):
            from backupkit.collection import read_saved_answers  # noqa: PLC0415 # fast --help

            answers = read_saved_answers(folder, observed_at=observed_at, known=known)
            code = max(code, import_snapshot(store, answers, source))
            continue
        if observed_at is not None or store is None:
            raise SettingsError(
                "--observed-at and --dry-run are only for saved answers of the API and files of "
                f"jobs, and {source} is neither."
            )
        echo_added(store, store.merge(source), source)
    if files:
        from backupkit.collection import read_job_files  # noqa: PLC0415 # fast --help
        from backupkit.collection.job_rows import parse_columns  # noqa: PLC0415 # fast --help

        snapshot = read_job_files(
            files,
            appliance=appliance,
            columns=parse_columns(columns),
            timezone=timezone,
            observed_at=observed_at,
            complete=complete,
            known=known,
        )
        code = max(code, import_snapshot(store, snapshot, ", ".join(files)))
    return code


def _is_export(folder: Path) -> bool:
    """Return whether a folder is an export, complete or not, instead of saved answers."""
    from backupkit.history.export_reader import MANIFEST  # noqa: PLC0415 # it loads pyarrow

    return (folder / MANIFEST).exists() or any(folder.rglob("*.parquet"))


@history.command()
def prune(
    *,
    history: HistoryOption = HISTORY,
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="Age, such as 400d or 104w.")],
) -> None:
    """Delete what is older than an age; the ledger records the removal.

    Schedules in force stay. Jobs that an appliance still lists return with the next collection.
    Reports on the time before cannot be reproduced.
    """
    from backupkit.settings import parse_duration  # noqa: PLC0415 # keeps --help fast

    span = parse_duration(older_than, where="--older-than")
    _echo_removed(history, bk.History(history, create=False).prune(datetime.now(UTC) - span))


@history.command()
def forget(
    *,
    history: HistoryOption = HISTORY,
    appliance: Annotated[str, typer.Argument(metavar="NAME", help="Name in fleet.toml.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not prompt.")] = False,
) -> int:
    """Delete everything about one appliance.

    The ledger records the removal without the name. While the appliance is in fleet.toml, the next
    collection adds it again.
    """
    if not yes and not typer.confirm(
        f"Delete everything about {appliance} from {history}?", err=True
    ):
        echo("Nothing was deleted.", err=True)
        return 1
    _echo_removed(history, bk.History(history, create=False).forget(appliance))
    return 0


def _echo_removed(history: str, removed: dict[str, int]) -> None:
    rows = format_row_counts(removed["observations"], removed["polls"], removed["schedules"])
    echo(f"{history}: {rows} removed")
