"""Ratios of each appliance, and the figures of the whole fleet."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.tables import (
    COMPLETED_SLOTS,
    GROUPS,
    IN_SCOPE_STATES,
    METRICS,
    MISSED_SLOTS,
    OBSERVED_STATES,
    ON_TIME_SLOTS,
)

__all__ = [
    "compliance_amounts",
    "coverage_ratio",
    "fleet_metrics",
    "group_metrics",
    "ratio",
    "ratios",
]

_HOUR: Final = 3_600  # seconds
_UNITS: Final = {
    "appliances_strict": "appliances",
    "appliances_observed": "appliances",
    "appliances_lookback": "appliances",
    "coverage_appliances": "appliances",
    "coverage_polled": "appliances",
    "rpo_strict_micro": "h",
    "rpo_strict_macro": "appliances",
    "rpo_observed_micro": "h",
    "rpo_observed_macro": "appliances",
    "slot_strict_micro": "slots",
    "slot_strict_macro": "appliances",
    "slot_observed_micro": "slots",
    "slot_observed_macro": "appliances",
    "on_time_strict_micro": "slots",
    "on_time_strict_macro": "appliances",
    "on_time_observed_micro": "slots",
    "on_time_observed_macro": "appliances",
    "attempts_micro": "jobs",
    "attempts_macro": "appliances",
    "first_attempts_micro": "slots",
    "first_attempts_macro": "appliances",
    "window_micro": "jobs",
    "window_macro": "appliances",
    "duration_micro": "jobs",
    "duration_macro": "appliances",
    "days_missed": "days",
    "error_budget": "slots",
    "error_budget_strict": "slots",
    "burn_rate_24h": "slots",
    "burn_rate_7d": "slots",
    "coverage_time": "h",
}
"""The unit of each figure, in the order of the report."""


def ratio(numerator: pd.Series, denominator: pd.Series) -> pd.Series:
    """Divide two columns, with NA where the denominator is 0.

    Examples
    --------
    >>> ratio(pd.Series([6, 0]), pd.Series([9, 0])).to_list()
    [0.6666666666666666, <NA>]
    """
    share = numerator.astype("Float64") / denominator.where(denominator > 0).astype("Float64")
    return share.astype("Float64")


def ratios(facts: pd.DataFrame) -> pd.DataFrame:
    """Compute the compliance of each appliance from its times and slot counts.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads compliant, breach, unknown (timedelta64) and the slot counts of
        `backupkit.tables.APPLIANCES`.

    Returns
    -------
    DataFrame
        By appliance, Float64: rpo_strict, rpo_observed, slot_strict, slot_observed, on_time_strict,
        on_time_observed. NA where the denominator is 0.

    Notes
    -----
    The denominator of strict ratios includes unknown time and slots, that of observed ratios does
    not. Pending and excluded ones are in neither.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 2, 5 and 6.
    """
    compliant, observed, in_scope = _times(facts)
    completed, on_time, resolved, counted = _slots(facts)
    return pd.DataFrame(
        {
            "rpo_strict": ratio(compliant, in_scope),
            "rpo_observed": ratio(compliant, observed),
            "slot_strict": ratio(completed, counted),
            "slot_observed": ratio(completed, resolved),
            "on_time_strict": ratio(on_time, counted),
            "on_time_observed": ratio(on_time, resolved),
        }
    )


def compliance_amounts(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the amounts whose ratios are the compliance and the coverage of each appliance.

    Parameters
    ----------
    facts : DataFrame
        As in `ratios`.

    Returns
    -------
    DataFrame
        By appliance, float64: compliant, observed, in_scope [h], completed and counted [slots].
        Strict RPO compliance is compliant / in_scope, strict slot compliance completed / counted,
        and coverage observed / in_scope; for several appliances, of their sums.
    """
    compliant, observed, in_scope = _times(facts)
    completed, *_, counted = _slots(facts)
    columns = {
        "compliant": compliant,
        "observed": observed,
        "in_scope": in_scope,
        "completed": completed,
        "counted": counted,
    }
    return pd.DataFrame(columns).astype("float64")


def coverage_ratio(facts: pd.DataFrame) -> pd.DataFrame:
    """Compute the observed and in-scope time of each appliance, and their ratio.

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
    """Aggregate the appliances to the figures of the fleet.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads state, the times, counts and ratios of `backupkit.tables.APPLIANCES`,
        last_success_end and lookback_from [UTC], configured, read (whether it has a good poll in
        the period), and the result of `recent_slots`. Without appliances that a rule excludes.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.METRICS`. Micro is the sum of the numerators over the sum of the
        denominators; macro the mean of the appliances' own ratios.

    Notes
    -----
    In scope are the appliances that are compliant, in breach or unknown at the period's end.

    * appliances_strict is compliant / in scope; appliances_observed leaves the unknown ones out of
      the denominator; coverage_appliances is the share of those in scope that is known.
    * appliances_lookback counts those in scope with any success within the policy's lookback.
    * error_budget is missed / allowed slots, allowed being (1 - target) x slots; strict adds the
      unknown ones. burn_rate_24h and burn_rate_7d are the same for the last day and week only.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 4 to 9, 12 to 14, 18, 22, "Roll-up"; section 7, P and Q.
    """
    return METRICS.conform(_to_long(_contributions(facts).sum().to_frame().T))


def group_metrics(facts: pd.DataFrame) -> pd.DataFrame:
    """Aggregate the appliances to the figures of each site and each group.

    Parameters
    ----------
    facts : DataFrame
        As in `fleet_metrics`, plus site and group.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.GROUPS`; appliances without a site or group are left out.
    """
    contributions = _contributions(facts)
    tables = []
    for by in ("site", "group"):
        if facts[by].isna().all():
            continue
        table = _to_long(contributions.groupby(facts[by]).sum())
        tables.append(table.assign(by=by))
    return GROUPS.conform(pd.concat(tables, ignore_index=True)) if tables else GROUPS.empty()


def _to_long(sums: pd.DataFrame) -> pd.DataFrame:
    """Convert sums of numerators and denominators, one row per group, to a long table."""
    size = len(sums)
    table = pd.DataFrame(
        {
            "name": np.tile(sums.index.to_numpy(), len(_UNITS)),
            "metric": np.repeat(list(_UNITS), size),
            "unit": np.repeat(list(_UNITS.values()), size),
            **{
                side: sums[[f"{metric} {side}" for metric in _UNITS]].to_numpy().ravel("F")
                for side in ("numerator", "denominator")
            },
        }
    )
    table = table.assign(value=ratio(table["numerator"], table["denominator"]))
    return table.sort_values("name", kind="stable", ignore_index=True)


def _contributions(facts: pd.DataFrame) -> pd.DataFrame:
    """Return each appliance's part of the numerator and denominator of each figure."""
    state = facts["state"]
    compliant, is_observed = state.eq("compliant"), state.isin(OBSERVED_STATES)
    in_scope = is_observed | state.eq("unknown")
    hours, observed, scope = _times(facts)
    completed, on_time, resolved, counted = _slots(facts)
    missed = resolved - completed
    attempts, firsts, window, duration = (
        (facts[f"{prefix}_ok"], facts[total])
        for prefix, total in (
            ("attempts", "attempts"),
            ("first_attempts", "first_attempts"),
            ("window", "window_runs"),
            ("duration", "duration_runs"),
        )
    )
    recent = in_scope & (facts["last_success_end"] >= facts["lookback_from"])
    # the caller has dropped excluded appliances
    read = facts["configured"] & facts["read"]
    fractions = {
        "appliances_strict": (compliant, in_scope),
        "appliances_observed": (compliant, is_observed),
        "appliances_lookback": (recent, in_scope),
        "coverage_appliances": (is_observed, in_scope),
        "coverage_polled": (read, facts["configured"]),
        "rpo_strict_micro": (hours, scope),
        "rpo_strict_macro": _macro(facts["rpo_strict"]),
        "rpo_observed_micro": (hours, observed),
        "rpo_observed_macro": _macro(facts["rpo_observed"]),
        "slot_strict_micro": (completed, counted),
        "slot_strict_macro": _macro(facts["slot_strict"]),
        "slot_observed_micro": (completed, resolved),
        "slot_observed_macro": _macro(facts["slot_observed"]),
        "on_time_strict_micro": (on_time, counted),
        "on_time_strict_macro": _macro(facts["on_time_strict"]),
        "on_time_observed_micro": (on_time, resolved),
        "on_time_observed_macro": _macro(facts["on_time_observed"]),
        "attempts_micro": attempts,
        "attempts_macro": _macro(ratio(*attempts)),
        "first_attempts_micro": firsts,
        "first_attempts_macro": _macro(ratio(*firsts)),
        "window_micro": window,
        "window_macro": _macro(ratio(*window)),
        "duration_micro": duration,
        "duration_macro": _macro(ratio(*duration)),
        "days_missed": (facts["days_missed"], facts["days"]),
        "error_budget": (missed, facts["allowed"]),
        "error_budget_strict": (missed + facts["slots_unknown"], facts["allowed"]),
        "burn_rate_24h": (facts["missed_24h"], facts["allowed_24h"]),
        "burn_rate_7d": (facts["missed_7d"], facts["allowed_7d"]),
        "coverage_time": (observed, scope),
    }
    columns = {
        f"{metric} {side}": values.astype("Float64").to_numpy("float64", na_value=0)
        for metric, pair in fractions.items()
        for side, values in zip(("numerator", "denominator"), pair, strict=True)
    }
    return pd.DataFrame(columns, index=facts.index)


def _macro(share: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the appliances' own ratios, and whether each has one."""
    return share, share.notna()


def _times(facts: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return compliant, observed and in-scope time [h]."""
    compliant, breach, unknown = (
        facts[name].dt.total_seconds() / _HOUR for name in IN_SCOPE_STATES
    )
    return compliant, compliant + breach, compliant + breach + unknown


def _slots(facts: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series, pd.Series]:
    """Count the completed, on-time and resolved slots, and the resolved or unknown ones."""
    completed, on_time, missed = (
        facts[[f"slots_{state}" for state in states]].sum(axis=1)
        for states in (COMPLETED_SLOTS, ON_TIME_SLOTS, MISSED_SLOTS)
    )
    resolved = completed + missed
    return completed, on_time, resolved, resolved + facts["slots_unknown"]
