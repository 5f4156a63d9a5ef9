"""The timeline that the page draws: its arrays, and the page in chromium."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from backupkit.plots.running import RunningJob
from backupkit.tables import JOBS, SLOTS
from backupkit.widgets.run_canvas import RunCanvas, encode_runs
from tests.canvas_page import build_page
from tests.chromium import MARKS, Watched

START, END = pd.Timestamp("2026-11-08", tz="UTC"), pd.Timestamp("2026-11-10", tz="UTC")
MARKUP: Final = "<b>vc-2</b>"


def runs() -> dict[str, Any]:
    """Encode three runs of two appliances over two days: one failed, one runs."""
    jobs = JOBS.frame(
        {
            "appliance": ["vc-1", "vc-1", MARKUP],
            "outcome": ["success", "failure", "open"],
            "start_time": ["2026-11-08T06:00Z", "2026-11-09T06:00Z", "2026-11-09T12:00Z"],
            "end_time": ["2026-11-08T12:00Z", "2026-11-09T06:30Z", None],
            "progress": [100, None, 40],
        }
    )
    slots = SLOTS.frame({"appliance": ["vc-1"], "slot": ["2026-11-08T06:00Z"]})
    return encode_runs(jobs, slots, rows=["vc-1", MARKUP], start=START, end=END)


def to_json(sent: dict[str, Any]) -> str:
    """Write arrays in base64."""
    return json.dumps(sent, default=lambda part: {"base64": base64.b64encode(part).decode()})


class TestEncode:
    """Arrays of the runs."""

    def test_values(self) -> None:
        """Rows, times, outcomes and progress are in the order of the jobs."""
        sent = runs()
        assert np.frombuffer(sent["rows"], "uint16").tolist() == [0, 0, 1]
        day = START.timestamp() * 1_000
        hours = [(one - day) / 3_600_000 for one in struct.unpack("3d", sent["starts"])]
        assert hours == [6, 30, 36]
        ends = np.frombuffer(sent["ends"], "float64")
        assert ends[1] - day == 30.5 * 3_600_000
        assert np.isnan(ends[2])
        assert [sent["styles"][code]["name"] for code in sent["outcomes"]] == [
            "success",
            "failure",
            "open",
        ]
        assert list(sent["progress"]) == [100, 255, 40]
        assert (sent["start"], sent["end"]) == (day, day + 48 * 3_600_000)

    def test_odd_values(self) -> None:
        """An unknown outcome is another state, an impossible progress is none."""
        jobs = pd.DataFrame(
            {
                "appliance": ["vc-1"] * 2,
                "outcome": ["strange", "open"],
                "start_time": [START, START],
                "end_time": pd.Series([pd.NaT] * 2, dtype="datetime64[us, UTC]"),
                "progress": [-1, 101],
            }
        )
        sent = encode_runs(jobs, SLOTS.empty(), rows=["vc-1"], start=START, end=END)
        assert sent["styles"][sent["outcomes"][0]]["word"] == "other state"
        assert list(sent["progress"]) == [255, 255]
        without = encode_runs(
            jobs.drop(columns="progress"), SLOTS.empty(), rows=["vc-1"], start=START, end=END
        )
        assert list(without["progress"]) == [255, 255]

    def test_themes(self) -> None:
        """Each outcome has a colour in both themes, and a height that tells failures apart."""
        sent = runs()
        for theme in ("light", "dark"):
            colours = [sent["themes"][theme][style["name"]] for style in sent["styles"]]
            assert len(set(colours)) == len(colours) == 5
        heights = {style["name"]: style["height"] for style in sent["styles"]}
        assert heights["failure"] > heights["open"] > heights["success"]


class TestRunning:
    """Running jobs."""

    JOB = RunningJob(0, 2, START, END, 40.0)

    def encode(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 # fields of a job
        """Encode one running job."""
        jobs = JOBS.frame(
            {
                "appliance": ["vc-1"],
                "outcome": ["open"],
                "start_time": ["2026-11-09T12:00Z"],
                "progress": [40],
            }
        )
        job = self.JOB._replace(place=0, **changes)
        return encode_runs(jobs, SLOTS.empty(), rows=["vc-1"], start=START, end=END, running=[job])

    def test_estimate(self) -> None:
        """The timeline reaches to the latest likely end, a quarter of the period at most."""
        hour, now = 3_600_000, 1_000 * END.timestamp()
        hours = {"end": 2, "earliest": 1, "latest": 4}
        sent = self.encode(
            **{name: END + pd.Timedelta(hours=number) for name, number in hours.items()}
        )
        (running,) = sent["running"]
        assert {name: (running[name] - now) / hour for name in hours} == hours
        assert running["text"] == "40 %, done 02:00 (01:00 to 04:00)"
        assert not running["alarm"]
        assert (sent["now"], sent["end"]) == (now, now + 4 * hour)
        assert self.encode(end=END + pd.Timedelta(days=9))["end"] == now + 12 * hour

    def test_overdue(self) -> None:
        """A job that should have ended reaches to now."""
        (running,) = self.encode(end=END - pd.Timedelta(hours=1))["running"]
        assert running["end"] == 1_000 * END.timestamp()
        assert running["text"] == "40 %, end expected 23:00"

    def test_stalled(self) -> None:
        """A stalled job has no end, and is an alarm."""
        sent = self.encode(remark="stalled")
        (running,) = sent["running"]
        assert running == {
            "run": 0,
            "end": None,
            "earliest": None,
            "latest": None,
            "text": "! stalled, 40 %",
            "alarm": True,
        }
        assert sent["end"] == sent["now"]


class TestMessages:
    """Messages of the page."""

    def test_all(self) -> None:
        """A click has a row, a span two times, and a question about a run is answered."""
        seen: list[object] = []
        widget = RunCanvas(
            on_click=seen.append,
            on_brush=lambda *span: seen.append(span),
            describe=lambda run: f"run {run}",
        )
        widget.show(runs(), "Runs")
        answers: list[object] = []
        widget.send = answers.append  # as if a page were there
        page: Any = widget._on_message
        page(widget, {"kind": "click", "row": 1}, [])
        day = START.timestamp() * 1_000
        page(widget, {"kind": "brush", "from": day, "to": day + 3_600_000}, [])
        page(widget, {"kind": "describe", "run": 2}, [])
        page(widget, {"kind": "describe", "run": 3}, [])
        page(widget, {"kind": "else"}, [])
        assert seen == [1, (START, START + pd.Timedelta(hours=1))]
        assert answers == [{"kind": "text", "run": 2, "text": "run 2"}]
        widget.clear()
        assert widget.runs == {}


class TestPage:
    """The timeline in chromium."""

    pytestmark = MARKS

    @pytest.fixture
    def page(self, browser: Browser) -> Iterator[Page]:
        """Open a page with the timeline."""
        with browser.new_context(viewport={"width": 1000, "height": 500}) as context:
            page = context.new_page()
            watched = Watched(page)
            script = json.dumps(RunCanvas._esm).replace("</", "<\\/")
            page.set_content(build_page(script, "runs", to_json(runs())))
            page.wait_for_selector("canvas[data-drawn]")
            yield page
            assert watched.troubles == []
            assert watched.abroad == []

    def sent(self, page: Page) -> list[dict[str, Any]]:
        """Return the messages that the page has sent, and forget them."""
        messages: list[dict[str, Any]] = page.evaluate("window.sent.splice(0)")
        return messages

    def place(self, page: Page, hour: float, row: int) -> tuple[float, float]:
        """Return where a time of a row is on the page."""
        box = page.locator("canvas").bounding_box()
        assert box is not None
        left = 0.2 * box["width"]
        x = box["x"] + left + hour / 48 * (box["width"] - left - 8)
        return x, box["y"] + 34 + 24 * (row + 0.5)

    def colour(self, page: Page, hour: float, row: int) -> list[int]:
        """Return the colour at a time of a row."""
        page.evaluate("() => new Promise(requestAnimationFrame)")
        box = page.locator("canvas").bounding_box()
        assert box is not None
        x, y = self.place(page, hour, row)
        found: list[int] = page.evaluate(
            "([x, y]) => [...document.querySelector('canvas').getContext('2d')"
            ".getImageData(x, y, 1, 1).data].slice(0, 3)",
            [x - box["x"], y - box["y"]],
        )
        return found

    def test_bars(self, page: Page) -> None:
        """Each run has the colour of its outcome, a running one only up to its progress."""
        blue, orange, purple, paper = [0, 114, 178], [181, 71, 8], [106, 61, 154], [255] * 3
        assert self.colour(page, 9, 0) == blue
        assert self.colour(page, 30.2, 0) == orange
        assert self.colour(page, 20, 0) == paper
        assert self.colour(page, 39.5, 1) == purple
        assert self.colour(page, 44, 1) == paper
        legend = page.locator(".backupkit-runs-legend").inner_text().split("\n")
        assert [word.strip() for word in legend] == ["succeeded", "failed", "running"]

    def test_running(self, page: Page) -> None:
        """A stalled job has the colour of a failure, and likely ends are marked beyond now."""
        stalled = TestRunning().encode(remark="stalled")
        page.evaluate("sent => window.load(sent)", json.loads(to_json(stalled)))
        assert self.colour(page, 39.5, 0) == [181, 71, 8]
        hours = {"end": 2, "earliest": 1, "latest": 12}
        ends = {name: END + pd.Timedelta(hours=number) for name, number in hours.items()}
        likely = TestRunning().encode(**ends)
        page.evaluate("sent => window.load(sent)", json.loads(to_json(likely)))
        assert self.colour(page, 48 * 55 / 60, 0) == [29, 33, 37]  # 60 hours are shown now
        page.locator("canvas").focus()
        page.keyboard.press("ArrowRight")
        said = page.locator("[aria-live]").text_content() or ""
        assert said.endswith("UTC, 40 %, done 02:00 (01:00 to 12:00)")

    def test_hover(self, page: Page) -> None:
        """The run under the pointer is described, and the kernel adds what it knows."""
        page.mouse.move(*self.place(page, 40, 1))
        tip = page.locator(".backupkit-runs-tip")
        tip.wait_for(state="visible")
        text = "running\n2026-11-09 12:00 UTC, for 12 h 0 min so far, 40 %"
        assert tip.inner_text() == f"{MARKUP}: {text}"
        page.wait_for_function("window.sent.length")
        assert self.sent(page) == [{"kind": "describe", "run": 2}]
        answer = {"kind": "text", "run": 2, "text": "<i>disk full</i>"}
        page.evaluate("answer => window.tell('msg:custom', answer)", answer)
        assert tip.inner_text().endswith("\n<i>disk full</i>")
        page.mouse.move(*self.place(page, 20, 0))
        tip.wait_for(state="hidden")

    def test_click_and_drag(self, page: Page) -> None:
        """A click chooses a row; a drag sends the times of its ends."""
        page.mouse.click(*self.place(page, 20, 1))
        assert self.sent(page) == [{"kind": "click", "row": 1}]
        page.mouse.move(*self.place(page, 12, 0))
        page.mouse.down()
        page.mouse.move(*self.place(page, 36, 0), steps=3)
        page.mouse.up()
        [span] = [one for one in self.sent(page) if one["kind"] == "brush"]
        day = START.timestamp() * 1_000
        hours = [(span[name] - day) / 3_600_000 for name in ("from", "to")]
        assert hours == pytest.approx([12, 36], abs=0.1)

    def test_zoom(self, page: Page) -> None:
        """Ctrl and wheel zooms around the pointer, Shift and drag moves, a double click ends it."""
        x, y = self.place(page, 30, 0)
        page.mouse.move(x, y)
        page.mouse.wheel(0, -400)
        assert self.colour(page, 14, 0) == [255] * 3  # the wheel alone scrolls the page
        page.keyboard.down("Control")
        page.mouse.wheel(0, -1200)
        page.keyboard.up("Control")
        page.wait_for_timeout(100)
        assert self.colour(page, 31, 0) == [181, 71, 8]  # half an hour is wider now
        page.keyboard.down("Shift")
        page.mouse.down()
        page.mouse.move(x + 200, y, steps=3)
        page.mouse.up()
        page.keyboard.up("Shift")
        assert self.colour(page, 31, 0) != [181, 71, 8]
        assert [one for one in self.sent(page) if one["kind"] == "brush"] == []
        page.mouse.dblclick(x, y)
        assert self.colour(page, 9, 0) == [0, 114, 178]

    def test_keys(self, page: Page) -> None:
        """All of it can be done by keys, and is said aloud."""
        canvas, said = page.locator("canvas"), page.locator("[aria-live]")
        canvas.focus()
        canvas.press("ArrowRight")
        assert said.text_content() == (
            "vc-1: succeeded\n2026-11-08 06:00 to 2026-11-08 12:00 UTC, 6 h 0 min"
        )
        canvas.press("ArrowRight")
        assert "vc-1: failed" in (said.text_content() or "")
        canvas.press("ArrowLeft")
        assert "vc-1: succeeded" in (said.text_content() or "")
        canvas.press("ArrowDown")
        assert said.text_content() == f"{MARKUP}: 1 run"
        canvas.press("Enter")
        assert self.sent(page)[-1] == {"kind": "click", "row": 1}
        canvas.press("ArrowUp")
        for key in "+++":
            canvas.press(key)
        assert self.colour(page, 9, 0) != [0, 114, 178]
        canvas.press("0")
        assert self.colour(page, 9, 0) == [0, 114, 178]
        assert canvas.get_attribute("aria-label") == "Runs of two appliances"

    @pytest.mark.parametrize(
        "mark",
        [
            "document.body.dataset.jpThemeLight = 'false'",
            "document.body.classList.add('vscode-dark')",
            "document.documentElement.dataset.theme = 'dark'",
            "document.documentElement.setAttribute('theme', 'dark')",
        ],
    )
    def test_dark(self, page: Page, mark: str) -> None:
        """The colours follow the page, also when it changes later."""
        page.evaluate(mark)
        page.wait_for_timeout(50)
        assert self.colour(page, 20, 0) == [27, 31, 35]
        assert self.colour(page, 9, 0) == [113, 189, 236]

    def test_other_runs(self, page: Page) -> None:
        """Other runs replace the first ones; none hide the timeline."""
        other = runs() | {"labels": ["vc-1"], "rows": b"\0" * 6}
        page.evaluate("sent => window.load(sent)", json.loads(to_json(other)))
        assert self.colour(page, 39.5, 0) == [106, 61, 154]
        page.evaluate("window.load({})")
        page.locator(".backupkit-runs").wait_for(state="hidden")

    def test_other_runs_under_pointer(self, page: Page) -> None:
        """Other runs end what is said of a run, and a drag that has begun."""
        page.mouse.move(*self.place(page, 40, 1))
        tip = page.locator(".backupkit-runs-tip")
        tip.wait_for(state="visible")
        page.evaluate("sent => window.load(sent)", json.loads(to_json(runs())))
        tip.wait_for(state="hidden")
        page.mouse.down()
        page.mouse.move(*self.place(page, 20, 1), steps=3)
        page.evaluate("window.load({})")
        page.mouse.up()
        assert [one for one in self.sent(page) if one["kind"] == "brush"] == []

    def test_drag_over_names(self, page: Page) -> None:
        """A drag selects only times that are shown: none if it is over the names alone."""
        x, y = self.place(page, 0, 0)
        page.mouse.move(x - 150, y)
        page.mouse.down()
        page.mouse.move(x - 20, y, steps=3)
        page.mouse.up()
        assert self.sent(page) == []
        canvas = page.locator("canvas")
        canvas.focus()
        canvas.press("+")  # shows the hours from 12 to 36
        page.mouse.move(x - 150, y)
        page.mouse.down()
        page.mouse.move(*self.place(page, 24, 0), steps=3)
        page.mouse.up()
        [span] = [one for one in self.sent(page) if one["kind"] == "brush"]
        day = START.timestamp() * 1_000
        hours = [(span[name] - day) / 3_600_000 for name in ("from", "to")]
        assert hours == pytest.approx([12, 24], abs=0.1)

    def test_end(self, page: Page) -> None:
        """After its end, the widget no longer draws."""
        page.evaluate("window.end()")
        before = page.locator("canvas").get_attribute("data-drawn")
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")
        page.wait_for_timeout(50)
        assert page.locator("canvas").get_attribute("data-drawn") == before
