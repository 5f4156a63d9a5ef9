"""Jobs as an assessment lists them, with a remark on what is odd about each."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.analysis.arrays import NO_SPAN, Flags, Times, to_times
from backupkit.analysis.clocks import Clocks
from backupkit.analysis.jobs import mark_implausible_times
from backupkit.display.format import format_count
from backupkit.errors import one_line

__all__ = ["describe_jobs"]


def describe_jobs(
    jobs: pd.DataFrame, clocks: Clocks | pd.Series, *, local: Flags | None = None
) -> pd.DataFrame:
    """Return jobs without the times that cannot be right, and with a remark.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    clocks : Clocks or Series of timedelta64
        The clocks of every appliance in `jobs`, or the result of `skew_corrections`.
    local : array of bool, optional
        Result of `local_backups`.

    Returns
    -------
    DataFrame
        A copy with the column ``remark``. Its times are by the clock of the appliance.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> day = pd.to_datetime(["1970-01-01T00:00Z"])
    >>> jobs = JOBS.frame({"appliance": ["a"], "outcome": ["failure"], "start_time": day})
    >>> skew = pd.Series(pd.to_timedelta(["0h"]), index=["a"])
    >>> describe_jobs(jobs, skew)["remark"].to_list()
    ['start 1970-01-01 00:00 UTC is not plausible']
    """
    marks = mark_implausible_times(jobs, clocks)
    known = jobs.assign(**{name: jobs[name].mask(marks[name]) for name in marks})
    start, end = to_times(known["start_time"]), to_times(known["end_time"])
    is_backwards = end < start
    remarks: defaultdict[int, list[str]] = defaultdict(list)
    unread = jobs["read_error"].dropna()
    for row, text in zip(_rows(jobs["read_error"].notna()), unread, strict=True):
        remarks[row].append(one_line(text))
    for name, word in (("start_time", "start"), ("end_time", "end")):
        times = to_times(jobs[name])
        for row in _rows(marks[name]):
            remarks[row].append(f"{word} {_format_minute(times[row])} is not plausible")
    for row in _rows(is_backwards):
        remarks[row].append(f"end {_format_minute(end[row])} is before the start")
    is_unknown = jobs["outcome"].eq("other") & jobs["status"].notna()
    for row, word in zip(_rows(is_unknown), jobs["status"][is_unknown], strict=True):
        remarks[row].append(f"state not known: {one_line(word, limit=40)}")
    counts = pc.list_value_length(pa.array(jobs["messages"].array)).fill_null(0).to_numpy()
    for row in _rows(jobs["outcome"].eq("success").to_numpy() & (counts > 0)):
        remarks[row].append(f"succeeded with {format_count(counts[row], 'message')}")
    for row in _rows([] if local is None else local):
        remarks[row].append("saved on the appliance itself: no recovery point")
    texts = pd.Series({row: "; ".join(parts) for row, parts in remarks.items()}, dtype="str")
    duration = np.where(is_backwards, NO_SPAN, end - start)
    return known.assign(
        duration=pd.Series(duration, index=jobs.index),
        remark=texts.reindex(range(len(jobs))).set_axis(jobs.index),
    )


def _rows(chosen: npt.ArrayLike) -> list[int]:
    rows: list[int] = np.flatnonzero(chosen).tolist()
    return rows


def _format_minute(time: Times) -> str:
    """Return a time as text; a pandas timestamp cannot format all of them."""
    return f"{str(np.datetime_as_string(time, unit='m')).replace('T', ' ')} UTC"
