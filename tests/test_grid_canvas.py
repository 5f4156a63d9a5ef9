"""The grids that the page draws: their arrays, and the page in chromium."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from backupkit.plots.failure_matrix import FailureCounts, count_failures
from backupkit.plots.matrix import CELL_STYLES
from backupkit.tables import FAILURE_PARTS, FAILURES
from backupkit.widgets.grid_arrays import encode_bars, encode_counts, encode_days
from backupkit.widgets.grid_canvas import GridCanvas
from backupkit.widgets.script import load_script
from tests.canvas_page import build_page
from tests.chromium import COUNT_LOST_FOCUS, MARKS, Watched

MARKUP: Final = "<b>vc-2</b>"
DAYS: Final = pd.date_range("2026-11-08", periods=4, tz="UTC")
TOP, ROW_HEIGHT = 34, 24
BLUE, ORANGE, PURPLE, PAPER = [0, 114, 178], [181, 71, 8], [106, 61, 154], [255] * 3


def days(rows: dict[str, list[str | None]] | None = None, **chosen: Any) -> dict[str, Any]:  # noqa: ANN401 # as `encode_days`
    """Encode the states of two appliances over four days; one failed twice on the second day."""
    rows = rows or {
        "vc-1": ["met", "missed_failed", "met", None],
        MARKUP: ["unobserved", "unknown", "met", "pending"],
    }
    nights = pd.DataFrame.from_dict(rows, orient="index", columns=DAYS, dtype="str")
    jobs = np.zeros(nights.shape, dtype=np.int32)
    jobs[0, :2] = 1, 2
    return {**encode_days(nights, jobs, **chosen), "serial": 1}


def failed() -> pd.DataFrame:
    """Return four error patterns."""
    return FAILURES.frame(
        {
            "signature": ["full.", "slow", "odd", "new"],
            "jobs": [6, 3, 2, 1],
            "appliances": [2, 1, 1, 1],
        }
    )


def counts() -> dict[str, Any]:
    """Encode two error patterns on two appliances."""
    jobs = np.array([[3.0, 12345.0], [0.0, 1.0]])
    return {
        **encode_counts(FailureCounts(["full.", MARKUP], ["vc-1", "vc-2"], 0, 0, jobs)),
        "serial": 1,
    }


def to_json(sent: dict[str, Any]) -> Any:  # noqa: ANN401 # what JSON can hold
    """Write arrays in base64."""
    text = json.dumps(sent, default=lambda part: {"base64": base64.b64encode(part).decode()})
    return json.loads(text)


class TestDays:
    """Arrays of the states by day."""

    def test_values(self) -> None:
        """States and jobs are row by row; a day without a run has no state."""
        sent = days(chosen=["vc-1"])
        words = [sent["styles"][code]["word"] if code < 255 else "" for code in sent["values"]]
        assert words == [
            *("met", "failed", "met", ""),
            *("not observed", "unknown", "met", "pending"),
        ]
        assert np.frombuffer(sent["jobs"], "uint32").tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
        assert sent["columns"] == ["2026-11-08", "2026-11-09", "2026-11-10", "2026-11-11"]
        assert (sent["rows"], sent["chosen"]) == (["vc-1", MARKUP], [True, False])

    def test_empty(self) -> None:
        """Without a row there are no days, and a sentence says why."""
        sent = encode_days(pd.DataFrame(), np.zeros((0, 0), dtype=np.int32))
        assert (sent["rows"], sent["columns"], sent["values"]) == ([], [], b"")
        assert sent["message"] == "No backup run was expected in this period"

    def test_marks(self) -> None:
        """The page has a symbol for each state, and no two look the same in one colour."""
        script = load_script("grid.js")
        marks = [style["mark"] for style in days()["styles"]]
        assert len(marks) == len(CELL_STYLES)
        for mark in marks:
            assert f'"{mark}": [' in script
        assert len(set(marks)) == len(marks)


class TestCounts:
    """Arrays of the failed jobs."""

    def test_counts(self) -> None:
        """Totals are at the right and below; what has no name comes before them."""
        parts = FAILURE_PARTS.frame(
            {
                "signature": ["full", "full", "slow", "odd"],
                "part": ["vc-1", "vc-2", "vc-2", "vc-3"],
                "jobs": [3, 1, 2, 1],
            }
        )
        counted = count_failures(parts, limit=2, columns=2)
        sent = encode_counts(counted, chosen=["slow"], chosen_columns=["vc-2"])
        assert sent["rows"] == ["full", "slow", "1 other pattern", "all"]
        assert sent["columns"] == ["vc-1", "vc-2", "1 other", "all"]
        rows = [[3, 1, 0, 4], [0, 2, 0, 2], [0, 0, 1, 1], [3, 3, 1, 7]]
        assert np.frombuffer(sent["values"], "uint32").reshape(4, 4).tolist() == rows
        assert sent["largest"] == 3
        assert sent["chosen"] == [False, True, False, False]
        assert sent["chosen_columns"] == [False, True, False, False]

    def test_no_failure(self) -> None:
        """Without a failure there is a sentence."""
        counted = count_failures(FAILURE_PARTS.empty(), limit=2, columns=2)
        assert encode_counts(counted)["rows"] == encode_counts(counted)["columns"] == []
        bars = encode_bars(FAILURES.empty(), limit=2)
        assert bars["rows"] == []
        assert bars["message"] == "No backup job failed in this period"

    def test_bars(self) -> None:
        """Patterns beyond the limit share the last bar."""
        sent = encode_bars(failed(), limit=2, chosen=["slow"])
        assert sent["rows"] == ["full.", "slow", "2 other patterns"]
        assert np.frombuffer(sent["values"], "uint32").tolist() == [6, 3, 3]
        assert sent["places"] == ["2 appliances", "1 appliance", ""]
        assert sent["chosen"] == [False, True, False]

    def test_hostile_names(self) -> None:
        """Control characters of names are gone, and long names are cut."""
        evil = "\x1b[31m" + MARKUP + "x" * 500
        counted = FailureCounts([evil], [evil], 0, 0, np.array([[1.0]]))
        sent = encode_counts(counted)
        for name in (sent["rows"][0], sent["columns"][0]):
            assert MARKUP in name
            assert "\x1b" not in name
            assert len(name) <= 121


class TestMessages:
    """Messages of the page."""

    def test_all(self) -> None:
        """Cells, spans and questions are answered if they are about what is shown."""
        seen: list[object] = []
        widget = GridCanvas(
            on_cell=lambda *cell: seen.append(cell),
            on_span=lambda *span: seen.append(span),
            describe=lambda row, column: f"{row} {column}",
        )
        answers: list[object] = []
        widget.send = answers.append  # as if a page were there
        widget.show(days(), "Runs")
        page: Any = lambda **content: widget._on_message(widget, content, [])  # noqa: E731 # short
        page(kind="cell", serial=1, row=1, column=-1)
        page(kind="cell", serial=1, row=0, column=3)
        page(kind="brush", serial=1, **{"from": 1, "to": 3})
        assert seen == [(1, -1), (0, 3), (1, 3)]
        page(kind="describe", serial=1, row=1, column=2)
        assert answers == [{"kind": "text", "serial": 1, "row": 1, "column": 2, "text": "1 2"}]
        for row, column in ((2, 0), (-1, 0), (0, 4), (0, -2)):
            page(kind="cell", serial=1, row=row, column=column)
        page(kind="brush", serial=1, **{"from": 2, "to": 4})
        page(kind="else", serial=1)
        widget.show(days(), "Runs")
        page(kind="cell", serial=1, row=0, column=0)
        widget.clear()
        page(kind="cell", serial=2, row=0, column=0)
        assert widget.grid == {}
        assert len(seen) == 3

    def test_without_spans(self) -> None:
        """The help does not speak of spans if none can be selected, and none is taken."""
        widget = GridCanvas(on_cell=print, describe=lambda *_: "")
        widget.show(days(), "Runs")
        widget._on_message(widget, {"kind": "brush", "serial": 1, "from": 0, "to": 1}, [])
        assert "drag" not in widget.help


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page with the grid of days."""
    with browser.new_context(viewport={"width": 1000, "height": 500}) as context:
        page = context.new_page()
        watched = Watched(page)
        script = json.dumps(GridCanvas._esm).replace("</", "<\\/")
        page.set_content(build_page(script, "grid", json.dumps(to_json(days()))))
        page.wait_for_selector("canvas[data-drawn]")
        yield page
        assert watched.troubles == []
        assert watched.abroad == []


def load(page: Page, sent: dict[str, Any]) -> None:
    """Show another grid."""
    page.evaluate("sent => window.load(sent)", to_json(sent))


def sent(page: Page) -> list[dict[str, Any]]:
    """Return what the page has sent, without questions, and forget it."""
    messages: list[dict[str, Any]] = page.evaluate("window.sent.splice(0)")
    return [one for one in messages if one["kind"] != "describe"]


def place(page: Page, row: int, column: float) -> tuple[float, float]:
    """Return where the middle of a cell of four days is on the page."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    left = page.evaluate(
        "names => { const c = document.createElement('canvas').getContext('2d');"
        " c.font = '12px sans-serif';"
        " return Math.max(...names.map(name => c.measureText(name).width)) + 16; }",
        ["vc-1", MARKUP],
    )
    x = left + (box["width"] - left - 8) / 4 * (column + 0.5) if column >= 0 else left / 2
    return box["x"] + x, box["y"] + TOP + ROW_HEIGHT * (row + 0.5)


def colour(page: Page, row: int, column: float) -> list[int]:
    """Return the colour in the middle of a cell."""
    page.evaluate("() => new Promise(requestAnimationFrame)")
    box = page.locator("canvas").bounding_box()
    assert box is not None
    x, y = place(page, row, column)
    found: list[int] = page.evaluate(
        "([x, y]) => [...document.querySelector('canvas').getContext('2d')"
        ".getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data].slice(0, 3)",
        [x - box["x"], y - box["y"]],
    )
    return found


@pytest.mark.browser
class TestMatrix:
    """The grid of days in chromium."""

    pytestmark = MARKS

    def test_symbols(self, page: Page) -> None:
        """Each state has its colour; the legend has the states that are there, and no other."""
        assert colour(page, 0, 0) == BLUE
        assert colour(page, 0, 1) == ORANGE
        assert colour(page, 1, 0) == PAPER  # the symbol is an outline
        legend = page.locator(".backupkit-grid-legend")
        words = ["failed", "unknown", "pending", "not observed", "met"]
        assert [text.strip() for text in legend.locator("span").all_inner_texts()] == words
        assert page.locator(".backupkit-grid-title").inner_text() == "Expected runs, day by day"
        canvas = page.get_by_role("application", name="Runs of two appliances")
        expect(canvas).to_have_attribute("aria-roledescription", "matrix")

    def test_hover(self, page: Page) -> None:
        """The cell under the pointer is described, and the kernel adds what it knows."""
        page.mouse.move(*place(page, 0, 1))
        tip = page.locator(".backupkit-grid-tip")
        expect(tip).to_have_text("vc-1, 2026-11-09: failed, 2 jobs")
        page.wait_for_function("window.sent.length")
        asked = page.evaluate("window.sent.splice(0)")
        assert asked == [{"kind": "describe", "serial": 1, "row": 0, "column": 1}]
        answer = {"kind": "text", "serial": 1, "row": 0, "column": 1, "text": "<i>disk full</i>"}
        page.evaluate("answer => window.tell('msg:custom', answer)", answer | {"serial": 9})
        page.evaluate("answer => window.tell('msg:custom', answer)", answer)
        expect(tip).to_have_text("vc-1, 2026-11-09: failed, 2 jobs\n<i>disk full</i>")
        page.mouse.move(*place(page, 0, 0))
        expect(tip).to_have_text("vc-1, 2026-11-08: met, 1 job")
        page.mouse.move(*place(page, 0, 3))
        expect(tip).to_have_text("vc-1, 2026-11-11: no run expected, no job")
        page.mouse.move(*place(page, 1, -1))
        names = "1 day unknown, 1 day pending, 1 day not observed, 1 day met"
        expect(tip).to_have_text(f"{MARKUP}: {names}")
        page.mouse.move(5, 490)
        expect(tip).to_be_hidden()

    def test_click(self, page: Page) -> None:
        """A click chooses a cell or a name; one that ends elsewhere chooses nothing."""
        page.mouse.click(*place(page, 1, 2))
        page.mouse.click(*place(page, 0, -1))
        assert [(one["row"], one["column"]) for one in sent(page)] == [(1, 2), (0, -1)]
        page.mouse.move(*place(page, 0, -1))
        page.mouse.down()
        page.mouse.move(*place(page, 1, 1), steps=3)
        page.mouse.up()
        assert sent(page) == []

    def test_drag(self, page: Page) -> None:
        """A drag over days marks whole days, in either direction, and sends the span."""
        for begin, end in ((1, 2.3), (2, 0.8)):
            page.mouse.move(*place(page, 0, begin))
            page.mouse.down()
            page.mouse.move(*place(page, 1, end), steps=3)
            assert colour(page, 0, 0) == BLUE
            assert colour(page, 0, 1) != ORANGE  # below the band
            page.mouse.up()
            [span] = sent(page)
            assert span == {"kind": "brush", "serial": 1, "from": 1, "to": 2}
        page.mouse.move(*place(page, 0, 2))
        page.mouse.down()
        page.mouse.move(990, 490, steps=3)
        page.mouse.up()
        [span] = sent(page)
        assert (span["from"], span["to"]) == (2, 3)

    def test_keys(self, page: Page) -> None:
        """Arrow keys move and say the cell, Enter chooses it, Shift and arrows mark a span."""
        canvas, said = page.get_by_role("application"), page.locator("[aria-live]")
        page.keyboard.press("Tab")
        expect(canvas).to_be_focused()
        expect(said).to_have_text("vc-1: 1 day failed, 2 days met")
        canvas.press("ArrowRight")
        expect(said).to_have_text("vc-1, 2026-11-08: met, 1 job")
        canvas.press("Enter")
        canvas.press("ArrowDown")
        expect(said).to_have_text(f"{MARKUP}, 2026-11-08: not observed, no job")
        canvas.press("End")
        canvas.press(" ")
        assert [(one["row"], one["column"]) for one in sent(page)] == [(0, 0), (1, 3)]
        canvas.press("Shift+ArrowLeft")
        canvas.press("Shift+ArrowLeft")
        expect(said).to_have_text("2026-11-09 to 2026-11-11, Enter selects the period")
        canvas.press("Enter")
        assert sent(page) == [{"kind": "brush", "serial": 1, "from": 1, "to": 3}]
        canvas.press("Escape")
        expect(page.locator(".backupkit-grid-tip")).to_be_hidden()
        canvas.press("Enter")
        canvas.press("Home")
        canvas.press("ArrowUp")
        canvas.press("ArrowUp")
        canvas.press("Enter")
        canvas.press("Control+ArrowDown")
        assert [(one["row"], one["column"]) for one in sent(page)] == [(1, 1), (0, -1)]

    def test_answer_is_spoken(self, page: Page) -> None:
        """The addition of the kernel to the cell of the keyboard is said, too."""
        canvas = page.get_by_role("application")
        page.keyboard.press("Tab")
        canvas.press("ArrowRight")
        answer = {"kind": "text", "serial": 1, "row": 0, "column": 0, "text": "disk full"}
        page.evaluate("answer => window.tell('msg:custom', answer)", answer)
        expect(page.locator("[aria-live]")).to_have_text("vc-1, 2026-11-08: met, 1 job\ndisk full")

    def test_other_data(self, page: Page) -> None:
        """Focus and cell stay with their names; a drag and a description end with the data."""
        canvas, said = page.get_by_role("application"), page.locator("[aria-live]")
        canvas.focus()
        page.evaluate(COUNT_LOST_FOCUS)
        canvas.press("ArrowDown")
        canvas.press("ArrowRight")
        canvas.press("ArrowRight")
        load(page, days({MARKUP: ["met"] * 4}) | {"serial": 2})
        expect(page.locator(".backupkit-grid-tip")).to_be_hidden()
        canvas.press("Enter")
        assert sent(page) == [{"kind": "cell", "serial": 2, "row": 0, "column": 1}]
        load(page, encode_days(pd.DataFrame(), np.zeros((0, 0), dtype=np.int32)))
        canvas.press("ArrowRight")
        canvas.press("Enter")
        assert sent(page) == []
        load(page, days())
        canvas.press("ArrowUp")
        expect(said).to_contain_text("vc-1")
        expect(canvas).to_be_focused()
        assert page.evaluate("lost") == 0
        page.mouse.move(*place(page, 0, 1))
        page.mouse.down()
        page.mouse.move(*place(page, 0, 2), steps=3)
        load(page, days())
        page.mouse.up()
        assert sent(page) == []
        page.evaluate("window.load({})")
        expect(page.locator(".backupkit-grid")).to_be_hidden()

    def test_many_days(self, page: Page) -> None:
        """Two years of days are bars without gaps, and dates that do not overlap."""
        many = pd.DataFrame(
            [["met"] * 729 + ["missed_failed"]],
            index=["vc-1"],
            columns=pd.date_range("2024-11-08", periods=730, tz="UTC"),
        )
        load(page, {**encode_days(many, np.ones((1, 730), dtype=np.int32)), "serial": 1})
        page.evaluate("() => new Promise(requestAnimationFrame)")
        colours = page.evaluate(
            "() => { const c = document.querySelector('canvas'); const { data } ="
            " c.getContext('2d').getImageData(200, 46, 400, 1);"
            " return [...new Set(Array.from({length: 400}, (_, x) => data[4 * x]))]; }"
        )
        assert colours == [BLUE[0]]
        box = page.locator("canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] - 8.5, box["y"] + 46)
        expect(page.locator(".backupkit-grid-tip")).to_have_text("vc-1, 2026-11-07: failed, 1 job")

    @pytest.mark.parametrize(
        "mark",
        [
            "document.body.dataset.jpThemeLight = 'false'",
            "document.body.classList.add('vscode-dark')",
            "document.documentElement.dataset.theme = 'dark'",
        ],
    )
    def test_dark(self, page: Page, mark: str) -> None:
        """The colours follow the page, also when it changes later."""
        drawn = page.locator("canvas").get_attribute("data-drawn")
        page.evaluate(mark)
        expect(page.locator("canvas")).not_to_have_attribute("data-drawn", drawn or "")
        assert colour(page, 1, 0) == [27, 31, 35]
        assert colour(page, 0, 0) == [113, 189, 236]

    def test_end(self, page: Page) -> None:
        """After its end, the widget no longer draws."""
        page.evaluate("window.end()")
        before = page.locator("canvas").get_attribute("data-drawn")
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.locator("canvas").get_attribute("data-drawn") == before


def walk(page: Page, keys: str) -> str:
    """Press keys, and return what is said."""
    for key in keys.split():
        page.get_by_role("application").press(key)
    return page.locator("[aria-live]").text_content() or ""


class TestFailures:
    """The heat map and the Pareto chart in chromium."""

    pytestmark = MARKS

    def test_heat_map(self, page: Page) -> None:
        """Cells, totals and names are described and chosen."""
        load(page, counts())
        canvas = page.get_by_role("application")
        expect(canvas).to_have_attribute("aria-roledescription", "heat map")
        canvas.focus()
        for keys, text in (
            ("ArrowRight ArrowRight", "full on vc-2: 12,345 failed jobs"),
            ("ArrowLeft", "full on vc-1: 3 failed jobs"),
            ("ArrowDown", f"{MARKUP} on vc-1: no failed job"),
            ("ArrowRight", f"{MARKUP} on vc-2: 1 failed job"),
            ("ArrowRight", f"{MARKUP}: 1 failed job"),
            ("ArrowDown", "all: 12,349 failed jobs"),
            ("ArrowLeft", "vc-2: 12,346 failed jobs"),
            ("Shift+ArrowLeft", "vc-1: 3 failed jobs"),
            ("Home ArrowUp", f"{MARKUP}: 1 failed job"),
        ):
            assert walk(page, keys) == text
            canvas.press("Enter")
        chosen = [(one["row"], one["column"]) for one in sent(page)]
        cells = [(0, 1), (0, 0), (1, 0), (1, 1), (1, 2), (2, 2), (2, 1), (2, 0), (1, -1)]
        assert chosen == cells

    def test_names_of_columns(self, page: Page) -> None:
        """A click on a slanted name chooses the total above it; below the rows' names nothing."""
        load(page, counts())
        box = page.locator("canvas").bounding_box()
        assert box is not None
        bottom = box["y"] + 4 + 3 * ROW_HEIGHT
        names = [name.strip(".") for name in counts()["rows"]]
        assert names[0] == "full"
        right = box["x"] + box["width"] - 8
        page.mouse.click(right - 30, bottom + 12)
        page.mouse.click(box["x"] + 3, bottom + 12)
        page.mouse.move(right - 30, bottom - 3 * ROW_HEIGHT + 5)
        page.mouse.down()
        page.mouse.move(right - 300, bottom - 3 * ROW_HEIGHT + 5, steps=3)
        page.mouse.up()
        assert [(one["row"], one["column"]) for one in sent(page)] == [(2, 2)]

    def test_shades(self, page: Page) -> None:
        """The more failures, the stronger the colour; none has none."""
        load(page, counts())
        page.evaluate("() => new Promise(requestAnimationFrame)")
        shades = page.evaluate(
            "() => { const c = document.querySelector('canvas'), w = c.width; return [[300, 8],"
            " [600, 8], [300, 32]].map(([x, y]) =>"
            " [...c.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)); }"
        )
        few, many, none = (sum(shade) for shade in shades)
        assert many < few < none == 3 * 255

    def test_bars(self, page: Page) -> None:
        """A bar, its name and the space beside it are one; its share of all is stated."""
        load(page, {**encode_bars(failed(), limit=2), "serial": 1})
        canvas = page.get_by_role("application")
        expect(canvas).to_have_attribute("aria-roledescription", "bar chart")
        page.keyboard.press("Tab")
        said = page.locator("[aria-live]")
        expect(said).to_have_text(
            "full: 6 failed jobs on 2 appliances\n50 % of all, 50 % with those above"
        )
        shares = "25 % of all, 75 % with those above"
        assert walk(page, "ArrowDown") == f"slow: 3 failed jobs on 1 appliance\n{shares}"
        shares = "25 % of all, 100 % with those above"
        assert walk(page, "ArrowDown") == f"2 other patterns: 3 failed jobs\n{shares}"
        canvas.press("ArrowLeft")
        canvas.press("Enter")
        box = canvas.bounding_box()
        assert box is not None
        for part in (0.05, 0.5, 0.98):
            page.mouse.click(box["x"] + part * box["width"], box["y"] + 34 + 1.5 * ROW_HEIGHT)
        cells = [(one["row"], one["column"]) for one in sent(page)]
        assert cells == [(2, 0), (1, 0), (1, 0), (1, 0)]

    def test_no_failure(self, page: Page) -> None:
        """A sentence is drawn in the place of bars, and keys change nothing."""
        load(page, {**encode_bars(FAILURES.empty(), limit=2), "serial": 1})
        canvas = page.get_by_role("application")
        canvas.press("ArrowDown")
        canvas.press("Enter")
        page.mouse.click(400, 60)
        assert sent(page) == []
        drawn = page.evaluate(
            "() => { const c = document.querySelector('canvas');"
            " const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            " return data.some((value) => value < 200); }"
        )
        assert drawn


@pytest.mark.parametrize("scale", [1, 2, 1.5])
class TestScreen:
    """Screens with more pixels."""

    pytestmark = MARKS

    def test_sharp(self, browser: Browser, scale: float) -> None:
        """The canvas has each pixel of the screen."""
        with browser.new_context(device_scale_factor=scale) as context:
            page = context.new_page()
            script = json.dumps(GridCanvas._esm).replace("</", "<\\/")
            page.set_content(build_page(script, "grid", json.dumps(to_json(days()))))
            page.wait_for_selector("canvas[data-drawn]")
            width, height = page.evaluate(
                "() => { const c = document.querySelector('canvas');"
                " return [c.width / c.clientWidth, c.height / c.clientHeight]; }"
            )
            assert [width, height] == pytest.approx([scale] * 2, abs=0.01)
            assert colour(page, 0, 1) == ORANGE
