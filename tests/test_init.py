"""`backupkit init`: from a list of hosts to a fleet.toml."""

import io
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backupkit import Fleet, History, IdentityProvider, PasswordSource, Policy, simulator
from backupkit.cli import main
from backupkit.inventory import read_example


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


OAUTH = ("vc-1", "--oauth-url", "https://idp.test/t", "--oauth-client", "b")


class Terminal(io.StringIO):
    """Input of a terminal."""

    def isatty(self) -> bool:
        """Return True, as a terminal does."""
        return True


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 # a function
    """Return a function that sets the answers that a person types."""

    def set_answers(*answers: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{text}\n" for text in answers)))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    return set_answers


def test_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    """Hosts become a fleet.toml that loads, with the next step on stderr."""
    assert main(["init", "vc-1.test", "https://vc-2.test/ui"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fleet.toml: 2 appliances. Set BACKUPKIT_PASSWORD to the password, then")
    assert err.endswith("run: backupkit doctor\n")
    fleet = Fleet.load("fleet.toml")
    assert [(one.name, one.host, one.user) for one in fleet] == [
        ("vc-1", "vc-1.test", "backup-reader@vsphere.local"),
        ("vc-2", "vc-2.test", "backup-reader@vsphere.local"),
    ]
    assert Policy.load("fleet.toml").rpo.total_seconds() == 86_400


def test_secret_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is set, or a file that exists, is not asked to be written."""
    monkeypatch.setenv("BACKUPKIT_PASSWORD", "x")
    Path("secret").write_text("x")
    for options in ([], ["--password-from", "file:secret"]):
        assert main(["init", "vc-1.test", "--force", *options]) == 0
        assert capsys.readouterr().err == "fleet.toml: 1 appliance. Next: backupkit doctor\n"


def test_never_overwrites(capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is replaced with --force only."""
    Path("fleet.toml").write_text("# mine")
    assert main(["init", "vc-1.test"]) == 1
    assert "fleet.toml: exists already. Choose another" in capsys.readouterr().err
    assert Path("fleet.toml").read_text() == "# mine"
    assert main(["init", "vc-1.test", "--force"]) == 0
    assert len(Fleet.load("fleet.toml")) == 1


def test_force_keeps_a_history(capsys: pytest.CaptureFixture[str]) -> None:
    """--force replaces texts alone, also UTF-16 ones; link and permissions stay."""
    history = Path("history.db")
    History(history).check_writable()
    before = history.read_bytes()
    assert main(["init", "vc-1.test", "--force", "-o", "history.db"]) == 1
    assert "history.db is no text file, and stays as it is." in capsys.readouterr().err
    assert history.read_bytes() == before
    Path("real.toml").write_text("# mine", encoding="utf-16")
    Path("real.toml").chmod(0o640)
    Path("fleet.toml").symlink_to("real.toml")
    assert main(["init", "vc-1.test", "--force"]) == 0
    assert len(Fleet.load("real.toml")) == 1
    assert (Path("fleet.toml").is_symlink(), Path("real.toml").stat().st_mode & 0o777) == (
        True,
        0o640,
    )
    assert main(["init", "vc-1.test", "--force", "-o", "new.toml"]) == 0
    assert main(["init", "vc-1.test", "--force", "-o", "real.toml/x"]) == 1
    assert "cannot be written: Not a directory." in capsys.readouterr().err
    assert not [path for path in Path().iterdir() if path.suffix == ".part"]


def test_files_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Files and hosts mix; options say what holds for all appliances."""
    Path("hosts.csv").write_text("host,site\nvc-1.test,Kiel\nvc-2.test,\n")
    Path("more").write_text("vc-3.test\n")
    Path("ca.pem").touch()
    options = ["--user", "r@v", "--ca-bundle", "ca.pem", "--rpo", "7d", "--site", "Ulm"]
    options += ["--group", "prod", "--password-from", "file:secret"]
    assert main(["init", "hosts.csv", "more", "vc-4.test", *options]) == 0
    assert "4 appliances. Write the password into secret, then" in capsys.readouterr().err
    fleet = Fleet.load("fleet.toml")
    assert [one.site for one in fleet] == ["Kiel", "Ulm", "Ulm", "Ulm"]
    assert {(one.user, one.group, one.ca_bundle) for one in fleet} == {
        ("r@v", "prod", Path("ca.pem"))
    }
    assert Policy.load("fleet.toml").rpo.days == 7


def test_other_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paths still lead to the files if fleet.toml is written to another folder."""
    Path("ca.pem").touch()
    Path("etc").mkdir()
    options = ["--ca-bundle", "ca.pem", "--password-from", f"file:{tmp_path / 'p'}"]
    assert main(["init", "vc-1.test", "--output", "etc/f.toml", *options]) == 0
    assert capsys.readouterr().err.endswith("backupkit doctor --fleet etc/f.toml\n")
    [one] = Fleet.load("etc/f.toml")
    assert (one.ca_bundle, one.password.place) == (tmp_path / "ca.pem", str(tmp_path / "p"))


def test_stdin_and_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts may come from a pipe, and the file go to one."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("[a]\nvc-1.test\n[b]\nvc-2.test\n"))
    assert main(["init", "-", "--only", "b", "--output", "-", "--password-from", "prompt"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert tomllib.loads(out)["appliance"] == [{"name": "vc-2", "host": "vc-2.test", "group": "b"}]
    assert list(Path().iterdir()) == []


def test_questions(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    """At a terminal, what no option states is asked for; an empty answer is the default."""
    answer("vc-1.test vc-2.test", "", "r@v", "keyring:vcsa", "", "12h")
    assert main(["init"]) == 0
    text = capsys.readouterr().err
    assert "User [backup-reader@vsphere.local]:" in text
    assert "Run: keyring set vcsa r@v, then: backupkit doctor" in text
    assert [one.name for one in Fleet.load("fleet.toml")] == ["vc-1", "vc-2"]
    answer("", "")
    assert (
        main(["init", "vc-1.test", "--user", "u@v", "--force", "--rpo", "1d", "--ca-bundle="]) == 0
    )
    assert "Run: keyring" not in capsys.readouterr().err


def test_token(capsys: pytest.CaptureFixture[str]) -> None:
    """An access token takes the place of user and password."""
    assert main(["init", "vc-1.test", "--token-from", "command:print-token --vc 'a b'"]) == 0
    assert capsys.readouterr().err == "fleet.toml: 1 appliance. Next: backupkit doctor\n"
    assert tomllib.loads(Path("fleet.toml").read_text())["defaults"] == {
        "token": {"command": ["print-token", "--vc", "a b"]}
    }
    [one] = Fleet.load("fleet.toml")
    assert (one.login, one.user, one.password.secret) == ("token", "", "access token")
    assert main(["init", "vc-1.test", "--force", "--token-from", "keyring:vcf"]) == 0
    assert "Run: keyring set vcf token, then: backupkit doctor" in capsys.readouterr().err
    assert Fleet.load("fleet.toml")["vc-1"].account == "token"


def test_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A client of an identity provider takes the place of user and password."""
    url = "https://idp.test/acs/t/CUSTOMER/token"
    client = ["--oauth-url", url, "--oauth-client", "backupkit"]
    assert main(["init", "vc-1.test", *client]) == 0
    assert capsys.readouterr().err.endswith(
        "1 appliance. Set BACKUPKIT_SECRET to the client secret, then run: backupkit doctor\n"
    )
    [one] = Fleet.load("fleet.toml")
    assert one.provider == IdentityProvider(url=url, client="backupkit")
    assert (one.login, one.password) == ("oauth", PasswordSource("env", "BACKUPKIT_SECRET"))
    Path("idp.pem").touch()
    Path("etc").mkdir()
    more = ["--oauth-secret-from", "file:secret", "--oauth-scope", 'a "b"']
    more += ["--oauth-ca-bundle", "idp.pem", "-o", "etc/f.toml"]
    assert main(["init", "vc-1.test", *client, *more]) == 0
    assert f"Write the client secret into {tmp_path / 'secret'}, then" in capsys.readouterr().err
    [one] = Fleet.load("etc/f.toml")
    assert one.password.place == str(tmp_path / "secret")
    assert one.provider == IdentityProvider(
        url=url, client="backupkit", scope='a "b"', ca_bundle=tmp_path / "idp.pem"
    )


def test_questions_of_a_sign_in(
    answer: Any,  # noqa: ANN401 # a function
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each way to sign in has its own questions."""
    answer("token", "file:token", "", "")
    assert main(["init", "vc-1.test"]) == 0
    assert Fleet.load("fleet.toml")["vc-1"].secret_source == "file: token, an access token"
    answer("oauth", "https://idp.test/t", "bk", "keyring:idp", "", "", "", "")
    assert main(["init", "vc-1.test", "--force"]) == 0
    err = capsys.readouterr().err
    assert "Client secret from (env:, file:, keyring:, command:) [env:BACKUPKIT_SECRET]:" in err
    assert "Run: keyring set idp bk, then: backupkit doctor" in err
    assert Fleet.load("fleet.toml")["vc-1"].provider == IdentityProvider(
        url="https://idp.test/t", client="bk"
    )
    answer("hunter2")
    assert main(["init", "vc-1.test", "--force"]) == 1
    err = capsys.readouterr().err
    assert "backupkit: answer with one of the words password, token and oauth: " in err
    assert "hunter2" not in err


def test_discovery_as_a_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--discover signs in as the file will say, here as a client."""
    scenario = simulator.Scenario.steady(
        appliances=12, jobs=1, epoch=datetime.now(UTC), flavours=["api"]
    )
    provider = simulator.IdentityProvider(secret="s3cret")
    with simulator.SimulatedFleet(scenario, provider=provider) as appliances:
        for one in appliances.appliances:
            appliances.refuse_passwords(one.name)
        Path("ca.pem").write_bytes(appliances.authority)
        Path("secret").write_text("s3cret")
        trust = ["--ca-bundle", "ca.pem", "--oauth-ca-bundle", "ca.pem"]
        client = ["--oauth-url", provider.url, "--oauth-client", provider.client]
        client += ["--oauth-secret-from", "file:secret"]
        first = appliances.appliances[0]
        site = [one.host for one in appliances.appliances if one.site == first.site]
        assert main(["init", first.host, "--discover", *client, *trust, "-o", "f.toml"]) == 0
        assert f"Found in the SSO domain: {', '.join(site[1:])}\n" in capsys.readouterr().err
        assert [one.host for one in Fleet.load("f.toml")] == site
        assert main(["collect", "--fleet", "f.toml", "--history", "h.db"]) == 0
    assert len(History(tmp_path / "h.db").jobs()) == len(site)


def test_no_questions(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    """--yes takes the defaults at a terminal, too."""
    answer()
    assert main(["init", "vc-1.test", "--yes", "--password-from", "prompt"]) == 0
    assert capsys.readouterr().err == "fleet.toml: 1 appliance. Next: backupkit doctor\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no host: name the hosts, or a file of them"),
        (["hosts.csv"], "hosts.csv: cannot be read: No such file"),
        (["lists/prod"], "lists/prod: cannot be read: No such file"),
        (["-o", "no/fleet.toml", "vc-1"], "no/fleet.toml: cannot be written: No such file"),
        (["vc 1"], 'appliance "vc 1": host = "vc 1" must be a host name'),
        (["vc-1", "--ca-bundle", "ca.pem"], '--ca-bundle: no such file "ca.pem"'),
        (["vc-1", "--password-from", "hunter2"], "write env:VARIABLE, file:PATH"),
        (["vc-1", "--password-from", "env:"], "write env:VARIABLE, file:PATH"),
        (["vc-1", "--token-from", "hunter2"], "--token-from: this is no source of a secret"),
        (["vc-1", "--token-from", "prompt"], "--token-from: a token cannot be typed"),
        (["vc-1", "--token-from", "env:T", "--user", "u"], "state one way to sign in: --user and"),
        (["vc-1", "--oauth-scope", "s", "--token-from", "env:T"], "state one way to sign in"),
        (["vc-1", "--oauth-url", "https://i.test"], "--oauth-url and --oauth-client go together"),
        (["vc-1", "--oauth-client", "b"], "--oauth-url and --oauth-client go together"),
        ([*OAUTH, "--oauth-secret-from", "hunter2"], "--oauth-secret-from: this is no source"),
        ([*OAUTH, "--oauth-ca-bundle", "ca.pem"], '--oauth-ca-bundle: no such file "ca.pem"'),
        ([*OAUTH, "--oauth-scope", "\x07"], "oauth: scope"),
        (["vc-1", "--oauth-client", "b", "--oauth-url", "http://i.test"], "begin with https://"),
        (["vc-1", "--password-from", "env:\x07"], "control character"),
        (["vc-1", "--rpo", "soon"], "rpo"),
        (["vc-1", ""], "the host is empty. Name a host"),
        (["192.0.2.300"], "ends in a number, but is not an IPv4 address"),
        (["vc-1", "-o", "..", "--force"], "..: is a folder. Name a file"),
        (["vc-1", "--site", "\x07"], "control character"),
    ],
)
def test_errors(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An error names what is wrong, and no file is written."""
    assert main(["init", *argv]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "hunter2" not in err
    assert list(Path().iterdir()) == []


def test_line_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong host of a file is named with its line."""
    Path("hosts.csv").write_text("name,host,tz\na,vc-1.test,x\nb,vc 2,x\n")
    assert main(["init", "hosts.csv"]) == 1
    assert 'backupkit: hosts.csv, line 3: appliance "b": host = "vc 2"' in capsys.readouterr().err


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    """--example prints the example with all keys, which loads."""
    assert main(["init", "--example"]) == 0
    out = capsys.readouterr().out
    assert out == read_example()
    Path("fleet.toml").write_text(out, encoding="utf-8")
    assert len(Fleet.load("fleet.toml").appliances) == 13


def test_missing_fleet_names_init(capsys: pytest.CaptureFixture[str]) -> None:
    """A command without a fleet.toml names the one that writes it."""
    assert main(["doctor"]) == 1
    assert "write one with: backupkit init" in capsys.readouterr().err
