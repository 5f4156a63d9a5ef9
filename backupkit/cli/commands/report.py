"""Command ``backupkit report``: assessment of a history, as files and as mail."""

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer

import backupkit as bk
from backupkit.cli.commands.check import assess, find_selected, format_verdict, open_history
from backupkit.cli.commands.documents import Output
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    ApplianceOption,
    AsJson,
    FleetOption,
    GroupOption,
    HistoryOption,
    SiteOption,
    echo,
    print_json,
)
from backupkit.cli.run_settings import parse_states
from backupkit.cli.selection import Selection
from backupkit.errors import CredentialError, MailError, SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.assessment import Assessment
    from backupkit.settings import SettingsFile

__all__ = ["VERDICT_EXIT_CODE", "assess_earlier_period", "parse_states_option", "report"]

VERDICT_EXIT_CODE: Final = 5
MAIL_EXIT_CODE: Final = 6


class _EarlierReport(msgspec.Struct):
    """Period and time of an earlier report, from the JSON beside it."""

    start: str
    end: str
    generated_at: str


def report(  # noqa: PLR0913 # one parameter per option
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    *,
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
    last: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Period, back from now.  [default: 30d]")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start of the period, ISO 8601.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of the period, ISO 8601.")
    ] = None,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="A month as the period, or last.")
    ] = None,
    last_month: Annotated[
        bool, typer.Option("--last-month", help="The last month that is over, as --month last.")
    ] = False,
    quarter: Annotated[
        str | None, typer.Option(metavar="YYYY-QN", help="A quarter as the period, or last.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Zone of months, quarters and of times without one, such as Europe/Berlin.  "
            "[default: report_timezone in [policy] of fleet.toml, or UTC]",
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Use only what was known at this time.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "--output",
            metavar="FILE",
            help="File of the report, or - for stdout.  [default: report.html; of the other "
            "formats stdout]",
        ),
    ] = None,
    kind: Annotated[
        Literal["html", "text", "markdown", "json"],
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="html: the page with its data files; text or markdown: a summary of at most 60 "
            "lines for a ticket or a chat; json: all data.",
        ),
    ] = "html",
    exceptions_only: Annotated[
        bool,
        typer.Option(
            "--exceptions-only",
            help="List only what needs attention on the page, which states what is left out.",
        ),
    ] = False,
    pack: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the evidence of the period to one new zip file instead: report, data, "
            "policy, check of the history, checksums, and steps for an auditor.",
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Sign the evidence with this private key of OpenSSH."),
    ] = None,
    xlsx: Annotated[bool, typer.Option("--xlsx", help="Also write an Excel workbook.")] = False,
    compress: Annotated[
        bool,
        typer.Option(
            "--compress", help="Compress the large files: .json.gz, .csv.gz and .jobs.csv.gz."
        ),
    ] = False,
    compare_with: Annotated[
        str,
        typer.Option(
            metavar="EARLIER",
            help="Show changes since: previous (the period before; of a calendar month or quarter, "
            "that before), a duration before the end (1d), a time, an earlier report (its file), "
            "or none.",
        ),
    ] = "previous",
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace names by aliases, in all files.")
    ] = False,
    redact_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="As --redact, and store the names behind the aliases in this file.",
        ),
    ] = None,
    mail: Annotated[
        bool,
        typer.Option("--mail", help="Mail the report to the recipients in [mail] of fleet.toml."),
    ] = False,
    mail_to: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Mail the report to this address; repeatable."),
    ] = None,
    mail_if: Annotated[
        str,
        typer.Option(
            metavar="STATES",
            help="Mail only if a verdict is one of these: of the period missed, "
            "target-unknown or met; of its end breach, unknown or compliant.",
        ),
    ] = "",
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="STATES",
            help="Exit with 5 if a verdict is one of these, such as missed,breach,unknown.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Assess the history, and write the HTML report and its data files (.json and .csv).

    With --output - or another --format it writes that one document, to stdout or to a file. With
    --pack it writes one zip file for an auditor; exit code 1 if the history has problems.
    With --mail or --mail-to the report is then mailed; exit code 6 if that fails.
    """
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    fail_states = parse_states_option(fail_on, option="--fail-on")
    mail_states = parse_states_option(mail_if, option="--mail-if")
    must_mail = mail or bool(mail_to)
    if mail_states and not must_mail:
        raise SettingsError("--mail-if needs --mail or --mail-to ADDRESS.")
    page_options = {"--mail": must_mail, "--xlsx": xlsx, "--compress": compress}
    output = Output(kind=kind, out=out, pack=pack, sign=sign)
    output.check(page_options, (fleet, history), as_json=as_json)
    file = read_toml(fleet)
    if last_month and month is not None:
        raise SettingsError("--month and --last-month exclude each other; use one of them.")
    selection = Selection(appliance, group, site)
    assessment = assess(
        history,
        file,
        selection,
        now=as_of,
        last=last,
        start=start,
        end=end,
        month="last" if last_month else month,
        quarter=quarter,
        timezone=timezone,
    )
    comparison = assess_earlier_period(compare_with, assessment, history, file, selection)
    document = bk.report(
        assessment,
        before=comparison,
        exceptions_only=exceptions_only,
        notes=bk.History(history, create=False).notes.read(),
    )
    if redact or redact_key is not None:
        document = _redact_report(document, history, redact_key)
    verdict, period = document.assessment.verdict, document.assessment.period_verdict
    states = {verdict.state, period.state.replace("unknown", "target-unknown")}
    failed = VERDICT_EXIT_CODE if states & fail_states else 0
    if not output.is_page:
        return output.write(document, bk.History(history, create=False)) or failed
    paths = document.save(out or "report.html", xlsx=xlsx, compress=compress)
    mail_error = ""
    mailed: tuple[str, ...] = ()
    if must_mail and (not mail_states or states & mail_states):
        try:
            mailed = _mail_report(document, file, tuple(mail_to or ()), paths[0])
        except (MailError, CredentialError, SettingsError) as error:
            mail_error = str(error)
    _print_written(document, paths, mailed, as_json=as_json)
    if mail_error:
        echo(f"backupkit: {paths[0]} was written, but not mailed. {mail_error}", err=True)
        return MAIL_EXIT_CODE
    return failed


def _print_written(
    document: "bk.Report", paths: tuple[Path, ...], mailed: tuple[str, ...], *, as_json: bool
) -> None:
    """Print both verdicts, and the files."""
    assessment = document.assessment
    verdict, period = assessment.verdict, assessment.period_verdict
    if as_json:
        print_json(
            {
                "heading": assessment.heading,
                "period": period.state,
                "period_sentence": period.sentence,
                "verdict": verdict.state,
                "sentence": verdict.sentence,
                "files": [str(path) for path in paths],
                "mailed_to": list(mailed),
            }
        )
    else:
        echo(format_verdict(assessment))
        echo(f"Report: {paths[0]}")
        if mailed:
            echo(f"Mailed to: {', '.join(mailed)}")


def assess_earlier_period(
    text: str,
    current: "Assessment",
    history: str,
    fleet: "SettingsFile",
    selection: Selection,
) -> "Assessment | None":
    """Return the assessment to compare with, by the data known at its time."""
    from backupkit.assessment.context import EARLIEST_START  # noqa: PLC0415 # fast --help
    from backupkit.assessment.periods import previous_period  # noqa: PLC0415 # fast --help
    from backupkit.settings import parse_instant  # noqa: PLC0415 # keeps --help fast

    if text == "none":
        return None
    length = current.end - current.start
    if text == "previous":
        start, end = previous_period(current.start, current.end, current.timezone)
        if start < EARLIEST_START:
            return None  # a very long period has none before it
        moment = end
    elif (sidecar := _find_sidecar(Path(text))) is not None:
        period = _read_earlier_report(sidecar)
        start, end, moment = (
            parse_instant(time, where=f"--compare-with: {sidecar}")
            for time in (period.start, period.end, period.generated_at)
        )
    else:
        end = moment = _parse_time_option(text, current)
        start = end - length
    if moment > current.now:
        raise SettingsError(
            f"--compare-with {text}: this is later than the time of this report, "
            f"{current.now.isoformat()}; use an earlier one."
        )
    policy = bk.Policy.load(fleet)
    store = open_history(history, fleet)
    names = find_selected(selection, fleet, store)
    return bk.evaluate(store, policy, appliances=names, start=start, end=end, now=moment)


def _find_sidecar(path: Path) -> Path | None:
    """Return the JSON of an earlier report from the name of any of both files; None if missing."""
    names = (path,) if path.suffix == ".gz" else map(path.with_suffix, (".json", ".json.gz"))
    return next((name for name in names if name.is_file()), None)


def _parse_time_option(text: str, current: "Assessment") -> "pd.Timestamp":
    """Parse a time, or a duration back from the period's end."""
    from backupkit.settings import parse_duration, parse_instant  # noqa: PLC0415 # fast --help

    where = "--compare-with"
    try:
        return current.end - parse_duration(text, where=where)
    except SettingsError:  # not a duration: try a time
        try:
            return parse_instant(text, where=where, zone=current.timezone)
        except SettingsError as error:
            raise SettingsError(
                f'{where}: "{text}" is neither previous, none, a duration such as 1d, a time such '
                "as 2026-11-01T00:00:00Z, nor a report with its .json file."
            ) from error


def _read_earlier_report(path: Path) -> _EarlierReport:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return msgspec.json.decode(content, type=_EarlierReport)
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError) as error:
        raise SettingsError(
            f"--compare-with: {path} is not the .json file of a report: {error}"
        ) from error


def _redact_report(document: "bk.Report", history: str, key: Path | None) -> "bk.Report":
    """Redact the report with the secret of the history, or with that of a key file."""
    if key is None:
        return document.redacted(bk.History(history, create=False).identity)
    return document.redacted_by(key)


def _mail_report(
    document: "bk.Report", fleet: "SettingsFile", to: tuple[str, ...], attachment: Path
) -> tuple[str, ...]:
    """Send the report, and return the recipients."""
    from backupkit.mail import MailServer  # noqa: PLC0415 # keeps --help fast

    server = MailServer.load(fleet)
    recipients = to or server.to
    server.send(document.message((attachment,)), to=recipients)
    return recipients


def parse_states_option(text: str, *, option: str) -> frozenset[str]:
    """Parse the states of a verdict that an option lists."""
    return parse_states(text, option=option, example=f"{option} missed,breach,unknown")
