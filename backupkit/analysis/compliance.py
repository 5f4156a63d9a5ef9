"""Ratios of each appliance, and the figures of the fleet: in all and by group."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.targets import judge_target, target_shares, worst_target_state
from backupkit.tables import (
    COMPLETED_SLOTS,
    GROUPS,
    IN_SCOPE_STATES,
    METRICS,
    MISSED_SLOTS,
    OBSERVED_STATES,
    ON_TIME_SLOTS,
    TARGETS,
)

__all__ = [
    "coverage_ratio",
    "fleet_metrics",
    "group_metrics",
    "ratio",
    "ratios",
    "target_state",
]

_HOUR: Final = 3_600  # seconds
_RATIO_UNITS: Final = {
    "rpo_strict": "h",
    "rpo_observed": "h",
    "slot_strict": "slots",
    "slot_observed": "slots",
    "on_time_strict": "slots",
    "on_time_observed": "slots",
    "attempts": "jobs",
    "first_attempts": "slots",
    "window": "jobs",
    "duration": "jobs",
}
"""What the ratios of each appliance count; the fleet has their micro and their macro mean."""

_TARGET_SIDES: Final = ("numerator", "denominator", "undecided", "allowed")

_UNITS: Final = {
    "appliances_strict": "appliances",
    "appliances_observed": "appliances",
    "appliances_lookback": "appliances",
    "appliances_target": "appliances",
    "coverage_appliances": "appliances",
    "coverage_polled": "appliances",
    **{
        f"{name}_{mean}": unit if mean == "micro" else "appliances"
        for name, unit in _RATIO_UNITS.items()
        for mean in ("micro", "macro")
    },
    "days_missed": "days",
    "error_budget": "slots",
    "error_budget_strict": "slots",
    "burn_rate_24h": "slots",
    "burn_rate_7d": "slots",
    "mttr": "h per incident",
    "mtbf": "h per incident",
    "mean_exposure": "h² per h",
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
    above, below = (side.to_numpy("float64", na_value=np.nan) for side in (numerator, denominator))
    has_share = (below > 0) & ~np.isnan(above)
    shares = np.divide(above, below, out=np.zeros(len(above)), where=has_share)
    return pd.Series(pd.arrays.FloatingArray(shares, ~has_share), index=numerator.index)


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
    return pd.DataFrame(
        {name: ratio(*fraction) for name, fraction in _compute_fractions(facts).items()}
    )


def target_state(facts: pd.DataFrame) -> pd.Series:
    """Judge each appliance against its own targets.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads the times and counts of `backupkit.tables.APPLIANCES`, and what the
        targets allow: rpo_allowed [h], allowed [slots], window_allowed and duration_allowed [jobs].

    Returns
    -------
    Series of str
        ``met``, ``missed`` or ``unknown``; missing for an appliance without anything to judge, or
        that a rule excludes.

    References
    ----------
    .. [1] docs/sla.md, section 3, "Period and targets".
    """
    contributions = _compute_target_contributions(facts)
    states = {
        name: judge_target(*(contributions[f"{name} {side}"] for side in _TARGET_SIDES))
        for name in TARGETS
    }
    return worst_target_state(pd.DataFrame(states)).where(facts["exclude"].isna())


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
    _, observed, in_scope = _sum_times(facts)
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
        By appliance; reads state, the times and counts of `backupkit.tables.APPLIANCES`,
        last_success_end and lookback_from [UTC], configured, read (whether it has a good poll in
        the period), and the results of `recent_slots`, `incident_figures` and `mean_exposure`.
        Without appliances that a rule excludes.

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
    * mttr, mtbf and mean_exposure are means over the fleet, of sums over the appliances [h]. Their
      numerators are hours of closed incidents, hours without an incident, and exposure x time.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 4 to 9, 12 to 14, 16 to 18, 22, 36, "Roll-up"; section 7,
       P and Q.
    """
    return METRICS.conform(_to_long(_compute_contributions(facts).sum().to_frame().T))


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
    contributions = _compute_contributions(facts)
    tables = []
    for by in ("site", "group"):
        if facts[by].isna().all():
            continue
        table = _to_long(contributions.groupby(facts[by]).sum())
        tables.append(table.assign(property=by))
    return GROUPS.conform(pd.concat(tables, ignore_index=True)) if tables else GROUPS.empty()


def _to_long(sums: pd.DataFrame) -> pd.DataFrame:
    """Convert sums of numerators and denominators, one row per group, to a long table."""
    size, metrics = len(sums), list(_UNITS)
    table = pd.DataFrame(
        {
            "name": np.tile(sums.index.to_numpy(), len(metrics)),
            "metric": np.repeat(metrics, size),
            "unit": np.repeat([_UNITS[metric] for metric in metrics], size),
            **{
                side: sums[[f"{metric} {side}" for metric in metrics]].to_numpy().ravel("F")
                for side in ("numerator", "denominator")
            },
        }
    )
    table = table.assign(value=ratio(table["numerator"], table["denominator"]))
    for name in TARGETS:
        rows = table["metric"] == f"{name}_micro"
        sides = {side: sums[f"{name} {side}"].set_axis(table.index[rows]) for side in _TARGET_SIDES}
        table.loc[rows, "target"] = target_shares(sides["allowed"], sides["denominator"])
        table.loc[rows, "target_state"] = judge_target(**sides)
    return table.sort_values("name", kind="stable", ignore_index=True)


def _compute_target_contributions(facts: pd.DataFrame) -> pd.DataFrame:
    """Return each appliance's part of what is judged against a target."""
    _, observed, in_scope = _sum_times(facts)
    fractions = _compute_fractions(facts)
    nothing = pd.Series(0.0, index=facts.index)
    sides = {
        "rpo_strict": (*fractions["rpo_strict"], in_scope - observed, facts["rpo_allowed"]),
        "slot_strict": (*fractions["slot_strict"], facts["slots_unknown"], facts["allowed"]),
        **{
            name: (facts[f"{name}_ok"], facts[f"{name}_runs"], nothing, facts[f"{name}_allowed"])
            for name in ("window", "duration")
        },
    }
    columns = {
        f"{name} {side}": values.astype("Float64").to_numpy("float64", na_value=0)
        for name in TARGETS
        for side, values in zip(_TARGET_SIDES, sides[name], strict=True)
    }
    return pd.DataFrame(columns, index=facts.index)


def _compute_contributions(facts: pd.DataFrame) -> pd.DataFrame:
    """Return each appliance's part of the numerator and denominator of each figure."""
    state = facts["state"]
    compliant, is_observed = state.eq("compliant"), state.isin(OBSERVED_STATES)
    in_scope = is_observed | state.eq("unknown")
    _, observed, scope = _sum_times(facts)
    completed, _, resolved, _ = _count_slots(facts)
    missed = resolved - completed
    shares = _compute_fractions(facts) | {
        name: (facts[f"{name}_ok"], facts[total])
        for name, total in (
            ("attempts", "attempts"),
            ("first_attempts", "first_attempts"),
            ("window", "window_runs"),
            ("duration", "duration_runs"),
        )
    }
    recent = in_scope & (facts["last_success_end"] >= facts["lookback_from"])
    # the caller has dropped excluded appliances
    read = facts["configured"] & facts["read"]
    judged = facts["target_state"]
    fractions = {
        "appliances_strict": (compliant, in_scope),
        "appliances_observed": (compliant, is_observed),
        "appliances_lookback": (recent, in_scope),
        "appliances_target": (judged.eq("met"), judged.notna()),
        "coverage_appliances": (is_observed, in_scope),
        "coverage_polled": (read, facts["configured"]),
        "days_missed": (facts["days_missed"], facts["days"]),
        "error_budget": (missed, facts["allowed"]),
        "error_budget_strict": (missed + facts["slots_unknown"], facts["allowed"]),
        "burn_rate_24h": (facts["missed_24h"], facts["allowed_24h"]),
        "burn_rate_7d": (facts["missed_7d"], facts["allowed_7d"]),
        "mttr": (_to_hours(facts["restore_time"]), facts["incidents_closed"]),
        "mtbf": (_to_hours(facts["incident_free"]), facts["incidents"]),
        "mean_exposure": (facts["exposure_integral"], facts["exposed_time"]),
        "coverage_time": (observed, scope),
    }
    for name, fraction in shares.items():
        fractions[f"{name}_micro"] = fraction
        share = ratio(*fraction)
        fractions[f"{name}_macro"] = share, share.notna()
    columns = {
        f"{metric} {side}": values.astype("Float64").to_numpy("float64", na_value=0)
        for metric, fraction in fractions.items()
        for side, values in zip(("numerator", "denominator"), fraction, strict=True)
    }
    return pd.DataFrame(columns, index=facts.index).join(_compute_target_contributions(facts))


def _compute_fractions(facts: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series]]:
    """Return numerator and denominator of each ratio of time and slots."""
    compliant, observed, in_scope = _sum_times(facts)
    completed, on_time, resolved, counted = _count_slots(facts)
    return {
        "rpo_strict": (compliant, in_scope),
        "rpo_observed": (compliant, observed),
        "slot_strict": (completed, counted),
        "slot_observed": (completed, resolved),
        "on_time_strict": (on_time, counted),
        "on_time_observed": (on_time, resolved),
    }


def _sum_times(facts: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return compliant, observed and in-scope time [h]."""
    compliant, breach, unknown = (_to_hours(facts[name]) for name in IN_SCOPE_STATES)
    return compliant, compliant + breach, compliant + breach + unknown


def _to_hours(spans: pd.Series) -> pd.Series:
    hours: pd.Series = spans.dt.total_seconds() / _HOUR
    return hours


def _count_slots(facts: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series, pd.Series]:
    """Count the completed, on-time and resolved slots, and the resolved or unknown ones."""
    completed, on_time, missed = (
        facts[[f"slots_{state}" for state in states]].sum(axis=1)
        for states in (COMPLETED_SLOTS, ON_TIME_SLOTS, MISSED_SLOTS)
    )
    resolved = completed + missed
    return completed, on_time, resolved, resolved + facts["slots_unknown"]
