"""The fleet: what fleet.toml says, which entry is wrong, and where passwords come from."""

import getpass
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

SECRET = "Tr0ub4dor&3"
PIN = "0123456789abcdef" * 4
ENV = PasswordSource("env", "VCSA_PASSWORD")

WHOLE = """
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


def written(folder: Path, text: str) -> Path:
    """Write a fleet.toml."""
    path = folder / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Fleet:
    """Load the complete example."""
    (tmp_path / "trust").mkdir()
    for name in ("trust/ca.pem", "other.pem"):
        (tmp_path / name).write_text("PEM", encoding="utf-8")
    return Fleet.load(
        written(tmp_path, WHOLE.replace("{pin}", ":".join(re.findall("..", PIN.upper()))))
    )


def appliance(**changed: object) -> Appliance:
    """Give a plain appliance, with some fields changed."""
    fields: dict[str, object] = {"name": "vc-1", "host": "vc-1", "user": "u@v", "password": ENV}
    return Appliance(**fields | changed)  # type: ignore[arg-type] # a wrong one is some tests' case


class TestLoad:
    """Fleet.load(): a complete fleet.toml."""

    def test_defaults(self, whole: Fleet, tmp_path: Path) -> None:
        """An appliance inherits what it does not say itself."""
        assert whole["vc-1"] == Appliance(
            name="vc-1",
            host="vc-1.example.com",
            user="backup-reader@vsphere.local",
            password=ENV,
            ca_bundle=tmp_path / "trust" / "ca.pem",
            site="Hamburg",
        )

    def test_own(self, whole: Fleet, tmp_path: Path) -> None:
        """What an appliance says itself counts; paths start at the file's folder."""
        assert whole["vc-2"] == Appliance(
            name="vc-2",
            host="[2001:db8::1]:8443",
            user="root@localos",
            password=PasswordSource("file", str(tmp_path / "secrets" / "vc-2")),
            ca_bundle=tmp_path / "other.pem",
            fingerprint=PIN,
            site="Kiel",
            group="production",
            timezone="Europe/Berlin",
            policy="gold",
            exclude="being retired",
        )

    def test_password_sources(self, whole: Fleet) -> None:
        """Each form of password names its place."""
        assert whole["vc-3"].password == PasswordSource("keyring", "vcsa")
        assert whole["vc-4"].password == PasswordSource("prompt", "the fleet")

    def test_disabled(self, whole: Fleet) -> None:
        """A disabled appliance is known, but neither asked nor counted."""
        assert [one.name for one in whole] == ["vc-1", "vc-2", "vc-4"]
        assert len(whole) == 3
        assert not whole["vc-3"].enabled

    def test_shipped_example(self) -> None:
        """The example that is shipped is a right one."""
        fleet = Fleet.load(Path(__file__).parents[1] / "data" / "fleet.example.toml")
        assert "vc-ham-01" in [one.name for one in fleet]
        assert any(not one.enabled for one in fleet.appliances)

    def test_empty(self, tmp_path: Path) -> None:
        """A file without appliances is an empty fleet."""
        assert len(Fleet.load(written(tmp_path, "[policy]\n"))) == 0

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[[appliances]]", 'unknown table "appliances"; fleet.toml has [defaults], [policy]'),
            ("defaults = 5", "defaults must be a table: [defaults]"),
            ("appliance = 5", "appliance must be a list of tables: [[appliance]]"),
            ("appliance = [5]", "appliance must be a list of tables: [[appliance]]"),
            ("[appliance]\nname = 'a'", "appliance must be a list of tables: [[appliance]]"),
            ("[defaults]\nusr = 'a'", '[defaults]: unknown key "usr"; did you mean "user"?'),
            ("[defaults]\nname = 'a'", '[defaults]: unknown key "name"; '),
            ("[defaults]\nsite = 5", '[defaults]: "site": expected str | null, got int; for'),
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
    def test_wrong(self, tmp_path: Path, text: str, said: str) -> None:
        """A wrong entry is named by file, table and key, and no password is repeated."""
        bare = "[[appliance]]\nname = 'a'\nhost = 'a'"
        good = f"{bare}\nuser = 'u'\npassword = {{ env = 'A' }}"
        path = written(tmp_path, text.replace("{bare}", bare).replace("{good}", good))
        with pytest.raises(SettingsError) as caught:
            Fleet.load(path)
        assert str(caught.value).startswith(f"{path}")
        assert said in str(caught.value)
        assert SECRET not in str(caught.value)


class TestAppliance:
    """Appliance(): what is refused before anything is sent."""

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
        """Anything that would send the password elsewhere than a host is refused."""
        with pytest.raises(SettingsError, match=r'(?s)^appliance "vc-1": host = .* must be a host'):
            appliance(host=host)

    @pytest.mark.parametrize("name", ["", " "])
    def test_no_name(self, name: str) -> None:
        """The name is the key, and so is not empty."""
        with pytest.raises(SettingsError, match=r"the name is empty; for example: name = "):
            appliance(name=name)

    def test_no_user(self) -> None:
        """Without a user nobody can log in."""
        with pytest.raises(SettingsError, match=r'^appliance "vc-1": the user is empty; for exam'):
            appliance(user="")

    @pytest.mark.parametrize(
        "pin", [PIN, PIN.upper(), f"sha256:{PIN}", f"SHA256:{PIN[:2]}:{PIN[2:]}"]
    )
    def test_fingerprint(self, pin: str) -> None:
        """A fingerprint may be written as the usual tools show it."""
        assert appliance(fingerprint=pin).fingerprint == PIN

    @pytest.mark.parametrize("pin", ["", PIN[:-1], PIN + "0", "sha1:" + PIN, "g" * 64])
    def test_no_fingerprint(self, pin: str) -> None:
        """Anything else is refused rather than never matched."""
        with pytest.raises(SettingsError, match="must be the SHA-256 of the certificate"):
            appliance(fingerprint=pin)


class TestFleet:
    """Fleet(): made in Python, and shown."""

    def test_one_name_twice(self) -> None:
        """Two appliances of one name are refused, also without a file."""
        with pytest.raises(SettingsError, match=r'^fleet: two appliances are named "vc-1"'):
            Fleet([appliance(), appliance()])

    def test_unknown(self, whole: Fleet) -> None:
        """Asking for an appliance that is not there names some that are."""
        with pytest.raises(
            KeyError, match=r"no appliance is named .*vc-9.* in .*fleet\.toml: vc-1,"
        ):
            whole["vc-9"]
        with pytest.raises(KeyError, match="in this fleet"):
            Fleet([])["vc-9"]

    def test_repr(self, whole: Fleet) -> None:
        """A fleet shows its size and source."""
        assert repr(whole) == f"Fleet of 3 appliances (1 more disabled) from {whole.source}"
        assert repr(Fleet([appliance()])) == "Fleet of 1 appliance"

    def test_html(self) -> None:
        """A notebook shows the enabled ones as a table, with every text escaped."""
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
        """No display of a fleet has a password in it, also after it was read."""
        monkeypatch.setenv("VCSA_PASSWORD", SECRET)
        fleet = Fleet([appliance()])
        assert fleet["vc-1"].password.read("u@v") == SECRET
        assert SECRET not in repr(fleet) + repr(fleet["vc-1"]) + fleet._repr_html_()


class Memory(keyring.backend.KeyringBackend):  # type: ignore[misc] # keyring has no types
    """A keyring that forgets, and may be locked."""

    priority = 1

    def __init__(self, *, locked: bool = False) -> None:
        self.locked = locked
        self.kept: dict[tuple[str, str], str] = {}
        super().__init__()

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a password."""
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        """Give a password."""
        if self.locked:
            raise keyring.errors.KeyringLocked(SECRET)
        return self.kept.get((service, username))


@pytest.fixture
def own_keyring() -> Iterator[None]:
    """Put the person's own keyring back afterwards."""
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


class TestPasswordSource:
    """PasswordSource.read(): the password, or which place has none."""

    def test_env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable is read when it is needed, blanks and all."""
        monkeypatch.setenv("VCSA_PASSWORD", f" {SECRET} ")
        assert ENV.read("u@v") == f" {SECRET} "

    @pytest.mark.parametrize("value", [None, ""])
    def test_env_missing(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        """A variable that is not set, or empty, is named."""
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

    @pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecond"])
    def test_file_empty(self, tmp_path: Path, content: bytes) -> None:
        """A file whose first line is empty is named."""
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
        """A file that cannot be read is named with the reason, and nothing of it is repeated."""
        (tmp_path / "latin").write_bytes(SECRET.encode() + b"\xe4")
        with pytest.raises(CredentialError, match=rf"cannot be read: {reason}\. Correct") as caught:
            PasswordSource("file", str(tmp_path / name)).read("u@v")
        assert SECRET not in str(caught.value)

    @pytest.mark.usefixtures("own_keyring")
    def test_keyring(self) -> None:
        """The keyring is asked for the service and the user."""
        keyring.set_keyring(Memory())
        keyring.set_password("vcsa", "u@v", SECRET)
        assert PasswordSource("keyring", "vcsa").read("u@v") == SECRET

    @pytest.mark.usefixtures("own_keyring")
    def test_keyring_missing(self) -> None:
        """A keyring without the password is told how to get it."""
        keyring.set_keyring(Memory())
        keyring.set_password("vcsa", "u@v", SECRET)
        with pytest.raises(CredentialError, match="Store it with: keyring set vcsa other@v"):
            PasswordSource("keyring", "vcsa").read("other@v")

    @pytest.mark.usefixtures("own_keyring")
    def test_keyring_locked(self) -> None:
        """A keyring that fails is named by its fault, without its words."""
        keyring.set_keyring(Memory(locked=True))
        with pytest.raises(CredentialError, match=r"read for vcsa: KeyringLocked\.") as caught:
            PasswordSource("keyring", "vcsa").read("u@v")
        assert SECRET not in str(caught.value)

    def test_keyring_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the keyring package a person learns how to install it."""
        monkeypatch.setitem(sys.modules, "keyring", None)  # as Python marks what is not there
        with pytest.raises(CredentialError, match=r"pip install 'backupkit\[keyring\]'"):
            PasswordSource("keyring", "vcsa").read("u@v")

    def test_prompt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A person is asked for the password, and told for whom."""
        asked: list[str] = []

        def typed(prompt: str) -> str:
            asked.append(prompt)
            return SECRET

        monkeypatch.setattr(getpass, "getpass", typed)
        assert PasswordSource("prompt", "the fleet").read("u@v") == SECRET
        assert asked == ["Password of u@v for the fleet: "]

    def test_prompt_empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing typed is no password."""
        monkeypatch.setattr(getpass, "getpass", lambda _prompt: "")
        with pytest.raises(CredentialError, match=r"none was typed\. Run the command again"):
            PasswordSource("prompt", "the fleet").read("u@v")

    def test_prompt_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a scheduled run nobody is there to type, and the error says so."""

        def closed(_prompt: str) -> str:
            raise EOFError

        monkeypatch.setattr(getpass, "getpass", closed)
        with pytest.raises(CredentialError, match=r"none was typed\. Run the command again"):
            PasswordSource("prompt", "the fleet").read("u@v")
