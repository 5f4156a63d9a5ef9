"""Commands ``backupkit check`` and ``metrics``: assessment of a history, for monitoring."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.check_output import CheckFormat, print_check, print_check_error
from backupkit.cli.commands import gate
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
)
from backupkit.cli.outputs import refuse_inputs
from backupkit.cli.selection import Selection
from backupkit.errors import BackupkitError, SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.assessment import Assessment
    from backupkit.settings import SettingsFile

_TIME_OPTIONS: Final = {"now": "--as-of"} | {
    name: f"--{name}" for name in ("start", "end", "last", "month", "quarter", "timezone")
}
"""Option of each parameter of `backupkit.evaluate` with a time."""

__all__ = ["assess", "check", "find_selected", "format_verdict", "metrics", "open_history"]


def check(  # noqa: PLR0913 # one parameter per option
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    *,
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
    last: Annotated[str, typer.Option(metavar="DURATION", help="Period, back from now.")] = "30d",
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Use only what was known at this time.")
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Check one rule alone: the newest recovery point is at most this old.",
        ),
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Poll the appliances first, and store what is new.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Poll this appliance now, without fleet.toml and history; needs --max-age and "
            "--user. The password is in $BACKUPKIT_PASSWORD, or is prompted for.",
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="User with SSO domain, for --host.")
    ] = None,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file of the certificate authority, for --host."),
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="SHA256", help="The only trusted certificate, for --host."),
    ] = None,
    output: Annotated[
        CheckFormat,
        typer.Option(
            "--format",
            metavar="NAME",
            help="nagios: a line for the fleet, also for Icinga. checkmk: a service for the fleet "
            "and for each appliance. zabbix: JSON for low-level discovery. json: as --json.",
        ),
    ] = CheckFormat.NAGIOS,
    as_json: AsJson = False,
) -> int:
    """Print a result for Nagios, Icinga, Checkmk or Zabbix; or act as a gate.

    Exit code: 2 CRITICAL if an appliance is in breach. Else 3 UNKNOWN if one could not be read, or
    after any error. Else 1 WARNING if one is at risk (in its grace time, or with an open incident),
    has jobs that could not be read, fleet.toml lacks a vCenter of its SSO domains, or the period
    did not meet its targets. Else 0 OK.

    With --max-age only the age of the newest recovery points counts: 2 CRITICAL if one is older, 3
    UNKNOWN if that cannot be known, else 0 OK.
    """
    output = CheckFormat.JSON if as_json else output
    selection = Selection(appliance, group, site)
    direct = {"user": user, "ca_bundle": ca_bundle, "fingerprint": fingerprint}
    try:
        if as_of is not None and (collect or host is not None):
            raise SettingsError("--as-of is for a history: leave out --collect and --host.")
        limit = None if max_age is None else _parse_max_age(max_age)
        if limit is not None and output not in {CheckFormat.NAGIOS, CheckFormat.JSON}:
            raise SettingsError("--max-age needs --format nagios or json.")
        if host is not None:
            if limit is None or user is None or selection:
                raise SettingsError(
                    "--host needs --max-age and --user, and no --appliance, --group or --site; for "
                    "example: backupkit check --host vc-1.example.com "
                    "--user backup-reader@vsphere.local --max-age 12h"
                )
            assessment = gate.assess_host(host, user, ca_bundle=ca_bundle, fingerprint=fingerprint)
        elif given := [name for name, value in direct.items() if value is not None]:
            raise SettingsError(f"--{given[0].replace('_', '-')} needs --host.")
        else:
            if collect:
                gate.collect_first(fleet, history, selection)
            assessment = assess(history, fleet, selection, now=as_of, last=last)
        if limit is not None:
            return gate.print_age(assessment, limit, as_json=output is CheckFormat.JSON)
    except BackupkitError as error:
        return print_check_error(error, output)
    return print_check(assessment, output)


def _parse_max_age(text: str) -> timedelta:
    from backupkit.settings import parse_duration  # noqa: PLC0415 # keeps --help fast

    limit = parse_duration(text, where="--max-age")
    if not limit:
        raise SettingsError("--max-age: must be longer than 0; for example: --max-age 24h")
    return limit


def metrics(
    *,
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File in the textfile folder: backupkit.prom."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve /metrics until Ctrl-C, for example on 127.0.0.1:9400. Other addresses "
            "than loopback need TLS and a login in [metrics] of fleet.toml.",
        ),
    ] = None,
    last: Annotated[str, typer.Option(metavar="DURATION", help="Period, back from now.")] = "30d",
) -> None:
    """Write the assessment as OpenMetrics text for Prometheus, or serve it.

    --out writes a file for the textfile collector of node_exporter. --listen serves it by HTTP; the
    history is assessed at most once a minute.
    """
    from backupkit.reports.openmetrics import write_openmetrics  # noqa: PLC0415 # keeps --help fast

    selection = Selection(appliance, group, site)
    if out is not None and listen is None:
        refuse_inputs(out, (fleet, history), option="--out")
        assessment = assess(history, fleet, selection, last=last)
        path = write_openmetrics(assessment, out)
        echo(format_verdict(assessment))
        echo(f"Metrics: {path}")
    elif listen is not None and out is None:
        _serve_metrics(listen, history, fleet, selection, last)
    else:
        raise typer.BadParameter("name one of them.", param_hint="--out FILE or --listen HOST:PORT")


def _serve_metrics(listen: str, history: str, fleet: Path, selection: Selection, last: str) -> None:
    """Serve the metrics until Ctrl-C or SIGTERM."""
    from backupkit.cli.commands.collect import interrupt_on_sigterm  # noqa: PLC0415 # keeps --help fast
    from backupkit.cli.metrics_server import CachedMetrics, MetricsServer  # noqa: PLC0415 # keeps --help fast
    from backupkit.cli.metrics_settings import MetricsSettings, parse_address  # noqa: PLC0415 # keeps --help fast
    from backupkit.reports.openmetrics import openmetrics  # noqa: PLC0415 # keeps --help fast
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    settings = MetricsSettings.load(read_toml(fleet))
    metrics = CachedMetrics(lambda: openmetrics(assess(history, fleet, selection, last=last)))
    with MetricsServer(parse_address(listen), settings, metrics) as server, interrupt_on_sigterm():
        echo(f"Metrics: {server.url}")
        echo("Serving; stop with Ctrl-C.", err=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    echo("Stopped.", err=True)


def assess(  # one parameter per option
    history: str,
    fleet: "Path | SettingsFile",
    selection: Selection,
    *,
    now: str | None = None,
    **period: str | None,
) -> "Assessment":
    """Assess a history; `period` has the options of `backupkit.evaluate` for it."""
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    file = read_toml(fleet)
    policy = bk.Policy.load(file)
    if now is not None:
        _refuse_future(now, zone=period.get("timezone") or policy.report_timezone)
    store = open_history(history, file)
    names = find_selected(selection, file, store)
    if not policy.members and names is None:
        echo(
            f"backupkit: {file} lists no enabled appliance: all appliances of the history are "
            "assessed. List yours as [[appliance]].",
            err=True,
        )
    try:
        return bk.evaluate(store, policy, appliances=names, now=now, **period)  # type: ignore[arg-type] # all are texts
    except SettingsError as error:
        raise SettingsError(_name_option(str(error))) from error


def _refuse_future(as_of: str, *, zone: str) -> None:
    """Raise if a time is in the future: nothing is known as of it, and every age would be wrong."""
    from backupkit.settings import parse_instant, time_zone  # noqa: PLC0415 # keeps --help fast

    key = time_zone(zone, where="--timezone").key
    moment = parse_instant(as_of, where="--as-of", zone=key).to_pydatetime()
    if moment > datetime.now(UTC):
        raise SettingsError(
            f"--as-of {one_line(as_of)} is in the future: nothing is known as of then. State a "
            "time that is over, or leave it out for the present."
        )


def _name_option(message: str) -> str:
    """Begin a message about a parameter of `backupkit.evaluate` with its option."""
    name, colon, rest = message.partition(":")
    option = _TIME_OPTIONS.get(name)
    return f"{option}{colon}{rest}" if option else message


def find_selected(
    selection: Selection, file: "SettingsFile", store: "bk.History"
) -> tuple[str, ...] | None:
    """Return the names of the selected appliances; None without a selection."""
    if not selection:
        return None
    fleet = bk.Fleet.load(file)
    stored = () if fleet.appliances else store.sql("SELECT name FROM appliances")["name"]
    return selection.names(fleet, stored)


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
    """Return both verdicts and what fleet.toml lacks, in a line each."""
    from backupkit.assessment import describe_inventory  # noqa: PLC0415 # keeps --help fast

    sentences = [
        assessment.period_verdict.sentence,
        f"{assessment.moment}: {assessment.verdict.sentence}",
        describe_inventory(assessment.inventory, assessment.now),
    ]
    return "\n  ".join([assessment.heading, *filter(None, sentences)])
