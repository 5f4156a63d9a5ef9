"""Fleet: the appliances of fleet.toml.

fleet.toml never contains a password. Passwords are read only when appliances are polled.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec

from backupkit import display
from backupkit.errors import SettingsError, one_line
from backupkit.limits import APPLIANCE_LIMITS, Limits, parse_limits
from backupkit.passwords import (
    LOGIN_EXAMPLES,
    LOGINS,
    IdentityProvider,
    LoginEntry,
    PasswordSource,
    convert_table,
)
from backupkit.settings import (
    SettingsFile,
    check_host,
    check_text,
    read_toml,
    time_zone,
    unknown_key,
)

__all__ = ["Appliance", "Fleet", "limits_of"]

SHOWN: Final = 20
"""Maximum number of appliances shown in a notebook."""

_COLUMNS: Final = {
    "Name": "",
    "Host": "",
    "User": "",
    "Secret from": "",
    "Site": "",
    "Group": "",
    "Policy": "",
    "Excluded": "text",
}

_KEYS = (
    *("causes", "cause"),
    *("defaults", "limits", "policy", "mail", "alert", "history", "run", "metrics", "appliance"),
)
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_LANGUAGE = r"(?:\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4})(?:; ?q=[01](?:\.[0-9]{1,3})?)?"
_LANGUAGES = re.compile(rf"{_LANGUAGE}(?:, ?{_LANGUAGE}){{0,9}}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_SECRETS: Final = {"password": "password", "token": "access token", "oauth": "client secret"}
"""Word of the secret of each kind of login, for prompts and errors."""

_EXAMPLES = LOGIN_EXAMPLES | {
    "name": 'name = "vc-ham-01"',
    "host": 'host = "vc-ham-01.example.com"',
    "ca_bundle": 'ca_bundle = "ca.pem"',
    "fingerprint": 'fingerprint = "sha256:" and 64 hexadecimal digits',
    "site": 'site = "Hamburg"',
    "group": 'group = "production"',
    "timezone": 'timezone = "Europe/Berlin"',
    "language": 'language = "de" or language = "de-DE, en;q=0.5"',
    "policy": 'policy = "gold"',
    "enabled": "enabled = false",
    "limits": 'limits = { poll = "10m" }',
    "exclude": 'exclude = "being retired, change 4711"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """One vCenter Server Appliance and its connection settings.

    Attributes
    ----------
    name : str
        Key of the appliance in every frame.
    host : str
        Host name or address, with ``:port`` unless it is 443.
    user : str
        User name with SSO domain, for example ``backup-reader@vsphere.local``; not needed if
        `login` is not "password".
    password : PasswordSource
        Source of the secret: the password, an access token, or the secret of an OAuth 2.0 client.
    login : {"password", "token", "oauth"}
        Use of the secret at the login.
    provider : IdentityProvider, optional
        Issuer of the access tokens, if `login` is "oauth".
    ca_bundle : Path, optional
        PEM file of the certificate authority; default: the system's authorities.
    fingerprint : str, optional
        SHA-256 of the only trusted certificate, 64 hexadecimal digits.
    site, group : str, optional
        Labels for filters and roll-ups.
    timezone : str, optional
        IANA zone to use if the appliance does not report its own.
    language : str, optional
        Languages of the appliance's messages, as in the HTTP header Accept-Language; default:
        the appliance's own.
    policy : str, optional
        Name of the ``[policy.NAME]`` that applies.
    enabled : bool
        Whether the appliance is polled and assessed.
    exclude : str, optional
        Reason for exclusion from the SLA; the appliance is still polled and shown.
    limits : mapping, optional
        Fields of `backupkit.Limits` that are different for this appliance.
    options : tuple of str
        Options of a command that state it in place of fleet.toml, such as ``--user``; advice names
        them.
    """

    name: str
    host: str
    user: str = ""
    password: PasswordSource
    login: Literal["password", "token", "oauth"] = "password"
    provider: IdentityProvider | None = None
    ca_bundle: Path | None = None
    fingerprint: str | None = None
    site: str | None = None
    group: str | None = None
    timezone: str | None = None
    language: str | None = None
    policy: str | None = None
    enabled: bool = True
    exclude: str | None = None
    limits: Mapping[str, float | int] = field(default_factory=dict, hash=False)
    options: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        where = f'appliance "{one_line(self.name)}"'
        for key in ("name", "user", "site", "group", "policy"):
            check_text(getattr(self, key) or "", where=f"{where}: {key}")
        if not self.name.strip():
            raise SettingsError(f"appliance: the name is empty; for example: {_EXAMPLES['name']}")
        _check_address(self.host, where=f"{where}: host")
        self._check_login(where)
        if self.timezone is not None:
            time_zone(self.timezone, where=f"{where}: timezone")
        if self.language is not None and not _LANGUAGES.fullmatch(self.language):
            raise SettingsError(
                f'{where}: language = "{one_line(self.language, limit=40)}" is not a list of '
                f"language tags; for example: {_EXAMPLES['language']}"
            )
        if unknown := sorted(set(self.limits) - set(APPLIANCE_LIMITS)):
            raise SettingsError(
                f"{where}: limits: {unknown_key(unknown[0], list(APPLIANCE_LIMITS))}"
            )
        if self.exclude is not None and not self.exclude.strip():
            raise SettingsError(
                f"{where}: exclude needs a reason; for example: {_EXAMPLES['exclude']}"
            )
        if self.fingerprint is not None:
            digits = self.fingerprint.lower().replace("sha256:", "", 1).replace(":", "")
            if not _FINGERPRINT.fullmatch(digits):
                raise SettingsError(
                    f"{where}: the fingerprint must be the SHA-256 of the certificate; "
                    f"for example: {_EXAMPLES['fingerprint']}"
                )
            object.__setattr__(self, "fingerprint", digits)

    def _check_login(self, where: str) -> None:
        if self.login not in _SECRETS:
            raise SettingsError(f'{where}: login must be "password", "token" or "oauth".')
        if (self.login == "oauth") != (self.provider is not None):
            raise SettingsError(f'{where}: login="oauth" needs a provider, and only that does.')
        if not self.user and self.login == "password":
            raise SettingsError(f"{where}: the user is empty; for example: {_EXAMPLES['user']}")
        source = replace(self.password, secret=_SECRETS[self.login])
        object.__setattr__(self, "password", source)

    @property
    def account(self) -> str:
        """User, or OAuth 2.0 client, whose secret `password` is."""
        return self.provider.client if self.provider else self.user or self.login

    @property
    def secret_source(self) -> str:
        """Source of the secret as text; never the secret."""
        source = f"{self.password.kind}: {self.password.place}"
        if self.provider:
            return f"{source}, of the client {self.provider.client} at {self.provider.host}"
        return source if self.login == "password" else f"{source}, an access token"


def _check_address(host: str, *, where: str) -> None:
    """Raise unless a text is a possible host name or address, with or without a port."""
    matched = _HOST.fullmatch(host)
    if not matched or int(matched["port"] or 443) not in range(1, 65_536):
        raise SettingsError(
            f'{where} = "{one_line(host)}" must be a host name or address, with a port if it is '
            f"not 443, and nothing else; for example: {_EXAMPLES['host']}"
        )
    if name := matched["name"]:
        check_host(name, where=where)
        if name.rpartition(".")[2].isdigit():  # no domain ends in a number
            _check_ipv4(name, where=where)
        return
    try:
        ipaddress.IPv6Address(matched["ipv6"])
    except ValueError as error:
        raise SettingsError(f'{where} = "{host}" is not an IPv6 address.') from error


def _check_ipv4(host: str, *, where: str) -> None:
    try:
        ipaddress.IPv4Address(host)
    except ValueError as error:
        raise SettingsError(
            f'{where} = "{host}" ends in a number, but is not an IPv4 address; for example: '
            'host = "192.0.2.17"'
        ) from error


class _Defaults(LoginEntry, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [defaults]: values shared by all appliances."""

    ca_bundle: str | None = None
    fingerprint: str | None = None
    site: str | None = None
    group: str | None = None
    timezone: str | None = None
    language: str | None = None
    policy: str | None = None
    enabled: bool = True
    exclude: str | None = None


class _Entry(_Defaults, frozen=True, kw_only=True):
    """Table [[appliance]], merged with the defaults."""

    name: str
    host: str
    limits: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Fleet:
    """Appliances of one fleet.

    Parameters
    ----------
    appliances : iterable of Appliance
        Appliances with distinct names.
    source : str
        File they were read from, for errors and displays.
    limits : Limits, optional
        Time limits and concurrency of a collection from them.

    Raises
    ------
    SettingsError
        If two appliances have the same name.

    Examples
    --------
    >>> source = PasswordSource("env", "VCSA_PASSWORD")
    >>> fleet = Fleet([Appliance(name="vc-1", host="vc-1.test", user="u@v", password=source)])
    >>> fleet
    Fleet of 1 appliance
    >>> [appliance.host for appliance in fleet]
    ['vc-1.test']
    """

    appliances: tuple[Appliance, ...] = field(default_factory=tuple)
    source: str = ""
    limits: Limits = field(default_factory=Limits)

    def __init__(
        self, appliances: Iterable[Appliance], source: str = "", limits: Limits | None = None
    ) -> None:
        object.__setattr__(self, "appliances", tuple(appliances))
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "limits", limits or Limits())
        seen: set[str] = set()
        for appliance in self.appliances:
            if appliance.name in seen:
                raise SettingsError(
                    f'{source or "fleet"}: two appliances are named "{appliance.name}"; '
                    "the name is the key in every table, so give each its own."
                )
            seen.add(appliance.name)

    @classmethod
    def load(cls, path: str | Path | SettingsFile) -> Self:
        """Read fleet.toml.

        Parameters
        ----------
        path : str, Path or SettingsFile
            TOML file, or one parsed by `backupkit.settings.read_toml`. Paths in it are relative to
            its folder.

        Returns
        -------
        Fleet
            Appliances of the file; no password is read.

        Raises
        ------
        SettingsError
            If the file is missing or an entry is wrong; the message names file, table and key.
        """
        file = read_toml(path)
        if unknown := sorted(set(file.tables) - set(_KEYS)):
            raise SettingsError(
                f'{path}: unknown table "{unknown[0]}"; fleet.toml has [defaults], [limits], '
                "[policy], [mail], [alert], [history], [run], [metrics], [[cause]] and one "
                "[[appliance]] for each appliance."
            )
        defaults, entries = file.table("defaults"), file.tables.get("appliance", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SettingsError(f"{path}: appliance must be a list of tables: [[appliance]]")
        convert_table(defaults, _Defaults, where=f"{path}, [defaults]", examples=_EXAMPLES)
        return cls(
            (
                _appliance(defaults, entry, file=file, number=number)
                for number, entry in enumerate(entries, start=1)
            ),
            source=str(path),
            limits=Limits(**parse_limits(file.table("limits"), where=f"{path}, [limits]")),  # type: ignore[arg-type] # counts are whole numbers
        )

    def __iter__(self) -> Iterator[Appliance]:
        return (appliance for appliance in self.appliances if appliance.enabled)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Appliance:
        for appliance in self.appliances:
            if appliance.name == name:
                return appliance
        first_names = ", ".join(appliance.name for appliance in self.appliances[:5])
        raise KeyError(
            f'no appliance is named "{name}" in {self.source or "this fleet"}: {first_names}…'
        )

    def __repr__(self) -> str:
        disabled = len(self.appliances) - len(self)
        plural = "" if len(self) == 1 else "s"
        text = f"Fleet of {len(self)} appliance{plural}"
        text += f" ({disabled} more disabled)" if disabled else ""
        return text + (f" from {self.source}" if self.source else "")

    def _repr_html_(self) -> str:
        rows = [
            (
                appliance.name,
                appliance.host,
                appliance.user,
                appliance.secret_source,
                appliance.site,
                appliance.group,
                appliance.policy,
                appliance.exclude,
            )
            for appliance in islice(self, SHOWN)
        ]
        rendered = display.table(_COLUMNS, rows, caption=repr(self), limit=SHOWN, total=len(self))
        return str(display.render_container(rendered))


def limits_of(fleet: Iterable[Appliance], limits: Limits | None) -> Limits:
    """Return the given limits, or else those of the fleet."""
    if limits is None:
        return fleet.limits if isinstance(fleet, Fleet) else Limits()
    return limits


def _appliance(
    defaults: Mapping[str, Any], entry: Mapping[str, Any], *, file: SettingsFile, number: int
) -> Appliance:
    """Build an appliance from its table and the defaults."""
    name = entry.get("name")
    folder = file.path.parent
    where = f"{file}, [[appliance]] {number}" + (f' ("{name}")' if isinstance(name, str) else "")
    if LOGINS.intersection(entry):  # an own one replaces that of another kind
        defaults = {key: value for key, value in defaults.items() if key not in LOGINS}
    parsed = convert_table({**defaults, **entry}, _Entry, where=where, examples=_EXAMPLES)
    fields = msgspec.structs.asdict(parsed)
    fields["limits"] = parse_limits(parsed.limits, where=f"{where}: limits", known=APPLIANCE_LIMITS)
    del fields["token"], fields["oauth"]
    fields |= parsed.read(where=where, folder=folder)
    if parsed.ca_bundle is not None:
        fields["ca_bundle"] = folder / parsed.ca_bundle
        if not fields["ca_bundle"].is_file():
            raise SettingsError(f'{where}: ca_bundle: no such file "{fields["ca_bundle"]}".')
    try:
        return Appliance(**fields)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from error
