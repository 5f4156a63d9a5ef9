"""Mail delivery: the mail server of fleet.toml, and messages for delivery errors."""

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Self

import msgspec

from backupkit.errors import CredentialError, MailError, SettingsError, one_line
from backupkit.passwords import PasswordEntry, PasswordSource, convert_table
from backupkit.settings import SettingsFile, check_host, check_text, is_loopback, read_toml

__all__ = ["MailServer", "Security", "check_address"]

Security = Literal["starttls", "tls", "none"]

_PORTS: Final[Mapping[str, int]] = MappingProxyType({"starttls": 587, "tls": 465, "none": 25})
_EXAMPLES: Final = {
    "host": 'host = "mail.example.com"',
    "port": "port = 587",
    "security": 'security = "starttls"',
    "user": 'user = "backupkit@example.com"',
    "password": 'password = { env = "BACKUPKIT_MAIL_PASSWORD" }',
    "sender": 'sender = "backupkit@example.com"',
    "to": 'to = ["operations@example.com"]',
    "ca_bundle": 'ca_bundle = "ca.pem"',
    "timeout": "timeout = 30",
}


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [mail] of fleet.toml."""

    host: str
    sender: str
    port: int | None = None
    security: Security = "starttls"
    user: str | None = None
    password: PasswordEntry | None = None
    to: tuple[str, ...] = ()
    ca_bundle: str | None = None
    timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """SMTP server for outgoing mail.

    Attributes
    ----------
    security : {"starttls", "tls", "none"}
        Upgrade a clear-text connection to TLS, use TLS from the first byte, or use clear text.
        TLS certificates are always verified.
    port : int, optional
        Default: 587, 465 or 25, depending on `security`.
    user, password : str and PasswordSource, optional
        Both, or neither for no login.
    to : tuple of str
        Default recipients.
    ca_bundle : Path, optional
        PEM file of the certificate authority; default: the system's authorities.
    timeout : float
        Timeout of each network operation [s].

    Raises
    ------
    SettingsError
        If a value is missing or invalid.

    Examples
    --------
    >>> MailServer(host="mail.example.com", sender="backupkit@example.com").port
    587
    """

    host: str
    sender: str
    security: Security = "starttls"
    port: int = 0
    user: str | None = None
    password: PasswordSource | None = None
    to: tuple[str, ...] = ()
    ca_bundle: Path | None = None
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if not self.host.strip():
            raise SettingsError(f"host is empty; for example: {_EXAMPLES['host']}")
        check_host(self.host, where="host")
        port = self.port or _PORTS[self.security]
        if port not in range(1, 65_536):
            raise SettingsError(
                f"port = {port} must be from 1 to 65535; for example: {_EXAMPLES['port']}"
            )
        object.__setattr__(self, "port", port)
        if not 0 < self.timeout <= 3600:  # noqa: PLR2004 # one hour is long enough
            raise SettingsError(
                f"timeout = {self.timeout:g} must be above 0 and at most 3600 seconds; "
                f"for example: {_EXAMPLES['timeout']}"
            )
        if (self.user is None) != (self.password is None):
            raise SettingsError(
                "user and password go together: set both, or neither; for example: "
                f"{_EXAMPLES['user']} and {_EXAMPLES['password']}"
            )
        if self.user is not None:
            check_text(self.user, where="user")
            if not self.user.isascii():
                raise SettingsError(
                    "user has a character outside ASCII, which the log-in to a mail server cannot "
                    f"send; for example: {_EXAMPLES['user']}"
                )
        if self.user is not None and self.security == "none" and not is_loopback(self.host):
            raise SettingsError(
                'security = "none" would send the password in clear text to another machine; '
                f"for example: {_EXAMPLES['security']}"
            )
        for key, addresses in (("sender", (self.sender,)), ("to", self.to)):
            for address in addresses:
                check_address(address, where=key)

    @classmethod
    def load(cls, path: str | Path | SettingsFile) -> Self:
        """Read ``[mail]`` of fleet.toml; paths in it are relative to its folder.

        Raises
        ------
        SettingsError
            If the table is missing or an entry is wrong; the message names file, table and key.
        """
        where = f"{path}, [mail]"
        file = read_toml(path)
        if "mail" not in file.tables:
            raise SettingsError(
                f"{path}: the table [mail] is missing. Add one with at least "
                f" {_EXAMPLES['host']} and {_EXAMPLES['sender']}"
            )
        entry = convert_table(file.table("mail"), _Entry, where=where, examples=_EXAMPLES)
        folder = file.path.parent
        bundle = None if entry.ca_bundle is None else folder / entry.ca_bundle
        if bundle is not None and not bundle.is_file():
            raise SettingsError(f'{where}: ca_bundle: no such file "{bundle}".')
        try:
            return cls(
                host=entry.host,
                sender=entry.sender,
                security=entry.security,
                port=0 if entry.port is None else entry.port or -1,
                user=entry.user,
                password=None
                if entry.password is None
                else entry.password.source(where=where, folder=folder),
                to=entry.to,
                ca_bundle=bundle,
                timeout=entry.timeout,
            )
        except SettingsError as error:
            message = str(error)
            raise SettingsError(
                message if message.startswith(where) else f"{where}: {message}"
            ) from error

    def send(self, message: EmailMessage, *, to: Sequence[str] = ()) -> None:
        """Send a message to some recipients, by default `self.to`; set From and To of it.

        Raises
        ------
        SettingsError
            If there is no recipient, or an address is invalid.
        CredentialError
            If the password source has no password.
        MailError
            If delivery to any recipient fails; the message gives the cause.
        """
        recipients = tuple(to) or self.to
        if not recipients:
            raise SettingsError(
                "The mail has no recipient: use --mail-to, or write into [mail] of fleet.toml: "
                f"{_EXAMPLES['to']}"
            )
        for address in recipients:
            check_address(address, where="a recipient")
        password = None if self.password is None else self.password.read(self.user or "")
        if password is not None and not password.isascii():
            raise CredentialError(
                "the password of [mail] has a character outside ASCII, which the log-in to a mail "
                "server cannot send",
                advice="Use an application password of the mail server.",
                subject="password",
            )
        del message["From"], message["To"]
        message["From"], message["To"] = self.sender, ", ".join(recipients)
        server: _Server | None = None
        try:
            with self._connect() as server:
                if self.user is not None and password is not None:
                    server.login(self.user, password)
                refused = server.sendmail(
                    self.sender, recipients, message.as_bytes(policy=SMTP.clone(utf8=False))
                )
        except (OSError, smtplib.SMTPException) as error:
            is_refused = isinstance(error, smtplib.SMTPResponseException)
            is_unclear = server is not None and server.has_data and not is_refused
            raise MailError(
                self._error_message(error), delivery="perhaps" if is_unclear else "none"
            ) from None  # its args may hold the password
        if refused:
            recipient, (code, reply) = next(iter(refused.items()))
            raise MailError(
                f"The mail server {self.host} refused {len(refused)} of {len(recipients)} "
                f"recipients, the first {recipient}: {_reply_text(reply)} ({code}). The others "
                "received the mail.",
                delivery="partly",
            )

    def _connect(self) -> "_Server":
        """Connect with the configured security."""
        if self.security == "tls":
            return _TLSServer(self.host, self.port, timeout=self.timeout, context=self._context())
        server = _Server(self.host, self.port, timeout=self.timeout)
        if self.security == "starttls":
            try:
                server.starttls(context=self._context())
            except BaseException:
                server.close()
                raise
        return server

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_bundle)

    def _error_message(self, error: Exception) -> str:
        """Return an error message: problem and next step."""
        ports = "Check port and security of [mail]: 587 is starttls, 465 is tls."
        match error:
            case _ if TimeoutError in {type(error), type(error.__context__)}:  # smtplib hides it
                what = f"did not answer within {self.timeout:g} s"
                advice = "Check host and port of [mail], and the network."
            case smtplib.SMTPAuthenticationError():
                what = f"refused the log-in of {self.user} ({error.smtp_code})"
                advice = (
                    "Check user and password of [mail]; some servers need an application password."
                )
            case smtplib.SMTPRecipientsRefused():
                recipient, (code, reply) = next(iter(error.recipients.items()))
                what = (
                    f"refused all recipients, the first {recipient}: {_reply_text(reply)} ({code})"
                )
                advice = "Check the addresses, and whether the server relays for this machine."
            case smtplib.SMTPSenderRefused():
                code, reply = error.smtp_code, error.smtp_error
                what = (
                    f"refused {self.sender}, or the message's size: {_reply_text(reply)} ({code})"
                )
                advice = "Check sender of [mail], and the size limit of the server."
            case smtplib.SMTPNotSupportedError():
                what = f"does not support a required feature: {one_line(str(error)).rstrip('.')}"
                advice = 'Set security of [mail] to "tls", or to "none" without login.'
            case smtplib.SMTPResponseException():
                what = f"did not take the mail: {_reply_text(error.smtp_error)} ({error.smtp_code})"
                advice = "Check the log of the mail server."
            case ssl.SSLCertVerificationError():
                what = f"has a certificate that is not trusted: {error.verify_message}"
                advice = "If it is the right server, set its authority as ca_bundle in [mail]."
            case ssl.SSLError():
                what, advice = f"does not support TLS on this port: {error.reason}", ports
            case smtplib.SMTPException():
                what, advice = f"closed the connection: {one_line(str(error))}", ports
            case _:
                reason = getattr(error, "strerror", None) or one_line(str(error))
                what = f"cannot be reached: {reason}"
                advice = "Check host and port of [mail], and the network."
        return f"The mail server {self.host}:{self.port} {what}. {advice}"


class _Server(smtplib.SMTP):
    """Connection that knows if the content of a mail was sent: then it may have arrived."""

    has_data = False

    def data(self, msg: bytes | str) -> tuple[int, bytes]:  # type: ignore[override] # typeshed
        self.has_data = True
        return super().data(msg)


class _TLSServer(_Server, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""


def check_address(address: str, *, where: str) -> None:
    """Raise unless a text is one mail address, safe in a header; `where` names the setting."""
    name, at, domain = address.rpartition("@")
    plain = address.isprintable() and not set(' ,;<>()[]\\"') & set(address)
    if not (name and at and domain and plain and address.isascii()):
        raise SettingsError(
            f'{where}: "{one_line(address)}" is not a mail address; for example: {_EXAMPLES["to"]}'
        )


def _reply_text(reply: bytes | str) -> str:
    """Return a server reply as one line."""
    return one_line(reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply)
