"""``backupkit check`` and ``metrics``: judge what the history holds, for monitoring."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import AsJson, FleetFile, HistoryPlace, print_json
from backupkit.errors import BackupkitError, SettingsError

if TYPE_CHECKING:
    from backupkit.assessment import Assessment

__all__ = ["assess", "check", "headline", "history_of", "metrics"]

UNKNOWN: Final = 3


def check(
    history: HistoryPlace,
    fleet: FleetFile,
    *,
    last: Annotated[str, typer.Option(metavar="30d", help="The period, back from now.")] = "30d",
    as_json: AsJson = False,
) -> int:
    """Print one line for Nagios, Icinga or Checkmk, with performance data.

    Exit code: 2 CRITICAL if an appliance is in breach, else 3 UNKNOWN if one could not be read
    (any trouble is 3, too), else 1 WARNING if one is at risk (in its grace time, failed since, or
    missed a run) or the period is below the policy's target, else 0 OK.
    """
    from backupkit.report.nagios import check_result  # noqa: PLC0415 # --help is quick
    from backupkit.tables import STATES  # noqa: PLC0415 # it loads pandas

    try:
        assessment = assess(history, fleet, last=last)
    except BackupkitError as error:
        # one line, and a bar would begin the performance data
        typer.echo(f"UNKNOWN: {' '.join(str(error).replace('|', '/').split())}")
        return UNKNOWN
    said = check_result(assessment)
    if as_json:
        print_json(
            {
                "status": said.status,
                "code": said.code,
                "sentence": said.sentence,
                **{state: getattr(assessment.verdict, state) for state in STATES},
            }
        )
    else:
        typer.echo(said.line)
    return said.code


def metrics(
    history: HistoryPlace,
    fleet: FleetFile,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The file, in the textfile folder: backupkit.prom.")
    ],
    *,
    last: Annotated[str, typer.Option(metavar="30d", help="The period, back from now.")] = "30d",
) -> None:
    """Write the judgement as OpenMetrics text, for a node exporter's textfile folder."""
    from backupkit.report.openmetrics import write_openmetrics  # noqa: PLC0415 # --help is quick

    assessment = assess(history, fleet, last=last)
    written = write_openmetrics(assessment, out)
    typer.echo(headline(assessment))
    typer.echo(f"Metrics: {written}")


def assess(  # an option each
    history: str,
    fleet: Path,
    *,
    last: str | None = None,
    start: str | None = None,
    end: str | None = None,
    now: str | None = None,
) -> "Assessment":
    """Judge a kept history."""
    if last is not None and start is not None:
        raise SettingsError("--last and --start exclude each other: give one of them.")
    policy = bk.Policy.load(fleet)
    kept = history_of(history, fleet)
    period = last or (None if start else "30d")
    return bk.evaluate(kept, policy, start=start, end=end, now=now, last=period)


def history_of(place: str, fleet: Path) -> "bk.History":
    """Open a history that is to be read, or say how to fill it."""
    kept = bk.History(place, create=False)
    if not kept.head:
        raise SettingsError(
            f"The history {place} is empty. Fill it first with: "
            f"backupkit collect --fleet {fleet} --history {place}"
        )
    return kept


def headline(assessment: "Assessment") -> str:
    """Give the verdict as one line."""
    word = {"compliant": "OK", "breach": "BREACH", "unknown": "UNKNOWN"}[assessment.verdict.state]
    return f"{word}: {assessment.verdict.sentence}"
