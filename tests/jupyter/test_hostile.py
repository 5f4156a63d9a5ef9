"""Hostile texts in every field of a fleet are shown as text by JupyterLab."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pandas as pd
import pytest
from playwright.sync_api import expect

from backupkit import History
from backupkit.tables import ERRORS, OBSERVATIONS, POLLS, SCHEDULES
from tests.chromium import MARKS
from tests.jupyter.lab import Lab, Notebook

pytestmark = MARKS

NOW: Final = pd.Timestamp("2026-11-09T00:00Z")
DAY: Final = pd.Timedelta(days=1)
HARM: Final = (
    '<script>window.harmed=1</script>"><img src=x onerror="window.harmed=1">'
    r" $\frac{1}{2}$ \(x^2\) $$y$$ \[z\] `code` [link](javascript:window.harmed=1)"
    " </style><style>*{display:none}</style> \x1b[31mred\x1b[0m \u202egnp.exe {{7*7}} \x00end"
)
TABS: Final = ("Overview", "Appliances", "Timeline", "Matrix", "Failures", "Durations", "Jobs")
CELLS: Final = {
    "history": "import backupkit as bk\n"
    "from backupkit.policy import Member\n"
    "known = bk.History('hostile.db')\n"
    "names = list(known.polls()['appliance'].unique())\n"
    "members = [Member(appliance=n, site=n, group=n) for n in names]\n"
    "policy = bk.Policy(members=members)\n"
    "known",
    "policy": "policy",
    "judged": "a = bk.evaluate(known, policy, last='7d', now='2026-11-09T00:00Z')\na",
    "report": "bk.report(a)",
    "frames": "known.jobs()",
    "timeline": "bk.plots.timeline(a.jobs, slots=a.slots).figure",
    "explorer": "bk.widgets.explore(known, policy, last='7d', now='2026-11-09T00:00Z')",
}


def harmful(name: str) -> pd.DataFrame:
    """Return a week of failed jobs, one with a message of a megabyte."""
    starts = [NOW - DAY * back + pd.Timedelta(hours=1) for back in range(1, 8)]
    said = {"id": HARM, "default_message": HARM, "args": [HARM], "localized": HARM}
    long = {**said, "localized": HARM + "x" * 2**20, "default_message": "y" * 2**20}
    return OBSERVATIONS.frame(
        {
            "appliance": [name] * 7,
            "job_id": [f"{number}{HARM}" for number in range(7)],
            "observed_at": [NOW] * 7,
            "source": [HARM] * 7,
            "state": [HARM, *["FAILED"] * 6],
            "status": [HARM, *["FAILED"] * 6],
            "type": [HARM] * 7,
            "location": [f"sftp://{HARM}/{HARM}"] * 7,
            "build": [HARM] * 7,
            "start_time": starts,
            "end_time": [start + pd.Timedelta(minutes=5) for start in starts],
            "messages": [[long], *[[said]] * 6],
        }
    )


@pytest.fixture(scope="module")
def notebook(lab: Lab, notebooks: Path) -> Iterator[Notebook]:
    """Store such a fleet in a history, and run a notebook that shows it in every way."""
    names = [HARM, f"b{HARM}"]
    snapshot = SimpleNamespace(
        observations=harmful(HARM),
        polls=POLLS.frame(
            {
                "appliance": names,
                "polled_at": [NOW] * 2,
                "ok": [True, False],
                "error": [None, HARM],
                "detail": [None, HARM],
                "version": [HARM] * 2,
                "api": [HARM] * 2,
                "timezone": [HARM] * 2,
            }
        ),
        schedules=SCHEDULES.frame(
            {
                "appliance": [HARM],
                "schedule": [HARM],
                "seen_at": [NOW - 60 * DAY],
                "enabled": [True],
                "hour": [1],
                "minute": [0],
                "timezone": [HARM],
                "location": [HARM],
                "parts": [[HARM]],
            }
        ),
        errors=ERRORS.empty(),
    )
    History(notebooks / "hostile.db").append(snapshot)
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": name,
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for name, source in CELLS.items()
    ]
    page = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    page["metadata"] = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    (notebooks / "hostile.ipynb").write_text(json.dumps(page), encoding="utf-8")
    with lab.open("hostile.ipynb", shipped=False) as opened:
        opened.run_all()
        yield opened


def assert_unharmed(notebook: Notebook) -> None:
    """Check that no text became markup, a script or a formula."""
    page = notebook.page
    assert page.evaluate("window.harmed") is None
    outputs = page.locator(".jp-OutputArea-output")
    for made in ("script", "img[src='x']", "a[href^='javascript']", "mjx-container", ".MathJax"):
        assert outputs.locator(made).count() == 0, made
    assert page.locator(".ansi-red-fg").count() == 0
    assert notebook.watched.troubles == []
    assert notebook.watched.abroad == []


@pytest.mark.parametrize("cell", CELLS)
def test_every_display(notebook: Notebook, cell: str) -> None:
    """Each display shows the text as text."""
    assert notebook.complaints() == []
    shown = notebook.output(cell)
    expect(shown).to_be_visible()
    if cell not in ("history", "policy", "timeline"):  # cells that count or draw
        expect(shown).to_contain_text("<script>window.harmed=1")
    assert_unharmed(notebook)


def test_every_tab(notebook: Notebook) -> None:
    """Each tab of the explorer shows the text as text; it can be searched for and selected."""
    explorer = notebook.output("explorer").locator(".jp-OutputArea-child").first  # not the still
    for tab in TABS:
        explorer.get_by_role("tab", name=tab).click()
        notebook.wait_idle()
        notebook.shot(f"hostile-{tab.lower()}", of=explorer)
        assert_unharmed(notebook)
    expect(explorer.get_by_text("page 1 of 1, 7 jobs")).to_be_visible()
    explorer.get_by_placeholder("Search appliances, jobs and messages").fill("gone <script>")
    expect(explorer.get_by_text("matches the search “gone <script>”")).to_be_visible()
    explorer.get_by_placeholder("Search appliances, jobs and messages").fill("<script>")
    expect(explorer.get_by_text("page 1 of 1, 7 jobs")).to_be_visible()
    explorer.get_by_role("button", name="More filters").click()
    expect(explorer.get_by_text("Appliances (none = all)")).to_be_visible()
    explorer.locator("select:visible").first.select_option(index=0)
    expect(explorer.get_by_text("Shown:")).to_be_visible()
    assert_unharmed(notebook)
