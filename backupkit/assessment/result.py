"""The result of an assessment: the verdict, all frames of one period, and their notebook view."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import pandas as pd
from markupsafe import Markup

from backupkit import analysis
from backupkit.display import Cell, render_container, render_paragraph, state_badge, table
from backupkit.display.format import NO_DATA, Ratio, format_duration, format_timestamp
from backupkit.policy import Policy
from backupkit.tables import STATES

__all__ = ["HEAD_FIGURES", "Assessment", "Verdict", "exposure"]

HEAD_FIGURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "appliances_strict": "inside their RPO (strict)",
        "appliances_observed": "of those reachable (observed)",
        "coverage_appliances": "reachable (coverage)",
        "rpo_strict_micro": "of the time inside the RPO",
        "slot_strict_micro": "of scheduled backups completed",
    }
)
"""Labels of the key figures of `backupkit.tables.METRICS`."""

_MAX_WORST: Final = 10
_MICROSECOND: Final = pd.Timedelta(microseconds=1)
_COLUMNS: Final = {
    "Appliance": "",
    "State": "s",
    "Exposure": "n",
    "Last success (UTC)": "w",
    "Failures in a row": "n",
    "Why": "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state of the fleet at the period's end.

    Attributes
    ----------
    compliant, breach, unknown, excluded, unobserved : int
        Number of appliances in each state at the period's end.

    Examples
    --------
    >>> verdict = Verdict(compliant=7, breach=3, unknown=1)
    >>> verdict.state, verdict.in_scope
    ('breach', 11)
    >>> verdict.sentence
    '3 of 11 in scope breach their RPO, 1 unknown'
    """

    compliant: int = 0
    breach: int = 0
    unknown: int = 0
    excluded: int = 0
    unobserved: int = 0

    @classmethod
    def of(cls, states: pd.Series) -> "Verdict":
        """Return the verdict on appliances in these states."""
        counts = states.value_counts()
        return cls(**{state: int(counts.get(state, 0)) for state in STATES})

    @property
    def in_scope(self) -> int:
        """Number of appliances that are compliant, in breach or unknown."""
        return self.compliant + self.breach + self.unknown

    @property
    def state(self) -> str:
        """The worst state: breach, else unknown, else compliant.

        Without a breach, it is also unknown if no appliance is in scope or one is unobserved.
        """
        if self.breach:
            return "breach"
        if self.unknown or self.unobserved or not self.in_scope:
            return "unknown"
        return "compliant"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with its counts."""
        mentioned: tuple[str, ...] = ()
        if not self.in_scope:
            sentence = "nothing to judge, no appliance is in scope"
        elif self.breach:
            verb = "breaches its" if self.breach == 1 else "breach their"
            sentence = f"{self.breach:,} of {self.in_scope:,} in scope {verb} RPO"
            mentioned = ("unknown",)
        elif self.unknown:
            verb = "is" if self.unknown == 1 else "are"
            sentence = f"{self.unknown:,} of {self.in_scope:,} in scope {verb} unknown"
            mentioned = ("compliant",)
        elif self.in_scope == 1:
            sentence = "the one appliance in scope is inside its RPO"
        else:
            sentence = f"all {self.in_scope:,} in scope are inside their RPO"
        counts = [(getattr(self, state), state) for state in (*mentioned, "unobserved", "excluded")]
        return ", ".join([sentence, *(f"{number:,} {state}" for number, state in counts if number)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Assessment:
    """The assessment of a fleet over a period under a policy.

    Attributes
    ----------
    start, end : Timestamp
        The period, half-open [UTC].
    now : Timestamp
        The time of the assessment [UTC]; later data is ignored.
    policy : Policy
        The policy that was applied.
    version : str
        The version of the data: the head digest of a history, "" if it is empty. For frames and
        snapshots, the number of polls and a digest.
    verdict : Verdict
        The state of the fleet, and a sentence with counts.
    fleet, groups, appliances, intervals, slots, incidents : DataFrame
        Of `backupkit.tables.METRICS`, ``GROUPS``, ``APPLIANCES`` (the worst first), ``INTERVALS``,
        ``SLOTS`` and ``INCIDENTS``.
    failures, failure_counts, clusters, cluster_tests : DataFrame
        Of ``FAILURES``, ``FAILURE_COUNTS``, ``CLUSTERS`` and ``CLUSTER_TESTS``: the failures, what
        the affected appliances have in common, and what was tested to find that.
    baselines, anomalies, loads, lint : DataFrame
        Of ``BASELINES``, ``ANOMALIES``, ``LOADS`` and ``LINT``: usual values, deviations, load of
        the targets, and findings of the schedule and policy checks.
    coverage, jobs, schedules : DataFrame
        Of ``COVERAGE``, ``ASSESSED_JOBS`` (by the appliances' own clocks) and ``SCHEDULES`` (those
        in force at the period's end): the data basis. Older jobs, which no figure needs, are not
        in `jobs`; ``coverage`` counts all jobs.
    as_if : bool
        Whether the policy of `now` was applied to all of the past.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    now: pd.Timestamp
    policy: Policy
    version: str
    verdict: Verdict
    fleet: pd.DataFrame
    groups: pd.DataFrame
    appliances: pd.DataFrame
    intervals: pd.DataFrame
    slots: pd.DataFrame
    incidents: pd.DataFrame
    failures: pd.DataFrame
    failure_counts: pd.DataFrame
    clusters: pd.DataFrame
    cluster_tests: pd.DataFrame
    baselines: pd.DataFrame
    anomalies: pd.DataFrame
    loads: pd.DataFrame
    lint: pd.DataFrame
    coverage: pd.DataFrame
    jobs: pd.DataFrame
    schedules: pd.DataFrame
    as_if: bool = False

    def policy_until(self, end: pd.Timestamp) -> Policy:
        """Return the policy that judges the time right before an instant.

        A change at exactly that instant is not in force yet. With `as_if`, the policy of `now` is
        in force at all times.
        """
        return self.policy.at(self.now if self.as_if else end - _MICROSECOND)

    @property
    def at_risk(self) -> pd.Index:
        """The compliant appliances that are in their grace time or have an open incident."""
        rows = self.appliances
        resolved_policy = self.policy_until(self.end).rules(rows.index)
        late = rows["exposure"] > resolved_policy["rpo"].reindex(rows.index)
        return rows.index[(rows["state"] == "compliant") & (late | rows["incident_since"].notna())]

    @property
    def warnings(self) -> pd.DataFrame:
        """Warnings of a breach that is still to come, of `backupkit.tables.WARNINGS`.

        They are issued at the period's end. `backupkit.compare` scores those of the earlier
        assessment.
        """
        rows = self.appliances
        rules = self.policy_until(self.end).rules(rows.index)
        at_risk = analysis.warn_at_risk(rows.loc[self.at_risk], rules["rpo"], at=self.end)
        slower = analysis.warn_slower(rows, self.jobs, rules["threshold"], at=self.end)
        return pd.concat([at_risk, slower], ignore_index=True)

    @property
    def target(self) -> float:
        """The policy's target for RPO and slot compliance at the period's end, from 0 to 1."""
        return float(self.policy_until(self.end).target)

    def ratio(self, metric: str) -> Ratio:
        """Return a figure of the fleet, a row of `backupkit.tables.METRICS`."""
        terms = self.fleet.loc[metric, ["numerator", "denominator", "unit"]]
        return replace(Ratio(*terms), target=self.target)

    def __repr__(self) -> str:
        lines = [
            f"{self.verdict.state.upper()}: {self.verdict.sentence}",
            (
                f"period  {format_timestamp(self.start)} to {format_timestamp(self.end)} UTC, "
                f"known {format_timestamp(self.now)}"
            ),
            f"policy  {self.policy}",
        ]
        for title, name in (
            ("strict", "appliances_strict"),
            ("time", "rpo_strict_micro"),
            ("runs", "slot_strict_micro"),
        ):
            figure = self.ratio(name)
            share = figure if figure.fraction else f"{NO_DATA} (0 of 0 {figure.unit})"
            lines.append(f"{title:7} {share}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(_render_html(self))


def exposure(row: pd.Series) -> str:
    """Format an appliance's exposure, or "over" its lower bound if no success is known."""
    if pd.notna(row["exposure"]):
        return format_duration(row["exposure"])
    if pd.notna(row["exposure_at_least"]):
        return f"over {format_duration(row['exposure_at_least'])}"
    return NO_DATA


def _render_html(assessment: Assessment) -> Markup:
    """Render the verdict, the key figures, and the appliances that are not compliant."""
    verdict, rows = assessment.verdict, assessment.appliances
    period = f"{format_timestamp(assessment.start)} to {format_timestamp(assessment.end)} UTC"
    head = Markup("<h1><b>{}</b>vCenter backups - {}</h1>").format(verdict.state.upper(), period)
    figures = Markup('<dl class="figures">{}</dl>').format(
        Markup().join(
            _render_figure(assessment.ratio(metric), name) for metric, name in HEAD_FIGURES.items()
        )
    )
    content = head + render_paragraph(verdict.sentence, "sentence") + figures
    content += render_paragraph(str(assessment.policy), "policy")
    box = Markup('<section class="verdict is-{}">{}</section>').format(verdict.state, content)
    bad = rows[~rows["state"].isin(["compliant", "excluded"])]
    worst = table(
        _COLUMNS,
        [_render_row(str(name), row) for name, row in bad.head(_MAX_WORST).iterrows()],
        caption=f"Not compliant, the worst first, as of {format_timestamp(assessment.now)} UTC",
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
        exposure(row),
        row["last_success"],
        row["strikes"],
        None if pd.isna(row["reason"]) else row["reason"],
    ]
