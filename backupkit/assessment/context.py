"""Context of an assessment: the period, the policy, and the rules of each appliance."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Final

import pandas as pd

from backupkit.analysis import Exclusions
from backupkit.assessment.periods import parse_month, parse_quarter
from backupkit.errors import SettingsError
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_duration, parse_instant
from backupkit.tables.constants import SLOT_MARGIN
from backupkit.tables.domain_nodes import SeenNode

__all__ = ["EARLIEST_START", "EvaluationContext", "Period", "Revisions"]

_DEFAULT_PERIOD: Final = timedelta(days=30)
EARLIEST_START: Final = pd.Timestamp("1980-01-01", tz="UTC")

Revisions = list[tuple[pd.Timestamp | None, pd.DataFrame]]
"""The rules, each with its effective date; None for the first."""


@dataclass(frozen=True, slots=True)
class Period:
    """The period, half-open, the time of the assessment [UTC], and the zone that names it."""

    start: pd.Timestamp
    end: pd.Timestamp
    now: pd.Timestamp
    zone: str

    @classmethod
    def from_options(
        cls,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        now: Instant | None = None,
        last: str | timedelta | None = None,
        month: str | None = None,
        quarter: str | None = None,
        zone: str,
    ) -> "Period":
        """Resolve the options of `backupkit.evaluate`; `zone` is that of times without one."""
        _refuse_two(start=start, last=last, month=month, quarter=quarter)
        _refuse_two(end=end, month=month, quarter=quarter)
        now_utc = (
            pd.Timestamp.now("UTC") if now is None else parse_instant(now, where="now", zone=zone)
        )
        if month is not None:
            start, end = parse_month(month, zone=zone, now=now_utc)
            return cls.from_times(start=start, end=end, now=now_utc, zone=zone)
        if quarter is not None:
            start, end = parse_quarter(quarter, zone=zone, now=now_utc)
            return cls.from_times(start=start, end=end, now=now_utc, zone=zone)
        end_utc = min(
            now_utc, now_utc if end is None else parse_instant(end, where="end", zone=zone)
        )
        start = start if start is None else parse_instant(start, where="start", zone=zone)
        if start is None:
            length = _DEFAULT_PERIOD if last is None else last
            span = parse_duration(length, where="last") if isinstance(length, str) else length
            start = end_utc - span
        return cls.from_times(start=start, end=end_utc, now=now_utc, zone=zone)

    @classmethod
    def from_times(cls, *, start: Instant, end: Instant, now: Instant, zone: str) -> "Period":
        """Parse and validate the times of `backupkit.evaluate_frames`."""
        now_utc = parse_instant(now, where="now")
        start_utc, end_utc = parse_instant(start, where="start"), parse_instant(end, where="end")
        end_utc = min(end_utc, now_utc)
        if not EARLIEST_START <= start_utc < end_utc:
            raise SettingsError(
                "start: the period must begin in 1980 or later and before its end, got "
                f"{start_utc.isoformat()} to {end_utc.isoformat()}; for "
                "example: start 2026-11-02T00:00:00Z, end 2026-11-09T00:00:00Z."
            )
        return cls(start_utc, end_utc, now_utc, zone)


def _refuse_two(**options: object) -> None:
    """Raise if two options are given that exclude each other."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise SettingsError(f"{given[0]} and {given[1]} exclude each other: give one of them.")


@dataclass(frozen=True)
class EvaluationContext:
    """Context of an assessment of some appliances.

    `revisions` holds the result of `Policy.rules` for each part of the period, `exclusion_rows`
    that of `Policy.excluded`. With `as_if`, the policy of `now` applies to all of the past.
    With `is_selection`, only some appliances of the fleet were asked for. `domain_nodes` are those
    of the SSO domains, as last read, and `fleet_hosts` the hosts of all appliances in fleet.toml.
    `later_revisions` are those that begin soon after the period: the first slot after it decides
    where the last slot of the period ends.
    """

    policy: Policy
    period: Period
    revisions: Revisions
    exclusion_rows: pd.DataFrame
    as_if: bool
    later_revisions: Revisions
    is_selection: bool = False
    domain_nodes: tuple[SeenNode, ...] = ()
    fleet_hosts: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls, policy: Policy, names: Iterable[str], period: Period, *, as_if: bool
    ) -> "EvaluationContext":
        """Resolve a policy for its members and the appliances in the data."""
        appliances = sorted(names)
        latest = period.end + SLOT_MARGIN
        dates = [None, *(date for date in policy.effective_dates if date < latest)]
        revisions: Revisions = (
            [(None, policy.at(period.now).rules(appliances))]
            if as_if
            else [(date, policy.at(date).rules(appliances)) for date in dates]
        )
        begun = [date is None or date < period.end for date, _ in revisions].count(True)
        exclusion_rows = policy.excluded(appliances)
        return cls(policy, period, revisions[:begun], exclusion_rows, as_if, revisions[begun:])

    def only(self, appliances: pd.Index) -> "EvaluationContext":
        """Return the context of some of the appliances."""
        revisions, later_revisions = (
            [(date, resolved.loc[resolved.index.isin(appliances)]) for date, resolved in dated]
            for dated in (self.revisions, self.later_revisions)
        )
        exclusion_rows = self.exclusion_rows[self.exclusion_rows["appliance"].isin(appliances)]
        return replace(
            self,
            revisions=revisions,
            exclusion_rows=exclusion_rows,
            later_revisions=later_revisions,
        )

    @property
    def resolved_policy(self) -> pd.DataFrame:
        """The rules at the period's end, by appliance."""
        return self.revisions[-1][1]

    @cached_property
    def exclusions(self) -> Exclusions:
        """The dated exclusions."""
        return Exclusions.of(self.exclusion_rows, self.resolved_policy.index)

    @property
    def schedule_policy(self) -> Policy:
        """The policy that sets the schedules of appliances whose API does not report one."""
        return self.policy.at(self.period.now) if self.as_if else self.policy
