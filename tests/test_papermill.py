"""The notebook of the report runs unattended, with parameters."""

import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent


def test_report(tmp_path: Path) -> None:
    """The recipe of the README writes the report, and a notebook with all outputs."""
    words = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "02_sla_report.ipynb")]
    words += [str(tmp_path / "october.ipynb"), "--cwd", str(tmp_path), "-k", "python3"]
    for name, value in {
        "fleet": ROOT / "data" / "fleet.example.toml",
        "history": ROOT / "data" / "history.db",
        "out": "october.html",
    }.items():
        words += ["-p", name, str(value)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "<h1" in (tmp_path / "october.html").read_text(encoding="utf-8")
    run = nbformat.read(tmp_path / "october.ipynb", as_version=4)
    outputs = [cell.outputs for cell in run.cells if cell.cell_type == "code"]
    assert all(outputs[-1]), "the last cell shows the report"
    assert run.metadata["papermill"]["exception"] is None
