"""docs/monitoring.md: its commands, settings and tables agree with the program and its rules."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from backupkit.cli import COMMANDS, build_app
from backupkit.cli.metrics_settings import MetricsSettings
from backupkit.reports.kit import KITS, read_kit
from backupkit.reports.services import ApplianceResult
from backupkit.settings import read_toml

yaml = pytest.importorskip("yaml")

TEXT: Final = (Path(__file__).parent.parent / "docs" / "monitoring.md").read_text(encoding="utf-8")


def find_snippets(language: str) -> list[str]:
    """Return the code blocks of a language, also those of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_commands() -> None:
    """Each command in the snippets has a name and options that exist."""
    joined = TEXT.replace("\\\n", " ")
    lines = re.findall(r"(?:^ *\$ |bin/|^|; )backupkit ([^|;\n]+)", joined, re.MULTILINE)
    commands = [shlex.split(line.partition(" 2>")[0]) for line in lines]
    assert {words[0] for words in commands} == {"check", "metrics", "kit", "collect"}
    for name, *words in commands:
        assert name in COMMANDS
        group: Any = typer.main.get_command(build_app(name))
        known = {option for one in group.commands[name].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_kits() -> None:
    """The page lists the files of each kit as the command prints them."""
    for name, files in KITS.items():
        [block] = [text for text in find_snippets("console") if f"backupkit kit {name}" in text]
        assert re.findall(r"backupkit-\w+\.\w+$", block, re.MULTILINE) == list(files)


def test_alerts() -> None:
    """The table has each alert of the kit with its severity, in the same order."""
    groups = yaml.safe_load(read_kit("prometheus")["backupkit-alerts.yml"])["groups"]
    alerts = [
        (rule["alert"], rule["labels"]["severity"]) for group in groups for rule in group["rules"]
    ]
    assert re.findall(r"^\| `(Vcenter\w+)` \| (\w+) \|", TEXT, re.MULTILINE) == alerts


def test_snippets(tmp_path: Path) -> None:
    """The table [metrics] is valid, and the YAML parses."""
    [table] = find_snippets("toml")
    path = tmp_path / "fleet.toml"
    path.write_text(table, encoding="utf-8")
    settings = MetricsSettings.load(read_toml(path))
    assert (settings.user, settings.key) == ("prometheus", tmp_path / "metrics.key")
    documents = [yaml.safe_load(text) for text in find_snippets("yaml")]
    assert [list(one) for one in documents] == [["rule_files"], ["scrape_configs"]]


def test_keys() -> None:
    """Each key of an appliance that Icinga and Zabbix read exists."""
    unknown = (None, None, None)
    one = ApplianceResult("vc-1", None, None, "unknown", 3, "x", 1.0, *unknown, 0, None)
    [script] = [text for text in find_snippets("sh") if "jq" in text]
    used = set(re.findall(r"[{:\[ ]\.(\w+)", script)) - {"appliances"}
    used |= set(re.findall(r"\)\]\.(\w+)\.first", TEXT))
    assert used == {"appliance", "code", "sentence", "performance", "exposure"}
    assert used <= one.to_json().keys()
