"""``backupkit report``, ``check`` and ``metrics``: judge what the history holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import AsJson, FleetFile, HistoryFolder, print_json
from backupkit.errors import BackupkitError, SettingsError

if TYPE_CHECKING:
    from backupkit.assessment import Assessment

__all__ = ["assess", "check", "headline", "metrics", "report"]

VERDICT: Final = 5
CHECK_CODES: Final = {"compliant": 0, "breach": 2, "unknown": 3}
CHECK_WORDS: Final = {0: "OK", 2: "CRITICAL", 3: "UNKNOWN"}


def report(  # noqa: PLR0913 # an option each
    history: HistoryFolder,
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
    fail_on: Annotated[
        str, typer.Option(metavar="STATES", help="Exit 5 if the verdict is one: breach,unknown.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Judge the history and write the HTML report and its sidecars (.json, .csv, .jobs.csv)."""
    failing = _states(fail_on)
    assessment = assess(history, fleet, last=last, start=start, end=end, now=as_of)
    written = bk.report(assessment).save(out)
    if as_json:
        print_json(
            {
                "verdict": assessment.verdict.state,
                "sentence": assessment.verdict.sentence,
                "files": [str(path) for path in written],
            }
        )
    else:
        typer.echo(headline(assessment))
        typer.echo(f"Report: {written[0]}")
    return VERDICT if assessment.verdict.state in failing else 0


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
    kept = bk.History(history, create=False)
    if kept.polls().empty:
        raise SettingsError(
            f"The history {history} is empty. Fill it first with: "
            f"backupkit collect --fleet {fleet} --history {history}"
        )
    period = last or (None if start else "30d")
    return bk.evaluate(kept, policy, start=start, end=end, now=now, last=period)


def _states(text: str) -> frozenset[str]:
    states = frozenset(word.strip() for word in text.split(",") if word.strip())
    if wrong := states - {"breach", "unknown"}:
        raise SettingsError(
            f'--fail-on: "{min(wrong)}" is none of breach, unknown; for example: '
            "--fail-on breach,unknown"
        )
    return states


def headline(assessment: "Assessment") -> str:
    """Give the verdict as one line."""
    word = {"compliant": "OK", "breach": "BREACH", "unknown": "UNKNOWN"}[assessment.verdict.state]
    return f"{word}: {assessment.verdict.sentence}"
