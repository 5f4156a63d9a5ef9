"""Fleet: the appliances of fleet.toml and the sources of their passwords.

fleet.toml never contains a password. Passwords are read only when appliances are polled.
"""

import getpass
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

import msgspec

from backupkit.display import container, table
from backupkit.errors import CredentialError, SettingsError
from backupkit.settings import SettingsFile, convert, read_toml, time_zone

__all__ = ["Appliance", "Fleet", "PasswordEntry", "PasswordSource", "convert_table"]

T = TypeVar("T")

SHOWN: Final = 20
"""Maximum number of appliances shown in a notebook."""

_COLUMNS: Final = {
    "Name": "",
    "Host": "",
    "User": "",
    "Password from": "",
    "Site": "",
    "Group": "",
    "Policy": "",
    "Excluded": "text",
}

_TABLES = ("defaults", "policy", "mail", "history", "appliance")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_EXAMPLES = {
    "name": 'name = "vc-ham-01"',
    "host": 'host = "vc-ham-01.example.com"',
    "user": 'user = "backup-reader@vsphere.local"',
    "password": 'password = { env = "BACKUPKIT_PASSWORD" }',
    "ca_bundle": 'ca_bundle = "ca.pem"',
    "fingerprint": 'fingerprint = "sha256:" and 64 hexadecimal digits',
    "site": 'site = "Hamburg"',
    "group": 'group = "production"',
    "timezone": 'timezone = "Europe/Berlin"',
    "policy": 'policy = "gold"',
    "enabled": "enabled = false",
    "exclude": 'exclude = "being retired, change 4711"',
}
_SOURCE_FORMS = (
    '{ env = "VARIABLE" }, { file = "path" }, { keyring = "service" } or { prompt = true }'
)


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Source of a password; never the password itself.

    Attributes
    ----------
    kind : {"env", "file", "keyring", "prompt"}
        Type of the source.
    place : str
        Environment variable, file path, keyring service, or target named in the prompt.

    Examples
    --------
    >>> PasswordSource("env", "VCSA_PASSWORD")
    PasswordSource(kind='env', place='VCSA_PASSWORD')
    """

    kind: Literal["env", "file", "keyring", "prompt"]
    place: str

    def read(self, user: str) -> str:
        """Return the password from the source.

        Parameters
        ----------
        user : str
            User name, for the keyring and the prompt.

        Returns
        -------
        str
            The password.

        Raises
        ------
        CredentialError
            If the source has no password; the message names the source.
        """
        match self.kind:
            case "env":
                password = os.environ.get(self.place, "")
                hint = f"the environment variable {self.place} is not set; set it to the password"
            case "file":
                password = self._read_file()
                hint = f"the file {self.place} is empty; write the password on its first line"
            case "keyring":
                password = self._read_keyring(user)
                hint = (
                    f"the keyring has no password of {user} for {self.place}; store it with: "
                    f"keyring set {self.place} {user}"
                )
            case _:  # prompt
                password = self._ask(user)
                hint = "none was typed; run the command again at a terminal"
        if not password:
            raise CredentialError(f"No password: {hint}.")
        return password

    def _read_file(self) -> str:
        try:
            lines = Path(self.place).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise CredentialError(
                f"No password: the file {self.place} cannot be read: it is not UTF-8 text."
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a path with NUL
            reason = getattr(error, "strerror", None) or "there is no such path"
            raise CredentialError(
                f"No password: the file {self.place} cannot be read: {reason}."
            ) from error
        return lines[0].strip() if lines else ""

    def _ask(self, user: str) -> str:
        try:
            return getpass.getpass(f"Password of {user} for {self.place}: ")
        except EOFError:  # no terminal, as in a scheduled run
            return ""

    def _read_keyring(self, user: str) -> str:
        try:
            import keyring  # noqa: PLC0415 # optional dependency
        except ImportError as error:
            raise CredentialError(
                "No password: the keyring package is missing; "
                "install it with: pip install 'backupkit[keyring]'"
            ) from error
        try:
            return keyring.get_password(self.place, user) or ""
        except keyring.errors.KeyringError as error:
            raise CredentialError(
                f"No password: the keyring could not be asked for {self.place}: "
                f"{type(error).__name__}."
            ) from error


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
        User name with SSO domain, for example ``backup-reader@vsphere.local``.
    password : PasswordSource
        Source of the password.
    ca_bundle : Path, optional
        PEM file of the certificate authority; default: the system's authorities.
    fingerprint : str, optional
        SHA-256 of the only trusted certificate, 64 hexadecimal digits.
    site, group : str, optional
        Labels for filters and roll-ups.
    timezone : str, optional
        IANA zone to use if the appliance does not report its own.
    policy : str, optional
        Name of the ``[policy.NAME]`` that applies.
    enabled : bool
        Whether the appliance is polled and assessed.
    exclude : str, optional
        Reason for exclusion from the SLA; the appliance is still polled and shown.
    """

    name: str
    host: str
    user: str
    password: PasswordSource
    ca_bundle: Path | None = None
    fingerprint: str | None = None
    site: str | None = None
    group: str | None = None
    timezone: str | None = None
    policy: str | None = None
    enabled: bool = True
    exclude: str | None = None

    def __post_init__(self) -> None:
        where = f'appliance "{self.name}"'
        if not self.name.strip():
            raise SettingsError(f"appliance: the name is empty; for example: {_EXAMPLES['name']}")
        matched = _HOST.fullmatch(self.host)
        if not matched or int(matched["port"] or 443) not in range(1, 65_536):
            raise SettingsError(
                f'{where}: host = "{self.host}" must be a host name or address, with a port if it '
                f"is not 443, and nothing else; for example: {_EXAMPLES['host']}"
            )
        if not self.user:
            raise SettingsError(f"{where}: the user is empty; for example: {_EXAMPLES['user']}")
        if self.timezone is not None:
            time_zone(self.timezone, where=f"{where}: timezone")
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


class PasswordEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Password source in fleet.toml: exactly one of the four keys is set."""

    env: str | None = None
    file: str | None = None
    keyring: str | None = None
    prompt: bool | None = None

    def source(self, *, where: str, folder: Path) -> PasswordSource:
        """Return the password source.

        Parameters
        ----------
        where : str
            Table in fleet.toml, for error messages.
        folder : Path
            Base folder of a relative file path.

        Returns
        -------
        PasswordSource
            Source of the password.

        Raises
        ------
        SettingsError
            If not exactly one key is set.
        """
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        if len(given) != 1:
            raise SettingsError(f'{where}: "password" must be one of {_SOURCE_FORMS}.')
        [(kind, place)] = given.items()
        if kind == "file":
            place = str(folder / place)
        return PasswordSource(kind, "the fleet" if kind == "prompt" else place)  # type: ignore[arg-type] # a field's name is the kind


class _Shared(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    ca_bundle: str | None = None
    fingerprint: str | None = None
    site: str | None = None
    group: str | None = None
    timezone: str | None = None
    policy: str | None = None
    enabled: bool = True
    exclude: str | None = None


class _Defaults(_Shared, frozen=True, kw_only=True):
    """Table [defaults]: values shared by all appliances."""

    user: str | None = None
    password: PasswordEntry | None = None


class _Entry(_Shared, frozen=True, kw_only=True):
    """Table [[appliance]], merged with the defaults."""

    name: str
    host: str
    user: str
    password: PasswordEntry


@dataclass(frozen=True)
class Fleet:
    """Appliances of one fleet.

    Parameters
    ----------
    appliances : iterable of Appliance
        Appliances with distinct names.
    source : str
        File they were read from, for errors and displays.

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

    def __init__(self, appliances: Iterable[Appliance], source: str = "") -> None:
        object.__setattr__(self, "appliances", tuple(appliances))
        object.__setattr__(self, "source", source)
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
        if unknown := sorted(set(file.tables) - set(_TABLES)):
            raise SettingsError(
                f'{path}: unknown table "{unknown[0]}"; fleet.toml has [defaults], [policy], '
                "[mail], [history] and one [[appliance]] for each appliance."
            )
        defaults, entries = file.table("defaults"), file.tables.get("appliance", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SettingsError(f"{path}: appliance must be a list of tables: [[appliance]]")
        convert_table(defaults, _Defaults, where=f"{path}, [defaults]")
        return cls(
            (
                _appliance(defaults, entry, file=file, number=number)
                for number, entry in enumerate(entries, start=1)
            ),
            source=str(path),
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
                # the source, never the password
                f"{appliance.password.kind}: {appliance.password.place}",
                appliance.site,
                appliance.group,
                appliance.policy,
                appliance.exclude,
            )
            for appliance in islice(self, SHOWN)
        ]
        rendered = table(_COLUMNS, rows, caption=repr(self), limit=SHOWN, total=len(self))
        return str(container(rendered))


def convert_table(
    table: Mapping[str, Any], kind: type[T], *, where: str, examples: Mapping[str, str] = _EXAMPLES
) -> T:
    """Convert a table of fleet.toml to a struct; reject a password written as text.

    Parameters
    ----------
    table : mapping
        Parsed TOML table.
    kind : type
        Struct type to convert to.
    where : str
        File and table, for error messages.
    examples : mapping of str to str
        Valid entry for each key, for error messages.

    Returns
    -------
    kind
        The converted table.

    Raises
    ------
    SettingsError
        If a key or a value is wrong, or the password is written as text.
    """
    if isinstance(table.get("password"), str):
        raise SettingsError(
            f"{where}: a password is never written into this file. Say where it is kept: "
            f"password = {_SOURCE_FORMS}."
        )
    return convert(table, kind, where=where, examples=examples)


def _appliance(
    defaults: Mapping[str, Any], entry: Mapping[str, Any], *, file: SettingsFile, number: int
) -> Appliance:
    """Build an appliance from its table and the defaults."""
    name = entry.get("name")
    folder = file.path.parent
    where = f"{file}, [[appliance]] {number}" + (f' ("{name}")' if isinstance(name, str) else "")
    parsed = convert_table({**defaults, **entry}, _Entry, where=where)
    fields = msgspec.structs.asdict(parsed)
    fields["password"] = parsed.password.source(where=where, folder=folder)
    if parsed.ca_bundle is not None:
        fields["ca_bundle"] = folder / parsed.ca_bundle
        if not fields["ca_bundle"].is_file():
            raise SettingsError(f'{where}: ca_bundle: no such file "{fields["ca_bundle"]}".')
    try:
        return Appliance(**fields)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from error
