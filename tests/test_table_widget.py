"""The table of the explorer in chromium: sort, filters, selection, copy and keyboard."""

import asyncio
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from backupkit import History, Policy
from backupkit.policy import Member
from backupkit.widgets import Explorer, Selection
from backupkit.widgets.explorer_data import ExplorerData
from tests.chromium import COUNT_LOST_FOCUS, MARKS, ROOT, Watched

pytestmark = MARKS

ADDRESS: Final = "http://127.0.0.1:9/"  # answered by the browser itself; its clipboard is allowed
TRAITS: Final = ("value", "head", "label", "first", "total", "number")
PAGE: Final = """<!doctype html><html lang="en"><title>Table</title><style>%s</style><body>
<main id="host" style="width: 1100px"></main><textarea aria-label="Pasted"></textarea>
<script type="module">
  const script = new Blob([%s], {type: "text/javascript"});
  const {default: widget} = await import(URL.createObjectURL(script));
  const listeners = {};
  let state = %s;
  window.sent = [];
  window.model = {
    get: (name) => state[name],
    on: (name, act) => (listeners[name] ??= new Set()).add(act),
    off: (name, act) => listeners[name].delete(act),
    send: (message) => window.sent.push(message),
  };
  const tell = (name, content) => listeners[name]?.forEach((act) => act(content));
  window.answer = (content) => tell("msg:custom", content);
  window.load = (next) => {
    const before = state;
    state = next;
    if (before.number !== next.number) tell("change:number");
    tell("change");
  };
  window.end = widget.render({model: window.model, el: document.getElementById("host")});
  document.body.dataset.ready = "";
</script></html>"""


class Shown:
    """Table of an explorer in a page: what the page sends reaches the explorer, and back.

    Parameters
    ----------
    page : Page
        An open page.
    explorer : Explorer
        The explorer, whose open tab has the table.
    """

    def __init__(self, page: Page, explorer: Explorer) -> None:
        self.page, self.explorer = page, explorer
        (self.model,) = (
            part
            for part in explorer._stack.children[explorer._stack.selected_index]
            .children[0]
            .children
            if type(part).__name__ == "TablePage"
        )
        self.model.send = lambda content: page.evaluate("content => answer(content)", content)
        styles, script = self.model._css, json.dumps(self.model._esm).replace("</", "<\\/")
        html = PAGE % (styles, script, json.dumps(self.state()).replace("</", "<\\/"))
        page.route(ADDRESS, lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto(ADDRESS)
        page.wait_for_selector("body[data-ready]")

    def state(self) -> dict[str, Any]:
        """Return what the kernel has sent."""
        return {name: getattr(self.model, name) for name in TRAITS}

    def run(self) -> list[dict[str, Any]]:
        """Let the explorer answer what the page has sent, and return it."""
        sent: list[dict[str, Any]] = self.page.evaluate("sent.splice(0)")
        before = self.state()
        loop = asyncio._get_running_loop()  # the browser's: the explorer would wait for it
        for message in sent:
            asyncio._set_running_loop(None)
            answers: list[dict[str, Any]] = []
            send, self.model.send = self.model.send, answers.append
            self.model._handle_custom_msg(message, [])
            self.model.send = send
            asyncio._set_running_loop(loop)
            for answer in answers:
                self.model.send(answer)
        if self.state() != before:
            self.page.evaluate("state => load(state)", self.state())
        return sent

    def wait(self) -> None:
        """Wait for a message that the page sends after a moment, and answer it."""
        self.page.wait_for_function("sent.length")
        self.run()

    def header(self, title: str) -> Locator:
        """Return the button of a header."""
        return self.page.locator("thead button").filter(has_text=title)

    def cells(self, place: int) -> list[str]:
        """Return the texts of a column."""
        return self.page.locator(f"tbody tr > :nth-child({place})").all_inner_texts()

    def focused(self) -> str:
        """Return the first line of what has the focus."""
        text = self.page.evaluate("document.activeElement.innerText.split(/[\\n\\t]/)[0]")
        return str(text).strip()


@pytest.fixture(scope="module")
def data() -> ExplorerData:
    """Return the twelve appliances of the sample."""
    policy = Policy.load(ROOT / "data" / "fleet.example.toml")
    history = History(ROOT / "data" / "history.db")
    return ExplorerData(history, policy, now="2026-11-23T23:30:00Z")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return an empty page, whose clipboard may be used."""
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        watched = Watched(page)
        yield page
        assert watched.troubles == []
        assert watched.abroad == []


@pytest.fixture
def shown(page: Page, data: ExplorerData) -> Shown:
    """Open the table of appliances."""
    return open_table(page, data, "Appliances")


def open_table(page: Page, data: ExplorerData, tab: str) -> Shown:
    """Open the table of a tab."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    explorer = Explorer(data, Selection(), tab=tab)
    asyncio._set_running_loop(loop)
    return Shown(page, explorer)


def test_sort_by_two_columns(shown: Shown) -> None:
    """A click sorts, one with Shift sorts further, and the headers say so."""
    shown.header("State").click()
    shown.run()
    shown.header("Appliance").click(modifiers=["Shift"])
    shown.run()
    shown.header("Appliance").click(modifiers=["Shift"])
    shown.run()
    assert shown.cells(1)[:4] == ["vc-tyo-02", "vc-nyc-03", "vc-ham-03", "vc-tyo-03"]
    sorts = shown.page.locator("thead th[aria-sort]")
    assert [one.get_attribute("aria-sort") for one in sorts.all()[:3]] == [
        "descending",
        "ascending",
        "none",
    ]
    assert shown.header("State").inner_text() == "State ▲1"
    assert shown.header("Appliance").inner_text() == "Appliance ▼2"
    shown.page.get_by_role("button", name="Clear sort and filters").click()
    shown.run()
    assert shown.cells(1)[0] == "vc-tyo-02"
    assert shown.header("State").inner_text() == "State"


def test_filter(shown: Shown) -> None:
    """Texts, ranges and choices filter; a range that cannot be read is marked."""
    page = shown.page
    page.get_by_role("button", name="Column filters").click()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == (
        "Filter Appliance: contains"
    )
    page.keyboard.type("HAM")
    shown.wait()
    assert sorted(shown.cells(1)) == ["vc-ham-01", "vc-ham-02", "vc-ham-03", "vc-ham-04"]
    exposure = page.get_by_label("Filter Exposure: from..to")
    exposure.fill("long")
    exposure.press("Enter")
    shown.run()
    assert exposure.get_attribute("aria-invalid") == "true"
    expect(page.get_by_role("status")).to_contain_text('"long" is not a range')
    exposure.fill("24h..")
    exposure.press("Enter")
    shown.run()
    assert shown.cells(1) == ["vc-ham-03"]
    assert exposure.get_attribute("aria-invalid") == "false"
    page.get_by_label("Filter State").click()
    page.get_by_label("● Compliant").check()
    shown.run()
    assert shown.cells(1) == []
    assert page.get_by_label("Filter State").inner_text() == "● Compliant"
    page.get_by_role("button", name="Clear sort and filters").click()
    shown.run()
    assert len(shown.cells(1)) == 12


def test_row_filters_the_figures(shown: Shown) -> None:
    """A click on a row selects its appliance in all tabs, and the row is marked as selected."""
    shown.page.get_by_role("row").filter(has_text="vc-ham-03").click(position={"x": 300, "y": 8})
    shown.page.evaluate(COUNT_LOST_FOCUS)
    shown.run()
    assert shown.page.evaluate("lost") == 0
    explorer = shown.explorer
    assert explorer.value.appliances == ("vc-ham-03",)
    assert set(explorer.jobs["appliance"]) == {"vc-ham-03"}
    selected = shown.page.locator("tr[aria-selected=true]")
    assert selected.count() == 1
    assert shown.focused() == "vc-ham-03"
    shown.page.keyboard.press("Enter")
    shown.run()
    assert explorer.value == Selection()
    assert selected.count() == 0


@pytest.mark.parametrize("is_secure", [True, False])
def test_copy(page: Page, data: ExplorerData, is_secure: bool) -> None:  # noqa: FBT001 # a case
    """Marked rows are copied as tab-separated text, also where the page has no clipboard."""
    if not is_secure:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    shown = open_table(page, data, "Appliances")
    for name in ("vc-ham-03", "vc-ham-01"):
        row = page.get_by_role("row").filter(has_text=name)
        row.click(modifiers=["Control"], position={"x": 300, "y": 8})
    assert shown.run() == []  # marking filters nothing
    expect(page.get_by_role("status")).to_have_text("2 rows marked")
    page.get_by_role("button", name="Copy rows").click()
    shown.run()
    expect(page.get_by_role("status")).to_have_text("Copied 2 appliances.")
    page.get_by_label("Pasted").focus()
    page.keyboard.press("Control+V")
    lines = page.get_by_label("Pasted").input_value().split("\n")
    assert [line.split("\t")[:2] for line in lines] == [
        ["appliance", "state"],
        ["vc-ham-03", "breach"],
        ["vc-ham-01", "compliant"],
        [""],
    ]


def test_copy_is_refused(page: Page, data: ExplorerData) -> None:
    """A browser that refuses the clipboard is an error that a user reads."""
    refuse = "() => Promise.reject(new Error('no'))"
    page.add_init_script(
        f"Object.defineProperty(navigator, 'clipboard', {{value: {{writeText: {refuse}}}}})"
    )
    shown = open_table(page, data, "Appliances")
    page.get_by_role("button", name="Copy rows").click()
    (message,) = shown.run()
    assert len(message["rows"]) == 12  # without marks, the page
    expect(page.get_by_role("status")).to_contain_text("Not copied")


def test_keyboard_alone(shown: Shown) -> None:
    """Headers, filters and rows are each one stop of the Tab key, then the arrow keys."""
    page = shown.page
    press = page.keyboard.press
    page.get_by_role("button", name="Copy rows").focus()
    press("Tab")
    assert shown.focused() == "Appliance"
    for key, title in (("ArrowRight", "State"), ("End", "Why"), ("Home", "Appliance")):
        press(key)
        assert shown.focused() == title
    press("Enter")
    shown.run()
    press("ArrowRight")
    press("Shift+Enter")
    shown.run()
    assert shown.explorer.tables == {"Appliances": {"sort": ("Appliance", "State")}}
    press("Tab")
    assert shown.focused() == "vc-ham-01"
    for key, name in (
        ("ArrowDown", "vc-ham-02"),
        ("End", "vc-tyo-04"),
        ("ArrowDown", "vc-tyo-04"),
        ("Home", "vc-ham-01"),
    ):
        press(key)
        assert shown.focused() == name
    press("Space")
    press("Shift+ArrowDown")
    press("Shift+ArrowDown")
    expect(page.get_by_role("status")).to_have_text("3 rows marked")
    assert page.locator("tr[aria-selected=true]").count() == 3
    press("Control+C")
    shown.run()
    expect(page.get_by_role("status")).to_have_text("Copied 3 appliances.")
    press("Escape")
    press("Control+A")
    expect(page.get_by_role("status")).to_have_text("12 rows marked")
    press("Home")
    press("ArrowUp")
    assert shown.focused() == "State ▲2"  # the header that was left
    press("ArrowDown")
    press("Enter")
    shown.run()
    assert shown.explorer.value.appliances == ("vc-ham-01",)
    assert shown.focused() == "vc-ham-01"


def test_pages(page: Page, data: ExplorerData) -> None:
    """A screen reader hears the place of a row among all pages, which keys turn."""
    shown = open_table(page, data, "Jobs")
    table = page.get_by_role("grid", name="Table of jobs")
    assert table.get_attribute("aria-rowcount") == str(2 + len(shown.explorer.jobs))
    page.locator("tbody tr").first.focus()
    page.keyboard.press("PageDown")
    shown.run()
    row = page.locator("tbody tr").first
    assert row.get_attribute("aria-rowindex") == "28"  # two rows of headers, 25 of the first page
    expect(row).to_be_focused()
    page.keyboard.press("PageUp")
    shown.run()
    assert page.locator("tbody tr").first.get_attribute("aria-rowindex") == "3"
    page.evaluate("end()")


def test_hostile_names(page: Page, tmp_path: Path) -> None:
    """Markup in a name is text, and a formula is none where it is copied."""
    hostile = "<img src=x onerror=window.harmed=1>"
    policy = Policy(members=[Member(appliance=name) for name in (hostile, "=1+1")])
    data = ExplorerData(History(tmp_path / "history.db"), policy)
    shown = open_table(page, data, "Appliances")
    assert sorted(shown.cells(1)) == [hostile, "=1+1"]
    page.locator("tbody tr").filter(has_text="=1+1").focus()
    page.keyboard.press("Control+C")
    shown.run()
    expect(page.get_by_role("status")).to_have_text("Copied 1 appliance.")
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[1].startswith("'=1+1\t")
    page.get_by_text(hostile).click()
    shown.run()
    assert shown.explorer.value.appliances == (hostile,)
    assert page.evaluate("window.harmed") is None


@pytest.mark.parametrize(
    ("mark", "scheme", "colour"),
    [
        ("document.body.dataset.jpThemeLight = 'false'", "light", "rgb(230, 232, 234)"),
        ("document.body.dataset.jpThemeLight = 'true'", "dark", "rgb(29, 33, 37)"),
        ("document.body.classList.add('vscode-dark')", "light", "rgb(230, 232, 234)"),
        ("document.body.classList.add('vscode-light')", "dark", "rgb(29, 33, 37)"),
        ("document.documentElement.dataset.theme = 'dark'", "light", "rgb(230, 232, 234)"),
        ("document.documentElement.setAttribute('theme', 'light')", "dark", "rgb(29, 33, 37)"),
        ("", "dark", "rgb(230, 232, 234)"),
    ],
)
def test_themes(shown: Shown, mark: str, scheme: Literal["light", "dark"], colour: str) -> None:
    """The colours are those of JupyterLab, VS Code, Colab or the system, and legible."""
    page = shown.page
    page.emulate_media(color_scheme=scheme)
    page.evaluate(mark)
    page.get_by_role("button", name="Column filters").click()
    cell = page.locator("tbody tr > :nth-child(5)").first
    assert cell.evaluate("e => getComputedStyle(e).color") == colour
    if "jpThemeLight" in mark:  # once in each theme
        axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        page.evaluate(axe)
        found = page.evaluate("axe.run('.backupkit-table')")
        faults = [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]
        assert faults == []
