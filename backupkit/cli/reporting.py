"""Command ``backupkit report``: assessment of a history, as files and as mail."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

import backupkit as bk
from backupkit.cli.judging import assess, headline, history_of
from backupkit.cli.options import AsJson, FleetFile, HistoryPlace, print_json
from backupkit.errors import CredentialError, MailError, SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.assessment import Assessment

__all__ = ["report"]

VERDICT: Final = 5
MAIL: Final = 6
_STATES: Final = ("breach", "unknown", "compliant")


class _Earlier(msgspec.Struct):
    """Period and time of an earlier report, from the JSON beside it."""

    start: str
    end: str
    generated_at: str


def report(  # noqa: PLR0913 # one parameter per option
    history: HistoryPlace,
    fleet: FleetFile,
    *,
    last: Annotated[
        str | None, typer.Option(metavar="30d", help="The period, back from now.  [default: 30d]")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Where the period begins, ISO 8601.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="Where the period ends, ISO 8601.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Judge by what was known at this time.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The HTML file.")] = Path("report.html"),
    xlsx: Annotated[bool, typer.Option("--xlsx", help="Write a spreadsheet, too.")] = False,
    compare_with: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Tell what changed since: the previous period, so long ago (1d), a time, the file "
            "of an earlier report, or none.",
        ),
    ] = "previous",
    redact: Annotated[
        bool, typer.Option("--redact", help="Put aliases in the place of names, in all files.")
    ] = False,
    redact_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the aliases' key in this file; implies --redact.",
        ),
    ] = None,
    mail: Annotated[
        bool, typer.Option("--mail", help="Mail it to those whom [mail] of fleet.toml names.")
    ] = False,
    mail_to: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Mail it to this address.")
    ] = None,
    only_if: Annotated[
        str, typer.Option(metavar="STATES", help="Mail only if the verdict is one: breach,unknown.")
    ] = "",
    fail_on: Annotated[
        str, typer.Option(metavar="STATES", help="Exit 5 if the verdict is one: breach,unknown.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Judge the history and write the HTML report and its sidecars (.json, .csv, .jobs.csv).

    With --mail or --mail-to it is mailed once it is written; exit 6 if that fails.
    """
    failing = _states(fail_on, option="--fail-on")
    wanted = _states(only_if, option="--only-if")
    mailing = mail or bool(mail_to)
    if wanted and not mailing:
        raise SettingsError("--only-if is about mail: give --mail or --mail-to ADDRESS, too.")
    assessment = assess(history, fleet, last=last, start=start, end=end, now=as_of)
    before = _before(compare_with, assessment, history, fleet)
    made = bk.report(assessment, before=before)
    if redact or redact_key is not None:
        made = _redacted(made, history, redact_key)
    written = made.save(out, xlsx=xlsx)
    verdict = made.assessment.verdict
    trouble = ""
    mailed: tuple[str, ...] = ()
    if mailing and (not wanted or verdict.state in wanted):
        try:
            mailed = _mailed(made, fleet, tuple(mail_to or ()), written[0])
        except (MailError, CredentialError, SettingsError) as error:
            trouble = str(error)
    if as_json:
        print_json(
            {
                "verdict": verdict.state,
                "sentence": verdict.sentence,
                "files": [str(path) for path in written],
                "mailed_to": list(mailed),
            }
        )
    else:
        typer.echo(headline(made.assessment))
        typer.echo(f"Report: {written[0]}")
        if mailed:
            typer.echo(f"Mailed to: {', '.join(mailed)}")
    if trouble:
        typer.echo(f"backupkit: {written[0]} is written, but not mailed. {trouble}", err=True)
        return MAIL
    return VERDICT if verdict.state in failing else 0


def _before(text: str, now: "Assessment", history: str, fleet: Path) -> "Assessment | None":
    """Return the assessment to compare with, by the data known at its time."""
    from backupkit.settings import parse_instant  # noqa: PLC0415 # keeps --help fast

    if text == "none":
        return None
    length = now.end - now.start
    if text == "previous":
        end = moment = now.start
        start = end - length
    elif (earlier := Path(text).with_suffix(".json")).is_file():
        told = _earlier(earlier)
        start, end, moment = (
            parse_instant(time, where=f"--compare-with: {earlier}")
            for time in (told.start, told.end, told.generated_at)
        )
    else:
        end = moment = _moment(text, now)
        start = end - length
    if moment > now.now:
        raise SettingsError(
            f"--compare-with {text}: that is after this report's own moment, "
            f"{now.now.isoformat()}; name an earlier one."
        )
    policy = bk.Policy.load(fleet)
    return bk.evaluate(history_of(history, fleet), policy, start=start, end=end, now=moment)


def _moment(text: str, now: "Assessment") -> "pd.Timestamp":
    """Parse a time, or a duration back from now."""
    from backupkit.settings import parse_duration, parse_instant  # noqa: PLC0415 # fast --help

    where = "--compare-with"
    try:
        return now.now - parse_duration(text, where=where)
    except SettingsError:  # not a duration: try a time
        try:
            return parse_instant(text, where=where)
        except SettingsError as error:
            raise SettingsError(
                f'{where}: "{text}" is neither previous, none, a length of time such as 1d, a time '
                "such as 2026-11-01T00:00:00Z, nor a report whose .json file is there."
            ) from error


def _earlier(path: Path) -> _Earlier:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Earlier)
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(
            f"--compare-with: {path} is not the .json file of a report: {error}"
        ) from error


def _redacted(made: "bk.Report", history: str, key: Path | None) -> "bk.Report":
    """Redact the report with the secret of the history, or with that of a key file."""
    if key is None:
        return made.redacted(bk.History(history, create=False).identity)
    return made.redacted_by(key)


def _mailed(
    made: "bk.Report", fleet: Path, to: tuple[str, ...], attachment: Path
) -> tuple[str, ...]:
    """Send the report, and return the recipients."""
    from backupkit.mail import MailServer  # noqa: PLC0415 # keeps --help fast

    server = MailServer.load(fleet)
    recipients = to or server.to
    server.send(made.message((attachment,)), to=recipients)
    return recipients


def _states(text: str, *, option: str) -> frozenset[str]:
    states = frozenset(word.strip() for word in text.split(",") if word.strip())
    if wrong := states - set(_STATES):
        raise SettingsError(
            f'{option}: "{min(wrong)}" is none of {", ".join(_STATES)}; for example: '
            f"{option} breach,unknown"
        )
    return states
