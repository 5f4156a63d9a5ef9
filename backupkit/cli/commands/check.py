"""Commands ``backupkit check`` and ``metrics``: assessment of a history, for monitoring."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    AsJson,
    FleetOption,
    HistoryOption,
    echo,
    print_json,
)
from backupkit.errors import BackupkitError, SettingsError

if TYPE_CHECKING:
    from backupkit.assessment import Assessment
    from backupkit.settings import SettingsFile

__all__ = ["assess", "check", "format_verdict", "metrics", "open_history"]

UNKNOWN: Final = 3


def check(
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    *,
    last: Annotated[str, typer.Option(metavar="DURATION", help="Period, back from now.")] = "30d",
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Use only what was known at this time.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print one line for Nagios, Icinga or Checkmk, with performance data.

    Exit code: 2 CRITICAL if an appliance is in breach. Else 3 UNKNOWN if one could not be read, or
    after any error. Else 1 WARNING if one is at risk (in its grace time, or with an open incident),
    has jobs that could not be read, or the period did not meet its targets. Else 0 OK.
    """
    from backupkit.reports.monitoring import check_result  # noqa: PLC0415 # keeps --help fast
    from backupkit.tables import STATES  # noqa: PLC0415 # keeps --help fast

    try:
        assessment = assess(history, fleet, now=as_of, last=last)
    except BackupkitError as error:
        # one line; a "|" would start the performance data
        echo(f"UNKNOWN: {' '.join(str(error).replace('|', '/').split())}")
        return UNKNOWN
    result = check_result(assessment)
    if as_json:
        print_json(
            {
                "status": result.status,
                "code": result.code,
                "sentence": result.sentence,
                "period": assessment.period_verdict.state,
                **{state: getattr(assessment.verdict, state) for state in STATES},
                "breaches": [
                    {"appliance": str(name), "breach_since": since.isoformat()}
                    for name, since in assessment.figures["breach_since"].dropna().items()
                ],
            }
        )
    else:
        echo(result.line)
    return result.code


def metrics(
    *,
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File in the textfile folder: backupkit.prom.")
    ],
    last: Annotated[str, typer.Option(metavar="DURATION", help="Period, back from now.")] = "30d",
) -> None:
    """Write the assessment as OpenMetrics text, for the textfile collector of node_exporter."""
    from backupkit.reports.openmetrics import write_openmetrics  # noqa: PLC0415 # keeps --help fast

    assessment = assess(history, fleet, last=last)
    path = write_openmetrics(assessment, out)
    echo(format_verdict(assessment))
    echo(f"Metrics: {path}")


def assess(  # one parameter per option
    history: str,
    fleet: "Path | SettingsFile",
    *,
    now: str | None = None,
    **period: str | None,
) -> "Assessment":
    """Assess a history; `period` has the options of `backupkit.evaluate` for it."""
    policy = bk.Policy.load(fleet)
    return bk.evaluate(open_history(history, fleet), policy, now=now, **period)  # type: ignore[arg-type] # all are texts


def open_history(location: str, fleet: "Path | SettingsFile") -> "bk.History":
    """Open a history for reading; raise if it is empty."""
    store = bk.History(location, create=False)
    if not store.head:
        raise SettingsError(
            f"The history {location} is empty. Collect first: "
            f"backupkit collect --fleet {fleet} --history {location}"
        )
    return store


def format_verdict(assessment: "Assessment") -> str:
    """Return both verdicts, in a line each."""
    return (
        f"{assessment.heading}\n  {assessment.period_verdict.sentence}\n"
        f"  {assessment.moment}: {assessment.verdict.sentence}"
    )
