"""Matrix of slot states by appliance and day."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from backupkit.errors import TableError
from backupkit.plots import style, themes, time_axis
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.style import Floats
from backupkit.tables import MISSED_SLOTS, SLOT_STATES

__all__ = ["CELL_STYLES", "matrix", "nights"]

_COLUMNS: Final = ("appliance", "slot", "state")
_UNDECIDED: Final = ("unknown", "late", "rescued", "pending")
CELL_STYLES: Final[Mapping[str, themes.StatusStyle]] = MappingProxyType(
    {
        **{state: themes.SLOT_STYLES[state] for state in MISSED_SLOTS},
        "breach": themes.StatusStyle(
            "in breach (no run expected)", "!", themes.ORANGE, marker="$!$"
        ),
        **{state: themes.SLOT_STYLES[state] for state in themes.SLOT_STYLES if state in _UNDECIDED},
        "unobserved": themes.StatusStyle(
            "not observed", "◇", themes.PURPLE, marker="d", fill="none"
        ),
        "compliant": themes.StatusStyle(
            "compliant (no run expected)", "▪", themes.BLUE, marker="s"
        ),
        **{state: themes.SLOT_STYLES[state] for state in ("met", "excluded")},
    }
)
"""Style of a slot state, or of an appliance's state without a slot, the most serious first."""

Codes = npt.NDArray[np.int8]
Rows = npt.NDArray[np.intp]

_MAX_SYMBOLS = 10_000
"""Maximum number of cells to draw as symbols; more are drawn as an image."""


def nights(slots: pd.DataFrame, intervals: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the most serious slot state of each appliance and day.

    Parameters
    ----------
    slots : DataFrame
        Reads ``appliance``, ``slot`` [UTC] and ``state`` of `backupkit.tables.SLOTS`.
    intervals : DataFrame, optional
        States over time, of `backupkit.tables.INTERVALS`. Then there is also a row for each
        appliance without a slot, with its most serious state of each day: breach, unknown,
        unobserved, compliant or excluded.

    Returns
    -------
    DataFrame of str
        One row per appliance, the most days missed or in breach first. One column per UTC day: of
        all intervals, else from the first slot to the last. Missing on days without a slot.

    Examples
    --------
    >>> from backupkit.tables import SLOTS
    >>> nights(
    ...     SLOTS.frame(
    ...         {
    ...             "appliance": ["vc-1"] * 2,
    ...             "state": ["met", "missed_norun"],
    ...             "slot": ["2026-11-08T01:00Z", "2026-11-08T13:00Z"],
    ...         }
    ...     )
    ... ).iloc[0, 0]
    'missed_norun'
    """
    appliances, days, codes = _find_worst_of_days(slots, intervals)
    states = np.array([*CELL_STYLES, None], dtype=object)[codes]
    return pd.DataFrame(states, index=appliances, columns=days, dtype="str")


def _find_worst_of_days(
    slots: pd.DataFrame, intervals: pd.DataFrame | None
) -> tuple[pd.Index, pd.DatetimeIndex, Codes]:
    """Return appliances, days, and the state code of each cell.

    A code is a position in `CELL_STYLES`; the one after the last means no slot.
    """
    cells = [_list_slot_cells(slots)]
    if intervals is not None:
        cells.append(_list_interval_cells(intervals, without=cells[0]["appliance"]))
    table = pd.concat(cells, ignore_index=True)
    if table.empty:
        empty = pd.Index([], dtype="str", name="appliance")
        return empty, pd.DatetimeIndex([], tz="UTC", name="day"), np.empty((0, 0), dtype=np.int8)
    day = table["day"]
    first, last = day.min(), day.max()
    if intervals is not None and len(intervals):
        first = min(first, intervals["start"].min().floor("D"))
        last = max(last, _find_last_day(intervals["end"].max()))
    days = pd.date_range(first, last, freq="D", name="day")
    column = ((day - first) // pd.Timedelta(days=1)).to_numpy()
    row, uniques = pd.factorize(table["appliance"])
    flat = np.full(len(uniques) * len(days), len(CELL_STYLES), dtype=np.int8)
    np.minimum.at(flat, row * len(days) + column, table["code"].to_numpy())
    worst = flat.reshape(len(uniques), len(days))
    unknown_code = list(CELL_STYLES).index("unknown")
    missed, unknown = (worst < unknown_code).sum(axis=1), (worst == unknown_code).sum(axis=1)
    rows = pd.Index(uniques, dtype="str", name="appliance")
    order = np.lexsort((rows.to_numpy(dtype=object), -unknown, -missed))
    return rows[order], days, worst[order]


def _list_slot_cells(slots: pd.DataFrame) -> pd.DataFrame:
    """Return appliance, day and code of each slot."""
    code = _to_cell_codes(slots["state"])
    known = slots["slot"].notna().to_numpy() & (code >= 0)
    return pd.DataFrame(
        {
            "appliance": slots["appliance"][known].astype("str"),
            "day": slots["slot"][known].dt.floor("D"),
            "code": code[known],
        }
    )


def _list_interval_cells(intervals: pd.DataFrame, *, without: pd.Series) -> pd.DataFrame:
    """Return appliance, day and code of each day of an interval, of appliances without slots."""
    names = intervals["appliance"].astype("str")
    rows = intervals[~names.isin(without).to_numpy()]
    first, last = rows["start"].dt.floor("D"), _find_last_day(rows["end"])
    number = ((last - first) // pd.Timedelta(days=1)).to_numpy() + 1
    repeated = np.repeat(np.arange(len(rows)), number)
    step = np.arange(len(repeated)) - np.repeat(np.cumsum(number) - number, number)
    return pd.DataFrame(
        {
            "appliance": rows["appliance"].astype("str").iloc[repeated].reset_index(drop=True),
            "day": first.iloc[repeated].reset_index(drop=True) + pd.to_timedelta(step, unit="D"),
            "code": _to_cell_codes(rows["state"])[repeated],
        }
    )


def _find_last_day(end: Any) -> Any:  # noqa: ANN401 # a time or a column of times
    """Return the UTC day before an exclusive end."""
    before = end - pd.Timedelta(microseconds=1)
    return before.dt.floor("D") if isinstance(before, pd.Series) else before.floor("D")


def _to_cell_codes(states: pd.Series) -> Codes:
    codes: Codes = pd.Categorical(states, categories=list(CELL_STYLES)).codes
    return codes


def matrix(
    slots: Source,
    *,
    ax: Axes | None = None,
    states: pd.Series | None = None,
    intervals: pd.DataFrame | None = None,
    limit: int = 40,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw one symbol per appliance and day, the appliances with the most missed days on top.

    Parameters
    ----------
    slots : Assessment or DataFrame
        An assessment also gives states and intervals. A frame has ``appliance``, ``slot`` [UTC]
        and ``state`` of `backupkit.tables.SLOTS`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    states : Series of str, optional
        State of each appliance in the order of the rows, such as ``a.appliances["state"]``. The
        caption counts the states of the rows that are not drawn.
    intervals : DataFrame, optional
        As in `nights`: appliances without a slot get the symbols of their own states.
    limit : int
        Maximum number of rows to draw; a caption counts the rest.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one line of markers per slot state; row n is at y = n. Above 10,000 cells, with one
        image instead.

    Examples
    --------
    >>> from backupkit.tables import SLOTS
    >>> ax = matrix(
    ...     SLOTS.frame({"appliance": ["vc-1"], "state": ["met"], "slot": ["2026-11-08T01:00Z"]})
    ... )
    >>> [line.get_label() for line in ax.lines]
    ['met']
    """
    assessed = find_assessment(slots, "matrix", "a.slots")
    if assessed is not None:
        slots = assessed.slots
        states = assessed.figures["state"] if states is None else states
        intervals = assessed.intervals if intervals is None else intervals
    slots = check_columns(slots, _COLUMNS, "matrix", "a.slots")
    if len(slots) and not slots["state"].isin(SLOT_STATES).any():  # of jobs
        raise TableError(
            "plots.matrix: the states are not those of slots, such as met and missed_failed. "
            "Call plots.matrix(a) or plots.matrix(a.slots)."
        )
    if intervals is not None:
        columns = ("appliance", "state", "start", "end")
        check_columns(intervals, columns, "matrix", "a.intervals", argument="intervals")
    if states is not None:
        drawn = list(states.index[:limit])
        slots = slots[slots["appliance"].isin(drawn)]
        if intervals is not None:
            intervals = intervals[intervals["appliance"].isin(drawn)]
    appliances, days, codes = _find_worst_of_days(slots, intervals)
    order = [str(name) for name in (appliances if states is None else states.index)]
    drawn_names = order[:limit]
    with style.apply_style(theme) as active_theme:
        height = 1.5 + style.compute_height(max(len(drawn_names), 3))
        ax = style.prepare_axes(ax, height=height, figsize=figsize)
        if appliances.empty:
            return style.draw_message(ax, "No backup run was expected in this period")
        # the last row, index -1, is for appliances without slots
        codes = np.vstack([codes, np.full(len(days), len(CELL_STYLES), dtype=np.int8)])
        codes = codes[appliances.get_indexer(pd.Index(drawn_names))]
        day_numbers = time_axis.to_day_numbers(days)
        draw = _draw_image if codes.size > _MAX_SYMBOLS else _draw_markers
        handles = draw(ax, day_numbers, codes, active_theme)
        style.label_rows(ax, drawn_names, width=32)
        time_axis.format_time_axis(ax)
        ax.set_xlim(day_numbers[0] - 0.7, day_numbers[-1] + 0.7)
        ax.set_xlabel("day of the expected run (UTC)")
        ax.tick_params(length=0)
        ax.grid(axis="y")
        style.draw_title_and_legend(ax, "Expected runs, day by day", handles)
        omitted = len(order) - len(drawn_names)
        style.draw_caption(ax, style.count_omitted(omitted, "with fewer missed days", states))
    return ax


def _draw_markers(ax: Axes, days: Floats, codes: Codes, active_theme: themes.Theme) -> list[Artist]:
    for code, status_style in enumerate(CELL_STYLES.values()):
        row, column = np.nonzero(codes == code)
        if len(row):
            ax.add_line(_build_marker_line(days[column], row, status_style, active_theme))
    return list(ax.lines)


def _draw_image(ax: Axes, days: Floats, codes: Codes, active_theme: themes.Theme) -> list[Artist]:
    """Draw each cell as a coloured pixel of an image."""
    status_styles = list(CELL_STYLES.values())
    colours = [
        *(active_theme.of(status_style.colour) for status_style in status_styles),
        active_theme.paper,
    ]
    rgb = (255 * np.array([to_rgb(colour) for colour in colours])).round().astype(np.uint8)
    ax.imshow(
        rgb[codes],
        aspect="auto",
        interpolation="nearest",
        extent=(days[0] - 0.5, days[-1] + 0.5, len(codes) - 0.5, -0.5),
        zorder=2,
    )
    labels: dict[str, list[str]] = {}  # states that share a colour share a legend entry
    for code, status_style in enumerate(status_styles):
        if (codes == code).any():
            labels.setdefault(colours[code], []).append(status_style.label)
    return [Patch(facecolor=colour, label=" / ".join(texts)) for colour, texts in labels.items()]


def _build_marker_line(
    x: Floats, y: Rows, status_style: themes.StatusStyle, active_theme: themes.Theme
) -> Line2D:
    return Line2D(
        x,
        y,
        linestyle="none",
        marker=status_style.marker,
        fillstyle=status_style.fill,
        markersize=6.5,
        color=active_theme.of(status_style.colour),
        markerfacecoloralt=active_theme.paper,
        label=status_style.label,
    )
