"""Timeline that the page draws from arrays: `RunCanvas`; it needs anywidget."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import anywidget
import numpy as np
import numpy.typing as npt
import pandas as pd
import traitlets

from backupkit.errors import one_line
from backupkit.plots import themes
from backupkit.plots.running import RunningJob, find_shown_end
from backupkit.widgets.script import encode_themes, load_script
from backupkit.widgets.turns import in_turn

__all__ = ["RunCanvas", "encode_runs"]

_RANKS: Final = ("void", "success", "open", "other", "failure")
"""Outcomes from the least to the most serious, which covers the others."""

_HEIGHTS: Final = {"success": 12, "failure": 19}
_OTHER_HEIGHT: Final = 15

_COMPLETE: Final = 100
_NO_PROGRESS: Final = 255

_HELP: Final = (
    "Drag selects a span, a click an appliance. Ctrl and wheel zooms, Shift and drag moves, "
    "a double click shows all. Keys: arrows, Enter, +, -, 0."
)


class RunCanvas(anywidget.AnyWidget):
    """Timeline of runs with a row for each appliance, zoomed and searched in the page.

    Parameters
    ----------
    on_click : callable
        Called with the row of a click.
    on_brush : callable
        Called with start and end of a dragged span [UTC].
    describe : callable
        Returns more about the run at a position of the arrays.
    """

    _esm = load_script("runs.js")
    runs = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    help = traitlets.Unicode(_HELP).tag(sync=True)

    def __init__(
        self,
        *,
        on_click: Callable[[int], object],
        on_brush: Callable[[pd.Timestamp, pd.Timestamp], object],
        describe: Callable[[int], str],
    ) -> None:
        super().__init__()
        self._on_click, self._on_brush, self._describe = on_click, on_brush, describe
        self.on_msg(self._on_message)

    def show(self, runs: Mapping[str, Any], label: str) -> None:
        """Show the result of `encode_runs`; `label` is what a screen reader says of it."""
        with self.hold_sync():
            self.set_trait("label", label)
            self.set_trait("runs", dict(runs))

    def clear(self) -> None:
        """Remove all runs."""
        self.set_trait("runs", {})

    @in_turn
    def _on_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        kind = content.get("kind")
        if kind == "click":
            self._on_click(int(content["row"]))
        elif kind == "brush":
            start, end = (
                pd.Timestamp(float(content[name]), unit="ms", tz="UTC") for name in ("from", "to")
            )
            self._on_brush(start, end)
        elif kind == "describe":
            run = int(content["run"])
            if 0 <= run < len(self.runs.get("outcomes", b"")):
                self.send({"kind": "text", "run": run, "text": self._describe(run)})


def encode_runs(
    jobs: pd.DataFrame,
    slots: pd.DataFrame,
    *,
    rows: Sequence[str],
    start: pd.Timestamp,
    end: pd.Timestamp,
    running: Sequence[RunningJob] = (),
) -> dict[str, Any]:
    r"""Encode runs as arrays for the page.

    Parameters
    ----------
    jobs : DataFrame
        Reads ``appliance``, ``outcome``, ``start_time`` [UTC], ``end_time`` [UTC] and, if there,
        ``progress`` [%]. Each job has a start and its appliance a row.
    slots : DataFrame
        Reads ``appliance`` and ``slot`` [UTC] of appliances with a row.
    rows : sequence of str
        Appliances, from the top.
    start, end : Timestamp
        Period to show; `end` is the time of the progress of running jobs. The page also shows the
        estimated ends of running jobs.
    running : sequence of RunningJob
        Result of `backupkit.plots.running.find_running_jobs`.

    Returns
    -------
    dict
        Times in milliseconds since 1970 as ``float64``, rows as ``uint16``, positions in
        ``styles`` and progress [%] as ``uint8``, all as bytes, in the order of the jobs; besides
        labels, period, styles and the colours of both themes. A missing progress is 255.

    Examples
    --------
    >>> from backupkit.tables import JOBS, SLOTS
    >>> start, end = pd.Timestamp("2026-11-08", tz="UTC"), pd.Timestamp("2026-11-09", tz="UTC")
    >>> job = {"appliance": ["a"], "outcome": ["failure"], "start_time": ["2026-11-08T01:00Z"]}
    >>> runs = encode_runs(JOBS.frame(job), SLOTS.empty(), rows=["a"], start=start, end=end)
    >>> runs["labels"], runs["progress"], runs["styles"][runs["outcomes"][0]]["word"]
    (['a'], b'\xff', 'failed')
    """
    names = list(themes.OUTCOME_STYLES)
    return {
        "rows": _find_rows(jobs, rows).tobytes(),
        "starts": _to_milliseconds(jobs["start_time"]).tobytes(),
        "ends": _to_milliseconds(jobs["end_time"]).tobytes(),
        "outcomes": _find_codes(jobs["outcome"], names, names.index("other"))
        .astype("uint8")
        .tobytes(),
        "progress": _encode_progress(jobs).tobytes(),
        "slot_rows": _find_rows(slots, rows).tobytes(),
        "slots": _to_milliseconds(slots["slot"]).tobytes(),
        "labels": [one_line(name, limit=60) for name in rows],
        "start": _to_float(start),
        "now": _to_float(end),
        "end": _to_float(find_shown_end(running, start, end) or end),
        "running": [
            {
                "run": int(job.place),
                "end": None if job.end is None else max(_to_float(job.end), _to_float(end)),
                "earliest": None if job.earliest is None else _to_float(job.earliest),
                "latest": None if job.latest is None else _to_float(job.latest),
                "text": job.describe(end),
                "alarm": bool(job.remark),
            }
            for job in running
        ],
        "styles": [
            {
                "name": name,
                "word": one.label,
                "rank": _RANKS.index(name),
                "height": _HEIGHTS.get(name, _OTHER_HEIGHT),
            }
            for name, one in themes.OUTCOME_STYLES.items()
        ],
        "themes": encode_themes(),
    }


def _to_float(time: pd.Timestamp) -> float:
    """Return a time in milliseconds since 1970."""
    return 1_000 * time.timestamp()


def _find_codes(values: pd.Series, names: Sequence[str], default: int) -> npt.NDArray[np.intp]:
    """Return the position of each value in `names`; `default` where it is not there."""
    codes, uniques = pd.factorize(values)
    positions = pd.Index(names).get_indexer(pd.Index(uniques.astype("str")))
    found: npt.NDArray[np.intp] = np.append(positions, -1)[codes]
    return np.where(found < 0, default, found)


def _find_rows(frame: pd.DataFrame, rows: Sequence[str]) -> npt.NDArray[np.uint16]:
    return _find_codes(frame["appliance"], rows, 0).astype("uint16")


def _to_milliseconds(times: pd.Series) -> npt.NDArray[np.float64]:
    """Return times in milliseconds since 1970; NaN where one is missing."""
    values = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    return np.where(np.isnat(values), np.nan, values.astype("int64") / 1_000)


def _encode_progress(jobs: pd.DataFrame) -> npt.NDArray[np.uint8]:
    if "progress" not in jobs:
        return np.full(len(jobs), _NO_PROGRESS, dtype="uint8")
    progress = jobs["progress"].to_numpy("float64", na_value=np.nan)
    usable = (progress >= 0) & (progress <= _COMPLETE)
    return np.where(usable, progress, _NO_PROGRESS).astype("uint8")
