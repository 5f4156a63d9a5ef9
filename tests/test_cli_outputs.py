"""Files that a command must not replace: its input, and a fleet.toml of a person."""

import shutil
from pathlib import Path

import pytest

from backupkit.cli import main
from backupkit.cli.outputs import refuse_foreign_fleet, refuse_inputs
from backupkit.errors import OutputError

ROOT = Path(__file__).parent.parent
NAMES = ("fleet.toml", "history.db")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with the sample as fleet.toml and history.db."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "data" / "history.db", tmp_path)
    shutil.copy(ROOT / "data" / "fleet.example.toml", tmp_path / "fleet.toml")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "command",
    [
        ["report", "--output"],
        ["report", "--format", "text", "--output"],
        ["metrics", "--out"],
        ["report", "--pack"],
    ],
)
def test_inputs_stay(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str], name: str
) -> None:
    """A report or metrics never replace fleet.toml or the history, also by another path."""
    before = (folder / name).read_bytes()
    assert main([*command, f"../{folder.name}/{name}"]) == 1
    err = capsys.readouterr().err
    assert f"{command[-1]}: ../{folder.name}/{name} is read by this command, and would be" in err
    assert (folder / name).read_bytes() == before


def test_metrics_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics of [run] never replace fleet.toml."""
    path = folder / "own.toml"
    path.write_text('[policy]\nrpo = "24h"\n[run]\nmetrics = "own.toml"\n')
    assert main(["run", "--fleet", str(path)]) == 1
    assert "metrics: failed: [run] metrics: " in capsys.readouterr().out
    assert path.read_text().startswith("[policy]")


def test_other_files(tmp_path: Path) -> None:
    """A new file, and a history in a database, are no reason to refuse."""
    (tmp_path / "a").touch()
    inputs = (tmp_path / "a", "postgresql://user@db/backups", "a\0b")
    refuse_inputs(tmp_path / "b", inputs, option="--output")
    (tmp_path / "b").touch()
    refuse_inputs(tmp_path / "b", inputs, option="--output")
    with pytest.raises(OutputError, match="--output: "):
        refuse_inputs(tmp_path / "a", inputs, option="--output")


@pytest.mark.parametrize(
    "command",
    ["simulate --appliances 1 --jobs 1 --for 0 --write-fleet fleet.toml", "demo --out ."],
)
def test_simulated_fleet(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Simulator and demo never replace the fleet.toml of a person."""
    before = {name: (folder / name).read_bytes() for name in NAMES}
    assert main(command.split()) == 1
    assert "fleet.toml exists, and is not of the simulator" in capsys.readouterr().err
    assert {name: (folder / name).read_bytes() for name in NAMES} == before
    (folder / "fleet.toml").unlink()


def test_demo_adds_to_no_other_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo adds no simulated job to the history of a person."""
    (folder / "fleet.toml").unlink()
    before = (folder / "history.db").read_bytes()
    assert main(["demo", "--out", "."]) == 1
    assert "contains a history that is not of the demo" in capsys.readouterr().err
    assert (folder / "history.db").read_bytes() == before
    assert not (folder / "story.json").exists()


def test_unreadable_fleet(tmp_path: Path) -> None:
    """A file that cannot be read is not replaced."""
    with pytest.raises(OutputError, match=r"cannot be written: .*irectory"):
        refuse_foreign_fleet(tmp_path, option="--out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--as-of", "x"], '--as-of: "x" is not a time'),
        (["--as-of", "2999-01-01", "--last", "1d"], "--as-of 2999-01-01 is in the future"),
        (["--as-of", "2999-01-01T00:00Z", "--timezone", "x/y"], '"x/y" is not a time zone'),
        (["--last", "0d"], "--start: the period must begin in 1980 or later and before its end"),
        (["--month", "13"], '--month: "13" is no month'),
        (["--month", "2026-01", "--last", "1d"], "backupkit: last and month exclude each other"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_options_are_named(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """An error about a time names the option that a person typed."""
    assert main(["report", *options]) == 1
    assert message in capsys.readouterr().err
