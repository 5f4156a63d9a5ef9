"""The command line: thin, and the one place where an error becomes an exit code.

Data goes to stdout, talk and progress to stderr. Exit codes:

====  =====================================================================================
0     done
1     wrong input, or something that cannot be read or written; a sentence on stderr says what
2     wrong use of the command line
3     some appliance could not be read
4     no appliance could be read
5     the report is written, and its verdict is one of ``--fail-on``
130   stopped with Ctrl-C
====  =====================================================================================

``check`` has those of monitoring plug-ins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.exceptions import Abort, TyperException

import backupkit as bk
from backupkit._version import __version__
from backupkit.errors import BackupkitError, OutputError, SettingsError

if TYPE_CHECKING:  # what is heavy is loaded by `bk` when it is used: --help must be quick
    import pandas as pd

    from backupkit.assessment import Assessment
    from backupkit.collect import Snapshot
    from backupkit.fleet import Fleet
    from backupkit.history import Appended, History

__all__ = ["app", "main", "run"]

FAILED: Final = 1
SOME_UNREAD: Final = 3
NONE_READ: Final = 4
VERDICT: Final = 5
INTERRUPTED: Final = 130
CHECK_CODES: Final = {"compliant": 0, "breach": 2, "unknown": 3}
CHECK_WORDS: Final = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}

app = typer.Typer(
    name="backupkit",
    help="Is every vCenter Server Appliance inside its backup SLA? Collect, judge, report.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

FleetFile = Annotated[
    Path, typer.Option("--fleet", metavar="FILE", help="Which appliances there are: fleet.toml.")
]
HistoryFolder = Annotated[
    Path, typer.Option("--history", metavar="DIR", help="The folder in which all is kept.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def _version(value: bool) -> None:  # noqa: FBT001 # a callback of typer
    if value:
        typer.echo(f"backupkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[  # noqa: ARG001 # the callback does it
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done.")] = False,
) -> None:
    """Is every vCenter Server Appliance inside its backup SLA? Collect, judge, report."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(message)s"
    )


@app.command()
def collect(fleet: FleetFile, history: HistoryFolder, *, as_json: AsJson = False) -> int:
    """Ask every appliance once, and keep what is new in the history.

    Exit code: 0 all were read, 3 some were not, 4 none was.
    """
    appliances = bk.Fleet.load(fleet)
    if not len(appliances):
        raise SettingsError(f"{fleet}: no appliance to ask; add one as [[appliance]].")
    snapshot, added = _collect(appliances, bk.History(history))
    if as_json:
        _print_json(_round(snapshot, added))
    return _collect_code(snapshot)


@app.command()
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
    assessment = _assess(history, fleet, last=last, start=start, end=end, now=as_of)
    written = bk.report(assessment).save(out)
    if as_json:
        _print_json(
            {
                "verdict": assessment.verdict.state,
                "sentence": assessment.verdict.sentence,
                "files": [str(path) for path in written],
            }
        )
    else:
        typer.echo(_headline(assessment))
        typer.echo(f"Report: {written[0]}")
    return VERDICT if assessment.verdict.state in failing else 0


@app.command()
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
        assessment = _assess(history, fleet, last=last)
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
        _print_json({"status": CHECK_WORDS[code], "sentence": verdict.sentence, **counts})
    else:
        performance = " ".join(f"{state}={count}" for state, count in counts.items())
        worst = ", ".join(
            str(name)
            for name in assessment.appliances.index[: verdict.breach + verdict.unknown][:5]
        )
        named = f" ({worst})" if worst else ""
        typer.echo(f"{CHECK_WORDS[code]}: {verdict.sentence}{named} | {performance}")
    return code


@app.command()
def simulate(  # noqa: PLR0913 # an option each
    *,
    appliances: Annotated[int, typer.Option(min=1, max=2_000, help="How many appliances.")] = 12,
    jobs: Annotated[int, typer.Option(min=1, help="Finished jobs of each at the start.")] = 90,
    flavour: Annotated[
        str, typer.Option(help="Which REST flavours: api, rest or both.")
    ] = "api,rest",
    latency: Annotated[float, typer.Option(min=0, help="Added to each answer [ms].")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The first port; 0 picks free ones.")
    ] = 0,
    write_fleet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a fleet.toml, its authority and its password."),
    ] = None,
    for_seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop by itself after so long [s].")
    ] = None,
) -> int:
    """Run a simulated fleet over HTTPS until stopped."""
    flavours = tuple(dict.fromkeys(word.strip() for word in flavour.split(",")))
    if not set(flavours) <= {"api", "rest"}:
        raise SettingsError(f'--flavour: "{flavour}" must be api, rest, or api,rest.')
    scenario = bk.simulator.Scenario.steady(
        appliances=appliances, jobs=jobs, seed=seed, epoch=datetime.now(UTC), flavours=flavours
    )
    try:
        with bk.simulator.SimulatedFleet(
            scenario, latency=latency / 1_000, host=host, port=port
        ) as fleet:
            if write_fleet is not None:
                fleet.write_fleet(write_fleet)
                typer.echo(f"{write_fleet}: {appliances} appliances, {jobs} jobs each.", err=True)
            for one in fleet.appliances:
                typer.echo(f"{one.name}\thttps://{one.host}")
            typer.echo("Running; stop with Ctrl-C.", err=True)
            sys.stdout.flush()
            _wait(for_seconds)
    except OSError as error:
        raise OutputError(f"The simulator cannot start: {error.strerror or error}.") from error
    return 0


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where history and report go.")] = Path(
        "demo"
    ),
    *,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
) -> int:
    """Simulate 12 appliances over HTTPS, collect, keep, judge, and write the report."""
    fleet_file = out / "fleet.toml"
    scenario = bk.simulator.Scenario.demo(seed=seed, epoch=_story_began(out, seed))
    with bk.simulator.SimulatedFleet(scenario) as fleet:
        fleet.write_fleet(fleet_file)
        typer.echo(
            f"Simulated {len(fleet.appliances)} appliances over HTTPS on loopback.", err=True
        )
        history = bk.History(out / "history")
        _collect(bk.Fleet.load(fleet_file), history)
    assessment = _assess(out / "history", fleet_file, last="30d")
    written = bk.report(assessment).save(out / "report.html")
    typer.echo(_headline(assessment))
    typer.echo(f"Report: {written[0].resolve()}")
    return 0


def _story_began(out: Path, seed: int) -> datetime:
    """Give the moment the demo's story is told from: the first run's, so that a later goes on."""
    mark = out / "story.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if mark.exists():
            story = json.loads(mark.read_text(encoding="utf-8"))
            if story["seed"] != seed:
                raise SettingsError(
                    f"{out} holds the demo of seed {story['seed']}; give another --out for "
                    f"seed {seed}, or remove it."
                )
            return datetime.fromisoformat(story["epoch"])
        epoch = datetime.now(UTC).replace(microsecond=0)
        mark.write_text(json.dumps({"seed": seed, "epoch": epoch.isoformat()}), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror}. Give another --out."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{mark} is damaged; remove {out} and run the demo again.") from error
    return epoch


def _collect(fleet: "Fleet", history: "History") -> tuple["Snapshot", "Appended"]:
    """Make one round, keep it, and say what came of it."""
    known = history.jobs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # said in our own words below
        snapshot = bk.collect(fleet, known=known)
    added = history.append(snapshot)
    polls = snapshot.polls
    read = int(polls["ok"].sum())
    seen = set(zip(known["appliance"], known["job_id"], strict=True))
    new = sum(
        key not in seen
        for key in zip(
            snapshot.observations["appliance"], snapshot.observations["job_id"], strict=True
        )
    )
    changed = added.observations - new
    listed = int(polls["jobs_listed"].sum())
    typer.echo(
        f"Read {read} of {len(polls)} appliances: {listed:,} jobs listed, {new:,} new"
        + (f", {changed:,} changed" if changed else "")
        + (
            f", {listed - len(snapshot.observations):,} known and not asked for again"
            if len(known)
            else ""
        )
        + f", in {int(polls['requests'].sum()):,} requests.",
        err=True,
    )
    for row in snapshot.errors.itertuples():
        typer.echo(f"  {row.appliance}: {row.detail}", err=True)
    return snapshot, added


def _collect_code(snapshot: "Snapshot") -> int:
    ok = snapshot.polls["ok"]
    if ok.all():
        return 0
    return SOME_UNREAD if ok.any() else NONE_READ


def _round(snapshot: "Snapshot", added: "Appended") -> dict[str, Any]:
    return {
        "read": int(snapshot.polls["ok"].sum()),
        "asked": len(snapshot.polls),
        "observations_added": added.observations,
        "polls": _records(snapshot.polls),
        "errors": _records(snapshot.errors),
    }


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Give a frame as JSON records: times in ISO 8601, durations in seconds, missing is null."""
    seconds = {
        name: frame[name].dt.total_seconds() for name in frame if frame[name].dtype.kind == "m"
    }
    text = frame.assign(**seconds).to_json(orient="records", date_format="iso", date_unit="us")
    records: list[dict[str, Any]] = json.loads(text)
    return records


def _assess(  # an option each
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


def _headline(assessment: "Assessment") -> str:
    word = {"compliant": "OK", "breach": "BREACH", "unknown": "UNKNOWN"}[assessment.verdict.state]
    return f"{word}: {assessment.verdict.sentence}"


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _wait(seconds: float | None) -> None:
    """Wait until Ctrl-C, or so long."""
    until = None if seconds is None else time.monotonic() + seconds
    try:
        while until is None or time.monotonic() < until:
            time.sleep(1 if until is None else min(1, max(0, until - time.monotonic())))
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code; see the module's table.

    Examples
    --------
    >>> main(["--version"])
    backupkit ...
    0
    """
    try:
        arguments = sys.argv[1:] if argv is None else list(argv)
        code = app(args=arguments or ["--help"], standalone_mode=False)
    except BackupkitError as error:
        typer.echo(f"backupkit: {error}", err=True)
        return FAILED
    except TyperException as error:
        typer.echo(f"backupkit: {error.format_message()}", err=True)
        typer.echo("See: backupkit --help, or backupkit COMMAND --help", err=True)
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        typer.echo("Stopped.", err=True)
        return INTERRUPTED
    return code or 0


def run() -> None:
    """Run the command of the process and leave with its exit code."""
    sys.exit(main())
