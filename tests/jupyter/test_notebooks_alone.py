"""Every notebook runs without a browser."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.chromium import CHROMIUM, ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.skipif(CHROMIUM is not None, reason="they run in JupyterLab, see the tests beside")
@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS])
def test_runs(notebooks: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook runs without an error, and its last cell has an output."""
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(notebooks / name, as_version=4)
    resources = {"metadata": {"path": str(notebooks)}}
    NotebookClient(notebook, timeout=120, startup_timeout=60, resources=resources).execute()
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert any("text/html" in output.get("data", {}) for output in last.outputs)
