"""The report in a real browser: Debian's chromium, driven by Playwright."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

import backupkit as bk
from tests.chromium import ARTEFACTS, MARKS, ROOT

pytestmark = MARKS


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of the sample data."""
    policy = bk.Policy.load(ROOT / "data" / "fleet.example.toml")
    a = bk.evaluate(bk.History(ROOT / "data" / "history"), policy, now="2026-11-23T23:30:00Z")
    path = tmp_path_factory.mktemp("browser") / "report.html"
    bk.report(a).save(path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_first_screen(browser: Browser, report: Path, scheme: str, width: int, height: int) -> None:
    """Verdict and the worst appliance are seen without scrolling; nothing is asked of a network."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    )
    page = context.new_page()
    asked: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: troubles.append(message.text))
    page.goto(report.as_uri())
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"report-{scheme}-{width}.png")
    heading = page.locator("h1").bounding_box()
    worst = page.get_by_role("link", name="vc-tyo-02").first.bounding_box()
    wide = page.locator("html").evaluate("element => element.scrollWidth")
    context.close()
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert troubles == []
    assert heading is not None
    assert heading["y"] + heading["height"] < height / 3
    assert worst is not None
    assert worst["y"] + worst["height"] < height
    assert wide <= width
