"""Mail through a real SMTP server on loopback, and every way in which that fails."""

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


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Make an authority, whose certificate is in ca.pem."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Serve]:
    """Run SMTP servers on loopback."""
    with serving(authority) as run:
        yield run


def note(subject: str = "hello", text: str = "Grüße\n") -> EmailMessage:
    """Write a message."""
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content(text)
    return message


@pytest.fixture
def to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MailServer]:
    """Give the settings that lead to a server."""
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


LOGIN = {"user": USER, "password": PasswordSource("env", "MAIL_PASSWORD")}
To = Callable[..., MailServer]


class TestSending:
    """What arrives."""

    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
    @pytest.mark.parametrize("security", ["starttls", "tls", "none"])
    @pytest.mark.parametrize("login", [True, False])
    def test_each_way(self, serve: Serve, to: To, security: Security, *, login: bool) -> None:
        """By STARTTLS, TLS or in clear text on this machine, with a log-in or without."""
        mailbox = serve(security, login=login)
        to(mailbox, security=security, **(LOGIN if login else {})).send(note())
        (message,) = mailbox.messages
        assert (message["From"], message["To"]) == (USER, "ops@example.com")
        payload = message.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert payload.decode().strip() == "Grüße"
        assert mailbox.got[0].rcpt_tos == ["ops@example.com"]

    def test_other_recipients(self, serve: Serve, to: To) -> None:
        """Who is named by the caller gets it, instead of those of the settings."""
        mailbox = serve()
        to(mailbox).send(note(), to=["a@example.com", "b@example.com"])
        assert mailbox.got[0].rcpt_tos == ["a@example.com", "b@example.com"]


class TestTrouble:
    """What fails is said, with the next step, and without the password."""

    def failure(self, server: MailServer, message: EmailMessage, *to: str) -> str:
        """Give the error of a message that cannot be sent."""
        with pytest.raises(MailError) as caught:
            server.send(message, to=to)
        assert PASSWORD not in str(caught.value)
        assert caught.value.__cause__ is None
        return str(caught.value)

    def test_a_refused_log_in(self, serve: Serve, to: To, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong password is said to be refused."""
        mailbox = serve(login=True)
        monkeypatch.setenv("MAIL_PASSWORD", f"{PASSWORD}!")
        told = self.failure(to(mailbox, **LOGIN), note())
        assert f"refused the log-in of {USER} (535)" in told

    def test_no_password(self, serve: Serve, to: To, monkeypatch: pytest.MonkeyPatch) -> None:
        """A place without a password is named before anything is asked of the server."""
        monkeypatch.delenv("MAIL_PASSWORD")
        with pytest.raises(CredentialError, match="MAIL_PASSWORD is not set"):
            to(serve(login=True), **LOGIN).send(note())

    def test_a_refused_recipient(self, serve: Serve, to: To) -> None:
        """Of several recipients the refused one is named, and the others have it."""
        mailbox = serve()
        told = self.failure(to(mailbox), note(), "a@example.com", "nobody@example.com")
        assert "refused 1 of 2 recipients, the first nobody@example.com" in told
        assert "no such user here (550)" in told
        assert mailbox.got[0].rcpt_tos == ["a@example.com"]

    def test_all_recipients_refused(self, serve: Serve, to: To) -> None:
        """Where nobody is left the mail is not sent."""
        told = self.failure(to(serve()), note(), "nobody@example.com")
        assert "refused all recipients, the first nobody@example.com: no such user here" in told

    def test_a_refused_message(self, serve: Serve, to: To) -> None:
        """What the server says of the message is passed on."""
        told = self.failure(to(serve()), note("refuse me"))
        assert "did not take the mail: looks like spam (554)" in told

    def test_too_large(self, serve: Serve, to: To) -> None:
        """A message above the server's limit is refused with the size in mind."""
        told = self.failure(to(serve(size=1000)), note(text="x" * 5000))
        assert "the message's size" in told

    def test_no_starttls(self, serve: Serve, to: To) -> None:
        """A server that does not turn to TLS gets nothing."""
        mailbox = serve("none")
        assert "does not support a required feature" in self.failure(to(mailbox), note())
        assert not mailbox.got

    def test_an_unknown_authority(self, serve: Serve, to: To) -> None:
        """A certificate that nobody vouches for is not trusted, either way."""
        for security in ("starttls", "tls"):
            told = self.failure(to(serve(security), security=security, ca_bundle=None), note())
            assert "certificate that is not trusted" in told
            assert "ca_bundle in [mail]" in told

    def test_tls_to_a_clear_text_port(self, serve: Serve, to: To) -> None:
        """TLS where the server speaks clear text is said to be that."""
        told = self.failure(to(serve("none"), security="tls"), note())
        assert "does not support TLS on this port" in told
        assert "587 is starttls, 465 is tls" in told

    def test_nobody_listens(self, to: To) -> None:
        """A port without a server is said to be out of reach."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert "cannot be reached: Connection refused" in self.failure(to(Mailbox(port)), note())

    def test_no_answer(self, to: To) -> None:
        """A server that says nothing is waited for so long as the settings say."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            server = to(Mailbox(silent.getsockname()[1]), timeout=0.2)
            assert "did not answer within 0.2 s" in self.failure(server, note())

    def test_closed_at_once(
        self, to: To, listener: Callable[[Callable[[socket.socket], None]], str]
    ) -> None:
        """A server that hangs up is said to have done so."""
        port = int(listener(lambda _connection: None).rpartition(":")[2])
        assert "closed the connection" in self.failure(to(Mailbox(port)), note())

    def test_a_refused_sender(
        self, to: To, listener: Callable[[Callable[[socket.socket], None]], str]
    ) -> None:
        """A sender that the server does not like is named."""

        def refuse(connection: socket.socket) -> None:
            for answer in (b"220 hi\r\n", b"250 hello\r\n", b"553 not you\r\n", b"250 OK\r\n"):
                connection.sendall(answer)
                connection.recv(1000)

        port = int(listener(refuse).rpartition(":")[2])
        told = self.failure(to(Mailbox(port), security="none"), note())
        assert f"refused {USER}, or the message's size: not you (553)" in told

    def test_nobody_to_send_to(self, to: To) -> None:
        """Without a recipient nothing is tried, and a way to name one is shown."""
        with pytest.raises(SettingsError, match="has no recipient"):
            to(Mailbox(1), to=()).send(note())

    @pytest.mark.parametrize(
        "address",
        ["operations", "a@b\nBcc: x@y", "a b@c", "@c", "a@", "a,b@c", "<a@b>", "ä@b.c"],
    )
    def test_what_is_no_address(self, to: To, address: str) -> None:
        """What is no address, or more than one, never becomes a header."""
        with pytest.raises(SettingsError, match="is not a mail address"):
            to(Mailbox(1)).send(note(), to=[address])


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
        """Each key is read; paths are relative to the file's folder; no password is looked up."""
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
        ("text", "told"),
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
            (CLEAR, "clear text to another machine"),
        ],
    )
    def test_a_wrong_table(self, tmp_path: Path, text: str, told: str) -> None:
        """A wrong entry is named with file and table, and never a password."""
        with pytest.raises(SettingsError) as caught:
            self.load(tmp_path, text)
        assert told in str(caught.value)
        assert str(tmp_path / "fleet.toml") in str(caught.value)
        assert str(caught.value).count("fleet.toml, [mail]") <= 1
        assert "hunter2" not in str(caught.value)

    def test_local_host_by_name(self) -> None:
        """On this machine a password may go in clear text."""
        server = MailServer(
            host="localhost",
            sender="a@b",
            security="none",
            **LOGIN,  # type: ignore[arg-type] # the values fit
        )
        assert server.host == "localhost"
