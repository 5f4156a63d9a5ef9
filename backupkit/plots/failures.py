"""Why jobs failed: the signatures that account for most of it."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backupkit.plots import style

__all__ = ["failures"]


def failures(failures: pd.DataFrame, *, ax: Axes | None = None, limit: int = 10) -> Axes:
    """Draw the failure signatures as a Pareto chart: jobs as bars, cumulative share as a line.

    Parameters
    ----------
    failures : DataFrame
        Reads ``signature``, ``jobs`` and ``appliances`` of `backupkit.tables.FAILURES`.
    ax : Axes, optional
        Where to draw; a new figure by default.
    limit : int
        The most signatures to draw; the others share the last bar.

    Returns
    -------
    Axes
        With one bar per signature, the most frequent on top; the figure gets a second,
        horizontal axis for the share [%].

    Examples
    --------
    >>> from backupkit.tables import FAILURES
    >>> ax = failures(FAILURES.frame({"signature": ["disk full"], "jobs": [3], "appliances": [2]}))
    >>> float(ax.patches[0].get_width())
    3.0
    """
    ranked = failures.sort_values("jobs", ascending=False, kind="stable")
    top, rest = ranked.iloc[:limit], ranked.iloc[limit:]
    with style.context():
        ax = style.axes(ax, height=1.3 + 0.34 * max(len(top) + (len(rest) > 0), 2))
        if ranked.empty:
            return style.say(ax, "No backup job failed in this period")
        labels = [str(text) for text in top["signature"].fillna("(no message)")]
        counts = top["jobs"].astype("float64").tolist()
        remarks = [
            f"{count:,.0f} ({_appliances(hit)})"
            for count, hit in zip(counts, top["appliances"], strict=True)
        ]
        if len(rest):
            labels.append(f"{len(rest):,} other signature{'s' if len(rest) > 1 else ''}")
            counts.append(float(rest["jobs"].sum()))
            remarks.append(f"{counts[-1]:,.0f}")
        _draw(ax, labels, counts, remarks)
    return ax


def _draw(ax: Axes, labels: list[str], counts: list[float], remarks: list[str]) -> None:
    look = style.OUTCOME_LOOKS["failure"]
    places = list(range(len(labels)))
    ax.barh(places, counts, height=0.62, color=look.colour, label="failed jobs")
    # bars and line share the left part, so that neither ever crosses the remarks at the right
    for place, remark in zip(places, remarks, strict=True):
        ax.text(
            1,
            place,
            remark,
            color=style.MUTED,
            fontsize=8,
            ha="right",
            va="center",
            transform=ax.get_yaxis_transform(),
        )
    style.row_labels(ax, labels, width=58)
    ax.set_xlim(0, max(counts) * 1.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    ax.set_xlabel("failed jobs")
    ax.grid(axis="x")
    total = sum(counts)
    share = (100 * pd.Series(counts).cumsum() / total).tolist()
    twin = ax.twiny()
    twin.plot(share, places, color=style.INK, marker="D", ms=4, lw=1, label="cumulative share")
    twin.set_xlim(0, 130)
    twin.set_xticks([0, 25, 50, 75, 100])
    twin.set_xlabel("cumulative share of failed jobs (%)")
    twin.spines["top"].set_visible(True)


def _appliances(count: int) -> str:
    return "1 appliance" if count == 1 else f"{count:,} appliances"
