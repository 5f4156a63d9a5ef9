"""Channels: mail, webhook, chat and heartbeat, with real servers."""

import hashlib
import hmac
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from email.header import decode_header, make_header
from pathlib import Path

import pytest
import trustme

from backupkit.alerts.channels import (
    ChatChannel,
    Heartbeat,
    MailChannel,
    SecretURL,
    WebhookChannel,
)
from backupkit.alerts.messages import Digest, compose_digest
from backupkit.client.webhook import send_request
from backupkit.errors import CredentialError, DeliveryError, MailError, SettingsError
from backupkit.mail import MailServer
from backupkit.passwords import PasswordSource
from backupkit.tables.alerts import AlertChange, OutgoingMessage
from tests.conftest import EPOCH, OddServer
from tests.receiver import Receiver
from tests.smtp import Serve, serving

SECRET = "s3cr3t-token"


def change(subject: str = "vc-1", **changed: object) -> AlertChange:
    """Build a change that opens a breach."""
    values: dict[str, object] = {
        "kind": "breach",
        "subject": subject,
        "cause": "",
        "change": "opened",
        "level": 1,
        "at": EPOCH,
        "detail": "no backup for 30 h",
        "outcome": "send",
    }
    return AlertChange(**values | changed)  # type: ignore[arg-type] # as a test sets them


def digest(*changes: AlertChange, unclear: tuple[OutgoingMessage, ...] = ()) -> Digest:
    """Compose a message."""
    return compose_digest(
        OutgoingMessage(
            token="1f",
            channel="ops",
            state="sending",
            created_at=EPOCH,
            changes=changes or (change(),),
            unclear=unclear,
        )
    )


def url(text: str) -> SecretURL:
    """Build the URL of a test."""
    return SecretURL(text, None, "fleet.toml, [alert]: webhook.ops")


class TestMail:
    """Mail."""

    @pytest.fixture
    def serve(self, tmp_path: Path) -> Iterator[Serve]:
        """Run SMTP servers on loopback."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        with serving(authority) as run:
            yield run

    def test_sent(self, serve: Serve, tmp_path: Path) -> None:
        """A digest is a mail as plain text, with a header for filters."""
        mailbox = serve()
        server = MailServer(
            host="127.0.0.1",
            port=mailbox.port,
            sender="b@example.com",
            to=("ops@example.com",),
            ca_bundle=tmp_path / "ca.pem",
        )
        MailChannel(server, ("oncall@example.com",)).send(digest())
        (mail,) = mailbox.messages
        assert mail["Subject"] == "[BREACH 1] vCenter backup alerts: vc-1 in breach"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Message-ID"] == f"<{digest().token}@backupkit.invalid>"
        assert mail["List-Id"] == "vCenter backup alerts <alerts.backupkit.invalid>"
        assert mail["Date"] == "Mon, 09 Nov 2026 06:00:00 +0000"
        text = mail.get_payload(decode=True)
        assert isinstance(text, bytes)
        assert b"no backup for 30 h" in text
        assert mailbox.got[0].rcpt_tos == ["oncall@example.com"]

    def test_hostile_name(self, serve: Serve, tmp_path: Path) -> None:
        """A name with line ends adds no header."""
        mailbox = serve()
        server = MailServer(
            host="127.0.0.1",
            port=mailbox.port,
            sender="b@example.com",
            ca_bundle=tmp_path / "ca.pem",
        )
        hostile = change("vc\r\nBcc: x@example.com\r\n\r\nbody")
        MailChannel(server, ("ops@example.com",)).send(digest(hostile))
        (mail,) = mailbox.messages
        assert mail["Bcc"] is None
        subject = str(make_header(decode_header(mail["Subject"])))
        assert "vc Bcc: x@example.com body" in " ".join(subject.split())

    def test_lost_connection(
        self, listener: Callable[[Callable[[socket.socket], None]], str]
    ) -> None:
        """If the connection ends after the content was sent, it has perhaps arrived."""

        def talk(connection: socket.socket) -> None:
            stream = connection.makefile("rwb")
            stream.write(b"220 hello\r\n")
            stream.flush()
            while (line := stream.readline()) != b".\r\n":
                if line.upper().startswith(b"DATA"):
                    stream.write(b"354 go on\r\n")
                elif line.split(b" ")[0].strip().upper() in {b"EHLO", b"MAIL", b"RCPT"}:
                    stream.write(b"250 ok\r\n")
                stream.flush()

        host, _, port = listener(talk).partition(":")
        server = MailServer(host=host, port=int(port), sender="b@example.com", security="none")
        with pytest.raises(MailError) as caught:
            MailChannel(server, ("ops@example.com",)).send(digest())
        assert caught.value.delivery == "perhaps"

    def test_refused(self, serve: Serve, tmp_path: Path) -> None:
        """A refused recipient gets nothing; if others got it, it was sent in part."""
        mailbox = serve()
        server = MailServer(
            host="127.0.0.1",
            port=mailbox.port,
            sender="b@example.com",
            ca_bundle=tmp_path / "ca.pem",
        )
        deliveries = []
        for to in (("nobody@example.com",), ("nobody@example.com", "ops@example.com")):
            with pytest.raises(MailError) as caught:
                MailChannel(server, to).send(digest())
            deliveries.append(caught.value.delivery)
        assert deliveries == ["none", "partly"]


class TestWebhook:
    """Webhooks."""

    def test_signed(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        """The document is signed with HMAC-SHA256 over its bytes."""
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        source = PasswordSource("env", "HOOK_SECRET")
        WebhookChannel("ops", url(receiver.url), source).send(digest())
        [(method, path, headers, body)] = receiver.seen
        assert (method, path) == ("POST", "/hook")
        assert headers["Content-Type"] == "application/json"
        name = json.loads(body)["message"]
        assert headers["X-Backupkit-Message"] == name
        assert headers["Idempotency-Key"] == f'"{name}"'
        expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Backupkit-Signature"] == f"sha256={expected}"
        assert json.loads(body)["changes"][0]["key"] == "breach:vc-1"

    def test_not_signed(self, receiver: Receiver) -> None:
        """Without a secret there is no signature."""
        WebhookChannel("ops", url(receiver.url)).send(digest())
        [(_, _, headers, _)] = receiver.seen
        assert "X-Backupkit-Signature" not in headers

    def test_no_secret(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        """A secret that cannot be read is an error; nothing is sent."""
        monkeypatch.delenv("HOOK_SECRET", raising=False)
        channel = WebhookChannel("ops", url(receiver.url), PasswordSource("env", "HOOK_SECRET"))
        with pytest.raises(CredentialError, match="Store the secret there"):
            channel.send(digest())
        assert not receiver.seen

    @pytest.mark.parametrize(("status", "location"), [(500, ""), (302, "http://127.0.0.1:1/x")])
    def test_refused(self, receiver: Receiver, status: int, location: str) -> None:
        """An error status is an error, and so is a redirect, which is not followed."""
        receiver.status, receiver.location = status, location
        with pytest.raises(DeliveryError, match=f"responded with status {status}") as caught:
            WebhookChannel("ops", url(f"{receiver.url}?key={SECRET}")).send(digest())
        assert caught.value.delivery == "none"
        assert SECRET not in str(caught.value)
        assert len(receiver.seen) == 1

    def test_hangs_up(self, receiver: Receiver) -> None:
        """If the connection ends before the response, it has perhaps arrived."""
        receiver.hangs_up = True
        with pytest.raises(DeliveryError, match="closed the connection") as caught:
            WebhookChannel("ops", url(receiver.url)).send(digest())
        assert caught.value.delivery == "perhaps"

    def test_nothing_listens(self) -> None:
        """A service that is down got nothing."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(DeliveryError, match="refused") as caught:
            WebhookChannel("ops", url(f"http://127.0.0.1:{port}/{SECRET}")).send(digest())
        assert caught.value.delivery == "none"
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_certificate(self, odd: OddServer) -> None:
        """TLS is verified; the authority of the channel is trusted."""
        odd.respond("POST /hook", b"", 200)
        channel = WebhookChannel("ops", url(f"https://{odd.host}/hook"))
        with pytest.raises(DeliveryError, match="not trusted"):
            channel.send(digest())
        WebhookChannel("ops", url(f"https://{odd.host}/hook"), ca_bundle=odd.ca_bundle).send(
            digest()
        )
        assert [path for _, path, _ in odd.seen] == ["/hook"]

    def test_url_from_source(self, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
        """A URL may come from a source; a wrong one is an error that does not quote it."""
        source = SecretURL(None, PasswordSource("env", "HOOK_URL"), "[alert]: webhook.ops")
        monkeypatch.setenv("HOOK_URL", receiver.url)
        WebhookChannel("ops", source).send(digest())
        assert len(receiver.seen) == 1
        monkeypatch.setenv("HOOK_URL", f"ftp://example.com/{SECRET}")
        with pytest.raises(SettingsError, match="https") as caught:
            WebhookChannel("ops", source).send(digest())
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(url(f"https://a.test/{SECRET}"))


class TestHeartbeat:
    """The heartbeat."""

    def test_pinged(self, receiver: Receiver) -> None:
        """The URL is called by GET."""
        receiver.status = 200
        Heartbeat(url(receiver.url)).ping()
        assert [(method, path) for method, path, _, _ in receiver.seen] == [("GET", "/hook")]

    def test_silent(self, listener: Callable[[Callable[[socket.socket], None]], str]) -> None:
        """A service that accepts and sends nothing ends after the time limit."""

        def serve(connection: socket.socket) -> None:
            while connection.recv(65_536):
                pass

        address = listener(serve)
        with pytest.raises(DeliveryError, match=r"within 0\.05 s"):
            send_request(f"http://{address}/", timeout=0.05)


class TestChat:
    """Chats, by apprise's plain JSON service."""

    def test_sent(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        """Title and Markdown arrive."""
        monkeypatch.setenv("CHAT_URL", receiver.url.replace("http://", "json://"))
        receiver.status = 200
        source = SecretURL(None, PasswordSource("env", "CHAT_URL"), "[alert]: urls.ops")
        ChatChannel("ops", source).send(digest(change("vc *1* <!here>")))
        [document] = receiver.documents
        assert document["title"] == "[BREACH 1] vCenter backup alerts"
        assert "`vc *1* (!here) in breach`" in document["message"]

    def test_refused(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A refusal is an error without the URL, and what apprise logs is dropped."""
        monkeypatch.setenv("CHAT_URL", f"{receiver.url.replace('http', 'json')}/{SECRET}")
        receiver.status = 500
        source = SecretURL(None, PasswordSource("env", "CHAT_URL"), "[alert]: urls.ops")
        with (
            caplog.at_level(logging.DEBUG, "apprise"),
            pytest.raises(DeliveryError, match="JSON did not accept the message") as caught,
        ):
            ChatChannel("ops", source).send(digest())
        assert SECRET not in str(caught.value)
        assert SECRET not in caplog.text

    def test_unknown_service(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A URL that apprise does not know is an error that does not quote it."""
        monkeypatch.setenv("CHAT_URL", f"nonsense://{SECRET}")
        source = SecretURL(None, PasswordSource("env", "CHAT_URL"), "[alert]: urls.ops")
        with pytest.raises(SettingsError, match=r"urls\.ops: apprise does not know") as caught:
            ChatChannel("ops", source).send(digest())
        assert SECRET not in str(caught.value) + caplog.text

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without apprise, the error says what to install."""
        monkeypatch.setitem(sys.modules, "apprise", None)
        with pytest.raises(SettingsError, match=r"backupkit\[notify\]"):
            ChatChannel("ops", url("json://127.0.0.1")).send(digest())


class TestNames:
    """Names by which a receiver drops what it got before."""

    def test_same_changes(self) -> None:
        """The same changes in a later try are the same message, byte by byte."""
        first = digest(change(), change("vc-2"))
        later = compose_digest(
            OutgoingMessage(
                token="2e",
                channel="ops",
                state="sending",
                created_at=EPOCH + timedelta(hours=1),
                changes=(change("vc-2"), change()),
            )
        )
        assert (later.token, later.body) == (first.token, first.body)

    def test_more_changes(self) -> None:
        """With one more change it is another message; the first change keeps its name."""
        first, later = digest(), digest(change(), change("vc-2"))
        assert first.token != later.token
        [one] = json.loads(first.body)["changes"]
        assert [row["id"] == one["id"] for row in json.loads(later.body)["changes"]] == [
            True,
            False,
        ]

    def test_other_run(self) -> None:
        """The same change of another run, or on another channel, has another name."""
        later = digest(change(at=EPOCH + timedelta(days=1)))
        other = compose_digest(
            OutgoingMessage(
                token="1f", channel="b", state="sending", created_at=EPOCH, changes=(change(),)
            )
        )
        assert len({digest().token, later.token, other.token}) == 3

    def test_mention(self) -> None:
        """A message that mentions another one is not the same as without it."""
        earlier = OutgoingMessage(
            token="2e", channel="ops", state="perhaps sent", created_at=EPOCH, changes=(change(),)
        )
        named = {digest(unclear=lost).token for lost in ((), (earlier,))}
        assert len(named) == 2
        assert digest(unclear=(replace(earlier, token="3d"),)).token in named


class TestDigest:
    """The texts of a message."""

    def test_many(self) -> None:
        """A long message is cut in text and chat, and complete as JSON."""
        found = digest(*(change(f"vc-{number:03}") for number in range(60)))
        assert "And 10 more. List them with: backupkit alert list" in found.text
        assert "And 45 more" in found.chat
        assert len(json.loads(found.body)["changes"]) == 60
        assert found.subject.endswith("vc-000 in breach and 59 more changes")

    def test_mentions_unclear(self) -> None:
        """A message mentions what was perhaps not delivered."""
        earlier = OutgoingMessage(
            token="2e",
            channel="ops",
            state="perhaps sent",
            created_at=EPOCH - timedelta(days=1),
            changes=(change("vc-2"),),
        )
        found = digest(unclear=(earlier,))
        sentence = "The message of 2026-11-08 06:00 was perhaps not delivered:"
        assert f"{sentence}\n  opened: vc-2 in breach" in found.text
        assert f"{sentence}\n* `opened: vc-2 in breach`" in found.chat
        [lost] = json.loads(found.body)["perhaps_not_delivered"]
        assert lost["message"] == compose_digest(earlier).token
        assert lost["changes"][0]["key"] == "breach:vc-2"

    def test_words(self) -> None:
        """Each kind has its words; ends are recoveries, and a used-up budget is a missed target."""
        changes = [
            change(),
            change("fleet", kind="target"),
            change("site Hamburg", kind="target", level=2),
            change("vc-2", kind="unknown"),
            change("vc-3", kind="failure", cause="disk-full"),
            change("vc-4", change="closed", level=0),
            change("vc-5", kind="breach-soon"),
            change("vc-6", kind="running"),
            change("vc-7", kind="running", level=2),
            change("vc-8", kind="slower"),
            change("vc-4", kind="breach-soon", change="closed", level=0),
            change("vc-6", kind="running", change="closed", level=0),
        ]
        found = digest(*changes)
        assert found.title == (
            "[BREACH 1 | TARGET 2 | BREACH-SOON 1 | UNKNOWN 1 | RUNNING 2 | FAILURE 1 | SLOWER 1 | "
            "RECOVERED 1 | ENDED 2] vCenter backup alerts"
        )
        for text in (
            "opened: fleet target at risk",
            "opened: site Hamburg target missed",
            "opened: vc-2 unknown",
            "opened: vc-3 failing (disk-full)",
            "closed: vc-4 recovered",
            "opened: vc-5 soon in breach",
            "opened: vc-6 job runs longer than usual",
            "opened: vc-7 job stalled",
            "opened: vc-8 runs grow too long",
            "closed: vc-4 no longer soon in breach",
            "closed: vc-6 job no longer too slow",
        ):
            assert text in found.text

    def test_no_users(self) -> None:
        """User and password in a location are masked everywhere."""
        found = digest(change(detail="cannot reach sftp://joe:secret@target/vc"))
        assert "secret" not in found.text + found.chat + found.body.decode()
