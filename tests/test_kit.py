"""backupkit kit: files for monitoring systems."""

from pathlib import Path

import pytest

from backupkit.cli import main
from backupkit.cli.commands.kit import KitName
from backupkit.reports import kit as package
from backupkit.reports.kit import KITS, read_kit


def test_names() -> None:
    """The command knows each kit, and each file of the package belongs to one."""
    assert [*KitName] == [*KITS]
    folder = Path(package.__file__).parent
    for name, files in KITS.items():
        assert sorted(path.name for path in (folder / name).iterdir()) == sorted(files)


@pytest.mark.parametrize("name", KITS)
def test_written(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files of a kit are written into a new folder, and their paths printed."""
    folder = tmp_path / "new" / "folder"
    assert main(["kit", name, str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(folder / file) for file in KITS[name]]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == read_kit(name)
    assert main(["kit", name, str(folder)]) == 0  # nothing was changed


def test_changed_files_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that a person changed is replaced with --force only."""
    alerts = tmp_path / "backupkit-alerts.yml"
    alerts.write_text("mine")
    assert main(["kit", "prometheus", str(tmp_path)]) == 1
    assert f"{alerts}: exists with other content, and nothing was" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [alerts.name]
    assert main(["kit", "prometheus", str(tmp_path), "--force"]) == 0
    assert alerts.read_bytes() == read_kit("prometheus")[alerts.name]


def test_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the place of the folder is an error that names it."""
    (tmp_path / "file").touch()
    assert main(["kit", "prometheus", str(tmp_path / "file")]) == 1
    assert f"{tmp_path / 'file'}: cannot be used: File exists" in capsys.readouterr().err
