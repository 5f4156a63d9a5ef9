"""The formats of ``backupkit check``, from the command line."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from backupkit.cli import main

ROOT: Final = Path(__file__).parent.parent
SAMPLE: Final = ("--history", ROOT / "data" / "history.db")
FLEET: Final = ("--fleet", ROOT / "data" / "fleet.example.toml")
MISSING: Final = ("--fleet", "none|x.toml", "--history", "none.db")


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> pytest.CaptureFixture[str]:
    """Run in an empty folder, and return what is printed there."""
    monkeypatch.chdir(tmp_path)
    return capsys


def check(*options: object) -> int:
    """Run the command on the sample, which is too old by now: its appliances are unknown."""
    return main(["check", *map(str, (*SAMPLE, *FLEET, *options))])


def test_nagios(printed: pytest.CaptureFixture[str]) -> None:
    """The default is a line about the fleet."""
    assert check() == check("--format", "nagios") == 3
    first, second = printed.readouterr().out.splitlines()
    assert first.partition(" (")[0] == second.partition(" (")[0]
    assert first.startswith("UNKNOWN: 11 of 11 in scope are unknown, 1 excluded (")


def test_checkmk(printed: pytest.CaptureFixture[str]) -> None:
    """Checkmk gets a service for the fleet and one for each appliance, with the same exit code."""
    assert check("--format", "checkmk") == 3
    lines = printed.readouterr().out.splitlines()
    assert lines[0] == "<<<local:sep(0)>>>"
    assert lines[1].startswith('3 "vCenter backups" breach=0;;0;0;11|unknown=11;;0;0;11|')
    place = lines.index("<<<<vc-nyc-03>>>>")
    assert lines[place + 1] == "<<<local:sep(0)>>>"
    assert lines[place + 2].startswith('3 "vCenter backup" exposure=')
    assert lines[-1] == "<<<<>>>>"
    assert sum(line.startswith("<<<<vc-") for line in lines) == 12


def test_zabbix(printed: pytest.CaptureFixture[str]) -> None:
    """Zabbix gets one line of JSON: the fleet, and an object of each appliance."""
    assert check("--format", "zabbix", "--appliance", "vc-nyc-03") == 3
    [line] = printed.readouterr().out.splitlines()
    document = json.loads(line)
    [one] = document["appliances"]
    assert (document["code"], document["unknown"]) == (3, 1)
    assert one["{#APPLIANCE}"] == one["appliance"] == "vc-nyc-03"
    assert (one["{#SITE}"], one["code"], one["rpo"]) == ("New York", 3, 604800)


def test_json(printed: pytest.CaptureFixture[str]) -> None:
    """--format json and --json are the same, with the result of each appliance."""
    for options in (("--format", "json"), ("--json",)):
        assert check(*options, "--site", "Tokyo") == 3
        document = json.loads(printed.readouterr().out)
        names = sorted(one["appliance"] for one in document["appliances"])
        assert names == ["vc-tyo-01", "vc-tyo-02", "vc-tyo-03", "vc-tyo-04"]
        assert all(
            re.match(r"exposure=\d+s;86400;93600;0 |strikes=", one["performance"])
            for one in document["appliances"]
        )


@pytest.mark.parametrize("output", ["nagios", "checkmk", "zabbix", "json"])
def test_error(output: str, printed: pytest.CaptureFixture[str]) -> None:
    """An error is UNKNOWN in each format; Zabbix gets no list that would remove its items."""
    assert main(["check", *MISSING, "--format", output]) == 3
    out = printed.readouterr().out
    if output == "nagios":
        assert out.startswith("UNKNOWN: none/x.toml: no such file")
    elif output == "checkmk":
        head, line = out.splitlines()
        assert head == "<<<local:sep(0)>>>"
        assert line.startswith('3 "vCenter backups" - none x.toml: no such file')
    else:
        document = json.loads(out)
        assert document.keys() == {"status", "code", "sentence"}
        assert (document["status"], document["code"]) == ("UNKNOWN", 3)
        assert document["sentence"].startswith("none|x.toml: no such file")


def test_max_age(printed: pytest.CaptureFixture[str]) -> None:
    """A gate has no services: the other formats are refused."""
    assert check("--max-age", "12h", "--format", "zabbix") == 3
    document = json.loads(printed.readouterr().out)
    assert document["sentence"] == "--max-age needs --format nagios or json."
    assert check("--max-age", "12h", "--format", "json", "--appliance", "vc-nyc-03") == 3
    assert json.loads(printed.readouterr().out)["max_age"] == 43200
    assert check("--max-age", "0h") == 3
    assert printed.readouterr().out.startswith("UNKNOWN: --max-age: must be longer than 0; for")
