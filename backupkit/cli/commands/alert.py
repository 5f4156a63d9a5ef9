"""Commands ``backupkit alert``: messages about changes, acknowledgements and mutes."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import backupkit as bk
from backupkit.cli.alert_output import (
    build_list,
    build_story,
    format_time,
    print_list,
    print_story,
    to_json,
)
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    AsJson,
    FleetOption,
    HistoryOption,
    echo,
    print_json,
)
from backupkit.cli.selection import Selection
from backupkit.cli.wrapping import wrap_line
from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.alerts import AlertRun, AlertSettings, Decision
    from backupkit.history.alert_tables import AlertState

__all__ = ["alert"]

CHANNEL_FAILED: Final = 6
_MAX_NOTE: Final = 300  # characters of a name or reason

ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides this.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Key of the alert, from the list or a message.")
]
SelectorArgument = Annotated[
    str,
    typer.Argument(
        metavar="SELECTOR",
        help="The name of an appliance, the key of an alert, site=NAME, group=NAME, kind=KIND, or "
        "all.",
    ),
]

alert = typer.Typer(
    name="alert",
    help="Alerts: send, test, list, show, ack, mute, unmute.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@alert.command("list")
def list_(history: HistoryOption = HISTORY, *, as_json: AsJson = False) -> None:
    """Show open alerts, mutes, channels that failed, and messages that were perhaps sent."""
    now = datetime.now(UTC)
    state = bk.History(history, create=False).alerts.read(now=now)
    if as_json:
        print_json(build_list(state, now))
    else:
        print_list(state, now)


@alert.command()
def show(key: KeyArgument, *, history: HistoryOption = HISTORY, as_json: AsJson = False) -> None:
    """Show one alert: its state, and what was sent about it, when and to which channels."""
    now = datetime.now(UTC)
    log = bk.History(history, create=False).alerts
    found, changes = log.read_story(key, now=now)
    state = log.read(now=now)
    if as_json:
        print_json(build_story(found, state, changes, now))
    else:
        print_story(found, state, changes, now)


@alert.command()
def ack(
    key: KeyArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    history: HistoryOption = HISTORY,
) -> None:
    """Acknowledge an alert: it is not repeated until it becomes worse or ends."""
    found = bk.History(history, create=False).alerts.acknowledge(
        key,
        by=_check_note(by, "--by"),
        reason=_check_note(reason, "--reason"),
        at=datetime.now(UTC),
    )
    echo(f"Acknowledged: {found.key}. It is not repeated until it becomes worse or ends.")


@alert.command()
def mute(
    selector: SelectorArgument,
    *,
    until: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="End: a time such as 2026-11-09T06:00:00Z, or a duration such as 4h.",
        ),
    ],
    by: ByOption,
    reason: ReasonOption,
    history: HistoryOption = HISTORY,
) -> None:
    """Send nothing about some alerts until a time; those that are still open are sent then."""
    from backupkit.tables.alerts import Mute, check_selector  # noqa: PLC0415 # keeps --help fast

    now = datetime.now(UTC)
    found = Mute(
        selector=check_selector(selector),
        muted_at=now,
        until=_parse_end(until, now),
        by=_check_note(by, "--by"),
        reason=_check_note(reason, "--reason"),
    )
    bk.History(history, create=False).alerts.mute(found)
    echo(f"Muted: {found.selector} until {format_time(found.until)} UTC")


@alert.command()
def unmute(
    selector: SelectorArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    history: HistoryOption = HISTORY,
) -> None:
    """End a mute now; the next run sends which alerts are still open."""
    from backupkit.tables.alerts import check_selector  # noqa: PLC0415 # keeps --help fast

    found = check_selector(selector)
    bk.History(history, create=False).alerts.unmute(
        found,
        by=_check_note(by, "--by"),
        reason=_check_note(reason, "--reason"),
        at=datetime.now(UTC),
    )
    echo(f"No longer muted: {found}")


@alert.command()
def send(
    *,
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    last: Annotated[str, typer.Option(metavar="DURATION", help="Period, back from now.")] = "30d",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent and why; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Assess the history, and send what changed to the channels in [alert] of fleet.toml.

    Exit code 6 if a channel did not accept its message; it is tried again in a later run.
    """
    from backupkit.alerts import (  # noqa: PLC0415 # keeps --help fast
        AlertSettings,
        ping_heartbeat,
        preview_alerts,
        send_alerts,
    )
    from backupkit.cli.commands.check import assess  # noqa: PLC0415 # keeps --help fast
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    file = read_toml(fleet)
    settings = AlertSettings.load(file) or AlertSettings()
    if not dry_run and not settings.channels:
        raise SettingsError(
            f"{fleet}: no channel gets alerts. Add a table [alert], for example with mail = true, "
            "or try what would be sent with --dry-run."
        )
    now = datetime.now(UTC)
    assessment = assess(history, file, Selection(), now=now.isoformat(), last=last)
    log = bk.History(history, create=False).alerts
    if dry_run:
        decisions = preview_alerts(assessment, log, settings, now=now)
        _print_preview(decisions, log.read(now=now), settings, as_json=as_json)
        return 0
    run = send_alerts(assessment, log, settings, now=now)
    if run.ok and (error := ping_heartbeat(settings)):
        run.failed["heartbeat"] = error
    _print_run(run, as_json=as_json)
    return 0 if run.ok else CHANNEL_FAILED


@alert.command()
def test(
    channels: Annotated[
        list[str] | None,
        typer.Argument(metavar="CHANNEL", help="Names of channels.  [default: all]"),
    ] = None,  # noqa: PT028 # a command, no test
    *,
    fleet: FleetOption = FLEET,  # noqa: PT028 # a command, no test
    as_json: AsJson = False,  # noqa: PT028 # a command, no test
) -> int:
    """Send a test message to the channels in [alert] of fleet.toml. The history is not needed.

    The heartbeat is called only if it is named: backupkit alert test heartbeat. Exit code 6 if a
    channel did not accept its message.
    """
    from backupkit.alerts import (  # noqa: PLC0415 # keeps --help fast
        AlertSettings,
        ping_heartbeat,
        try_channels,
    )

    settings = AlertSettings.load(fleet) or AlertSettings()
    names = {channel.name: channel for channel in settings.channels}
    wanted = list(dict.fromkeys(channels or names))
    known = [*names, *(["heartbeat"] if settings.heartbeat is not None else [])]
    if not known:
        raise SettingsError(
            f"{fleet}: there is no channel to test. Add a table [alert], for example with "
            "mail = true."
        )
    for name in wanted:
        if name not in known:
            raise SettingsError(
                f'{fleet}, [alert]: no channel is named "{one_line(name)}"; there are '
                f"{', '.join(map(one_line, known))}."
            )
    errors = try_channels([names[name] for name in wanted if name in names], now=datetime.now(UTC))
    if "heartbeat" in wanted and "heartbeat" not in names:
        errors["heartbeat"] = ping_heartbeat(settings)
    _print_test(errors, as_json=as_json)
    return CHANNEL_FAILED if any(errors.values()) else 0


def _print_test(errors: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        rows = [{"channel": name, "error": error or None} for name, error in errors.items()]
        print_json({"tested": rows})
        return
    for name, error in errors.items():
        if error:
            echo(f"backupkit: alerts, channel {name}: {error}", err=True)
        else:
            echo(f"{name}: accepted")


def _print_preview(
    decisions: "list[Decision]",
    state: "AlertState",
    settings: "AlertSettings",
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "decisions": [_build_decision(one) for one in decisions],
                "channels": [to_json(channel) for channel in state.channels],
            }
        )
        return
    number = sum(one.outcome == "send" for one in decisions)
    names = ", ".join(channel.name for channel in settings.channels) or "no channel"
    echo(f"Would be sent: {number:,}, to {names}. Nothing was sent or stored.")
    for one in decisions:
        to = f" to {', '.join(one.channels)}" if one.channels else ""
        verb = f"send{to}" if one.outcome == "send" else f"not sent ({one.outcome})"
        lines = [
            *wrap_line(f"{verb}  {one.change}: {one.alert.key}, because {one.why}", ""),
            *wrap_line(one.alert.detail, "    "),
        ]
        for line in lines:
            echo(line)
    for channel in state.channels:
        if channel.queued:
            echo(f"from earlier runs, to {channel.channel}: {channel.text}")


def _print_run(run: "AlertRun", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "sent": [{"channel": name, "changes": number} for name, number in run.sent.items()],
                "failed": [{"channel": name, "error": error} for name, error in run.errors.items()],
                "decisions": [_build_decision(one) for one in run.decisions],
            }
        )
    else:
        for name, number in run.sent.items():
            echo(f"Sent to {name}: {number:,} {'change' if number == 1 else 'changes'}")
        if not run.sent and run.ok:
            echo("Nothing to send.")
    for name, error in run.errors.items():
        echo(f"backupkit: alerts, channel {name}: {error}", err=True)


def _check_note(text: str, option: str) -> str:
    note = one_line(text, limit=_MAX_NOTE)
    if not note:
        raise SettingsError(f"{option} is empty. It is kept, for those who ask later.")
    return note


def _parse_end(text: str, now: datetime) -> datetime:
    """Return the end of a mute."""
    from backupkit.settings import parse_duration, parse_instant  # noqa: PLC0415 # keeps --help fast

    if text[-1:].lower() in {*"wdhms"}:
        end = now + parse_duration(text, where="--until")
    else:
        end = parse_instant(text, where="--until").to_pydatetime()
    if end <= now:
        raise SettingsError(f'--until: "{one_line(text)}" is over. Name a time to come.')
    if end - now > timedelta(days=366):
        raise SettingsError(f'--until: "{one_line(text)}" is more than a year ahead.')
    return end


def _build_decision(one: "Decision") -> dict[str, Any]:
    return {
        "key": one.alert.key,
        "change": one.change,
        "outcome": one.outcome,
        "channels": list(one.channels),
        "why": one.why,
        "level": one.alert.level,
        "detail": one.alert.detail,
    }
