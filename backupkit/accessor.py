"""``frame.backup``: pictures and counts of any frame of jobs, in one line.

It is there as soon as a name of backupkit is used and pandas is loaded. ``import
backupkit.accessor`` is enough, too.
"""

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from backupkit.errors import TableError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BackupAccessor"]

_HELP: Final = "a.jobs of an assessment has them."
_PATTERNS: Final = ("signature", "jobs", "appliances")
_TIMES: Final[Mapping[str, Callable[[pd.Series], pd.Series]]] = MappingProxyType(
    {
        "hour": lambda times: times.dt.strftime("%H:00"),
        "day": lambda times: times.dt.strftime("%Y-%m-%d"),
        "week": lambda times: (times - pd.to_timedelta(times.dt.day_of_week, unit="D")).dt.strftime(
            "%Y-%m-%d"
        ),
        "month": lambda times: times.dt.strftime("%Y-%m"),
    }
)
"""The text of each time, by the name of a key."""


@pd.api.extensions.register_dataframe_accessor("backup")
class BackupAccessor:
    """Pictures and counts of a frame of jobs, such as ``a.jobs`` or a selection of its rows.

    Examples
    --------
    >>> from backupkit import evaluate, sample
    >>> history, policy, now = sample()
    >>> jobs = evaluate(history, policy, last="30d", now=now).jobs
    >>> jobs[jobs["in_period"]].backup.by("site")["failures"].to_dict()
    {'Hamburg': 8, 'New York': 1, 'Tokyo': 30}
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def timeline(self, **options: Any) -> "Axes":  # noqa: ANN401 # those of the plot
        """Draw each job as a bar in the row of its appliance.

        Parameters
        ----------
        **options
            As in `backupkit.plots.timeline`, such as ``ax``, ``slots`` or ``limit``.

        Returns
        -------
        Axes
            That of `backupkit.plots.timeline`.

        Raises
        ------
        TableError
            If the frame lacks appliance, outcome, start_time or end_time.
        """
        from backupkit.plots import timeline  # noqa: PLC0415 # matplotlib is slow to load

        self._require("appliance", "outcome", "start_time", "end_time")
        return timeline(self._frame, **options)

    def failures(self, **options: Any) -> "Axes":  # noqa: ANN401 # those of the plot
        """Draw the error patterns of the failed jobs, the most frequent on top.

        Parameters
        ----------
        **options
            As in `backupkit.plots.failures`, such as ``ax`` or ``limit``.

        Returns
        -------
        Axes
            That of `backupkit.plots.failures`. A frame that already has jobs and appliances of
            each signature, such as ``a.failures``, is drawn as it is.

        Raises
        ------
        TableError
            If the frame lacks appliance, outcome or signature.
        """
        from backupkit.plots import failures  # noqa: PLC0415 # matplotlib is slow to load

        if self._frame.columns.isin(_PATTERNS).sum() == len(_PATTERNS):
            return failures(self._frame, **options)
        self._require("appliance", "outcome", "signature")
        failed = self._frame[self._frame["outcome"] == "failure"]
        groups = failed.fillna({"signature": "(no message)"}).groupby("signature")["appliance"]
        counts = groups.agg(jobs="size", appliances="nunique").reset_index()
        return failures(counts, **options)

    def by(self, *keys: str) -> pd.DataFrame:
        """Count the jobs by columns, or by hour, day, week or month.

        Parameters
        ----------
        *keys : str
            Names of columns, such as ``"site"`` or ``"cause_name"``, or hour, day, week (named by
            its Monday) or month. These times are in UTC: the job's end, or its start while it runs.

        Returns
        -------
        DataFrame
            One row for each combination that occurs, sorted, with the keys as index. ``jobs`` and
            ``failures`` are counts, ``success_share`` is successes / (successes + failures). If the
            frame has the columns, there are also ``size``, the sum [bytes], and ``duration``, the
            median of the successes.

        Raises
        ------
        TableError
            If there is no key, or if the frame lacks the column outcome, a key, or, for a time,
            start_time or end_time, or if these are times without a zone.
        """
        if not keys:
            raise TableError(
                f'by(): name at least one column or time, such as by("site", "week"). '
                f"Times: {', '.join(_TIMES)}."
            )
        times = [key for key in keys if key in _TIMES and key not in self._frame]
        self._require(
            *(key for key in keys if key not in times),
            "outcome",
            *(("start_time", "end_time") if times else ()),
        )
        frame = self._frame
        groups = {key: frame[key] for key in keys if key not in times}
        if times:
            moments = frame["end_time"].fillna(frame["start_time"])
            if getattr(moments.dt, "tz", None) is None:
                raise TableError(
                    f'by("{times[0]}"): start_time and end_time have no time zone. Name it, such as'
                    ' frame["end_time"] = frame["end_time"].dt.tz_localize("UTC").'
                )
            moments = moments.dt.tz_convert("UTC")
            groups |= {key: _TIMES[key](moments) for key in times}
        success, failure = frame["outcome"] == "success", frame["outcome"] == "failure"
        facts = {"jobs": np.ones(len(frame), dtype=np.int64), "failures": failure, "ok": success}
        if "size" in frame:
            facts["size"] = frame["size"]
        if "duration" in frame:
            facts["duration"] = frame["duration"].where(success)
        rows = pd.DataFrame(facts, index=frame.index)
        by = rows.groupby([groups[key].rename(key) for key in keys], dropna=False)
        counts = by[["jobs", "failures"]].sum().astype("Int64")
        succeeded = by["ok"].sum().astype("Float64")
        attempts = succeeded + counts["failures"]
        counts["success_share"] = (succeeded / attempts).where(attempts > 0)
        if "size" in frame:
            counts["size"] = by["size"].sum(min_count=1)
        if "duration" in frame:
            counts["duration"] = by["duration"].median()
        return counts

    def _require(self, *names: str) -> None:
        missing = [name for name in dict.fromkeys(names) if name not in self._frame]
        if missing:
            noun = "column is" if len(missing) == 1 else "columns are"
            listed = ", ".join(map(repr, missing))
            close = difflib.get_close_matches(missing[0], [*map(str, self._frame), *_TIMES], n=1)
            hint = f'did you mean "{close[0]}"?' if close else _HELP
            raise TableError(f"backup: the {noun} missing: {listed}; {hint}")
