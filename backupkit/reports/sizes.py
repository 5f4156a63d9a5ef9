"""View models of unusual durations and sizes, and of backup growth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.api.typing import NAType

from backupkit import plots
from backupkit.assessment import Assessment
from backupkit.display.format import format_duration, format_timestamp, ratio, sanitise, size
from backupkit.reports.facts import Growth, Link, Outlier, Sizes
from backupkit.reports.figures import embed_figure

__all__ = ["sizes_of"]

_OUTLIERS = 25
_GROWTHS = 10
_DRAWN = 6  # appliances; of more, the figure draws rows instead of series
_BASELINE_JOBS = 10
_MIN_GROWTH = 0.05
_KINDS = {"duration": "duration", "size": "size", "overrun": "still running", "stall": "stalled"}


def sizes_of(assessment: Assessment, links: Mapping[str, Link]) -> Sizes:
    """Return the unusual jobs, and the appliances whose backups grow.

    Parameters
    ----------
    assessment : Assessment
        Reads its anomalies, baselines and jobs.
    links : mapping of str to Link
        Link to each appliance's row, by name.

    Returns
    -------
    Sizes
        Outliers, the newest first, and a figure of the appliances with most of them.
    """
    anomalies = assessment.anomalies.sort_values("start_time", ascending=False, kind="stable")
    baselines = assessment.baselines
    complete = int(baselines["sample_size"].ge(_BASELINE_JOBS).sum())
    baseline_note = (
        f"A baseline needs {_BASELINE_JOBS} successes: "
        f"{ratio(complete, len(baselines), 'appliances')} have it."
    )
    if anomalies.empty:
        finding, figure = "No job was unusually long, short, large or small.", None
    else:
        counts = anomalies["appliance"].value_counts()
        finding = (
            f"{len(anomalies):,} unusual job{'s' if len(anomalies) != 1 else ''}, most of "
            f"{links[counts.index[0]].name} ({counts.iloc[0]:,} of {len(anomalies):,})."
        )
        jobs = assessment.jobs
        ended = jobs["start_time"].between(assessment.start, assessment.end, inclusive="left")
        worst = jobs[ended & jobs["appliance"].isin(counts.index[:_DRAWN])]
        ax = plots.durations(worst, anomalies=anomalies, limit=_DRAWN)
        figure = embed_figure(ax, f"How long the jobs of the most unusual took. {finding}")
    growing = baselines[baselines["growth_share"].gt(_MIN_GROWTH).fillna(value=False)]
    shares = growing["growth_share"].to_numpy(dtype=np.float64)
    return Sizes(
        picture=figure,
        finding=finding,
        outliers=tuple(_outlier(row, links) for _, row in anomalies.head(_OUTLIERS).iterrows()),
        outliers_omitted=max(len(anomalies) - _OUTLIERS, 0),
        growths=tuple(
            Growth(
                appliance=links[str(name)],
                typical_size=_bytes(row["typical_size"]),
                share=f"{_bytes(row['growth'] * 30)} in 30 days",
                footprint=size(row["footprint"]),
            )
            for name, row in growing.iloc[np.argsort(-shares, kind="stable")][:_GROWTHS].iterrows()
        ),
        baseline_note=baseline_note,
    )


def _outlier(row: pd.Series, links: Mapping[str, Link]) -> Outlier:
    in_bytes = row["kind"] == "size"

    def format_value(value: float) -> str:
        return _bytes(value) if in_bytes else _seconds(value)

    return Outlier(
        appliance=links[row["appliance"]],
        start=format_timestamp(row["start_time"]),
        kind=_KINDS[row["kind"]],
        value=format_value(row["value"]),
        typical=format_value(row["typical"]),
        rule=sanitise(row["rule"], limit=200),
    )


def _bytes(value: float | NAType) -> str:
    return size(pd.NA if pd.isna(value) else round(value))


def _seconds(value: float | NAType) -> str:
    return format_duration(pd.NaT if pd.isna(value) else pd.Timedelta(seconds=value))
