"""Mail through an SMTP server on loopback, and every error of it."""

import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme

from backupkit.errors import CredentialError, MailError, SettingsError
from backupkit.mail import MailServer, Security
from backupkit.passwords import PasswordSource
from tests.smtp import PASSWORD, USER, Mailbox, Serve, serving

LOGIN = {"user": USER, "password": PasswordSource("env", "MAIL_PASSWORD")}
Connect = Callable[..., MailServer]
Listen = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Return a certificate authority whose certificate is in ca.pem."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Serve]:
    """Run SMTP servers on loopback."""
    with serving(authority) as run:
        yield run


def mail(subject: str = "hello", text: str = "Grüße\n") -> EmailMessage:
    """Return a message."""
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content(text)
    return message


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function for the settings of a server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)

    def settings(mailbox: Mailbox, **more: Any) -> MailServer:  # noqa: ANN401 # any setting
        values = {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "sender": USER,
            "to": ("ops@example.com",),
            "ca_bundle": tmp_path / "ca.pem",
            "timeout": 10.0,
        }
        return MailServer(**{**values, **more})

    return settings


class TestSend:
    """MailServer.send."""

    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
    @pytest.mark.parametrize("security", ["starttls", "tls", "none"])
    @pytest.mark.parametrize("login", [True, False])
    def test_security(
        self, serve: Serve, connect: Connect, security: Security, *, login: bool
    ) -> None:
        """A mail is sent by STARTTLS, TLS or clear text, with and without a login."""
        mailbox = serve(security, login=login)
        connect(mailbox, security=security, **(LOGIN if login else {})).send(mail())
        (message,) = mailbox.messages
        assert (message["From"], message["To"]) == (USER, "ops@example.com")
        payload = message.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert payload.decode().strip() == "Grüße"
        assert mailbox.got[0].rcpt_tos == ["ops@example.com"]

    def test_other_recipients(self, serve: Serve, connect: Connect) -> None:
        """Recipients of the call replace those of the settings."""
        mailbox = serve()
        connect(mailbox).send(mail(), to=["a@example.com", "b@example.com"])
        assert mailbox.got[0].rcpt_tos == ["a@example.com", "b@example.com"]


class TestErrors:
    """Errors name the next step, and never the password."""

    def failure(self, server: MailServer, message: EmailMessage, *to: str) -> str:
        """Return the error of a message that cannot be sent."""
        with pytest.raises(MailError) as caught:
            server.send(message, to=to)
        assert PASSWORD not in str(caught.value)
        assert caught.value.__cause__ is None
        return str(caught.value)

    def test_wrong_password(
        self, serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wrong password is an error that names the user."""
        mailbox = serve(login=True)
        monkeypatch.setenv("MAIL_PASSWORD", f"{PASSWORD}!")
        error = self.failure(connect(mailbox, **LOGIN), mail())
        assert f"refused the log-in of {USER} (535)" in error

    def test_no_password(
        self, serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A source without a password is an error before the server is contacted."""
        monkeypatch.delenv("MAIL_PASSWORD")
        with pytest.raises(CredentialError, match="MAIL_PASSWORD is not set"):
            connect(serve(login=True), **LOGIN).send(mail())

    def test_password_outside_ascii(
        self, serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A password that the log-in cannot send is an error that does not show it."""
        monkeypatch.setenv("MAIL_PASSWORD", "Grün-Pass-7")
        with pytest.raises(CredentialError, match="a character outside ASCII") as caught:
            connect(serve(login=True), **LOGIN).send(mail())
        assert "Pass-7" not in str(caught.value)

    def test_refused_recipient(self, serve: Serve, connect: Connect) -> None:
        """A refused recipient is named, and the others get the mail."""
        mailbox = serve()
        error = self.failure(connect(mailbox), mail(), "a@example.com", "nobody@example.com")
        assert "refused 1 of 2 recipients, the first nobody@example.com" in error
        assert "no such user here (550)" in error
        assert mailbox.got[0].rcpt_tos == ["a@example.com"]

    def test_all_recipients_refused(self, serve: Serve, connect: Connect) -> None:
        """No mail is sent if every recipient is refused."""
        error = self.failure(connect(serve()), mail(), "nobody@example.com")
        assert "refused all recipients, the first nobody@example.com: no such user here" in error

    def test_refused_message(self, serve: Serve, connect: Connect) -> None:
        """The server's reason for a refused message is in the error."""
        error = self.failure(connect(serve()), mail("refuse me"))
        assert "did not take the mail: looks like spam (554)" in error

    def test_too_large(self, serve: Serve, connect: Connect) -> None:
        """A message above the server's limit is an error that mentions the size."""
        error = self.failure(connect(serve(size=1000)), mail(text="x" * 5000))
        assert "the message's size" in error

    def test_no_starttls(self, serve: Serve, connect: Connect) -> None:
        """A server without STARTTLS gets no mail."""
        mailbox = serve("none")
        assert "does not support a required feature" in self.failure(connect(mailbox), mail())
        assert not mailbox.got

    def test_unknown_authority(self, serve: Serve, connect: Connect) -> None:
        """A certificate of an unknown authority is not trusted."""
        for security in ("starttls", "tls"):
            error = self.failure(
                connect(serve(security), security=security, ca_bundle=None), mail()
            )
            assert "certificate that is not trusted" in error
            assert "ca_bundle in [mail]" in error

    def test_tls_to_clear_text(self, serve: Serve, connect: Connect) -> None:
        """TLS to a port that speaks clear text is an error that names the usual ports."""
        error = self.failure(connect(serve("none"), security="tls"), mail())
        assert "does not support TLS on this port" in error
        assert "587 is starttls, 465 is tls" in error

    def test_no_server(self, connect: Connect) -> None:
        """A port without a server is an error."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert "cannot be reached: Connection refused" in self.failure(
            connect(Mailbox(port)), mail()
        )

    def test_no_answer(self, connect: Connect) -> None:
        """A server that sends nothing is an error after the timeout."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            server = connect(Mailbox(silent.getsockname()[1]), timeout=0.2)
            assert "did not answer within 0.2 s" in self.failure(server, mail())

    def test_closed_connection(self, connect: Connect, listener: Listen) -> None:
        """A closed connection is an error."""
        port = int(listener(lambda _connection: None).rpartition(":")[2])
        assert "closed the connection" in self.failure(connect(Mailbox(port)), mail())

    def test_refused_sender(self, connect: Connect, listener: Listen) -> None:
        """A refused sender is named."""

        def refuse(connection: socket.socket) -> None:
            for answer in (b"220 hi\r\n", b"250 hello\r\n", b"553 not you\r\n", b"250 OK\r\n"):
                connection.sendall(answer)
                connection.recv(1000)

        port = int(listener(refuse).rpartition(":")[2])
        error = self.failure(connect(Mailbox(port), security="none"), mail())
        assert f"refused {USER}, or the message's size: not you (553)" in error

    def test_no_recipient(self, connect: Connect) -> None:
        """A mail without a recipient is an error before the server is contacted."""
        with pytest.raises(SettingsError, match="has no recipient"):
            connect(Mailbox(1), to=()).send(mail())

    @pytest.mark.parametrize(
        "address",
        ["operations", "a@b\nBcc: x@y", "a b@c", "@c", "a@", "a,b@c", "<a@b>", "ä@b.c"],
    )
    def test_invalid_address(self, connect: Connect, address: str) -> None:
        """An invalid address is an error, and never becomes a header."""
        with pytest.raises(SettingsError, match="is not a mail address"):
            connect(Mailbox(1)).send(mail(), to=[address])


CLEAR = """
[mail]
host = "mail.example.com"
sender = "a@b"
security = "none"
user = "u"
password = { env = "X" }
"""


class TestSettings:
    """`MailServer.load`: the table [mail] of fleet.toml."""

    def load(self, folder: Path, text: str) -> MailServer:
        """Read the table from a file."""
        path = folder / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        return MailServer.load(path)

    @pytest.mark.usefixtures("authority")
    def test_all_keys(self, tmp_path: Path) -> None:
        """Each key is read; paths are relative to the file; no password is read."""
        server = self.load(
            tmp_path,
            '[mail]\nhost = "mail.example.com"\nport = 2525\nsecurity = "tls"\n'
            'user = "u"\npassword = { file = "secret" }\nsender = "a@example.com"\n'
            'to = ["b@example.com"]\nca_bundle = "ca.pem"\ntimeout = 5\n',
        )
        assert server == MailServer(
            host="mail.example.com",
            port=2525,
            security="tls",
            user="u",
            password=PasswordSource("file", str(tmp_path / "secret")),
            sender="a@example.com",
            to=("b@example.com",),
            ca_bundle=tmp_path / "ca.pem",
            timeout=5.0,
        )

    @pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
    def test_usual_ports(self, tmp_path: Path, security: str, port: int) -> None:
        """Each kind of connection has its usual port."""
        text = f'[mail]\nhost = "m"\nsender = "a@b.c"\nsecurity = "{security}"\n'
        assert self.load(tmp_path, text).port == port

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the table [mail] is missing"),
            ("mail = 3", "mail must be a table: [mail]"),
            ('[mail]\nhost = "m"', "sender"),
            ('[mail]\nhost = " "\nsender = "a@b"', "host is empty"),
            ('[mail]\nhost = "m"\nsender = "a"', '"a" is not a mail address'),
            ('[mail]\nhost = "m"\nsender = "a@b"\nport = 0', "must be from 1 to 65535"),
            ('[mail]\nhost = "m"\nsender = "a@b"\ntimeout = 0', "timeout"),
            ('[mail]\nhost = "m"\nsender = "a@b"\nuser = "u"', "go together"),
            (
                '[mail]\nhost = "m"\nsender = "a@b"\npassword = "hunter2"',
                "must not be in",
            ),
            ('[mail]\nhost = "m"\nsender = "a@b"\npassword = {}', "must be one of"),
            ('[mail]\nhost = "m"\nsender = "a@b"\nsecurity = "ssl"', 'security = "starttls"'),
            ('[mail]\nhost = "m"\nsender = "a@b"\nca_bundle = "x.pem"', "no such file"),
            ('[mail]\nhost = "m..x"\nsender = "a@b"', 'host: no host is named "m..x"'),
            (
                '[mail]\nhost = "m"\nsender = "a@b"\nuser = "bkü"\npassword = { env = "A" }',
                "user has a character outside ASCII",
            ),
            (CLEAR, "clear text to another machine"),
        ],
    )
    def test_invalid_table(self, tmp_path: Path, text: str, message: str) -> None:
        """An invalid entry is an error with file and table, and without the password."""
        with pytest.raises(SettingsError) as caught:
            self.load(tmp_path, text)
        assert message in str(caught.value)
        assert str(tmp_path / "fleet.toml") in str(caught.value)
        assert str(caught.value).count("fleet.toml, [mail]") <= 1
        assert "hunter2" not in str(caught.value)

    def test_localhost(self) -> None:
        """A password may be sent in clear text to this machine."""
        server = MailServer(
            host="localhost",
            sender="a@b",
            security="none",
            **LOGIN,  # type: ignore[arg-type] # the values fit
        )
        assert server.host == "localhost"
