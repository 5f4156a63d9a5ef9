"""Values that failing appliances share more often than chance explains."""

import math
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.exact_tests import (
    FALSE_DISCOVERY_RATE,
    askable_limit,
    hypergeometric_tail,
    q_values,
)
from backupkit.analysis.failures import select_ended_jobs
from backupkit.analysis.target_load import target_of
from backupkit.tables import CLUSTER_TESTS, CLUSTERS

__all__ = [
    "SharedValues",
    "clusters",
    "find_shared_values",
]

_PHRASE_BY_PROPERTY: Final = {
    "target": "on the same target",
    "build": "on the same build",
    "site": "at the same site",
    "group": "in the same group",
}
_MAX_VALUE_LENGTH: Final = 100  # characters of a value in a sentence
_MIN_APPLIANCES: Final = 2  # fewest appliances that share a value
_SMALLEST_SHOWN: Final = 1e-6  # p and q values below it are shown as "below"
_COUNTED: Final = ["affected", "compared"]


class SharedValues(NamedTuple):
    """Values that the appliances with a failure share, and what was tested to find them.

    Attributes
    ----------
    clusters : DataFrame
        Of `backupkit.tables.CLUSTERS`: the findings.
    tests : DataFrame
        Of `backupkit.tables.CLUSTER_TESTS`: all questions, by signature and kind of value.
    """

    clusters: pd.DataFrame
    tests: pd.DataFrame


def clusters(
    jobs: pd.DataFrame,
    signatures: pd.DataFrame,
    members: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Find values that appliances with the same failure share more often than chance explains.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    signatures : DataFrame
        Result of `failure_signatures` for at least these jobs.
    members : DataFrame
        By appliance: site and group.
    start, end : Timestamp
        The period, half-open; a job counts by its end.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.CLUSTERS`: the signature with the most appliances first, then by
        p value.

    Notes
    -----
    Only appliances with a finished job in the period are compared. The target and the build of an
    appliance are the newest of its jobs in the period; for a signature, the newest of its jobs with
    this signature. An appliance without a value is not counted for that kind of value.
    A question is: do the appliances with this signature share this value by chance? Its p value is
    the upper tail of the hypergeometric distribution, which is exact for any number of appliances.
    A value is reported from two affected appliances on, if its q value is at most 5 %. So of all
    findings of a report, at most 5 % are expected to be chance. The q value counts all questions
    that were asked, also about values that no affected appliance has. A question that no outcome
    could answer with yes is not asked.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 26.

    Examples
    --------
    >>> from backupkit.analysis import failure_signatures
    >>> from backupkit.tables import JOBS
    >>> day = pd.Timestamp("2026-11-02", tz="UTC")
    >>> names = [f"vc-{number}" for number in range(12)]
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": names,
    ...         "outcome": ["failure"] * 4 + ["success"] * 8,
    ...         "end_time": [day] * 12,
    ...         "location": ["sftp://nas-1/x"] * 4 + ["sftp://nas-2/x"] * 8,
    ...     }
    ... )
    >>> members = pd.DataFrame({"site": "Hamburg", "group": "test"}, index=names)
    >>> signatures = failure_signatures(jobs)
    >>> result = clusters(jobs, signatures, members, start=day, end=day + pd.Timedelta(days=1))
    >>> result["finding"].to_list()
    ['4 of 4 on the same target sftp://nas-1, no other appliance (0 of 8); p = 0.002, q = 0.002']
    """
    return find_shared_values(jobs, signatures, members, start=start, end=end).clusters


def find_shared_values(
    jobs: pd.DataFrame,
    signatures: pd.DataFrame,
    members: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> SharedValues:
    """Return the findings of `clusters`, and the tests behind them."""
    ended = select_ended_jobs(jobs, start, end).sort_values("ended_at", kind="stable")
    failed = ended[ended["outcome"] == "failure"].join(signatures["signature"])
    appliance_values = _list_attribute_values(ended, ["appliance"], members)
    affected_values = _list_attribute_values(failed, ["signature", "appliance"], members)
    size = affected_values.groupby("signature").size()
    counted = [
        _count_shared_values(by, appliance_values, affected_values) for by in _PHRASE_BY_PROPERTY
    ]
    shared = pd.concat([rows for rows, _ in counted], ignore_index=True)
    unshared = pd.concat([rows for _, rows in counted], ignore_index=True)
    found, limit = _test_values(shared, unshared)
    ranked = found.assign(
        size=found["signature"].map(size),
        finding=pd.Series(
            [_describe_shared_value(row) for row in found.to_dict("records")],
            index=found.index,
            dtype="str",
        ),
    ).sort_values(["size", "signature", "p_value"], ascending=[False, True, True], kind="stable")
    return SharedValues(CLUSTERS.conform(ranked), _list_tests(shared, unshared, found, limit, size))


def _list_attribute_values(
    jobs: pd.DataFrame, keys: list[str], members: pd.DataFrame
) -> pd.DataFrame:
    """Return the newest known values of each key; `jobs` is sorted by end."""
    newest = jobs.groupby(keys)[["location", "build"]].last()
    names = newest.index.get_level_values("appliance")
    values = {
        "target": newest["location"].map(target_of, na_action="ignore"),
        "build": newest["build"],
        **{name: members[name].reindex(names).set_axis(newest.index) for name in ("site", "group")},
    }
    return pd.DataFrame({name: column.astype("str") for name, column in values.items()})


def _count_shared_values(
    column: str, appliance_values: pd.DataFrame, affected_values: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count the appliances of each signature and value.

    The first result has the values that an affected appliance has. The second counts the other
    values by the number of appliances that share them.
    """
    usual = appliance_values[column].rename("usual")
    failed = affected_values[column].dropna().rename("value").reset_index()
    names = affected_values.index.get_level_values("appliance")
    usual_values = usual.reindex(names).set_axis(affected_values.index).dropna().reset_index()
    counts = failed.groupby(["signature", "value"]).size()
    signature = counts.index.get_level_values("signature")
    value = counts.index.get_level_values("value")
    affected_sharing = counts.to_numpy("int64")
    total = _count_group_rows(failed.groupby("signature"), signature)
    # an affected appliance counts with the value of its failed jobs, not with its usual one
    with_usual_value = _count_group_rows(usual_values.groupby(["signature", "usual"]), counts.index)
    usual_sharing = _count_group_rows(usual.groupby(usual), value)
    sharing = usual_sharing - with_usual_value + affected_sharing
    compared = (
        usual.count() - _count_group_rows(usual_values.groupby("signature"), signature) + total
    )
    others = compared - sharing
    affected_others = total - affected_sharing
    rate = pd.Series(affected_others) / pd.Series(others).where(affected_others > 0)
    shared = pd.DataFrame(
        {
            "signature": signature.astype("str"),
            "property": column,
            "value": value.astype("str"),
            "appliances": affected_sharing,
            "affected": total,
            "sharing": sharing,
            "others": others,
            "compared": compared,
            "lift": ((affected_sharing / sharing) / rate).astype("Float64"),
        }
    )
    sizes, size_counts = np.unique(usual.value_counts().to_numpy("int64"), return_counts=True)
    every = shared.drop_duplicates("signature")[["signature", "property", *_COUNTED]]
    unshared = every.merge(
        pd.DataFrame({"sharing": sizes, "value_count": size_counts}), how="cross"
    )
    taken = pd.DataFrame({"signature": shared["signature"], "sharing": usual_sharing})
    taken_counts = taken.groupby(["signature", "sharing"]).size()
    keys = pd.MultiIndex.from_frame(unshared[["signature", "sharing"]])
    unshared["value_count"] -= taken_counts.reindex(keys, fill_value=0).to_numpy()
    return shared, unshared


def _test_values(shared: pd.DataFrame, unshared: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return the findings with p and q value, and the largest useful p value of a question.

    Both frames get the column ``smallest``: the p value of the most extreme outcome.
    """
    for frame in (shared, unshared):
        frame["smallest"] = _compute_p_values(frame, frame[["sharing", "affected"]].min(axis=1))
    limit = askable_limit(
        np.concatenate([shared["smallest"], unshared["smallest"]]),
        np.concatenate([np.ones(len(shared), dtype=np.int64), unshared["value_count"]]),
        rate=FALSE_DISCOVERY_RATE,
    )
    asked = (shared["smallest"] <= limit).sum() + unshared.loc[
        unshared["smallest"] <= limit, "value_count"
    ].sum()
    possible = shared[(shared["smallest"] <= limit) & (shared["appliances"] >= _MIN_APPLIANCES)]
    p_values = _compute_p_values(possible, possible["appliances"])
    tested = possible.assign(p_value=p_values, q_value=q_values(p_values, int(asked)))
    found: pd.DataFrame = tested[tested["q_value"] <= FALSE_DISCOVERY_RATE]
    return found, limit


def _compute_p_values(rows: pd.DataFrame, observed: pd.Series) -> npt.NDArray[np.float64]:
    """Return the chance of at least `observed` affected that share the value; 1 below two."""
    p_values = np.ones(len(rows))
    is_possible = (observed >= _MIN_APPLIANCES).to_numpy()
    population, sharing, affected, least = (
        column.to_numpy("int64")[is_possible]
        for column in (rows["compared"], rows["sharing"], rows["affected"], observed)
    )
    p_values[is_possible] = hypergeometric_tail(population, sharing, affected, least)
    return p_values


def _list_tests(
    shared: pd.DataFrame,
    unshared: pd.DataFrame,
    found: pd.DataFrame,
    limit: float,
    size: pd.Series,
) -> pd.DataFrame:
    """Return the number of questions of each signature and kind of value, and the result."""
    key = ["signature", "property"]
    questions = pd.concat([shared.assign(value_count=1), unshared], ignore_index=True)
    questions = questions[
        (questions["value_count"] > 0) & (questions["affected"] >= _MIN_APPLIANCES)
    ]
    asked = questions["value_count"].where(questions["smallest"] <= limit, 0)
    groups = questions.assign(asked=asked).groupby(key, sort=False)
    tests = groups.agg(
        affected=("affected", "first"),
        compared=("compared", "first"),
        value_count=("value_count", "sum"),
        asked=("asked", "sum"),
        smallest_p=("smallest", "min"),
    )
    tests["found"] = found.groupby(key).size().reindex(tests.index, fill_value=0)
    tests["result"] = np.select(
        [tests["found"] > 0, tests["asked"] > 0], ["shared", "no finding"], "no test can tell"
    )
    tests = tests.reset_index()
    order = tests.assign(size=tests["signature"].map(size), rank=np.arange(len(tests)))
    by = ["size", "signature", "rank"]
    return CLUSTER_TESTS.conform(order.sort_values(by, ascending=[False, True, True]))


def _count_group_rows(groups: Any, keys: pd.Index) -> npt.NDArray[np.int64]:  # noqa: ANN401 # of a Series or a frame
    """Count the rows of each group, 0 for a key without rows."""
    sizes: npt.NDArray[np.int64] = groups.size().reindex(keys, fill_value=0).to_numpy("int64")
    return sizes


def _describe_shared_value(row: dict[Hashable, Any]) -> str:
    """Describe a row of `CLUSTERS` in a sentence."""
    value = row["value"][:_MAX_VALUE_LENGTH]
    shared = (
        f"{row['appliances']} of {row['affected']} {_PHRASE_BY_PROPERTY[row['property']]} {value}"
    )
    compared = (
        f"no other appliance (0 of {row['others']})"
        if pd.isna(row["lift"])
        else f"{row['lift']:.1f}x more often than the rest "
        f"({row['affected'] - row['appliances']} of {row['others']})"
    )
    return f"{shared}, {compared}; {_format_chance('p', row['p_value'])}, " + _format_chance(
        "q", row["q_value"]
    )


def _format_chance(name: str, chance: float) -> str:
    """Format a p or q value with two digits.

    Examples
    --------
    >>> _format_chance("p", 0.00123456), _format_chance("q", 1e-9)
    ('p = 0.0012', 'q < 0.000001')
    """
    if chance < _SMALLEST_SHOWN:
        return f"{name} < {_SMALLEST_SHOWN:.6f}"
    digits = max(2, 1 - math.floor(math.log10(chance)))
    return f"{name} = {chance:.{digits}f}".rstrip("0")
