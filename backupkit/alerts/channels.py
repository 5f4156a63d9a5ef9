"""Channels: how a digest reaches people and services."""

import hashlib
import hmac
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final, Protocol

from backupkit._version import __version__
from backupkit.alerts.messages import Digest
from backupkit.client.webhook import send_request
from backupkit.errors import CredentialError, DeliveryError, SettingsError, describe_installation
from backupkit.mail import MailServer
from backupkit.passwords import PasswordSource
from backupkit.settings import check_url

__all__ = ["Channel", "ChatChannel", "Heartbeat", "MailChannel", "SecretURL", "WebhookChannel"]

SIGNATURE_HEADER: Final = "X-Backupkit-Signature"
TOKEN_HEADER: Final = "X-Backupkit-Message"  # noqa: S105 # no secret
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"


class Channel(Protocol):
    """Something that accepts a digest."""

    @property
    def name(self) -> str:
        """Name of the channel, as the history stores it."""

    def send(self, digest: Digest) -> None:
        """Send a digest.

        Raises
        ------
        DeliveryError
            If it was not accepted.
        CredentialError
            If a secret cannot be read.
        """


@dataclass(frozen=True, slots=True)
class SecretURL:
    """A URL, or the source of one that holds a secret.

    Attributes
    ----------
    text : str or None
        The URL, if it stands in fleet.toml.
    source : PasswordSource or None
        Its source otherwise.
    where : str
        The entry of fleet.toml, for errors.
    """

    text: str | None = field(repr=False)
    source: PasswordSource | None
    where: str

    def read(self) -> str:
        """Return the URL."""
        if self.source is None:
            return self.text or ""
        return read_secret(self.source, "URL", self.where)


def read_secret(source: PasswordSource, noun: str, where: str) -> str:
    """Return a secret; an error names the entry of fleet.toml."""
    try:
        return replace(source, secret=noun).read("backupkit")
    except CredentialError as error:
        raise CredentialError(
            error.problem, advice=f"Store the {noun} there, as one line.", subject=where
        ) from error


@dataclass(frozen=True, slots=True)
class MailChannel:
    """Mail to some recipients."""

    server: MailServer
    to: tuple[str, ...] = ()
    name: str = "mail"

    def send(self, digest: Digest) -> None:
        """Send a digest as plain text; one that some recipients got is sent."""
        message = EmailMessage()
        message["Subject"] = digest.subject
        message["Date"] = format_datetime(digest.created_at)
        message["Message-ID"] = f"<{digest.token}@backupkit.invalid>"
        message["List-Id"] = "vCenter backup alerts <alerts.backupkit.invalid>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Mailer"] = f"backupkit {__version__}"
        message.set_content(f"{digest.text}\n")
        self.server.send(message, to=self.to)


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A JSON document to a URL, signed if there is a secret."""

    name: str
    url: SecretURL
    secret: PasswordSource | None = None
    ca_bundle: Path | None = None
    timeout: float = 30.0

    def send(self, digest: Digest) -> None:
        """Send a digest as JSON."""
        # the draft of the IETF has the key in quotation marks
        headers = {TOKEN_HEADER: digest.token, IDEMPOTENCY_HEADER: f'"{digest.token}"'}
        if self.secret is not None:
            key = read_secret(self.secret, "secret", self.url.where)
            signature = hmac.new(key.encode(), digest.body, hashlib.sha256).hexdigest()
            headers[SIGNATURE_HEADER] = f"sha256={signature}"
        url = self.url.read()
        check_url(url, where=self.url.where)
        send_request(url, digest.body, headers, ca_bundle=self.ca_bundle, timeout=self.timeout)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A URL that is called after each completed run, so that a missing run is noticed."""

    url: SecretURL

    def ping(self) -> None:
        """Call the URL.

        Raises
        ------
        DeliveryError
            If the service does not respond well.
        CredentialError, SettingsError
            If the URL cannot be read, or is none.
        """
        url = self.url.read()
        check_url(url, where=self.url.where)
        send_request(url)


@dataclass(frozen=True, slots=True)
class ChatChannel:
    """A chat or another service of the package apprise."""

    name: str
    url: SecretURL

    def send(self, digest: Digest) -> None:
        """Send a digest as Markdown."""
        apprise = _import_apprise()
        url = self.url.read()
        with _muted_log(), warnings.catch_warnings():
            # it loads its services when first used, and they import what Python deprecates
            warnings.simplefilter("ignore", DeprecationWarning)
            service: Any = apprise.Apprise.instantiate(url)
            if service is None:
                raise SettingsError(
                    "apprise does not know the form of the URL",
                    advice="Its documentation has the form for each service.",
                    subject=self.url.where,
                )
            is_accepted = service.notify(
                body=digest.chat,
                title=digest.title,
                body_format=apprise.NotifyFormat.MARKDOWN,
            )
        if not is_accepted:
            raise DeliveryError(
                f"{service.service_name} did not accept the message",
                advice="Check the URL of the channel, and the network.",
            )


@contextmanager
def _muted_log() -> Iterator[None]:
    """Drop what apprise logs: it quotes URLs, which hold secrets."""
    log = logging.getLogger("apprise")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _import_apprise() -> Any:  # noqa: ANN401 # a module
    try:
        import apprise  # noqa: PLC0415 # optional
    except ImportError as error:
        raise SettingsError(
            f"[alert.urls] of fleet.toml needs apprise. {describe_installation('notify')}"
        ) from error
    return apprise
