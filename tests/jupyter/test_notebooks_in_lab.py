"""Every notebook, run in a real JupyterLab, has its expected outputs."""

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import expect

from tests.chromium import MARKS, ROOT
from tests.conftest import LONG
from tests.jupyter.lab import Lab

pytestmark = MARKS

PROMISES: Final[dict[str, dict[str, str | re.Pattern[str]]]] = {
    "01_first_look": {
        "verdict": "3 of 10 in scope breach their RPO, 1 unknown, 2 excluded",
        "explorer": "Overview",
    },
    "02_sla_report": {
        "figures": "rpo_strict_micro",
        "save": "2 of 9 in scope breach their RPO",
    },
    "03_watch_live": {
        "watcher": "vc-ham-04",
        "jobs": re.compile(r"vc-ham-04\s+SUCCEEDED"),
    },
    "04_scale_out": {
        "collect": "40 appliances",
        "same": "the same: True",
        "verdict": re.compile(r"\d+ of 40 in scope breach their RPO"),
    },
    "05_cookbook": {
        "weeks": "Tokyo",
        "builds": "24755230",
        "owners": "Team North",
    },
}
"""What is read in the outputs, by notebook and by the cell's id."""

IN_LAB: Final = list(PROMISES) if LONG else ["02_sla_report"]
"""The first one runs in `test_explorer_in_lab` anyway, the others without a browser."""


@pytest.mark.long
@pytest.mark.parametrize("name", IN_LAB)
def test_run_from_the_menu(lab: Lab, name: str) -> None:
    """A notebook runs without error or warning, and sends no request to other machines."""
    with lab.open(f"{name}.ipynb") as notebook:
        notebook.run_all()
        assert notebook.complaints() == []
        for cell, text in PROMISES[name].items():
            expect(notebook.output(cell)).to_contain_text(text)
            notebook.shot(f"lab-{name}-{cell}")
        notebook.theme("JupyterLab Dark")
        for cell in PROMISES[name]:
            expect(notebook.output(cell)).to_be_visible()
            notebook.shot(f"lab-{name}-{cell}-dark")
        notebook.theme("JupyterLab Light")
        assert notebook.watched.troubles == []
        assert notebook.watched.abroad == []


def test_report_is_saved(notebooks: Path, lab: Lab) -> None:
    """The second notebook saves the report and its data in its folder."""
    if not (notebooks / "report.html").exists():  # unless the test above did so
        with lab.open("02_sla_report.ipynb") as notebook:
            notebook.run_all()
    names = {path.name for path in notebooks.glob("report.*")}
    tables = {
        f"report.{name}csv" for name in ("", "jobs.", "verdicts.", "appliances.", "days.", "trend.")
    }
    assert names == {"report.html", "report.json", *tables}


def test_every_notebook_is_tried() -> None:
    """Every notebook is tested."""
    assert set(PROMISES) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
