"""The table [alert] of fleet.toml."""

from datetime import timedelta
from pathlib import Path

import pytest

from backupkit.alerts import AlertSettings, Rules
from backupkit.alerts.channels import ChatChannel, MailChannel, WebhookChannel
from backupkit.errors import SettingsError
from backupkit.fleet import Fleet
from backupkit.settings import check_url

MAIL = '[mail]\nhost = "mail.example.com"\nsender = "b@example.com"\n'


def load(folder: Path, text: str) -> AlertSettings | None:
    """Load the settings from a text, which is also a valid fleet."""
    path = folder / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    Fleet.load(path)
    return AlertSettings.load(path)


def test_none(tmp_path: Path) -> None:
    """Without the table there are no alerts."""
    assert load(tmp_path, "") is None


def test_defaults(tmp_path: Path) -> None:
    """An empty table has the default rules, and no channel."""
    assert load(tmp_path, "[alert]\n") == AlertSettings()


def test_all(tmp_path: Path) -> None:
    """Each key is read; paths are relative to the file."""
    (tmp_path / "ca.pem").touch()
    found = load(
        tmp_path,
        MAIL + '[alert]\nmail = ["oncall@example.com"]\nurls = { ops = { env = "OPS_URL" } }\n'
        'heartbeat = "https://ping.example.com/x"\nrepeat = "12h"\nflapping = 5\n'
        'flapping_within = "2d"\ntarget_within = "3d"\nkinds = ["breach"]\n'
        '[alert.webhook.tickets]\nurl = "https://tickets.example.com/x"\n'
        'secret = { file = "key" }\nca_bundle = "ca.pem"\ntimeout = 5\n',
    )
    assert found is not None
    assert found.rules == Rules(
        repeat=timedelta(hours=12), flapping=5, flapping_within=timedelta(days=2)
    )
    assert (found.kinds, found.target_within) == (("breach",), timedelta(days=3))
    mail, chat, webhook = found.channels
    assert isinstance(mail, MailChannel)
    assert (mail.name, mail.to) == ("mail", ("oncall@example.com",))
    assert isinstance(chat, ChatChannel)
    assert chat.url.source is not None
    assert (chat.name, chat.url.source.place) == ("ops", "OPS_URL")
    assert isinstance(webhook, WebhookChannel)
    assert webhook.secret is not None
    assert webhook.secret.place == str(tmp_path / "key")
    assert (webhook.ca_bundle, webhook.timeout) == (tmp_path / "ca.pem", 5.0)
    assert webhook.url.read() == "https://tickets.example.com/x"
    assert found.heartbeat is not None


def test_recipients_of_mail(tmp_path: Path) -> None:
    """With `mail = true`, the recipients are those of [mail]."""
    found = load(tmp_path, f'{MAIL}to = ["ops@example.com"]\n[alert]\nmail = true\n')
    assert found is not None
    [channel] = found.channels
    assert isinstance(channel, MailChannel)
    assert channel.to == ("ops@example.com",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mail = true", "no recipient"),
        ('mail = ["nobody"]', 'mail: "nobody" is not a mail address'),
        ('urls = { ops = "slack://T/B/x" }', "must not be in this file"),
        ('urls = { ops = { env = "A", file = "b" } }', r"urls\.ops: \"url\" must be one of"),
        ("urls = { ops = { prompt = true } }", "cannot come from a prompt"),
        ("urls = 7", '"urls"'),
        (
            'urls = { mail = { env = "A" } }\nmail = ["a@example.com"]',
            'two channels are named "mail"',
        ),
        ('heartbeat = "http://ping.example.com"', "heartbeat: the URL must begin with https://"),
        ('heartbeat = "https://joe:pw@ping.example.com"', "a password must not be in this file"),
        ('webhook = { t = { url = "https://a.test", timeout = 0 } }', "timeout must be above 0"),
        ('webhook = { t = { url = "https://a.test", ca_bundle = "no.pem" } }', "no such file"),
        ('repeat = "0h"', "repeat must be above 0"),
        ('repeat = "daily"', 'repeat: "daily" is not a duration'),
        ("flapping = 0", "flapping must be at least 1"),
        ('kinds = ["fire"]', '"fire" is not a kind of alert'),
        ("loud = true", 'unknown key "loud"'),
    ],
)
def test_wrong(tmp_path: Path, text: str, problem: str) -> None:
    """A wrong entry is an error that names file, table and problem."""
    with pytest.raises(SettingsError, match=problem) as caught:
        load(tmp_path, f"{MAIL}[alert]\n{text}\n")
    assert "fleet.toml, [alert]" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "https://",
        "https://[::1",
        "https://a.test:99999",
        "https://a.test/\n",
        "https://a.test/x y",
        "https://ä.test",
        "http://a.test",
        "file:///etc/passwd",
    ],
)
def test_wrong_url(url: str) -> None:
    """A URL must be HTTPS; the error does not quote it."""
    with pytest.raises(SettingsError, match="must begin with https") as caught:
        check_url(url, where="hook")
    assert "a.test" not in str(caught.value)
