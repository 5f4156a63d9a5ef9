"""The snippets of docs/operations.md parse, and their commands have options that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from backupkit.cli import COMMANDS, build_app
from backupkit.cli.run_settings import RunSettings
from backupkit.settings import read_toml

yaml = pytest.importorskip("yaml")

PAGE: Final = Path(__file__).parent.parent / "docs" / "operations.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")


def find_snippets(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def find_values(value: Any) -> Iterator[Any]:  # noqa: ANN401 # any YAML
    """Yield all mappings in a document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from find_values(inner)


def find_commands() -> Iterator[list[str]]:
    """Yield the words of each command of the page, after `backupkit`."""
    for block in find_snippets("yaml"):
        for table in find_values(yaml.safe_load(block)):
            if isinstance(table.get("argv"), list):
                yield list(map(str, table["argv"]))[1:]
            elif "run" in table:
                yield shlex.split(table["run"])[1:]
    for block in find_snippets("console") + find_snippets("groovy"):
        for line in re.findall(r"backupkit [^'\n]+", block):
            yield shlex.split(line.partition(" > ")[0], comments=True)[1:]


def test_commands() -> None:
    """Each command has a name and options that exist."""
    commands = list(find_commands())
    assert len(commands) > 5
    for name, *words in commands:
        assert name in COMMANDS
        group: Any = typer.main.get_command(build_app(name))
        known = {option for one in group.commands[name].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_settings(tmp_path: Path) -> None:
    """The table [run] is valid."""
    [text] = find_snippets("toml")
    path = tmp_path / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    assert RunSettings.load(read_toml(path)).mail == {"breach", "unknown"}


def test_ansible() -> None:
    """The task runs the command without a shell, with the password in the environment."""
    [[task]] = [yaml.safe_load(one) for one in find_snippets("yaml") if "ansible" in one]
    assert task["ansible.builtin.command"]["argv"][:2] == ["backupkit", "check"]
    assert list(task["environment"]) == ["BACKUPKIT_PASSWORD"]


def test_actions() -> None:
    """The workflow's step is one line of shell, with the password in the environment."""
    [flow] = [yaml.safe_load(one) for one in find_snippets("yaml") if "runs-on" in one]
    [step] = flow["jobs"]["upgrade"]["steps"]
    assert "\n" not in step["run"]
    assert step["env"] == {"BACKUPKIT_PASSWORD": "${{ secrets.BACKUP_READER_PASSWORD }}"}
