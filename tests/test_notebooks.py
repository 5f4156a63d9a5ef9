"""Every notebook is kept short and without outputs, and the first two take any fleet."""

from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

import backupkit as bk
from tests.chromium import CHROMIUM
from tests.conftest import LONG, Simulated

NOTEBOOKS: Final = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str = "code") -> list[Any]:
    """Give a notebook's cells of one kind."""
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def tags(cell: Any) -> list[str]:  # noqa: ANN401 # nbformat is not typed
    """Give the tags of a cell."""
    found: list[str] = cell.metadata.get("tags", [])
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    """One notebook."""

    def test_kept_without_outputs(self, path: Path) -> None:
        """No output and no execution count is kept."""
        assert all(not cell.outputs and cell.execution_count is None for cell in cells(path))

    def test_short(self, path: Path) -> None:
        """It has at most seven code cells."""
        assert len(cells(path)) <= 7

    def test_asks_a_question(self, path: Path) -> None:
        """Its heading is the question that it answers."""
        heading = cells(path, "markdown")[0].source.splitlines()[0]
        assert heading.startswith("# ")
        assert heading.endswith("?")


@pytest.fixture(scope="module")
def known(demo: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep what the demo's appliances say."""
    place = tmp_path_factory.mktemp("known") / "history.db"
    bk.History(place).append(bk.collect(demo.fleet))
    return place


@pytest.mark.parametrize("path", NOTEBOOKS[:2], ids=lambda path: path.stem)
def test_takes_any_fleet(
    path: Path, known: Path, demo: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the demo's fleet as its parameters it runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    parameters, *others = cells(path)
    assert tags(parameters) == ["parameters"]
    names: dict[str, Any] = {}
    exec(parameters.source, names)  # noqa: S102 # the project's own cells
    names.update(fleet=str(demo.path), history=str(known))
    for cell in others:
        exec(cell.source, names)  # noqa: S102 # the project's own cells
    assert len(names["a"].appliances) == 12


@pytest.mark.skipif(LONG and CHROMIUM is not None, reason="they run in JupyterLab")
@pytest.mark.parametrize("path", NOTEBOOKS[2:], ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others, which bring appliances of their own, run and give the promised results."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells(path):
        exec(cell.source, names)  # noqa: S102 # the project's own cells
    if path.stem == "03_watch_live":
        assert len(names["jobs"].loc[names["new"]]) > 0
    else:
        assert len(names["snapshot"].polls) == 40
        assert names["here"].appliances.equals(names["a"].appliances)


def test_there_are_notebooks() -> None:
    """The tests above are about something."""
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]
