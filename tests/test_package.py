"""The package: cost of its import, public names, and the wheel."""

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import import_module
from inspect import getdoc, isfunction
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import pytest

import backupkit as bk

ROOT = Path(__file__).parent.parent
LOADED = "import json, sys; print(json.dumps(list(sys.modules)))"
RETURNS = re.compile(r"^(?:Returns\n-|Yields\n)------\n(.+)\n((?: +.+\n?)+)", re.MULTILINE)
"""The section of the result: its type, and what it has."""
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
    """Run code in a new interpreter, and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


class TestImport:
    """import backupkit."""

    @pytest.mark.parametrize(
        ("code", "module"),
        [
            ("import backupkit", "backupkit"),
            ("import backupkit; backupkit.__version__", "backupkit._version"),
        ],
    )
    def test_lazy(self, code: str, module: str) -> None:
        """The import, and the version, load none of the large libraries."""
        loaded = json.loads(_run(f"{code}; {LOADED}"))
        assert module in loaded
        assert not set(HEAVY) & set(loaded)

    def test_submodules(self) -> None:
        """No submodule has the name of a public function, which its import would replace."""
        submodules = {module.name for module in iter_modules(bk.__path__)}
        assert {name for name, home in bk._HOME.items() if not home} <= submodules
        assert not {name for name, home in bk._HOME.items() if home} & submodules


class TestNames:
    """Public names."""

    def test_sorted(self) -> None:
        """__all__ is sorted and without duplicates."""
        assert bk.__all__ == sorted(set(bk.__all__))

    @pytest.mark.parametrize("name", bk.__all__)
    def test_importable(self, name: str) -> None:
        """Every name of __all__ is the object of its module."""
        home = bk._HOME[name]
        module = import_module(f"backupkit.{home or name}")
        assert getattr(bk, name) is (getattr(module, name) if home else module)

    def test_home(self) -> None:
        """Each name has a module, and each module entry a name."""
        assert set(bk._HOME) == set(bk.__all__)

    def test_dir(self) -> None:
        """dir() lists exactly the public names."""
        assert dir(bk) == bk.__all__

    def test_dir_of_plots(self) -> None:
        """dir() of the plots lists the functions that draw, and no module."""
        assert dir(bk.plots) == bk.plots.__all__
        assert all(isfunction(getattr(bk.plots, name)) for name in dir(bk.plots))

    @pytest.mark.parametrize("module", [bk, bk.plots, bk.widgets], ids=lambda one: one.__name__)
    def test_help(self, module: ModuleType) -> None:
        """The help on a public function says in words what its result is."""
        functions = [getattr(module, name) for name in module.__all__]
        for function in filter(isfunction, functions):
            text = getdoc(function) or ""
            assert (found := RETURNS.search(text)), function
            assert len(found[2].split()) >= 4, function

    def test_unknown(self) -> None:
        """An unknown name is an ordinary ImportError or AttributeError."""
        with pytest.raises(ImportError, match="cannot import name 'nothing' from 'backupkit'"):
            exec("from backupkit import nothing")  # noqa: S102 # a constant; the statement itself is the case
        with pytest.raises(AttributeError, match="'backupkit' has no attribute 'nothing'"):
            _ = bk.nothing

    def test_cached(self) -> None:
        """A name is resolved once."""
        assert bk.Fleet is vars(bk)["Fleet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    [path] = folder.glob("*.whl")
    return path


def test_wheel(wheel: Path) -> None:
    """The wheel contains every file of the package, with templates and py.typed."""
    with zipfile.ZipFile(wheel) as archive:
        contained = set(archive.namelist())
    own = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "backupkit").rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "backupkit/reports/templates/page.html" in own
    assert own <= contained


def test_sample_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """The installed package brings the sample history, which it only reads, and the example."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    data = tmp_path / "backupkit" / "data"
    for path in (*data.iterdir(), data):
        path.chmod(path.stat().st_mode & ~0o222)
    code = (
        "import backupkit as bk; history, policy, now = bk.sample();"
        "print(history.uri); print(bk.evaluate(history, policy, now=now).verdict.sentence);"
        "from backupkit.cli import main; main(['init', '--example'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert lines[2:] == (ROOT / "data" / "fleet.example.toml").read_text().splitlines()
    assert lines[:2] == [
        str(data / "history.db"),
        "3 of 10 in scope breach their RPO, 1 unknown, 2 excluded",
    ]
    assert sorted(path.name for path in data.iterdir()) == ["fleet.example.toml", "history.db"]
