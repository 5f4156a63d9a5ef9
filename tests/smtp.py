"""An SMTP server on loopback, for the tests of mail."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from backupkit.mail import Security

PASSWORD = "correct horse battery staple"
USER = "backupkit@example.com"


@dataclass
class Mailbox:
    """An SMTP server that stores the mails it receives."""

    port: int = 0
    got: list[Envelope] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """Return the mails as messages."""
        return [message_from_bytes(bytes(one.content or b"")) for one in self.got]

    async def handle_RCPT(  # noqa: N802 # the name is the library's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        """Refuse recipients that begin with `nobody`."""
        if address.startswith("nobody"):
            return "550 no such user\there"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 # the name is the library's
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Store a message, unless its subject is `refuse me`."""
        if b"Subject: refuse me" in bytes(envelope.content or b""):
            return "554 looks like spam"
        self.got.append(envelope)
        return "250 kept"


def authenticate(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object
) -> AuthResult:
    """Accept one user."""
    known = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == known, handled=False)


Serve = Callable[..., Mailbox]


@contextlib.contextmanager
def serving(authority: trustme.CA) -> Iterator[Serve]:
    """Yield a function that runs an SMTP server on loopback, with a certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with contextlib.ExitStack() as stack:

        def run(security: Security = "starttls", *, login: bool = False, size: int = 0) -> Mailbox:
            mailbox = Mailbox()
            options: dict[str, Any] = {"data_size_limit": size or None}
            if security == "starttls":
                options |= {"tls_context": context, "require_starttls": True}
            if login:
                options |= {
                    "authenticator": authenticate,
                    "auth_required": True,
                    "auth_require_tls": security == "starttls",
                }
            with socket.create_server(("127.0.0.1", 0)) as free:
                mailbox.port = free.getsockname()[1]
            server = Controller(
                mailbox,
                hostname="127.0.0.1",
                port=mailbox.port,
                ssl_context=context if security == "tls" else None,
                **options,
            )
            server.start()
            stack.callback(server.stop)
            return mailbox

        yield run
