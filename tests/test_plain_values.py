"""Parsing of a command line without pydantic, as typer parses it."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.main import get_command

from backupkit.cli import COMMANDS, build_app
from backupkit.cli.plain_values import keep_plain_values


def upper(value: str) -> str:
    """Return a text in capitals, as the callback of an option."""
    return value.upper()


def parse(*arguments: str, plain: bool = True) -> dict[str, Any]:
    """Parse arguments of a command with options of all kinds, and return their values."""

    def collect(
        folder: Annotated[Path, typer.Argument()],
        name: Annotated[str, typer.Argument()],
        *,
        site: str = "Bonn",
        shout: Annotated[str, typer.Option(callback=upper)] = "hey",
        note: str | None = None,
        out: Path | None = None,
        appliance: list[str] | None = None,
        count: Annotated[int, typer.Option(min=1)] = 3,
        strategy: Literal["auto", "job"] = "auto",
        full: bool = False,
    ) -> dict[str, Any]:
        return locals()

    app = typer.Typer(rich_markup_mode=None)
    app.command()(collect)
    command = get_command(app)
    if plain:
        keep_plain_values(command)
    values: dict[str, Any] = command(args=list(arguments), standalone_mode=False)
    return values


class TestKeepPlainValues:
    """A command has the values and the errors that typer has."""

    def test_defaults(self) -> None:
        """A default is the value."""
        assert parse("a", "b") == {
            "folder": Path("a"),
            "name": "b",
            "site": "Bonn",
            "shout": "HEY",
            "note": None,
            "out": None,
            "appliance": None,
            "count": 3,
            "strategy": "auto",
            "full": False,
        }

    @pytest.mark.parametrize(
        ("arguments", "name", "value"),
        [
            (["--site", ""], "site", ""),
            (["--shout", "ho"], "shout", "HO"),
            (["--note", "Jürgen"], "note", "Jürgen"),
            (["--out", "./b//c"], "out", Path("b/c")),
            (["--out", ""], "out", Path()),
            (["--appliance", "vc-1", "--appliance", "vc-2"], "appliance", ["vc-1", "vc-2"]),
            (["--count", "04"], "count", 4),
            (["--strategy", "job"], "strategy", "job"),
            (["--full"], "full", True),
            (["--no-full"], "full", False),
        ],
    )
    def test_given(self, arguments: list[str], name: str, value: object) -> None:
        """A given value has its type, with typer's conversion and without it."""
        values = parse("a", "b", *arguments)
        assert values[name] == value
        assert type(values[name]) is type(value)
        assert values == parse("a", "b", *arguments, plain=False)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "Missing argument 'folder'"),
            (["a"], "Missing argument 'name'"),
            (["a", "b", "--count", "0"], "greater than or equal to 1"),
            (["a", "b", "--count", "x"], "valid integer"),
            (["a", "b", "--strategy", "x"], "'x' is not one of 'auto', 'job'"),
            (["a", "b", "--site"], "requires an argument"),
        ],
    )
    def test_errors(self, arguments: list[str], message: str) -> None:
        """A wrong value has typer's message."""
        texts = {raised(*arguments, plain=plain) for plain in (True, False)}
        assert len(texts) == 1
        assert message in texts.pop()

    @pytest.mark.skipif(
        sys.platform == "win32" or os.geteuid() == 0, reason="this user may read every file"
    )
    def test_unreadable_file(self, tmp_path: Path) -> None:
        """A file that exists and cannot be read is refused, as typer does."""
        path = tmp_path / "fleet.toml"
        path.touch(0)
        assert "is not readable" in raised(str(path), "b")

    @pytest.mark.parametrize("name", COMMANDS)
    def test_defaults_of_backupkit(self, name: str) -> None:
        """Typer would not change a default of any option of any command."""
        for context, parameter in list_parameters(get_command(build_app(name))):
            if not parameter.required:
                parameter.callback = None
                typed = parameter.process_value(context, parameter.default)
                assert typed in (parameter.default, ()), parameter.name


def raised(*arguments: str, plain: bool = True) -> str:
    """Return the message of the error that wrong arguments raise."""
    with pytest.raises(typer.TyperException) as caught:
        parse(*arguments, plain=plain)
    return caught.value.format_message()


def list_parameters(command: Any) -> list[tuple[typer.Context, Any]]:  # noqa: ANN401 # typer names no base
    """Return the parameters of a command and of those below it, each with its context."""
    context = typer.Context(command)
    below = getattr(command, "commands", {}).values()
    own = [(context, parameter) for parameter in command.params]
    return own + [pair for one in below for pair in list_parameters(one)]
