"""``backupkit check`` and ``metrics``: judge what the history holds, for monitoring."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import AsJson, FleetFile, HistoryFolder, print_json
from backupkit.errors import BackupkitError, SettingsError

if TYPE_CHECKING:
    from backupkit.assessment import Assessment

__all__ = ["assess", "check", "headline", "history_of", "metrics"]

CHECK_CODES: Final = {"compliant": 0, "breach": 2, "unknown": 3}
CHECK_WORDS: Final = {0: "OK", 2: "CRITICAL", 3: "UNKNOWN"}


def check(
    history: HistoryFolder,
    fleet: FleetFile,
    *,
    last: Annotated[str, typer.Option(metavar="30d", help="The period, back from now.")] = "30d",
    as_json: AsJson = False,
) -> int:
    """Print one line for a monitoring system: OK, CRITICAL (breach) or UNKNOWN.

    Exit code: 0 OK, 2 CRITICAL, 3 UNKNOWN; any trouble is 3 as well.
    """
    try:
        assessment = assess(history, fleet, last=last)
    except BackupkitError as error:
        typer.echo(f"UNKNOWN: {error}")
        return CHECK_CODES["unknown"]
    verdict = assessment.verdict
    code = CHECK_CODES[verdict.state]
    counts = {
        state: getattr(verdict, state)
        for state in ("compliant", "breach", "unknown", "excluded", "unobserved")
    }
    if as_json:
        print_json({"status": CHECK_WORDS[code], "sentence": verdict.sentence, **counts})
    else:
        performance = " ".join(f"{state}={count}" for state, count in counts.items())
        worst = ", ".join(
            str(name)
            for name in assessment.appliances.index[: verdict.breach + verdict.unknown][:5]
        )
        named = f" ({worst})" if worst else ""
        typer.echo(f"{CHECK_WORDS[code]}: {verdict.sentence}{named} | {performance}")
    return code


def metrics(
    history: HistoryFolder,
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
    history: Path,
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


def history_of(folder: Path, fleet: Path) -> "bk.History":
    """Open a history that is to be read, or say how to fill it."""
    kept = bk.History(folder, create=False)
    if kept.polls().empty:
        raise SettingsError(
            f"The history {folder} is empty. Fill it first with: "
            f"backupkit collect --fleet {fleet} --history {folder}"
        )
    return kept


def headline(assessment: "Assessment") -> str:
    """Give the verdict as one line."""
    word = {"compliant": "OK", "breach": "BREACH", "unknown": "UNKNOWN"}[assessment.verdict.state]
    return f"{word}: {assessment.verdict.sentence}"
