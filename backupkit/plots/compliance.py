"""Expected runs by appliance and day: what became of each night."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from backupkit.plots import style

__all__ = ["matrix", "nights"]


def nights(slots: pd.DataFrame) -> pd.DataFrame:
    """Fold expected runs into one state per appliance and day, the most serious of the day.

    Parameters
    ----------
    slots : DataFrame
        Reads ``appliance``, ``slot`` [UTC] and ``state`` of `backupkit.tables.SLOTS`.

    Returns
    -------
    DataFrame of str
        One row per appliance, the most missed days first; one column per UTC day from the first
        slot's to the last's; missing where no run was expected.

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
    names = list(style.SLOT_LOOKS)
    code = pd.Series(pd.Categorical(slots["state"], categories=names).codes, index=slots.index)
    known = slots["slot"].notna() & (code >= 0)
    if not known.any():
        return pd.DataFrame(dtype="str", index=pd.Index([], name="appliance"))
    day = slots.loc[known, "slot"].dt.floor("D")
    worst = (
        pd.DataFrame({"appliance": slots["appliance"], "day": day, "code": code})
        .loc[known]
        .pivot_table(index="appliance", columns="day", values="code", aggfunc="min")
    )
    every_day = pd.date_range(worst.columns.min(), worst.columns.max(), freq="D", name="day")
    worst = worst.reindex(columns=every_day)
    missed = worst.lt(names.index("unknown")).sum(axis=1)
    unknown = worst.eq(names.index("unknown")).sum(axis=1)
    order = np.lexsort((worst.index, -unknown, -missed))
    cells = worst.fillna(-1).to_numpy(dtype=np.int64)[order]
    states = np.array([*names, None], dtype=object)[cells]
    return pd.DataFrame(states, index=worst.index[order], columns=every_day, dtype="str")


def matrix(slots: pd.DataFrame, *, ax: Axes | None = None, limit: int = 40) -> Axes:
    """Draw one symbol per appliance and day, the appliances with the most missed days on top.

    Parameters
    ----------
    slots : DataFrame
        Reads ``appliance``, ``slot`` [UTC] and ``state`` of `backupkit.tables.SLOTS`.
    ax : Axes, optional
        Where to draw; a new figure by default.
    limit : int
        The most rows to draw; the rest is counted in a caption.

    Returns
    -------
    Axes
        With one line of markers per slot state.

    Examples
    --------
    >>> from backupkit.tables import SLOTS
    >>> ax = matrix(
    ...     SLOTS.frame({"appliance": ["vc-1"], "state": ["met"], "slot": ["2026-11-08T01:00Z"]})
    ... )
    >>> [line.get_label() for line in ax.lines]
    ['met']
    """
    table = nights(slots)
    shown = table.iloc[:limit]
    with style.context():
        ax = style.axes(ax, height=1.5 + 0.24 * max(len(shown), 3))
        if table.empty:
            return style.say(ax, "No backup run was expected in this period")
        cells = shown.to_numpy()
        for state, look in style.SLOT_LOOKS.items():
            row, column = np.nonzero(cells == state)
            if len(row):
                ax.add_line(_markers(style.days(shown.columns[column].to_series()), row, look))
        style.row_labels(ax, [str(name) for name in shown.index], width=32)
        style.time_axis(ax)
        first, last = style.days(shown.columns[[0, -1]].to_series())
        ax.set_xlim(first - 0.7, last + 0.7)
        ax.set_xlabel("day of the expected run (UTC)")
        ax.tick_params(length=0)
        ax.grid(axis="y")
        style.heading(ax, "Expected runs, day by day", list(ax.lines))
        more = len(table) - len(shown)
        style.note(ax, f"and {more:,} more, with fewer missed days, not drawn" if more else "")
    return ax


def _markers(x: pd.Series, y: np.ndarray, look: style.Look) -> Line2D:
    return Line2D(
        x.to_numpy(),
        y,
        linestyle="none",
        marker=look.marker,
        fillstyle=look.fill,
        markersize=6.5,
        color=look.colour,
        markerfacecoloralt="white",
        label=look.label,
    )
