"""The result of an assessment: the verdict, all frames of one period, and their notebook view."""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Self

import pandas as pd
from markupsafe import Markup

from backupkit import analysis
from backupkit.assessment.inventory_sentence import describe_inventory
from backupkit.assessment.merged import FRAMES, MergedFigures
from backupkit.assessment.periods import describe_period
from backupkit.assessment.verdict import (
    TARGET_LABELS,
    PeriodVerdict,
    Verdict,
    build_ratio,
    choose_tone,
)
from backupkit.display import Cell, render_container, render_paragraph, state_badge, table
from backupkit.display.format import NO_DATA, Ratio, format_duration, format_timestamp
from backupkit.policy import Policy
from backupkit.tables import IN_SCOPE_STATES

__all__ = ["HEAD_FIGURES", "NEVER", "Assessment", "breach_since", "exposure"]

HEAD_FIGURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "appliances_strict": "inside their RPO (strict)",
        "appliances_observed": "of those reachable (observed)",
        "coverage_appliances": "reachable",
        "rpo_strict_micro": TARGET_LABELS["rpo_strict"],
        "slot_strict_micro": TARGET_LABELS["slot_strict"],
    }
)
"""Labels of the key figures of `backupkit.tables.METRICS`."""

NEVER: Final = "never backed up"
"""Remark on an appliance of which no successful backup is known."""

_VALUES: Final = (
    *("start", "end", "now", "timezone", "policy", "version", "as_if", "is_selection"),
    *("period_verdict", "verdict"),
)
_MAX_WORST: Final = 10
_MICROSECOND: Final = pd.Timedelta(microseconds=1)
_COLUMNS: Final = {
    "Appliance": "",
    "State": "s",
    "In breach since (UTC)": "w",
    "Exposure": "n",
    "Last success (UTC)": "w",
    "Failures in a row": "n",
    "Why": "text",
}


class Assessment(MergedFigures):
    """The assessment of a fleet over a period under a policy.

    Each frame is computed when it is first asked for, and kept. A copy in another process has all
    of them.

    Attributes
    ----------
    start, end : Timestamp
        The period, half-open [UTC].
    now : Timestamp
        The time of the assessment [UTC]; later data is ignored.
    timezone : str
        IANA time zone in which the period is named.
    policy : Policy
        The policy that was applied.
    version : str
        The version of the data: the head digest of a history, "" if it is empty. For frames and
        snapshots, the number of polls and a digest.
    period_verdict : PeriodVerdict
        Whether the fleet met its targets in the period.
    verdict : Verdict
        The state of the fleet at the period's end, and a sentence with counts.
    verdicts : DataFrame
        Of `backupkit.tables.VERDICTS`: both, for the fleet, each site and each group.
    fleet, groups, appliances, intervals, slots, incidents : DataFrame
        Of `backupkit.tables.METRICS`, ``GROUPS``, ``APPLIANCES`` (the worst first), ``INTERVALS``,
        ``SLOTS`` and ``INCIDENTS``.
    figures : DataFrame
        As `appliances`, without the reasons, which take longest.
    failures, failure_counts, clusters, cluster_tests : DataFrame
        Of ``FAILURES``, ``FAILURE_COUNTS``, ``CLUSTERS`` and ``CLUSTER_TESTS``: the failures, what
        the affected appliances have in common, and what was tested to find that.
    baselines, anomalies, loads, lint : DataFrame
        Of ``BASELINES``, ``ANOMALIES``, ``LOADS`` and ``LINT``: usual values, deviations, load of
        the targets, and findings of the schedule and policy checks.
    inventory : DataFrame
        Of ``INVENTORY``: the nodes of the SSO domains, as `backupkit discover` has read them last,
        compared with fleet.toml. Empty without a discovery.
    jobs : DataFrame
        Of ``JOINED_JOBS``: each job with its site, group, version, target, slot and cause. Times
        are by the appliances' own clocks. ``a.jobs[a.jobs["in_period"]]`` are the jobs of the
        period. The others are older ones that a figure needs; still older ones are not here, but
        ``coverage`` counts them.
    assessed_jobs : DataFrame
        Of ``ASSESSED_JOBS``: the same jobs, with nested messages and without the joined columns.
    coverage, schedules : DataFrame
        Of ``COVERAGE`` and ``SCHEDULES`` (those in force at the period's end): the data basis.
    as_if : bool
        Whether the policy of `now` was applied to all of the past.
    is_selection : bool
        Whether it covers only the appliances that were asked for, not the whole fleet.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*_VALUES, *FRAMES)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, figures=state["appliances"].drop(columns="reason"))

    def replaced(self, **values: object) -> Self:
        """Return a copy that holds other values for some attributes, and nothing of the former.

        Raises
        ------
        TypeError
            If an assessment has no such attribute.
        """
        state = self.__getstate__()
        if unknown := values.keys() - state.keys():
            raise TypeError(f"an assessment has no {', '.join(sorted(unknown))}")
        copy = object.__new__(type(self))
        copy.__setstate__(state | values)
        return copy

    @cached_property
    def start(self) -> pd.Timestamp:
        """Start of the period [UTC]."""
        return self.context.period.start

    @cached_property
    def end(self) -> pd.Timestamp:
        """End of the period [UTC]."""
        return self.context.period.end

    @cached_property
    def now(self) -> pd.Timestamp:
        """Time of the assessment [UTC]."""
        return self.context.period.now

    @cached_property
    def timezone(self) -> str:
        """Time zone in which the period is named."""
        return self.context.period.zone

    @cached_property
    def policy(self) -> Policy:
        """The policy that was applied."""
        return self.context.policy

    @cached_property
    def as_if(self) -> bool:
        """True if the policy of `now` was applied to all of the past."""
        return self.context.as_if

    @cached_property
    def is_selection(self) -> bool:
        """True if only some appliances were asked for."""
        return self.context.is_selection

    @cached_property
    def period_verdict(self) -> PeriodVerdict:
        """Result of the fleet against its targets in the period."""
        return PeriodVerdict.of(self.fleet)

    @cached_property
    def verdict(self) -> Verdict:
        """The state of the fleet at the period's end."""
        return Verdict.of(self.figures["state"])

    def policy_until(self, end: pd.Timestamp) -> Policy:
        """Return the policy that judges the time right before an instant.

        A change at exactly that instant is not in force yet. With `as_if`, the policy of `now` is
        in force at all times.
        """
        return self.policy.at(self.now if self.as_if else end - _MICROSECOND)

    @property
    def recovery_points(self) -> pd.DataFrame:
        """The recovery points of all appliances, as `backupkit.analysis.recovery_points` has them.

        Backups that were saved on the appliance itself count only if the policy counts them. Times
        are those of the appliances' own clocks, as in `jobs`.
        """
        jobs = self.jobs[self.jobs["local"].ne(other=True)]
        rules = self.policy_until(self.end).rules(self.figures.index)
        return analysis.recovery_points(jobs, anchor=rules["anchor"])

    @property
    def at_risk(self) -> pd.Index:
        """The compliant appliances that are in their grace time or have an open incident."""
        rows = self.figures
        resolved_policy = self.policy_until(self.end).rules(rows.index)
        late = rows["exposure"] > resolved_policy["rpo"].reindex(rows.index)
        return rows.index[(rows["state"] == "compliant") & (late | rows["incident_since"].notna())]

    @property
    def is_current(self) -> bool:
        """True if the period ends with the time of the assessment."""
        return self.end == self.now

    @property
    def moment(self) -> str:
        """When the states of the appliances hold: now, or at the end of the period."""
        return "now" if self.is_current else "at the end"

    @property
    def period_name(self) -> str:
        """The period with its time zone, such as ``October 2026, UTC``."""
        return describe_period(self.start, self.end, self.timezone)

    @property
    def heading(self) -> str:
        """Both verdicts in a few words, such as ``TARGET MET, OK 11 of 11 now``."""
        return f"{self.period_verdict.heading}, {self.verdict.heading} {self.moment}"

    @property
    def tone(self) -> str:
        """The state of appliances whose colour stands for both verdicts."""
        return choose_tone(
            self.verdict.state, self.period_verdict.state, is_current=self.is_current
        )

    @property
    def never_backed_up(self) -> pd.Index:
        """The appliances that were read, and of which no successful backup is known.

        Those in their first days, which are excluded as onboarding, are among them. Those that a
        rule excludes are not.
        """
        rows = self.figures
        scoped = rows["state"].isin(IN_SCOPE_STATES) | rows["onboarding_until"].notna()
        read = self.coverage["last_ok"].reindex(rows.index).notna()
        return rows.index[scoped & read & rows["last_success"].isna()]

    @property
    def warnings(self) -> pd.DataFrame:
        """Warnings of a breach that is still to come, of `backupkit.tables.WARNINGS`.

        They are issued at the period's end. `backupkit.compare` scores those of the earlier
        assessment.
        """
        rows = self.figures
        rules = self.policy_until(self.end).rules(rows.index)
        at_risk = analysis.warn_at_risk(rows.loc[self.at_risk], rules["rpo"], at=self.end)
        slower = analysis.warn_slower(rows, self.assessed_jobs, rules["threshold"], at=self.end)
        return pd.concat([at_risk, slower], ignore_index=True)

    def ratio(self, metric: str) -> Ratio:
        """Return a figure of the fleet, a row of `backupkit.tables.METRICS`."""
        (row,) = self.fleet.loc[[metric]].to_dict("records")
        return build_ratio(row)

    def __repr__(self) -> str:
        lines = [
            self.heading,
            self.period_verdict.sentence,
            f"{self.moment}: {self.verdict.sentence}",
            f"period  {self.period_name}, known {format_timestamp(self.now, 'UTC')}",
            *filter(None, [describe_inventory(self.inventory, self.now)]),
            f"policy  {self.policy}",
        ]
        for title, name in (
            ("strict", "appliances_strict"),
            ("time", "rpo_strict_micro"),
            ("runs", "slot_strict_micro"),
        ):
            figure = self.ratio(name)
            share = figure if figure.fraction else f"{NO_DATA} (0 of 0 {figure.unit_label})"
            lines.append(f"{title:7} {share}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(_render_html(self))


def exposure(row: Mapping[str, Any] | pd.Series) -> str:
    """Format an appliance's exposure, or "over" its lower bound if no success is known."""
    if pd.notna(row["exposure"]):
        return format_duration(row["exposure"])
    if pd.notna(row["exposure_at_least"]):
        return f"over {format_duration(row['exposure_at_least'])}"
    return NO_DATA


def breach_since(row: Mapping[str, Any] | pd.Series, zone: str = "") -> str:
    """Format since when an appliance is in breach [UTC], with the zone; "" if it is not.

    Examples
    --------
    >>> night = pd.Timestamp("2026-11-03T02:00Z")
    >>> breach_since({"breach_since": night, "last_success": pd.NaT})
    '2026-11-03 02:00, never backed up'
    """
    if pd.isna(row["breach_since"]):
        return ""
    never = f", {NEVER}" if pd.isna(row["last_success"]) else ""
    return f"{format_timestamp(row['breach_since'], zone)}{never}"


def _render_html(assessment: Assessment) -> Markup:
    """Render the verdict, the key figures, and the appliances that are not compliant."""
    verdict, rows = assessment.verdict, assessment.appliances
    head = Markup("<h1><b>{}</b>vCenter backups - {}</h1>").format(
        assessment.heading, assessment.period_name
    )
    figures = Markup('<dl class="figures">{}</dl>').format(
        Markup().join(
            _render_figure(assessment.ratio(metric), name) for metric, name in HEAD_FIGURES.items()
        )
    )
    content = head + render_paragraph(assessment.period_verdict.sentence, "sentence")
    content += render_paragraph(f"{assessment.moment}: {verdict.sentence}", "sentence")
    if inventory := describe_inventory(assessment.inventory, assessment.now):
        content += render_paragraph(inventory, "sentence")
    content += figures
    content += render_paragraph(str(assessment.policy), "policy")
    box = Markup('<section class="verdict is-{}">{}</section>').format(assessment.tone, content)
    bad = rows[~rows["state"].isin(["compliant", "excluded"])]
    worst = table(
        _COLUMNS,
        [_render_row(str(name), row) for name, row in bad.head(_MAX_WORST).iterrows()],
        caption=f"Not compliant, the worst first, as of {format_timestamp(assessment.end)} UTC",
        limit=_MAX_WORST,
        total=len(bad),
    )
    return render_container(
        box, worst if len(bad) else render_paragraph("No appliance in scope is out of its RPO.")
    )


def _render_figure(ratio: Ratio, name: str) -> Markup:
    """Render a percentage and its fraction."""
    beside = Markup(" <span>({})</span>").format(ratio.fraction) if ratio.fraction else ""
    return Markup("<div><dt>{}</dt><dd><b>{}</b>{}</dd></div>").format(name, ratio.percent, beside)


def _render_row(name: str, row: pd.Series) -> list[Cell]:
    return [
        name,
        state_badge(row["state"]),
        breach_since(row),
        exposure(row),
        row["last_success"],
        row["strikes"],
        None if pd.isna(row["reason"]) else row["reason"],
    ]
