"""The result of an assessment: the verdict and all frames of one period."""

from dataclasses import dataclass

import pandas as pd

from backupkit.assessment.render import html_of
from backupkit.display.format import format_timestamp, ratio
from backupkit.policy import Policy
from backupkit.tables import STATES

__all__ = ["Assessment", "Verdict"]


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
    failures, failure_counts, clusters : DataFrame
        Of ``FAILURES``, ``FAILURE_COUNTS`` and ``CLUSTERS``: the failures, and what the affected
        appliances have in common.
    baselines, anomalies, loads, lint : DataFrame
        Of ``BASELINES``, ``ANOMALIES``, ``LOADS`` and ``LINT``: usual values, deviations, load of
        the targets, and findings of the schedule and policy checks.
    coverage, jobs, schedules : DataFrame
        Of ``COVERAGE``, ``ASSESSED_JOBS`` (by the appliances' own clocks) and ``SCHEDULES`` (those
        in force at the period's end): the data basis. Older jobs, which no figure needs, are not
        in `jobs`; ``coverage`` counts all jobs.
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
    baselines: pd.DataFrame
    anomalies: pd.DataFrame
    loads: pd.DataFrame
    lint: pd.DataFrame
    coverage: pd.DataFrame
    jobs: pd.DataFrame
    schedules: pd.DataFrame

    @property
    def at_risk(self) -> pd.Index:
        """The compliant appliances that are in their grace time or have an open incident."""
        rows = self.appliances
        resolved_policy = self.policy.at(self.end).rules(rows.index)
        late = rows["exposure"] > resolved_policy["rpo"].reindex(rows.index)
        return rows.index[(rows["state"] == "compliant") & (late | rows["incident_since"].notna())]

    def __repr__(self) -> str:
        lines = [
            f"{self.verdict.state.upper()}: {self.verdict.sentence}",
            (
                f"period  {format_timestamp(self.start)} to {format_timestamp(self.end)} UTC, "
                f"known {format_timestamp(self.now)}"
            ),
            f"policy  {self.policy}",
        ]
        figures = self.fleet.to_dict("index")
        for title, name in (
            ("strict", "appliances_strict"),
            ("time", "rpo_strict_micro"),
            ("runs", "slot_strict_micro"),
        ):
            numerator, denominator = figures[name]["numerator"], figures[name]["denominator"]
            unit = figures[name]["unit"]
            share = ratio(numerator, denominator, unit) if denominator else f"no data (0/0 {unit})"
            lines.append(f"{title:7} {share}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(html_of(self))
