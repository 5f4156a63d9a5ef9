"""Failed jobs of a view by error pattern: counted as integers, so that no text is compared."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.causes import known_causes
from backupkit.tables import FAILURE_PARTS
from backupkit.widgets.assessment_index import AssessmentIndex, Flags, Positions

__all__ = ["count_by_appliance", "count_by_cause"]


def count_by_appliance(index: AssessmentIndex, positions: Positions) -> pd.DataFrame:
    """Return how often each error pattern occurred on each appliance.

    Parameters
    ----------
    index : AssessmentIndex
        Jobs of the fleet.
    positions : array of intp
        Positions of failed jobs.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.FAILURE_PARTS`, in the order of `backupkit.analysis.failure_parts`.
    """
    count = len(index.appliances)
    keys, jobs = _count_pairs(
        index.signature_codes[positions], index.appliance_codes[positions], count
    )
    signatures, appliances = np.divmod(keys, max(count, 1))
    totals = np.bincount(signatures, jobs).astype(np.int64)[signatures]
    rank = np.argsort(index.appliances.argsort())
    order = np.lexsort((rank[appliances], -jobs, signatures, -totals))
    columns = {
        "signature": index.signatures[signatures[order]],
        "part": index.appliances[appliances[order]],
        "jobs": jobs[order],
        "appliances": 1,
    }
    return FAILURE_PARTS.conform(pd.DataFrame(columns))


def count_by_cause(index: AssessmentIndex, selected: Flags) -> pd.DataFrame:
    """Return how often each error pattern occurred, and its cause.

    Parameters
    ----------
    index : AssessmentIndex
        Jobs of the fleet.
    selected : array of bool
        Mask of `AssessmentIndex.failed_positions`.

    Returns
    -------
    DataFrame
        With signature, jobs, cause_name and cause, as `backupkit.analysis.failures` returns them;
        if jobs of a pattern have different causes, it has none.
    """
    codes, names = index.failed_causes
    count = len(names) + 1  # the last one is no cause
    signature_codes = index.signature_codes[index.failed_positions[selected]]
    keys, jobs = _count_pairs(signature_codes, codes[selected] % count, count)
    signatures, causes = np.divmod(keys, count)
    distinct, first = np.unique(signatures, return_index=True)
    has_one = np.diff(np.append(first, len(keys))) == 1
    cause_names = [
        names[code] if is_one and code < len(names) else None
        for code, is_one in zip(causes[first].tolist(), has_one.tolist(), strict=True)
    ]
    own, known = index.own_causes, known_causes()
    texts = [name and (own if name in own else known)[name].cause for name in cause_names]
    return pd.DataFrame(
        {
            "signature": index.signatures[distinct],
            "jobs": np.bincount(signatures, jobs).astype(np.int64)[distinct],
            "cause_name": pd.Series(cause_names, dtype="str"),
            "cause": pd.Series(texts, dtype="str"),
        }
    )


def _count_pairs(
    first: npt.NDArray[np.int32], second: npt.NDArray[np.int32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return ``first * count + second`` of each distinct pair, sorted, and how often it occurs."""
    keys, jobs = np.unique(first.astype(np.int64) * count + second, return_counts=True)
    return keys, jobs.astype(np.int64)
