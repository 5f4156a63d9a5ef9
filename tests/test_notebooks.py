"""Notebooks are short and without outputs, and run with any fleet."""

from pathlib import Path
from typing import Any, Final

import nbformat
import pandas as pd
import pytest

import backupkit as bk
from tests.chromium import CHROMIUM
from tests.conftest import LONG, Simulated

NOTEBOOKS: Final = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
BUILDS: Final = ("24322831", "24755230")
"""Builds of the appliance with the made-up upgrade."""


def cells(path: Path, kind: str = "code") -> list[Any]:
    """Return a notebook's cells of one kind."""
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def tags(cell: Any) -> list[str]:  # noqa: ANN401 # nbformat is not typed
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    """Form of a notebook."""

    def test_no_outputs(self, path: Path) -> None:
        """A notebook has no output and no execution count."""
        assert all(not cell.outputs and cell.execution_count is None for cell in cells(path))

    def test_short(self, path: Path) -> None:
        """A notebook has at most seven code cells."""
        assert len(cells(path)) <= 7

    def test_heading(self, path: Path) -> None:
        """A notebook begins with a heading."""
        assert cells(path, "markdown")[0].source.startswith("# ")


@pytest.fixture(scope="module")
def history(demo: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collect the demo into a history."""
    path = tmp_path_factory.mktemp("known") / "history.db"
    bk.History(path).append(bk.collect(demo.fleet))
    return path


@pytest.mark.parametrize("path", NOTEBOOKS[:2], ids=lambda path: path.stem)
def test_any_fleet(
    path: Path, history: Path, demo: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two notebooks run with any fleet and history as parameters."""
    monkeypatch.chdir(tmp_path)
    parameters, *others = cells(path)
    assert tags(parameters) == ["parameters"]
    names: dict[str, Any] = {}
    exec(parameters.source, names)  # noqa: S102 # the project's own cells
    names.update(fleet=str(demo.path), history=str(history))
    for cell in others:
        exec(cell.source, names)  # noqa: S102 # the project's own cells
    assert len(names["a"].appliances) == 12


@pytest.mark.skipif(LONG and CHROMIUM is not None, reason="JupyterLab runs them")
@pytest.mark.parametrize("path", NOTEBOOKS[2:4], ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two notebooks run a simulated fleet and have the expected results."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells(path):
        exec(cell.source, names)  # noqa: S102 # the project's own cells
    if path.stem == "03_watch_live":
        assert len(names["jobs"].loc[names["new"]]) > 0
    else:
        assert len(names["snapshot"].polls) == 40
        assert names["here"].appliances.equals(names["a"].appliances)


def test_cookbook() -> None:
    """The cookbook answers its questions on the sample."""
    shown: list[pd.DataFrame] = []
    names: dict[str, Any] = {"display": shown.append}
    for cell in cells(NOTEBOOKS[4]):
        exec(cell.source, names)  # noqa: S102 # the project's own cells
    assert names["weeks"].sum().to_dict() == {"Hamburg": 15, "New York": 9, "Tokyo": 90}
    assert names["longest"]["appliance"].iloc[0] == "vc-nyc-02"
    assert names["changed"].index.to_list() == [("vc-ham-04", one) for one in BUILDS]
    assert names["changed"]["jobs"].to_list() == [6 + 30 + 31, 23 + 1]  # nightly, and one runs
    assert names["sizes"]["in_90_days"].idxmax() == "vc-ham-04"
    assert len(names["october"].slots) > 200
    assert names["owners"].index.to_list() == ["Team East", "Team West", "Team North", "Team East"]
    assert [len(frame) for frame in shown] == [3, 4]


def test_names() -> None:
    """There are five notebooks."""
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]
