"""Every notebook runs from top to bottom, and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    """One notebook."""

    def test_runs(self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It runs without an error in a folder of its own, and its last cell shows something."""
        monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook,
            timeout=120,
            startup_timeout=60,
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute()
        last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
        shown = [output.data for output in last.outputs if "data" in output]
        assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)
        assert any("text/html" in data for data in shown)

    def test_kept_without_outputs(self, path: Path) -> None:
        """No output and no execution count is kept."""
        cells = [
            cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        ]
        assert len(cells) <= 7
        assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_there_are_notebooks() -> None:
    """The test above is about something."""
    assert [path.stem for path in NOTEBOOKS] == ["01_first_look"]
