"""Debian's chromium, controlled by Playwright, and the problems of a page."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

ROOT = Path(__file__).parent.parent
ARTEFACTS = ROOT / "artefacts"
CHROMIUM = shutil.which("chromium")

COUNT_LOST_FOCUS = (
    "() => { window.lost = 0; document.addEventListener("
    "'focusout', event => { lost += event.relatedTarget === null; }); }"
)
"""Script after which `lost` counts how often nothing in the page has the focus any more."""

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt install chromium"),
]

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host
]
expect.set_options(timeout=60_000)  # a kernel beside other tests may need long

_HERE = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|(data|blob|file|about):")


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Run a headless browser that reaches only this machine."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS) as running,
    ):
        yield running


class Watched:
    """Problems of a page, and its requests to other machines.

    Parameters
    ----------
    page : Page
        A page that has not been anywhere yet.
    harmless : sequence of str
        Parts of messages to overlook.

    Attributes
    ----------
    troubles : list of str
        Errors on the console, uncaught errors, and requests that were not answered well.
    abroad : list of str
        Addresses that are not on loopback.
    """

    def __init__(self, page: Page, harmless: tuple[str, ...] = ()) -> None:
        self.troubles: list[str] = []
        self.abroad: list[str] = []
        self._harmless = harmless
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._trouble(f"uncaught: {error}"))
        page.on("request", self._asked)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.on("websocket", lambda socket: self._went(socket.url))

    def forget(self) -> None:
        """Remove all entries."""
        self.troubles.clear()
        self.abroad.clear()

    def _trouble(self, text: str) -> None:
        if not any(part in text for part in self._harmless):
            self.troubles.append(text)

    def _went(self, url: str) -> None:
        if _HERE.match(url) is None:
            self.abroad.append(url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._trouble(f"console: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        self._went(request.url)

    def _failed(self, request: Request) -> None:
        self._trouble(f"{request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._trouble(f"{response.request.method} {response.url}: {response.status}")
