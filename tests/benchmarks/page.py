"""From a click on a filter to the new picture in the page: JupyterLab in Chromium."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.scale import Scale
from tests.chromium import CHROMIUM, ROOT, launched
from tests.jupyter.lab import Lab, running

__all__ = ["TABS", "measure_clicks", "sections"]

TABS: Final = ("Overview", "Appliances", "Timeline", "Matrix", "Failures", "Durations")
PERIODS: Final = ("7 d", "90 d")

_TIMEOUT: Final = 60_000
"""Time after which a picture is taken to stay the same [ms]."""

_PICTURES: Final = ".backupkit-picture img:visible, canvas:visible"

_SOURCE: Final = """\
import sys, time
sys.path.insert(0, {root!r})
from backupkit.policy import Policy
from backupkit.tables import OBSERVATIONS
from backupkit.widgets import explore
from tests.benchmarks.explore import Frames
from tests.benchmarks.fleet import fleet_of

fleet = fleet_of({appliances}, {nights})
frames = Frames(fleet.jobs, fleet.polls, fleet.schedules, OBSERVATIONS.empty())
explorer = explore(frames, Policy(), now=fleet.end, last="90d")
explorer
"""

_CLICKED: Final = """async ([button, picture, timeout]) => {
  const attribute = picture.tagName === "IMG" ? "src" : "data-drawn";
  const before = picture.getAttribute(attribute), began = performance.now();
  const shown = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`the same picture ${timeout} ms after the click`)), timeout);
    const observer = new MutationObserver(async () => {
      if (picture.getAttribute(attribute) === before) return;
      observer.disconnect();
      await picture.decode?.();
      requestAnimationFrame(() => resolve(performance.now() - began));
    });
    observer.observe(picture, {attributes: true, attributeFilter: [attribute]});
  });
  button.click();
  return await shown;
}"""
"""How long it takes until the picture is another one, decoded and about to be painted [ms].

A canvas counts its drawings. A picture that stays the same is an error, as it would block the run.
"""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure fleets of three sizes."""
    if CHROMIUM is None:
        yield Section(
            "In the page: not measured, there is no chromium (apt install chromium)", {}, []
        )
        return
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        notebooks = Path(folder) / "notebooks"
        notebooks.mkdir()
        with running(browser, notebooks, Path(folder)) as lab:
            yield from measure_clicks(lab, notebooks, scale)


def measure_clicks(lab: Lab, notebooks: Path, scale: Scale) -> Iterator[Section]:
    """Measure in a JupyterLab that serves a folder of notebooks."""
    for appliances, nights in scale.explored:
        _write(notebooks / "page.ipynb", appliances, nights)
        yield _latency(lab, appliances * nights, scale.turns)


def _latency(lab: Lab, jobs: int, turns: int) -> Section:
    figures = []
    with lab.open("page.ipynb", shipped=False) as notebook:
        notebook.run_all(timeout=300)
        explorer = notebook.output("explorer")
        for tab in TABS:
            explorer.get_by_role("tab", name=tab).click()
            picture = explorer.locator(_PICTURES).first
            picture.wait_for()
            times: list[float] = []
            for number in range(2 * turns):
                button = explorer.get_by_role("button", name=PERIODS[number % 2], exact=True)
                parts: list[Any] = [button.element_handle(), picture.element_handle(), _TIMEOUT]
                times.append(notebook.page.evaluate(_CLICKED, parts))
                notebook.wait_idle(timeout=60)
            figures.append(Figure(f"{tab}: first picture in the page", median(times), "ms"))
    return Section(
        f"about {jobs:,} jobs explored in JupyterLab in Chromium, which share the machine: from a "
        f"click on a period to the new picture; median of {2 * turns}",
        {},
        figures,
    )


def _write(path: Path, appliances: int, nights: int) -> None:
    source = _SOURCE.format(root=str(ROOT), appliances=appliances, nights=nights)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "explorer",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"name": "python3", "display_name": "Python 3"}
    page = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(page), encoding="utf-8")
