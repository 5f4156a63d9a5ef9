"""Address of ``backupkit metrics --listen``, and table [metrics] of fleet.toml: TLS and login."""

import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from backupkit.errors import SettingsError
from backupkit.passwords import PasswordEntry, PasswordSource, convert_table

if TYPE_CHECKING:
    from backupkit.settings import SettingsFile

__all__ = ["Address", "MetricsSettings", "parse_address"]

_EXAMPLES: Final = {
    "certificate": 'certificate = "metrics.crt"',
    "key": 'key = "metrics.key"',
    "user": 'user = "prometheus"',
    "password": 'password = { file = "metrics.password" }',
}
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})"
)
_MAX_PORT: Final = 65_535


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [metrics] of fleet.toml."""

    certificate: str | None = None
    key: str | None = None
    user: str | None = None
    password: PasswordEntry | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Address to listen on: family of the socket, IP address and port.

    Examples
    --------
    >>> parse_address("127.0.0.1:9400").is_loopback, parse_address("0.0.0.0:9400").is_loopback
    (True, False)
    """

    family: socket.AddressFamily
    ip: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can connect."""
        return ipaddress.ip_address(self.ip.partition("%")[0]).is_loopback


def parse_address(text: str) -> Address:
    """Parse HOST:PORT, where the host is an IP address or a name.

    Raises
    ------
    SettingsError
        If the text is none, or the name does not resolve.

    Examples
    --------
    >>> parse_address("[::1]:9400").ip
    '::1'
    """
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > _MAX_PORT:
        raise SettingsError(
            f'--listen: "{text}" is no address with a port; for example: --listen 127.0.0.1:9400'
        )
    host = found["ipv6"] or found["host"]
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host, int(found["port"]), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"--listen: {host} does not resolve. Name an address of this machine; for example: "
            "--listen 127.0.0.1:9400"
        ) from error
    return Address(family, str(place[0]), int(place[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """TLS and login of the metrics endpoint; None leaves one out.

    Attributes
    ----------
    certificate, key : Path, optional
        PEM files of the server; both, or neither.
    user, password : str and PasswordSource, optional
        Login by HTTP basic authentication; both, or neither.
    where : str
        File and table, for errors.
    """

    certificate: Path | None
    key: Path | None
    user: str | None
    password: PasswordSource | None
    where: str

    @classmethod
    def load(cls, file: "SettingsFile") -> "MetricsSettings":
        """Read ``[metrics]`` of fleet.toml; paths in it are relative to its folder.

        Raises
        ------
        SettingsError
            If an entry is wrong, or one of two that go together is missing.
        """
        where = f"{file}, [metrics]"
        entry = convert_table(file.table("metrics"), _Entry, where=where, examples=_EXAMPLES)
        folder = file.path.parent
        for one, other in (("certificate", "key"), ("user", "password")):
            if (getattr(entry, one) is None) != (getattr(entry, other) is None):
                raise SettingsError(
                    f"{where}: {one} and {other} go together; for example: {_EXAMPLES[one]} and "
                    f"{_EXAMPLES[other]}"
                )
        if entry.user is not None and (":" in entry.user or not entry.user):
            raise SettingsError(
                f'{where}: "user" must not be empty nor have a colon; for example: '
                f"{_EXAMPLES['user']}"
            )
        return cls(
            certificate=None if entry.certificate is None else folder / entry.certificate,
            key=None if entry.key is None else folder / entry.key,
            user=entry.user,
            password=None
            if entry.password is None
            else entry.password.source(where=where, folder=folder),
            where=where,
        )

    def check_exposure(self, address: Address) -> None:
        """Check that other machines can connect only with TLS and a login.

        Raises
        ------
        SettingsError
            If the address is not loopback, and one of both is missing.
        """
        if not address.is_loopback and (self.certificate is None or self.user is None):
            raise SettingsError(
                f"--listen: {address.ip} can be reached from other machines, and the metrics name "
                f"your appliances. Set certificate, key, user and password in {self.where}, or "
                "listen on 127.0.0.1."
            )

    def build_tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context of the server; None without a certificate.

        Raises
        ------
        SettingsError
            If certificate and key cannot be read, or do not belong together.
        """
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # an empty password instead of a prompt, on which a service would wait
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise SettingsError(
                f"{self.where}: certificate {self.certificate} with key {self.key} cannot be used: "
                f"{reason}. Both must be PEM files that belong together, the key without a "
                "passphrase."
            ) from error
        return context
