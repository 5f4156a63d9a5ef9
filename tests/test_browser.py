"""The report in chromium, with Playwright."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import html5lib
import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, expect

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Member
from tests.builders import END, assess, assess_large_fleet, job, message, nights, poll, schedule
from tests.chromium import ARTEFACTS, MARKS, ROOT
from tests.conftest import LONG, repeats

pytestmark = MARKS

FLEETS = ("compliant", "three-of-50", "unreachable", "empty", "large", "sample")
LARGE = repeats(400, 2_000)
"""Appliances in a large fleet."""

REPEATED = ["tbody:nth-of-type(n+6)", "tr:nth-of-type(n+6)"]
"""Rows that look like those before them."""

AUDITED = [
    (name, theme)
    for name in FLEETS
    for theme in ("light", "dark")
    if LONG or (theme == "light" and name != "large") or name == "sample"
]

ROWS = "#appliances table.all > tbody"
OPEN_ALL = "for (const d of document.querySelectorAll('details')) d.open = true"
Theme = Literal["light", "dark"]


@dataclass
class OpenPage:
    """A page, its requests and its errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@contextmanager
def opened(
    browser: Browser,
    file: Path,
    *,
    theme: Theme = "light",
    width: int = 1280,
    height: int = 720,
    scripts: bool = True,
) -> Iterator[OpenPage]:
    """Open a file, and check that it sends no request and has no error."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    shown = OpenPage(context.new_page())
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.on("console", lambda message: shown.errors.append(message.text))
    shown.page.on("pageerror", lambda error: shown.errors.append(str(error)))
    shown.page.on("dialog", lambda dialog: shown.errors.append(dialog.message))
    shown.page.goto(file.as_uri())
    ARTEFACTS.mkdir(exist_ok=True)
    yield shown
    context.close()
    assert {url.partition("#")[0] for url in shown.requests if not url.startswith("data:")} == {
        file.as_uri()
    }
    assert shown.errors == []


def assess_nights(outcomes: Mapping[str, str]) -> Assessment:
    """Evaluate appliances with an outcome for each night."""
    rows = [row for name, letters in outcomes.items() for row in nights(name, letters)]
    members = [Member(appliance=name, site=name.split("-")[1], group="prod") for name in outcomes]
    return assess(rows, [poll(name) for name in outcomes], [*map(schedule, outcomes)], members)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the reports of different fleets."""
    policy = bk.Policy.load(ROOT / "data" / "fleet.example.toml")
    history = bk.History(ROOT / "data" / "history.db")
    sites = ("ham", "nyc", "tyo", "lon", "sao")
    names = [f"vc-{sites[n % 5]}-{n:02}" for n in range(50)]
    good = assess_nights(dict.fromkeys(names, "s" * 8))
    bad = {names[3]: "ssssssff", names[17]: "sss.....", names[31]: "ssfsssff"}
    assessments = {
        "compliant": (good, None),
        "three-of-50": (assess_nights(dict.fromkeys(names, "s" * 8) | bad), good),
        "unreachable": (assess([], [poll(name, END, "unreachable") for name in names]), None),
        "empty": (assess(), None),
        "large": (assess_large_fleet(LARGE), None),
        "sample": (bk.evaluate(history, policy, now="2026-11-23T23:30:00Z"), None),
    }
    folder = tmp_path_factory.mktemp("reports")
    return {
        name: bk.report(a, before=before).save(folder / f"{name}.html")[0]
        for name, (a, before) in assessments.items()
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
@pytest.mark.parametrize("name", FLEETS)
def test_first_screen(
    browser: Browser,
    reports: Mapping[str, Path],
    name: str,
    theme: Theme,
    width: int,
    height: int,
) -> None:
    """Verdict and worst appliances are visible without scrolling and without scripts."""
    size = {"width": width, "height": height}
    with opened(browser, reports[name], theme=theme, scripts=False, **size) as shown:
        shown.page.screenshot(path=ARTEFACTS / f"report-{name}-{theme}-{width}.png")
        heading = shown.page.locator("h1").bounding_box()
        worst = shown.page.locator("#act th[scope=row], #act .fine").first.bounding_box()
        wide = shown.page.locator("html").evaluate("element => element.scrollWidth")
    assert heading is not None
    assert heading["y"] + heading["height"] < height / 3
    assert worst is not None
    assert worst["y"] + worst["height"] < height
    assert wide <= width


def test_picture_of_the_first_screen(browser: Browser, reports: Mapping[str, Path]) -> None:
    """The picture for README, data/report.png, ends at the border of a row."""
    path = ARTEFACTS / "report.png"
    with opened(browser, reports["sample"]) as shown:
        row = shown.page.locator("#act tbody tr").nth(1).bounding_box()
        assert row is not None
        bottom = math.ceil(row["y"] + row["height"])
        clip: FloatRect = {"x": 0, "y": 0, "width": 1280, "height": bottom}
        shown.page.screenshot(path=path, clip=clip, full_page=True)
    with Image.open(path) as picture:
        pixels = picture.convert("RGB")
    assert pixels.size == (1280, bottom)
    line = {pixels.getpixel((x, bottom - 1)) for x in range(40, 1240, 40)}
    assert len(line) == 1
    assert line != {pixels.getpixel((10, bottom - 1))}


@pytest.mark.parametrize("name", FLEETS)
def test_valid(reports: Mapping[str, Path], name: str) -> None:
    """The report is valid HTML."""
    html5lib.HTMLParser(strict=True).parse(reports[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize("name", FLEETS)
def test_print(browser: Browser, reports: Mapping[str, Path], name: str, paper: str) -> None:
    """The report prints on at most 60 pages."""
    with opened(browser, reports[name]) as shown:
        pdf = shown.page.pdf(format=paper, path=ARTEFACTS / f"report-{name}-{paper}.pdf")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 1 <= pages <= 60


def printed(page: Page, locator: str) -> bool:
    """Return whether an element is printed."""
    page.emulate_media(media="print")
    visible = page.locator(locator).first.is_visible()
    page.emulate_media(media="screen")
    return visible


def test_what_is_printed(browser: Browser, reports: Mapping[str, Path]) -> None:
    """Runs of appliances with problems are printed; controls and good appliances are not."""
    with opened(browser, reports["large"]) as shown:
        assert printed(shown.page, "#appliances tbody .breach")
        assert not printed(shown.page, "#appliances .good")
        assert printed(shown.page, ".printed")
        assert not printed(shown.page, ".sift")
        assert not printed(shown.page, "nav")
    with opened(browser, reports["three-of-50"]) as shown:
        assert printed(shown.page, "#appliances .good")
        # closed on the screen, open on paper for appliances with problems
        runs = "#appliances details.trouble table"
        assert not shown.page.locator(runs).first.is_visible()
        assert printed(shown.page, runs)
        assert not printed(shown.page, "#appliances .good details table")


@pytest.mark.long
@pytest.mark.parametrize(("name", "theme"), AUDITED)
def test_accessible(browser: Browser, reports: Mapping[str, Path], name: str, theme: Theme) -> None:
    """axe-core finds no violation; in the dark theme only contrast is checked."""
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    with opened(browser, reports[name], theme=theme) as shown:
        if name == "sample":
            shown.page.evaluate(OPEN_ALL)
        shown.page.evaluate(axe)
        only = "color-contrast" if theme == "dark" else None
        found: dict[str, Any] = shown.page.evaluate(
            "([exclude, only]) => axe.run({exclude}, only ? {runOnly: [only]} : {})",
            [[] if LONG else REPEATED, only],
        )
    violations = [
        (fault["id"], fault["impact"], fault["nodes"][0]["html"], len(fault["nodes"]))
        for fault in found["violations"]
    ]
    assert violations == []
    assert len(found["passes"]) >= (1 if only else 10)


class TestScript:
    """The script that sorts, filters and pages."""

    def test_sorting(self, browser: Browser, reports: Mapping[str, Path]) -> None:
        """A column header sorts ascending, then descending; unknown values are last."""
        with opened(browser, reports["sample"]) as shown:
            first_rows = "table.all > tbody > tr:first-child"

            def cells(column: int) -> list[str]:
                cells = shown.page.locator(f"{first_rows} > td:nth-child({column})")
                return cells.all_inner_texts()

            table = shown.page.locator("#appliances table.all")
            exposure = table.get_by_role("columnheader", name="Exposure")
            exposure.get_by_role("button").press("Enter")
            assert exposure.get_attribute("aria-sort") == "ascending"
            exposures = cells(5)
            assert (exposures[0], exposures[-1]) == ("over 31 s", "no data")
            assert exposures[-3:-1] == ["24 d 19 h", "over 89 d 3 h"]
            exposure.get_by_role("button").click()
            assert exposure.get_attribute("aria-sort") == "descending"
            assert (cells(5)[0], cells(5)[-1]) == ("over 89 d 3 h", "no data")
            table.get_by_role("columnheader", name="Last success").get_by_role("button").click()
            assert exposure.get_attribute("aria-sort") == "none"
            known = [time for time in cells(6) if time != "no data"]
            assert known == sorted(known)
            table.get_by_role("columnheader", name="Appliance").get_by_role("button").click()
            names = shown.page.locator(f"{first_rows} > th").all_inner_texts()
            assert names == sorted(names)
            table.get_by_role("columnheader", name="Time inside RPO").get_by_role("button").click()
            assert cells(7)[0].startswith("0.0 %")

    def test_filter(self, browser: Browser, reports: Mapping[str, Path]) -> None:
        """Words and a state filter the rows; the status has the number of shown rows."""
        with opened(browser, reports["sample"]) as shown:
            bar = shown.page.locator(".sift")
            expect(bar.get_by_role("status")).to_have_text("12 of 12 shown")
            bar.get_by_label("Find").fill("hamburg 3 failures")
            expect(bar.get_by_role("status")).to_have_text("1 of 12 shown")
            expect(shown.page.locator("#appliances tbody:visible th").first).to_have_text(
                "vc-ham-03"
            )
            bar.get_by_label("Find").fill("")
            bar.get_by_label("State").select_option("✕ Breach")
            expect(bar.get_by_role("status")).to_have_text("3 of 12 shown")

    def test_paging_and_links(self, browser: Browser, reports: Mapping[str, Path]) -> None:
        """Of many rows a hundred are shown, then more; a link leads to a hidden row."""
        with opened(browser, reports["large"]) as shown:
            status = shown.page.locator(".sift").get_by_role("status")
            expect(status).to_have_text(f"100 of {LARGE} shown")
            shown.page.get_by_role("button", name=f"Show 100 more of {LARGE - 100}").click()
            expect(status).to_have_text(f"200 of {LARGE} shown")
            shown.page.locator(".sift").get_by_label("Find").fill("no such appliance")
            expect(status).to_have_text(f"0 of {LARGE} shown")
            shown.page.locator(".counts a.compliant").click()
            expect(shown.page.locator("tr:target")).to_be_in_viewport()
            expect(shown.page.locator("tr:target .compliant")).to_be_visible()
            shown.page.reload()
            expect(shown.page.locator("tr:target")).to_be_in_viewport()

    def test_without_script(self, browser: Browser, reports: Mapping[str, Path]) -> None:
        """Without scripts all rows are shown, and there are no controls."""
        with opened(browser, reports["large"], scripts=False) as shown:
            assert shown.page.locator(ROWS).count() == LARGE
            assert shown.page.locator("button, input, select").count() == 0


class TestLayout:
    """The layout of the page."""

    def test_the_days_stand_below_their_dates(
        self, browser: Browser, reports: Mapping[str, Path]
    ) -> None:
        """The symbols of each row of days are as wide as the dates above them."""
        with opened(browser, reports["sample"]) as shown:
            widths = shown.page.locator("#nights .cells").evaluate_all(
                "all => all.map(cells => cells.lastElementChild.getBoundingClientRect().right"
                " - cells.firstElementChild.getBoundingClientRect().left)"
            )
        assert len(widths) == 13  # the dates, and all appliances, the excluded ones too
        assert max(widths) - min(widths) < 1

    @pytest.mark.parametrize("width", [1280, 1920])
    def test_columns_of_sites_are_aligned(
        self, browser: Browser, reports: Mapping[str, Path], width: int
    ) -> None:
        """The percentages of a column end at one place, and no cell is cut."""
        with opened(browser, reports["sample"], width=width) as shown:
            rows = shown.page.locator("#groups tbody tr").evaluate_all(
                "all => all.map(row => [...row.querySelectorAll('.share b')]"
                ".map(b => Math.round(b.getBoundingClientRect().right)))"
            )
            cut = shown.page.locator("#groups .scroll").evaluate(
                "e => e.scrollWidth - e.clientWidth"
            )
        assert len({tuple(row) for row in rows}) == 1
        assert cut == 0

    @pytest.mark.parametrize("width", [1280, 1920])
    def test_figures_have_text_beside_them(
        self, browser: Browser, reports: Mapping[str, Path], width: int
    ) -> None:
        """The four cards are side by side, and figures and their text, too."""
        with opened(browser, reports["sample"], width=width) as shown:
            tops = shown.page.locator(".cards > div").evaluate_all(
                "all => all.map(e => e.offsetTop)"
            )
            picture = shown.page.locator("#why figure").bounding_box()
            text = shown.page.locator("#why .pair > div").first.bounding_box()
            main = shown.page.locator("main").bounding_box()
        assert len(tops) == 4
        assert len(set(tops)) == 1
        assert picture is not None
        assert text is not None
        assert main is not None
        assert text["x"] > picture["x"] + picture["width"]
        assert main["width"] >= 0.9 * width

    def test_a_wide_screen_has_two_columns(
        self, browser: Browser, reports: Mapping[str, Path]
    ) -> None:
        """On 1,920 pixels sections and causes are side by side, on 1,280 below each other."""
        pairs = [("#forecast", "#load"), ("#sizes", "#lint"), ("#why figure", "#why .heat")]
        for width in (1280, 1920):
            with opened(browser, reports["sample"], width=width) as shown:
                for left, right in pairs:
                    boxes = [shown.page.locator(part).bounding_box() for part in (left, right)]
                    assert boxes[0] is not None
                    assert boxes[1] is not None
                    is_beside = boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]
                    assert is_beside == (width == 1920)

    @pytest.mark.parametrize(("name", "limit"), [("sample", 13_500), ("large", 15_000)])
    @pytest.mark.parametrize("scripts", [True, False])
    def test_length_on_a_phone(
        self,
        browser: Browser,
        reports: Mapping[str, Path],
        name: str,
        limit: int,
        scripts: bool,  # noqa: FBT001 # a parameter of pytest
    ) -> None:
        """On a phone the page has a limited length, also without scripts."""
        with opened(browser, reports[name], width=390, scripts=scripts) as shown:
            height = shown.page.locator("main").evaluate("element => element.scrollHeight")
            wide = shown.page.locator("html").evaluate("element => element.scrollWidth")
        assert height < limit
        assert wide == 390

    def test_facts_open_on_demand_on_a_phone(
        self, browser: Browser, reports: Mapping[str, Path]
    ) -> None:
        """Lists of facts are closed on a phone without scripts, else visible, also on paper."""
        policy = "#method td:text-is('up to 1 h before its time')"
        for width in (390, 1280):
            with opened(browser, reports["sample"], width=width, scripts=False) as shown:
                summary = shown.page.get_by_text("The policy", exact=True)
                assert summary.is_visible() == (width == 390)
                assert shown.page.locator(policy).is_visible() == (width == 1280)
                assert printed(shown.page, policy)
                if width == 390:
                    summary.click()
                    expect(shown.page.locator(policy)).to_be_visible()

    def test_a_link_opens_the_list_on_a_phone(
        self, browser: Browser, reports: Mapping[str, Path]
    ) -> None:
        """A link to an appliance opens the list of a large fleet, which is closed on a phone."""
        with opened(browser, reports["large"], width=390) as shown:
            rows = shown.page.locator(ROWS)
            assert not rows.first.is_visible()
            shown.page.locator("#act th a").last.click()
            expect(shown.page.locator("tr:target")).to_be_in_viewport()
            expect(shown.page.locator("#appliances").get_by_role("status")).to_have_text(
                re.compile(f"of {LARGE} shown")
            )

    @pytest.mark.parametrize("name", ["sample", "three-of-50", "large"])
    def test_nothing_is_cut_on_paper(
        self, browser: Browser, reports: Mapping[str, Path], name: str
    ) -> None:
        """No table is wider than a page of A4 without its margins."""
        width = 703
        with opened(browser, reports[name], width=width) as shown:
            shown.page.emulate_media(media="print")
            rights = shown.page.locator("table:visible").evaluate_all(
                "all => all.map(table => table.getBoundingClientRect().right)"
            )
        assert rights
        assert max(rights) <= width + 1


class TestHover:
    """The script that answers the pointer."""

    def test_an_appliance_lights_up_everywhere(
        self, browser: Browser, reports: Mapping[str, Path]
    ) -> None:
        """The pointer on a row lights up the other rows of the appliance, until it leaves."""
        with opened(browser, reports["sample"]) as shown:
            shown.page.locator("#act tbody tr").nth(1).hover()
            lit = shown.page.locator(".lit")
            assert lit.count() >= 4
            assert all("vc-nyc-03" in text for text in lit.all_inner_texts())
            shown.page.locator("h1").hover()
            assert lit.count() == 0

    def test_a_symbol_names_its_day(self, browser: Browser, reports: Mapping[str, Path]) -> None:
        """The pointer on a symbol of a day gets the date."""
        with opened(browser, reports["sample"]) as shown:
            cells = shown.page.locator("#nights tbody td.cells").first
            cells.hover(position={"x": 9 + 18 * 5, "y": 8})
            assert cells.get_attribute("title") == "29 Oct"
            cells.hover(position={"x": 9 + 18 * 30, "y": 8})
            assert cells.get_attribute("title") == "23 Nov"

    def test_a_symbol_of_the_fleet_leads_to_its_row(
        self, browser: Browser, reports: Mapping[str, Path]
    ) -> None:
        """In a large fleet a symbol names its appliance, and a click shows the row."""
        with opened(browser, reports["large"]) as shown:
            last = shown.page.locator(".dots i").last
            last.hover()
            name = (last.get_attribute("title") or "").partition(",")[0]
            last.click()
            expect(shown.page.locator("tr:target > th")).to_have_text(name)
            expect(shown.page.locator("tr:target")).to_be_in_viewport()


HOSTILE = {
    "script": "<script>window.pwned=1</script>",
    "image": '"><img src=x onerror="window.pwned=1">',
    "svg": "<svg onload=window.pwned=1>",
    "link": "javascript:window.pwned=1",
    "style": "</style><style>body{display:none}</style>",
    "comment": "<!--",
    "template": "{{ 7 * 7 }}{% raw %}",
    "right to left": "\u202eevil\u2066\u200f",
    "null": "a\x00b\x07\x1b[31m",
    "formula": "=cmd|' /C calc'!A0",
    "entity": "&lt;b&gt;&#x3c;",
    "long": "W" * 3000,
    "mega": "<b>" + "x " * 500_000,
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of a fleet with hostile text in each field."""
    jobs, polls, schedules, members = [], [], [], []
    for kind, evil in HOSTILE.items():
        name = f"{kind} {evil[:3000]}"
        failure = message(evil, evil, [evil]) | {"localized": evil}
        texts = {"messages": [failure, failure], "location": f"sftp://{evil[:500]}/x"}
        texts |= {"type": evil, "build": evil, "status": evil}
        jobs += [
            job(name, night, "failure", **texts, job_id=f"{night}{evil[:200]}")
            for night in range(5)
        ]
        jobs.append(job(name, 6, "open", **texts, progress=float("inf")))
        polls.append(poll(name, version=evil, api=evil, timezone=evil))
        polls.append(poll(f"b{name}", END, evil[:2000]))
        schedules.append(
            schedule(name, schedule=evil, timezone=evil, location=evil, parts=[evil], days=[evil])
        )
        members.append(Member(appliance=name, site=evil, group=evil))
        members.append(Member(appliance=f"c{name}", exclude=evil))
    bad = assess(jobs, polls, schedules, members)
    earlier = assess([], polls[:1], [], members)
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    return bk.report(bad, before=earlier).save(path)[0]


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_fleet(browser: Browser, hostile: Path, width: int) -> None:
    """Hostile text adds no request, script or element, and does not change the layout."""
    with opened(browser, hostile, width=width) as shown:
        page = shown.page
        page.evaluate(OPEN_ALL)
        page.screenshot(path=ARTEFACTS / f"report-hostile-{width}.png")
        assert page.evaluate("window.pwned") is None
        assert page.locator("html").evaluate("element => element.scrollWidth") <= width
        assert page.locator("h1").is_visible()
        assert page.locator("script").count() == 1
        assert page.locator("iframe, object, b b, svg:not([class])").count() == 0
        assert page.evaluate("document.querySelectorAll('svg[onload], svg script').length") == 0
        pictures = page.locator("img").evaluate_all("all => all.map(e => e.naturalWidth)")
        assert pictures
        assert all(width > 0 for width in pictures)
        links = page.locator("a").evaluate_all("all => all.map(e => e.getAttribute('href'))")
        assert all(link.startswith("#") for link in links)
        table = page.locator("#appliances table.all")
        table.get_by_role("columnheader", name="Appliance").get_by_role("button").click()
        page.locator(".sift").get_by_label("Find").fill("<script>")
        expect(page.locator(".sift").get_by_role("status")).not_to_have_text(re.compile("^0 of"))
        assert page.evaluate("window.pwned") is None
