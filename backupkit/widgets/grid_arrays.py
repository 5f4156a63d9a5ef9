"""Grids and bars as arrays for the page: states by day, failed jobs by pattern, Pareto chart."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.display.format import sanitise
from backupkit.plots import themes
from backupkit.plots.failure_matrix import FailureCounts
from backupkit.plots.matrix import CELL_STYLES
from backupkit.widgets.script import encode_themes

__all__ = ["encode_bars", "encode_counts", "encode_days"]

_MAX_NAME: Final = 120
_NO_STATE: Final = 255
_NOUNS: Final = ("job", "jobs")
_FAILED: Final = ("failed job", "failed jobs")
_NO_FAILURE: Final = "No backup job failed in this period"
_NO_RUN: Final = "No backup run was expected in this period"
_ALL: Final = "all"


def encode_days(
    nights: pd.DataFrame,
    jobs: npt.NDArray[np.int32],
    *,
    chosen: Collection[str] = (),
    caption: str = "",
    nouns: tuple[str, str] = _NOUNS,
) -> dict[str, Any]:
    r"""Encode the states of appliances by day.

    Parameters
    ----------
    nights : DataFrame of str
        Result of `backupkit.plots.matrix.nights`: appliances from the top, UTC days from the left.
    jobs : array of int
        Number of jobs of each cell.
    chosen : collection of str
        Appliances that are chosen now.
    caption : str
        Sentence below the grid.
    nouns : tuple of str
        One job and several: ``("job", "jobs")``.

    Returns
    -------
    dict
        Positions in ``styles`` as ``uint8``, 255 without a state, and jobs as ``uint32``, both as
        bytes and row by row; besides names, days, styles and the colours of both themes.

    Examples
    --------
    >>> days = pd.DatetimeIndex(["2026-11-08", "2026-11-09"], tz="UTC")
    >>> nights = pd.DataFrame([["met", None]], index=["vc-1"], columns=days, dtype="str")
    >>> grid = encode_days(nights, np.array([[1, 0]]))
    >>> grid["columns"], grid["styles"][grid["values"][0]]["word"], grid["values"][1]
    (['2026-11-08', '2026-11-09'], 'met', 255)
    """
    codes = pd.Index(CELL_STYLES).get_indexer(pd.Index(nights.to_numpy(dtype=object).ravel()))
    return {
        "kind": "days",
        "role": "matrix",
        "title": "Expected runs, day by day",
        "rows": _clean(nights.index),
        "columns": [f"{day:%Y-%m-%d}" for day in nights.columns] if len(nights) else [],
        "chosen": [name in chosen for name in nights.index],
        "values": np.where(codes < 0, _NO_STATE, codes).astype("uint8").tobytes(),
        "jobs": jobs.astype("uint32").tobytes(),
        "brushes": True,
        "caption": caption,
        "nouns": list(nouns),
        "message": _NO_RUN,
        "styles": [
            {
                "mark": f"{one.marker} {one.fill}",
                "word": one.label,
                **{name: theme.of(one.colour) for name, theme in themes.THEMES.items()},
            }
            for one in CELL_STYLES.values()
        ],
        "themes": encode_themes(),
    }


def encode_counts(
    counted: FailureCounts,
    *,
    chosen: Collection[str] = (),
    chosen_columns: Collection[str] = (),
) -> dict[str, Any]:
    """Encode failed jobs by error pattern and appliance, with totals.

    Parameters
    ----------
    counted : FailureCounts
        Result of `backupkit.plots.failure_matrix.count_failures`.
    chosen, chosen_columns : collection of str
        Error patterns and appliances that are chosen now.

    Returns
    -------
    dict
        Numbers as ``uint32``, as bytes and row by row. The last row and the last column are totals;
        before them is one of all that have no name here, if there are any.

    Examples
    --------
    >>> counted = FailureCounts(["disk full"], ["vc-1"], 0, 2, np.array([[3.0, 1.0]]))
    >>> grid = encode_counts(counted)
    >>> grid["columns"], np.frombuffer(grid["values"], "uint32").tolist()
    (['vc-1', '2 others', 'all'], [3, 1, 4, 3, 1, 4])
    """
    jobs = np.pad(counted.jobs, (0, 1))
    jobs[-1] = jobs.sum(axis=0)
    jobs[:, -1] = jobs.sum(axis=1)
    rows = _add_totals(counted.rows, counted.other_rows, "other pattern")
    columns = _add_totals(counted.columns, counted.other_columns, "other")
    is_empty = not counted.rows
    return {
        "kind": "counts",
        "role": "heat map",
        "title": "Failed jobs by error pattern and appliance",
        "rows": [] if is_empty else rows,
        "columns": [] if is_empty else columns,
        "chosen": _mark(counted.rows, chosen, len(rows)),
        "chosen_columns": _mark(counted.columns, chosen_columns, len(columns)),
        "values": jobs.astype("uint32").tobytes(),
        "largest": counted.largest,
        "brushes": False,
        "caption": "",
        "nouns": list(_FAILED),
        "message": _NO_FAILURE,
        "themes": encode_themes(),
    }


def encode_bars(
    failures: pd.DataFrame, *, limit: int, chosen: Collection[str] = ()
) -> dict[str, Any]:
    """Encode error patterns as bars, the most frequent first.

    Parameters
    ----------
    failures : DataFrame
        Reads ``signature``, ``jobs`` and ``appliances`` of `backupkit.tables.FAILURES`.
    limit : int
        Maximum number of patterns; the others share the last bar.
    chosen : collection of str
        Error patterns that are chosen now.

    Returns
    -------
    dict
        Failed jobs as ``uint32``, as bytes; besides names and the number of appliances of each bar.

    Examples
    --------
    >>> from backupkit.tables import FAILURES
    >>> frame = FAILURES.frame({"signature": ["full"], "jobs": [3], "appliances": [2]})
    >>> encode_bars(frame, limit=5)["places"]
    ['2 appliances']
    """
    top, others = failures.iloc[:limit], failures.iloc[limit:]
    names = [str(name) for name in top["signature"]]
    jobs = [int(number) for number in top["jobs"]]
    places = [_count(int(number), "appliance") for number in top["appliances"]]
    rows = _clean(names)
    if len(others):
        rows.append(_count(len(others), "other pattern"))
        jobs.append(int(others["jobs"].sum()))
        places.append("")
    return {
        "kind": "bars",
        "role": "bar chart",
        "title": "Failed jobs by error pattern",
        "rows": rows,
        "columns": ["failed jobs"],
        "chosen": _mark(names, chosen, len(rows)),
        "values": np.array(jobs, dtype="uint32").tobytes(),
        "places": places,
        "brushes": False,
        "caption": "",
        "nouns": list(_FAILED),
        "message": _NO_FAILURE,
        "themes": encode_themes(),
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _add_totals(names: Sequence[str], omitted: int, others: str) -> list[str]:
    return [*_clean(names), *([_count(omitted, others)] if omitted else []), _ALL]


def _clean(names: Sequence[str] | pd.Index) -> list[str]:
    return [sanitise(name, limit=_MAX_NAME) for name in names]


def _mark(names: Sequence[str], chosen: Collection[str], length: int) -> list[bool]:
    """Return which names are chosen, with False for the rows after them."""
    return [name in chosen for name in names] + [False] * (length - len(names))
