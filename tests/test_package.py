"""The package's face: what importing it costs, gives and promises."""

import json
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import backupkit as bk

LOADED = "import json, sys; print(json.dumps(list(sys.modules)))"
HEAVY = (
    "adbc_driver_manager",
    "dask",
    "ipywidgets",
    "jinja2",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "requests",
    "typer",
)


def _run(code: str) -> str:
    """Run code in a fresh interpreter and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


class TestImport:
    """import backupkit."""

    def test_loads_nothing_heavy(self) -> None:
        """Importing the package loads none of the libraries it stands on."""
        loaded = json.loads(_run(f"import backupkit; {LOADED}"))
        assert "backupkit" in loaded
        assert not set(HEAVY) & set(loaded)

    def test_version_loads_nothing_heavy(self) -> None:
        """Asking for the version loads none of them either."""
        loaded = json.loads(_run(f"import backupkit; backupkit.__version__; {LOADED}"))
        assert "backupkit._version" in loaded
        assert not set(HEAVY) & set(loaded)

    def test_no_module_hides_a_function(self) -> None:
        """No submodule has a public function's name: its import would replace the function."""
        submodules = {module.name for module in iter_modules(bk.__path__)}
        assert {name for name, home in bk._HOME.items() if not home} <= submodules
        assert not {name for name, home in bk._HOME.items() if home} & submodules


class TestNames:
    """The names a user relies on."""

    def test_sorted(self) -> None:
        """__all__ is sorted and without doubles."""
        assert bk.__all__ == sorted(set(bk.__all__))

    @pytest.mark.parametrize("name", bk.__all__)
    def test_importable(self, name: str) -> None:
        """Every name of __all__ can be had, and is what its module calls so."""
        home = bk._HOME[name]
        module = import_module(f"backupkit.{home or name}")
        assert getattr(bk, name) is (getattr(module, name) if home else module)

    def test_one_list(self) -> None:
        """Each name has a home, and each home a name."""
        assert set(bk._HOME) == set(bk.__all__)

    def test_dir(self) -> None:
        """dir() offers exactly what is promised."""
        assert dir(bk) == bk.__all__

    def test_unknown(self) -> None:
        """A name that is not there is an ordinary error that says so."""
        with pytest.raises(ImportError, match="cannot import name 'nothing' from 'backupkit'"):
            exec("from backupkit import nothing")  # noqa: S102 # a constant; the statement itself is the case
        with pytest.raises(AttributeError, match="'backupkit' has no attribute 'nothing'"):
            _ = bk.nothing

    def test_kept(self) -> None:
        """A name is looked up once."""
        assert bk.Fleet is vars(bk)["Fleet"]


def test_wheel(tmp_path: Path) -> None:
    """The wheel carries every file of the package: templates and the typing mark, too."""
    root = Path(__file__).parent.parent
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        capture_output=True,
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = set(archive.namelist())
    own = {
        path.relative_to(root).as_posix()
        for path in (root / "backupkit").rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "backupkit/reports/templates/page.html" in own
    assert own <= carried
