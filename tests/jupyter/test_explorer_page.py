"""The page of the explorer: its first screen, the keyboard alone, a reopened notebook, themes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from backupkit.widgets.script import load_script
from tests.chromium import COUNT_LOST_FOCUS, MARKS, Watched
from tests.jupyter.lab import Lab, Notebook

pytestmark = MARKS

SOURCE: Final = (
    "import backupkit as bk\n"
    "policy = bk.Policy.load('../data/fleet.example.toml')\n"
    "bk.widgets.explore('../data/history.db', policy, now='2026-11-23T23:30:00Z')"
)
PIXEL: Final = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
MAX_STOPS: Final = 60
"""Stops of the Tab key after which a walk is given up."""


@pytest.fixture(scope="module")
def notebook(lab: Lab, notebooks: Path) -> Iterator[Notebook]:
    """Run a notebook with the explorer alone, on a small screen."""
    write(notebooks / "alone.ipynb")
    with lab.open("alone.ipynb", shipped=False) as opened:
        opened.page.set_viewport_size({"width": 1366, "height": 768})
        opened.run_all()
        yield opened
        opened.page.set_viewport_size({"width": 1400, "height": 1_000})


def write(path: Path) -> None:
    """Write a notebook with the explorer alone."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "explorer",
        "source": SOURCE,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"name": "python3", "display_name": "Python 3"}
    page = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(page), encoding="utf-8")


@pytest.fixture
def explorer(notebook: Notebook) -> Locator:
    """Return the explorer without filters."""
    shown = live(notebook)
    shown.get_by_role("button", name="Clear filters").click()
    shown.get_by_role("tab", name="Overview").click()
    expect(shown.get_by_text("3 of 10 in scope breach their RPO")).to_be_visible()
    return shown


def live(notebook: Notebook) -> Locator:
    """Find the widget, without the still picture below it."""
    return notebook.output("explorer").locator(".jp-OutputArea-child").first


def focused(page: Page) -> str:
    """Return the name of what has the focus."""
    return str(
        page.evaluate(
            "() => { const e = document.activeElement;"
            " return e.getAttribute('aria-label') || e.title || e.textContent || e.placeholder; }"
        )
    ).strip()


def walk_to(page: Page, name: str, key: str = "Tab") -> list[str]:
    """Press a key until what begins with a name has the focus; return what had it meanwhile."""
    met = []
    for _ in range(MAX_STOPS):
        page.keyboard.press(key)
        met.append(focused(page))
        if met[-1].startswith(name):
            return met
    raise AssertionError(f"{name} is not reached: {met}")


def test_first_screen(notebook: Notebook, explorer: Locator) -> None:
    """Verdict, filters and the begin of the first picture are on a small screen together."""
    notebook.output("explorer")  # scrolls to it
    pane = notebook.page.locator(".jp-WindowedPanel-outer:visible").first.bounding_box()
    picture = explorer.locator(".backupkit-picture img:visible").first.bounding_box()
    strip = explorer.locator(".strip").bounding_box()
    assert pane is not None
    assert picture is not None
    assert strip is not None
    bottom = pane["y"] + pane["height"]
    assert pane["y"] - 1 <= strip["y"] < picture["y"]
    assert picture["y"] - strip["y"] < 260
    assert bottom - picture["y"] > 300
    notebook.shot("explorer-small-screen")


def test_by_keyboard(notebook: Notebook, explorer: Locator) -> None:
    """Period, search, tabs, rows of pictures and tables are reached and used without a mouse."""
    page = notebook.page
    explorer.get_by_role("button", name="24 h", exact=True).focus()
    met = walk_to(page, "Search appliances")
    assert "7 d" in met
    page.keyboard.type("tyo-02")
    expect(explorer.get_by_placeholder("Search appliances")).to_have_value("tyo-02")
    expect(explorer.locator(".backupkit-picture img:visible").first).to_have_attribute(
        "alt", re.compile("of 1 appliance$")
    )
    walk_to(page, "Clear filters")
    page.keyboard.press("Enter")
    expect(explorer.get_by_placeholder("Search appliances")).to_have_value("")
    expect(explorer.get_by_text("3 of 10 in scope breach their RPO")).to_be_visible()
    expect(explorer.get_by_role("button", name="vc-ham-03").first).to_be_visible()
    walk_to(page, "vc-tyo-02")  # the first row of the first picture
    walk_to(page, "vc-ham-03", key="ArrowDown")
    page.keyboard.press("Enter")
    expect(explorer.get_by_text("1 of 1 in scope breaches its RPO")).to_be_visible()
    row = explorer.get_by_role("button", name="vc-ham-03", pressed=True).first
    expect(row).to_be_visible()
    expect(row).to_be_focused()
    page.keyboard.press("Enter")  # again: no longer chosen
    expect(explorer.get_by_text("3 of 10 in scope breach their RPO")).to_be_visible()
    explorer.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(explorer.get_by_role("tab", name="Appliances")).to_have_attribute(
        "aria-selected", "true"
    )
    expect(explorer.get_by_role("row").filter(has_text="vc-tyo-02")).to_be_visible()
    walk_to(page, "vc-tyo-02")
    page.keyboard.press("Enter")
    expect(explorer.get_by_text("1 of 1 in scope breaches its RPO")).to_be_visible()


def test_row_of_the_table(explorer: Locator) -> None:
    """A click anywhere in a row of a table selects its appliance; nothing is cut off."""
    explorer.get_by_role("tab", name="Jobs").click()
    row = explorer.get_by_role("row").filter(has_text="vc-nyc-02").first
    row.get_by_text("succeeded").click()
    expect(explorer.get_by_text("page 1 of 2, 28 jobs")).to_be_visible()
    explorer.get_by_role("button", name="Back").click()
    explorer.get_by_role("button", name="failed", exact=True).click()
    expect(explorer.get_by_text("page 1 of 2, 39 jobs")).to_be_visible()
    for tab in ("Jobs", "Appliances", "Failures"):
        explorer.get_by_role("tab", name=tab).click()
        table = explorer.locator(".scroll:visible").first
        expect(table).to_be_visible()
        assert table.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_cell_of_the_matrix(notebook: Notebook, explorer: Locator) -> None:
    """A cell is described with its jobs and their cause; Enter selects appliance and day."""
    explorer.get_by_role("tab", name="Matrix").click()
    canvas = explorer.get_by_role("application", name="Expected runs of 12 appliances by day")
    expect(canvas).to_have_attribute("data-drawn", re.compile(r"\d"))
    tip = explorer.locator(".backupkit-grid-tip:visible")
    canvas.focus()
    for _ in range(2):
        canvas.press("ArrowDown")
    canvas.press("End")
    for _ in range(2):
        canvas.press("ArrowLeft")
    cause = "connection-lost: Connection to <host> lost: broken pipe"
    expect(tip).to_have_text(f"vc-ham-03, 2026-11-21: failed, 1 job\n{cause}")
    notebook.shot("explorer-matrix", of=explorer)
    canvas.press("Enter")
    expect(explorer.get_by_text("Shown:")).to_be_visible()
    expect(explorer.get_by_text("2026-11-21 00:00 to 2026-11-22 00:00 UTC")).to_be_visible()
    expect(explorer.get_by_role("application", name="of 1 appliance")).to_be_focused()
    explorer.get_by_role("button", name="Back").click()
    expect(explorer.get_by_text("2026-10-24 23:30 to 2026-11-23 23:30 UTC")).to_be_visible()


def test_reopened(lab: Lab, notebooks: Path) -> None:
    """A saved notebook shows the still picture when it is opened again, and no error."""
    write(notebooks / "saved.ipynb")
    with lab.open("saved.ipynb", shipped=False) as first:
        first.run_all()
        expect(live(first).get_by_role("tab", name="Overview")).to_be_visible()
        expect(first.output("explorer").locator("[class^=backupkit-still]")).to_be_hidden()
        first.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        first.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    with lab.open("saved.ipynb", shipped=False) as again:
        still = again.output("explorer").locator("[class^=backupkit-still]")
        expect(still.get_by_text("3 of 10 in scope breach their RPO").first).to_be_visible()
        expect(still.locator("img").last).to_be_visible()
        for text in ("model not found", "Loading widget"):
            expect(again.output("explorer").get_by_text(text)).to_be_hidden()
        again.shot("explorer-reopened")


def render_picture(page: Page) -> None:
    """Render an empty picture at #place; `seen` has what it reads and writes."""
    page.add_script_tag(
        content=load_script("picture.js").replace(
            "export default { render };", "window.render = render;"
        )
    )
    page.evaluate(
        f"() => {{ const PIXEL = '{PIXEL}';"
        " window.seen = {rows: [], src: PIXEL, dark: false}; window.changed = {};"
        " window.model = { get: name => seen[name], set: (name, value) => seen[name] = value,"
        " save_changes() {}, on: (names, act) => changed[names] = act, send() {} };"
        " render({ model, el: document.getElementById('place') }); }"
    )


def test_focus_is_never_lost(browser: Browser) -> None:
    """A row keeps the focus while the rows change; if it goes, the last one takes it over."""
    page = browser.new_page()
    page.set_content("<html><body><div id='place'></div></body></html>")
    render_picture(page)
    show = (
        "names => { seen.rows = names.map((name, row) => [name, row / 9, 1 / 9, row === 0]);"
        " changed['change:rows'](); }"
    )
    page.evaluate(show, ["vc-1", "vc-2", "vc-3", "vc-4"])
    page.get_by_role("button", name="vc-3").focus()
    page.evaluate(COUNT_LOST_FOCUS)
    for names, focused in [
        (["vc-1", "vc-2", "vc-3"], "vc-3"),
        (["vc-3", "vc-1"], "vc-1"),
        (["vc-3"], "vc-3"),
        (["vc-1", "vc-3"], "vc-1"),
    ]:
        page.evaluate(show, names)
        buttons = page.get_by_role("button")
        assert [button.get_attribute("aria-label") for button in buttons.all()] == names
        expect(page.get_by_role("button", name=focused)).to_be_focused()
        expect(page.locator("button[tabindex='0']")).to_have_count(1)
        expect(page.locator("button[aria-pressed=true]")).to_have_attribute("title", names[0])
    assert page.evaluate("lost") == 0
    page.close()


@pytest.mark.parametrize(
    ("markup", "scheme", "dark"),
    [
        ("<html><body data-jp-theme-light='false'>", "light", True),
        ("<html><body data-jp-theme-light='true'>", "dark", False),
        ("<html><body class='vscode-body vscode-dark'>", "light", True),
        ("<html><body class='vscode-body vscode-light'>", "dark", False),
        ("<html><body class='vscode-high-contrast'>", "light", True),
        ("<html><body class='vscode-high-contrast vscode-high-contrast-light'>", "dark", False),
        ("<html theme='dark'><body>", "light", True),
        ("<html theme='light'><body>", "dark", False),
        ("<html data-theme='dark'><body>", "light", True),
        ("<html><body>", "dark", True),
        ("<html><body>", "light", False),
    ],
)
def test_theme_of_the_host(
    browser: Browser, markup: str, scheme: Literal["light", "dark"], *, dark: bool
) -> None:
    """A picture follows the theme of JupyterLab, VS Code, Colab or the system, also later."""
    with browser.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        watched = Watched(page)
        page.set_content(f"{markup}<div id='place'></div></body></html>")
        render_picture(page)
        assert page.evaluate("seen.dark") is dark
        page.evaluate("dark => { document.body.dataset.jpThemeLight = String(dark); }", dark)
        page.wait_for_function("dark => seen.dark !== dark", arg=dark)
        assert watched.troubles == []
