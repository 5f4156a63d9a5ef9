"""The fleet: fleet.toml, its errors, and the sources of passwords."""

import getpass
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from backupkit.errors import CredentialError, SettingsError
from backupkit.fleet import Appliance, Fleet
from backupkit.passwords import PasswordSource
from tests.builders import appliance

SECRET = "Tr0ub4dor&3"
PIN = "0123456789abcdef" * 4
ENV = PasswordSource("env", "VCSA_PASSWORD")

COMPLETE = """
[defaults]
user = "backup-reader@vsphere.local"
password = { env = "VCSA_PASSWORD" }
ca_bundle = "trust/ca.pem"
site = "Hamburg"

[policy]
rpo = "24h"

[[appliance]]
name = "vc-1"
host = "vc-1.example.com"

[[appliance]]
name = "vc-2"
host = "[2001:db8::1]:8443"
user = "root@localos"
password = { file = "secrets/vc-2" }
ca_bundle = "other.pem"
fingerprint = "SHA256:{pin}"
site = "Kiel"
group = "production"
timezone = "Europe/Berlin"
language = "de-DE, en;q=0.5"
policy = "gold"
exclude = "being retired"

[[appliance]]
name = "vc-3"
host = "192.0.2.3"
password = { keyring = "vcsa" }
enabled = false

[[appliance]]
name = "vc-4"
host = "vc-4"
password = { prompt = true }
"""


def write(folder: Path, text: str) -> Path:
    """Write a fleet.toml, and return its path."""
    path = folder / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def complete(tmp_path: Path) -> Fleet:
    """Load the complete example."""
    (tmp_path / "trust").mkdir()
    for name in ("trust/ca.pem", "other.pem"):
        (tmp_path / name).write_text("PEM", encoding="utf-8")
    pin = ":".join(re.findall("..", PIN.upper()))
    return Fleet.load(write(tmp_path, COMPLETE.replace("{pin}", pin)))


class TestLoad:
    """Fleet.load."""

    def test_defaults(self, complete: Fleet, tmp_path: Path) -> None:
        """An appliance inherits the defaults."""
        assert complete["vc-1"] == Appliance(
            name="vc-1",
            host="vc-1.example.com",
            user="backup-reader@vsphere.local",
            password=ENV,
            ca_bundle=tmp_path / "trust" / "ca.pem",
            site="Hamburg",
        )

    def test_own(self, complete: Fleet, tmp_path: Path) -> None:
        """Entries of an appliance replace the defaults; paths are relative to the file."""
        assert complete["vc-2"] == Appliance(
            name="vc-2",
            host="[2001:db8::1]:8443",
            user="root@localos",
            password=PasswordSource("file", str(tmp_path / "secrets" / "vc-2")),
            ca_bundle=tmp_path / "other.pem",
            fingerprint=PIN,
            site="Kiel",
            group="production",
            timezone="Europe/Berlin",
            language="de-DE, en;q=0.5",
            policy="gold",
            exclude="being retired",
        )

    def test_password_sources(self, complete: Fleet) -> None:
        """Each source of a password is read."""
        assert complete["vc-3"].password == PasswordSource("keyring", "vcsa")
        assert complete["vc-4"].password == PasswordSource("prompt", "the fleet")

    def test_disabled(self, complete: Fleet) -> None:
        """A disabled appliance is known, but not iterated or counted."""
        assert [one.name for one in complete] == ["vc-1", "vc-2", "vc-4"]
        assert len(complete) == 3
        assert not complete["vc-3"].enabled

    def test_shipped_example(self) -> None:
        """The shipped example is valid."""
        fleet = Fleet.load(Path(__file__).parents[1] / "data" / "fleet.example.toml")
        assert "vc-ham-01" in [one.name for one in fleet]
        assert any(not one.enabled for one in fleet.appliances)

    def test_empty(self, tmp_path: Path) -> None:
        """A file without appliances is an empty fleet."""
        assert len(Fleet.load(write(tmp_path, "[policy]\n"))) == 0

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[[appliances]]", 'unknown table "appliances"; fleet.toml has [defaults], [limits]'),
            ("defaults = 5", "defaults must be a table: [defaults]"),
            ("appliance = 5", "appliance must be a list of tables: [[appliance]]"),
            ("appliance = [5]", "appliance must be a list of tables: [[appliance]]"),
            ("[appliance]\nname = 'a'", "appliance must be a list of tables: [[appliance]]"),
            ("[defaults]\nusr = 'a'", '[defaults]: unknown key "usr"; did you mean "user"?'),
            ("[defaults]\nname = 'a'", '[defaults]: unknown key "name"; '),
            ("[defaults]\nsite = 5", '[defaults]: "site": expected str, got int; for'),
            (
                f"[defaults]\npassword = '{SECRET}'",
                "[defaults]: a password must not be in this file. Name its source",
            ),
            (
                "[[appliance]]",
                '[[appliance]] 1: "name" is missing; for example: name = "vc-ham-01"',
            ),
            (
                "[[appliance]]\nname = 5",
                '[[appliance]] 1: "name": expected str, got int; for example: name = "vc-ham-01"',
            ),
            (
                "{good}\n[[appliance]]\nname = 'b'",
                '[[appliance]] 2 ("b"): "host" is missing; for example: host = "vc-ham-01.example',
            ),
            (
                "{good}\nhots = 'b'",
                '[[appliance]] 1 ("a"): unknown key "hots"; did you mean "host"?',
            ),
            ("{good}\nenabled = 'no'", '"enabled": expected bool, got str; for example: enabled ='),
            ("{good}\nca_bundle = 'no.pem'", 'ca_bundle: no such file "'),
            ("{good}\ntimezone = 'CEST'", 'appliance "a": timezone: "CEST" is not a time zone of'),
            ("{good}\nlanguage = 'de\\r\\nX: y'", 'language = "de\\r\\nX: y" is not a list of'),
            ("{good}\nlanguage = ''", 'language = "" is not a list of language tags; for'),
            ("{good}\nfingerprint = 'ab:cd'", 'appliance "a": the fingerprint must be the SHA-256'),
            (
                "{good}\nexclude = ' '",
                'appliance "a": exclude needs a reason; for example: exclude',
            ),
            (
                "{bare}\nuser = 'u'",
                '[[appliance]] 1 ("a"): "password" is missing; for example: pass',
            ),
            (
                f"{{bare}}\nuser = 'u'\npassword = '{SECRET}'",
                '[[appliance]] 1 ("a"): a password must not be in this file. Name',
            ),
            (
                "{bare}\nuser = 'u'\npassword = 5",
                '"password": expected object, got int; for example: password = { env = "BACKUP',
            ),
            (
                f"{{bare}}\nuser = 'u'\npassword = {{ value = '{SECRET}' }}",
                'unknown key "value" in "password"; for example: password = { env = "BACKUPKIT_',
            ),
            (
                "{bare}\nuser = 'u'\npassword = { env = 'A', file = 'b' }",
                '[[appliance]] 1 ("a"): "password" must be one of { env = "VARIABLE" }, { file =',
            ),
            ("{bare}\nuser = 'u'\npassword = { env = '' }", '"password" must be one of'),
            ("{bare}\nuser = 'u'\npassword = {}", '"password" must be one of'),
            ("{bare}\nuser = 'u'\npassword = { prompt = false }", '"password" must be one of'),
            ("{good}\n{good}", 'two appliances are named "a"; the name is the key in every table'),
            ("[[appliance]\n", "is not valid TOML: "),
        ],
    )
    def test_invalid(self, tmp_path: Path, text: str, message: str) -> None:
        """An invalid entry is an error with file, table and key, and without a password."""
        bare = "[[appliance]]\nname = 'a'\nhost = 'a'"
        good = f"{bare}\nuser = 'u'\npassword = {{ env = 'A' }}"
        path = write(tmp_path, text.replace("{bare}", bare).replace("{good}", good))
        with pytest.raises(SettingsError) as caught:
            Fleet.load(path)
        assert str(caught.value).startswith(f"{path}")
        assert message in str(caught.value)
        assert SECRET not in str(caught.value)


class TestAppliance:
    """Appliance: validation of its fields."""

    @pytest.mark.parametrize(
        "host",
        ["vc-1", "VC_1.example.com:443", "192.0.2.1", "192.0.2.1:8443", "[::1]", "[::1]:65535"],
    )
    def test_host(self, host: str) -> None:
        """Names and addresses, with or without a port, are hosts."""
        assert appliance(host=host).host == host

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "https://vc-1",
            "vc-1/ui",
            "u:p@vc-1",
            "vc-1:",
            "vc-1:0",
            "vc-1:65536",
            "vc-1:٤٤٣",
            "vc-1\n",
            "vc 1",
            "::1",
            "vc-1?a",
        ],
    )
    def test_no_host(self, host: str) -> None:
        """Anything except a host is refused, as the password would be sent there."""
        with pytest.raises(SettingsError, match=r'(?s)^appliance "vc-1": host = .* must be a host'):
            appliance(host=host)

    @pytest.mark.parametrize(
        "host",
        [
            "vc..example.com",
            ".example.com",
            ".",
            f"{'x' * 64}.example.com:8443",
            f"{'x' * 60}." * 5,
        ],
    )
    def test_impossible_label(self, host: str) -> None:
        """A name with an empty or a too long part is refused, as no host can have it."""
        with pytest.raises(SettingsError, match=r'^appliance "vc-1": host: no host is named "'):
            appliance(host=host)

    @pytest.mark.parametrize("host", [f"{'x' * 63}.example.com", "vc-1.example.com.", "vc-1."])
    def test_longest_label(self, host: str) -> None:
        """A part of 63 characters, and a full stop at the end, are valid."""
        assert appliance(host=host).host == host

    @pytest.mark.parametrize("host", ["[::::]", "[1.2.3.4]", "[1]", "[:::1]:443"])
    def test_no_ipv6(self, host: str) -> None:
        """Anything in brackets is an IPv6 address."""
        with pytest.raises(SettingsError, match=r"is not an IPv6 address\.$"):
            appliance(host=host)

    @pytest.mark.parametrize("key", ["name", "user", "site", "group", "policy"])
    def test_control_character(self, key: str) -> None:
        """A control character is refused, also without a file."""
        with pytest.raises(SettingsError, match=f"^appliance .*: {key}: the text has a control"):
            appliance(**{key: "CORP\backup"})

    @pytest.mark.parametrize("name", ["", " "])
    def test_no_name(self, name: str) -> None:
        """An empty name is an error."""
        with pytest.raises(SettingsError, match=r"the name is empty; for example: name = "):
            appliance(name=name)

    def test_no_user(self) -> None:
        """An empty user is an error."""
        with pytest.raises(SettingsError, match=r'^appliance "vc-1": the user is empty; for exam'):
            appliance(user="")

    @pytest.mark.parametrize(
        "pin", [PIN, PIN.upper(), f"sha256:{PIN}", f"SHA256:{PIN[:2]}:{PIN[2:]}"]
    )
    def test_fingerprint(self, pin: str) -> None:
        """A fingerprint may have any usual notation."""
        assert appliance(fingerprint=pin).fingerprint == PIN

    @pytest.mark.parametrize("pin", ["", PIN[:-1], PIN + "0", "sha1:" + PIN, "g" * 64])
    def test_no_fingerprint(self, pin: str) -> None:
        """An invalid fingerprint is an error."""
        with pytest.raises(SettingsError, match="must be the SHA-256 of the certificate"):
            appliance(fingerprint=pin)


class TestFleet:
    """Fleet in Python, and its display."""

    def test_duplicate_name(self) -> None:
        """Two appliances of the same name are an error, also without a file."""
        with pytest.raises(SettingsError, match=r'^fleet: two appliances are named "vc-1"'):
            Fleet([appliance(), appliance()])

    def test_unknown(self, complete: Fleet) -> None:
        """The error for an unknown name lists some known ones."""
        with pytest.raises(
            KeyError, match=r"no appliance is named .*vc-9.* in .*fleet\.toml: vc-1,"
        ):
            complete["vc-9"]
        with pytest.raises(KeyError, match="in this fleet"):
            Fleet([])["vc-9"]

    def test_repr(self, complete: Fleet) -> None:
        """A fleet is shown with its size and source."""
        assert repr(complete) == f"Fleet of 3 appliances (1 more disabled) from {complete.source}"
        assert repr(Fleet([appliance()])) == "Fleet of 1 appliance"

    def test_html(self) -> None:
        """A notebook shows the enabled appliances as a table, with escaped texts."""
        fleet = Fleet(
            [
                appliance(site="<b>Kiel</b>", group='"a"&b'),
                appliance(name="vc-2", enabled=False),
            ],
            source="<i>.toml",
        )
        shown = fleet._repr_html_()
        assert "&lt;b&gt;Kiel&lt;/b&gt;" in shown
        assert "&#34;a&#34;&amp;b" in shown
        assert "from &lt;i&gt;.toml</caption>" in shown
        assert "<b>" not in shown
        assert "<i>" not in shown
        assert "vc-2" not in shown
        assert shown.count("<tr>") == 2

    def test_no_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No display of a fleet contains a password, also after it was read."""
        monkeypatch.setenv("VCSA_PASSWORD", SECRET)
        fleet = Fleet([appliance()])
        assert fleet["vc-1"].password.read("u@v") == SECRET
        assert SECRET not in repr(fleet) + repr(fleet["vc-1"]) + fleet._repr_html_()


class Memory(keyring.backend.KeyringBackend):  # type: ignore[misc] # keyring has no types
    """A keyring in memory, which may be locked."""

    priority = 1

    def __init__(self, *, locked: bool = False) -> None:
        self.locked = locked
        self.passwords: dict[tuple[str, str], str] = {}
        super().__init__()

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a password."""
        self.passwords[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        """Return a password."""
        if self.locked:
            raise keyring.errors.KeyringLocked(SECRET)
        return self.passwords.get((service, username))


@pytest.fixture
def own_keyring() -> Iterator[None]:
    """Restore the user's keyring afterwards."""
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


class TestPasswordSource:
    """PasswordSource.read."""

    def test_env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The value of a variable is the password, including blanks."""
        monkeypatch.setenv("VCSA_PASSWORD", f" {SECRET} ")
        assert ENV.read("u@v") == f" {SECRET} "

    @pytest.mark.parametrize("value", [None, ""])
    def test_env_missing(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        """A missing or empty variable is an error that names it."""
        monkeypatch.delenv("VCSA_PASSWORD", raising=False)
        if value is not None:
            monkeypatch.setenv("VCSA_PASSWORD", value)
        with pytest.raises(
            CredentialError, match=r"environment variable VCSA_PASSWORD is not set\."
        ):
            ENV.read("u@v")

    @pytest.mark.parametrize("text", [SECRET, f"{SECRET}\n", f"{SECRET}\r\nsecond line\n"])
    def test_file(self, tmp_path: Path, text: str) -> None:
        """The first line of the file is the password."""
        path = tmp_path / "secret"
        path.write_bytes(text.encode())
        assert PasswordSource("file", str(path)).read("u@v") == SECRET

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
    def test_file_of_windows(self, tmp_path: Path, encoding: str) -> None:
        """A byte order mark is no part of the password."""
        path = tmp_path / "secret"
        mark = "\ufeff" if encoding == "utf-16-le" else ""
        path.write_bytes(f"{mark}Grün-{SECRET}\r\n".encode(encoding))
        assert PasswordSource("file", str(path)).read("u@v") == f"Grün-{SECRET}"

    def test_env_from_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A byte order mark that a shell has read from a file is no part of the password."""
        monkeypatch.setenv("VCSA_PASSWORD", f"\ufeff{SECRET}")
        assert ENV.read("u@v") == SECRET

    @pytest.mark.parametrize("raw", [b"p\xe4ss", b"pass\r", b"pa\x1bss"])
    def test_not_to_send(self, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
        """Bytes that are not UTF-8, and control characters, are refused and not shown."""
        monkeypatch.setenv("VCSA_PASSWORD", os.fsdecode(raw))
        with pytest.raises(CredentialError) as caught:
            ENV.read("u@v")
        assert str(caught.value) == (
            "password: the password of env VCSA_PASSWORD has a control character, or bytes that "
            "are not UTF-8. Store it again, as one line of UTF-8 text."
        )

    def test_file_without_mark(self, tmp_path: Path) -> None:
        """UTF-16 without a byte order mark is refused: its NULs are no password."""
        path = tmp_path / "secret"
        path.write_bytes(SECRET.encode("utf-16-le"))
        with pytest.raises(CredentialError, match=r"the password of file .*secret has a control"):
            PasswordSource("file", str(path)).read("u@v")

    @pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecond"])
    def test_file_empty(self, tmp_path: Path, content: bytes) -> None:
        """A file with an empty first line is an error."""
        path = tmp_path / "secret"
        path.write_bytes(content)
        with pytest.raises(
            CredentialError, match=r"the file .*secret is empty\. Write the password"
        ):
            PasswordSource("file", str(path)).read("u@v")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("none", "No such file or directory"),
            (".", "Is a directory"),
            ("latin", "it is not UTF-8 text"),
            ("a\0b", "there is no such path"),
        ],
    )
    def test_file_unreadable(self, tmp_path: Path, name: str, reason: str) -> None:
        """An unreadable file is an error with the reason, and without its content."""
        (tmp_path / "latin").write_bytes(SECRET.encode() + b"\xe4")
        with pytest.raises(CredentialError, match=rf"cannot be read: {reason}\. Name a") as caught:
            PasswordSource("file", str(tmp_path / name)).read("u@v")
        assert SECRET not in str(caught.value)

    @pytest.mark.usefixtures("own_keyring")
    def test_keyring(self) -> None:
        """A keyring is read by service and user."""
        keyring.set_keyring(Memory())
        keyring.set_password("vcsa", "u@v", SECRET)
        assert PasswordSource("keyring", "vcsa").read("u@v") == SECRET

    @pytest.mark.usefixtures("own_keyring")
    def test_keyring_missing(self) -> None:
        """A missing entry of the keyring is an error that names the command to store it."""
        keyring.set_keyring(Memory())
        keyring.set_password("vcsa", "u@v", SECRET)
        with pytest.raises(CredentialError, match="Store it with: keyring set vcsa other@v"):
            PasswordSource("keyring", "vcsa").read("other@v")

    @pytest.mark.usefixtures("own_keyring")
    def test_keyring_locked(self) -> None:
        """An error of the keyring is named by its class, without its message."""
        keyring.set_keyring(Memory(locked=True))
        with pytest.raises(CredentialError, match=r"read for vcsa: KeyringLocked\.") as caught:
            PasswordSource("keyring", "vcsa").read("u@v")
        assert SECRET not in str(caught.value)

    def test_keyring_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the keyring package, the error names the command to install it."""
        monkeypatch.setitem(sys.modules, "keyring", None)  # makes the import fail
        with pytest.raises(CredentialError, match=r'pip install "backupkit\[keyring\]"'):
            PasswordSource("keyring", "vcsa").read("u@v")

    def test_prompt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The prompt for a password names user and fleet."""
        prompts: list[str] = []

        def type_secret(prompt: str) -> str:
            prompts.append(prompt)
            return SECRET

        monkeypatch.setattr(getpass, "getpass", type_secret)
        assert PasswordSource("prompt", "the fleet").read("u@v") == SECRET
        assert prompts == ["Password of u@v for the fleet: "]

    @pytest.mark.parametrize("closed", [False, True])
    def test_prompt_empty(self, monkeypatch: pytest.MonkeyPatch, *, closed: bool) -> None:
        """An empty line and a closed input, as in a scheduled run, are no password."""

        def type_nothing(_prompt: str) -> str:
            if closed:
                raise EOFError
            return ""

        monkeypatch.setattr(getpass, "getpass", type_nothing)
        with pytest.raises(CredentialError, match=r"none was typed\. Run the command again"):
            PasswordSource("prompt", "the fleet").read("u@v")

    def test_prompt_in_another_encoding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bytes that the terminal's encoding does not have are an error, and not shown."""

        def type_latin(_prompt: str) -> str:
            return f"{SECRET}ä".encode("latin-1").decode("utf-8")

        monkeypatch.setattr(getpass, "getpass", type_latin)
        with pytest.raises(CredentialError, match=r"not text in the terminal's") as caught:
            PasswordSource("prompt", "the fleet").read("u@v")
        assert SECRET not in str(caught.value)
