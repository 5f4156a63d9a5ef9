"""The first notebook as a dashboard by Voila; two as pages without scripts by nbconvert."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import ARTEFACTS, MARKS, ROOT, Watched
from tests.conftest import LONG
from tests.jupyter.serving import environment, free_port, serving

pytestmark = MARKS

NOTEBOOK, REPORT = "01_first_look.ipynb", "02_sla_report.ipynb"
STILL = [NOTEBOOK, REPORT] if LONG else [NOTEBOOK]
VERDICT = "3 of 10 in scope breach their RPO, 1 unknown, 2 excluded"


@pytest.fixture(scope="module")
def dashboard(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the first notebook by Voila, as `make dashboard` does."""
    port, folder = free_port(), tmp_path_factory.mktemp("voila")
    [options] = re.findall(r"^VOILA := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = ["voila", *options.split(), "--no-browser", f"--port={port}", NOTEBOOK]
    url = f"http://127.0.0.1:{port}/"
    with serving(
        command,
        ready=f"{url}voila/static/voila.js",
        folder=folder,
        cwd=notebooks,
        more={"JUPYTER_PATH": str(notebooks)},
    ):
        yield url


@pytest.fixture(scope="module")
def still(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run one notebook, or two, into pages without code and widgets."""
    folder = tmp_path_factory.mktemp("still")
    jupyter = Path(sys.executable).with_name("jupyter")
    subprocess.run(
        [
            *(str(jupyter), "nbconvert", *STILL, "--execute", "--no-input"),
            *("--to", "html", "--template", "basic", "--output-dir", folder),
            "--ExecutePreprocessor.store_widget_state=False",  # show the page without widgets
            "--HTMLExporter.exclude_anchor_links=True",
        ],
        cwd=notebooks,
        env=environment(folder),
        check=True,
        capture_output=True,
    )
    return folder


def test_dashboard(browser: Browser, dashboard: str) -> None:
    """Voila shows verdict and explorer, no code, and sends no request to other machines."""
    with browser.new_context(viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        watched = Watched(page)
        page.goto(dashboard, wait_until="commit")  # Voila sends the page while it runs the cells
        expect(page.get_by_role("tab", name="Overview")).to_be_visible(timeout=60_000)
        expect(page.get_by_text(VERDICT).first).to_be_visible()
        ARTEFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTEFACTS / "voila.png")
        page.get_by_role("tab", name="Overview").scroll_into_view_if_needed()
        page.screenshot(path=ARTEFACTS / "voila-explorer.png")
        assert page.locator(".jp-InputArea-editor").count() == 0
        assert watched.troubles == []
        assert watched.abroad == []


def test_still(browser: Browser, still: Path) -> None:
    """Without scripts and offline the page shows verdict, figure and table of the explorer."""
    with browser.new_context(java_script_enabled=False, offline=True) as context:
        page = context.new_page()
        watched = Watched(page)
        page.goto((still / "01_first_look.html").as_uri())
        ARTEFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTEFACTS / "still.png", full_page=True)
        expect(page.get_by_text(VERDICT).first).to_be_visible()
        figure = page.locator("img[alt]").last
        expect(figure).to_be_visible()
        assert figure.evaluate("image => image.complete && image.naturalWidth > 300")
        expect(page.get_by_role("table").last).to_contain_text("vc-tyo-02")
        assert watched.troubles == []
        assert watched.abroad == []


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="make test-long")
def test_still_report(browser: Browser, still: Path) -> None:
    """The page of the report's notebook has its sections, no code, and sends no request."""
    with browser.new_context(java_script_enabled=False, offline=True) as context:
        page = context.new_page()
        watched = Watched(page)
        page.goto((still / "02_sla_report.html").as_uri())
        ARTEFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTEFACTS / "still-report.png", full_page=True)
        expect(page.get_by_text("2 of 9 in scope breach their RPO").first).to_be_visible()
        expect(page.get_by_role("heading", name="Needs attention")).to_be_visible()
        assert page.get_by_text("bk.evaluate(").count() == 0
        figure = page.locator("img[alt]").last
        assert figure.evaluate("image => image.complete && image.naturalWidth > 300")
        assert watched.troubles == []
        assert watched.abroad == []
