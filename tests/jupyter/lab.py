"""A real JupyterLab in a real browser."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Locator, Page

from tests.chromium import ARTEFACTS, ROOT, Watched
from tests.jupyter.serving import free_port, serving

_OPTIONS: Final = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.port_retries=0",
    "--ServerApp.terminals_enabled=False",
    "--ServerApp.log_level=WARN",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",  # the other manager queries the package index
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)

_CURRENT: Final = "window.jupyterapp?.shell?.currentWidget"

_UP: Final = "() => window.jupyterapp?.commands.hasCommand('docmanager:open')"

_READY: Final = f"""() => {{
  const panel = {_CURRENT};
  const kernel = panel?.sessionContext?.session?.kernel;
  return panel?.context?.isReady && panel.sessionContext.isReady
    && kernel?.connectionStatus === "connected" && kernel.status === "idle"
    && jupyterapp.commands.isEnabled("notebook:run-all-cells");
}}"""

_CELLS: Final = f"""() => {_CURRENT}.content.widgets
  .filter(cell => cell.model.type === "code")
  .map(cell => ({{
    id: cell.model.id,
    count: cell.model.executionCount,
    state: cell.model.executionState,
    outputs: cell.model.outputs.toJSON(),
  }}))"""

_DONE: Final = f"""() => {{
  const panel = {_CURRENT};
  const cells = panel.content.widgets.filter(cell => cell.model.type === "code");
  const failed = cells.some(cell =>
    cell.model.outputs.toJSON().some(output => output.output_type === "error"));
  const counted = cells.every(cell => cell.model.executionCount !== null);
  return panel.sessionContext.session?.kernel?.status === "idle" && (failed || counted);
}}"""


_OPEN: Final = """async path => {
  await jupyterapp.commands.execute("docmanager:open", {path});
}"""

_CLOSE: Final = f"""async () => {{
  const panel = {_CURRENT};
  await panel.sessionContext.shutdown();
  panel.context.model.dirty = false;
  panel.dispose();
}}"""


@dataclass(frozen=True)
class Notebook:
    """A notebook that is open in JupyterLab.

    Attributes
    ----------
    page : Page
        The page that JupyterLab fills.
    watched : Watched
        What went wrong in the page, and what it asked of other machines.
    """

    page: Page
    watched: Watched

    def choose(self, menu: str, item: str) -> None:
        """Choose an item of a menu of the menu bar."""
        self.page.locator(".lm-MenuBar-item", has_text=menu).first.click()
        self.page.locator(".lm-Menu-item", has_text=item).first.click()

    def run_all(self, *, timeout: float = 60) -> None:
        """Choose Run > Run All Cells, and wait until the last one has ended [s]."""
        self.choose("Run", "Run All Cells")
        self.page.wait_for_function(_DONE, timeout=timeout * 1_000)

    def wait_idle(self, *, timeout: float = 30) -> None:
        """Wait until the kernel is idle [s]."""
        self.page.wait_for_function(_READY, timeout=timeout * 1_000)

    def cells(self) -> list[dict[str, Any]]:
        """Return each code cell's id, execution count, state and outputs."""
        cells: list[dict[str, Any]] = self.page.evaluate(_CELLS)
        return cells

    def complaints(self) -> list[str]:
        """Return the errors and warnings of all cells."""
        outputs = [(cell["id"], output) for cell in self.cells() for output in cell["outputs"]]
        return [
            f"{cell}: {output.get('evalue') or output.get('text')}"
            for cell, output in outputs
            if output["output_type"] == "error" or output.get("name") == "stderr"
        ]

    def output(self, cell: str) -> Locator:
        """Find the output of a code cell by the cell's id."""
        place: int = self.page.evaluate(
            f"id => {_CURRENT}.content.widgets.findIndex(cell => cell.model.id === id)", cell
        )
        self.page.evaluate(f"place => {_CURRENT}.content.scrollToItem(place, 'start')", place)
        notebook = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        return notebook.locator(
            f'.jp-Cell[data-windowed-list-index="{place}"] .jp-OutputArea'
        ).first

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme: "JupyterLab Light" or "JupyterLab Dark"."""
        change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(change, name)
        self.page.wait_for_function(
            "theme => document.body.dataset.jpThemeName === theme", arg=name
        )

    def shot(self, name: str, *, of: Locator | None = None) -> Path:
        """Take a picture of the page, or of a part of it, into the folder of the artefacts."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        if of is None:
            self.page.screenshot(path=path)
        else:
            of.screenshot(path=path)
        return path


class Lab:
    """A running JupyterLab, in one page for all tests, because loading it takes a while.

    Parameters
    ----------
    page : Page
        Where it is open.
    notebooks : Path
        The folder that it serves.
    """

    def __init__(self, page: Page, notebooks: Path) -> None:
        self._page, self._notebooks = page, notebooks
        self._watched = Watched(page)

    @contextlib.contextmanager
    def open(self, name: str, *, shipped: bool = True) -> Iterator[Notebook]:
        """Open a notebook, one of the project's as it was shipped, and wait until it can be run."""
        if shipped:
            shutil.copyfile(ROOT / "notebooks" / name, self._notebooks / name)
        self._page.evaluate(_OPEN, name)
        notebook = Notebook(self._page, self._watched)
        notebook.wait_idle(timeout=60)
        yield notebook
        self._page.evaluate(_CLOSE)
        self._watched.forget()


@contextlib.contextmanager
def running(browser: Browser, notebooks: Path, folder: Path) -> Iterator[Lab]:
    """Run `jupyter lab` in a folder of notebooks, with settings of its own, and open it."""
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    news = quiet / "notification.jupyterlab-settings"
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    port, token = free_port(), secrets.token_hex(16)
    url = f"http://127.0.0.1:{port}"
    command = [
        *("jupyter", "lab", *_OPTIONS),
        *(f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"),
        f"--IdentityProvider.token={token}",
    ]
    with (
        serving(command, ready=f"{url}/api", folder=folder, cwd=notebooks),
        browser.new_context(viewport={"width": 1400, "height": 1000}) as context,
    ):
        page = context.new_page()
        lab = Lab(page, notebooks)
        page.goto(f"{url}/lab?token={token}")
        page.wait_for_function(_UP, timeout=60_000)
        page.evaluate("jupyterapp.restored.then(() => jupyterapp.shell.collapseLeft())")
        yield lab
