"""The JSON of each command is as docs/json-output.md describes it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

import backupkit as bk
from backupkit import tables
from backupkit.cli import main
from backupkit.tables import Table
from backupkit.tables.kinds import COUNT, FLAG, MESSAGE_LIST, NUMBER, SPAN, TEXT, TEXT_LIST, TIME
from tests.conftest import OddServer, Simulated
from tests.receiver import Receiver

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs" / "json-output.md").read_text(encoding="utf-8")
SAMPLE: Final = ROOT / "data" / "history.db"
FLEET: Final = ROOT / "data" / "fleet.example.toml"

TYPES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "string or null": {"type": ["string", "null"]},
    "object": {"type": "object"},
    "list of strings": {"type": "array", "items": {"type": "string"}},
    "list of objects": {"type": "array", "items": {"type": "object"}},
}
KINDS: Final = {
    **dict.fromkeys((TEXT, TIME), "string"),
    **dict.fromkeys((SPAN, NUMBER), "number"),
    **dict.fromkeys((MESSAGE_LIST, TEXT_LIST), "array"),
    COUNT: "integer",
    FLAG: "boolean",
}


def schema_of_rows(name: str) -> dict[str, Any]:
    """Return the schema of the rows of a frame."""
    table = getattr(tables, name)
    assert isinstance(table, Table)
    row = {column.name: {"type": [KINDS[column.kind], "null"]} for column in table}
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": row,
            "required": list(row),
            "additionalProperties": False,
        },
    }


def schema_of_type(text: str) -> dict[str, Any]:
    """Return the schema of a type in the page."""
    rows = re.fullmatch(r"rows of ([A-Z]+)", text)
    return schema_of_rows(rows[1]) if rows else TYPES[text]


def schema_of(command: str) -> dict[str, Any]:
    """Return the schema of the JSON of a command, from the page."""
    section = PAGE.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    if rows := re.search(r"^Rows of ([A-Z]+)\.$", section, re.MULTILINE):
        return schema_of_rows(rows[1])
    keys = re.findall(r"^\| `(\w+)` \| (.+?) \| .+\. \|$", section, re.MULTILINE)
    return {
        "type": "object",
        "properties": {key: schema_of_type(text) for key, text in keys},
        "required": [key for key, _ in keys],
        "additionalProperties": False,
    }


def check(command: str, text: str) -> Any:  # noqa: ANN401 # any JSON
    """Check a document, and return it."""
    document = json.loads(text)
    jsonschema.validate(document, schema_of(command))
    return document


def test_every_command() -> None:
    """The page describes exactly the commands with --json."""
    sources = (ROOT / "backupkit" / "cli" / "commands").glob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    found = re.findall(
        r"^def (\w+)\((?:(?!^def ).)*?as_json: AsJson", text, re.MULTILINE | re.DOTALL
    )
    described = [name.split()[-1] for name in re.findall(r"^## ([^-\n]+)$", PAGE, re.MULTILINE)]
    assert sorted(name.rstrip("_") for name in found) == sorted(described)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("history info", []),
        ("history verify", []),
        ("alert list", []),
        ("note list", []),
        ("alert send --dry-run", ["--fleet", str(FLEET)]),
        ("check", ["--fleet", str(FLEET)]),
        ("check --max-age", ["12h", "--fleet", str(FLEET)]),
        ("report", ["--fleet", str(FLEET), "--as-of", "2026-11-23T23:30:00Z"]),
    ],
)
def test_of_a_history(
    command: str,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Commands that read a history print what the page describes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLE, tmp_path)
    main([*command.split(), *options, "--json"])
    document = check(command, capsys.readouterr().out)
    if command == "history info":
        assert (document["jobs"], document["polls_failed"]) == (812, 1)
        assert document["last_poll"] == "2026-11-23T23:29:29.053809+00:00"
        assert document["size"] == SAMPLE.stat().st_size


def test_of_an_alert(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    receiver: Receiver,
) -> None:
    """Commands about alerts that were sent print what the page describes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLE, tmp_path)
    path = tmp_path / "fleet.toml"
    path.write_text(f'[alert.webhook.ops]\nurl = "{receiver.url}"\n', encoding="utf-8")
    main(["alert", "test", "--json"])
    check("alert test", capsys.readouterr().out)
    main(["alert", "send", "--json"])
    document = check("alert send", capsys.readouterr().out)
    key = document["decisions"][0]["key"]
    main(["alert", "show", key, "--json"])
    assert check("alert show", capsys.readouterr().out)["alert"]["key"] == key
    main(["alert", "list", "--json"])
    assert check("alert list", capsys.readouterr().out)["alerts"][0]["key"] == key


def test_of_an_empty_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty history has zeros, and no times."""
    history = bk.History(tmp_path / "history.db")
    main(["history", "info", "--history", history.uri, "--json"])
    document = check("history info", capsys.readouterr().out)
    assert (document["jobs"], document["last_poll"], document["head"]) == (0, None, "")


def test_of_a_removal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A removal has its time, kind and number of rows."""
    copy = shutil.copy(SAMPLE, tmp_path)
    bk.History(copy).forget("vc-ham-01")
    main(["history", "info", "--history", str(copy), "--json"])
    [removal] = check("history info", capsys.readouterr().out)["removals"]
    assert (removal["kind"], sorted(removal)) == ("forget", ["kind", "rows", "time"])
    assert removal["rows"] > 80


def test_of_a_fleet(
    live_demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands that poll print what the page describes."""
    fleet = ["--fleet", str(live_demo.path)]
    main(["collect", *fleet, "--history", str(tmp_path / "h.db"), "--json"])
    assert len(check("collect", capsys.readouterr().out)["polls"]) == 12
    main(["doctor", *fleet, "--json", "vc-ham-01"])
    assert len(check("doctor", capsys.readouterr().out)) == 12
    main(["discover", *fleet, "--json"])
    assert len(check("discover", capsys.readouterr().out)["nodes"]) == 12


def test_of_a_watch(odd: OddServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line of a watch is a document."""
    odd.serve_api()
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        f'[[appliance]]\nname = "vc-odd"\nhost = "{odd.host}"\nuser = "u"\n'
        f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle}"\n'
    )
    main(["watch", "--fleet", str(fleet), "--history", str(tmp_path / "h.db"), "--json"])
    for line in capsys.readouterr().out.splitlines():
        check("watch", line)
