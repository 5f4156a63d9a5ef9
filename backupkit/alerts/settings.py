"""Table ``[alert]`` of fleet.toml: rules, and the channels that get messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from backupkit.alerts.channels import (
    Channel,
    ChatChannel,
    Heartbeat,
    MailChannel,
    SecretURL,
    WebhookChannel,
)
from backupkit.alerts.decisions import Rules
from backupkit.alerts.filters import ChannelFilter, FilterEntry, build_filters
from backupkit.errors import SettingsError, one_line
from backupkit.mail import MailServer, check_address
from backupkit.passwords import SOURCE_FORMS, PasswordEntry, PasswordSource
from backupkit.settings import SettingsFile, check_url, convert, parse_duration, read_toml
from backupkit.tables.alerts import ALERT_KINDS, DEFAULT_KINDS, Alert

__all__ = ["AlertSettings"]

_EXAMPLES: Final = {
    "mail": "mail = true",
    "urls": 'urls = { operations = { env = "BACKUPKIT_CHAT_URL" } }',
    "webhook": 'webhook = { tickets = { url = "https://tickets.example.com/backup" } }',
    "heartbeat": 'heartbeat = { env = "BACKUPKIT_HEARTBEAT" }',
    "repeat": 'repeat = "24h"',
    "flapping": "flapping = 3",
    "flapping_within": 'flapping_within = "7d"',
    "target_within": 'target_within = "7d"',
    "kinds": 'kinds = ["breach", "unknown"]',
    "filter": 'filter = { mail = { kinds = ["breach"], sites = ["Hamburg"] } }',
}
_MAX_TIMEOUT: Final = 300.0  # s; sending must end before another run takes it for dead


class _Webhook(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [alert.webhook.NAME]."""

    url: str | PasswordEntry
    secret: PasswordEntry | None = None
    ca_bundle: str | None = None
    timeout: float = 30.0


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [alert] of fleet.toml."""

    mail: bool | tuple[str, ...] = False
    urls: dict[str, PasswordEntry] = {}
    webhook: dict[str, _Webhook] = {}
    heartbeat: str | PasswordEntry | None = None
    repeat: str = "24h"
    flapping: int = 3
    flapping_within: str = "7d"
    target_within: str = "7d"
    kinds: tuple[str, ...] = DEFAULT_KINDS
    filter: dict[str, FilterEntry] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Rules and channels of alerts.

    Attributes
    ----------
    rules : Rules
        When a message is repeated, and when an alert is unstable.
    kinds : tuple of str
        Kinds of alert that are sent.
    target_within : timedelta
        How soon the error budget must be used up for an alert.
    channels : tuple of Channel
        Where messages go; each has its own name.
    filters : mapping of str to ChannelFilter
        Alerts that a channel gets, by its name; without one it gets all.
    heartbeat : Heartbeat, optional
        Called after each completed run.

    Examples
    --------
    >>> AlertSettings().kinds
    ('breach', 'target', 'breach-soon', 'unknown', 'failure')
    """

    rules: Rules = field(default_factory=Rules)
    kinds: tuple[str, ...] = DEFAULT_KINDS
    target_within: timedelta = timedelta(days=7)
    channels: tuple[Channel, ...] = ()
    filters: Mapping[str, ChannelFilter] = field(default_factory=dict)
    heartbeat: Heartbeat | None = None

    def choose_channels(self, alert: Alert) -> list[str]:
        """Return the names of the channels that choose an open alert."""
        chosen = {name for name, one in self.filters.items() if one.chooses(alert)}
        names = [channel.name for channel in self.channels]
        return [name for name in names if name not in self.filters or name in chosen]

    @classmethod
    def load(cls, path: str | Path | SettingsFile) -> Self | None:
        """Read ``[alert]`` of fleet.toml; None if there is no such table.

        Raises
        ------
        SettingsError
            If an entry is wrong; the message names file, table and key.
        """
        file = read_toml(path)
        if "alert" not in file.tables:
            return None
        where = f"{path}, [alert]"
        table = file.table("alert")
        _refuse_plain_urls(table, where)
        entry = convert(table, _Entry, where=where, examples=_EXAMPLES)
        if unknown := sorted(set(entry.kinds) - set(ALERT_KINDS)):
            raise SettingsError(
                f'{where}: kinds: "{one_line(unknown[0])}" is not a kind of alert; there are '
                f"{', '.join(ALERT_KINDS)}."
            )
        if entry.flapping < 1:
            raise SettingsError(f"{where}: flapping must be at least 1; for example: flapping = 3")
        channels = _build_channels(entry, file, where)
        return cls(
            rules=Rules(
                repeat=_parse_span(entry.repeat, f"{where}: repeat"),
                flapping=entry.flapping,
                flapping_within=_parse_span(entry.flapping_within, f"{where}: flapping_within"),
            ),
            kinds=entry.kinds,
            target_within=_parse_span(entry.target_within, f"{where}: target_within"),
            channels=channels,
            filters=build_filters(
                entry.filter,
                file,
                channels=[channel.name for channel in channels],
                kinds=entry.kinds,
                where=where,
            ),
            heartbeat=None
            if entry.heartbeat is None
            else Heartbeat(_build_url(entry.heartbeat, f"{where}: heartbeat", file.path.parent)),
        )


def _parse_span(text: str, where: str) -> timedelta:
    span = parse_duration(text, where=where)
    if not span:
        raise SettingsError(f"{where} must be above 0; for example: 24h.")
    return span


def _refuse_plain_urls(table: Mapping[str, Any], where: str) -> None:
    urls = table.get("urls", {})
    if isinstance(urls, dict) and any(isinstance(url, str) for url in urls.values()):
        raise SettingsError(
            f"{where}: urls: a URL of apprise holds secrets and must not be in this file. Name its "
            f"source: operations = {SOURCE_FORMS}."
        )


def _build_url(entry: str | PasswordEntry, where: str, folder: Path) -> SecretURL:
    if isinstance(entry, PasswordEntry):
        return SecretURL(None, _build_source(entry, where, folder, "url"), where)
    check_url(entry, where=where)
    if "@" in entry.split("/")[2]:
        raise SettingsError(
            f"{where}: a password must not be in this file. Name the source of the whole URL: "
            f"{SOURCE_FORMS}."
        )
    return SecretURL(entry, None, where)


def _build_source(entry: PasswordEntry, where: str, folder: Path, key: str) -> PasswordSource:
    source = entry.source(where=where, folder=folder, key=key)
    if source.kind == "prompt":
        raise SettingsError(
            f'{where}: "{key}" cannot come from a prompt, because alerts are sent without a person '
            "at the terminal. Use env, file, keyring or command."
        )
    return source


def _build_channels(entry: _Entry, file: SettingsFile, where: str) -> tuple[Channel, ...]:
    folder = file.path.parent
    channels: list[Channel] = []
    if entry.mail:
        server = MailServer.load(file)
        to = entry.mail if isinstance(entry.mail, tuple) else server.to
        for address in to:
            check_address(address, where=f"{where}: mail")
        if not to:
            raise SettingsError(
                f'{where}: the mail has no recipient. Write mail = ["operations@example.com"], or '
                "to into [mail]."
            )
        channels.append(MailChannel(server, to))
    channels += [
        ChatChannel(name, _build_url(url, f"{where}: urls.{one_line(name)}", folder))
        for name, url in entry.urls.items()
    ]
    channels += [
        _build_webhook(name, webhook, f"{where}: webhook.{one_line(name)}", folder)
        for name, webhook in entry.webhook.items()
    ]
    names = [channel.name for channel in channels]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(
            f'{where}: two channels are named "{one_line(repeated[0])}"; rename one. The name of '
            "mail is mail."
        )
    return tuple(channels)


def _build_webhook(name: str, entry: _Webhook, where: str, folder: Path) -> WebhookChannel:
    if not 0 < entry.timeout <= _MAX_TIMEOUT:
        raise SettingsError(
            f"{where}: timeout must be above 0 and at most {_MAX_TIMEOUT:g} seconds."
        )
    bundle = None if entry.ca_bundle is None else folder / entry.ca_bundle
    if bundle is not None and not bundle.is_file():
        raise SettingsError(f'{where}: ca_bundle: no such file "{bundle}".')
    return WebhookChannel(
        name=name,
        url=_build_url(entry.url, where, folder),
        secret=None
        if entry.secret is None
        else _build_source(entry.secret, where, folder, "secret"),
        ca_bundle=bundle,
        timeout=entry.timeout,
    )
