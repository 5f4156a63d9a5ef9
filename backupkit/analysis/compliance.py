"""Ratios of each appliance, and the figures of the whole fleet."""

from typing import Final

import pandas as pd

from backupkit.tables import METRICS

__all__ = ["coverage_ratio", "fleet_metrics", "ratio", "ratios"]

_GOOD_SLOTS: Final = ("slots_met", "slots_rescued", "slots_late")
_MISSED_SLOTS: Final = ("slots_missed_failed", "slots_missed_norun", "slots_missed_overrun")
_HOUR: Final = 3_600  # seconds


def ratio(part: pd.Series, whole: pd.Series) -> pd.Series:
    """Divide, giving NA where there is nothing to divide by.

    Examples
    --------
    >>> ratio(pd.Series([6, 0]), pd.Series([9, 0])).to_list()
    [0.6666666666666666, <NA>]
    """
    share = part.astype("Float64") / whole.where(whole > 0).astype("Float64")
    return share.astype("Float64")


def ratios(facts: pd.DataFrame) -> pd.DataFrame:
    """Work out the compliance of each appliance from its times and slot counts.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads compliant, breach, unknown (timedelta64) and the slot counts of
        `backupkit.tables.APPLIANCES`.

    Returns
    -------
    DataFrame
        By appliance, Float64: rpo_strict, rpo_observed, slot_strict, slot_observed. NA where the
        denominator is 0.

    Notes
    -----
    Strict keeps unknown time and slots in the denominator, observed takes them out. Pending and
    excluded ones are in neither.

    References
    ----------
    .. [1] sla.md, section 4, numbers 2 and 5.
    """
    compliant, observed, in_scope = _times(facts)
    good, resolved, counted = _slots(facts)
    return pd.DataFrame(
        {
            "rpo_strict": ratio(compliant, in_scope),
            "rpo_observed": ratio(compliant, observed),
            "slot_strict": ratio(good, counted),
            "slot_observed": ratio(good, resolved),
        }
    )


def coverage_ratio(facts: pd.DataFrame) -> pd.DataFrame:
    """Give the observed and in-scope time of each appliance, and the one over the other.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads compliant, breach and unknown (timedelta64).

    Returns
    -------
    DataFrame
        By appliance: observed, in_scope (timedelta64), ratio (Float64).
    """
    _, observed, in_scope = _times(facts)
    observed_span = (facts["compliant"] + facts["breach"]).rename("observed")
    return pd.DataFrame(
        {
            "observed": observed_span,
            "in_scope": observed_span + facts["unknown"],
            "ratio": ratio(observed, in_scope),
        }
    )


def fleet_metrics(facts: pd.DataFrame) -> pd.DataFrame:
    """Roll the appliances up into the figures of the fleet.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads state, the times, slot counts, attempts, attempts_ok and ratios of
        `backupkit.tables.APPLIANCES`. Whoever is excluded by a rule must not count in attempts.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.METRICS`. Micro is the sum of the numerators over the sum of the
        denominators; macro the mean of the appliances' own ratios.

    Notes
    -----
    In scope are the appliances that are compliant, in breach or unknown at the period's end.
    appliances_strict is compliant / in scope; appliances_observed leaves the unknown ones out of
    the denominator; coverage_appliances is the share of those in scope that is known.

    References
    ----------
    .. [1] sla.md, section 4, numbers 4 and 22, "Roll-up", and example P.
    """
    number = facts["state"].value_counts()
    good, breach, unknown = (int(number.get(s, 0)) for s in ("compliant", "breach", "unknown"))
    compliant, observed, in_scope = (float(total.sum()) for total in _times(facts))
    met, resolved, counted = (float(total.sum()) for total in _slots(facts))
    own_attempts = ratio(facts["attempts_ok"], facts["attempts"])
    rows = [
        ("appliances_strict", good, good + breach + unknown, "appliances"),
        ("appliances_observed", good, good + breach, "appliances"),
        ("coverage_appliances", good + breach, good + breach + unknown, "appliances"),
        ("rpo_strict_micro", compliant, in_scope, "h"),
        ("rpo_strict_macro", *_mean(facts["rpo_strict"])),
        ("rpo_observed_micro", compliant, observed, "h"),
        ("rpo_observed_macro", *_mean(facts["rpo_observed"])),
        ("slot_strict_micro", met, counted, "slots"),
        ("slot_strict_macro", *_mean(facts["slot_strict"])),
        ("slot_observed_micro", met, resolved, "slots"),
        ("slot_observed_macro", *_mean(facts["slot_observed"])),
        ("attempts_micro", facts["attempts_ok"].sum(), facts["attempts"].sum(), "jobs"),
        ("attempts_macro", *_mean(own_attempts)),
        ("coverage_time", observed, in_scope, "h"),
    ]
    table = pd.DataFrame(rows, columns=["metric", "numerator", "denominator", "unit"])
    return METRICS.conform(table.assign(value=ratio(table["numerator"], table["denominator"])))


def _times(facts: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Give compliant, observed and in-scope hours."""
    compliant, breach, unknown = (
        facts[name].dt.total_seconds() / _HOUR for name in ("compliant", "breach", "unknown")
    )
    return compliant, compliant + breach, compliant + breach + unknown


def _slots(facts: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Count the slots that ended well, those resolved, and those resolved or unknown."""
    good = facts[list(_GOOD_SLOTS)].sum(axis=1)
    resolved = good + facts[list(_MISSED_SLOTS)].sum(axis=1)
    return good, resolved, resolved + facts["slots_unknown"]


def _mean(own: pd.Series) -> tuple[float, int, str]:
    """Give the sum of the ratios there are, and how many."""
    there = own.dropna()
    return float(there.sum()), len(there), "appliances"
