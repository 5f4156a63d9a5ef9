"""View models of unusual durations and sizes, and of backup growth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.api.typing import NAType

from backupkit import plots
from backupkit.assessment import Assessment
from backupkit.display.wording import format_duration, format_timestamp, ratio, sanitise, size
from backupkit.report.facts import Growth, Link, Outlier, Sizes
from backupkit.report.figures import embed_figure

__all__ = ["sizes_of"]

_OUTLIERS = 25
_GROWTHS = 10
_DRAWN = 6  # appliances; of more, the figure draws rows instead of series
_LEARNT = 10
_GROWN = 0.05
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
    found = assessment.anomalies.sort_values("start_time", ascending=False, kind="stable")
    base = assessment.baselines
    learnt = int(base["learnt"].ge(_LEARNT).sum())
    told = (
        f"A baseline needs {_LEARNT} successes: {ratio(learnt, len(base), 'appliances')} have it."
    )
    if found.empty:
        finding, shown = "No job was unusually long, short, large or small.", None
    else:
        counts = found["appliance"].value_counts()
        finding = (
            f"{len(found):,} unusual job{'s' if len(found) != 1 else ''}, most of "
            f"{links[counts.index[0]].name} ({counts.iloc[0]:,} of {len(found):,})."
        )
        jobs = assessment.jobs
        ended = jobs["start_time"].between(assessment.start, assessment.end, inclusive="left")
        worst = jobs[ended & jobs["appliance"].isin(counts.index[:_DRAWN])]
        drawn = plots.durations(worst, anomalies=found, limit=_DRAWN)
        shown = embed_figure(drawn, f"How long the jobs of the most unusual took. {finding}")
    grown = base[base["growth_share"].gt(_GROWN).fillna(value=False)]
    order = grown["growth_share"].to_numpy(dtype=np.float64)
    return Sizes(
        picture=shown,
        finding=finding,
        outliers=tuple(_outlier(row, links) for _, row in found.head(_OUTLIERS).iterrows()),
        outliers_more=max(len(found) - _OUTLIERS, 0),
        growths=tuple(
            Growth(
                appliance=links[str(name)],
                typical=_bytes(row["typical_size"]),
                share=f"{_bytes(row['growth'] * 30)} in 30 days",
                footprint=size(row["footprint"]),
            )
            for name, row in grown.iloc[np.argsort(-order, kind="stable")][:_GROWTHS].iterrows()
        ),
        learnt=told,
    )


def _outlier(row: pd.Series, links: Mapping[str, Link]) -> Outlier:
    in_bytes = row["kind"] == "size"

    def words(value: float) -> str:
        return _bytes(value) if in_bytes else _seconds(value)

    return Outlier(
        appliance=links[row["appliance"]],
        start=format_timestamp(row["start_time"]),
        kind=_KINDS[row["kind"]],
        value=words(row["value"]),
        typical=words(row["typical"]),
        rule=sanitise(row["rule"], limit=200),
    )


def _bytes(value: float | NAType) -> str:
    return size(pd.NA if pd.isna(value) else round(value))


def _seconds(value: float | NAType) -> str:
    return format_duration(pd.NaT if pd.isna(value) else pd.Timedelta(seconds=value))
