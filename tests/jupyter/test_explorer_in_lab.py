"""The explorer in a real JupyterLab."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.chromium import MARKS
from tests.jupyter.lab import Lab, Notebook

pytestmark = MARKS

TABS = ("Overview", "Appliances", "Timeline", "Matrix", "Failures", "Durations", "Jobs")
VERDICT = "3 of 10 in scope breach their RPO, 1 unknown, 2 excluded"


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Iterator[Notebook]:
    """Open the first notebook and run all of it."""
    with lab.open("01_first_look.ipynb") as opened:
        opened.page.set_viewport_size({"width": 1400, "height": 2_200})
        opened.run_all()
        yield opened
        opened.page.set_viewport_size({"width": 1400, "height": 1_000})
        assert opened.complaints() == []
        assert opened.watched.troubles == []
        assert opened.watched.abroad == []


@pytest.fixture
def explorer(notebook: Notebook) -> Locator:
    """Return the explorer without filters and with the overview open."""
    shown = notebook.output("explorer").locator(".jp-OutputArea-child").first  # not the still
    shown.get_by_role("button", name="Clear filters").click()
    if shown.locator(".noUi-handle").last.is_visible():
        shown.get_by_role("button", name="More filters").click()
        expect(shown.locator(".noUi-handle").last).to_be_hidden()
    shown.get_by_role("tab", name="Overview").click()
    shown.get_by_role("button", name="30 d", exact=True).click()
    expect(shown.get_by_text(VERDICT)).to_be_visible()
    return shown


def picture(explorer: Locator) -> Locator:
    """Find the first picture of the open tab."""
    return explorer.locator(".backupkit-picture img:visible").first


def timeline(explorer: Locator) -> Locator:
    """Find the timeline of the open tab."""
    canvas = explorer.locator(".backupkit-runs canvas:visible")
    expect(canvas).to_have_attribute("data-drawn", re.compile(r"\d"))
    return canvas


def grid(explorer: Locator, name: str) -> Locator:
    """Find a grid or bars of the open tab."""
    canvas = explorer.get_by_role("application", name=name)
    expect(canvas).to_have_attribute("data-drawn", re.compile(r"\d"))
    return canvas


def changed(image: Locator, before: str | None) -> str:
    """Wait until a picture has changed, and return it."""
    expect(image).not_to_have_attribute("src", before or "")
    return image.get_attribute("src") or ""


def choose(explorer: Locator, *appliances: str) -> None:
    """Choose appliances on the list."""
    names = explorer.locator("select").filter(has=explorer.page.locator("option", has_text="vc-"))
    if not names.first.is_visible():
        explorer.get_by_role("button", name="More filters").click()
    names.first.select_option(label=list(appliances))


class TestExplorer:
    """Actions of a user and their results on the page."""

    def test_choose_an_appliance(self, notebook: Notebook, explorer: Locator) -> None:
        """Verdict and every tab follow the choice."""
        notebook.shot("explorer-overview", of=explorer)
        explorer.get_by_role("tab", name="Timeline").click()
        expect(timeline(explorer)).to_have_attribute("aria-label", re.compile("of 12 appliances"))
        notebook.shot("explorer-timeline", of=explorer)
        choose(explorer, "vc-tyo-02")
        expect(explorer.get_by_text("1 of 1 in scope breaches its RPO")).to_be_visible()
        expect(timeline(explorer)).to_have_attribute("aria-label", re.compile("of 1 appliance"))
        explorer.get_by_role("tab", name="Jobs").click()
        expect(explorer.get_by_text("page 1 of 2, 30 jobs")).to_be_visible()
        rows = explorer.get_by_role("row").filter(has_text="vc-tyo-02")
        assert rows.count() == 25
        notebook.shot("explorer-jobs", of=explorer)

    def test_click_a_signature(self, notebook: Notebook, explorer: Locator) -> None:
        """A click on a bar selects its jobs, and the timeline shows them."""
        explorer.get_by_role("tab", name="Failures").click()
        pareto = grid(explorer, "Pareto chart of the error patterns")
        pareto.hover(position={"x": 60, "y": 70})
        tip = explorer.locator(".backupkit-grid-tip:visible")
        expect(tip).to_contain_text(re.compile(r"failed jobs on \d appliances?\n\d+ % of all"))
        expect(tip).to_contain_text("connection-lost: ")
        notebook.shot("explorer-failures", of=explorer)
        pareto.click(position={"x": 60, "y": 70})
        expect(explorer.get_by_text("Shown:")).to_be_visible()
        explorer.get_by_role("tab", name="Jobs").click()
        expect(explorer.get_by_text(re.compile(r"page 1 of \d+, (?!257)\d+ jobs"))).to_be_visible()
        assert explorer.get_by_text("● succeeded").count() == 0

    def test_click_a_failure(self, explorer: Locator) -> None:
        """A cell of the heat map is described; Enter selects its pattern and its appliance."""
        heat_map = grid(explorer, "Failed jobs by error pattern and appliance")
        heat_map.focus()
        heat_map.press("ArrowRight")
        tip = explorer.locator(".backupkit-grid-tip:visible")
        expect(tip).to_contain_text(re.compile(r" on vc-tyo-02: \d+ failed jobs\n.+: "))
        heat_map.press("Enter")
        expect(explorer.get_by_text("1 of 1 in scope breaches its RPO")).to_be_visible()
        expect(heat_map).to_be_focused()

    def test_choose_a_signature_in_the_table(self, explorer: Locator) -> None:
        """The table below the picture does the same with the keyboard."""
        explorer.get_by_role("tab", name="Failures").click()
        row = explorer.get_by_role("row").filter(has_text="broken pipe")
        row.get_by_role("button").first.press("Enter")
        expect(explorer.get_by_text("Shown:")).to_be_visible()

    def test_move_the_slider(self, explorer: Locator) -> None:
        """The period follows the slider's handles."""
        expect(explorer.get_by_text("2026-10-24 23:30 to 2026-11-23 23:30 UTC")).to_be_visible()
        if not explorer.locator(".noUi-handle").last.is_visible():
            explorer.get_by_role("button", name="More filters").click()
        expect(explorer.locator(".noUi-handle").last).to_be_visible()
        explorer.locator(".noUi-handle").last.focus()
        explorer.page.keyboard.press("ArrowLeft")
        expect(explorer.get_by_text("to 2026-11-23 00:00 UTC")).to_be_visible()
        explorer.get_by_role("button", name="7 d", exact=True).click()
        expect(explorer.get_by_text("2026-11-16 23:30 to 2026-11-23 23:30 UTC")).to_be_visible()

    def test_brush_a_span(self, explorer: Locator) -> None:
        """Dragging over the timeline selects the period."""
        explorer.get_by_role("tab", name="Timeline").click()
        canvas = timeline(explorer)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        mouse, y = explorer.page.mouse, box["y"] + box["height"] / 2
        mouse.move(box["x"] + 0.4 * box["width"], y)
        mouse.down()
        mouse.move(box["x"] + 0.5 * box["width"], y, steps=4)
        mouse.move(box["x"] + 0.6 * box["width"], y, steps=4)
        mouse.up()
        period = re.compile(r"2026-1[01]-\d\d .* to 2026-11-0\d|2026-11-0\d .* to 2026-11-1\d")
        expect(explorer.get_by_text(period)).to_be_visible()

    def test_ask_for_a_run(self, explorer: Locator) -> None:
        """The timeline tells the run under the keyboard, and the kernel its job and its cause."""
        explorer.get_by_role("tab", name="Timeline").click()
        canvas = timeline(explorer)
        canvas.focus()
        canvas.press("ArrowRight")
        tip = explorer.locator(".backupkit-runs-tip:visible")
        expect(tip).to_contain_text(re.compile(r"^vc-\S+: (failed|succeeded)"))
        expect(tip).to_contain_text(re.compile(r"\njob \d{8}-\d{6}"))
        canvas.press("ArrowDown")
        canvas.press("Enter")
        expect(timeline(explorer)).to_have_attribute("aria-label", re.compile("of 1 appliance"))

    def test_search(self, explorer: Locator) -> None:
        """The one search filters the jobs, and a name chooses its appliance."""
        explorer.get_by_role("tab", name="Jobs").click()
        expect(explorer.get_by_text("page 1 of 11, 257 jobs")).to_be_visible()
        search = explorer.get_by_placeholder("Search appliances, jobs and messages")
        search.fill("broken pipe")
        expect(explorer.get_by_text("page 1 of 1, 5 jobs")).to_be_visible()
        search.fill("vc-tyo-02")
        expect(explorer.get_by_text("page 1 of 2, 30 jobs")).to_be_visible()
        expect(explorer.get_by_role("button", name="vc-tyo-02").first).to_be_visible()
        expect(search).to_have_value("")

    def test_press_chips(self, explorer: Locator) -> None:
        """States and outcomes can be pressed."""
        explorer.get_by_role("button", name="unknown", exact=True).click()
        expect(explorer.get_by_text("1 of 1 in scope is unknown")).to_be_visible()

    def test_export(self, explorer: Locator, notebooks: Path) -> None:
        """Both buttons save the selection and offer it for download."""
        choose(explorer, "vc-ham-03")
        expect(explorer.get_by_text("1 of 1 in scope breaches its RPO")).to_be_visible()
        explorer.get_by_role("button", name="CSV").click()
        link = explorer.get_by_role("link", name="backupkit-20261123-2330-selected.csv")
        with explorer.page.expect_download() as download:
            link.click()
        saved = (notebooks / "backupkit-20261123-2330-selected.csv").read_bytes()
        assert Path(download.value.path()).read_bytes() == saved
        rows = list(csv.DictReader(saved.decode().splitlines()))
        assert {row["appliance"] for row in rows} == {"vc-ham-03"}
        explorer.get_by_role("button", name="HTML").click()
        expect(explorer.get_by_role("link", name="backupkit-20261123-2330.html")).to_be_visible()
        page = (notebooks / "backupkit-20261123-2330.html").read_text(encoding="utf-8")
        assert "BREACH 1 of 1" in page

    def test_dark(self, notebook: Notebook, explorer: Locator) -> None:
        """Figures follow JupyterLab's theme."""
        light = picture(explorer).get_attribute("src")
        notebook.theme("JupyterLab Dark")
        changed(picture(explorer), light)
        for tab in TABS:
            explorer.get_by_role("tab", name=tab).click()
            if tab != "Jobs":
                drawn = explorer.locator(".backupkit-picture img:visible, canvas:visible")
                expect(drawn.first).to_be_visible()
            notebook.wait_idle()  # so that every picture is visible
            notebook.shot(f"explorer-dark-{tab.lower()}", of=explorer)
        explorer.get_by_role("tab", name="Overview").click()
        dark = picture(explorer).get_attribute("src")
        notebook.theme("JupyterLab Light")
        assert changed(picture(explorer), dark) == light
